/*
 * screen/desk.h: a desk in the master where strangers ask questions: the control socket and the HTTP
 * port. One request a connection, one answer, goodbye. Everything is bounded: connections, bytes of a
 * request, time, and how many are heard a second: the rest waits in the kernel's queue and costs us nothing, so who
 * asks for everything at once gets his answers more slowly and takes no processor from the workers. When all places
 * are taken the newest gets that of whoever has kept us waiting longest, for his question or for taking the answer:
 * holding connections locks nobody out.
 */
#ifndef SCREEN_DESK_H
#define SCREEN_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include "base/loop.h"
#include "base/text.h"

struct desk;
struct desk_client;

struct desk_rules {
	size_t clients_max, request_max;
	unsigned rate; /* connections a second in the long run; of clients_max at once */
	int64_t time_ms; /* from the connection's beginning to its end, but for waiting answers */
	/* How many bytes of this are a whole request; 0: more is needed. Pure. */
	size_t (*whole)(struct span);
	/* Called with a whole request: answer now, or call desk_wait() and answer later. */
	void (*ask)(void *arg, struct desk_client *, struct span request);
	/* What is said to a request that is too long; null: nothing. */
	const char *too_long;
};

/* Takes over the listening descriptor. */
struct desk *desk_new(struct loop *, int listen_fd, const struct desk_rules *, void *arg);
void desk_free(struct desk **); /* drops everybody */

/* The answer: copied, sent as the client takes it, then the connection is closed. Ends the client. */
void desk_answer(struct desk_client *, struct span head, struct span body);
/* The answer comes within wait_ms, or never. `why` tells the waiting apart for desk_answer_waiting(). */
void desk_wait(struct desk_client *, int why, int64_t wait_ms);
/* Answers everybody who waits for `why`, each by fn. */
void desk_answer_waiting(struct desk *, int why, void (*fn)(void *arg, struct desk_client *), void *arg);
/* A number the asker may keep with its client: 0 at first. */
unsigned *desk_note(struct desk_client *);

#endif
