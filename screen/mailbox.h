/*
 * screen/mailbox.h: workers pass clients on to each other.
 *
 * A client that comes through a proxy is steered by the proxy's address. The worker that has read its PROXY header
 * passes the socket on to the worker that owns the client's own address, so that one client is one worker's here too.
 * A mailbox is a socket pair made with the generation and kept by the master: what waits in it when a worker dies
 * is its successor's.
 */
#ifndef SCREEN_MAILBOX_H
#define SCREEN_MAILBOX_H

#include <stdbool.h>
#include "base/addr.h"

struct letter {
	struct endpoint peer, local;
};

bool mailbox_open(int pair[2]); /* [0] to write, [1] to read; non-blocking, close-on-exec */
/* False if it is full or broken: then the client stays where it is. The descriptor stays ours. */
bool mailbox_put(int to, const struct letter *, int fd);
/* False if there is none. */
bool mailbox_take(int from, struct letter *, int *fd);

#endif
