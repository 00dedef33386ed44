/*
 * tests/bench/tune_gen.c: makes logs for the tuner. See tune_gen.h.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/bench/tune_gen.h"

const struct gen gen_default = {
	.seed = 1,
	.lines = 1200000,
	.clients = 40000,
	.bot_share = 0.6,
	.pregreet = 0.5,
	.threshold = 2,
	.recipients = 1,
	.start_s = 1793491200,
	.span_s = 7 * 86400,
	.format = GEN_SYSLOG,
	.lists = { { "zen.example", "127.0.0.4", 0.85, 0.001, 0, 0, 2 },
	    { "drone.example", "127.0.0.2", 0.60, 0.002, 0, 0, 1 },
	    { "echo.example", "127.0.0.3", 0.60, 0.002, 2, 0.95, 1 },
	    { "slow.example", "127.0.0.2", 0.30, 0.010, 0, 0, 1 },
	    { "wild.example", "127.0.0.9", 0.40, 0.150, 0, 0, 1 },
	    { "coin.example", "127.0.0.2", 0.10, 0.100, 0, 0, 1 },
	    { "friends.example", "127.0.5.3", 0.001, 0.40, 0, 0, -1 } },
	.list_count = 7,
};

static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* A number in 0..1 that belongs to these three, whenever it is asked for. */
static double
chance(const struct gen *g, uint64_t what, uint64_t which)
{
	return (double)(mix(mix(g->seed * 0x10001 + what) + which) >> 11) / 9007199254740992.0;
}

int
gen_is_bot(const struct gen *g, unsigned client)
{
	return chance(g, 1, client) < g->bot_share;
}

uint32_t
gen_address(const struct gen *g, unsigned client)
{
	/* Neighbours of one kind live together, fifty to a /24. */
	uint32_t net =
	    (uint32_t)(mix(g->seed + client / 50 + (gen_is_bot(g, client) ? 1u << 20 : 0)) %
		       0xb00000);

	return (0x0b000000u + (net << 8)) | (client % 50 + 5);
}

int
gen_listed(const struct gen *g, unsigned client, int list)
{
	const struct gen_list *l = &g->lists[list];

	if (l->copies > 0 && chance(g, 100 + (uint64_t)list, client) < l->copied)
		return gen_listed(g, client, l->copies - 1);
	return chance(g, 200 + (uint64_t)list, client) <
	       (gen_is_bot(g, client) ? l->bots : l->good);
}

/* Lines wait here until no earlier one can come. */
struct line {
	int64_t us;
	uint64_t number;
	char text[300];
};
struct writer {
	const struct gen *gen;
	FILE *out;
	struct line *heap;
	size_t count, size;
	uint64_t written, number;
};

static int
before(const struct line *a, const struct line *b)
{
	return a->us != b->us ? a->us < b->us : a->number < b->number;
}

static void
swap(struct line *a, struct line *b)
{
	struct line c = *a;

	*a = *b;
	*b = c;
}

static void
stamp(const struct writer *w, int64_t us, const char *program)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	gmtime_r(&s, &tm);
	switch (w->gen->format) {
	case GEN_RFC5424:
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
		fprintf(w->out, "<22>1 %s.%06d+00:00 mx1 postfix/%s 1234 - - ", text,
		    (int)(us % 1000000), program);
		break;
	case GEN_ISO:
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+0000", &tm);
		fprintf(w->out, "%s mx1 postfix/%s[1234]: ", text, program);
		break;
	default:
		strftime(text, sizeof text, "%b %e %H:%M:%S", &tm);
		fprintf(w->out, "%s mx1 postfix/%s[1234]: ", text, program);
	}
}

static void
pop(struct writer *w)
{
	struct line *h = w->heap;
	char *text = strchr(h[0].text, '\t');

	if (w->gen->format == GEN_RECORD) {
		fputs(h[0].text, w->out);
	} else {
		*text = '\0';
		stamp(w, h[0].us, h[0].text);
		fputs(text + 1, w->out);
	}
	putc('\n', w->out);
	w->written++;
	h[0] = h[--w->count];
	for (size_t i = 0, k; (k = i * 2 + 1) < w->count; i = k) {
		k += k + 1 < w->count && before(&h[k + 1], &h[k]);
		if (!before(&h[k], &h[i]))
			break;
		swap(&h[k], &h[i]);
	}
}

