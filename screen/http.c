/* The HTTP port: the metrics and the status page. Reading only, one request a connection. */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/console_inner.h"

#define CLIENTS_MAX 64
#define RATE 100
#define TIME_MS 5000
#define NONCE_SIZE 33

static const struct {
	const char *code, *reason;
} replies[] = {
	{ "400 Bad Request", "that is no HTTP request\n" },
	{ "404 Not Found", "there is / and /metrics and /status.json\n" },
	{ "405 Method Not Allowed", "this place is for reading: GET and HEAD\n" },
};
enum { BAD_REQUEST, NOT_FOUND, NOT_ALLOWED };

/* nonce null: a page without style and script of its own. */
static void
put_head(struct buf *b, const char *code, const char *type, size_t len, const char *nonce)
{
	buf_printf(b,
	    "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n", code,
	    type, len);
	buf_puts(b, "Cache-Control: no-store\r\nX-Content-Type-Options: "
		    "nosniff\r\nX-Frame-Options: DENY\r\n"
		    "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
		    "Cross-Origin-Opener-Policy: same-origin\r\n");
	buf_puts(b,
	    "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "
	    "frame-ancestors 'none'");
	if (nonce != NULL)
		buf_printf(b, "; connect-src 'self'; style-src 'nonce-%s'; script-src 'nonce-%s'",
		    nonce, nonce);
	buf_puts(b, "\r\n\r\n");
}

static void
refuse(struct desk_client *client, unsigned i)
{
	char head[1024];
	struct buf b = BUF(head);

	put_head(&b, replies[i].code, "text/plain; charset=utf-8", strlen(replies[i].reason), NULL);
	desk_answer(client, (struct span){ head, b.len }, span_of(replies[i].reason));
}

static void
put_whole(const struct view *v, struct buf *b, char *nonce)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[(NONCE_SIZE - 1) / 2];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		memset(bytes, 0,
		    sizeof bytes); /* cannot be: the pool was ready before our workers were */
	for (size_t i = 0; i < sizeof bytes; i++) {
		nonce[2 * i] = digits[bytes[i] >> 4];
		nonce[2 * i + 1] = digits[bytes[i] & 15];
	}
	nonce[NONCE_SIZE - 1] = '\0';
	page_whole(v, nonce, b);
}

static void
put_body(const struct view *v, struct buf *b, char *nonce)
{
	(void)nonce;
	page_body(v, b);
}

static void
put_metrics(const struct view *v, struct buf *b, char *nonce)
{
	(void)nonce;
	metrics_text(v, b);
}

static void
put_status(const struct view *v, struct buf *b, char *nonce)
{
	(void)nonce;
	status_json(v, b);
}

static void
put_alive(const struct view *v, struct buf *b, char *nonce)
{
	(void)nonce;
	buf_puts(b, master_stopping(v->console->master) ? "stopping\n"
		    : v->snap != NULL			? "ok\n"
							: "starting\n");
}

static const struct {
	const char *path, *type;
	void (*put)(const struct view *, struct buf *, char *nonce);
} pages[] = {
	{ "/", "text/html; charset=utf-8", put_whole },
	{ "/body", "text/html; charset=utf-8", put_body },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", put_metrics },
	{ "/status.json", "application/json", put_status },
	{ "/alive", "text/plain; charset=utf-8", put_alive },
};

static void
on_request(void *arg, struct desk_client *client, struct span request)
{
	struct console *c = arg;
	struct http_request r;
	char head[1024], nonce[NONCE_SIZE] = "";
	struct buf h = BUF(head);

	if (!http_parse(request, &r)) {
		refuse(client, BAD_REQUEST);
		return;
	}
	if (r.method == HTTP_OTHER) {
		refuse(client, NOT_ALLOWED);
		return;
	}
	for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
		if (!span_is(r.path, pages[i].path))
			continue;
		c->text = buf_over(c->text.p, c->text.size);
		pages[i].put(console_view(c), &c->text, nonce);
		put_head(&h, "200 OK", pages[i].type, c->text.len, *nonce != '\0' ? nonce : NULL);
		desk_answer(client, (struct span){ head, h.len },
		    (struct span){ c->text.p, r.method == HTTP_HEAD ? 0 : c->text.len });
		return;
	}
	refuse(client, NOT_FOUND);
}

struct desk *
http_open(struct console *c, const char *at)
{
	static const struct desk_rules rules = { CLIENTS_MAX, HTTP_REQUEST_MAX, RATE, TIME_MS,
		http_whole, on_request,
		"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: "
		"close\r\nContent-Length: 0\r\n\r\n" };
	struct endpoint e;
	struct sockaddr_storage addr;
	int on = 1;

	if (!endpoint_parse(&e, at, strlen(at), -1)) {
		log_error(
		    "gatehouse_metrics_listen: \"%s\": write ADDRESS:PORT, like 127.0.0.1:9125",
		    at);
		return NULL;
	}
	socklen_t len = endpoint_to_sockaddr(&e, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 ||
	    listen(fd, CLIENTS_MAX) != 0) {
		log_error("gatehouse_metrics_listen: %s: %s; no metrics and no status page", at,
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!addr_is_loopback(&e.addr))
		log_warning("gatehouse_metrics_listen: %s is open to the network: client addresses "
			    "can be read "
			    "there by everybody who reaches it",
		    at);
	return desk_new(c->loop, fd, &rules, c);
}
