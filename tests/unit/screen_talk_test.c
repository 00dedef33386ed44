/* The tables and pure parts of the dialogue. */
#include "config.h"

#include <atf-c.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/engine.h"
#include "screen/footer.h"
#include "screen/mailaddr.h"
#include "screen/proxy.h"
#include "tests/helpers/fake_worker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct span
text_of(const struct buf *b)
{
	return (struct span){ b->p, b->len };
}

ATF_TC_WITHOUT_HEAD(lines);
ATF_TC_BODY(lines, tc)
{
	(void)tc;
	/* D: CR LF, B: bare LF, L: too long, M: unfinished; each followed by the line in brackets. */
	static const struct {
		struct span in;
		uint32_t limit;
		const char *out;
	} cases[] = {
		{ SPAN("a\r\nb\r\n"), 100, "D[a]D[b]" },
		{ SPAN("a\nb"), 100, "B[a]M[b]" },
		{ SPAN("\r\n\n"), 100, "D[]B[]" },
		{ SPAN("a\r\r\n"), 100, "D[a\r]" },
		{ SPAN("a\rb\r\n"), 100, "D[a\rb]" },
		{ SPAN("a\n\rb\r\n"), 100, "B[a]D[\rb]" },
		{ SPAN("abc\r\n"), 5, "D[abc]" },
		{ SPAN("abc\r\n"), 4, "L" },
		{ SPAN("abcd\n"), 5, "B[abcd]" },
		{ SPAN("abcde\n"), 5, "L" },
		{ SPAN("abcde"), 5, "M[abcde]" },
		{ SPAN("abcdef"), 5, "L" },
		{ SPAN("\r\r\r\r\r\r\r\r"), 5, "L" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (size_t packet = 1; packet <= cases[i].in.len; packet++) {
			char kept[100], trace[200];
			struct line l = { .kept = kept, .limit = cases[i].limit };
			struct buf b = BUF(trace);
			bool over = false;
			for (size_t at = 0; at < cases[i].in.len && !over; at += packet) {
				size_t left = cases[i].in.len - at;
				struct span in = { cases[i].in.p + at,
					left < packet ? left : packet },
					    line;
				while (in.len > 0 && !over) {
					enum line_end end = line_take(&l, &in, &line);
					over = end == LINE_LONG;
					if (over)
						buf_puts(&b, "L");
					else if (end != LINE_MORE)
						buf_printf(&b, "%c[%.*s]",
						    end == LINE_DONE ? 'D' : 'B', (int)line.len,
						    line.p);
				}
			}
			if (!over && l.len > 0)
				buf_printf(&b, "M[%.*s]", (int)l.len, kept);
			ATF_CHECK_STREQ_MSG(
			    cases[i].out, trace, "case %zu, packets of %zu: %s", i, packet, trace);
		}
}

ATF_TC_WITHOUT_HEAD(addresses);
ATF_TC_BODY(addresses, tc)
{
	(void)tc;
	static const struct {
		const char *args, *inner, *outer;
	} cases[] = {
		{ "FROM:<a@b>", "a@b", "a@b" },
		{ "FROM:  <a@b> SIZE=1", "a@b", "a@b" },
		{ "FROM:a@b SIZE=1", "a@b", "a@b" },
		{ "TO:<>", "", "" },
		{ "TO:", "", "" },
		{ ":", "", "" },
		{ "TO:<\"a b\"@c>", "a b@c", "\"a b\"@c" },
		{ "TO:<\"a>b\"@c>", "a>b@c", "\"a>b\"@c" },
		{ "TO:<a\\ b@c>", "a b@c", "\"a b\"@c" },
		{ "TO:<\"a\\\"b\"@c>", "a\"b@c", "\"a\\\"b\"@c" },
		{ "TO:<@x,@y:a@b>", "a@b", "a@b" },
		{ "TO:<@x>", "@x", "\"\"@x" },
		{ "TO:<a@b@c>", "a@b@c", "\"a@b\"@c" },
		{ "TO:<.a@b>", ".a@b", "\".a\"@b" },
		{ "TO:<a.@b>", "a.@b", "\"a.\"@b" },
		{ "TO:<a..c@b>", "a..c@b", "\"a..c\"@b" },
		{ "TO:<a.c@b>", "a.c@b", "a.c@b" },
		{ "TO:<local>", "local", "local" },
		{ "TO:<a@b", "a@b", "a@b" },
		{ "TO:<a@b\\", "a@b", "a@b" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char inner[100], outer[100];
		struct buf in = BUF(inner), out = BUF(outer);
		ATF_REQUIRE(mailaddr_extract(span_of(cases[i].args), &in));
		ATF_CHECK_STREQ_MSG(cases[i].inner, inner, "%s: %s", cases[i].args, inner);
		mailaddr_quote(text_of(&in), &out);
		ATF_CHECK_STREQ_MSG(cases[i].outer, outer, "%s: %s", cases[i].args, outer);
	}
	char none[8];
	struct buf b = BUF(none);
	ATF_CHECK(!mailaddr_extract(SPAN("FROM <a@b>"), &b));
	ATF_CHECK(!mailaddr_extract(SPAN(""), &b));
}

ATF_TC_WITHOUT_HEAD(footers);
ATF_TC_BODY(footers, tc)
{
	(void)tc;
	static bool filter[256];
	static const struct {
		const char *reply, *template, *out;
	} cases[] = {
		{ "550 5.7.1 no", "why", "550-5.7.1 no\r\n550 5.7.1 why" },
		{ "550 5.7.1 no", "a\\nb", "550-5.7.1 no\r\n550-5.7.1 a\r\n550 5.7.1 b" },
		{ "421 host no", "why", "421-host no\r\n421 why" },
		{ "550 5.7.1 no", "\\c: because", "550 5.7.1 no: because" },
		{ "550 5.7.1 no", "\\c!\\nb", "550-5.7.1 no!\r\n550 5.7.1 b" },
		{ "550 5.7.1 no", "$client_address:${client_port} $(server_name) $$",
		    "550-5.7.1 no\r\n550 5.7.1 1_2:25 mx $" },
		{ "550 5.7.1 no", "$localtime", "550-5.7.1 no\r\n550 5.7.1 Jan__1" },
		{ "550 5.7.1 no", "x\\n", "550-5.7.1 no\r\n550 5.7.1 x" },
		{ "550 5.7.12345 no", "x", "550-5.7.12345 no\r\n550 x" },
		{ "550 5.7.1 no", "$", NULL },
		{ "550 5.7.1 no", "${client_port", NULL },
		{ "550 5.7.1 no", "$other", NULL },
		{ "550 5.7.1 no",
		    "012345678901234567890123456789012345678901234567890123456789012345678901234567"
		    "890",
		    NULL },
	};

	for (int c = '0'; c <= 'z'; c++)
		filter[c] = true;
	filter[':'] = false;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[80];
		struct buf b = BUF(text);
		buf_puts(&b, cases[i].reply);
		const char *error = footer_append(&b, span_of(cases[i].template),
		    &(struct footer_facts){ { "1:2", "25", "mx", "Jan  1" }, filter });
		ATF_CHECK_MSG(
		    (error == NULL) == (cases[i].out != NULL), "%s: %s", cases[i].template, error);
		ATF_CHECK_STREQ_MSG(cases[i].out != NULL ? cases[i].out : cases[i].reply, text,
		    "%s", cases[i].template);
	}
	ATF_CHECK(footer_error(SPAN("")) == NULL);
	ATF_CHECK(footer_error(SPAN("a ${client_address}\\nb")) == NULL);
	ATF_CHECK(footer_error(SPAN("a ${nobody}")) != NULL);
}

ATF_TC_WITHOUT_HEAD(verbs);
ATF_TC_BODY(verbs, tc)
{
	(void)tc;
	for (enum verb v = 0; v < VERB_UNIMPLEMENTED; v++)
		ATF_CHECK_EQ(v, verb_find(span_of(verb_rows[v].word)));
	ATF_CHECK_EQ(VERB_EHLO, verb_find(SPAN("eHlO")));
	ATF_CHECK_EQ(VERB_UNIMPLEMENTED, verb_find(SPAN("EHLO ")));
	ATF_CHECK_EQ(VERB_UNIMPLEMENTED, verb_find(SPAN("")));
	ATF_CHECK_EQ(VERB_UNIMPLEMENTED, verb_find(SPAN("CONNECT")));
	struct span args = SPAN("  a\tb   c ");
	ATF_CHECK(span_is(verb_argument(&args), "a\tb"));
	ATF_CHECK(span_is(verb_argument(&args), "c"));
	ATF_CHECK_EQ(0, verb_argument(&args).len);
	ATF_CHECK_EQ(0, verb_argument(&args).len);
}

ATF_TC_WITHOUT_HEAD(keywords);
ATF_TC_BODY(keywords, tc)
{
	(void)tc;
	char text[200];
	struct buf b = BUF(text);

	keywords_format(keywords_parse(SPAN("starttls, Size\tdsn nonsense,silent-discard")), &b);
	ATF_CHECK_STREQ("SIZE STARTTLS DSN silent-discard", text);
	ATF_CHECK_EQ(0, keywords_parse(SPAN(" , ")));
}

ATF_TC_WITHOUT_HEAD(elapsed);
ATF_TC_BODY(elapsed, tc)
{
	(void)tc;
	static const struct {
		int64_t us;
		unsigned decimals;
		const char *text;
	} cases[] = { { -5, 2, "0" }, { 0, 2, "0" }, { 4999, 2, "0" }, { 5000, 2, "0.01" },
		{ 10000, 2, "0.01" }, { 100000, 2, "0.1" }, { 150000, 2, "0.15" },
		{ 154999, 2, "0.15" }, { 999999, 2, "1" }, { 1000000, 2, "1" },
		{ 1240000, 2, "1.2" }, { 6000000, 2, "6" }, { 9940000, 2, "9.9" },
		{ 9999999, 2, "10" }, { 12400000, 2, "12" }, { 306000000, 2, "306" },
		{ 1240000, 0, "1" }, { 499999, 0, "0" }, { 1234, 6, "0.0012" },
		{ 12, 6, "0.000012" }, { 7, 6, "0.000007" }, { 123456, 6, "0.12" },
		{ 123456, 1, "0.1" } };

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[24];
		ATF_CHECK_STREQ_MSG(cases[i].text,
		    elapsed_text(cases[i].us, cases[i].decimals, text), "%lld us: %s",
		    (long long)cases[i].us, text);
	}
}

ATF_TC_WITHOUT_HEAD(printable);
ATF_TC_BODY(printable, tc)
{
	(void)tc;
	static const struct {
		const char *in, *ascii, *utf8;
	} cases[] = {
		{ "plain ~", "plain ~", "plain ~" },
		{ "\x01\x7f\r\n", "????", "????" },
		{ "\xc3\xa9", "??", "\xc3\xa9" },
		{ "\xe2\x82\xac!",
		    "??"
		    "?!",
		    "\xe2\x82\xac!" },
		{ "\xf0\x9f\x98\x80", "????", "\xf0\x9f\x98\x80" },
		{ "\xc2\x85", "??", "??" },
		{ "\xc3", "?", "?" },
		{ "\xff\xc3\xa9\xed\xa0\x80", "??????", "?\xc3\xa9???" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (int utf8 = 0; utf8 < 2; utf8++) {
			char text[50];
			struct buf b = BUF(text);
			put_printable(&b, span_of(cases[i].in), utf8);
			ATF_CHECK_STREQ_MSG(
			    utf8 ? cases[i].utf8 : cases[i].ascii, text, "case %zu", i);
		}
}

ATF_TC_WITHOUT_HEAD(proxy_headers);
ATF_TC_BODY(proxy_headers, tc)
{
	(void)tc;
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
	static const struct {
		struct span in;
		enum proxy_result result;
		size_t used;
		const char *client; /* or what is wrong */
		unsigned port;
	} cases[] = {
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\nEHLO"), PROXY_DONE, 43,
		    "192.0.2.1", 4711 },
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\n"), PROXY_DONE, 42, "192.0.2.1",
		    4711 },
		{ SPAN("PROXY tcp6 2001:DB8::1 ::1 0 25 more\r\n"), PROXY_DONE, 38, "2001:db8::1",
		    0 },
		{ SPAN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n"), PROXY_DONE, 38, "192.0.2.1",
		    1 },
		{ SPAN("PROXY UNKNOWN\r\n"), PROXY_LOCAL, 15, NULL, 0 },
		{ SPAN("PROXY UNKNOWN a b c\r\n"), PROXY_LOCAL, 21, NULL, 0 },
		{ SPAN(""), PROXY_MORE, 0, NULL, 0 },
		{ SPAN("PRO"), PROXY_MORE, 0, NULL, 0 },
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r"), PROXY_MORE, 0, NULL, 0 },
		{ SPAN("PROXY TCP5 192.0.2.1 198.51.100.2 4711 25\r\n"), PROXY_BAD, 0,
		    "bad or missing protocol type", 0 },
		{ SPAN("PROXY \r\n"), PROXY_BAD, 0, "bad or missing protocol type", 0 },
		{ SPAN("PROXY TCP4 192.0.2.256 198.51.100.2 1 25\r\n"), PROXY_BAD, 0,
		    "bad or missing client address", 0 },
		{ SPAN("PROXY TCP4 ::1 198.51.100.2 1 25\r\n"), PROXY_BAD, 0,
		    "bad or missing client address", 0 },
		{ SPAN("PROXY TCP6 ::1 198.51.100.2 1 25\r\n"), PROXY_BAD, 0,
		    "bad or missing server address", 0 },
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 01 25\r\n"), PROXY_BAD, 0,
		    "bad or missing client port", 0 },
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"), PROXY_BAD, 0,
		    "bad or missing server port", 0 },
		{ SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), PROXY_BAD, 0,
		    "bad or missing server port", 0 },
		{ SPAN("EHLO x\r\n"), PROXY_BAD, 0, "short protocol header", 0 },
		{ SPAN("proxy TCP4 192.0.2.1 198.51.100.2 1 25\r\n"), PROXY_BAD, 0,
		    "unrecognized protocol header", 0 },
		{ SPAN(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"),
		    PROXY_DONE, 28, "192.0.2.1", 4711 },
		{ SPAN(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\4\0\0rest"),
		    PROXY_DONE, 31, "192.0.2.1", 4711 },
		{ SPAN(SIGNATURE "\x21\x21\0\x24\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
				 "\0\0\0\0\0\0\0\0\1\0\2\0\x19"),
		    PROXY_DONE, 52, "2001:db8::1", 2 },
		{ SPAN(SIGNATURE "\x20\0\0\0"), PROXY_LOCAL, 16, NULL, 0 },
		{ SPAN(SIGNATURE "\x21\0\0\0"), PROXY_LOCAL, 16, NULL, 0 },
		{ SPAN(SIGNATURE "\x21\x11\0\x0c\xc0"), PROXY_MORE, 0, NULL, 0 },
		{ SPAN(SIGNATURE), PROXY_MORE, 0, NULL, 0 },
		{ SPAN(SIGNATURE "\x21\x11\0\4\xc0\0\2\1"), PROXY_BAD, 0, "short address field",
		    0 },
		{ SPAN(SIGNATURE "\x21\x12\0\0"), PROXY_BAD, 0, "unsupported network protocol", 0 },
		{ SPAN(SIGNATURE "\x21\x31\0\0"), PROXY_BAD, 0, "unsupported network protocol", 0 },
		{ SPAN(SIGNATURE "\x31\x11\0\0"), PROXY_BAD, 0, "unrecognized protocol version",
		    0 },
		{ SPAN(SIGNATURE "\x22\x11\0\0"), PROXY_BAD, 0, "bad command in proxy header", 0 },
		{ SPAN(SIGNATURE "\x21\x11\xff\xff"), PROXY_BAD, 0,
		    "short version 2 protocol header", 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct endpoint client, server;
		const char *error = "";
		char addr[ADDR_TEXT_SIZE];
		size_t used;
		enum proxy_result result =
		    proxy_parse(cases[i].in, &used, &client, &server, &error);
		ATF_CHECK_EQ_MSG(cases[i].result, result, "case %zu: %d %s", i, (int)result, error);
		if (result == PROXY_BAD)
			ATF_CHECK_STREQ_MSG(cases[i].client, error, "case %zu: %s", i, error);
		else if (result != PROXY_MORE)
			ATF_CHECK_EQ_MSG(cases[i].used, used, "case %zu: %zu", i, used);
		if (result == PROXY_DONE) {
			ATF_CHECK_STREQ(cases[i].client, addr_format(&client.addr, addr));
			ATF_CHECK_EQ(cases[i].port, client.port);
			ATF_CHECK_EQ(25, server.port);
		}
	}
}

/* Every field named in a reply or event is known, every reply is a reply. */
ATF_TC_WITHOUT_HEAD(tables);
ATF_TC_BODY(tables, tc)
{
	(void)tc;
	static const struct rules_override soft[] = { { "soft_bounce", "yes" },
		{ "respectful_logging", "no" } };
	static const char *const args[] = { "A0", "A1", "A2", "A3", "A4", NULL };

	for (size_t i = 0; i <= COUNT(soft); i += COUNT(soft)) {
		struct worker *w = fake_worker_new(soft, i);
		int sock = fake_client(w, "[2001:db8::7]:99", false);
		struct session *s = fake_session(w);
		for (enum reply r = R_NONE + 1; r < REPLIES; r++) {
			char text[REPLY_SIZE];
			struct buf b = BUF(text);
			reply_compose(s, r, &b);
			ATF_CHECK_MSG(b.len > 6 && text[0] >= '2' &&
					  text[0] <= (i > 0 ? '4' : '5') && text[3] == ' ',
			    "%s", text);
			ATF_CHECK_MSG(
			    strchr(text, '{') == NULL && strcmp(text + b.len - 2, "\r\n") == 0,
			    "%s", text);
			if (text[4] >= '2' && text[4] <= '5' && text[5] == '.')
				ATF_CHECK_MSG(text[4] == text[0], "%s", text);
		}
		for (enum event_id e = 0; e < EVENTS; e++) {
			char text[400];
			struct buf b = BUF(text);
			event_text(s, e, args, &b);
			ATF_CHECK_MSG(
			    strchr(text, '{') == NULL && strstr(text, "[2001:db8::7]:99") != NULL,
			    "%s", text);
			ATF_CHECK_MSG((strstr(text, "WHITELIST") != NULL ||
					  strstr(text, "BLACKLIST") != NULL) <= (i > 0),
			    "%s", text);
		}
		close(sock);
		while (fake_session(w) != NULL)
			loop_turn(w->loop, false);
		fake_worker_free(&w);
	}
}

/* A client that does not read is let go once its replies do not fit. */
ATF_TC_WITHOUT_HEAD(deaf_client);
ATF_TC_BODY(deaf_client, tc)
{
	(void)tc;
	static const struct rules_override rules[] = { { "postscreen_pipelining_enable", "yes" },
		{ "postscreen_command_count_limit", "1000000" } };
	struct worker *w = fake_worker_new(rules, COUNT(rules));
	int sock = fake_client(w, "192.0.2.7", false), turns = 0;

	session_event(fake_session(w), ON_TIME);
	while (fake_session(w) != NULL && turns++ < 100000) {
		(void)!send(sock, "EHLO x\r\nEHLO x\r\nEHLO x\r\nEHLO x\r\n", 32, MSG_NOSIGNAL);
		loop_turn(w->loop, false);
	}
	ATF_CHECK(fake_session(w) == NULL);
	close(sock);
	fake_worker_free(&w);
}

ATF_TC_WITHOUT_HEAD(size);
ATF_TC_BODY(size, tc)
{
	(void)tc;
	struct worker *w = fake_worker_new(NULL, 0);

	ATF_CHECK_MSG(engine_size(w->snap) <= 4096, "%zu", engine_size(w->snap));
	fake_worker_free(&w);
}

ATF_TP_ADD_TCS(tp)
{
	log_threshold(LOG_LEVEL_FATAL);
	ATF_TP_ADD_TC(tp, lines);
	ATF_TP_ADD_TC(tp, addresses);
	ATF_TP_ADD_TC(tp, footers);
	ATF_TP_ADD_TC(tp, verbs);
	ATF_TP_ADD_TC(tp, keywords);
	ATF_TP_ADD_TC(tp, elapsed);
	ATF_TP_ADD_TC(tp, printable);
	ATF_TP_ADD_TC(tp, proxy_headers);
	ATF_TP_ADD_TC(tp, tables);
	ATF_TP_ADD_TC(tp, deaf_client);
	ATF_TP_ADD_TC(tp, size);
	return atf_no_error();
}
