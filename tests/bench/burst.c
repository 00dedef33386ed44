/*
 * burst: many SMTP clients, each from an address of its own in 127.0.0.0/8.
 *
 *	burst [-n CLIENTS] [-c AT-ONCE] [-r PER-SECOND] [-b FIRST] [-w LIMIT-S] [-h] ADDRESS PORT
 *
 * FIRST is the offset of the first source address into 127/8. A client waits for the end of the
 * greeting, says QUIT and waits for the close. With -h it only holds: when every client has its first
 * greeting line, "held N" is printed and the connections stay until the program is killed.
 * Prints: greeted N refused N failed N seconds S median_ms M p99_ms P (time from connect to the last
 * greeting line).
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/crowd.h"

#define EVENTS 512
#define FIRST_DEFAULT 0x010000 /* 127.1.0.0 */

struct client {
	int sock;
	bool teased, quit;
	unsigned len;
	double began_s;
	char line[256];
};

static struct {
	struct sockaddr_in to;
	unsigned clients, at_once, first;
	double rate, limit_s;
	bool hold;
	int poller;
	unsigned started, open, teased, greeted, refused, failed;
	struct client *all;
	double *waits_s;
} b = { .clients = 1000, .at_once = 1000, .first = FIRST_DEFAULT, .limit_s = 60 };

static int
by_value(const void *a, const void *c)
{
	double x = *(const double *)a, y = *(const double *)c;

	return (x > y) - (x < y);
}

static void
finish(struct client *c, bool failed)
{
	b.failed += failed;
	b.open--;
	close(c->sock);
	c->sock = -1;
}

static void
start(struct client *c, unsigned number)
{
	c->began_s = crowd_now_s();
	b.open++;
	c->sock = crowd_connect(&b.to, b.first + number, b.poller, c);
	if (c->sock < 0)
		finish(c, true);
}

static void
line_came(struct client *c, const char *line)
{
	if (!c->teased) {
		c->teased = true;
		b.teased++;
	}
	if (line[3] == '-' || c->quit || b.hold)
		return;
	if (line[0] == '2')
		b.waits_s[b.greeted++] = crowd_now_s() - c->began_s;
	else
		b.refused++;
	c->quit = true;
	if (send(c->sock, "QUIT\r\n", 6, MSG_NOSIGNAL) != 6)
		finish(c, true);
}

static void
input(struct client *c)
{
	ssize_t got = recv(c->sock, c->line + c->len, sizeof c->line - c->len, 0);
	char *end;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		finish(c, !c->quit);
		return;
	}
	c->len += (unsigned)got;
	while (c->sock != -1 && (end = memchr(c->line, '\n', c->len)) != NULL) {
		line_came(c, c->line);
		c->len -= (unsigned)(end + 1 - c->line);
		memmove(c->line, end + 1, c->len);
	}
	if (c->len == sizeof c->line)
		c->len = 0;
}

static void
run(void)
{
	struct epoll_event events[EVENTS];
	double began_s = crowd_now_s();
	bool told = false;

	while (b.started < b.clients || b.open > 0) {
		double since_s = crowd_now_s() - began_s;
		if (since_s > b.limit_s)
			break;
		for (int i = 0; i < 64 && b.started < b.clients && b.open < b.at_once &&
				(b.rate == 0 || b.started < since_s * b.rate);
		     i++) {
			start(&b.all[b.started], b.started);
			b.started++;
		}
		int count = epoll_wait(b.poller, events, EVENTS,
		    b.started < b.clients && b.open < b.at_once ? (b.rate > 0 ? 1 : 0) : 50);
		for (int i = 0; i < count; i++)
			input(events[i].data.ptr);
		if (b.hold && !told && b.teased + b.failed >= b.clients) {
			printf("held %u\n", b.open);
			(void)fflush(stdout);
			told = true;
		}
	}
	qsort(b.waits_s, b.greeted, sizeof *b.waits_s, by_value);
	printf("greeted %u refused %u failed %u seconds %.2f median_ms %.1f p99_ms %.1f\n",
	    b.greeted, b.refused, b.failed + b.open, crowd_now_s() - began_s,
	    b.greeted > 0 ? b.waits_s[b.greeted / 2] * 1e3 : 0,
	    b.greeted > 0 ? b.waits_s[b.greeted * 99 / 100] * 1e3 : 0);
}

int
main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "n:c:r:b:w:h")) != -1)
		switch (option) {
		case 'n':
			b.clients = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			b.at_once = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			b.rate = strtod(optarg, NULL);
			break;
		case 'b':
			b.first = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'w':
			b.limit_s = strtod(optarg, NULL);
			break;
		case 'h':
			b.hold = true;
			break;
		default:
			return 2;
		}
	if (argc - optind != 2 || inet_pton(AF_INET, argv[optind], &b.to.sin_addr) != 1)
		return 2;
	b.to.sin_family = AF_INET;
	b.to.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	crowd_descriptors();
	b.poller = epoll_create1(0);
	b.all = calloc(b.clients, sizeof *b.all);
	b.waits_s = calloc(b.clients, sizeof *b.waits_s);
	if (b.all == NULL || b.waits_s == NULL)
		return 1;
	run();
	return b.failed > 0;
}
