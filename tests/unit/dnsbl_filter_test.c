/* Reply filters: what they match, and the exact words about a bad one. */
#include "config.h"

#include <atf-c.h>
#include <string.h>
#include "dnsbl/dnsbl.h"
#include "dnsbl/filter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
match(const char *pattern, const char *ip)
{
	struct dnsbl_filter *f = dnsbl_filter_parse(span_of(pattern), NULL);
	struct addr a;
	bool yes;

	ATF_REQUIRE_MSG(f != NULL, "%s", pattern);
	ATF_REQUIRE(addr_parse(&a, ip, strlen(ip)));
	yes = dnsbl_filter_match(f, a.ip);
	dnsbl_filter_free(&f);
	ATF_REQUIRE(f == NULL);
	return yes;
}

ATF_TC_WITHOUT_HEAD(matches);
ATF_TC_BODY(matches, tc)
{
	static const struct {
		const char *pattern, *ip;
		bool yes;
	} cases[] = {
		{ "127.0.0.2", "127.0.0.2", true },
		{ "127.0.0.2", "127.0.0.3", false },
		{ "127.0.0.[2..4]", "127.0.0.2", true },
		{ "127.0.0.[2..4]", "127.0.0.4", true },
		{ "127.0.0.[2..4]", "127.0.0.5", false },
		{ "127.0.0.[2..4]", "127.0.0.1", false },
		{ "127.0.[0..255].[1;2;3]", "127.0.200.3", true },
		{ "127.0.[0..255].[1;2;3]", "127.0.200.4", false },
		{ "[127.0.0.2]", "127.0.0.2", true },
		{ "[127.0.0.[2;4..6;9]]", "127.0.0.5", true },
		{ "[127.0.0.[2;4..6;9]]", "127.0.0.3", false },
		{ "[127;10].0.0.[1]", "10.0.0.1", true },
		{ "0.0.0.0", "0.0.0.0", true },
		{ "[0..255].[0..255].[0..255].255", "1.2.3.255", true },
		{ "[0..255].[0..255].[0..255].255", "1.2.3.254", false },
		{ "127.0.0.[63..64]", "127.0.0.64", true },
		{ "0127.00.0.02", "127.0.0.2", true },
		{ "127.0.0.[4..4]", "127.0.0.4", true },
		/* beyond postscreen: bit masks and negation */
		{ "127.0.0.&6", "127.0.0.2", true },
		{ "127.0.0.&6", "127.0.0.13", true },
		{ "127.0.0.&6", "127.0.0.9", false },
		{ "127.0.0.[&8;1]", "127.0.0.1", true },
		{ "127.0.0.[&8;1]", "127.0.0.2", false },
		{ "!127.0.0.1", "127.0.0.1", false },
		{ "!127.0.0.1", "127.0.0.2", true },
		{ "![127.0.0.[1;2]]", "127.0.0.2", false },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		ATF_CHECK_EQ_MSG(cases[i].yes, match(cases[i].pattern, cases[i].ip), "%s %s",
		    cases[i].pattern, cases[i].ip);
}

ATF_TC_WITHOUT_HEAD(faults);
ATF_TC_BODY(faults, tc)
{
	static const struct {
		const char *pattern, *error;
	} cases[] = {
		{ "1.2.300.4", "need decimal number 0..255 or \"[\" at \"1.2.>300<.4\"" },
		{ "1.2.[1-255].5", "need \";\" or \"]\" at \"1.2.[1>-<255].5\"" },
		{ "1.2.3.[4..1]", "numeric range error at \"1.2.3.[4..>1<]\"" },
		{ "1.2.3.4x", "garbage after pattern at \"1.2.3.4>x<\"" },
		{ "1.2.3.4.5", "garbage after pattern at \"1.2.3.4>.<5\"" },
		{ "", "empty address pattern" },
		{ "[]", "empty address pattern" },
		{ "!", "empty address pattern" },
		{ "[127.0.0.2", "missing \"]\" character" },
		{ "[1;2.0.0.1", "missing \"]\" character" },
		{ "[127.0.0.[2;3]", "missing \"]\" character" },
		{ "1.2.3", "need \".\" at \"1.2.3><\"" },
		{ "1.2x3.4", "need \".\" at \"1.2>x<3.4\"" },
		{ "1.2.3.", "need decimal number 0..255 or \"[\" at \"1.2.3.><\"" },
		{ "a.2.3.4", "need decimal number 0..255 or \"[\" at \">a<.2.3.4\"" },
		{ "1.2.3.[]", "need decimal number 0..255 at \"1.2.3.[>]<\"" },
		{ "1.2.3.[4;]", "need decimal number 0..255 at \"1.2.3.[4;>]<\"" },
		{ "1.2.3.[256]", "need decimal number 0..255 at \"1.2.3.[>256<]\"" },
		{ "1.2.3.[4.5]", "numeric range error at \"1.2.3.[4.>5<]\"" },
		{ "1.2.3.[4..]", "numeric range error at \"1.2.3.[4..>]<\"" },
		{ "1.2.3.[4..300]", "numeric range error at \"1.2.3.[4..>300<]\"" },
		{ "1.2.3.[4", "need \";\" or \"]\" at \"1.2.3.[4><\"" },
		{ "99999999999999999999999.2.3.4",
		    "need decimal number 0..255 or \"[\" at \">99999999999999999999999<.2.3.4\"" },
		{ "1.2.3.-4", "need decimal number 0..255 or \"[\" at \"1.2.3.>-<4\"" },
		{ "1.2.3.&x", "need decimal number 1..255 after \"&\" at \"1.2.3.&>x<\"" },
		{ "1.2.3.&0", "need decimal number 1..255 after \"&\" at \"1.2.3.&>0<\"" },
		{ "1.2.3.\a", "need decimal number 0..255 or \"[\" at \"1.2.3.>?<\"" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[200];
		struct buf err = BUF(text);
		struct dnsbl_filter *f = dnsbl_filter_parse(span_of(cases[i].pattern), &err);
		ATF_CHECK_MSG(f == NULL, "%s accepted", cases[i].pattern);
		ATF_CHECK_STREQ(cases[i].error, text);
		dnsbl_filter_free(&f);
	}
}

ATF_TC_WITHOUT_HEAD(whole_answers);
ATF_TC_BODY(whole_answers, tc)
{
	static const uint8_t two[2][4] = { { 127, 0, 0, 2 }, { 127, 0, 0, 10 } };
	static const struct {
		const char *pattern;
		size_t count;
		bool yes;
	} cases[] = {
		{ "127.0.0.10", 2, true },
		{ "127.0.0.10", 1, false },
		{ "127.0.0.10", 0, false },
		{ "!127.0.0.10", 1, true },
		{ "!127.0.0.10", 2, false },
		{ "!127.0.0.10", 0, false },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dnsbl_filter f;
		ATF_REQUIRE(filter_parse(&f, span_of(cases[i].pattern), NULL));
		ATF_CHECK_EQ_MSG(
		    cases[i].yes, filter_match_any(&f, two, cases[i].count), "case %zu", i);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, matches);
	ATF_TP_ADD_TC(tp, faults);
	ATF_TP_ADD_TC(tp, whole_answers);
	return atf_no_error();
}
