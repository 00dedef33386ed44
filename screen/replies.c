#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "screen/engine.h"
#include "screen/footer.h"
#include "screen/worker.h"

static const char *const texts[REPLIES] = {
#define REPLY(id, text) [R_##id] = text,
#include "screen/replies.tbl"
#undef REPLY
};

static void
put_field(const struct session *s, char field, struct buf *out)
{
	char addr[ADDR_TEXT_SIZE];

	if (field == 'h')
		buf_puts(out, s->worker->snap->myhostname);
	else if (field == 'a')
		buf_puts(out, addr_format(&s->peer.addr, addr));
	else if (field == 'd' && s->ask != NULL && dnsbl_ask_score(s->ask)->name != NULL)
		buf_puts(out, dnsbl_ask_score(s->ask)->name);
}

/* A field is a letter in braces. */
static void
put_text(const struct session *s, enum reply reply, struct buf *out)
{
	for (const char *p = texts[reply]; *p != '\0'; p++)
		if (p[0] == '{' && p[1] != '\0' && p[2] == '}') {
			put_field(s, p[1], out);
			p += 2;
		} else {
			buf_putc(out, *p);
		}
}

/* 5xx 5.y.z becomes 4xx 4.y.z. */
static void
soften(const struct session *s, struct buf *b, size_t from)
{
	if (!s->worker->snap->soft_bounce || b->p[from] != '5')
		return;
	b->p[from] = '4';
	if (b->len >= from + 6 && b->p[from + 4] == '5' && b->p[from + 5] == '.')
		b->p[from + 4] = '4';
}

void
reply_text(const struct session *s, enum reply reply, struct buf *out)
{
	size_t from = out->len;

	put_text(s, reply, out);
	soften(s, out, from);
}

static void
hang_footer(const struct session *s, struct span template, struct buf *out)
{
	static struct log_limit limit;
	char addr[ADDR_TEXT_SIZE], port[8], when[32];
	time_t now = (time_t)loop_wall_s(s->worker->loop);
	struct tm tm;
	unsigned held;

	snprintf(port, sizeof port, "%u", s->peer.port);
	if (localtime_r(&now, &tm) == NULL ||
	    strftime(when, sizeof when, "%b %d %H:%M:%S", &tm) == 0)
		when[0] = '\0';
	const char *error = footer_append(out, template,
	    &(struct footer_facts){
		{ addr_format(&s->peer.addr, addr), port, s->worker->snap->myhostname, when },
		s->worker->snap->engine->filter });
	if (error != NULL && log_allowed(&limit, loop_now_us(s->worker->loop), &held))
		log_warning("a reject footer cannot be used: %s", error);
}

/* Tables know replies as they are before they are softened. */
static void
add_footer(const struct session *s, const char *key, struct buf *out)
{
	const struct engine_rules *rules = s->worker->snap->engine;
	char text[1024];
	struct buf found = BUF(text);

	if (rules->footer_maps != NULL &&
	    table_list_find(rules->footer_maps, key, &found) == TABLE_FOUND)
		hang_footer(s, (struct span){ text, found.len }, out);
	else if (*rules->footer != '\0')
		hang_footer(s, span_of(rules->footer), out);
}

void
reply_compose(const struct session *s, enum reply reply, struct buf *out)
{
	char key[512];
	struct buf k = BUF(key);

	put_text(s, reply, &k);
	buf_put(out, key, k.len);
	soften(s, out, out->len - k.len);
	if (key[0] == '4' || key[0] == '5')
		add_footer(s, key, out);
	buf_puts(out, "\r\n");
}

static size_t
send_now(const struct session *s, const char *p, size_t len)
{
	ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	char addr[ADDR_TEXT_SIZE];

	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	if (errno != EPIPE && errno != ECONNRESET)
		log_warning("write [%s]:%u: %s", addr_format(&s->peer.addr, addr), s->peer.port,
		    strerror(errno));
	return len; /* nobody will miss it; the next read tells */
}

/* Replies must leave in their order, so what waits goes first. */
static bool
write_behind(struct session *s, struct engine *e, struct span bytes)
{
	size_t n = e->out_len == 0 ? 0 : send_now(s, e->out, e->out_len);

	memmove(e->out, e->out + n, e->out_len - n);
	e->out_len -= (uint16_t)n;
	if (e->out_len == 0) {
		n = bytes.len == 0 ? 0 : send_now(s, bytes.p, bytes.len);
		bytes = (struct span){ bytes.p + n, bytes.len - n };
	}
	return reply_hold(s, bytes);
}

bool
reply_hold(struct session *s, struct span bytes)
{
	struct engine *e = s->engine;

	if (bytes.len > sizeof e->out - e->out_len)
		return false;
	memcpy(e->out + e->out_len, bytes.p, bytes.len);
	e->out_len += (uint16_t)bytes.len;
	return true;
}

void
reply_drip(struct session *s, size_t max)
{
	struct engine *e = s->engine;
	size_t n = max < e->out_len ? max : e->out_len;

	n = n == 0 ? 0 : send_now(s, e->out, n);
	memmove(e->out, e->out + n, e->out_len - n);
	e->out_len -= (uint16_t)n;
}

bool
reply_write(struct session *s, struct span bytes)
{
	if (s->engine != NULL)
		return write_behind(s, s->engine, bytes);
	send_now(s, bytes.p, bytes.len);
	return true;
}

bool
reply_send(struct session *s, enum reply reply)
{
	char text[REPLY_SIZE];
	struct buf b = BUF(text);

	reply_compose(s, reply, &b);
	return reply_write(s, (struct span){ text, b.len });
}

enum reply
reply_refusal(const struct session *s)
{
	static const enum reply refusals[] = {
		[REFUSE_NONE] = R_RCPT_LATER,
		[REFUSE_DENYLIST] = R_RCPT_DENYLIST,
		[REFUSE_PROTOCOL] = R_RCPT_PROTOCOL,
		[REFUSE_DNSBL] = R_RCPT_DNSBL,
	};

	return refusals[s->sc.refusal];
}
