/* What each command does (RFC 5321 §4.1; reference: postscreen's table of replies). */
#include "config.h"

#include <string.h>

#include "screen/mailaddr.h"
#include "screen/relay.h"
#include "screen/verbs.h"
#include "screen/worker.h"

static verb_fn do_helo, do_ehlo, do_starttls, do_mail, do_rcpt, do_data, do_bdat, do_rset, do_noop,
    do_vrfy, do_etrn, do_quit;

const struct verb_row verb_rows[VERBS] = {
#define VERB(word, handler, flags) [VERB_##word] = { #word, handler, flags },
#include "screen/verbs.tbl"
#undef VERB
	[VERB_UNIMPLEMENTED] = { "UNIMPLEMENTED", NULL, 0 },
	[VERB_CONNECT] = { "CONNECT", NULL, 0 },
};

enum verb
verb_find(struct span word)
{
	for (enum verb v = 0; v < VERB_UNIMPLEMENTED; v++)
		if (span_is_nocase(word, verb_rows[v].word))
			return v;
	return VERB_UNIMPLEMENTED;
}

struct span
verb_argument(struct span *args)
{
	struct span word;

	while (args->len > 0 && args->p[0] == ' ')
		args->p++, args->len--;
	word = (struct span){ args->p, 0 };
	while (word.len < args->len && args->p[word.len] != ' ')
		word.len++;
	args->p += word.len;
	args->len -= word.len;
	return word;
}

static bool
has_argument(struct span args)
{
	return verb_argument(&args).len > 0;
}

struct span
engine_helo(const struct engine *e)
{
	return (struct span){ e->said, e->helo_len };
}

struct span
engine_mail(const struct engine *e)
{
	return (struct span){ e->said + e->helo_len, e->mail_len };
}

static const struct engine_rules *
rules_of(const struct session *s)
{
	return s->worker->snap->engine;
}

static void
forget_mail(struct engine *e)
{
	e->has_mail = false;
}

static void
keep_helo(struct engine *e, struct span args, bool ehlo)
{
	e->helo_len = (uint16_t)(args.len < ENGINE_HELO_MAX ? args.len : ENGINE_HELO_MAX);
	memcpy(e->said, args.p, e->helo_len);
	e->cut = args.len > ENGINE_HELO_MAX;
	e->mail_len = 0;
	e->has_helo = true;
	e->said_ehlo = ehlo;
	forget_mail(e);
}

static enum state
do_helo(struct session *s, struct span args)
{
	if (!has_argument(args))
		return engine_say(s, R_HELO_SYNTAX);
	keep_helo(s->engine, args, false);
	return engine_say(s, R_HELO_OK);
}

static enum state
do_ehlo(struct session *s, struct span args)
{
	char text[1024];
	struct buf b = BUF(text);

	if (!has_argument(args))
		return engine_say(s, R_EHLO_SYNTAX);
	keep_helo(s->engine, args, true);
	s->engine->esmtp = true;
	s->engine->discard = ehlo_discard(s);
	ehlo_answer(s, &b);
	return engine_write(s, (struct span){ text, b.len });
}

static enum state
do_starttls(struct session *s, struct span args)
{
	if (has_argument(args))
		return engine_say(s, R_TLS_SYNTAX);
	if (s->tls)
		return engine_say(s, R_TLS_ACTIVE);
	if (!rules_of(s)->tls_offered)
		return engine_say(s, R_NOT_IMPLEMENTED);
	return S_VEIL;
}

static enum state
do_mail(struct session *s, struct span args)
{
	struct engine *e = s->engine;
	size_t room = sizeof e->said - e->helo_len;

	if (rules_of(s)->helo_required && !e->has_helo)
		return engine_say(s, R_NEED_HELO);
	if (e->has_mail)
		return engine_say(s, R_MAIL_NESTED);
	if (args.len == 0 || memchr(args.p, ':', args.len) == NULL)
		return engine_say(s, R_MAIL_SYNTAX);
	e->mail_len = (uint16_t)(args.len < room ? args.len : room);
	e->cut = e->cut || args.len > room;
	memcpy(e->said + e->helo_len, args.p, e->mail_len);
	e->has_mail = true;
	return engine_say(s, R_MAIL_OK);
}

/* As the log shows an address. */
static void
put_address(const struct session *s, struct span args, struct buf *out)
{
	char inner[2100], outer[2100];
	struct buf in = BUF(inner), quoted = BUF(outer);

	mailaddr_extract(args, &in);
	if (rules_of(s)->log_external)
		mailaddr_quote((struct span){ inner, in.len }, &quoted);
	else
		buf_put(&quoted, inner, in.len);
	put_printable(out, (struct span){ outer, quoted.len }, rules_of(s)->smtputf8);
}

