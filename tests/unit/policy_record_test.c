/* policy/record.c: reading, writing and keeping allowlist records. */
#include "config.h"

#include <atf-c.h>
#include <string.h>

#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL (CHECKS_EARLY | CHECKS_DEEP)

ATF_TC_WITHOUT_HEAD(fields_are_read_one_by_one);
ATF_TC_BODY(fields_are_read_one_by_one, tc)
{
	static const struct {
		const char *text;
		int64_t want[CHECKS];
	} cases[] = {
		{ "1086400;1003600;3592000;3592000;3592001",
		    { 1086400, 1003600, 3592000, 3592000, 3592001 } },
		{ "1086400;1003600;0;0;0", { 1086400, 1003600, 0, 0, 0 } },
		{ "1086400;1003600", { 1086400, 1003600, 1, 1, 1 } },
		{ "garbage", { 1, 1, 1, 1, 1 } },
		{ "", { 1, 1, 1, 1, 1 } },
		{ ";;5", { 1, 1, 5, 1, 1 } },
		{ "5;x;7;-8;9", { 5, 1, 7, 1, 9 } },
		{ "5; 6;7 ;8;9", { 5, 1, 1, 8, 9 } },
		{ "1;2;3;4;5;6;7;junk", { 1, 2, 3, 4, 5 } },
		{ "9223372036854775807;9223372036854775808;99999999999999999999;1;1",
		    { INT64_MAX, 1, 1, 1, 1 } },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct record record;
		record_parse(&record, span_of(cases[i].text));
		for (int c = 0; c < CHECKS; c++)
			ATF_CHECK_EQ_MSG(record.expires_at[c], cases[i].want[c],
			    "%s: field %d is %lld", cases[i].text, c,
			    (long long)record.expires_at[c]);
	}
	/* A span ends where it ends. */
	struct record record;
	record_parse(&record, (struct span){ "12345;6", 2 });
	ATF_CHECK_EQ(record.expires_at[0], 12);
	ATF_CHECK_EQ(record.expires_at[1], STAMP_DISABLED);
}

ATF_TC_WITHOUT_HEAD(new_stamps_of_disabled_checks_are_written_as_disabled);
ATF_TC_BODY(new_stamps_of_disabled_checks_are_written_as_disabled, tc)
{
	static const struct {
		struct record record;
		uint8_t enabled;
		const char *want;
	} cases[] = {
		{ { { 1086400, 0, 0, 0, 0 } }, CHECK_BIT(CHECK_PREGREET), "1086400;1;1;1;1" },
		{ { { 1086400, 0, 0, 0, 0 } }, ALL, "1086400;0;0;0;0" },
		{ { { 5, 6, 7, 8, 9 } }, 0, "5;6;7;8;9" },
		{ { { 1, 1, 1, 1, 1 } }, ALL, "1;1;1;1;1" },
		{ { { -1, -1, -1, -1, -1 } }, CHECKS_EARLY, "0;0;1;1;1" },
		{ { { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } }, ALL,
		    "9223372036854775807;9223372036854775807;9223372036854775807;"
		    "9223372036854775807;9223372036854775807" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[RECORD_TEXT_SIZE];
		struct buf out = BUF(text);
		record_format(&cases[i].record, cases[i].enabled, &out);
		ATF_CHECK_STREQ(text, cases[i].want);
		ATF_CHECK(!out.cut);
	}
}

ATF_TC_WITHOUT_HEAD(what_is_written_reads_back);
ATF_TC_BODY(what_is_written_reads_back, tc)
{
	uint64_t seed = 1;

	for (int round = 0; round < 5000; round++) {
		struct record in, out;
		char text[RECORD_TEXT_SIZE];
		struct buf buf = BUF(text);
		for (int c = 0; c < CHECKS; c++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			in.expires_at[c] = (int64_t)(seed >> (1 + seed % 62));
		}
		record_format(&in, ALL, &buf);
		record_parse(&out, (struct span){ buf.p, buf.len });
		ATF_REQUIRE_EQ_MSG(0, memcmp(&in, &out, sizeof in), "%s", text);
	}
}

ATF_TC_WITHOUT_HEAD(kept_until_every_enabled_check_is_long_expired);
ATF_TC_BODY(kept_until_every_enabled_check_is_long_expired, tc)
{
	enum { NOW = 1000000, WEEK = 7 * 86400 };
	static const struct {
		struct record record;
		uint8_t enabled;
		bool keep;
	} cases[] = {
		{ { { NOW, 1, 1, 1, 1 } }, ALL, true },
		{ { { NOW - WEEK, 1, 1, 1, 1 } }, ALL, true },
		{ { { NOW - WEEK - 1, 1, 1, 1, 1 } }, ALL, false },
		/* The deep passes still stand: postscreen's code drops this one, its manual keeps it. */
		{ { { 5, 5, NOW + 9, 0, 0 } }, ALL, true },
		{ { { 5, 5, NOW + 9, 0, 0 } }, CHECKS_EARLY, false },
		{ { { 5, 5, NOW + 9, 0, 0 } }, 0, true },
		{ { { 1, 1, 1, 1, 1 } }, ALL, false },
		{ { { 0, 0, 0, 0, 0 } }, ALL, false },
		{ { { 0, 0, 0, 0, 0 } }, 0, false },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct policy_rules rules = { .enabled = cases[i].enabled, .retention_s = WEEK };
		ATF_CHECK_EQ_MSG(
		    record_keep(&cases[i].record, &rules, NOW), cases[i].keep, "case %zu", i);
	}
}

ATF_TC_WITHOUT_HEAD(checks_have_their_words);
ATF_TC_BODY(checks_have_their_words, tc)
{
	ATF_CHECK_STREQ(check_word(CHECK_PREGREET), "pregreet");
	ATF_CHECK_STREQ(check_word(CHECK_BARE_NEWLINE), "bare-newline");
	ATF_CHECK_EQ(CHECKS, 5);
	ATF_CHECK_EQ(sizeof(struct record), 40);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, fields_are_read_one_by_one);
	ATF_TP_ADD_TC(tp, new_stamps_of_disabled_checks_are_written_as_disabled);
	ATF_TP_ADD_TC(tp, what_is_written_reads_back);
	ATF_TP_ADD_TC(tp, kept_until_every_enabled_check_is_long_expired);
	ATF_TP_ADD_TC(tp, checks_have_their_words);
	return atf_no_error();
}
