#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "screen/memory.h"
#include "screen/tally.h"
#include "screen/verbs.h"
#include "screen/worker.h"

#define SCRATCH_SIZE \
	4096 /* what counts as pipelined is what was read with a command, or fits beside it */
#define SHOWN_MAX 100 /* bytes of foreign text in a log line */

size_t
engine_size(const struct snapshot *snap)
{
	return sizeof(struct engine) + snap->engine->line_limit;
}

static struct engine *
engine_birth(struct session *s)
{
	struct engine *e = pool_take(s->worker->engines);

	if (e == NULL)
		return NULL;
	e->line = (struct line){ .kept = e->input, .limit = s->worker->snap->engine->line_limit };
	e->verb = VERB_CONNECT;
	e->session = s;
	deadline_arm(&s->worker->whole, &e->whole);
	return e;
}

void
engine_free(struct session *s)
{
	if (s->engine == NULL)
		return;
	tarpit_leave(s);
	deadline_disarm(&s->engine->whole);
	pool_give(s->worker->engines, s->engine);
	s->engine = NULL;
}

enum state
engine_write(struct session *s, struct span bytes)
{
	if (s->engine->slow && reply_hold(s, bytes))
		return S_TARPIT;
	return reply_write(s, bytes) ? S_AGAIN : session_hangup(s);
}

enum state
engine_say(struct session *s, enum reply reply)
{
	char text[REPLY_SIZE];
	struct buf b = BUF(text);

	reply_compose(s, reply, &b);
	return engine_write(s, (struct span){ text, b.len });
}

enum state
engine_over(struct session *s, enum reply reply)
{
	return session_finish(s, reply, screening_failed(&s->sc) ? V_REJECT : V_NONE);
}

static enum state resume(struct session *);

enum state
engine_enter(struct session *s)
{
	char text[512];
	struct buf b = BUF(text);

	if (s->engine != NULL)
		return s->engine->rcpt_len > 0
			   ? resume(s)
			   : S_STAY; /* the backend is asked; or: veil, tarpit */
	s->phase_us = loop_now_us(s->worker->loop);
	s->engine = engine_birth(s);
	if (s->engine == NULL)
		return session_finish(s, R_NO_RESOURCES, V_BUSY);
	if (!s->no_handoff)
		screening_talk(&s->sc);
	if (s->sc.fail & CHECK_BIT(CHECK_PREGREET))
		return S_STAY; /* it did not wait for our greeting, and gets none */
	buf_printf(&b, "220 %s\r\n", s->worker->snap->banner);
	return reply_write(s, (struct span){ text, b.len }) ? S_STAY : session_hangup(s);
}

void
put_printable(struct buf *out, struct span text, bool utf8)
{
	for (size_t i = 0, n = 1; i < text.len; i += n) {
		unsigned char c = (unsigned char)text.p[i];
		n = 1;
		if (c >= 32 && c < 127) {
			buf_putc(out, (char)c);
			continue;
		}
		/* C1 controls (U+0080 to U+009F) move terminals as much as C0 do. */
		bool control = c == 0xc2 && i + 1 < text.len && (unsigned char)text.p[i + 1] < 0xa0;
		for (size_t len = 2;
		     utf8 && c >= 0xc2 && !control && len <= 4 && i + len <= text.len; len++)
			if (span_is_utf8((struct span){ text.p + i, len })) {
				n = len;
				break;
			}
		if (n > 1)
			buf_put(out, text.p + i, n);
		else
			buf_putc(out, '?');
	}
}

static void
put_escaped(struct buf *out, struct span text)
{
	if (text.len > SHOWN_MAX)
		text.len = SHOWN_MAX;
	buf_escape(out, text, out->size);
}

static const char *
verb_word(uint8_t verb)
{
	return verb_rows[verb].word;
}

/* A limit was passed: log it with the command last begun, and no more words than needed. */
static enum state
limited(struct session *s, enum event_id event, uint8_t verb, enum reply reply)
{
	log_event(s, event, verb_word(verb));
	return session_finish(s, reply, V_DROP);
}

enum state
engine_time(struct session *s)
{
	return limited(s, EV_TIME_LIMIT, s->engine->verb, R_TIMEOUT);
}

void
engine_expire(struct session *s)
{
	limited(s, EV_SESSION_LIMIT, s->engine->verb, R_TRY_LATER);
}

static void
on_whole(struct deadline *d)
{
	struct session *s = container_of(d, struct engine, whole)->session;

	if (s->state != S_RELAY) /* the client is the backend's now */
		session_expire(s);
}

void
engine_init(struct worker *w)
{
	deadline_queue_init(&w->whole, w->loop, w->snap->engine->session_limit_us, on_whole);
}

void
engine_fini(struct worker *w)
{
	deadline_queue_fini(&w->whole);
}

