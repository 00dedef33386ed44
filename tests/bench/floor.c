/*
 * floor ADDRESS PORT SOCKET: the least that a hand-off can cost. Passes every client to the `pass`
 * service at SOCKET at once: one accept, one connect, one descriptor, one attribute list, two closes.
 * Decides nothing, logs nothing. Also serves tests as the smallest sender of that protocol.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define EVENTS 256

static struct sockaddr_un service = { .sun_family = AF_UNIX };
static int poller;

static int
attributes(
    char *out, size_t size, const struct sockaddr_in *client, const struct sockaddr_in *server)
{
	char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &client->sin_addr, a, sizeof a);
	inet_ntop(AF_INET, &server->sin_addr, b, sizeof b);
	return snprintf(out, size,
		   "client_address%c%s%cclient_port%c%d%cserver_address%c%s%cserver_port%c%d%c", 0,
		   a, 0, 0, ntohs(client->sin_port), 0, 0, b, 0, 0, ntohs(server->sin_port), 0) +
	       1;
}

static void
pass(int client, const struct sockaddr_in *peer, const struct sockaddr_in *own)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event watch = { .events = EPOLLIN, .data.fd = sock };
	char list[256];
	int len = attributes(list, sizeof list, peer, own);

	if (connect(sock, (struct sockaddr *)&service, sizeof service) == 0 &&
	    fd_send(sock, "", 1, &client, 1) == 1 &&
	    send(sock, list, (size_t)len, MSG_NOSIGNAL) == len)
		epoll_ctl(poller, EPOLL_CTL_ADD, sock,
		    &watch); /* its end is the sign that all is taken */
	else
		close(sock);
	close(client);
}

static void
take(int door, const struct sockaddr_in *own)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;
	int client;

	for (int i = 0; i < 64; i++) {
		client = accept4(door, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
		if (client == -1)
			return;
		pass(client, &peer, own);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct epoll_event events[EVENTS], watch = { .events = EPOLLIN };
	struct rlimit limit;
	int one = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (argc != 4 || inet_pton(AF_INET, argv[1], &own.sin_addr) != 1 ||
	    strlen(argv[3]) >= sizeof service.sun_path)
		return 2;
	own.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	memcpy(service.sun_path, argv[3], strlen(argv[3]));
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(door, (struct sockaddr *)&own, sizeof own) != 0 || listen(door, 4096) != 0) {
		perror("floor");
		return 1;
	}
	poller = epoll_create1(0);
	watch.data.fd = door;
	epoll_ctl(poller, EPOLL_CTL_ADD, door, &watch);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == door)
				take(door, &own);
			else
				close(events[i].data.fd);
		}
	}
}
