#include "config.h"

#include <string.h>
#include <time.h>

#include "screen/engine.h"
#include "screen/journal.h"
#include "screen/rows.h"
#include "screen/tally.h"
#include "screen/worker.h"

static const char *const state_names[] = {
#define STATE(id, ...) [S_##id] = #id,
#include "screen/states.tbl"
#undef STATE
};

static const char *
state_word(unsigned state)
{
	static char word[16];
	struct buf b = BUF(word);

	for (const char *p = state_names[state]; *p != '\0'; p++)
		buf_putc(&b, (char)(*p | 0x20));
	return word;
}

static void
keep(char *out, size_t size, struct span text)
{
	size_t n = text.len < size - 1 ? text.len : size - 1;

	if (n > 0)
		memcpy(out, text.p, n);
	memset(out + n, 0, size - n);
}

static int64_t
born_wall_ms(const struct session *s, int64_t now_us)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (now_us - s->born_us) / 1000;
}

void
row_fill(struct session_row *r, const struct session *s, int64_t now_us)
{
	const struct dnsbl_score *score = s->ask == NULL ? NULL : dnsbl_ask_score(s->ask);
	struct span helo = s->engine == NULL ? (struct span){ "", 0 } : engine_helo(s->engine);

	r->id = s->id;
	r->wall_ms = born_wall_ms(s, now_us);
	r->client = s->peer;
	r->server = s->local;
	r->total_ms = (uint32_t)((now_us - s->born_us) / 1000);
	r->wait_ms = (uint32_t)(s->wait_us / 1000);
	r->score = s->sc.score;
	r->scored = s->sc.scored;
	r->state = s->state;
	r->verdict = s->verdict;
	r->reason = (uint8_t)session_reason(s);
	r->would = (uint8_t)session_would(s);
	r->fail = s->sc.fail;
	r->access = s->access;
	r->ended = true;
	r->known = s->known;
	r->tls = s->tls;
	r->handed = s->handed;
	r->refused = s->sc.refusal != REFUSE_NONE || s->verdict == V_DROP;
	keep(r->list, sizeof r->list,
	    span_of(score != NULL && score->name != NULL ? score->name : ""));
	keep(r->helo, sizeof r->helo, verb_argument(&helo));
}

const char *
row_word(const struct session_row *r)
{
	return r->ended ? verdict_word((enum verdict)r->verdict) : state_word(r->state);
}

static void
tame(uint8_t *value, unsigned end)
{
	if (*value >= end)
		*value = 0;
}

void
row_tame(struct session_row *r)
{
	tame(&r->state, STATES);
	tame(&r->verdict, VERDICTS);
	tame(&r->reason, REASONS);
	tame(&r->would, REASONS);
	if (r->client.addr.family != 6)
		r->client.addr.family = 4;
	if (r->server.addr.family != 6)
		r->server.addr.family = 4;
	r->list[sizeof r->list - 1] = '\0';
	r->helo[sizeof r->helo - 1] = '\0';
}

void
row_json(const struct session_row *r, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE];

	buf_printf(b, "{\"id\":\"%016llx\",\"born\":%lld.%03lld", (unsigned long long)r->id,
	    (long long)(r->wall_ms / 1000), (long long)(r->wall_ms % 1000));
	buf_json_member(b, "client", span_of(addr_format(&r->client.addr, addr)));
	buf_printf(b, ",\"port\":%u", r->client.port);
	buf_json_member(b, "server", span_of(addr_format(&r->server.addr, addr)));
	buf_json_member(b, r->ended ? "verdict" : "state", span_of(row_word(r)));
	buf_json_member(b, "reason", span_of(reason_word((enum reason)r->reason)));
	buf_json_member(b, "shadow", span_of(reason_word((enum reason)r->would)));
	if (r->scored)
		buf_printf(b, ",\"score\":%d", r->score);
	buf_json_member(b, "list", span_of(r->list));
	buf_json_member(b, "helo", span_of(r->helo));
	buf_printf(b, ",\"known\":%s,\"tls\":%s,\"handed\":%s,\"wait_ms\":%u,\"total_ms\":%u}",
	    r->known ? "true" : "false", r->tls ? "true" : "false", r->handed ? "true" : "false",
	    r->wait_ms, r->total_ms);
}

const char *
row_line_header(void)
{
	return "CLIENT                                     AGE  STATE     SCORE  WHY            "
	       "HELO";
}

void
row_line(const struct session_row *r, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE], score[16] = "-";
	struct buf sc = BUF(score);
	const char *why =
	    reason_word((enum reason)(r->reason != REASON_NONE ? r->reason : r->would));

	if (r->scored)
		buf_printf(&sc, "%d", r->score);
	buf_printf(b, "%-39s %6.1fs  %-8s %6s  %-13s  ", addr_format(&r->client.addr, addr),
	    r->total_ms / 1000.0, row_word(r), score, why);
	buf_printable(b, span_of(r->helo));
}
