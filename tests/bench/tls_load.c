/*
 * tls_load: many SMTP clients that say STARTTLS, each from an address of its own in 127.0.0.0/8.
 *
 *	tls_load [-n CLIENTS] [-c AT-ONCE] [-b FIRST] [-w LIMIT-S] [-p | -2 | -3] [-R] [-h] ADDRESS PORT
 *
 * A client waits for the end of the greeting, says EHLO, STARTTLS, EHLO again and QUIT, and waits for the
 * close. -p: the same without STARTTLS. -2, -3: TLS 1.2 or 1.3 only. -R: one client alone first, whose
 * session all others resume. -h: nobody says QUIT; when all have the reply to the second EHLO, "held N" is
 * printed and the connections stay until the program is killed (AT-ONCE: of those that are not there yet).
 * Prints: done N resumed N failed N seconds S VERSION CIPHER.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/crowd.h"
#include <openssl/ssl.h>

#define EVENTS 512

/* What a client waits for. */
enum step { GREETED, HELLO, READY, HANDSHAKE, HELLO_AGAIN, BYE };

struct client {
	int sock;
	enum step step;
	SSL *ssl;
	size_t len;
	char text[2048];
};

static struct {
	struct sockaddr_in to;
	unsigned clients, at_once, first;
	double limit_s;
	bool plain, resume, hold;
	int poller;
	SSL_CTX *ctx;
	SSL_SESSION *saved;
	unsigned started, open, held, done, resumed, failed;
	char version[16], cipher[64];
	struct client *all;
} b = { .clients = 1000, .at_once = 64, .first = 0x010000, .limit_s = 60 };

static void
finish(struct client *c)
{
	if (c->step == BYE)
		b.done++;
	else
		b.failed++;
	b.open--;
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->sock);
	c->sock = -1;
}

