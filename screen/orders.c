#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#include "screen/orders.h"

size_t
order_size(const struct order *o)
{
	if (o->kind < ORDER_READY || o->kind > ORDER_ROWS)
		return 0;
	if (o->kind != ORDER_ROWS)
		return ORDER_HEAD;
	return o->count > ORDER_ROWS_MAX ? 0 : ORDER_HEAD + o->count * sizeof o->rows[0];
}

bool
order_send(int channel, const struct order *o)
{
	return send(channel, o, order_size(o), MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)order_size(o);
}

bool
order_recv(int channel, struct order *o)
{
	ssize_t n = recv(channel, o, sizeof *o, MSG_DONTWAIT);

	if (n <= 0) {
		errno = n == 0 ? EPIPE : errno;
		return false;
	}
	if ((size_t)n < ORDER_HEAD || (size_t)n != order_size(o)) {
		errno = EPROTO;
		return false;
	}
	return true;
}
