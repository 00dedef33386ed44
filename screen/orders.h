/*
 * screen/orders.h: what master and worker say to each other over a worker's channel (SOCK_SEQPACKET, one
 * message a packet, never blocking on either side). A closed channel means to the worker: drain.
 */
#ifndef SCREEN_ORDERS_H
#define SCREEN_ORDERS_H

#include <stdint.h>
#include "base/addr.h"
#include "screen/rows.h"

enum order_kind {
	ORDER_READY = 1, /* worker: I serve */
	ORDER_DRAIN,     /* master: take no new clients, end with the last one */
	ORDER_LIST,      /* master: show the sessions you hold, at most `count` */
	ORDER_ROWS,      /* worker: here are `count` of them; the last packet has `last` set */
	ORDER_SPAWN,     /* worker: start the backend's command for this client; a socket comes along */
};

#define ORDER_ROWS_MAX 50 /* in one packet */

struct order {
	uint8_t kind;
	uint8_t last; /* of a list; of ORDER_SPAWN: the client was teased */
	uint16_t count;
	uint32_t tag; /* of a list: answers repeat it */
	struct endpoint peer, local; /* of ORDER_SPAWN */
	struct session_row rows[ORDER_ROWS_MAX];
};
#define ORDER_HEAD offsetof(struct order, rows)

/* Bytes of this message; 0 for one that cannot be. */
size_t order_size(const struct order *);
/* One message, or nothing: false with errno (EAGAIN: nothing there, or no room). */
bool order_send(int channel, const struct order *);
bool order_recv(int channel, struct order *);
/* The same with a descriptor beside it: the sender keeps its own; *fd is -1 if none came. */
bool order_send_fd(int channel, const struct order *, int fd);
bool order_recv_fd(int channel, struct order *, int *fd);

#endif
