#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "screen/backend.h"
#include "screen/orders.h"
#include "screen/worker.h"

#define DOWN_US (10 * INT64_C(1000000)) /* a server that failed is asked again after this */

static const struct {
	const char *word;
	enum backend_kind kind;
} kinds[] = {
	{ "pass:", BACKEND_PASS },
	{ "sink:", BACKEND_SINK },
	{ "spawn:", BACKEND_SPAWN },
	{ "tcp:", BACKEND_TCP },
	{ "proxy1:", BACKEND_PROXY1 },
	{ "proxy2:", BACKEND_PROXY2 },
	{ "xclient:", BACKEND_XCLIENT },
};

static void __attribute__((format(printf, 3, 4)))
complain(const struct rules *rules, struct diag *diag, const char *format, ...)
{
	char text[512];
	struct buf b = BUF(text);
	unsigned line;
	const char *file = rules_origin(rules, P_gatehouse_backend, &line);
	va_list ap;

	va_start(ap, format);
	buf_vprintf(&b, format, ap);
	va_end(ap);
	diag_add(diag, DIAG_ERROR, file, line, "gatehouse_backend: %s", text);
}

static void
add_server(struct backend *b, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss = { 0 };

	memcpy(&ss, sa, len);
	if (b->server_count < BACKEND_SERVERS_MAX &&
	    endpoint_from_sockaddr(&b->servers[b->server_count], &ss))
		b->server_count++;
}

/* "ADDR:PORT", "[ADDR6]:PORT" or "NAME:PORT"; a name stands for all its addresses. */
static void
load_server(struct backend *b, struct span text, const struct rules *rules, struct diag *diag)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV };
	struct addrinfo *found;
	struct endpoint e;

	if (endpoint_parse(&e, text.p, text.len, -1)) {
		if (b->server_count < BACKEND_SERVERS_MAX)
			b->servers[b->server_count++] = e;
		return;
	}
	char *name = mem_strndup(text.p, text.len), *colon = strrchr(name, ':');
	if (colon == NULL || colon == name || colon[1] == '\0') {
		complain(rules, diag, "\"%s\": write HOST:PORT, an IPv6 address in []", name);
		free(name);
		return;
	}
	*colon = '\0';
	b->named = true;
	int error = getaddrinfo(name, colon + 1, &hints, &found);
	if (error != 0) {
		complain(rules, diag, "%s: %s", name, gai_strerror(error));
	} else {
		for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
			add_server(b, a->ai_addr, a->ai_addrlen);
		freeaddrinfo(found);
	}
	free(name);
}

static void
load_socket(struct backend *b, const char *path, const struct rules *rules, struct diag *diag)
{
	const size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1;

	if (b->kind == BACKEND_SINK) {
		b->dir = mem_strdup(path);
		b->path = mem_printf("%s/.gatehouse-sink", path);
		b->name = mem_strdup("gatehouse-sink");
	} else {
		b->path = path[0] == '/'
			      ? mem_strdup(path)
			      : mem_printf("%s/%s", rules_text(rules, P_queue_directory), path);
		b->name = mem_strdup(path);
	}
	if (strlen(b->path) > most)
		complain(rules, diag, "%s: a socket's path has at most %zu bytes", b->path, most);
}

void
backend_load(struct backend *b, const struct rules *rules, struct diag *diag)
{
	const char *text = rules_text(rules, P_gatehouse_backend), *rest = NULL;

	memset(b, 0, sizeof *b);
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rest == NULL; i++)
		if (strncmp(text, kinds[i].word, strlen(kinds[i].word)) == 0) {
			b->kind = kinds[i].kind;
			rest = text + strlen(kinds[i].word);
		}
	if (rest == NULL || *rest == '\0') {
		complain(rules, diag,
		    "\"%s\": write pass:PATH, spawn:COMMAND, tcp:, proxy1:, proxy2: or "
		    "xclient:HOST:PORT, "
		    "or sink:DIR",
		    text);
		return;
	}
	if (b->kind == BACKEND_PASS || b->kind == BACKEND_SINK) {
		load_socket(b, rest, rules, diag);
		return;
	}
	if (b->kind == BACKEND_SPAWN) {
		struct span words = span_of(rest), program = span_token(&words, " \t");
		b->name = mem_strndup(program.p, program.len);
		b->command = mem_strdup(rest);
		return;
	}
	b->name = mem_strdup(rest);
	struct span list = span_of(rest), part;
	while ((part = span_token(&list, ", \t\r\n")).len > 0)
		load_server(b, part, rules, diag);
}

static bool
has_server(const struct backend *b, const struct endpoint *server)
{
	for (size_t i = 0; i < b->server_count; i++)
		if (b->servers[i].port == server->port &&
		    addr_equal(&b->servers[i].addr, &server->addr))
			return true;
	return false;
}

bool
backend_same_servers(const struct backend *a, const struct backend *b)
{
	for (size_t i = 0; i < a->server_count; i++)
		if (!has_server(b, &a->servers[i]))
			return false;
	for (size_t i = 0; i < b->server_count; i++)
		if (!has_server(a, &b->servers[i]))
			return false;
	return true;
}

