#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/log.h"
#include "screen/engine.h"
#include "screen/proxy.h"
#include "screen/listen.h"
#include "screen/mailbox.h"
#include "screen/worker.h"

#define V1_START "PROXY "
static const char v2_start[12] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_FIXED 16

static enum proxy_result
bad(const char **error, const char *text)
{
	*error = text;
	return PROXY_BAD;
}

static bool
begins(struct span bytes, const char *with, size_t len)
{
	return memcmp(bytes.p, with, bytes.len < len ? bytes.len : len) == 0;
}

static bool
take_addr(struct span *rest, uint8_t family, struct addr *out)
{
	struct span word = span_token(rest, " \r");
	bool has_colon = word.len > 0 && memchr(word.p, ':', word.len) != NULL;

	return has_colon == (family == 6) && addr_parse(out, word.p, word.len);
}

static bool
take_port(struct span *rest, uint16_t *out)
{
	struct span word = span_token(rest, " \r");
	uint64_t port;

	if ((word.len > 1 && word.p[0] == '0') || !span_uint(word, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* A line: PROXY TCP4|TCP6|UNKNOWN client server client-port server-port. */
static enum proxy_result
parse_text(struct span bytes, size_t *used, struct endpoint *client, struct endpoint *server,
    const char **error)
{
	const char *lf = memchr(bytes.p, '\n', bytes.len);
	struct span rest;

	if (lf == NULL)
		return bytes.len < PROXY_HEADER_MAX
			   ? PROXY_MORE
			   : bad(error, "missing protocol header terminator");
	*used = (size_t)(lf + 1 - bytes.p);
	if (*used < sizeof V1_START)
		return bad(error, "bad or missing protocol header");
	rest = (struct span){ bytes.p + sizeof V1_START - 1, *used - sizeof V1_START };
	struct span word = span_token(&rest, " \r");
	if (span_is_nocase(word, "UNKNOWN"))
		return PROXY_LOCAL;
	uint8_t family = span_is_nocase(word, "TCP4") ? 4 : span_is_nocase(word, "TCP6") ? 6 : 0;
	if (family == 0)
		return bad(error, "bad or missing protocol type");
	if (!take_addr(&rest, family, &client->addr))
		return bad(error, "bad or missing client address");
	if (!take_addr(&rest, family, &server->addr))
		return bad(error, "bad or missing server address");
	if (!take_port(&rest, &client->port))
		return bad(error, "bad or missing client port");
	if (!take_port(&rest, &server->port))
		return bad(error, "bad or missing server port");
	return PROXY_DONE;
}

/* Through the socket API's form, so that mapped addresses are folded in one place. */
static bool
get_endpoint(const char *ip, size_t len, const char *port, struct endpoint *out)
{
	struct sockaddr_storage ss = { 0 };
	struct endpoint raw = { .addr.family = len == 4 ? 4 : 6,
		.port = (uint16_t)get_be16((const uint8_t *)port) };

	memcpy(raw.addr.ip, ip, len);
	endpoint_to_sockaddr(&raw, &ss);
	return endpoint_from_sockaddr(out, &ss);
}

static enum proxy_result
parse_addresses(struct span body, unsigned char kind, struct endpoint *client,
    struct endpoint *server, const char **error)
{
	size_t size = kind == 0x11 ? 4 : kind == 0x21 ? 16 : 0;

	if ((kind & 0xf0) == 0) /* unspecified: what was said of UNKNOWN */
		return PROXY_LOCAL;
	if (size == 0)
		return bad(error, "unsupported network protocol");
	if (body.len < 2 * size + 4)
		return bad(error, "short address field");
	if (!get_endpoint(body.p, size, body.p + 2 * size, client) ||
	    !get_endpoint(body.p + size, size, body.p + 2 * size + 2, server))
		return bad(error, "client network address conversion error");
	return PROXY_DONE;
}

static enum proxy_result
parse_binary(struct span bytes, size_t *used, struct endpoint *client, struct endpoint *server,
    const char **error)
{
	if (bytes.len < V2_FIXED)
		return PROXY_MORE;
	if (((unsigned char)bytes.p[12] & 0xf0) != 0x20)
		return bad(error, "unrecognized protocol version");
	*used = V2_FIXED + get_be16((const uint8_t *)bytes.p + 14);
	if (*used > PROXY_HEADER_MAX)
		return bad(error, "short version 2 protocol header");
	if (bytes.len < *used)
		return PROXY_MORE;
	switch (bytes.p[12] & 0x0f) {
	case 0:
		return PROXY_LOCAL;
	case 1:
		return parse_addresses((struct span){ bytes.p + V2_FIXED, *used - V2_FIXED },
		    (unsigned char)bytes.p[13], client, server, error);
	default:
		return bad(error, "bad command in proxy header");
	}
}

enum proxy_result
proxy_parse(struct span bytes, size_t *used, struct endpoint *client, struct endpoint *server,
    const char **error)
{
	*used = 0;
	if (bytes.len == 0)
		return PROXY_MORE;
	if (begins(bytes, V1_START, sizeof V1_START - 1))
		return parse_text(bytes, used, client, server, error);
	if (begins(bytes, v2_start, sizeof v2_start))
		return parse_binary(bytes, used, client, server, error);
	return bad(
	    error, bytes.len < V2_FIXED ? "short protocol header" : "unrecognized protocol header");
}

/* The client behind the proxy is not known yet, so these are counted apart. */
enum state
proxy_enter(struct session *s)
{
	const struct snapshot *snap = s->worker->snap;
	static struct log_limit limit;
	char addr[ADDR_TEXT_SIZE];
	unsigned held;

	s->in_proxy = true;
	atomic_fetch_add_explicit(&s->worker->slot->proxy_queue, 1, memory_order_relaxed);
	const char *why =
	    match_list_addr(snap->proxy_networks, &s->peer.addr) != TABLE_FOUND /* fail closed */
		? "not in gatehouse_proxy_networks"
		: shared_proxy_queue(s->worker->shared) > snap->proxy_limit
		      ? "gatehouse_proxy_limit reached"
		      : NULL;
	if (why == NULL)
		return S_STAY;
	if (log_allowed(&limit, loop_now_us(s->worker->loop), &held))
		log_warning("proxy header from [%s]:%u refused: %s (%u more before this line)",
		    addr_format(&s->peer.addr, addr), s->peer.port, why, held);
	return session_finish(s, R_NO_RESOURCES, V_ERROR);
}

static enum state
fail(struct session *s, const char *error, struct span seen)
{
	char text[PROXY_HEADER_MAX * 4 + 1];
	struct buf b = BUF(text);

	buf_escape(&b, seen, sizeof text - 1);
	log_warning("haproxy read: %s%s%s", error, seen.len > 0 ? ": " : "", text);
	return session_finish(s, R_NO_RESOURCES, V_ERROR);
}

/* A header in pieces waits in a room lent by the engine's pool. */
static struct engine *
lend_room(struct session *s)
{
	static_assert(ENGINE_SAID_SIZE >= PROXY_HEADER_MAX, "a header fits");
	if (s->engine == NULL)
		s->engine = pool_take(s->worker->engines);
	return s->engine;
}

static enum state
keep_piece(struct session *s, struct span all)
{
	struct engine *e = lend_room(s);

	if (e == NULL)
		return session_finish(s, R_NO_RESOURCES, V_BUSY);
	memcpy(e->said, all.p, all.len);
	e->helo_len = (uint16_t)all.len;
	return S_STAY;
}

/* True if the client is another worker's from here on. */
static bool
passed_on(const struct session *s)
{
	const struct worker *w = s->worker;
	const struct letter letter = { s->peer, s->local };

	if (w->mail_in < 0 || w->draining)
		return false;
	unsigned owner = listen_owner(&s->peer.addr, w->snap->workers);
	return owner != w->number && mailbox_put(w->mail_out[owner], &letter, s->fd);
}

static enum state
finish_header(struct session *s, enum proxy_result result, const struct endpoint *client,
    const struct endpoint *server)
{
	if (result == PROXY_DONE) {
		s->peer = *client;
		s->local = *server;
	}
	engine_free(s);
	proxy_leave(s);
	return passed_on(s) ? S_END : S_DOOR;
}

static bool
is_wanted(const struct snapshot *snap, const struct addr *client, const struct addr *server)
{
	return snap->families[client->family == 6] && snap->families[server->family == 6];
}

enum state
proxy_read(struct session *s)
{
	char bytes[PROXY_HEADER_MAX];
	struct endpoint client, server;
	const char *error = NULL;
	size_t kept = s->engine == NULL ? 0 : s->engine->helo_len, used;

	if (kept > 0)
		memcpy(bytes, s->engine->said, kept);
	ssize_t n = recv(s->fd, bytes + kept, sizeof bytes - kept, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return S_STAY;
	if (n <= 0)
		return fail(s, "EOF", (struct span){ "", 0 });
	struct span all = { bytes, kept + (size_t)n };
	enum proxy_result result = proxy_parse(all, &used, &client, &server, &error);
	if (result == PROXY_DONE && !is_wanted(s->worker->snap, &client.addr, &server.addr))
		return fail(s, "address family not in inet_protocols", all);
	if (result == PROXY_BAD)
		return fail(s, error, all);
	/* Nothing behind the header is taken: it is for those who come after us. */
	size_t take = result == PROXY_MORE ? (size_t)n : used - kept;
	if (recv(s->fd, bytes + kept, take, MSG_DONTWAIT) != (ssize_t)take)
		return fail(s, strerror(errno), (struct span){ "", 0 });
	return result == PROXY_MORE ? keep_piece(s, all)
				    : finish_header(s, result, &client, &server);
}

enum state
proxy_time(struct session *s)
{
	return fail(s, "time limit exceeded", (struct span){ "", 0 });
}

void
proxy_leave(struct session *s)
{
	if (s->in_proxy)
		atomic_fetch_sub_explicit(&s->worker->slot->proxy_queue, 1, memory_order_relaxed);
	s->in_proxy = false;
}
