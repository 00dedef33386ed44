#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "base/loop.h"
#include "base/mem.h"

#define AFTER_TURN_MAX 4

struct loop {
	struct event_base *base;
	int64_t now_us, wall_s;
	bool stopped;
	unsigned after_count;
	struct {
		void (*fn)(void *arg);
		void *arg;
	} after[AFTER_TURN_MAX];
};

static int64_t
read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_now_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

struct loop *
loop_new(void)
{
	struct loop *l = mem_alloc(sizeof *l);
	struct event_config *config = event_config_new();

	/* Not EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: it leaks registrations of passed descriptors. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	assert(l->base != NULL);
	return l;
}

void
loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	event_base_free((*l)->base);
	free(*l);
	*l = NULL;
}

void
loop_abandon(struct loop **l)
{
	/* The epoll set is shared with the parent until it is made anew: deleting in it would deafen the parent. */
	event_reinit((*l)->base);
	loop_free(l);
}

/*
 * The clock is read once a turn, by the first who asks: libevent has no hook between waking and the first
 * callback, and a turn is short.
 */
int64_t
loop_now_us(const struct loop *l)
{
	struct loop *mine = (struct loop *)(uintptr_t)l;

	if (mine->now_us == 0)
		mine->now_us = clock_now_us();
	return mine->now_us;
}

int64_t
loop_wall_s(const struct loop *l)
{
	struct loop *mine = (struct loop *)(uintptr_t)l;

	if (mine->wall_s == 0)
		mine->wall_s = read_clock(CLOCK_REALTIME) / 1000000;
	return mine->wall_s;
}

bool
loop_turn(struct loop *l, bool block)
{
	l->now_us = l->wall_s = 0;
	int result = event_base_loop(l->base, block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
	for (unsigned i = 0; i < l->after_count; i++)
		l->after[i].fn(l->after[i].arg);
	l->now_us = l->wall_s = 0;
	return result == 0;
}

void
loop_run(struct loop *l)
{
	for (l->stopped = false; !l->stopped;)
		if (!loop_turn(l, true))
			break; /* nothing left to wait for */
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
	event_base_loopbreak(l->base);
}

void
loop_after_turn(struct loop *l, void (*fn)(void *arg), void *arg)
{
	assert(l->after_count < AFTER_TURN_MAX);
	l->after[l->after_count].fn = fn;
	l->after[l->after_count++].arg = arg;
}

void
watch_init(struct watch *w, struct loop *l, int fd, short what, watch_fn *fn, void *arg)
{
	assert(what & (WATCH_READ | WATCH_WRITE));
	event_assign(&w->ev, l->base, fd, (short)(what | EV_PERSIST), fn, arg);
}

void
watch_init_timer(struct watch *w, struct loop *l, watch_fn *fn, void *arg)
{
	event_assign(&w->ev, l->base, -1, 0, fn, arg);
}

void
watch_init_signal(struct watch *w, struct loop *l, int signo, watch_fn *fn, void *arg)
{
	event_assign(&w->ev, l->base, signo, EV_SIGNAL | EV_PERSIST, fn, arg);
}

void
watch_start(struct watch *w)
{
	event_add(&w->ev, NULL);
}

void
watch_start_once(struct watch *w, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(&w->ev, &tv);
}

void
watch_kick(struct watch *w)
{
	event_active(&w->ev, EV_TIMEOUT, 1);
}

void
watch_stop(struct watch *w)
{
	if (event_initialized(&w->ev))
		event_del(&w->ev);
}

bool
watch_active(const struct watch *w)
{
	return event_initialized(&w->ev) &&
	       event_pending(&w->ev, EV_READ | EV_WRITE | EV_TIMEOUT | EV_SIGNAL, NULL);
}

/* The timer is set for the head; a head that goes away leaves it to fire early once and look again. */
static void
set_timer(struct deadline_queue *q)
{
	int64_t wait_us = q->head.next->at_us - loop_now_us(q->loop);

	watch_start_once(&q->timer, wait_us > 0 ? (wait_us + 999) / 1000 : 0);
}

static void
expire(int fd, short what, void *arg)
{
	struct deadline_queue *q = arg;

	(void)fd, (void)what;
	int64_t now = loop_now_us(q->loop);
	while (q->head.next != &q->head && q->head.next->at_us <= now) {
		struct deadline *d = q->head.next;
		deadline_disarm(d);
		q->fn(d);
	}
	if (q->head.next != &q->head)
		set_timer(q);
}

void
deadline_queue_init(struct deadline_queue *q, struct loop *l, int64_t span_us, deadline_fn *fn)
{
	q->head.prev = q->head.next = &q->head;
	q->loop = l;
	q->span_us = span_us;
	q->fn = fn;
	watch_init_timer(&q->timer, l, expire, q);
}

void
deadline_queue_fini(struct deadline_queue *q)
{
	watch_stop(&q->timer);
	while (q->head.next != &q->head)
		deadline_disarm(q->head.next);
}

void
deadline_arm(struct deadline_queue *q, struct deadline *d)
{
	deadline_disarm(d);
	d->queue = q;
	d->at_us = loop_now_us(q->loop) + q->span_us;
	d->next = &q->head;
	d->prev = q->head.prev;
	d->prev->next = d;
	q->head.prev = d;
	if (q->head.next == d && !watch_active(&q->timer))
		set_timer(q);
}

void
deadline_disarm(struct deadline *d)
{
	if (d->next == NULL)
		return;
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->next = d->prev = NULL;
}
