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
#include "screen/session.h"
#include "screen/snapshot.h"

#define SLOTS_MAX (2 * WORKERS_MAX) /* a generation in charge and one draining */

struct slot {
	_Alignas(64) _Atomic uint32_t check_queue; /* sessions open, hand-off included */
	_Atomic uint32_t post_queue;               /* of those, waiting for the backend */
	_Atomic uint32_t proxy_queue;              /* apart from those: waiting for a PROXY header */
	_Atomic uint64_t verdicts[VERDICTS];       /* ended sessions, since the master's start */
	_Atomic bool taken;
};

struct shared {
	_Atomic bool stressed;
	_Atomic uint32_t slots_used; /* slots ever taken: the sums look no further */
	struct slot slots[SLOTS_MAX];
};

struct shared *shared_new(void); /* mapped shared: survives fork */
void shared_free(struct shared **);
struct slot *shared_take(struct shared *);        /* null when all are taken */
void shared_give(struct shared *, struct slot *); /* its process is gone */
size_t shared_check_queue(const struct shared *);
size_t shared_post_queue(const struct shared *);
size_t shared_proxy_queue(const struct shared *);

#endif
