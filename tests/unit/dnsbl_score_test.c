/* Scores, names, lifetimes, the truth filter, and what missing answers can still change. */
#include "config.h"

#include <atf-c.h>
#include <string.h>
#include "tests/helpers/dnsbl_sites.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VECTORS                                                              \
	"a.example*2, b.example=127.0.0.[2..4]*3, b.example=127.0.0.10*-1, " \
	"w.example=127.0.[0..255].[1;2;3]*-4"

/* "a 300 127.0.0.2": DOMAIN TTL ADDRESS..., one reply. */
static void
reply(const struct dnsbl_sites *s, struct dnsbl_score *score, const char *text)
{
	struct span rest = span_of(text), name = span_token(&rest, " "),
		    word = span_token(&rest, " ");
	size_t i = 0;
	int64_t ttl;

	while (i < s->count && !span_is(name, s->domains[i].name))
		i++;
	ATF_REQUIRE_MSG(i < s->count, "%s", text);
	ATF_REQUIRE(span_int(word, -1, INT32_MAX, &ttl));
	struct dnsbl_answer *a = &score->answers[i];
	a->ttl = (int32_t)ttl;
	a->state = DNSBL_NOT_LISTED;
	while ((word = span_token(&rest, " ")).len > 0) {
		struct addr ip;
		ATF_REQUIRE(addr_parse(&ip, word.p, word.len));
		memcpy(a->ip[a->count++], ip.ip, 4);
		a->state = DNSBL_LISTED;
	}
	dnsbl_judge(s, i, a);
	dnsbl_score_add(s, score, i);
}

struct vector {
	const char *sites;
	const char *replies[5];
	int total;
	const char *name;
	int64_t ttl_s;
};

static void
check(const struct vector *v, size_t number)
{
	struct dnsbl_sites *s = sites_of(v->sites, NULL);
	struct dnsbl_answer answers[8];
	struct dnsbl_score score;

	dnsbl_score_begin(s, &score, answers);
	for (size_t i = 0; v->replies[i] != NULL; i++)
		reply(s, &score, v->replies[i]);
	dnsbl_score_end(s, &score);
	ATF_CHECK_EQ_MSG(
	    v->total, score.total, "vector %zu: total %d, not %d", number, score.total, v->total);
	ATF_CHECK_EQ_MSG(
	    v->ttl_s, score.ttl_s, "vector %zu: ttl %lld", number, (long long)score.ttl_s);
	ATF_CHECK_STREQ_MSG(v->name == NULL ? "(none)" : v->name,
	    score.name == NULL ? "(none)" : score.name, "vector %zu", number);
	dnsbl_sites_free(&s);
}

