/*
 * talk: one SMTP conversation, as scripted on the command line.
 *
 *	talk [-q] [-s SOURCE] [-w LIMIT-MS] ADDRESS:PORT|/SOCKET STEP...
 *
 * Steps:	220		read one reply, all its lines; the code must match ('.' is any digit)
 *		220-		read one line that begins so
 *		has TEXT	the last reply holds TEXT
 *		> TEXT		send TEXT and CRLF
 *		! TEXT		send TEXT as it is; \r \n \t \0 \\ as in C
 *		sleep SECONDS
 *		tls		start TLS here (no certificate is verified)
 *		tls slowly	the same, and from here on every byte is sent by itself, a few milliseconds apart
 *		eof		the server closes; what it says before is shown
 *		close		close
 * Prints what both sides said with the seconds since the connect. Exit 0 if every step went as
 * written, 1 if one did not (it is named), 2 usage. LIMIT-MS (10000) is for each step.
 */
#include "config.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_OPENSSL
#include <openssl/ssl.h>
#endif

#define REPLY_MAX 8192

struct talk {
	int sock, limit_ms;
	bool quiet, ended;
	double started_s;
	char in[REPLY_MAX], reply[REPLY_MAX];
	size_t in_len, reply_len;
#ifdef HAVE_OPENSSL
	SSL *ssl;
#endif
};

static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
show(const struct talk *t, char side, const char *text, size_t len)
{
	if (t->quiet)
		return;
	printf("%7.3f %c: ", now_s() - t->started_s, side);
	for (size_t i = 0; i < len; i++)
		putchar(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	putchar('\n');
	(void)fflush(stdout);
}

static bool
wait_readable(const struct talk *t)
{
	struct pollfd p = { .fd = t->sock, .events = POLLIN };

#ifdef HAVE_OPENSSL
	if (t->ssl != NULL && SSL_pending(t->ssl) > 0)
		return true;
#endif
	return poll(&p, 1, t->limit_ms) == 1;
}

/* More bytes into t->in; false at the end or when the time is over. */
static bool
fill(struct talk *t)
{
	ssize_t got;

	if (t->ended || t->in_len == sizeof(t->in) || !wait_readable(t))
		return false;
#ifdef HAVE_OPENSSL
	if (t->ssl != NULL)
		got = SSL_read(t->ssl, t->in + t->in_len, (int)(sizeof(t->in) - t->in_len));
	else
#endif
		got = read(t->sock, t->in + t->in_len, sizeof(t->in) - t->in_len);
	if (got <= 0)
		t->ended = true;
	else
		t->in_len += (size_t)got;
	return got > 0;
}

/* The next line, appended to t->reply. */
static bool
read_line(struct talk *t, char line[static 5])
{
	char *end;
	size_t len;

	while ((end = memchr(t->in, '\n', t->in_len)) == NULL)
		if (!fill(t))
			return false;
	len = (size_t)(end + 1 - t->in);
	show(t, 'S', t->in, len > 1 && end[-1] == '\r' ? len - 2 : len - 1);
	memset(line, 0, 5);
	memcpy(line, t->in, len < 4 ? len : 4);
	if (t->reply_len + len < sizeof(t->reply)) {
		memcpy(t->reply + t->reply_len, t->in, len);
		t->reply_len += len;
		t->reply[t->reply_len] = '\0';
	}
	t->in_len -= len;
	memmove(t->in, end + 1, t->in_len);
	return true;
}

static bool
code_matches(const char *want, const char *line)
{
	for (int i = 0; i < 3; i++)
		if (want[i] != '.' && want[i] != line[i])
			return false;
	return true;
}

static bool
step_reply(struct talk *t, const char *want)
{
	bool one_line = want[3] == '-';
	char line[5];

	t->reply_len = 0;
	do {
		if (!read_line(t, line))
			return false;
	} while (line[3] == '-' && !one_line);
	return code_matches(want, line) && (!one_line || line[3] == '-');
}

static bool
send_all(struct talk *t, const char *bytes, size_t len)
{
#ifdef HAVE_OPENSSL
	if (t->ssl != NULL)
		return SSL_write(t->ssl, bytes, (int)len) == (int)len;
#endif
	return send(t->sock, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool
step_line(struct talk *t, const char *text)
{
	char line[REPLY_MAX];
	int len = snprintf(line, sizeof(line), "%s\r\n", text);

	show(t, 'C', text, strlen(text));
	return len > 0 && (size_t)len < sizeof(line) && send_all(t, line, (size_t)len);
}

static bool
step_raw(struct talk *t, const char *text)
{
	static const char from[] = "rnt0\\", to[] = "\r\n\t\0\\";
	char bytes[REPLY_MAX];
	size_t len = 0;

	show(t, 'C', text, strlen(text));
	for (; *text != '\0' && len < sizeof(bytes); text++) {
		const char *at = *text == '\\' && text[1] != '\0' ? strchr(from, text[1]) : NULL;

		bytes[len++] = at != NULL ? to[at - from] : *text;
		text += at != NULL;
	}
	return send_all(t, bytes, len);
}

static bool
step_has(struct talk *t, const char *text)
{
	return strstr(t->reply, text) != NULL;
}

static bool
step_sleep(struct talk *t, const char *text)
{
	double span_s = strtod(text, NULL);
	struct timespec span = { .tv_sec = (time_t)span_s };

	(void)t;
	span.tv_nsec = (long)((span_s - (double)span.tv_sec) * 1e9);
	return nanosleep(&span, NULL) == 0;
}

#ifdef HAVE_OPENSSL
static int
drip_write(BIO *bio, const char *bytes, int len)
{
	struct timespec pause = { .tv_nsec = 3000000 };

	for (int i = 0; i < len; i++)
		if (BIO_write(BIO_next(bio), bytes + i, 1) != 1 || nanosleep(&pause, NULL) != 0)
			return -1;
	return len;
}

static int
drip_read(BIO *bio, char *bytes, int size)
{
	return BIO_read(BIO_next(bio), bytes, size);
}

static long
drip_ctrl(BIO *bio, int command, long number, void *arg)
{
	return BIO_ctrl(BIO_next(bio), command, number, arg);
}

static int
drip_new(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* Over the socket for as long as the program lives. */
static void
drip(struct talk *t)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_FILTER, "drip");

	BIO_meth_set_write(method, drip_write);
	BIO_meth_set_read(method, drip_read);
	BIO_meth_set_ctrl(method, drip_ctrl);
	BIO_meth_set_create(method, drip_new);
	(void)setsockopt(t->sock, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	SSL_set0_wbio(t->ssl, BIO_push(BIO_new(method), BIO_new_socket(t->sock, BIO_NOCLOSE)));
}
#endif

static bool
step_tls(struct talk *t, const char *text)
{
#ifdef HAVE_OPENSSL
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct timeval limit = { .tv_sec = t->limit_ms / 1000,
		.tv_usec = t->limit_ms % 1000 * 1000 };

	(void)setsockopt(t->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	t->ssl = context != NULL ? SSL_new(context) : NULL;
	SSL_CTX_free(context);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, t->sock) != 1)
		return false;
	if (strcmp(text, " slowly") == 0)
		drip(t);
	if (SSL_connect(t->ssl) != 1)
		return false;
	show(t, '-', SSL_get_version(t->ssl), strlen(SSL_get_version(t->ssl)));
	return true;
#else
	(void)text;
	show(t, '-', "built without TLS", 17);
	return false;
#endif
}

static bool
step_eof(struct talk *t, const char *text)
{
	char line[5];

	(void)text;
	while (read_line(t, line))
		;
	show(t, '-', t->ended ? "closed" : "still open", t->ended ? 6 : 10);
	return t->ended;
}

static bool
step_close(struct talk *t, const char *text)
{
	(void)text;
	(void)shutdown(t->sock, SHUT_RDWR);
	t->ended = true;
	return true;
}

static const struct step {
	const char *word;
	bool (*fn)(struct talk *, const char *rest);
} steps[] = {
	{ "> ", step_line },
	{ "! ", step_raw },
	{ "has ", step_has },
	{ "sleep ", step_sleep },
	{ "tls", step_tls },
	{ "eof", step_eof },
	{ "close", step_close },
	{ "", step_reply },
};

static bool
run_step(struct talk *t, const char *text)
{
	const struct step *step = steps;

	while (strncmp(text, step->word, strlen(step->word)) != 0)
		step++;
	if (step->fn == step_reply && strlen(text) < 3)
		return false;
	return step->fn(t, text + strlen(step->word));
}

static bool
parse_path(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;

	if (strlen(text) >= sizeof un->sun_path)
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, text, strlen(text) + 1);
	*len = sizeof *un;
	return true;
}

static bool
parse_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	char host[64] = "";
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';

	memset(out, 0, sizeof(*out));
	if (text[0] == '/')
		return parse_path(text, out, len);
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text + bracket, (size_t)(colon - text) - 2 * (size_t)bracket);
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
		*len = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	*len = sizeof(*v6);
	return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

