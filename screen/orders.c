#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "screen/orders.h"

size_t
order_size(const struct order *o)
{
	if (o->kind < ORDER_READY || o->kind > ORDER_SPAWN)
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
order_send_fd(int channel, const struct order *o, int fd)
{
	return fd_send(channel, o, order_size(o), &fd, 1) == (ssize_t)order_size(o);
}

static bool
check(const struct order *o, ssize_t n)
{
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

bool
order_recv(int channel, struct order *o)
{
	return check(o, recv(channel, o, sizeof *o, MSG_DONTWAIT));
}

bool
order_recv_fd(int channel, struct order *o, int *fd)
{
	size_t count = 1;

	*fd = -1;
	ssize_t n = fd_recv(channel, o, sizeof *o, fd, &count);
	if (count == 0)
		*fd = -1;
	if (check(o, n))
		return true;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return false;
}