static void
start(struct client *c, unsigned number)
{
	int one = 1;

	b.open++;
	c->sock = crowd_connect(&b.to, b.first + number, b.poller, c);
	if (c->sock < 0)
		finish(c);
	else
		setsockopt(c->sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* The messages are small and the socket is empty: they fit. */
static bool
say(struct client *c, const char *line)
{
	int len = (int)strlen(line);

	return c->ssl != NULL ? SSL_write(c->ssl, line, len) == len
			      : send(c->sock, line, (size_t)len, MSG_NOSIGNAL) == len;
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	/* A copy: the library marks the one of a connection as used up. */
	if (b.saved == NULL && b.resume)
		b.saved = SSL_SESSION_dup(session);
	return 0;
}

static bool
begin_tls(struct client *c)
{
	SSL_SESSION *copy = b.saved != NULL ? SSL_SESSION_dup(b.saved) : NULL;

	c->ssl = SSL_new(b.ctx);
	SSL_set_fd(c->ssl, c->sock);
	SSL_set_connect_state(c->ssl);
	if (copy != NULL)
		SSL_set_session(c->ssl, copy);
	SSL_SESSION_free(copy);
	c->step = HANDSHAKE;
	return true;
}

/* A whole reply. False: this client is at its end. */
static bool
reply_came(struct client *c, char code)
{
	if (code != '2')
		return false;
	switch (c->step) {
	case GREETED:
		c->step = HELLO;
		return say(c, "EHLO load.example\r\n");
	case HELLO:
		if (!b.plain) {
			c->step = READY;
			return say(c, "STARTTLS\r\n");
		}
		c->step = HELLO_AGAIN;
		return say(c, "EHLO load.example\r\n");
	case READY:
		return begin_tls(c);
	case HELLO_AGAIN:
		if (b.hold) {
			b.held++;
			return true;
		}
		c->step = BYE;
		return say(c, "QUIT\r\n");
	case HANDSHAKE:
	case BYE:
		break;
	}
	return true;
}

enum outcome { WAIT, GO_ON, OVER };

static enum outcome
handshake(struct client *c)
{
	int result = SSL_connect(c->ssl);

	if (result != 1)
		return SSL_get_error(c->ssl, result) == SSL_ERROR_WANT_READ ? WAIT : OVER;
	b.resumed += SSL_session_reused(c->ssl) == 1;
	snprintf(b.version, sizeof b.version, "%s", SSL_get_version(c->ssl));
	snprintf(b.cipher, sizeof b.cipher, "%s", SSL_get_cipher_name(c->ssl));
	c->step = HELLO_AGAIN;
	return say(c, "EHLO load.example\r\n") ? GO_ON : OVER;
}

static bool
take_lines(struct client *c)
{
	char *end;

	while ((end = memchr(c->text, '\n', c->len)) != NULL) {
		bool last = c->text[3] == ' ';
		char code = c->text[0];
		c->len -= (size_t)(end + 1 - c->text);
		memmove(c->text, end + 1, c->len);
		if (last && !reply_came(c, code))
			return false;
	}
	return c->len < sizeof c->text;
}

static enum outcome
input(struct client *c)
{
	if (c->step == HANDSHAKE)
		return handshake(c);
	size_t room = sizeof c->text - c->len;
	ssize_t got = c->ssl != NULL ? SSL_read(c->ssl, c->text + c->len, (int)room)
				     : recv(c->sock, c->text + c->len, room, 0);
	bool wait = c->ssl != NULL ? SSL_get_error(c->ssl, (int)got) == SSL_ERROR_WANT_READ
				   : got < 0 && errno == EAGAIN;
	if (got <= 0)
		return wait ? WAIT : OVER;
	c->len += (size_t)got;
	return take_lines(c) ? GO_ON : OVER;
}

static void
on_event(struct client *c)
{
	enum outcome outcome;

	while ((outcome = input(c)) == GO_ON)
		;
	if (outcome == OVER)
		finish(c);
}

static void
run(void)
{
	struct epoll_event events[EVENTS];
	double began_s = crowd_now_s();
	bool told = false;

	while ((b.started < b.clients || b.open > 0) && crowd_now_s() - began_s < b.limit_s) {
		unsigned at_once = b.resume && b.done == 0 ? 1 : b.at_once;
		for (int i = 0; i < 64 && b.started < b.clients && b.open - b.held < at_once; i++) {
			start(&b.all[b.started], b.started);
			b.started++;
		}
		int count = epoll_wait(b.poller, events, EVENTS,
		    b.started < b.clients && b.open - b.held < at_once ? 0 : 50);
		for (int i = 0; i < count; i++)
			on_event(events[i].data.ptr);
		if (b.hold && !told && b.held + b.failed >= b.clients) {
			printf("held %u\n", b.held);
			(void)fflush(stdout);
			told = true;
		}
	}
	printf("done %u resumed %u failed %u seconds %.2f %s %s\n", b.done, b.resumed,
	    b.failed + b.open, crowd_now_s() - began_s, b.version, b.cipher);
}

static void
make_context(int version)
{
	b.ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(b.ctx, version);
	SSL_CTX_set_max_proto_version(b.ctx, version);
	SSL_CTX_set_session_cache_mode(b.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_set_mode(b.ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_sess_set_new_cb(b.ctx, keep_session);
}

static int
usage(void)
{
	fputs("usage: tls_load [-n CLIENTS] [-c AT-ONCE] [-b FIRST] [-w LIMIT-S] [-p | -2 | -3] "
	      "[-R] [-h] ADDRESS PORT\n",
	    stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	int option, version = 0;

	(void)signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "n:c:b:w:p23Rh")) != -1)
		switch (option) {
		case 'n':
			b.clients = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			b.at_once = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			b.first = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'w':
			b.limit_s = strtod(optarg, NULL);
			break;
		case 'p':
			b.plain = true;
			break;
		case '2':
			version = TLS1_2_VERSION;
			break;
		case '3':
			version = TLS1_3_VERSION;
			break;
		case 'R':
			b.resume = true;
			break;
		case 'h':
			b.hold = true;
			break;
		default:
			return usage();
		}
	if (argc - optind != 2 || inet_pton(AF_INET, argv[optind], &b.to.sin_addr) != 1)
		return usage();
	b.to.sin_family = AF_INET;
	b.to.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	crowd_descriptors();
	make_context(version);
	b.poller = epoll_create1(0);
	b.all = calloc(b.clients, sizeof *b.all);
	if (b.all == NULL)
		return 1;
	run();
	return b.failed > 0;
}
