/*
 * screen/shared.h: the few numbers that all processes see: one slot a worker in memory shared with the
 * master, written by its owner only. Limits on all sessions together are sums over the slots; a dead
 * worker's counters stay, its gauges are cleared by the master.
 */
#ifndef SCREEN_SHARED_H
#define SCREEN_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "screen/rows.h"
#include "screen/session.h"
#include "screen/snapshot.h"
#include "screen/tally.h"

#define SLOTS_MAX (2 * WORKERS_MAX) /* a generation in charge and one draining */
#define ENDED_MAX 512

struct slot {
	_Alignas(64) _Atomic uint32_t check_queue; /* sessions open, hand-off included */
	_Atomic uint32_t post_queue;               /* of those, waiting for the backend */
	_Atomic uint32_t relayed;                  /* of those, joined with the backend through us */
	_Atomic uint32_t proxy_queue;              /* apart from those: waiting for a PROXY header */
	_Atomic uint32_t tarpit;                   /* sessions with slow replies */
	_Atomic uint32_t descriptors;              /* open ones, as the worker counted them last */
	_Atomic bool taken;
	_Alignas(64) _Atomic uint64_t cells[CELLS]; /* screen/counters.tbl */
	/*
	 * The sessions that ended last, for the status page. The worker writes a place and then moves `shown`; who
	 * reads looks at `shown` before and after, and throws away what was overwritten meanwhile.
	 */
	_Atomic uint64_t shown;
	struct session_row ended[ENDED_MAX];
};

struct shared {
	_Atomic bool stressed;
	_Atomic uint32_t tls_processes; /* that live, of all generations */
	_Atomic uint32_t slots_used; /* slots ever taken: the sums look no further */
	struct slot slots[SLOTS_MAX];
};

struct shared *shared_new(void); /* mapped shared: survives fork */
void shared_free(struct shared **);
struct slot *shared_take(struct shared *);        /* null when all are taken */
void shared_give(struct shared *, struct slot *); /* its process is gone; its counts were folded */
uint32_t shared_used(const struct shared *); /* slots ever taken */
size_t shared_check_queue(const struct shared *);
size_t shared_post_queue(const struct shared *);
size_t shared_relayed(const struct shared *);
size_t shared_proxy_queue(const struct shared *);
size_t shared_tarpit(const struct shared *);
/* At the end of a session, by its worker. */
void shared_show(struct slot *, const struct session *, int64_t now_us);
/*
 * Takes ended sessions out of a slot: those after *seen, at most `max`, oldest first; *seen moves on. What was
 * overwritten before we came is skipped.
 */
size_t shared_ended(const struct slot *, uint64_t *seen, struct session_row *out, size_t max);

#endif
