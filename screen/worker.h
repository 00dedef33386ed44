/*
 * screen/worker.h: one screen worker: a loop, its listeners, its sessions. Nothing but a few counters is
 * shared with other workers; one client address is always one worker's.
 */
#ifndef SCREEN_WORKER_H
#define SCREEN_WORKER_H

#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "screen/session.h"
#include "screen/shared.h"
#include "screen/snapshot.h"

struct listening {
	struct watch watch;
	struct worker *worker;
	const struct listener *rules;
	bool wildcard; /* the server address must be asked of each connection */
	int fd;
};

struct worker {
	struct loop *loop;
	const struct snapshot *snap;
	unsigned number; /* which of the snapshot's workers */
	struct shared *shared;
	struct slot *slot;
	struct dnsbl *dnsbl;
	struct store_reader *store; /* null: no memory */
	struct share *share;        /* null: not shared with other hosts */
	const struct pools_board *pools; /* null: none */
	struct pools *walker;       /* of their records; null: another worker walks */
	struct pool *sessions, *clients, *crowds, *engines, *relays;
	struct backend_server servers[BACKEND_SERVERS_MAX];
	struct promise *promise; /* what the backend says it can do */
	struct map by_addr, by_net;              /* struct client, struct crowd */
	struct deadline_queue limits[LIMITS][2]; /* [stressed] */
	struct deadline_queue whole;             /* sessions in the engine: gatehouse_session_time_limit */
	bool draining;
	int mail_in;         /* clients passed on by others; -1: there is no proxy */
	const int *mail_out; /* by worker */
	struct watch mail, linger;
	int tls_fd;   /* for tlsproxy_start(); -1: no TLS */
	int spare_fd; /* given up to answer 421 when descriptors run out */
	uint64_t next_id;
	int64_t count_at_us; /* when its descriptors are counted next */
	struct listening listening[LISTENERS_MAX];
	struct watch orders, term, watchdog, look; /* look: at what the backend has not yet taken (handoff.c) */
	int64_t look_ms;
	int orders_fd;
};

/* What a worker inherits from the master. */
struct worker_start {
	const struct snapshot *snap;
	unsigned number;
	struct shared *shared;
	struct slot *slot;
	int listen_fds[LISTENERS_MAX]; /* one a listener of the snapshot */
	int orders_fd;                 /* screen/orders.h */
	int store_fd;                  /* way to the store's writer; -1: no memory */
	struct pools_board *pools;     /* null: none */
	int journal_fd;                /* session records; -1: none */
	int mail_in;                   /* screen/mailbox.h; -1: none */
	int mail_out[WORKERS_MAX];     /* by worker */
	int tls_fd;                    /* way to the tlsproxy processes; -1: no TLS */
};

/* The whole life of the process; returns its exit status. */
int worker_main(const struct worker_start *);

void gate_init(struct worker *);
void engine_init(struct worker *); /* after the snapshot, before the first session */
void engine_fini(struct worker *);

/* Bookkeeping for the door: counts the session in. False if the worker has no room for its client. */
bool worker_admit(struct worker *, struct session *);
/* And for the end: counts it out again, if it was admitted. */
void worker_dismiss(struct worker *, struct session *);

#endif
