/* policy/tune: logs into sessions, labels, figures, weights. The scorer is the daemon's. */
#include "config.h"

#include <atf-c.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/tune/analysis.h"
#include "policy/tune/scan.h"
#include "policy/tune/tune.h"
#include "screen/tune_scorer.h"
#include "tests/bench/tune_gen.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW 1795300000 /* November 2026 */

static struct tune *
read_text(const char *text)
{
	struct tune *t = tune_new();

	setenv("TZ", "UTC", 1);
	tune_feed(t, text, strlen(text), NOW);
	tune_finish(t);
	return t;
}

static char *
generate(const struct gen *g, size_t *len)
{
	static char *text; /* static: gcc 12 at -O2 takes what it points to for gone */
	FILE *out = open_memstream(&text, len);

	ATF_REQUIRE(out != NULL);
	gen_write(g, out);
	fclose(out);
	return text;
}

static const struct tune_scorer *
daemon_scorer(void)
{
	static struct tune_scorer_config config;

	return tune_scorer_of(&config);
}

/* The report as one string. To be freed. */
static char *
report(struct tune *t, const struct tune_options *options)
{
	struct diag *diag = diag_new();
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ATF_REQUIRE(tune_report(t, options, daemon_scorer(), out, diag));
	ATF_CHECK_EQ(diag_count(diag, DIAG_ERROR), 0);
	fclose(out);
	diag_free(&diag);
	return text;
}

