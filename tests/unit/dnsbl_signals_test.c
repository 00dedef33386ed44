/* gatehouse_score_rules: its grammar, feeds of prefixes, and what counts for a name. */
#include "config.h"

#include <atf-c.h>
#include <stdlib.h>
#include <string.h>
#include "dnsbl/signals.h"
#include "tests/helpers/dnsbl_sites.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ATF_REQUIRE(f != NULL);
	fputs(text, f);
	fclose(f);
}

static struct addr
address(const char *text)
{
	struct addr a;

	ATF_REQUIRE_MSG(addr_parse(&a, text, strlen(text)), "%s", text);
	return a;
}

ATF_TC_WITHOUT_HEAD(rules_parse);
ATF_TC_BODY(rules_parse, tc)
{
	static const struct {
		const char *text, *want, *error; /* error: part of it */
	} cases[] = {
		{ "", "", NULL },
		{ "cidr:drop.txt*3", "cidr:drop.txt=3", NULL },
		{ "cidr:./drop.txt*3, ptr:missing*1 ptr:unconfirmed*-2",
		    "cidr:drop.txt=3 ptr:missing=1 ptr:unconfirmed=-2", NULL },
		{ "cidr:drop.txt", "", "bad weight \"\" of \"cidr:drop.txt\"" },
		{ "cidr:drop.txt*x, ptr:missing*2", "ptr:missing=2", "bad weight \"x\"" },
		{ "cidr:no-such-file*3", "", "cannot open no-such-file" },
		{ "cidr:bad.txt*3", "", "bad.txt:2: not an address or prefix: \"300.1.1.1/8\"" },
		{ "country:KP,XX*2", "", "name an MMDB file in gatehouse_geo_files" },
		{ "asn:64500*2", "", "name an MMDB file in gatehouse_geo_files" },
		{ "ptr:dynamic*2", "", "write ptr:missing, ptr:unconfirmed or ptr:pcre:FILE" },
		{ "colour:red*2", "", "bad gatehouse_score_rules word \"colour:red\"" },
		{ "*", "", "bad weight" },
	};

	write_file("drop.txt", "192.0.2.0/24 ; SBL1\n");
	write_file("bad.txt", "192.0.2.0/24\n300.1.1.1/8\n");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dnsbl_sites *s = mem_alloc(sizeof *s);
		char got[256], complaints[1024];
		struct buf out = BUF(got), err = BUF(complaints);
		struct diag *diag = diag_new();
		struct place at = { "main.cf", 7, diag };

		signals_parse(s, span_of(cases[i].text), "", &at);
		for (size_t k = 0; k < s->signal_count; k++)
			buf_printf(&out, "%s%s=%d", k > 0 ? " " : "", s->signals[k].shown,
			    s->signals[k].weight);
		diag_each(diag, print_diag, &err);
		ATF_CHECK_STREQ(cases[i].want, got);
		if (cases[i].error == NULL)
			ATF_CHECK_STREQ("", complaints);
		else
			ATF_CHECK_MSG(strstr(complaints, cases[i].error) != NULL, "%s: %s",
			    cases[i].text, complaints);
		diag_free(&diag);
		dnsbl_sites_free(&s);
	}
}

