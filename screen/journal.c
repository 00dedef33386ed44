/* The session record: one JSON object a line (gatehouse(8), LOG), for people who measure. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "screen/engine.h"
#include "screen/journal.h"
#include "screen/tally.h"
#include "screen/worker.h"

#define LINE_SIZE 16384

static struct {
	int fd;
	char gathered[65536];
	size_t len;
	uint64_t count, lost; /* records gathered; not taken by the file */
} journal = { .fd = -1 };

void
journal_open(int fd)
{
	journal.fd = fd;
}

void
journal_flush(void)
{
	static struct log_limit limit;
	unsigned held;

	if (journal.len == 0)
		return;
	ssize_t n = write(journal.fd, journal.gathered, journal.len);
	if (n != (ssize_t)journal.len) {
		journal.lost += journal.count;
		if (log_allowed(&limit, clock_now_us(), &held))
			log_warning("gatehouse_record_log: records are lost: %s",
			    n < 0 ? "write error" : "short write");
	}
	journal.len = 0;
	journal.count = 0;
}

uint64_t
journal_lost(void)
{
	return journal.lost;
}

static const char *const verdict_words[VERDICTS] = {
	[V_NONE] = "error",
	[V_PASS_OLD] = "pass_old",
	[V_PASS_NEW] = "pass_new",
	[V_ALLOW] = "allow",
	[V_REJECT] = "reject",
	[V_DROP] = "drop",
	[V_HANGUP] = "hangup",
	[V_BUSY] = "busy",
	[V_ERROR] = "error",
};

const char *
verdict_word(enum verdict v)
{
	return verdict_words[v];
}