void
backend_fini(struct backend *b)
{
	free(b->name);
	free(b->path);
	free(b->dir);
	free(b->command);
}

bool
backend_takes_sockets(const struct backend *b)
{
	return b->kind == BACKEND_PASS || b->kind == BACKEND_SINK || b->kind == BACKEND_SPAWN;
}

unsigned
backend_descriptors(const struct backend *b, const struct rules *rules)
{
	bool deep = rules_flag(rules, P_postscreen_pipelining_enable) ||
		    rules_flag(rules, P_postscreen_non_smtp_command_enable) ||
		    rules_flag(rules, P_postscreen_bare_newline_enable);
	bool retry = strcmp(rules_text(rules, P_gatehouse_after_deep_tests), "retry") == 0;

	return !backend_takes_sockets(b) || (deep && !retry) ? 4 : 2;
}

static int
close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

int
backend_dial(const struct backend *b)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	memcpy(un.sun_path, b->path, strlen(b->path) + 1); /* length checked at load */
	if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		return fd;
	return close_keeping_errno(fd); /* EAGAIN: its backlog is full */
}

static void
put_attribute(struct buf *b, const char *name, const char *value)
{
	buf_put(b, name, strlen(name) + 1);
	buf_put(b, value, strlen(value) + 1);
}

static void
put_port(struct buf *b, const char *name, uint16_t port)
{
	char text[8];
	struct buf t = BUF(text);

	buf_printf(&t, "%u", port);
	put_attribute(b, name, text);
}

/* One byte with the descriptor, then the list of attributes (Postfix `pass` services). */
bool
backend_give(int to, const struct backend_client *c, int fd)
{
	char text[256], addr[ADDR_TEXT_SIZE];
	struct buf list = BUF(text);

	put_attribute(&list, "client_address", addr_format(&c->peer.addr, addr));
	put_port(&list, "client_port", c->peer.port);
	put_attribute(&list, "server_address", addr_format(&c->local.addr, addr));
	put_port(&list, "server_port", c->local.port);
	buf_putc(&list, '\0');
	return fd_hand_over(to, fd, text, list.len);
}

bool
backend_spawn(const struct worker *w, const struct backend_client *c, int fd)
{
	const struct order order = {
		.kind = ORDER_SPAWN, .last = c->teased, .peer = c->peer, .local = c->local
	};

	return order_send_fd(w->orders_fd, &order, fd);
}

static bool
give(const struct worker *w, const struct backend_client *c, int fd)
{
	if (w->snap->backend.kind == BACKEND_SPAWN)
		return backend_spawn(w, c, fd);
	int to = backend_dial(&w->snap->backend);
	if (to < 0)
		return false;
	bool given = backend_give(to, c, fd);
	close_keeping_errno(to); /* what is in flight arrives */
	return given;
}

/* One end for the backend, as if it were the client's socket; the other is ours. */
static int
open_by_giving(const struct worker *w, const struct backend_client *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	bool given = give(w, c, pair[1]);
	close_keeping_errno(pair[1]);
	if (!given)
		return close_keeping_errno(pair[0]);
	fd_nonblock(pair[0], true);
	return pair[0];
}

/* The healthy server with the fewest connections; if all are down, the one that has been longest. */
static uint8_t
choose_server(const struct worker *w)
{
	int64_t now = loop_now_us(w->loop);
	uint8_t best = 0;

	for (uint8_t i = 1; i < w->snap->backend.server_count; i++) {
		const struct backend_server *a = &w->servers[best], *b = &w->servers[i];
		bool a_up = a->down_until_us <= now, b_up = b->down_until_us <= now;
		if (a_up != b_up ? b_up
		    : b_up	 ? b->links < a->links
				 : b->down_until_us < a->down_until_us)
			best = i;
	}
	return best;
}

static bool
open_by_connecting(struct worker *w, struct backend_link *link, uint8_t server)
{
	static const int on = 1;
	struct sockaddr_storage ss;

	link->server = server;
	if (w->servers[link->server].down_until_us != 0)
		backend_failed(w, link); /* on trial: the others keep away until it greets */
	socklen_t len = endpoint_to_sockaddr(&w->snap->backend.servers[link->server], &ss);
	link->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return false;
	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	link->connecting = connect(link->fd, (struct sockaddr *)&ss, len) != 0;
	if (link->connecting && errno != EINPROGRESS) {
		backend_failed(w, link);
		link->fd = close_keeping_errno(link->fd);
		return false;
	}
	w->servers[link->server].links++;
	link->counted = true;
	return true;
}

bool
backend_open(struct worker *w, const struct backend_client *c, struct backend_link *link)
{
	*link = (struct backend_link){ .fd = -1 };
	if (!backend_takes_sockets(&w->snap->backend))
		return open_by_connecting(w, link, choose_server(w));
	link->fd = open_by_giving(w, c);
	return link->fd >= 0;
}