ATF_TC_WITHOUT_HEAD(feeds);
ATF_TC_BODY(feeds, tc)
{
	static const struct {
		const char *address;
		bool yes;
	} cases[] = {
		{ "192.0.2.0", true },
		{ "192.0.2.255", true },
		{ "192.0.1.255", false },
		{ "192.0.3.0", false },
		{ "10.1.2.3", true },
		{ "10.1.2.4", false },
		{ "172.16.9.9", true },
		{ "172.17.0.0", false },
		{ "0.0.0.1", false },
		{ "255.255.255.255", true },
		{ "255.255.255.254", false },
		{ "2001:db8::1", true },
		{ "2001:db9::1", false },
		{ "c000:200::", false },
	};
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 7, diag };
	struct feed *f;

	write_file("feed",
	    "; Spamhaus DROP\n# a comment\n\n192.0.2.0/24 ; SBL1\n192.0.2.128/25;inside\n10.1.2.3\n"
	    "172.16.5.5/16 # host bits\n255.255.255.255/32\n  2001:db8::/32\t; "
	    "SBL2\r\n192.0.2.0/26\n");
	f = feed_load("feed", &at);
	ATF_REQUIRE(f != NULL);
	ATF_CHECK_EQ(5, feed_ranges(f));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr a = address(cases[i].address);
		ATF_CHECK_EQ_MSG(cases[i].yes, feed_has(f, &a), "%s", cases[i].address);
	}
	feed_free(&f);
	write_file("feed", "0.0.0.0/0\n");
	f = feed_load("feed", &at);
	ATF_REQUIRE(f != NULL);
	ATF_CHECK(feed_has(f, &(struct addr){ .family = 4, .ip = { 1, 2, 3, 4 } }));
	ATF_CHECK(!feed_has(f, &(struct addr){ .family = 6 }));
	feed_free(&f);
	diag_free(&diag);
}

/* A hundred thousand prefixes, compared with looking at each. */
ATF_TC_WITHOUT_HEAD(a_large_feed);
ATF_TC_BODY(a_large_feed, tc)
{
	enum { PREFIXES = 100000, SAMPLES = 300 };
	struct net {
		struct addr a;
		unsigned len;
	} *nets = mem_array(PREFIXES, sizeof *nets);
	FILE *file = fopen("feed", "w");
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 7, diag };
	uint32_t x = 12345;
	unsigned hits = 0;

	ATF_REQUIRE(file != NULL);
	for (size_t i = 0; i < PREFIXES; i++) {
		char text[ADDR_TEXT_SIZE];
		x = x * 1664525 + 1013904223;
		nets[i].a = (struct addr){ .family = 4,
			.ip = { (uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8) } };
		nets[i].len = 16 + (x >> 20) % 9;
		addr_mask(&nets[i].a, nets[i].len);
		fprintf(file, "%s/%u\n", addr_format(&nets[i].a, text), nets[i].len);
	}
	fclose(file);
	struct feed *f = feed_load("feed", &at);
	ATF_REQUIRE(f != NULL);
	for (unsigned i = 0; i < SAMPLES; i++) {
		bool want = false;
		x = x * 1664525 + 1013904223;
		struct addr a = { .family = 4,
			.ip = { (uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8), 7 } };
		for (size_t k = 0; k < PREFIXES && !want; k++)
			want = addr_in_prefix(&a, &nets[k].a, nets[k].len);
		ATF_CHECK_EQ(want, feed_has(f, &a));
		hits += want;
	}
	ATF_CHECK_MSG(hits > 0 && hits < SAMPLES, "%u hits tell nothing", hits);
	feed_free(&f);
	diag_free(&diag);
	free(nets);
}

ATF_TC_WITHOUT_HEAD(names);
ATF_TC_BODY(names, tc)
{
	static const struct {
		enum signal_kind kind;
		const char *name;
		bool confirmed, yes;
	} cases[] = {
		{ SIGNAL_PTR_MISSING, NULL, false, true },
		{ SIGNAL_PTR_MISSING, "a.example", false, false },
		{ SIGNAL_PTR_UNCONFIRMED, NULL, false,
		    false }, /* that is for the other rule to say */
		{ SIGNAL_PTR_UNCONFIRMED, "a.example", false, true },
		{ SIGNAL_PTR_UNCONFIRMED, "a.example", true, false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct signal sig = { .kind = cases[i].kind };
		ATF_CHECK_EQ_MSG(cases[i].yes,
		    signal_matches_name(&sig, cases[i].name, cases[i].confirmed), "case %zu", i);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, rules_parse);
	ATF_TP_ADD_TC(tp, feeds);
	ATF_TP_ADD_TC(tp, a_large_feed);
	ATF_TP_ADD_TC(tp, names);
	return atf_no_error();
}
