/*
 * relay_load: mail through a relay, or straight.
 *
 *	relay_load serve ADDRESS PORT		the lightest SMTP server: takes any mail and forgets
 *it relay_load send ADDRESS PORT MB FROM	one message; prints seconds from 354 to the last
 *reply relay_load hold ADDRESS PORT COUNT	so many clients, each of its own address, up to
 *RCPT; prints "held COUNT", waits for SIGTERM, says QUIT with all and prints "ended COUNT"
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/crowd.h"

#define CHUNK (256 * 1024)
#define EVENTS 256
#define FIRST_ADDRESS 0x7f500001 /* 127.80.0.1 */

static char chunk[CHUNK];

static _Noreturn void
die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in
place(const char *address, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		die(address);
	return in;
}

/* The server. */

struct peer {
	int sock;
	bool in_data;
	char tail[5]; /* the last bytes of the message so far */
};

static void
say(int sock, const char *text)
{
	(void)!send(sock, text, strlen(text), MSG_NOSIGNAL);
}

static bool
data_ends(struct peer *p, const char *bytes, size_t len)
{
	size_t n = len < sizeof p->tail ? len : sizeof p->tail;

	memmove(p->tail, p->tail + n, sizeof p->tail - n);
	memcpy(p->tail + sizeof p->tail - n, bytes + len - n, n);
	return memcmp(p->tail, "\r\n.\r\n", sizeof p->tail) == 0;
}

static bool
obey(struct peer *p, const char *bytes, size_t len)
{
	if (p->in_data) {
		if (data_ends(p, bytes, len)) {
			p->in_data = false;
			say(p->sock, "250 2.0.0 Ok\r\n");
		}
	} else if (strncasecmp(bytes, "DATA", 4) == 0) {
		p->in_data = true;
		say(p->sock, "354 go on\r\n");
	} else if (strncasecmp(bytes, "QUIT", 4) == 0) {
		say(p->sock, "221 Bye\r\n");
		return false;
	} else {
		say(p->sock, "250 Ok\r\n");
	}
	return true;
}

static void
add(int poller, int sock)
{
	struct peer *p = calloc(1, sizeof *p);
	struct epoll_event watch = { .events = EPOLLIN, .data.ptr = p };

	if (p == NULL)
		abort();
	p->sock = sock;
	epoll_ctl(poller, EPOLL_CTL_ADD, sock, &watch);
}

static void
take(int poller, int door)
{
	int sock = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (sock < 0)
		return;
	say(sock, "220 backend ESMTP\r\n");
	add(poller, sock);
}

static int
serve(const char *address, const char *port)
{
	static const int on = 1;
	const struct sockaddr_in at = place(address, port);
	int door = socket(AF_INET, SOCK_STREAM, 0), poller = epoll_create1(0);
	struct epoll_event events[EVENTS];

	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(door, (const struct sockaddr *)&at, sizeof at) != 0 || listen(door, 4096) != 0)
		die("listen");
	add(poller, door);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			struct peer *p = events[i].data.ptr;
			if (p->sock == door) {
				take(poller, door);
				continue;
			}
			ssize_t n = recv(p->sock, chunk, sizeof chunk, 0);
			if (n > 0 ? !obey(p, chunk, (size_t)n) : n == 0 || errno != EAGAIN) {
				close(p->sock);
				free(p);
			}
		}
	}
}

/* The clients. */

static int
dial(const struct sockaddr_in *to, struct in_addr from)
{
	const struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr = from };
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	if (sock < 0 || bind(sock, (const struct sockaddr *)&own, sizeof own) != 0 ||
	    connect(sock, (const struct sockaddr *)to, sizeof *to) != 0)
		die("connect");
	return sock;
}

/* Reads to the last line of a reply, which is the last thing said. */
static void
hear(int sock, const char *code)
{
	char text[2048];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(sock, text + len, sizeof text - 1 - len, 0);
		if (n <= 0)
			die(code);
		text[len += (size_t)n] = '\0';
		const char *last = text;
		for (const char *p = text; (p = strchr(p, '\n')) != NULL && p[1] != '\0';)
			last = ++p;
		if (text[len - 1] != '\n' || last[3] == '-')
			continue;
		if (strncmp(last, code, 3) == 0)
			return;
		fprintf(stderr, "instead of %s: %s", code, last);
		exit(1);
	}
}

static const struct {
	const char *say, *hear;
} steps[] = { { "", "220" }, { "EHLO client.example\r\n", "250" },
	{ "MAIL FROM:<a@client.example>\r\n", "250" }, { "RCPT TO:<b@example.org>\r\n", "250" } };
#define STEPS (sizeof steps / sizeof steps[0])

static void
send_all(int sock, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(sock, bytes, len, MSG_NOSIGNAL);
		if (n <= 0)
			die("send");
		bytes += n;
		len -= (size_t)n;
	}
}

static int
send_one(const struct sockaddr_in *to, size_t bytes, const char *from)
{
	int sock = dial(to, place(from, "0").sin_addr);

	for (size_t i = 0; i < STEPS; i++) {
		say(sock, steps[i].say);
		hear(sock, steps[i].hear);
	}
	say(sock, "DATA\r\n");
	hear(sock, "354");
	memset(chunk, 'x', sizeof chunk);
	for (size_t at = 77; at < sizeof chunk; at += 78)
		memcpy(chunk + at - 1, "\r\n", 2);
	double began = crowd_now_s();
	for (size_t left = bytes; left > 0;) {
		size_t n = left < sizeof chunk ? left : sizeof chunk;
		send_all(sock, chunk, n);
		left -= n;
	}
	say(sock, "\r\n.\r\n");
	hear(sock, "250");
	printf("%.4f\n", crowd_now_s() - began);
	return 0;
}

static int
hold(const struct sockaddr_in *to, unsigned count)
{
	int *socks = calloc(count, sizeof *socks), signo;
	sigset_t term;

	if (socks == NULL)
		die("hold");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (unsigned i = 0; i < count; i++)
		socks[i] = dial(to, (struct in_addr){ htonl(FIRST_ADDRESS + i) });
	for (size_t step = 0; step < STEPS; step++) {
		for (unsigned i = 0; i < count; i++)
			say(socks[i], steps[step].say);
		for (unsigned i = 0; i < count; i++)
			hear(socks[i], steps[step].hear);
	}
	printf("held %u\n", count);
	(void)fflush(stdout);
	sigwait(&term, &signo);
	for (unsigned i = 0; i < count; i++)
		say(socks[i], "QUIT\r\n");
	for (unsigned i = 0; i < count; i++)
		hear(socks[i], "221");
	printf("ended %u\n", count);
	return 0;
}

int
main(int argc, char **argv)
{
	crowd_descriptors();
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], argv[3]);
	if (argc < 5)
		return 2;
	const struct sockaddr_in to = place(argv[2], argv[3]);
	unsigned long n = strtoul(argv[4], NULL, 10);
	if (argc == 6 && strcmp(argv[1], "send") == 0)
		return send_one(&to, n * 1000000, argv[5]);
	return strcmp(argv[1], "hold") == 0 ? hold(&to, (unsigned)n) : 2;
}
