#include "config.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "screen/mailbox.h"

bool
mailbox_open(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0;
}

bool
mailbox_put(int to, const struct letter *letter, int fd)
{
	return fd_send(to, letter, sizeof *letter, &fd, 1) == (ssize_t)sizeof *letter;
}

bool
mailbox_take(int from, struct letter *letter, int *fd)
{
	size_t count = 1;
	ssize_t n = fd_recv(from, letter, sizeof *letter, fd, &count);

	if (count == 1 && n == (ssize_t)sizeof *letter)
		return true;
	if (count == 1)
		close(*fd);
	return false;
}
