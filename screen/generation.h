/*
 * screen/generation.h: the workers of one snapshot, from their start to the last one's end.
 *
 * begun → serving (all its screen workers said so) → draining (no new clients) → gone. A generation that fails
 * before it serves drains at once. Each process has a seat; a seat whose process dies while the generation serves
 * is taken again, at growing intervals.
 */
#ifndef SCREEN_GENERATION_H
#define SCREEN_GENERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/loop.h"
#include "policy/policy.h"
#include "screen/keeper.h"
#include "screen/listen.h"
#include "screen/orders.h"
#include "screen/restart.h"
#include "screen/shared.h"
#include "screen/snapshot.h"
#include "screen/tlscare.h"

struct generation;
struct seat;

/* What befalls a generation. All are called from the loop, with workplace.arg. */
struct generation_events {
	void (*serves)(void *arg, struct generation *);
	/* One of its processes died before all served. The generation is to be drained. */
	void (*failed)(void *arg, struct generation *);
	/* A process is gone; the slot (null for a tlsproxy) is free again when this returns. */
	void (*lost)(void *arg, const struct generation *, const struct slot *, int status);
	/* The last process of a draining generation is gone. The generation is to be freed. */
	void (*gone)(void *arg, struct generation *);
	/* A worker's word other than ORDER_READY. The descriptor (-1: none) is the callee's. */
	void (*word)(void *arg, const struct generation *, const struct order *, int fd);
};

/* What the master owns and all its generations work with. */
struct workplace {
	struct loop *loop;
	struct shared *shared;
	struct keeper *keeper;
	struct tlscare *care;
	struct listen_set listening;
	const struct generation_events *events;
	void *arg;
};

enum seat_role { SEAT_SCREEN, SEAT_TLS };

/* A place for one process. Whoever sits in it may die and be replaced. */
struct seat {
	struct generation *generation;
	enum seat_role role;
	unsigned number; /* of this role */
	pid_t pid;       /* 0: empty */
	int channel;     /* screen/orders.h; -1: nobody to talk to */
	struct slot *slot;
	struct watch word; /* a message from the worker */
	bool is_ready;
	struct restart restart;
};

struct generation {
	struct workplace *at;
	struct snapshot *snap;
	struct pools_board *pools; /* null: none */
	int journal_fd;
	int tls_channel[2];       /* -1: no TLS */
	int mail[WORKERS_MAX][2]; /* screen/mailbox.h; -1: not needed */
	enum { GEN_BEGUN, GEN_SERVING, GEN_DRAINING } phase;
	struct generation *next; /* its owner's */
	struct watch limit;      /* of the drain */
	size_t seat_count;
	struct seat seats[];
};

/*
 * Starts all its processes. The snapshot is taken over; the workplace outlives the generation. before: whose
 * knowledge of pools it inherits; null at start.
 */
struct generation *generation_begin(
    struct workplace *, struct snapshot *, const struct generation *before);
/* Its workers take no new clients and end with the last one they have. The last may be gone before this returns. */
void generation_drain(struct generation *);
void generation_signal(const struct generation *, int signo);
/* A child of ours ended. False if it was not one of this generation's (null: of nobody's). */
bool generation_bury(struct generation *, pid_t, int status);
/* When it is gone. The snapshot is freed with it. */
void generation_free(struct generation *);

/* Seats, for generation.c alone. */
void seat_init(struct seat *, struct generation *, enum seat_role, unsigned number);
void seat_fill(struct seat *);           /* starts its process, or tries again later */
void seat_drain(struct seat *);          /* its process takes no new clients */
void seat_empty(struct seat *);          /* its process is gone: what it had is given back */
void generation_ready(struct generation *); /* one more of its seats is ready */

/* One seat, for who looks on (screen/console.h). Borrowed until the next turn of the loop. */
struct seat_view {
	const char *role;  /* screen, tlsproxy */
	const char *phase; /* starting, serving, draining */
	unsigned number;
	pid_t pid; /* 0: dead, to be started again */
	bool ready;
	int64_t started_us;
	int channel;             /* -1: nobody to ask */
	const struct slot *slot; /* null for a tlsproxy */
	const struct snapshot *snap;
};
/* Those of this role; the number written. Null is a generation without seats. */
size_t generation_view(const struct generation *, enum seat_role, struct seat_view *out, size_t max);

#endif