/* S_STAY: the session goes on. */
static enum state
violated(struct session *s, enum check check)
{
	enum action action = screening_deep_fail(
	    &s->sc, memory_policy(s), &s->client->stamps, check, loop_wall_s(s->worker->loop));

	if (action != ACTION_DROP)
		return S_STAY;
	return session_finish(
	    s, check == CHECK_NON_SMTP ? R_DROP_NON_SMTP : R_DROP_PROTOCOL, V_DROP);
}

struct command {
	struct span word, args;
	struct span unread; /* what came behind it */
	enum verb verb, before;
};

static enum state
check_newline(struct session *s, struct span line, bool bare)
{
	char text[SHOWN_MAX * 4 + 1];
	struct buf b = BUF(text);

	if (!bare || !screening_deep_due(&s->sc, CHECK_BARE_NEWLINE))
		return S_STAY;
	put_escaped(&b, line);
	log_event(s, EV_BARE_NEWLINE, text);
	return violated(s, CHECK_BARE_NEWLINE);
}

/* RFC 5322 §2.2: a field name and its colon, perhaps with white space between. */
static bool
looks_like_header(struct span word)
{
	bool name = false, gap = false;

	for (size_t i = 0; i < word.len; i++) {
		unsigned char c = (unsigned char)word.p[i];
		if (c == ':')
			return name;
		if (c == '\t' && name)
			gap = true;
		else if (c <= ' ' || c >= 127 || gap)
			return false;
		name = true;
	}
	return false;
}

static bool
is_foreign(const struct session *s, struct span word)
{
	const struct engine_rules *rules = s->worker->snap->engine;

	return looks_like_header(word) || (rules->smtputf8 && !span_is_utf8(word)) ||
	       engine_forbids(rules, word);
}

static enum state
check_foreign(struct session *s, const struct command *c)
{
	char word[SHOWN_MAX + 1], args[SHOWN_MAX * 4 + 1];
	struct buf w = BUF(word), a = BUF(args);

	if (c->verb != VERB_UNIMPLEMENTED || !screening_deep_due(&s->sc, CHECK_NON_SMTP) ||
	    !is_foreign(s, c->word))
		return S_STAY;
	put_printable(&w, c->word, s->worker->snap->engine->smtputf8);
	put_escaped(&a, c->args);
	log_event(s, EV_NON_SMTP, verb_word((uint8_t)c->before), word, args);
	return violated(s, CHECK_NON_SMTP);
}

static enum state
check_pipelining(struct session *s, const struct command *c)
{
	char word[SHOWN_MAX + 1], more[SHOWN_MAX * 4 + 1];
	struct buf w = BUF(word), m = BUF(more);

	if (c->unread.len == 0 || (verb_rows[c->verb].flags & VF_PAYLOAD) ||
	    !screening_deep_due(&s->sc, CHECK_PIPELINING))
		return S_STAY;
	put_printable(&w, c->word, s->worker->snap->engine->smtputf8);
	put_escaped(&m, c->unread);
	log_event(s, EV_PIPELINING, word, more);
	return violated(s, CHECK_PIPELINING);
}

/* Back from the backend: the client spoke before it had the reply to its RCPT. */
static enum state
resume(struct session *s)
{
	char bytes[SHOWN_MAX];
	ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
	struct command c = {
		.word = SPAN("RCPT"), .verb = VERB_RCPT, .unread = { bytes, n < 0 ? 0 : (size_t)n }
	};
	enum state next = check_pipelining(s, &c);

	if (next != S_STAY)
		return next;
	if (screening_may_forward(&s->sc))
		return S_DIAL;
	const struct span args = { s->engine->input, s->engine->rcpt_len };
	s->engine->rcpt_len = 0;
	return refuse_rcpt(s, args);
}

/* Not a check, but in the same walk: reaching RCPT passes the others for the time being. */
static enum state
note_rcpt(struct session *s, const struct command *c)
{
	if (verb_rows[c->verb].flags & VF_RCPT)
		screening_rcpt(
		    &s->sc, memory_policy(s), &s->client->stamps, loop_wall_s(s->worker->loop));
	return S_STAY;
}

static enum state
check_count(struct session *s, const struct command *c)
{
	if (++s->engine->commands > s->worker->snap->engine->command_limit &&
	    !(verb_rows[c->verb].flags & VF_FREE))
		return limited(s, EV_COUNT_LIMIT, (uint8_t)c->before, R_TRY_LATER);
	return S_STAY;
}

/* After 220-, 421 had to wait for a command. */
static enum state
check_handoff(struct session *s, const struct command *c)
{
	if (!s->no_handoff || c->verb == VERB_QUIT)
		return S_STAY;
	return session_finish(s, s->final, V_ERROR);
}

static enum state
execute(struct session *s, const struct command *c)
{
	const struct verb_row *row = &verb_rows[c->verb];

	if (row->obey == NULL)
		return engine_say(s, R_UNKNOWN);
	if (s->worker->snap->engine->tls_required && !s->tls && !(row->flags & VF_BEFORE_TLS))
		return engine_say(s, R_TLS_FIRST);
	return row->obey(s, c->args);
}