#define SYS "Nov 21 01:02:03 mx1 postfix/"
ATF_TC_WITHOUT_HEAD(every_left_part);
ATF_TC_BODY(every_left_part, tc)
{
	static const struct {
		const char *line;
		int odd, sessions;
		int64_t us;
	} cases[] = {
		{ SYS "postscreen[1]: PASS OLD [192.0.2.1]:25", 0, 1, 1795222923000000 },
		{ "Nov  1 01:02:03 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 0, 1,
		    1793494923000000 },
		{ "<22>Nov 21 01:02:03 mx1 in-1/postscreen[1]: PASS OLD [192.0.2.1]:25", 0, 1,
		    1795222923000000 },
		{ "2026-11-21T01:02:03.5+01:00 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25",
		    0, 1, 1795219323500000 },
		{ "2026-11-21T01:02:03-0130 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 0,
		    1, 1795228323000000 },
		{ "2026-11-21T01:02:03.000250Z mx1 a/b/postscreen[1]: PASS OLD [192.0.2.1]:25", 0,
		    1, 1795222923000250 },
		{ "<22>1 2026-11-21T01:02:03Z mx1 postfix/postscreen 12 - - PASS OLD "
		  "[192.0.2.1]:25",
		    0, 1, 1795222923000000 },
		{ "<22>1 2026-11-21T01:02:03Z mx1 postfix/postscreen 12 ID [x@1 a=\"]\\\" \"][y] "
		  "\xef\xbb\xbfPASS OLD [192.0.2.1]:25",
		    0, 1, 1795222923000000 },
		{ "Nov 21 01:02:03 mx1 dovecot: PASS OLD [192.0.2.1]:25", 0, 0, 0 },
		{ "Nov 21 01:02:03 mx1 kernel: [1.5] PASS OLD [192.0.2.1]:25", 0, 0, 0 },
		{ "Nov 21 01:02:03 mx1 postscreen[1]: PASS OLD [192.0.2.1]:25", 0, 0, 0 },
		{ "-- Boot 0123 --", 0, 0, 0 },
		{ "Nov 31x01:02:03 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 1, 0, 0 },
		{ "Nov 21 24:02:03 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 1, 0, 0 },
		{ "Xxx 21 01:02:03 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 1, 0, 0 },
		{ "Nov 21 01:02:03 mx1 postfix/postscreen[x]: PASS OLD [192.0.2.1]:25", 1, 0, 0 },
		{ "2026-13-21T01:02:03Z mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:25", 1, 0,
		    0 },
		{ "<22>1 2026-11-21T01:02:03Z mx1 postfix/postscreen 12 - [x PASS OLD "
		  "[192.0.2.1]:25",
		    1, 0, 0 },
		{ "PASS OLD [192.0.2.1]:25", 1, 0, 0 },
		{ "\xff\xfe\x01", 1, 0, 0 },
		{ "Nov 21", 1, 0, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tune *t = read_text(cases[i].line);

		ATF_CHECK_EQ_MSG((int)tune_odd_lines(t), cases[i].odd, "%s", cases[i].line);
		ATF_CHECK_EQ_MSG((int)tune_sessions(t), cases[i].sessions, "%s", cases[i].line);
		if (cases[i].sessions > 0)
			ATF_CHECK_EQ_MSG(t->stamp.us, cases[i].us, "%s: %lld", cases[i].line,
			    (long long)t->stamp.us);
		tune_free(&t);
	}
}

ATF_TC_WITHOUT_HEAD(messages_of_postscreen);
ATF_TC_BODY(messages_of_postscreen, tc)
{
	static const struct {
		const char *text;
		int odd;
		int verdict; /* -1: no session */
	} cases[] = {
		{ "CONNECT from [192.0.2.1]:4711 to [198.51.100.2]:25", 0, V_ERROR },
		{ "CONNECT from [2001:db8::1]:4711 to [2001:db8::2]:25", 0, V_ERROR },
		{ "ALLOWLISTED [192.0.2.1]:1", 0, V_ALLOW },
		{ "WHITELISTED [192.0.2.1]:1", 0, V_ALLOW },
		{ "DENYLISTED [192.0.2.1]:1", 0, V_DROP },
		{ "BLACKLISTED [192.0.2.1]:1", 0, V_DROP },
		{ "ALLOWLIST VETO [192.0.2.1]:1", 0, -1 },
		{ "WHITELIST VETO [192.0.2.1]:1", 0, -1 },
		{ "PASS NEW [192.0.2.1]:1", 0, V_PASS_NEW },
		{ "PASS OLD [192.0.2.1]:1", 0, V_PASS_OLD },
		{ "PREGREET 14 after 0.15 from [192.0.2.1]:1: EHLO [1.2.3.4]:5 PASS NEW "
		  "[9.9.9.9]:9",
		    0, V_DROP },
		{ "DNSBL rank 7 for [192.0.2.1]:1", 0, V_DROP },
		{ "HANGUP after 0 from [192.0.2.1]:1 in tests before SMTP handshake", 0, V_HANGUP },
		{ "NOQUEUE: reject: CONNECT from [192.0.2.1]:1: too many connections", 0, V_BUSY },
		{ "reject: connect from [192.0.2.1]:1: all screening ports busy", 0, V_BUSY },
		{ "NOQUEUE: reject: RCPT from [192.0.2.1]:1: 450 4.3.2 Service currently "
		  "unavailable; from=<a>",
		    0, V_REJECT },
		{ "NOQUEUE: reject: RCPT from [192.0.2.1]:1: 550 5.7.1 Service unavailable; client",
		    0, V_REJECT },
		{ "COMMAND PIPELINING from [192.0.2.1]:1 after EHLO: MAIL", 0, V_DROP },
		{ "NON-SMTP COMMAND from [192.0.2.1]:1 after CONNECT: GET / HTTP", 0, V_DROP },
		{ "BARE NEWLINE from [192.0.2.1]:1 after x", 0, V_DROP },
		{ "COMMAND TIME LIMIT from [192.0.2.1]:1 after EHLO", 0, -1 },
		{ "DISCONNECT [192.0.2.1]:1", 0, -1 },
		{ "cache lmdb:/x full cleanup: retained=1 dropped=2 entries", 0, -1 },
		{ "warning: dnsblog reply timeout 10s for bl.example", 0, -1 },
		{ "PASS OLD [192.0.2.1]:1 and more", 1, -1 },
		{ "PASS OLD [192.0.2.256]:1", 1, -1 },
		{ "PASS OLD [192.0.2.01]:1", 1, -1 },
		{ "PASS OLD [192.0.2.1]:65536", 1, -1 },
		{ "PASS OLD 192.0.2.1:1", 1, -1 },
		{ "CONNECT from [192.0.2.1]:1", 1, -1 },
		{ "PREGREET x after 0.15 from [192.0.2.1]:1: x", 1, -1 },
		{ "DNSBL rank for [192.0.2.1]:1", 1, -1 },
		{ "something new from [192.0.2.1]:1", 1, -1 },
		{ "\x01\x02", 1, -1 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *line = mem_printf(SYS "postscreen[1]: %s\n", cases[i].text);
		struct tune *t = read_text(line);

		ATF_CHECK_EQ_MSG((int)tune_odd_lines(t), cases[i].odd, "%s", line);
		ATF_CHECK_EQ_MSG((int)tune_sessions(t), cases[i].verdict >= 0, "%s", line);
		if (cases[i].verdict >= 0)
			ATF_CHECK_EQ_MSG(t->history->verdicts[cases[i].verdict], 1, "%s", line);
		tune_free(&t);
		free(line);
	}
}

#define A1 "dnsblog[2]: addr 192.0.2.1 listed by domain bl.example as 127.0.0.2\n"
ATF_TC_WITHOUT_HEAD(sessions_from_scattered_lines);
ATF_TC_BODY(sessions_from_scattered_lines, tc)
{
	static const struct {
		const char *what, *text;
		unsigned sessions, scored, clients, listed;
	} cases[] = {
		{ "in order",
		    SYS
		    "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS A1 SYS
		    "postscreen[1]: DNSBL rank 1 for [192.0.2.1]:1\n" SYS
		    "postscreen[1]: DISCONNECT [192.0.2.1]:1\n",
		    1, 1, 1, 1 },
		{ "the answer before the client",
		    SYS A1 SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n",
		    1, 1, 1, 1 },
		{ "the end before the beginning",
		    SYS "postscreen[1]: PASS NEW [192.0.2.1]:1\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n",
		    1, 1, 1, 0 },
		{ "a late answer",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: PASS NEW [192.0.2.1]:1\n" SYS A1,
		    1, 1, 1, 1 },
		{ "two at once share their answers",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:2 to [198.51.100.2]:25\n" SYS A1,
		    2, 2, 1, 2 },
		{ "two in a row do not",
		    SYS
		    "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS A1 SYS
		    "postscreen[1]: DISCONNECT [192.0.2.1]:1\n"
		    "Nov 21 01:02:08 mx1 postfix/postscreen[1]: CONNECT from [192.0.2.1]:2 to "
		    "[198.51.100.2]:25\n",
		    2, 2, 1, 1 },
		{ "one port twice",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n",
		    2, 2, 1, 0 },
		{ "from memory",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: PASS OLD [192.0.2.1]:1\n",
		    1, 0, 1, 0 },
		{ "not from memory",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n"
			"Nov 21 01:02:09 mx1 postfix/postscreen[1]: PASS OLD [192.0.2.1]:1\n",
		    1, 1, 1, 0 },
		{ "an answer for nobody", SYS A1, 0, 0, 0, 0 },
		{ "a stray end", SYS "postscreen[1]: DISCONNECT [192.0.2.1]:1\n", 0, 0, 0, 0 },
		{ "seven at once",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:2 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:3 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:4 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:5 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:6 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [192.0.2.1]:7 to [198.51.100.2]:25\n",
		    7, 7, 1, 0 },
		{ "the same client in another spelling",
		    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
			"postscreen[1]: CONNECT from [::ffff:192.0.2.1]:2 to [198.51.100.2]:25\n",
		    2, 2, 1, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tune *t = read_text(cases[i].text);
		uint64_t listed = 0;

		for (size_t p = 0; p < t->history->pattern_count; p++)
			listed += t->history->patterns[p].lists != 0
				      ? t->history->patterns[p].sessions
				      : 0;
		ATF_CHECK_EQ_MSG(tune_odd_lines(t), 0, "%s", cases[i].what);
		ATF_CHECK_EQ_MSG(tune_sessions(t), cases[i].sessions, "%s: %llu", cases[i].what,
		    (unsigned long long)tune_sessions(t));
		ATF_CHECK_EQ_MSG(t->history->scored, cases[i].scored, "%s", cases[i].what);
		ATF_CHECK_EQ_MSG(tune_clients(t), cases[i].clients, "%s", cases[i].what);
		ATF_CHECK_EQ_MSG(
		    listed, cases[i].listed, "%s: %llu", cases[i].what, (unsigned long long)listed);
		tune_free(&t);
	}
}

ATF_TC_WITHOUT_HEAD(records);
ATF_TC_BODY(records, tc)
{
#define REC "{\"time\":\"2026-11-21T01:02:09.000Z\",\"client\":\"192.0.2.1\",\"port\":1,"
	static const struct {
		const char *line;
		int odd, verdict;
		unsigned flag_counts; /* pregreet + deep + ranked of the client */
	} cases[] = {
		{ REC "\"verdict\":\"pass_new\"}", 0, V_PASS_NEW, 0 },
		{ REC "\"pregreet\":{\"bytes\":14,\"after_ms\":150},\"verdict\":\"drop\","
		      "\"reason\":\"pregreet\"}",
		    0, V_DROP, 1 },
		{ REC "\"pregreet\":null,\"deep\":[],\"verdict\":\"allow\"}", 0, V_ALLOW, 0 },
		{ REC "\"deep\":[\"pipelining\",\"bare-newline\"],\"verdict\":\"reject\"}", 0,
		    V_REJECT, 1 },
		{ REC "\"reason\":\"dnsbl\",\"verdict\":\"reject\"}", 0, V_REJECT, 1 },
		{ REC "\"helo\":\"\\\"pregreet\\\":true,\\\"deep\\\":[\\\"pipelining\\\"]\","
		      "\"verdict\":\"busy\"}",
		    0, V_BUSY, 0 },
		{ REC "\"mail\":{\"deep\":[\"pipelining\"],\"client\":\"10.0.0.1\"},\"verdict\":"
		      "\"hangup\"}",
		    0, V_HANGUP, 0 },
		{ "{\"time\":1795222929.5,\"client\":\"2001:db8::1\",\"verdict\":\"pass_old\"}", 0,
		    V_PASS_OLD, 0 },
		{ REC "\"verdict\":\"unheard\"}", 1, -1, 0 },
		{ REC "\"verdict\":\"pass_new\"", 1, -1, 0 },
		{ REC "\"verdict\":\"pass_new\"} x", 1, -1, 0 },
		{ "{\"verdict\":\"pass_new\"}", 1, -1, 0 },
		{ REC "\"dnsbl\":[{\"answers\":[\"127.0.0.2\"]}],\"verdict\":\"pass_new\"}", 1, -1,
		    0 },
		{ REC "\"dnsbl\":[{\"site\":\"b.example\",\"answers\":[\"127.0.0\"]}],\"verdict\":"
		      "\"drop\"}",
		    1, -1, 0 },
		{ "{\"time\":\"yesterday\",\"client\":\"192.0.2.1\",\"verdict\":\"drop\"}", 1, -1,
		    0 },
		{ "{\"time\":1795222929,\"client\":\"mail.example\",\"verdict\":\"drop\"}", 1, -1,
		    0 },
		{ "{}", 1, -1, 0 },
		{ "{", 1, -1, 0 },
		{ "{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", 1, -1, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tune *t = read_text(cases[i].line);

		ATF_CHECK_EQ_MSG((int)tune_odd_lines(t), cases[i].odd, "%s", cases[i].line);
		ATF_CHECK_EQ_MSG((int)tune_sessions(t), cases[i].verdict >= 0, "%s", cases[i].line);
		if (tune_sessions(t) == 1) {
			const struct client *c = client_at(t->history, 0);

			ATF_CHECK_EQ_MSG(
			    t->history->verdicts[cases[i].verdict], 1, "%s", cases[i].line);
			ATF_CHECK_EQ_MSG((unsigned)(c->pregreet + c->deep + c->ranked),
			    cases[i].flag_counts, "%s", cases[i].line);
		}
		tune_free(&t);
	}
}

ATF_TC_WITHOUT_HEAD(years_roll_over);
ATF_TC_BODY(years_roll_over, tc)
{
	struct tune *t =
	    read_text("Dec 31 23:59:58 mx postfix/postscreen[1]: CONNECT from [192.0.2.1]:1 to "
		      "[198.51.100.2]:25\n"
		      "Jan  1 00:00:04 mx postfix/postscreen[1]: PASS NEW [192.0.2.1]:1\n"
		      "Dec 31 23:59:59 mx postfix/postscreen[1]: CONNECT from [192.0.2.2]:1 to "
		      "[198.51.100.2]:25\n"
		      "Jan  1 00:00:05 mx postfix/postscreen[1]: PASS NEW [192.0.2.2]:1\n"
		      "Jul  9 00:00:00 mx garbage\n" /* moves nothing: the line is odd */
		      "Mar  1 00:00:00 mx postfix/postscreen[1]: PASS OLD [192.0.2.2]:1\n");

	ATF_CHECK_EQ(tune_sessions(t), 3);
	ATF_CHECK_EQ(t->history->first_s, 1767225598); /* 2025-12-31, for it is November 2026 */
	ATF_CHECK_EQ(t->history->last_s, 1772323200);  /* 2026-03-01 */
	ATF_CHECK_EQ(tune_odd_lines(t), 0);	       /* "garbage" is the tag of a program */
	tune_free(&t);
}

static void
client_make(struct client *c, const char *what)
{
	static const struct {
		const char *word;
		struct client client;
	} kinds[] = {
		{ "once", { .sessions = 1, .pass_new = 1 } },
		{ "delivered once", { .sessions = 1, .pass_new = 1, .delivered = 1 } },
		{ "came back", { .sessions = 2, .pass_new = 1, .delivered = 1 } },
		{ "long history",
		    { .sessions = 6, .pass_old = 5, .first_s = 1000, .last_s = 100000 } },
		{ "short history",
		    { .sessions = 6, .pass_old = 5, .first_s = 1000, .last_s = 1100 } },
		{ "early", { .sessions = 1, .pregreet = 1 } },
		{ "protocol", { .sessions = 1, .deep = 1 } },
		{ "spam", { .sessions = 2, .spam = 1 } },
		{ "one unknown", { .sessions = 2, .unknown = 1 } },
		{ "many unknown", { .sessions = 2, .unknown = 6 } },
		{ "many unknown, many known", { .sessions = 90, .unknown = 6, .delivered = 80 } },
		{ "never back",
		    { .sessions = 1, .flags = CLIENT_WAITED, .soft_s = 1000, .last_s = 1000 } },
		{ "just told",
		    { .sessions = 1, .flags = CLIENT_WAITED, .soft_s = 199000, .last_s = 199000 } },
		{ "mixed", { .sessions = 9, .delivered = 5, .pregreet = 1 } },
		{ "one slip", { .sessions = 90, .delivered = 80, .pregreet = 1 } },
	};
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strcmp(kinds[i].word, what) == 0) {
			*c = kinds[i].client;
			return;
		}
	atf_tc_fail("no kind %s", what);
}

ATF_TC_WITHOUT_HEAD(labels);
ATF_TC_BODY(labels, tc)
{
	static const struct {
		const char *kind;
		uint64_t trust;
		enum label want;
	} cases[] = { { "once", 0, UNLABELLED }, { "once", 1, GOOD },
		{ "delivered once", 0, UNLABELLED }, { "came back", 0, GOOD },
		{ "long history", 0, GOOD }, { "short history", 0, UNLABELLED },
		{ "early", 0, BAD }, { "early", 1, BAD }, { "protocol", 0, BAD },
		{ "spam", 0, BAD }, { "one unknown", 0, UNLABELLED }, { "many unknown", 0, BAD },
		{ "many unknown, many known", 0, GOOD }, { "never back", 0, BAD },
		{ "just told", 0, UNLABELLED }, { "mixed", 0, UNLABELLED },
		{ "one slip", 0, GOOD } };
	struct tune *t = tune_new();
	struct analysis *a = mem_alloc(sizeof *a);

	a->history = t->history;
	t->history->last_s = 200000;
	labels_prepare(a);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct client c;

		client_make(&c, cases[i].kind);
		ATF_CHECK_EQ_MSG(
		    label_of(a, &c, cases[i].trust), cases[i].want, "%s", cases[i].kind);
	}
	free(a->neighbours);
	free(a->answer_trusted);
	free(a);
	tune_free(&t);
}

ATF_TC_WITHOUT_HEAD(wilson);
ATF_TC_BODY(wilson, tc)
{
	/* From the formula, worked by hand to four places. */
	static const struct {
		uint64_t hits, of;
		double low, high;
	} cases[] = { { 0, 10, 0, 0.2775 }, { 1, 10, 0.0179, 0.4042 }, { 5, 10, 0.2366, 0.7634 },
		{ 10, 10, 0.7225, 1 }, { 14, 8475031, 0.00000098, 0.00000278 }, { 0, 0, 0, 1 } };
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct share s = share_of(cases[i].hits, cases[i].of);

		ATF_CHECK_MSG(
		    fabs(s.low - cases[i].low) < 0.0001 && fabs(s.high - cases[i].high) < 0.0001,
		    "%llu of %llu: %f to %f", (unsigned long long)cases[i].hits,
		    (unsigned long long)cases[i].of, s.low, s.high);
	}
}

/* Hostile lines change no figure but their own count. */
ATF_TC_WITHOUT_HEAD(hostile_lines);
ATF_TC_BODY(hostile_lines, tc)
{
	static const char *const hostile[] = {
		"\x00\x01\x02\xff\xfe binary",
		"Jul  4 00:00:00",
		"PASS OLD [192.0.2.1]:1",
		SYS "postscreen[1]: PASS OLD [192.0.2.1]:1\x01",
		"{\"time\":1,\"client\":\"192.0.2.1\"",
		SYS "dnsblog[1]: addr 192.0.2.1 listed by domain <script> as 127.0.0.2",
		SYS "dnsblog[1]: addr 192.0.2.1 listed by domain bl.example as 127.0.0.2.5",
	};
	struct gen g = gen_default;
	size_t len, piece, count = COUNT(hostile) + 2;
	struct tune_options options = { .max_fp = 0.001, .json = true };
	struct tune *clean = tune_new(), *dirty = tune_new();
	char *mega = mem_alloc(1200000), *text, *a, *b;

	setenv("TZ", "UTC", 1);
	g.lines = 3000;
	g.clients = 300;
	text = generate(&g, &len);
	memset(mega, 'A', 1100000);
	memcpy(mega, SYS "postscreen[1]: PASS OLD [192.0.2.1]:1 ",
	    sizeof SYS "postscreen[1]: PASS OLD [192.0.2.1]:1 " - 1);
	mega[1100000] = '\n';
	tune_feed(clean, text, len, NOW);
	/* Half, the hostile lines, the other half. */
	piece = (size_t)(strchr(text + len / 2, '\n') - text) + 1;
	tune_feed(dirty, text, piece, NOW);
	for (size_t i = 0; i < COUNT(hostile); i++)
		tune_feed(dirty, hostile[i], i == 0 ? 12 : strlen(hostile[i]), NOW);
	tune_feed(dirty, mega, 1100001, NOW);
	tune_feed(dirty, mega, 90000, NOW);
	tune_feed(dirty, text + piece, len - piece, NOW);
	tune_finish(clean);
	tune_finish(dirty);
	ATF_CHECK_EQ(tune_odd_lines(clean), 0);
	ATF_CHECK_EQ_MSG(
	    tune_odd_lines(dirty), count, "%llu", (unsigned long long)tune_odd_lines(dirty));
	dirty->odd = 0;
	a = report(clean, &options);
	b = report(dirty, &options);
	ATF_CHECK_STREQ(a, b);
	free(a);
	free(b);
	free(mega);
	free(text);
	tune_free(&clean);
	tune_free(&dirty);
}

ATF_TC_WITHOUT_HEAD(forged_fields);
ATF_TC_BODY(forged_fields, tc)
{
	/* What a client says comes after its address and is not read. */
	struct tune *t = read_text(SYS
	    "postscreen[1]: PREGREET 80 after 0 from [192.0.2.1]:1: EHLO x\\r\\n PASS NEW "
	    "[203.0.113.9]:1\n" SYS "postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:1: 550 "
	    "5.5.1 Protocol error; from=<>, to=<a>, "
	    "proto=SMTP, helo=<x>: postscreen[1]: ALLOWLISTED [203.0.113.9]:1>\n" SYS
	    "smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <[203.0.113.9]>: "
	    "x; helo=<client=x[203.0.113.9]>\n" SYS "postscreen[1]: DISCONNECT [192.0.2.1]:1\n");

	ATF_CHECK_EQ(tune_sessions(t), 1);
	ATF_CHECK_EQ(tune_clients(t), 1);
	ATF_CHECK_EQ(t->history->verdicts[V_REJECT], 1);
	ATF_CHECK_EQ(tune_odd_lines(t), 0);
	tune_free(&t);
}

ATF_TC_WITHOUT_HEAD(backend_fates);
ATF_TC_BODY(backend_fates, tc)
{
#define SEEN \
	SYS "postscreen[1]: PASS NEW [192.0.2.1]:1\n" SYS "smtpd[1]: connect from m[192.0.2.1]\n"
	static const struct {
		const char *text;
		unsigned delivered, spam, unknown, refused, waited;
	} cases[] = {
		{ SEEN SYS "smtpd[1]: 3F2A91C0DE: client=m[192.0.2.1]\n" SYS
			   "qmgr[1]: 3F2A91C0DE: from=<a@b>, size=1, nrcpt=1 (queue active)\n" SYS
			   "qmgr[1]: 3F2A91C0DE: from=<a@b>, size=1, nrcpt=1 (queue active)\n",
		    1, 0, 0, 0, 0 },
		{ SEEN SYS "smtpd[1]: 4bXyZ1234z: client=m[192.0.2.1]\n" SYS
			   "cleanup[1]: 4bXyZ1234z: milter-reject: END-OF-MESSAGE from "
			   "m[192.0.2.1]: 5.7.1 Spam; from=<a>\n" SYS
			   "qmgr[1]: 4bXyZ1234z: from=<a@b>, size=1\n",
		    0, 1, 0, 0, 0 },
		{ SEEN SYS "smtpd[1]: NOQUEUE: reject: RCPT from m[192.0.2.1]: 550 5.1.1 <x>: User "
			   "unknown\n",
		    0, 0, 1, 0, 0 },
		{ SEEN SYS "smtpd[1]: NOQUEUE: reject: RCPT from m[192.0.2.1]: 450 4.7.1 <x>: "
			   "Greylisted\n",
		    0, 0, 0, 0, 1 },
		{ SEEN SYS "smtpd[1]: NOQUEUE: reject: RCPT from m[192.0.2.1]: 554 5.7.1 <x>: "
			   "Relay access denied\n",
		    0, 0, 0, 1, 0 },
		{ SEEN SYS "smtpd[1]: NOQUEUE: reject: RCPT from m[192.0.2.1]: 554 5.7.1 Service "
			   "unavailable; Client host "
			   "[192.0.2.1] blocked using zen.example; x\n",
		    0, 0, 0, 0, 0 },
		{ SEEN SYS "smtpd[1]: 3F2A91C0DE: client=m[192.0.2.1], sasl_method=PLAIN, "
			   "sasl_username=x\n" SYS "qmgr[1]: 3F2A91C0DE: from=<a@b>, size=1\n",
		    0, 0, 0, 0, 0 },
		{ SEEN "Nov 21 01:02:03 mx1 postfix/submission/smtpd[1]: 3F2A91C0DE: "
		       "client=m[192.0.2.1]\n" SYS "qmgr[1]: 3F2A91C0DE: from=<a@b>, size=1\n",
		    0, 0, 0, 0, 0 },
		{ SEEN SYS "smtpd[1]: 3F2A91C0DE: client=m[192.0.2.77]\n" SYS
			   "qmgr[1]: 3F2A91C0DE: from=<a@b>, size=1\n",
		    0, 0, 0, 0, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tune *t = read_text(cases[i].text);
		const struct client *c = client_at(t->history, 0);

		ATF_REQUIRE_EQ(tune_clients(t), 1);
		ATF_CHECK_EQ_MSG(c->delivered, cases[i].delivered, "case %zu", i);
		ATF_CHECK_EQ_MSG(c->spam, cases[i].spam, "case %zu", i);
		ATF_CHECK_EQ_MSG(c->unknown, cases[i].unknown, "case %zu", i);
		ATF_CHECK_EQ_MSG(c->refused, cases[i].refused, "case %zu", i);
		ATF_CHECK_EQ_MSG((c->flags & CLIENT_WAITED) != 0, cases[i].waited, "case %zu", i);
		tune_free(&t);
	}
}

ATF_TC_WITHOUT_HEAD(memory_follows_clients);
ATF_TC_BODY(memory_follows_clients, tc)
{
	struct tune *t = tune_new();
	struct whole w = { .flags = S_CONNECT | S_HANGUP, .scored = true };
	size_t at_end;

	/* Every client with a pattern of its own: the worst a log can do. */
	for (int l = 0; l < 60; l++) {
		char name[32];

		snprintf(name, sizeof name, "list%d.example", l);
		for (int k = 0; k < 60; k++)
			ATF_REQUIRE(
			    history_code(t->history, history_list(t->history, name, strlen(name)),
				(uint8_t[4]){ 127, 0, 0, (uint8_t)k }) >= 0);
	}
	for (uint32_t i = 0; i < 300000; i++) {
		w.ip = (struct ipkey){ 0, IPKEY_V4_BITS | i };
		w.start_us = (int64_t)(1793491200 + i % 600000) * 1000000;
		for (w.count = 0; w.count < 6; w.count++)
			w.answer[w.count] =
			    (uint16_t)(w.count * 600 + i * (w.count + 1) * 7919u / 3 % 600);
		history_whole(t->history, &w);
	}
	at_end = tune_bytes(t);
	ATF_CHECK_MSG(at_end <= 200 * tune_clients(t), "%.1f bytes a client",
	    (double)at_end / (double)tune_clients(t));
	/* The same clients again cost little. */
	for (uint32_t i = 0; i < 300000; i++) {
		w.ip = (struct ipkey){ 0, IPKEY_V4_BITS | i };
		w.count = 1;
		w.answer[0] = (uint16_t)(i % 600);
		history_whole(t->history, &w);
	}
	at_end = tune_bytes(t);
	ATF_CHECK_MSG(at_end <= 200 * tune_clients(t), "%.1f bytes a client",
	    (double)at_end / (double)tune_clients(t));
	tune_free(&t);
}

/* A number out of our own JSON: the first `name` after `from`. */
static double
json_number(const char *from, const char *name)
{
	char *key = mem_printf("\"%s\":", name);
	const char *at = strstr(from, key);

	ATF_REQUIRE_MSG(at != NULL, "no %s", name);
	at += strlen(key);
	free(key);
	return strtod(at, NULL);
}

static const char *
json_list(const char *json, const char *site)
{
	char *key = mem_printf("{\"site\":\"%s\"", site);
	const char *at = strstr(json, key);

	ATF_REQUIRE_MSG(at != NULL, "no list %s in %s", site, json);
	free(key);
	return at;
}

static const char in_force[] =
    "zen.example*2, drone.example, echo.example, slow.example, wild.example, coin.example, "
    "friends.example*-1";

ATF_TC_WITHOUT_HEAD(planted_truth_is_found);
ATF_TC_BODY(planted_truth_is_found, tc)
{
	static const enum gen_format formats[] = { GEN_SYSLOG, GEN_RFC5424, GEN_ISO, GEN_RECORD };
	struct gen g = gen_default;

	setenv("TZ", "UTC", 1);
	g.lines = 60000;
	g.clients = 4000;
	for (size_t f = 0; f < COUNT(formats); f++) {
		struct tune_options options = {
			.sites = in_force, .threshold = 2, .max_fp = 0.0004, .json = true
		};
		struct tune *t = tune_new();
		size_t len;
		char *text, *json;
		double wild, zen, coin;

		g.format = formats[f];
		g.lines = g.format == GEN_RECORD ? 9000 : 60000;
		text = generate(&g, &len);
		tune_feed(t, text, len, NOW);
		tune_finish(t);
		ATF_CHECK_EQ(tune_odd_lines(t), 0);
		json = report(t, &options);
		zen = json_number(json_list(json, "zen.example"), "fp");
		wild = json_number(json_list(json, "wild.example"), "fp");
		coin = json_number(json_list(json, "coin.example"), "fp");
		/* Errors of lists that do not decide alone come out as planted. */
		ATF_CHECK_MSG(zen <= 0.01, "format %zu: zen %f", f, zen);
		ATF_CHECK_MSG(wild > 0.07 && wild < 0.2, "format %zu: wild %f", f, wild);
		ATF_CHECK_MSG(coin > 0.05 && coin < 0.15, "format %zu: coin %f", f, coin);
		ATF_CHECK(json_number(json_list(json, "wild.example"), "fp_low") <= wild);
		ATF_CHECK(json_number(json_list(json, "wild.example"), "fp_high") >= wild);
		/* Decisive: the best first, the echo hardly. */
		ATF_CHECK(json_number(json_list(json, "zen.example"), "decisive") >
			  json_number(json_list(json, "drone.example"), "decisive"));
		ATF_CHECK(json_number(json_list(json, "echo.example"), "unique") <
			  json_number(json_list(json, "zen.example"), "unique"));
		free(json);
		free(text);
		tune_free(&t);
	}
}

/* Errors of weights on fresh clients, whose truth is known. */
static double
true_error(const struct gen *g, const int *weight, int threshold)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < g->clients; i++) {
		int score = 0;

		for (int l = 0; l < g->list_count; l++)
			score += gen_listed(g, i, l) ? weight[l] : 0;
		wrong += (score >= threshold) != gen_is_bot(g, i);
	}
	return (double)wrong / g->clients;
}

static double
best_error(const struct gen *train, const struct gen *fresh, int lists, int weight_max)
{
	int weight[GEN_LISTS_MAX] = { 0 }, best_weight[GEN_LISTS_MAX] = { 0 }, best_threshold = 1;
	double best = 2;

	for (;;) {
		int i = 0;

		for (int t = 1; t <= weight_max * 2; t++) {
			double e = true_error(train, weight, t);

			if (e < best) {
				best = e;
				best_threshold = t;
				memcpy(best_weight, weight, sizeof weight);
			}
		}
		while (i < lists && ++weight[i] > weight_max)
			weight[i++] = 0;
		if (i == lists)
			break;
	}
	return true_error(fresh, best_weight, best_threshold);
}

static int
suggested_weight(const char *sites, const char *name)
{
	const char *at = strstr(sites, name);

	if (at == NULL)
		return 0;
	at += strlen(name);
	return *at == '*' ? (int)strtol(at + 1, NULL, 10) : 1;
}

ATF_TC(weights_as_good_as_the_best);
ATF_TC_HEAD(weights_as_good_as_the_best, tc)
{
	atf_tc_set_md_var(tc, "timeout", "120");
}
ATF_TC_BODY(weights_as_good_as_the_best, tc)
{
	/* Four lists, every bot gives itself away: what is learnt is compared with an exhaustive
	 * search. */
	static const struct gen_list cases[][4] = {
		{ { "a.example", "127.0.0.2", 0.8, 0.02, 0, 0, 1 },
		    { "b.example", "127.0.0.2", 0.6, 0.05, 0, 0, 1 },
		    { "c.example", "127.0.0.2", 0.5, 0.05, 2, 0.5, 1 },
		    { "d.example", "127.0.0.2", 0.3, 0.2, 0, 0, 1 } },
		{ { "a.example", "127.0.0.2", 0.5, 0.01, 0, 0, 1 },
		    { "b.example", "127.0.0.2", 0.5, 0.01, 0, 0, 1 },
		    { "c.example", "127.0.0.2", 0.5, 0.01, 0, 0, 1 },
		    { "d.example", "127.0.0.2", 0.5, 0.5, 0, 0, 1 } },
		{ { "a.example", "127.0.0.2", 0.95, 0.1, 0, 0, 1 },
		    { "b.example", "127.0.0.2", 0.9, 0.3, 0, 0, 1 },
		    { "c.example", "127.0.0.2", 0.7, 0.15, 0, 0, 1 },
		    { "d.example", "127.0.0.2", 0.6, 0.1, 1, 0.3, 1 } },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tune_options options = {
			.max_fp = 1, .json = true, .suggest = true, .threshold = 99
		};
		struct gen g = gen_default, fresh;
		struct tune *t = tune_new();
		size_t len;
		char *text, *json;
		const char *sites;
		int weight[4], threshold;
		double ours, best, held_out;

		g.seed = 5 + i;
		g.list_count = 4;
		g.clients = 1500;
		g.lines = 1;
		g.bot_share = 0.5;
		g.pregreet = 1;
		g.threshold = 99;
		g.lines = 40000;
		memcpy(g.lists, cases[i], sizeof cases[i]);
		fresh = g;
		fresh.seed += 1000;
		fresh.clients = 20000;
		text = generate(&g, &len);
		tune_feed(t, text, len, NOW);
		tune_finish(t);
		json = report(t, &options);
		sites = strstr(json, "\"suggested\":{\"sites\":\"");
		ATF_REQUIRE_MSG(sites != NULL, "%s", json);
		threshold = (int)json_number(sites, "threshold");
		held_out = json_number(sites, "held_out_error");
		for (int l = 0; l < 4; l++)
			weight[l] = suggested_weight(sites, cases[i][l].name);
		ours = true_error(&fresh, weight, threshold);
		best = best_error(&g, &fresh, 4, 4);
		ATF_CHECK_MSG(ours <= best * 1.1, "case %zu: %f, the best has %f; %.200s", i, ours,
		    best, sites);
		ATF_CHECK_MSG(fabs(held_out - ours) < 0.03, "case %zu: held out %f, true %f", i,
		    held_out, ours);
		free(json);
		free(text);
		tune_free(&t);
	}
}

ATF_TC_WITHOUT_HEAD(false_positives_stay_under_the_ceiling);
ATF_TC_BODY(false_positives_stay_under_the_ceiling, tc)
{
	struct gen g = gen_default;
	struct tune *t = tune_new();
	size_t len;
	char *text;
	static const double ceilings[] = { 0, 0.001, 0.01, 0.05 };

	setenv("TZ", "UTC", 1);
	g.lines = 40000;
	g.clients = 2000;
	text = generate(&g, &len);
	tune_feed(t, text, len, NOW);
	tune_finish(t);
	for (size_t i = 0; i < COUNT(ceilings); i++) {
		struct tune_options options = { .sites = in_force,
			.threshold = 2,
			.max_fp = ceilings[i],
			.suggest = true,
			.json = true };
		char *json = report(t, &options), *retry, *sites;
		const char *at = strstr(json, "\"suggested\":{\"sites\":\"");
		struct tune_options again = options;
		struct tune_options trial = {
			.sites = in_force, .threshold = 1000, .max_fp = 1, .json = true
		};

		ATF_REQUIRE(at != NULL);
		at += strlen("\"suggested\":{\"sites\":\"");
		sites = mem_strndup(at, strcspn(at, "\""));
		/* No negative weight for a block list, no positive one for the allow list. */
		for (size_t l = 0; l < (size_t)g.list_count; l++) {
			int w = suggested_weight(sites, g.lists[l].name);

			ATF_CHECK_MSG(g.lists[l].weight > 0 ? w >= 0 : w <= 0, "%s", sites);
		}
		/* The same question has the same answer. */
		retry = report(t, &again);
		ATF_CHECK_STREQ(json, retry);
		free(retry);
		/* Replayed from nothing blocked: every good client newly blocked is a false
		 * positive. */
		trial.what_if = sites;
		trial.what_if_threshold = (int64_t)json_number(at, "threshold");
		trial.json = false;
		retry = report(t, &trial);
		at = strstr(retry, "newly blocked: ");
		ATF_REQUIRE(at != NULL);
		at = strstr(at, "sessions): ") + strlen("sessions): ");
		ATF_CHECK_MSG((double)strtol(at, NULL, 10) <= ceilings[i] * 2000 + 0.5,
		    "%.60s at %f with %s", at, ceilings[i], sites);
		free(retry);
		free(sites);
		free(json);
	}
	free(text);
	tune_free(&t);
}

ATF_TC_WITHOUT_HEAD(what_if_counts_clients);
ATF_TC_BODY(what_if_counts_clients, tc)
{
	struct gen g = gen_default;
	struct tune *t = tune_new();
	struct tune_options options = { .sites = in_force,
		.threshold = 2,
		.what_if = in_force,
		.what_if_threshold = 2,
		.max_fp = 0.001,
		.json = true };
	unsigned blocked = 0, passed = 0;
	size_t len;
	char *text, *json;

	setenv("TZ", "UTC", 1);
	g.lines = 30000;
	g.clients = 1500;
	text = generate(&g, &len);
	tune_feed(t, text, len, NOW);
	tune_finish(t);
	json = report(t, &options);
	ATF_CHECK_EQ(json_number(json, "newly_blocked"), 0);
	ATF_CHECK_EQ(json_number(json, "newly_passed"), 0);
	free(json);
	options.what_if = "zen.example, wild.example*2, friends.example*-2";
	options.what_if_threshold = 1;
	json = report(t, &options);
	for (unsigned i = 0; i < g.clients; i++) {
		int before = 0, after;

		for (int l = 0; l < g.list_count; l++)
			before += gen_listed(&g, i, l) ? g.lists[l].weight : 0;
		after = gen_listed(&g, i, 0) + 2 * gen_listed(&g, i, 4) - 2 * gen_listed(&g, i, 6);
		blocked += before < 2 && after >= 1;
		passed += before >= 2 && after < 1;
	}
	ATF_CHECK_EQ_MSG(json_number(json, "newly_blocked"), blocked, "%f, %u",
	    json_number(json, "newly_blocked"), blocked);
	ATF_CHECK_EQ_MSG(json_number(json, "newly_passed"), passed, "%f, %u",
	    json_number(json, "newly_passed"), passed);
	ATF_CHECK(strstr(json, "\"examples\":[{\"client\":\"") != NULL);
	ATF_CHECK(strstr(json, "\"label\":\"good\",\"change\":\"blocked\"") != NULL);
	free(json);
	free(text);
	tune_free(&t);
}

static void
offend(struct tune *t, uint32_t ip, int times)
{
	struct whole w = {
		.ip = { 0, IPKEY_V4_BITS | ip }, .flags = S_CONNECT | S_PREGREET, .scored = true
	};

	for (int i = 0; i < times; i++) {
		w.start_us = (int64_t)(1795000000 + i * 60) * 1000000;
		history_whole(t->history, &w);
	}
}

ATF_TC_WITHOUT_HEAD(denylist_candidates);
ATF_TC_BODY(denylist_candidates, tc)
{
	struct tune *t = tune_new();
	struct diag *diag = diag_new();
	struct match_list *own = match_list_open("192.0.2.128/25", "test", 0, diag);
	struct tune_options options = {
		.max_fp = 0.001, .denylist = true, .keep_days = 30, .own = own
	};
	struct client *good;
	char *text;

	for (uint32_t i = 0; i < 16; i++)
		offend(t, 0xcb007100 + i * 16, 3); /* 203.0.113.0/24: sixteen all over */
	for (uint32_t i = 0; i < 4; i++)
		offend(t, 0xc6336404 + i, 5); /* 198.51.100.4/30 */
	offend(t, 0xc6336420, 3);	      /* one alone, far off */
	offend(t, 0xc6336464, 2);	      /* too little evidence */
	for (uint32_t i = 0; i < 8; i++)
		offend(t, 0xc0000200 + i * 8, 4); /* beside own networks */
	offend(t, 0xc0000281, 9);		  /* in them */
	offend(t, 0x0a000001, 9);		  /* private */
	for (uint32_t i = 0; i < 8; i++)
		offend(t, 0x08080800 + i, 4); /* with a good one in their midst */
	offend(t, 0x08080808, 1);
	good = history_client(t->history, (struct ipkey){ 0, IPKEY_V4_BITS | 0x08080808 });
	good->pregreet = 0;
	good->delivered = 5;
	good->sessions = 9;
	tune_finish(t);
	text = report(t, &options);
	ATF_CHECK_MSG(strstr(text, "\n203.0.113.0/24 reject\n") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "\n198.51.100.4/30 reject\n") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "\n198.51.100.32/32 reject\n") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "\n8.8.8.0/29 reject\n") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "\n192.0.2.0/26 reject\n") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "198.51.100.100") == NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "\n10.") == NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "192.0.2.129") == NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "remove after 2026-") != NULL, "%s", text);
	ATF_CHECK_MSG(strstr(text, "# 5 rules\n") != NULL, "%s", text);
	free(text);
	match_list_free(&own);
	diag_free(&diag);
	tune_free(&t);
}

