/*
 * screen/worker.h: one screen worker: a loop, its listeners, its sessions. Nothing is shared with other
 * workers; one client address is always one worker's.
 */
#ifndef SCREEN_WORKER_H
#define SCREEN_WORKER_H

#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "screen/session.h"
#include "screen/snapshot.h"

struct worker {
	struct loop *loop;
	const struct snapshot *snap;
	unsigned number; /* which of the snapshot's workers */
	struct dnsbl *dnsbl;
	struct store_reader *store; /* null: no memory */
	struct pool *sessions, *clients, *engines;
	struct map by_addr; /* struct client */
	struct deadline_queue limits[LIMITS][2]; /* [stressed] */
	size_t check_queue, post_queue;
	bool stressed, draining;
	uint64_t next_id;
	struct watch listeners[LISTENERS_MAX], orders, pause;
	int listen_fds[LISTENERS_MAX];
};

/* What a worker inherits from the master. */
struct worker_start {
	const struct snapshot *snap;
	unsigned number;
	int listen_fds[LISTENERS_MAX]; /* one a listener of the snapshot */
	int orders_fd;                 /* closed by the master: drain */
	int store_fd;                  /* way to the store's writer; -1: no memory */
	int journal_fd;                /* session records; -1: none */
};

/* The whole life of the process; returns its exit status. */
int worker_main(const struct worker_start *);

/* Bookkeeping for session.c. */
void worker_session_opened(struct worker *, struct session *);
void worker_session_closed(struct worker *, struct session *);

#endif
