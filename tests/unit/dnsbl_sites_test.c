/* The site list: grammar, grouping, options, dead zones, secrets, servers. */
#include "config.h"

#include <atf-c.h>
#include <stdlib.h>
#include <string.h>
#include "tests/helpers/dnsbl_sites.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LABEL63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

ATF_TC_WITHOUT_HEAD(good_lists);
ATF_TC_BODY(good_lists, tc)
{
	static const struct {
		const char *text,
		    *want; /* want: domain:weights in the order of judging, by domain */
	} cases[] = {
		{ "", "" },
		{ " , \t,", "" },
		{ "bl.example", "bl.example:1" },
		{ "bl.example*0", "bl.example:0" },
		{ "bl.example*-4, b.example*+3", "bl.example:-4 b.example:3" },
		{ "a.example*2, b.example=127.0.0.[2..4]*3, b.example=127.0.0.10*-1",
		    "a.example:2 b.example:-1,3" },
		{ "a.example A.example a.example", "a.example:1,1 A.example:1" },
		{ "_x-y.example\n\tb_.example\r\n", "_x-y.example:1 b_.example:1" },
		{ "a.example=[127.0.0.2]*2", "a.example:2" },
		{ "{ a.example=127.0.0.2*3, family=ipv4, truth=no } b.example",
		    "a.example:3 b.example:1" },
		{ LABEL63 ".example", LABEL63 ".example:1" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char got[256], complaints[256];
		struct buf out = BUF(got), err = BUF(complaints);
		struct dnsbl_sites *s = sites_of(cases[i].text, &err);
		for (size_t k = 0; k < s->count; k++) {
			const struct domain *d = &s->domains[k];
			buf_printf(&out, "%s%s:", k > 0 ? " " : "", d->name);
			for (size_t p = d->pair_count; p-- > 0;)
				buf_printf(&out, "%d%s", d->pairs[p].weight, p > 0 ? "," : "");
		}
		ATF_CHECK_STREQ(cases[i].want, got);
		ATF_CHECK_STREQ("", complaints);
		dnsbl_sites_free(&s);
	}
}

ATF_TC_WITHOUT_HEAD(bad_lists);
ATF_TC_BODY(bad_lists, tc)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "bl.example*x",
		    "main.cf:7: bad DNSBL weight factor \"x\" in \"bl.example*x\"\n" },
		{ "bl.example*", "main.cf:7: bad DNSBL weight factor \"\" in \"bl.example*\"\n" },
		{ "bl.example*2*3",
		    "main.cf:7: bad DNSBL weight factor \"2*3\" in \"bl.example*2*3\"\n" },
		{ "bl.example*2x",
		    "main.cf:7: bad DNSBL weight factor \"2x\" in \"bl.example*2x\"\n" },
		{ "bl.example*99999999999", "main.cf:7: bad DNSBL weight factor \"99999999999\" in "
					    "\"bl.example*99999999999\"\n" },
		{ "bl.example=1.2.300.4*2", "main.cf:7: bad DNSBL filter syntax: need decimal "
					    "number 0..255 or \"[\" at \"1.2.>300<.4\"\n" },
		{ "bl.example=", "main.cf:7: bad DNSBL filter syntax: empty address pattern\n" },
		{ "bl.example=127.0.0.[2,3]",
		    "main.cf:7: bad DNSBL filter syntax: need \";\" or \"]\" at \"127.0.0.[2><\"\n"
		    "warning: main.cf:7: \"3]\": only letters, digits, \"-\" and \"_\" may stand "
		    "in a label\n"
		    "main.cf:7: bad DNSBL domain name \"3]\" in \"3]\"\n" },
		{ "bl..example",
		    "warning: main.cf:7: \"bl..example\": empty label (two dots together, or a dot "
		    "at the start or end)\n"
		    "main.cf:7: bad DNSBL domain name \"bl..example\" in \"bl..example\"\n" },
		{ "=127.0.0.2*2", "warning: main.cf:7: \"\": empty name\n"
				  "main.cf:7: bad DNSBL domain name \"\" in \"=127.0.0.2*2\"\n" },
		{ "127.0.0.2",
		    "warning: main.cf:7: \"127.0.0.2\": a name of digits only is an address\n"
		    "main.cf:7: bad DNSBL domain name \"127.0.0.2\" in \"127.0.0.2\"\n" },
		{ "-a.example",
		    "warning: main.cf:7: \"-a.example\": label begins or ends with a hyphen\n"
		    "main.cf:7: bad DNSBL domain name \"-a.example\" in \"-a.example\"\n" },
		{ LABEL63 "h.example", "warning: main.cf:7: \"" LABEL63
				       "h.example\": label longer than 63 characters\n"
				       "main.cf:7: bad DNSBL domain name \"" LABEL63
				       "h.example\" in \"" LABEL63 "h.example\"\n" },
		{ "{ a.example, colour=red }",
		    "main.cf:7: bad DNSBL site option (family=ipv4|ipv6|any, truth=no, probe=no, "
		    "alive=yes) "
		    "\"colour=red\" in \"{ a.example, colour=red }\"\n" },
		{ "{ a.example", "main.cf:7: missing \"}\" in \"{ a.example\"\n" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char complaints[1024];
		struct buf err = BUF(complaints);
		struct dnsbl_sites *s = sites_of(cases[i].text, &err);
		ATF_CHECK_STREQ(cases[i].error, complaints);
		ATF_CHECK_EQ_MSG(0, s->count, "%s", cases[i].text);
		dnsbl_sites_free(&s);
	}
}