ATF_TC_WITHOUT_HEAD(error_codes_are_no_listings);
ATF_TC_BODY(error_codes_are_no_listings, tc)
{
	struct tune_options options = {
		.sites = "zen.example", .threshold = 1, .max_fp = 0.001, .json = true
	};
	struct tune *t = read_text(
	    SYS "postscreen[1]: CONNECT from [192.0.2.1]:1 to [198.51.100.2]:25\n" SYS
		"dnsblog[2]: addr 192.0.2.1 listed by domain zen.example as 127.255.255.254\n" SYS
		"postscreen[1]: PASS NEW [192.0.2.1]:1\n" SYS
		"dnsblog[2]: warning: dnsblog_query: lookup error for DNS query "
		"1.2.0.192.zen.example: Host not found, try again\n" SYS
		"postscreen[1]: warning: dnsblog reply timeout 10s for zen.example\n");
	char *json = report(t, &options);
	const char *list = json_list(json, "zen.example");

	ATF_CHECK_EQ(json_number(list, "hits"), 0);
	ATF_CHECK_EQ(json_number(list, "errors"), 2);
	ATF_CHECK_EQ(json_number(list, "timeouts"), 1);
	ATF_CHECK_EQ(json_number(list, "queries"), 1);
	free(json);
	tune_free(&t);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, every_left_part);
	ATF_TP_ADD_TC(tp, messages_of_postscreen);
	ATF_TP_ADD_TC(tp, sessions_from_scattered_lines);
	ATF_TP_ADD_TC(tp, records);
	ATF_TP_ADD_TC(tp, years_roll_over);
	ATF_TP_ADD_TC(tp, labels);
	ATF_TP_ADD_TC(tp, wilson);
	ATF_TP_ADD_TC(tp, hostile_lines);
	ATF_TP_ADD_TC(tp, forged_fields);
	ATF_TP_ADD_TC(tp, backend_fates);
	ATF_TP_ADD_TC(tp, memory_follows_clients);
	ATF_TP_ADD_TC(tp, planted_truth_is_found);
	ATF_TP_ADD_TC(tp, weights_as_good_as_the_best);
	ATF_TP_ADD_TC(tp, false_positives_stay_under_the_ceiling);
	ATF_TP_ADD_TC(tp, what_if_counts_clients);
	ATF_TP_ADD_TC(tp, denylist_candidates);
	ATF_TP_ADD_TC(tp, error_codes_are_no_listings);
	return atf_no_error();
}
