/*
 * backend SOCKET: the lightest `pass` service: takes the descriptor and the attributes, greets, answers
 * every line with 250 and QUIT with 221. One process, for both sides of a comparison.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define EVENTS 256

struct peer {
	int sock, client; /* client: what was received and is not yet greeted; -1 */
	bool is_client;
};

static int poller;

static void
add(int sock, int client, bool is_client)
{
	struct peer *p = calloc(1, sizeof *p);
	struct epoll_event watch = { .events = EPOLLIN, .data.ptr = p };

	if (p == NULL)
		abort();
	*p = (struct peer){ .sock = sock, .client = client, .is_client = is_client };
	epoll_ctl(poller, EPOLL_CTL_ADD, sock, &watch);
}

static void
drop(struct peer *p)
{
	epoll_ctl(poller, EPOLL_CTL_DEL, p->sock, NULL);
	close(p->sock);
	if (p->client != -1)
		close(p->client);
	free(p);
}

static void
say(int sock, const char *text)
{
	(void)!send(sock, text, strlen(text), MSG_NOSIGNAL);
}

static void
receive(struct peer *p)
{
	char bytes[4096];
	size_t count = 1;
	ssize_t got;

	if (p->client == -1) {
		got = fd_recv(p->sock, bytes, 1, &p->client, &count);
		if (got == 1 && count == 1)
			return; /* the attributes follow */
		p->client = -1;
		if (got < 0 && errno == EAGAIN)
			return;
	} else if ((got = recv(p->sock, bytes, sizeof bytes, 0)) > 1) {
		(void)fd_nonblock(p->client, true);
		say(p->client, "220 backend ESMTP\r\n");
		add(p->client, -1, true);
		p->client = -1;
	} else if (got < 0 && errno == EAGAIN) {
		return;
	}
	drop(p);
}

static void
converse(struct peer *p)
{
	char bytes[4096];
	ssize_t got = recv(p->sock, bytes, sizeof bytes, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 4 && strncasecmp(bytes, "QUIT", 4) != 0) {
		say(p->sock, "250 Ok\r\n");
		return;
	}
	if (got > 4)
		say(p->sock, "221 Bye\r\n");
	drop(p);
}

static void
take(int door)
{
	int sock;

	while ((sock = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
		add(sock, -1, false);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un where = { .sun_family = AF_UNIX };
	struct epoll_event events[EVENTS];
	struct rlimit limit;
	int door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof where.sun_path)
		return 2;
	memcpy(where.sun_path, argv[1], strlen(argv[1]));
	(void)unlink(argv[1]);
	if (bind(door, (struct sockaddr *)&where, sizeof where) != 0 || listen(door, 4096) != 0) {
		perror(argv[1]);
		return 1;
	}
	(void)chmod(argv[1], 0666);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	poller = epoll_create1(0);
	add(door, -1, false);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			struct peer *p = events[i].data.ptr;
			if (p->sock == door)
				take(door);
			else if (p->is_client)
				converse(p);
			else
				receive(p);
		}
	}
}