static void
keep_rcpt(struct engine *e, const char *rcpt)
{
	size_t size = strlen(rcpt) + 1;

	e->rcpts++;
	if (size > sizeof e->rcpts_text - e->rcpts_len)
		return;
	memcpy(e->rcpts_text + e->rcpts_len, rcpt, size);
	e->rcpts_len += (uint16_t)size;
}

static void
note_rcpt(struct session *s, struct span args)
{
	char to[2100];
	struct buf t = BUF(to);

	put_address(s, args, &t);
	keep_rcpt(s->engine, to);
}

static void
log_reject(struct session *s, struct span args, enum reply refusal)
{
	char reply[512], from[1024], to[2100], helo[ENGINE_HELO_MAX * 2];
	struct buf r = BUF(reply), f = BUF(from), t = BUF(to), h = BUF(helo);
	struct engine *e = s->engine;
	struct span words = engine_helo(e);

	reply_text(s, refusal, &r);
	put_address(s, engine_mail(e), &f);
	put_address(s, args, &t);
	if (e->has_helo)
		put_printable(&h, verb_argument(&words), rules_of(s)->smtputf8);
	log_event(s, EV_REJECT, reply, from, to, e->esmtp ? "ESMTP" : "SMTP", helo);
}

enum state
refuse_rcpt(struct session *s, struct span args)
{
	log_reject(s, args, reply_refusal(s));
	return engine_say(s, reply_refusal(s));
}

void
engine_words(const struct session *s, struct relay_words *out)
{
	const struct engine *e = s->engine;

	*out = (struct relay_words){ .esmtp = e->said_ehlo,
		.helo = engine_helo(e),
		.mail = engine_mail(e),
		.rcpt = { e->input, e->rcpt_len } };
}

/* Bytes that some server might take for a line end, or for the end of its string, are not carried over. */
static bool
is_clean(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.p[i] < 32 || text.p[i] == 127)
			return false;
	return true;
}

/*
 * True if the client goes on to the backend with this RCPT. Whoever sent more behind it, or what we could not keep, is
 * told to come back instead: nothing but what the backend will hear again may have been said.
 */
static bool
continues(struct session *s, struct span args)
{
	struct engine *e = s->engine;

	if (!s->worker->snap->continues || s->no_handoff || e->unread || e->cut || !e->has_helo ||
	    e->out_len > 0 || !screening_may_forward(&s->sc) || args.len > e->line.limit)
		return false;
	if (!is_clean(engine_helo(e)) || !is_clean(engine_mail(e)) || !is_clean(args))
		return false;
	memmove(e->input, args.p, args.len); /* the line it came in is no longer needed */
	e->rcpt_len = (uint16_t)args.len;
	return true;
}

static enum state
do_rcpt(struct session *s, struct span args)
{
	if (!s->engine->has_mail)
		return engine_say(s, R_NEED_MAIL);
	if (args.len == 0 || memchr(args.p, ':', args.len) == NULL)
		return engine_say(s, R_RCPT_SYNTAX);
	note_rcpt(s, args);
	return continues(s, args) ? S_DIAL : refuse_rcpt(s, args);
}

static enum state
do_data(struct session *s, struct span args)
{
	log_plain(s, EV_DATA);
	if (has_argument(args))
		return engine_over(s, R_DATA_SYNTAX);
	return engine_over(s, s->engine->has_mail ? R_NO_RCPTS : R_NEED_RCPT);
}

static enum state
do_bdat(struct session *s, struct span args)
{
	log_plain(s, EV_BDAT);
	if (s->engine->discard & KW_BIT(KW_CHUNKING))
		return engine_over(s, R_NOT_IMPLEMENTED);
	if (!has_argument(args))
		return engine_over(s, R_BDAT_SYNTAX);
	return engine_over(s, s->engine->has_mail ? R_NO_RCPTS : R_BDAT_NEED_MAIL);
}

static enum state
do_rset(struct session *s, struct span args)
{
	(void)args;
	forget_mail(s->engine);
	return engine_say(s, R_OKAY);
}

static enum state
do_noop(struct session *s, struct span args)
{
	(void)args;
	return engine_say(s, R_OKAY);
}

static enum state
do_vrfy(struct session *s, struct span args)
{
	if (!has_argument(args))
		return engine_say(s, R_VRFY_SYNTAX);
	return engine_say(s, rules_of(s)->vrfy_off ? R_VRFY_OFF : reply_refusal(s));
}

static enum state
do_etrn(struct session *s, struct span args)
{
	if (rules_of(s)->helo_required && !s->engine->has_helo)
		return engine_say(s, R_NEED_HELO);
	return engine_say(s, has_argument(args) ? R_ETRN_NO : R_ETRN_SYNTAX);
}

static enum state
do_quit(struct session *s, struct span args)
{
	(void)args;
	return engine_over(s, R_BYE);
}
