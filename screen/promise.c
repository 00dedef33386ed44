#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "screen/backend.h"
#include "screen/engine.h"
#include "screen/promise.h"
#include "screen/worker.h"

#define ASK_EVERY_MS 300000
#define ASK_AGAIN_MS 10000
#define ANSWER_MS 30000

struct promise {
	struct worker *worker;
	struct watch in, out, timer;
	struct backend_link link;
	bool xclient_said, ehlo_said;
	uint8_t server; /* asked now, or next */
	bool failed;	/* one of this round did not answer */
	struct answer {
		bool known;
		uint32_t keywords;
		int64_t size; /* -1: SIZE is not announced */
	} answers[BACKEND_SERVERS_MAX];
	size_t len;
	char bytes[4096];
};

/* Our own word stands whatever the backend thinks of it: STARTTLS ends here, and so do enhanced codes we write. */
#define OURS (KW_BIT(KW_STARTTLS) | KW_BIT(KW_ENHANCEDSTATUSCODES))

/* Whichever server a client comes to keeps what was announced; one that never answered announces nothing. */
void
promise_limit(const struct promise *p, uint32_t *keywords, int64_t *size)
{
	uint32_t kept = 0;
	bool known = false;

	if (p == NULL)
		return;
	for (size_t i = 0; i < BACKEND_SERVERS_MAX; i++) {
		const struct answer *a = &p->answers[i];
		if (!a->known)
			continue;
		kept = known ? kept & a->keywords : a->keywords;
		known = true;
		if (a->size > 0 && (*size == 0 || a->size < *size))
			*size = a->size;
	}
	*keywords &= OURS | kept;
}

void
promise_parse(const char *reply, uint64_t len, uint32_t *keywords, int64_t *size)
{
	struct span rest = { reply, len }, line;

	*keywords = 0;
	*size = -1;
	(void)span_token(&rest, "\r\n"); /* the host's name */
	while ((line = span_token(&rest, "\r\n")).len > 4) {
		struct span words = { line.p + 4, line.len - 4 };
		struct span word = span_token(&words, " "), arg = span_token(&words, " ");
		uint32_t bit = keywords_parse(word);
		uint64_t n = 0;
		*keywords |= bit;
		if (bit == KW_BIT(KW_SIZE))
			*size = span_uint(arg, INT64_MAX, &n) ? (int64_t)n : 0;
	}
}

/* On to the next server, or, after the last, to the next round. */
static void
finish(struct promise *p)
{
	bool more = (size_t)p->server + 1 < p->worker->snap->backend.server_count;
	int64_t next_ms = more ? 0 : p->failed ? ASK_AGAIN_MS : ASK_EVERY_MS;

	p->failed = p->failed && more;
	p->server = more ? (uint8_t)(p->server + 1) : 0;
	watch_stop(&p->in);
	watch_stop(&p->out);
	backend_close(p->worker, &p->link);
	watch_start_once(&p->timer, next_ms);
}

static void
failed(struct promise *p)
{
	static struct log_limit limit;
	unsigned held;

	if (!p->answers[p->server].known &&
	    log_allowed(&limit, loop_now_us(p->worker->loop), &held))
		log_warning("backend %s does not answer EHLO: its extensions are not announced",
		    p->worker->snap->backend.name);
	p->failed = true;
	finish(p);
}

static struct backend_client
ourselves(const struct promise *p)
{
	struct backend_client c = { .local = p->worker->snap->listeners[0].at };

	c.peer.addr.family = c.local.addr.family;
	if (c.peer.addr.family == 4)
		memcpy(c.peer.addr.ip, "\x7f\0\0\x01", 4);
	else
		c.peer.addr.ip[15] = 1;
	return c;
}

static bool
say(const struct promise *p, const struct buf *b)
{
	return send(p->link.fd, b->p, b->len, MSG_NOSIGNAL) == (ssize_t)b->len;
}