typedef enum state step_fn(struct session *, const struct command *);

static enum state
obey(struct session *s, struct span line, struct span unread)
{
	/* The order is part of the contract. */
	static step_fn *const steps[] = { check_handoff, check_foreign, check_pipelining, note_rcpt,
		check_count, execute };
	struct command c = { .unread = unread, .before = s->engine->verb };
	enum state next = S_STAY;

	c.word = verb_argument(&line);
	if (line.len > 0)
		line.p++, line.len--;
	c.args = line;
	c.verb = verb_find(c.word);
	s->engine->verb = (uint8_t)c.verb;
	s->engine->unread = unread.len > 0;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0] && next == S_STAY; i++)
		next = steps[i](s, &c);
	return next;
}

/* What stands behind a NUL was never seen by the programs we must agree with. */
static struct span
until_nul(struct span line)
{
	const char *nul = line.len == 0 ? NULL : memchr(line.p, '\0', line.len);

	if (nul != NULL)
		line.len = (size_t)(nul - line.p);
	return line;
}

/* postscreen_command_filter. The new line lives in `room`. */
static struct span
filtered(const struct session *s, struct span line, struct buf *room)
{
	const struct engine_rules *rules = s->worker->snap->engine;
	char key[4096], old[SHOWN_MAX + 1], new[SHOWN_MAX + 1];
	struct buf k = BUF(key), o = BUF(old), n = BUF(new);
	struct span text = line;

	if (rules->command_filter == NULL || (rules->smtputf8 && !span_is_utf8(line)))
		return line;
	while (text.len > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
		text.p++, text.len--;
	buf_putspan(&k, text);
	if (k.cut || table_find(rules->command_filter, key, room) != TABLE_FOUND) /* fail open */
		return line;
	struct span now = { room->p, room->len };
	put_printable(&o, line, rules->smtputf8);
	put_printable(&n, now, rules->smtputf8);
	log_event(s, EV_FILTER, old, new);
	return now;
}

/* One line. */
static enum state
hear(struct session *s, struct span line, bool bare, struct span unread)
{
	char text[4096];
	struct buf room = BUF(text);
	enum state next = check_newline(s, line, bare);

	return next != S_STAY ? next : obey(s, filtered(s, until_nul(line), &room), unread);
}

static enum state
listen_to(struct session *s, struct span *in)
{
	enum state next = S_STAY;
	struct span line;

	while (in->len > 0) {
		enum line_end end = line_take(&s->engine->line, in, &line);
		if (end == LINE_MORE)
			break;
		next = end == LINE_LONG ? limited(s, EV_LENGTH_LIMIT, s->engine->verb, R_TRY_LATER)
					: hear(s, line, end == LINE_BARE, *in);
		if (next != S_AGAIN)
			break;
	}
	return next;
}

enum state
engine_read(struct session *s)
{
	static char scratch[SCRATCH_SIZE];
	bool slow = tarpit_holds(s); /* what is not obeyed yet stays in the socket */
	ssize_t n = recv(s->fd, scratch, sizeof scratch, MSG_DONTWAIT | (slow ? MSG_PEEK : 0));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return S_STAY;
	if (n <= 0)
		return session_hangup(s);
	struct span in = { scratch, (size_t)n };
	enum state next = listen_to(s, &in);
	if (slow)
		(void)!recv(s->fd, scratch, (size_t)n - in.len, MSG_DONTWAIT);
	else if (next == S_VEIL) /* said in plaintext, perhaps by somebody else */
		tally_add(s->worker->slot, CELL_TLS_INJECTED, in.len);
	return next;
}

static void
journal_rcpts(const struct engine *e, struct buf *out)
{
	buf_puts(out, ",\"rcpts\":[");
	for (const char *p = e->rcpts_text; p < e->rcpts_text + e->rcpts_len; p += strlen(p) + 1) {
		buf_puts(out, p == e->rcpts_text ? "\"" : ",\"");
		buf_json(out, span_of(p));
		buf_putc(out, '"');
	}
	buf_putc(out, ']');
}

static void
journal_tls(const struct session *s, const struct engine *e, struct buf *out)
{
	if (!s->tls) {
		buf_puts(out, ",\"tls\":null");
		return;
	}
	buf_printf(out, ",\"tls\":{\"version\":\"%s\",\"cipher\":\"%s\",\"resumed\":%s}",
	    e->tls_version, e->tls_cipher, e->tls_resumed ? "true" : "false");
}

void
engine_journal(const struct session *s, struct buf *out)
{
	const struct engine *e = s->engine;

	if (e == NULL) {
		buf_puts(out, ",\"tls\":null,\"helo\":null,\"mail\":null,\"rcpts\":[]");
		return;
	}
	journal_tls(s, e, out);
	struct span words = engine_helo(e);
	buf_json_member(out, "helo", verb_argument(&words));
	buf_json_member(out, "mail", engine_mail(e));
	journal_rcpts(e, out);
}