static void
put_time(struct buf *b)
{
	struct timespec now;
	struct tm tm;
	char text[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(b, "{\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

static void
put_ends(struct buf *b, const struct session *s)
{
	char addr[ADDR_TEXT_SIZE];

	buf_printf(b, ",\"id\":\"%016llx\"", (unsigned long long)s->id);
	buf_json_member(b, "client", span_of(addr_format(&s->peer.addr, addr)));
	buf_printf(b, ",\"port\":%u,\"server\":\"%s\",\"worker\":%u", s->peer.port,
	    addr_format(&s->local.addr, addr), s->worker->number);
}

/* gatehouse_geo_files, and the client's name where a rule wants it looked up. */
static void
put_origin(struct buf *b, const struct session *s)
{
	const struct dnsbl_sites *sites = s->worker->snap->sites;
	const char *ptr = s->ask == NULL ? NULL : dnsbl_ask_ptr(s->ask);
	char country[3];
	uint32_t asn;

	if (dnsbl_country(sites, &s->peer.addr, country))
		buf_json_member(b, "country", span_of(country));
	else
		buf_puts(b, ",\"country\":null");
	if (dnsbl_asn(sites, &s->peer.addr, &asn))
		buf_printf(b, ",\"asn\":%u", asn);
	else
		buf_puts(b, ",\"asn\":null");
	if (ptr != NULL)
		buf_json_member(b, "ptr", span_of(ptr));
	else
		buf_puts(b, ",\"ptr\":null");
}

static void
put_facts(struct buf *b, const struct session *s)
{
	static const char *const access[] = { "none", "permit", "reject" };

	buf_printf(
	    b, ",\"access\":\"%s\",\"cache\":\"%s\"", access[s->access], s->known ? "hit" : "miss");
	if (s->pregreet_bytes > 0)
		buf_printf(b, ",\"pregreet\":{\"bytes\":%u,\"after_ms\":%u}", s->pregreet_bytes,
		    s->pregreet_ms);
	else
		buf_puts(b, ",\"pregreet\":null");
	buf_puts(b, ",\"deep\":[");
	for (enum check c = CHECK_PIPELINING, first = c; c < CHECKS; c++)
		if (s->sc.fail & CHECK_BIT(c)) {
			buf_printf(b, "%s\"%s\"", first == CHECKS ? "," : "", check_word(c));
			first = CHECKS;
		}
	buf_putc(b, ']');
}

static void
put_error(struct buf *b, const struct dnsbl_answer *a)
{
	if (a->state == DNSBL_PENDING)
		buf_puts(b, ",\"error\":\"pending\"");
	else if (a->error != NULL)
		buf_json_member(b, "error", span_of(a->error));
	else
		buf_puts(b, ",\"error\":null");
}

static void
put_answer(struct buf *b, const char *site, const struct dnsbl_answer *a)
{
	buf_puts(b, "{\"site\":\"");
	buf_json(b, span_of(site));
	buf_puts(b, "\",\"answers\":[");
	for (unsigned i = 0; i < a->count; i++)
		buf_printf(b, "%s\"%u.%u.%u.%u\"", i > 0 ? "," : "", a->ip[i][0], a->ip[i][1],
		    a->ip[i][2], a->ip[i][3]);
	buf_printf(b, "],\"listed\":%s,\"score\":%d", a->state == DNSBL_LISTED ? "true" : "false",
	    a->score);
	put_error(b, a);
	buf_printf(b, ",\"ms\":%.1f}", a->us / 1000.0);
}

static void
put_signal(struct buf *b, const char *signal, const struct dnsbl_answer *a)
{
	buf_puts(b, "{\"signal\":\"");
	buf_json(b, span_of(signal));
	buf_printf(b, "\",\"matched\":%s,\"score\":%d", a->state == DNSBL_LISTED ? "true" : "false",
	    a->score);
	put_error(b, a);
	buf_putc(b, '}');
}

/* What the voters said, from the first to before the last. */
static void
put_votes(struct buf *b, const struct session *s, size_t first, size_t last,
    void (*put)(struct buf *, const char *name, const struct dnsbl_answer *))
{
	const struct dnsbl_score *score = s->ask == NULL ? NULL : dnsbl_ask_score(s->ask);

	buf_putc(b, '[');
	for (size_t i = first; score != NULL && i < last; i++) {
		if (i > first)
			buf_putc(b, ',');
		put(b, dnsbl_domain_shown(s->worker->snap->sites, i), &score->answers[i]);
	}
	buf_putc(b, ']');
}

static void
put_score(struct buf *b, const struct session *s)
{
	const struct dnsbl_sites *sites = s->worker->snap->sites;
	size_t lists = dnsbl_list_count(sites);

	buf_puts(b, ",\"dnsbl\":");
	put_votes(b, s, 0, lists, put_answer);
	if (s->sc.scored)
		buf_printf(b, ",\"score\":%d", s->sc.score);
	else
		buf_puts(b, ",\"score\":null");
	buf_puts(b, ",\"signals\":");
	put_votes(b, s, lists, dnsbl_domain_count(sites), put_signal);
}

static void
put_shadow(struct buf *b, const struct session *s)
{
	if (screening_would(&s->sc) == STEP_PASS) {
		buf_puts(b, ",\"shadow\":null");
		return;
	}
	buf_printf(b, ",\"shadow\":{\"verdict\":\"%s\",\"reason\":\"%s\"}",
	    verdict_word(screening_would(&s->sc) == STEP_DROP ? V_DROP : V_REJECT),
	    reason_word(session_would(s)));
}

void
journal_session(struct session *s, int64_t now_us)
{
	static char line[LINE_SIZE];
	struct buf b = BUF(line);

	if (journal.fd < 0)
		return;
	put_time(&b);
	put_ends(&b, s);
	put_origin(&b, s);
	put_facts(&b, s);
	put_score(&b, s);
	engine_journal(s, &b);
	buf_json_member(&b, "verdict", span_of(verdict_words[s->verdict]));
	buf_json_member(&b, "reason", span_of(reason_word(session_reason(s))));
	put_shadow(&b, s);
	buf_json_member(&b, "handoff", span_of(s->handed ? s->worker->snap->backend.name : ""));
	buf_printf(&b, ",\"wait_ms\":%lld,\"total_ms\":%lld}", (long long)(s->wait_us / 1000),
	    (long long)((now_us - s->born_us) / 1000));
	if (b.cut) { /* dozens of lists with long names and many answers each */
		journal.lost++;
		return;
	}
	line[b.len++] = '\n';
	if (journal.len + b.len > sizeof journal.gathered)
		journal_flush();
	memcpy(journal.gathered + journal.len, line, b.len);
	journal.len += b.len;
	journal.count++;
}
