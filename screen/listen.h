/*
 * screen/listen.h: listening sockets, made once by the master and kept for life.
 *
 * Each listener is a group of SO_REUSEPORT sockets, one a worker, steered by client address (classic BPF;
 * IPv6 by /64): one client is always one worker's. A worker that dies leaves its socket, with the clients
 * waiting in it, to its successor.
 */
#ifndef SCREEN_LISTEN_H
#define SCREEN_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include "base/text.h"
#include "screen/snapshot.h"

struct listen_group {
	struct endpoint at;
	size_t count;
	int fds[WORKERS_MAX];
};

/* False with the reason in err; nothing is left open. */
bool listen_open(struct listen_group *, const struct endpoint *, size_t workers, struct buf *err);
void listen_close(struct listen_group *);

/*
 * All groups the master holds: those of the snapshot in force and, during a reload, those of the next. A listener in
 * both keeps its group.
 */
struct listen_set {
	size_t count;
	struct listen_group groups[2 * LISTENERS_MAX];
};

/*
 * Opens what is asked for and not there yet; port 0 in a listener becomes the port chosen. False with the reason in
 * err; then what was opened is closed again.
 */
bool listen_set_open(struct listen_set *, struct listener *, size_t count, size_t workers, struct buf *err);
/* Closes what none of these listeners needs. */
void listen_set_trim(struct listen_set *, const struct listener *, size_t count);
/* Null if there is none. */
const struct listen_group *listen_set_find(const struct listen_set *, const struct endpoint *);

/* The worker whose sockets of a group a client's connections are steered to. */
unsigned listen_owner(const struct addr *client, size_t workers);

/*
 * Takes the sockets that the service manager passed for this address (LISTEN_PID, LISTEN_FDS) into the
 * group, and makes those that are missing. False if none was passed.
 */
bool listen_inherit(struct listen_group *, const struct endpoint *, size_t workers, struct buf *err);

#endif