bool
backend_open_at(
    struct worker *w, const struct backend_client *c, uint8_t server, struct backend_link *link)
{
	if (w->snap->backend.server_count == 0)
		return backend_open(w, c, link);
	*link = (struct backend_link){ .fd = -1 };
	return open_by_connecting(w, link, server);
}

void
backend_failed(struct worker *w, const struct backend_link *link)
{
	if (w->snap->backend.server_count > 0)
		w->servers[link->server].down_until_us = loop_now_us(w->loop) + DOWN_US;
}

void
backend_works(struct worker *w, const struct backend_link *link)
{
	w->servers[link->server].down_until_us = 0;
}

void
backend_close(struct worker *w, struct backend_link *link)
{
	if (link->counted)
		w->servers[link->server].links--;
	if (link->fd >= 0)
		close(link->fd);
	*link = (struct backend_link){ .fd = -1 };
}

size_t
backend_reply(const char *bytes, size_t len, int *code)
{
	*code = 0;
	for (size_t at = 0;;) {
		const char *line = bytes + at, *end = memchr(line, '\n', len - at);
		if (end == NULL)
			return 0;
		size_t n = (size_t)(end - line) + 1;
		bool digits = n >= 4 && line[0] >= '2' && line[0] <= '5' && line[1] >= '0' &&
			      line[1] <= '9' && line[2] >= '0' && line[2] <= '9';
		if (!digits) {
			*code = -1;
			return 0;
		}
		at += n;
		if (line[3] == '-')
			continue;
		*code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
		return at;
	}
}

/* PROXY protocol version 1: one line of text. */
static void
put_proxy1(const struct backend_client *c, struct buf *out)
{
	char peer[ADDR_TEXT_SIZE], local[ADDR_TEXT_SIZE];

	if (c->peer.addr.family != c->local.addr.family) {
		buf_puts(out, "PROXY UNKNOWN\r\n");
		return;
	}
	buf_printf(out, "PROXY TCP%d %s %s %u %u\r\n", c->peer.addr.family,
	    addr_format(&c->peer.addr, peer), addr_format(&c->local.addr, local), c->peer.port,
	    c->local.port);
}

static void
put_u16(struct buf *out, size_t n)
{
	buf_putc(out, (char)(n >> 8));
	buf_putc(out, (char)n);
}

static void
put_tlv(struct buf *out, char type, const void *value, size_t len)
{
	buf_putc(out, type);
	put_u16(out, len);
	buf_put(out, value, len);
}

/* PP2_TYPE_SSL with version and cipher, as the PROXY protocol's section 2.2.6 has it. */
static void
put_tls(const struct backend_client *c, struct buf *out)
{
	char value[256];
	struct buf v = BUF(value);

	buf_put(&v, "\x01\0\0\0\0", 5); /* PP2_CLIENT_SSL; no client certificate was verified */
	put_tlv(&v, 0x21, c->tls_version, strlen(c->tls_version));
	if (c->tls_cipher != NULL)
		put_tlv(&v, 0x23, c->tls_cipher, strlen(c->tls_cipher));
	put_tlv(out, 0x20, value, v.len);
}

/* Version 2: binary. */
static void
put_proxy2(const struct backend_client *c, struct buf *out)
{
	char rest[512];
	struct buf r = BUF(rest);
	bool known = c->peer.addr.family == c->local.addr.family;
	size_t size = c->peer.addr.family == 4 ? 4 : 16;

	if (known) {
		buf_put(&r, c->peer.addr.ip, size);
		buf_put(&r, c->local.addr.ip, size);
		put_u16(&r, c->peer.port);
		put_u16(&r, c->local.port);
		if (c->tls_version != NULL)
			put_tls(c, &r);
	}
	buf_put(out, "\r\n\r\n\0\r\nQUIT\n\x21", 13);
	buf_putc(out, (char)(!known ? 0 : size == 4 ? 0x11 : 0x21));
	put_u16(out, r.len);
	buf_put(out, rest, r.len);
}

void
backend_header(const struct backend *b, const struct backend_client *c, struct buf *out)
{
	if (b->kind == BACKEND_PROXY1)
		put_proxy1(c, out);
	else if (b->kind == BACKEND_PROXY2)
		put_proxy2(c, out);
}

void
backend_xclient(const struct backend *b, const struct backend_client *c, struct buf *out)
{
	char peer[ADDR_TEXT_SIZE], local[ADDR_TEXT_SIZE];

	if (b->kind != BACKEND_XCLIENT)
		return;
	/* We look no name up. Were none given, the client would go by ours: "localhost" passes many a rule. */
	buf_printf(out,
	    "XCLIENT NAME=[UNAVAILABLE] ADDR=%s%s PORT=%u DESTADDR=%s%s DESTPORT=%u\r\n",
	    c->peer.addr.family == 6 ? "IPV6:" : "", addr_format(&c->peer.addr, peer), c->peer.port,
	    c->local.addr.family == 6 ? "IPV6:" : "", addr_format(&c->local.addr, local),
	    c->local.port);
}
