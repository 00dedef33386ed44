#include "config.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tlsproxy/inner.h"

/* Of each end of the plaintext stream: what a peer that does not read can pile up in the kernel. */
#define PLAIN_BUFFER (64 * 1024)
/* Clients that may wait for a process: some 2700, as the kernel counts. By default it would be 278. */
#define CHANNEL_BUFFER (1024 * 1024)

bool
tlsproxy_channel(int pair[2])
{
	const int size = CHANNEL_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	/* Who may not goes as far as the system lets anybody. */
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
		(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return true;
}

static int
failed(const int pair[2])
{
	int error = errno;

	close(pair[0]);
	close(pair[1]);
	errno = error;
	return -1;
}

int
tlsproxy_start(int channel, const struct tlsproxy_request *request, int client_fd)
{
	uint8_t message[TLS_REQUEST_SIZE];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(
		    pair[i], SOL_SOCKET, SO_SNDBUF, &(int){ PLAIN_BUFFER }, sizeof(int));
	tls_request_format(request, message);
	if (fd_send(channel, message, sizeof message, (int[]){ client_fd, pair[1] }, 2) < 0)
		return failed(pair);
	close(pair[1]);
	return pair[0];
}