static int
open_connection(const char *source, const char *to)
{
	struct sockaddr_storage address;
	socklen_t len;
	char text[80];
	int sock;

	if (!parse_address(to, &address, &len))
		return -1;
	sock = socket(address.ss_family, SOCK_STREAM, 0);
	if (source != NULL) {
		struct sockaddr_storage own;
		socklen_t own_len;

		snprintf(
		    text, sizeof(text), address.ss_family == AF_INET ? "%s:0" : "[%s]:0", source);
		if (!parse_address(text, &own, &own_len) ||
		    bind(sock, (struct sockaddr *)&own, own_len) != 0)
			return -1;
	}
	return connect(sock, (struct sockaddr *)&address, len) == 0 ? sock : -1;
}

int
main(int argc, char **argv)
{
	static struct talk t = { .limit_ms = 10000 };
	const char *source = NULL;
	int option;

	while ((option = getopt(argc, argv, "+qs:w:")) != -1) {
		if (option == 'q')
			t.quiet = true;
		else if (option == 's')
			source = optarg;
		else if (option == 'w')
			t.limit_ms = (int)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind >= argc)
		return 2;
	t.started_s = now_s();
	t.sock = open_connection(source, argv[optind]);
	if (t.sock == -1) {
		if (!t.quiet)
			printf("no connection to %s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	for (int i = optind + 1; i < argc; i++)
		if (!run_step(&t, argv[i])) {
			if (!t.quiet)
				printf("%7.3f unexpected at step %d: %s\n", now_s() - t.started_s,
				    i - optind, argv[i]);
			return 1;
		}
	return 0;
}
