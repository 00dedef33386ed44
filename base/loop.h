/*
 * base/loop.h: the event loop of a process. A thin door to libevent core, so that no other file needs
 * to know which library turns the wheel.
 *
 * Callbacks come only from loop_run(). Before a watched descriptor is passed away or closed, its watch
 * must be stopped first: a descriptor sent by SCM_RIGHTS stays in our epoll set otherwise.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <event2/event.h>
#include <event2/event_struct.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop **);
/* In a child: frees the loop inherited from the parent without touching what the parent watches. */
void loop_abandon(struct loop **);
void loop_run(struct loop *); /* returns after loop_stop() */
void loop_stop(struct loop *);

/*
 * For tests: one turn, waiting at most until something happens if block is set. True if anything ran.
 */
bool loop_turn(struct loop *, bool block);

/* The clock as read once for this turn. */
int64_t loop_now_us(const struct loop *);  /* monotonic microseconds */
int64_t loop_wall_s(const struct loop *);  /* Unix seconds */
int64_t clock_now_us(void);                /* monotonic, read now; for measuring inside a turn */

/* Called after every turn, in the order added (at most four): flushing logs, batching writes. */
void loop_after_turn(struct loop *, void (*fn)(void *arg), void *arg);

/* A watch on a descriptor, a signal or nothing but time. The struct is the owner's; 128 bytes. */
enum { WATCH_READ = EV_READ, WATCH_WRITE = EV_WRITE, WATCH_TIME = EV_TIMEOUT };
typedef void watch_fn(int fd, short what, void *arg);
struct watch {
	struct event ev;
};

void watch_init(struct watch *, struct loop *, int fd, short what, watch_fn *, void *arg);
void watch_start(struct watch *);                    /* stays armed until stopped */
void watch_start_once(struct watch *, int64_t ms);   /* timer only: fires once; re-arming replaces */
void watch_kick(struct watch *);                     /* timer only: fires once, at the end of this turn or in the next */
void watch_stop(struct watch *);                     /* harmless if not started */
bool watch_active(const struct watch *);
void watch_init_timer(struct watch *, struct loop *, watch_fn *, void *arg);
void watch_init_signal(struct watch *, struct loop *, int signo, watch_fn *, void *arg);

/*
 * Deadlines of one span. Thousands of sessions wait for the same length of time, so their deadlines
 * arrive in the order they were set: a list, one timer for its head, and adding, moving or removing one
 * costs the same at 15 000 as at ten. 32 bytes each instead of an event.
 */
struct deadline {
	struct deadline *prev, *next; /* null when not armed */
	int64_t at_us;
	struct deadline_queue *queue;
};
typedef void deadline_fn(struct deadline *); /* already disarmed when called */
struct deadline_queue {
	struct deadline head;
	struct watch timer;
	struct loop *loop;
	int64_t span_us;
	deadline_fn *fn;
};

void deadline_queue_init(struct deadline_queue *, struct loop *, int64_t span_us, deadline_fn *);
void deadline_queue_fini(struct deadline_queue *);
void deadline_arm(struct deadline_queue *, struct deadline *); /* now + span; moves it if armed, also from another queue */
void deadline_disarm(struct deadline *);                       /* harmless if not armed */

#endif