/* The next line, after a reply in the 200s. */
static bool
step_on(struct promise *p)
{
	char line[512];
	struct buf b = BUF(line);
	const struct backend_client c = ourselves(p);

	backend_xclient(&p->worker->snap->backend, &c, &b);
	if (p->xclient_said || b.len == 0) {
		b = BUF(line);
		buf_printf(&b, "EHLO %s\r\n", p->worker->snap->myhostname);
		p->ehlo_said = true;
	}
	p->xclient_said = true;
	return say(p, &b);
}

static void
learned(struct promise *p, size_t len)
{
	char quit[] = "QUIT\r\n";
	struct buf b = { quit, sizeof quit - 1, sizeof quit, false };

	backend_works(p->worker, &p->link);
	struct answer *a = &p->answers[p->server];
	promise_parse(p->bytes, len, &a->keywords, &a->size);
	a->known = true;
	say(p, &b);
	finish(p);
}

static void
on_in(int fd, short what, void *arg)
{
	struct promise *p = arg;
	ssize_t n = recv(fd, p->bytes + p->len, sizeof p->bytes - p->len, MSG_DONTWAIT);
	int code;

	(void)what;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		p->len += (size_t)n;
	size_t used = backend_reply(p->bytes, p->len, &code);
	if (used == 0 && code == 0 && n > 0 && p->len < sizeof p->bytes)
		return;
	if (used == 0 || code / 100 != 2) {
		failed(p);
	} else if (p->ehlo_said) {
		learned(p, used);
	} else {
		p->len = 0;
		if (!step_on(p))
			failed(p);
	}
}

static void
begin_dialogue(struct promise *p)
{
	char header[600];
	struct buf b = BUF(header);
	const struct backend_client c = ourselves(p);

	backend_header(&p->worker->snap->backend, &c, &b);
	if (b.len > 0 && !say(p, &b)) {
		failed(p);
		return;
	}
	watch_start(&p->in);
}

static void
on_out(int fd, short what, void *arg)
{
	struct promise *p = arg;
	int error = 0;
	socklen_t len = sizeof error;

	(void)what;
	watch_stop(&p->out);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		backend_failed(p->worker, &p->link);
		failed(p);
		return;
	}
	begin_dialogue(p);
}

/* Time to ask, or too long without an answer. */
static void
on_timer(int fd, short what, void *arg)
{
	struct promise *p = arg;
	const struct backend_client c = ourselves(p);

	(void)fd, (void)what;
	if (p->link.fd >= 0)
		backend_failed(p->worker, &p->link);
	if (p->link.fd >= 0 || !backend_open_at(p->worker, &c, p->server, &p->link)) {
		failed(p);
		return;
	}
	p->len = 0;
	p->xclient_said = p->ehlo_said = false;
	watch_init(&p->in, p->worker->loop, p->link.fd, WATCH_READ, on_in, p);
	watch_init(&p->out, p->worker->loop, p->link.fd, WATCH_WRITE, on_out, p);
	watch_start_once(&p->timer, ANSWER_MS);
	if (p->link.connecting)
		watch_start(&p->out);
	else
		begin_dialogue(p);
}

struct promise *
promise_new(struct worker *w)
{
	if (!w->snap->continues || (w->snap->policy.enabled & CHECKS_DEEP) == 0)
		return NULL;
	struct promise *p = mem_alloc(sizeof *p);
	p->worker = w;
	p->link.fd = -1;
	watch_init_timer(&p->timer, w->loop, on_timer, p);
	watch_start_once(&p->timer, 0);
	return p;
}

void
promise_free(struct promise **pp)
{
	struct promise *p = *pp;

	if (p == NULL)
		return;
	watch_stop(&p->timer);
	watch_stop(&p->in);
	watch_stop(&p->out);
	backend_close(p->worker, &p->link);
	free(p);
	*pp = NULL;
}
