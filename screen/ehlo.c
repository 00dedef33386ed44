/* The answer to EHLO, and keywords left out of it (RFC 5321 §4.1.1.1). */
#include "config.h"

#include "base/log.h"
#include "screen/engine.h"
#include "screen/promise.h"
#include "screen/verbs.h"
#include "screen/worker.h"

static const char *const words[KEYWORDS] = {
#define KEYWORD(id, word) [KW_##id] = word,
#include "screen/ehlo.tbl"
#undef KEYWORD
};

uint32_t
keywords_parse(struct span text)
{
	uint32_t mask = 0;
	struct span word;

	while ((word = span_token(&text, ", \t\r\n")).len > 0)
		for (enum keyword k = 0; k < KEYWORDS; k++)
			if (span_is_nocase(word, words[k]))
				mask |= KW_BIT(k);
	return mask;
}

void
keywords_format(uint32_t mask, struct buf *out)
{
	for (enum keyword k = 0; k < KEYWORDS; k++)
		if (mask & KW_BIT(k))
			buf_printf(out, "%s%s", out->len > 0 ? " " : "", words[k]);
}

static void
log_discard(const struct session *s, uint32_t mask)
{
	char text[256];
	struct buf b = BUF(text);

	keywords_format(mask, &b);
	log_event(s, EV_DISCARD, text);
}

uint32_t
ehlo_discard(const struct session *s)
{
	const struct engine_rules *rules = s->worker->snap->engine;
	char addr[ADDR_TEXT_SIZE], found[512];
	struct buf b = BUF(found);
	uint32_t mask = rules->discard;

	if (rules->discard_maps != NULL && /* fail open */
	    table_list_find(rules->discard_maps, addr_format(&s->peer.addr, addr), &b) ==
		TABLE_FOUND) {
		mask = keywords_parse((struct span){ found, b.len });
		if ((mask & ~KW_BIT(KW_SILENT)) != 0 && mask != rules->discard &&
		    !(mask & KW_BIT(KW_SILENT)))
			log_discard(s, mask);
	}
	return mask;
}

struct answer {
	struct buf *out;
	size_t last; /* where the last line begins */
	uint32_t discard;
};

static void
put_line(struct answer *a, const char *text)
{
	a->last = a->out->len;
	buf_printf(a->out, "250-%s\r\n", text);
}

static void
announce(struct answer *a, enum keyword k, bool available)
{
	if (available && !(a->discard & KW_BIT(k)))
		put_line(a, words[k]);
}

static void
announce_size(struct answer *a, int64_t limit)
{
	char text[32];
	struct buf b = BUF(text);

	if (a->discard & KW_BIT(KW_SIZE))
		return;
	buf_puts(&b, words[KW_SIZE]);
	if (limit > 0)
		buf_printf(&b, " %lld", (long long)limit);
	put_line(a, text);
}

void
ehlo_answer(const struct session *s, struct buf *out)
{
	const struct engine_rules *rules = s->worker->snap->engine;
	uint32_t kept = UINT32_MAX;
	int64_t size = rules->size_limit;

	if (!s->sc.noforward) /* who is refused is promised what postscreen promises */
		promise_limit(s->worker->promise, &kept, &size);
	struct answer a = { .out = out, .discard = s->engine->discard | ~kept };
	put_line(&a, s->worker->snap->myhostname);
	announce_size(&a, size);
	announce(&a, KW_VRFY, rules->vrfy_announced);
	announce(&a, KW_ETRN, true);
	announce(&a, KW_STARTTLS, rules->tls_offered && !s->tls);
	announce(&a, KW_ENHANCEDSTATUSCODES, true);
	announce(&a, KW_8BITMIME, true);
	announce(&a, KW_DSN, true);
	announce(&a, KW_SMTPUTF8, rules->smtputf8);
	announce(&a, KW_CHUNKING, true);
	if (out->len > a.last + 3)
		out->p[a.last + 3] = ' ';
}