ATF_TC_WITHOUT_HEAD(options_hold_for_the_domain);
ATF_TC_BODY(options_hold_for_the_domain, tc)
{
	struct dnsbl_sites *s = sites_of(
	    "a.example=127.0.0.2*2 { a.example*-1, family=ipv6, probe=no } {b.example,truth=no}",
	    NULL);

	ATF_REQUIRE_EQ(2, s->count);
	ATF_CHECK_EQ(2, s->domains[0].pair_count);
	ATF_CHECK_EQ(2, s->domains[0].highest);
	ATF_CHECK_EQ(-1, s->domains[0].lowest);
	ATF_CHECK_EQ(FAMILY_V6, s->domains[0].families);
	ATF_CHECK(s->domains[0].truth && !s->domains[0].probe);
	ATF_CHECK_EQ(FAMILY_V4 | FAMILY_V6, s->domains[1].families);
	ATF_CHECK(!s->domains[1].truth && s->domains[1].probe);
	dnsbl_sites_free(&s);
}

ATF_TC_WITHOUT_HEAD(dead_zones_are_refused);
ATF_TC_BODY(dead_zones_are_refused, tc)
{
	char complaints[512];
	struct buf err = BUF(complaints);
	struct dnsbl_sites *s =
	    sites_of("zen.example DNSBL.sorbs.net*2 { ix.dnsbl.manitu.net, alive=yes }", &err);

	ATF_CHECK_EQ(2, s->count);
	ATF_CHECK(strstr(complaints,
		      "main.cf:7: DNSBL domain \"DNSBL.sorbs.net\" is dead: SORBS was shut down "
		      "(2024-06-05); remove it") != NULL);
	ATF_CHECK(strstr(complaints, "manitu") == NULL);
	ATF_CHECK(dead_zone_find("safe.dnsbl.sorbs.net") != NULL);
	ATF_CHECK(dead_zone_find("notsorbs.net") == NULL);
	dnsbl_sites_free(&s);
}

ATF_TC_WITHOUT_HEAD(secrets_are_masked);
ATF_TC_BODY(secrets_are_masked, tc)
{
	static const struct {
		const char *name, *shown;
	} cases[] = {
		{ "zen.spamhaus.org", "zen.spamhaus.org" },
		{ "abcdefghij0123456789klmnop.zen.dq.spamhaus.net", "****.zen.dq.spamhaus.net" },
		{ "abcdefghijklmnopqrstuvwxyz.example", "abcdefghijklmnopqrstuvwxyz.example" },
		{ "score-senderscore-2024-lists.example", "score-senderscore-2024-lists.example" },
		{ "a1.b2.example", "a1.b2.example" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *shown = name_masked(cases[i].name);
		ATF_CHECK_STREQ(cases[i].shown, shown);
		free(shown);
	}
}

ATF_TC_WITHOUT_HEAD(servers);
ATF_TC_BODY(servers, tc)
{
	struct dnsbl_sites s = { 0 };
	char complaints[512];
	struct buf err = BUF(complaints);
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 7, diag };
	FILE *f = fopen("resolv.conf", "w");

	servers_parse(&s, span_of("192.0.2.1, [2001:db8::1]:5353\n127.0.0.1:54"), &at);
	ATF_REQUIRE_EQ(3, s.server_count);
	ATF_CHECK_EQ(53, s.servers[0].port);
	ATF_CHECK_EQ(5353, s.servers[1].port);
	ATF_CHECK_EQ(6, s.servers[1].addr.family);
	ATF_CHECK_EQ(54, s.servers[2].port);
	servers_parse(&s, span_of("dns.example 1.2.3.4:x"), &at);
	ATF_CHECK_EQ(3, s.server_count);
	diag_each(diag, print_diag, &err);
	ATF_CHECK(strstr(complaints, "bad name server \"dns.example\"") != NULL);
	diag_free(&diag);

	ATF_REQUIRE(f != NULL);
	fputs("# a\nsearch example\nnameserver 192.0.2.7\nnameserver "
	      "fe80::1%eth0\nnameserver\t2001:db8::7 # b\n",
	    f);
	fclose(f);
	s.server_count = 0;
	servers_from_resolv_conf(&s, "resolv.conf");
	ATF_REQUIRE_EQ(2, s.server_count);
	ATF_CHECK_EQ(7, s.servers[0].addr.ip[3]);
	ATF_CHECK_EQ(7, s.servers[1].addr.ip[15]);
	s.server_count = 0;
	servers_from_resolv_conf(&s, "no-such-file");
	ATF_REQUIRE_EQ(1, s.server_count);
	ATF_CHECK(addr_is_loopback(&s.servers[0].addr));
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, good_lists);
	ATF_TP_ADD_TC(tp, bad_lists);
	ATF_TP_ADD_TC(tp, options_hold_for_the_domain);
	ATF_TP_ADD_TC(tp, dead_zones_are_refused);
	ATF_TP_ADD_TC(tp, secrets_are_masked);
	ATF_TP_ADD_TC(tp, servers);
	return atf_no_error();
}