ATF_TC_WITHOUT_HEAD(vectors);
ATF_TC_BODY(vectors, tc)
{
	static const struct vector cases[] = {
		{ VECTORS, { "a.example 300 127.0.0.2" }, 2, "a.example", 300 },
		{ VECTORS, { "b.example 300 127.0.0.2 127.0.0.10" }, 2, "b.example", 300 },
		{ VECTORS, { "b.example 300 127.0.0.11" }, 0, NULL, 300 },
		{ VECTORS, { "b.example 300 127.0.0.3 127.0.0.4" }, 3, "b.example", 300 },
		{ VECTORS, { "a.example 300 127.0.0.2", "b.example 200 127.0.0.4" }, 5, "b.example",
		    200 },
		{ VECTORS, { "a.example 300 127.0.0.2", "w.example 400 127.0.5.2" }, -2,
		    "a.example", 400 },
		{ VECTORS, { "w.example 400 127.0.5.2", "a.example 300 127.0.0.2" }, -2,
		    "a.example", 400 },
		/* §4.5: equal weights, the first stays; identical pairs count twice */
		{ "a.example b.example", { "b.example 100 127.0.0.2", "a.example 100 127.0.0.2" },
		    2, "b.example", 100 },
		{ "a.example a.example", { "a.example 100 127.0.0.2" }, 2, "a.example", 100 },
		{ "a.example*0", { "a.example 100 127.0.0.2" }, 0, "a.example", 100 },
		/* §4.6 */
		{ "a.example b.example", { "a.example 500 127.0.0.2", "b.example 90" }, 1,
		    "a.example", 500 },
		{ "a.example b.example", { "a.example 500", "b.example 90" }, 0, NULL, 90 },
		{ "a.example w.example*-1", { "a.example 500", "w.example 90" }, 0, NULL, 500 },
		{ "a.example w.example*-1", { "a.example 500 127.0.0.2", "w.example 90" }, 1,
		    "a.example", 90 },
		{ "a.example b.example", { "a.example 500", "b.example -1" }, 0, NULL, 60 },
		{ "a.example b.example", { "a.example -1", "b.example 500" }, 0, NULL, 500 },
		{ "a.example", { "a.example 5" }, 0, NULL, 60 },
		{ "a.example", { "a.example 99999" }, 0, NULL, 3600 },
		{ "a.example", { NULL }, 0, NULL, 60 },
		{ "a.example=!127.0.0.1*2", { "a.example 100 127.0.0.1" }, 0, NULL, 60 },
		{ "a.example=!127.0.0.1*2", { "a.example 100 127.0.0.3" }, 2, "a.example", 100 },
		{ "a.example=!127.0.0.1*2", { "a.example 100" }, 0, NULL, 100 },
		/* the truth filter */
		{ "a.example", { "a.example 100 127.255.255.254" }, 0, NULL, 60 },
		{ "a.example", { "a.example 100 127.0.0.2 127.255.255.255" }, 0, NULL, 60 },
		{ "a.example", { "a.example 100 203.0.113.80" }, 0, NULL, 60 },
		{ "a.example", { "a.example 100 203.0.113.80 127.0.0.2" }, 1, "a.example", 100 },
		{ "{ a.example, truth=no }", { "a.example 100 203.0.113.80" }, 1, "a.example",
		    100 },
		{ "list.dnswl.org*-5", { "list.dnswl.org 100 127.0.10.3" }, 0, NULL, 60 },
		{ "list.dnswl.org*-5", { "list.dnswl.org 100 127.0.0.255" }, 0, NULL, 60 },
		{ "list.dnswl.org*-5", { "list.dnswl.org 100 127.0.5.3" }, -5, "list.dnswl.org",
		    100 },
		{ "multi.surbl.org", { "multi.surbl.org 100 127.0.0.1" }, 0, NULL, 60 },
		{ "multi.surbl.org", { "multi.surbl.org 100 127.0.0.64" }, 1, "multi.surbl.org",
		    100 },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		check(&cases[i], i);
}

ATF_TC_WITHOUT_HEAD(allow_cap);
ATF_TC_BODY(allow_cap, tc)
{
	struct dnsbl_sites *s = sites_of("a.example*5 v.example*-4 w.example*-4", NULL);
	struct dnsbl_answer answers[3];
	struct dnsbl_score score;
	int lowest, highest;

	s->allow_cap = 6;
	dnsbl_score_begin(s, &score, answers);
	dnsbl_score_range(s, &score, &lowest, &highest);
	ATF_CHECK_EQ(-6, lowest);
	ATF_CHECK_EQ(5, highest);
	reply(s, &score, "v.example 60 127.0.0.1");
	reply(s, &score, "w.example 60 127.0.0.1");
	ATF_CHECK_EQ(-6, score.total);
	reply(s, &score, "a.example 60 127.0.0.2");
	ATF_CHECK_EQ(-1, score.total);
	dnsbl_sites_free(&s);
}

ATF_TC_WITHOUT_HEAD(outlook);
ATF_TC_BODY(outlook, tc)
{
	static const struct {
		int threshold, allow_threshold;
		const char *replies[4];
		enum dnsbl_outlook want;
	} cases[] = {
		{ 3, -2, { NULL }, DNSBL_OPEN },
		{ 3, -2, { "a.example 60 127.0.0.2" }, DNSBL_OPEN },
		{ 3, -2, { "a.example 60 127.0.0.2", "w.example 60" }, DNSBL_OPEN },
		{ 3, -2, { "a.example 60 127.0.0.2", "b.example 60 127.0.0.2", "w.example 60" },
		    DNSBL_WILL_FAIL },
		{ 3, -2, { "a.example 60", "b.example 60" }, DNSBL_OPEN },
		{ 3, 0, { "a.example 60", "b.example 60" }, DNSBL_WILL_PASS },
		{ 3, -2, { "a.example 60", "w.example 60" }, DNSBL_WILL_PASS },
		{ 3, -2, { "a.example 60", "w.example 60 127.0.0.1" }, DNSBL_WILL_ALLOW },
		{ 3, -2, { "b.example 60", "w.example 60 127.0.0.1" }, DNSBL_OPEN },
	};
	struct dnsbl_sites *s = sites_of("a.example*2 b.example*1 w.example*-3", NULL);

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dnsbl_answer answers[3];
		struct dnsbl_score score;
		s->threshold = cases[i].threshold;
		s->allow_threshold = cases[i].allow_threshold;
		dnsbl_score_begin(s, &score, answers);
		for (size_t k = 0; cases[i].replies[k] != NULL; k++)
			reply(s, &score, cases[i].replies[k]);
		ATF_CHECK_EQ_MSG(cases[i].want, dnsbl_score_outlook(s, &score), "case %zu", i);
	}
	dnsbl_sites_free(&s);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, vectors);
	ATF_TP_ADD_TC(tp, allow_cap);
	ATF_TP_ADD_TC(tp, outlook);
	return atf_no_error();
}