__attribute__((format(printf, 4, 5))) static void
say(struct writer *w, int64_t us, const char *program, const char *format, ...)
{
	struct line *l;
	va_list args;
	int n;

	if (w->gen->format == GEN_RECORD)
		return;
	if (w->count == w->size) {
		w->size = w->size * 2 + 64;
		w->heap = realloc(w->heap, w->size * sizeof *w->heap);
		if (w->heap == NULL)
			abort();
	}
	l = &w->heap[w->count++];
	l->us = us;
	l->number = w->number++;
	n = snprintf(l->text, sizeof l->text, "%s\t", program);
	va_start(args, format);
	vsnprintf(l->text + n, sizeof l->text - (size_t)n, format, args);
	va_end(args);
	for (size_t i = w->count - 1; i > 0 && before(&w->heap[i], &w->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		swap(&w->heap[i], &w->heap[(i - 1) / 2]);
}

static void
deliver(struct writer *w, uint64_t session, const char *ip, int64_t us)
{
	unsigned long long id = mix(session) & 0xffffffffffull;

	say(w, us, "smtpd", "connect from mail%u.example[%s]", (unsigned)(session % 997), ip);
	say(w, us + 90000, "smtpd", "%010llX: client=mail%u.example[%s]", id,
	    (unsigned)(session % 997), ip);
	say(w, us + 150000, "cleanup", "%010llX: message-id=<%llx.%u@sender.example>", id, id,
	    (unsigned)session);
	say(w, us + 210000, "qmgr",
	    "%010llX: from=<user%u@sender.example>, size=%u, nrcpt=1 (queue active)", id,
	    (unsigned)(session % 8009), (unsigned)(1000 + session % 90000));
	say(w, us + 300000, "smtpd",
	    "disconnect from mail%u.example[%s] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
	    (unsigned)(session % 997), ip);
	for (int i = 0; i < w->gen->recipients; i++)
		say(w, us + 500000, "lmtp",
		    "%010llX: to=<user%u@here.example>, relay=127.0.0.1[127.0.0.1]:24, delay=0.41, "
		    "delays=0.3/0.01/0.02/0.08, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
		    id, (unsigned)((session + (unsigned)i * 97) % 701));
	say(w, us + 510000, "qmgr", "%010llX: removed", id);
}

/* A bot that got through: the backend knows no such user, or does not want the mail. */
static void
refuse(struct writer *w, uint64_t session, const char *ip, int64_t us)
{
	unsigned long long id = mix(session) & 0xffffffffffull;

	say(w, us, "smtpd", "connect from unknown[%s]", ip);
	if (mix(session + 1) % 2 == 0) {
		for (int i = 0; i < 5; i++)
			say(w, us + 50000 * (i + 1), "smtpd",
			    "NOQUEUE: reject: RCPT from unknown[%s]: 550 5.1.1 "
			    "<u%d@here.example>: Recipient address rejected: User unknown; "
			    "from=<x@y.example> "
			    "to=<u%d@here.example> proto=ESMTP helo=<x>",
			    ip, i, i);
	} else {
		say(w, us + 90000, "smtpd", "%010llX: client=unknown[%s]", id, ip);
		say(w, us + 150000, "cleanup",
		    "%010llX: milter-reject: END-OF-MESSAGE from unknown[%s]: 5.7.1 Spam message "
		    "rejected; from=<x@y.example> to=<u@here.example> proto=ESMTP helo=<x>",
		    id, ip);
	}
	say(w, us + 400000, "smtpd",
	    "disconnect from unknown[%s] ehlo=1 mail=1 rcpt=0/5 quit=1 commands=3/8", ip);
}

static void
record(struct writer *w, const struct gen *g, unsigned client, const char *ip, unsigned port,
    int64_t us, int early, const char *verdict, const char *reason)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	gmtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(w->out,
	    "{\"time\":\"%s.%03dZ\",\"id\":\"1\",\"client\":\"%s\",\"port\":%u,\"pregreet\":%s,"
	    "\"deep\":[],\"dnsbl\":[",
	    text, (int)(us / 1000 % 1000), ip, port,
	    early ? "{\"bytes\":14,\"after_ms\":150}" : "null");
	for (int i = 0; i < g->list_count; i++) {
		int listed = gen_listed(g, client, i);

		fprintf(w->out,
		    "%s{\"site\":\"%s\",\"answers\":[%s%s%s],\"listed\":%s,\"error\":null,\"ms\":%."
		    "1f}",
		    i > 0 ? "," : "", g->lists[i].name, listed ? "\"" : "",
		    listed ? g->lists[i].code : "", listed ? "\"" : "", listed ? "true" : "false",
		    10.0 * (i + 1));
	}
	fprintf(w->out,
	    "],\"helo\":\"\\\"dnsbl\\\":[\",\"verdict\":\"%s\",\"reason\":\"%s\",\"total_ms\":6000}"
	    "\n",
	    verdict, reason);
	w->written++;
}

static void
session(struct writer *w, uint64_t n, unsigned client, int64_t us)
{
	const struct gen *g = w->gen;
	uint32_t a = gen_address(g, client);
	int bot = gen_is_bot(g, client), early = bot && chance(g, 3, client) < g->pregreet,
	    score = 0;
	unsigned port = 1025 + (unsigned)(mix(n) % 60000);
	char ip[16];

	snprintf(ip, sizeof ip, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	say(w, us, "postscreen", "CONNECT from [%s]:%u to [198.51.100.2]:25", ip, port);
	if (early)
		say(w, us + 150000, "postscreen",
		    "PREGREET 14 after 0.15 from [%s]:%u: EHLO ylmf-pc\\r\\n", ip, port);
	for (int i = 0; i < g->list_count; i++)
		if (gen_listed(g, client, i)) {
			say(w, us + 20000 * (i + 1), "dnsblog", "addr %s listed by domain %s as %s",
			    ip, g->lists[i].name, g->lists[i].code);
			score += g->format == GEN_RECORD ? 0 : g->lists[i].weight;
		}
	for (int i = 0; g->format == GEN_RECORD && i < g->list_count; i++)
		score += gen_listed(g, client, i) ? g->lists[i].weight : 0;
	if (g->format == GEN_RECORD) {
		record(w, g, client, ip, port, us, early,
		    score >= g->threshold ? "reject" : "pass_old",
		    score >= g->threshold ? "dnsbl"
		    : early		  ? "pregreet"
					  : "");
		return;
	}
	us += 6000000;
	if (score >= g->threshold) {
		say(w, us, "postscreen", "DNSBL rank %d for [%s]:%u", score, ip, port);
		say(w, us + 200000, "postscreen",
		    "NOQUEUE: reject: RCPT from [%s]:%u: 550 5.7.1 Service unavailable; "
		    "client [%s] blocked using zen.example; from=<a%u@b.example>, "
		    "to=<user@here.example>, "
		    "proto=ESMTP, helo=<x>",
		    ip, port, ip, client);
	} else if (!early) {
		say(w, us, "postscreen", "PASS %s [%s]:%u", n < g->clients ? "NEW" : "OLD", ip,
		    port);
		(bot ? refuse : deliver)(w, n, ip, us);
		return;
	}
	say(w, us + 300000, "postscreen", "DISCONNECT [%s]:%u", ip, port);
}

/* Every client comes once, then again and again in turn, the bots less often. */
void
gen_write(const struct gen *g, FILE *out)
{
	struct writer w = { .gen = g, .out = out };
	uint64_t sessions = g->lines / 6 + 1;

	if (g->clients == 0)
		return;

	for (uint64_t n = 0; w.written + w.count < g->lines; n++) {
		unsigned client = (unsigned)(n < g->clients ? n : mix(n) % g->clients);
		int64_t us = g->start_s * 1000000 +
			     (int64_t)((double)n / (double)sessions * (double)g->span_s * 1e6);

		if (n >= g->clients && gen_is_bot(g, client) && mix(n + 7) % 3 != 0)
			client = (unsigned)(mix(n + 11) % g->clients);
		while (w.count > 0 && w.heap[0].us <= us)
			pop(&w);
		session(&w, n, client, us);
	}
	while (w.count > 0)
		pop(&w);
	free(w.heap);
}
