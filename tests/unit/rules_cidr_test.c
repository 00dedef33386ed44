#include "config.h"
#include "tests/unit/rules_help.h"

#include <libcidr.h>
#include "rules/intervals.h"
#include "rules/net.h"

/*
 * Addresses and networks. The second half of these is what libcidr overflows on, or takes for
 * another network or for /0.
 */
static const struct {
	const char *text, *want; /* network, or "!" and the complaint */
} nets[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "192.0.2.1/32", "192.0.2.1" },
	{ "192.0.2.0/24", "192.0.2.0/24" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "128.0.0.0/1", "128.0.0.0/1" },
	{ "::/0", "::/0" },
	{ "2001:DB8::/32", "2001:db8::/32" },
	{ "2001:db8:0:0:0:0:0:1", "2001:db8::1" },
	{ "[2001:db8::]/32", "2001:db8::/32" },
	{ "[2001:db8::/32]", "2001:db8::/32" },
	{ "[2001:db8::1]", "2001:db8::1" },
	{ "[192.0.2.0]/24", "192.0.2.0/24" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "::ffff:192.0.2.0/120", "192.0.2.0/24" },
	{ "192.0.2.1/24", "!non-null host address bits in \"192.0.2.1/24\", perhaps you should use "
			  "\"192.0.2.0/24\" instead" },
	{ "2001:db8::1/64",
	    "!non-null host address bits in \"2001:db8::1/64\", perhaps you should use "
	    "\"2001:db8::/64\" instead" },
	{ "10.0.0.1/0",
	    "!non-null host address bits in \"10.0.0.1/0\", perhaps you should use \"0.0.0.0/0\" "
	    "instead" },
	{ "192.0.2.0/33", "!bad mask length in \"192.0.2.0/33\"" },
	{ "::/129", "!bad mask length in \"::/129\"" },
	{ "[::1", "!missing ']' character after \"[::1\"" },
	{ "[::1]x", "!garbage after \"[::1]\"" },
	{ "::ffff:0.0.0.0/90", "!an IPv4-mapped network is never looked up; use the IPv4 form" },
	{ "", "!bad address pattern: \"\"" },
	/* libcidr and its like */
	{ "1.2.3.4/a", "!bad mask value in \"1.2.3.4/a\"" },
	{ "1.2.3.4/x", "!bad mask value in \"1.2.3.4/x\"" },
	{ "1.2.3.4/i", "!bad mask value in \"1.2.3.4/i\"" },
	{ "1.2.3.4/-5", "!bad mask value in \"1.2.3.4/-5\"" },
	{ "1.2.3.4/8x", "!bad mask value in \"1.2.3.4/8x\"" },
	{ "1.2.3.4/", "!bad mask value in \"1.2.3.4/\"" },
	{ "1.2.3.4//24", "!bad mask value in \"1.2.3.4//24\"" },
	{ "1.2.3.4/24/8", "!bad mask value in \"1.2.3.4/24/8\"" },
	{ "1.2.3.4/255.0.0.0", "!bad mask value in \"1.2.3.4/255.0.0.0\"" },
	{ "1.2.3.4/0xff000000", "!bad mask value in \"1.2.3.4/0xff000000\"" },
	{ "1.2.3.4/4294967296", "!bad mask length in \"1.2.3.4/4294967296\"" },
	{ "1.2.3.4/4294967297", "!bad mask length in \"1.2.3.4/4294967297\"" },
	{ "1.2.3.4/4278190080", "!bad mask length in \"1.2.3.4/4278190080\"" },
	{ "::/ffff:ffff::", "!bad mask value in \"::/ffff:ffff::\"" },
	{ "010.1.1.1", "!bad address pattern: \"010.1.1.1\"" },
	{ "0x7f.1", "!bad address pattern: \"0x7f.1\"" },
	{ "127.1", "!bad address pattern: \"127.1\"" },
	{ "1", "!bad address pattern: \"1\"" },
	{ "0xdead", "!bad address pattern: \"0xdead\"" },
	{ "1..2.3", "!bad address pattern: \"1..2.3\"" },
	{ "1.2.3.", "!bad address pattern: \"1.2.3.\"" },
	{ "1.2.3", "!bad address pattern: \"1.2.3\"" },
	{ "256.1.1.1", "!bad address pattern: \"256.1.1.1\"" },
	{ "1.2.3.4.5", "!bad address pattern: \"1.2.3.4.5\"" },
	{ "1:2:3:4:5:6:7:8:9", "!bad address pattern: \"1:2:3:4:5:6:7:8:9\"" },
	{ "1:2:3:4:5:6:7:8:9::1", "!bad address pattern: \"1:2:3:4:5:6:7:8:9::1\"" },
	{ "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1::1",
	    "!bad address pattern: \"1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1::1\"" },
	{ "1::2::3", "!bad address pattern: \"1::2::3\"" },
	{ "4.3.2.1.in-addr.arpa", "!bad address pattern: \"4.3.2.1.in-addr.arpa\"" },
	{ "1.ip6.int", "!bad address pattern: \"1.ip6.int\"" },
	{ "fe80::1%eth0", "!bad address pattern: \"fe80::1%eth0\"" },
	{ "IPv6:::1", "!bad address pattern: \"IPv6:::1\"" },
	{ " 1.2.3.4", "!bad address pattern: \" 1.2.3.4\"" },
	{ "1.2.3.4\n", "!bad address pattern: \"1.2.3.4\\n\"" },
};

ATF_TC_WITHOUT_HEAD(networks_are_scanned_strictly);
ATF_TC_BODY(networks_are_scanned_strictly, tc)
{
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		char bytes[300], text[NET_TEXT_SIZE];
		struct buf why = BUF(bytes);
		struct net net;
		bool ok = net_parse(&net, span_of(nets[i].text), &why);

		if (nets[i].want[0] == '!') {
			ATF_CHECK_MSG(!ok, "%s was taken", nets[i].text);
			ATF_CHECK_STREQ(nets[i].want + 1, bytes);
		} else {
			ATF_REQUIRE_MSG(ok, "%s: %s", nets[i].text, bytes);
			ATF_CHECK_STREQ(nets[i].want, net_format(&net, text));
		}
	}
}

static struct table *
open_rules(const char *text, struct diag *diag)
{
	write_text("t.cidr", text);
	return table_open("cidr:t.cidr", diag);
}

#define RULES_EXAMPLE                                                                           \
	"10.1.0.0/16 permit\n10.0.0.0/8 reject\n2001:db8:1::/48 one\n2001:db8::/32 two words\n" \
	"! 192.168.0.0/16   notlocal\n"
static const struct {
	const char *rules, *key, *want;
} finds[] = {
	{ RULES_EXAMPLE, "10.1.2.3", "permit" },
	{ RULES_EXAMPLE, "10.2.2.3", "reject" },
	{ RULES_EXAMPLE, "192.168.1.1", "-" },
	{ RULES_EXAMPLE, "11.0.0.0", "notlocal" },
	{ RULES_EXAMPLE, "0.0.0.0", "notlocal" },
	{ RULES_EXAMPLE, "255.255.255.255", "notlocal" },
	{ RULES_EXAMPLE, "2001:db8:1::1", "one" },
	{ RULES_EXAMPLE, "2001:db8:2::1", "two words" },
	{ RULES_EXAMPLE, "2001:db9::", "-" }, /* a negated IPv4 rule never matches IPv6 */
	{ RULES_EXAMPLE, "::ffff:10.1.2.3", "permit" },
	{ RULES_EXAMPLE, "mail.example.org", "-" },
	{ RULES_EXAMPLE, "", "-" },
	{ RULES_EXAMPLE, "10.1.2", "-" },
	{ "", "10.0.0.1", "-" },
	{ "# nothing\n", "10.0.0.1", "-" },
	{ "0.0.0.0/0 all\n", "255.255.255.255", "all" },
	{ "0.0.0.0/0 all\n", "::", "-" },
	{ "::/0 six\n0.0.0.0/0 four\n", "::", "six" },
	{ "::/0 six\n0.0.0.0/0 four\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "six" },
	{ "255.255.255.255 last\n", "255.255.255.255", "last" },
	{ "10.0.0.1 CaseKept here\n", "10.0.0.1", "CaseKept here" },
	{ "10.0.0.1 a\n  b\n# c\n  d\n10.0.0.2 e", "10.0.0.1", "a  b  d" },
	{ "!!10.0.0.0/8 twice\n", "10.0.0.1", "twice" },
	{ "!!10.0.0.0/8 twice\n", "11.0.0.1", "-" },
	{ "IF 10.0.0.0/8\n10.1.0.0/16 in\n!10.2.0.0/16 others\nENDIF\n0.0.0.0/0 out\n", "10.1.0.1",
	    "in" },
	{ "IF 10.0.0.0/8\n10.1.0.0/16 in\n!10.2.0.0/16 others\nENDIF\n0.0.0.0/0 out\n", "10.9.0.1",
	    "others" },
	{ "IF 10.0.0.0/8\n10.1.0.0/16 in\n!10.2.0.0/16 others\nENDIF\n0.0.0.0/0 out\n", "10.2.0.1",
	    "out" },
	{ "IF 10.0.0.0/8\n10.1.0.0/16 in\n!10.2.0.0/16 others\nENDIF\n0.0.0.0/0 out\n", "9.2.0.1",
	    "out" },
	{ "if !10.0.0.0/8\n0.0.0.0/0 out\nendif\n0.0.0.0/0 in\n", "10.0.0.1", "in" },
	{ "if !10.0.0.0/8\n0.0.0.0/0 out\nendif\n0.0.0.0/0 in\n", "11.0.0.1", "out" },
	{ "if!10.0.0.0/8\n0.0.0.0/0 out\nendif\n", "11.0.0.1", "out" },
	{ "if 10.0.0.0/8\nif 10.1.0.0/16\n0.0.0.0/0 deep\nendif\n0.0.0.0/0 mid\nendif\n",
	    "10.1.1.1", "deep" },
	{ "if 10.0.0.0/8\nif 10.1.0.0/16\n0.0.0.0/0 deep\nendif\n0.0.0.0/0 mid\nendif\n",
	    "10.2.1.1", "mid" },
	{ "if ::/0\n0.0.0.0/0 never\nendif\n", "10.2.1.1", "-" },
	{ "if !::1\n0.0.0.0/0 never\nendif\n", "10.2.1.1", "-" },
	{ "if 10.0.0.0/8\n0.0.0.0/0 in\n", "10.0.0.1", "in" }, /* without ENDIF */
	{ "if 10.0.0.0/8\n0.0.0.0/0 in\n", "11.0.0.1", "-" },
	{ "2001:db8::1 host\n2001:db8::/127 pair\n2001:db8::/64 net\n", "2001:db8::1", "host" },
	{ "2001:db8::1 host\n2001:db8::/127 pair\n2001:db8::/64 net\n", "2001:db8::", "pair" },
	{ "2001:db8::1 host\n2001:db8::/127 pair\n2001:db8::/64 net\n", "2001:db8::2", "net" },
	{ "2001:db8::1 host\n2001:db8::/127 pair\n2001:db8::/64 net\n", "2001:db8:0:1::", "-" },
	/* The rest of a table counts whatever is wrong with a rule. */
	{ "10.0.0.1/8 bad\nnonsense\n10.0.0.0/8 good\n", "10.0.0.1", "good" },
};

ATF_TC_WITHOUT_HEAD(first_match_decides);
ATF_TC_BODY(first_match_decides, tc)
{
	for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
		struct diag *diag = diag_new();
		struct table *t = open_rules(finds[i].rules, diag);

		ATF_CHECK_STREQ_MSG(finds[i].want, table_says(t, finds[i].key), "%s in\n%s: %s",
		    finds[i].key, finds[i].rules, table_says(t, finds[i].key));
		table_free(&t);
		diag_free(&diag);
	}
}

ATF_TC_WITHOUT_HEAD(inline_rules);
ATF_TC_BODY(inline_rules, tc)
{
	struct diag *diag = diag_new();
	struct table *t = table_open("cidr:{ {10.0.0.0/8 a b}, { !::1 six } }", diag);

	ATF_CHECK_STREQ("a b", table_says(t, "10.0.0.1"));
	ATF_CHECK_STREQ("six", table_says(t, "::2"));
	ATF_CHECK_STREQ("-", table_says(t, "::1"));
	ATF_CHECK_STREQ("", said_by(diag));
	table_free(&t);
	t = table_open("cidr:{ 10.0.0.0/8 }", diag);
	ATF_CHECK_STREQ(
	    "warning: cidr:{ 10.0.0.0/8 }:1: each rule stands in braces of its own; write { { "
	    "10.0.0.0/8 } }: skipping this rule\n",
	    said_by(diag));
	table_free(&t);
	t = table_open("cidr:{ {10.0.0.0/8 a}", diag);
	ATF_CHECK_EQ(1, diag_count(diag, DIAG_UNAVAILABLE));
	ATF_CHECK_STREQ("ERROR", table_says(t, "10.0.0.1"));
	table_free(&t);
	diag_free(&diag);
}

static const struct {
	const char *rules, *said;
} complaints[] = {
	{ "! \n", "warning: t.cidr:1: no address pattern: skipping this rule\n" },
	{ "if\n", "warning: t.cidr:1: no address pattern: skipping this rule\n" },
	{ "\nendif x\n", "warning: t.cidr:2: garbage after ENDIF: skipping this rule\n" },
	{ "endif\n", "warning: t.cidr:1: ENDIF without IF: skipping this rule\n" },
	{ "10.0.0.0/8\n", "warning: t.cidr:1: no lookup result: skipping this rule\n" },
	{ "10.0.0.0/8   \n", "warning: t.cidr:1: no lookup result: skipping this rule\n" },
	{ "[::1 x\n",
	    "warning: t.cidr:1: missing ']' character after \"[::1\": skipping this rule\n" },
	{ "[::1]] x\n", "warning: t.cidr:1: garbage after \"[::1]\": skipping this rule\n" },
	{ "10.0.0.0/y x\n",
	    "warning: t.cidr:1: bad mask value in \"10.0.0.0/y\": skipping this rule\n" },
	{ "10.0.0.0/99 x\n",
	    "warning: t.cidr:1: bad mask length in \"10.0.0.0/99\": skipping this rule\n" },
	{ "10.0.0/8 x\n",
	    "warning: t.cidr:1: bad network value in \"10.0.0/8\": skipping this rule\n" },
	{ "10.0.0.1/8 x\n",
	    "warning: t.cidr:1: non-null host address bits in \"10.0.0.1/8\", perhaps you "
	    "should use \"10.0.0.0/8\" instead: skipping this rule\n" },
	{ "ten x\n", "warning: t.cidr:1: bad address pattern: \"ten\": skipping this rule\n" },
	{ "if 10.0.0.0/8 x\n",
	    "warning: t.cidr:1: bad mask value in \"10.0.0.0/8 x\": skipping this rule\n" },
	{ "10.0.0.0/8 x\n\nif 10.0.0.0/8\nif 10.0.0.0/8\n",
	    "warning: t.cidr:4: IF has no matching ENDIF\n"
	    "warning: t.cidr:3: IF has no matching ENDIF\n" },
	{ "  10.0.0.0/8 x\n",
	    "warning: t.cidr:1: line continues nothing and is skipped: \"  10.0.0.0/8 x\"; "
	    "remove the white space at its start\n" },
	{ "10.0.0.0/8 reject\n# c\n10.1.0.0/16 permit\n",
	    "notice: t.cidr:3: this rule (permit) is never "
	    "reached: line 1 (reject) comes first; move it before line 1, or remove it\n" },
	{ "10.0.0.0/8 reject\n10.1.0.0/16 reject\n",
	    "notice: t.cidr:2: this rule is never reached: line 1 "
	    "comes first and says the same (reject); remove it\n" },
	/* Covered by two together; the one named takes its beginning. */
	{ "10.0.0.0/9 a\n10.128.0.0/9 b\n10.0.0.0/8 c\n",
	    "notice: t.cidr:3: this rule (c) is never reached: "
	    "line 1 (a) comes first; move it before line 1, or remove it\n" },
	{ "10.1.0.0/16 permit\n10.0.0.0/8 reject\n", "" }, /* the exception before the rule */
};

ATF_TC_WITHOUT_HEAD(every_complaint);
ATF_TC_BODY(every_complaint, tc)
{
	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		struct diag *diag = diag_new();
		struct table *t = open_rules(complaints[i].rules, diag);

		ATF_CHECK_STREQ_MSG(complaints[i].said, said_by(diag), "%s:\n%s",
		    complaints[i].rules, said_by(diag));
		table_free(&t);
		diag_free(&diag);
	}
}

ATF_TC_WITHOUT_HEAD(a_million_errors);
ATF_TC_BODY(a_million_errors, tc)
{
	static const char line[] = "10.0.0.1/8 x\n";
	size_t len = sizeof(line) - 1, count = 1000000;
	char *text = malloc(len * count + 1);
	struct diag *diag = diag_new();
	struct table *t;

	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, line, len);
	memcpy(text + (count - 1) * len, "10.0.0.0/8 y\n", len);
	text[len * count] = '\0';
	t = open_rules(text, diag);
	ATF_CHECK_EQ(999999, diag_count(diag, DIAG_WARNING));
	ATF_CHECK(strstr(said_by(diag),
		      "\nwarning: 999899 more warnings of 999999 are not shown\n") != NULL);
	ATF_CHECK_STREQ("y", table_says(t, "10.0.0.1"));
	table_free(&t);
	diag_free(&diag);
	free(text);
}

/*
 * Random rule sets against the plainest reading of the rules, line by line, with libcidr's idea of
 * what holds what.
 */
struct statement {
	enum { RULE, IF, ENDIF } kind;
	bool negated;
	struct net net;
	unsigned result;
};
#define STATEMENTS 60
#define PROPERTY_ROUNDS 1500
#define PROPERTY_KEYS 60

static uint64_t seed = 0x9e3779b97f4a7c15u;

static unsigned
random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

/* Crowded, so that prefixes nest, meet and repeat. */
static struct addr
random_addr(void)
{
	struct addr a = { .family = random_below(3) == 0 ? 6 : 4 };

	if (a.family == 4) {
		a.ip[0] = random_below(8) == 0 ? 255 : 10;
		a.ip[2] = (uint8_t)(random_below(4) * 64);
		a.ip[3] = (uint8_t)random_below(256);
	} else {
		a.ip[0] = 0x20;
		a.ip[7] = (uint8_t)random_below(4);
		a.ip[15] = (uint8_t)random_below(16);
		a.ip[8] = random_below(6) == 0 ? 0x80 : 0;
	}
	return a;
}

static struct net
random_net(void)
{
	static const uint8_t lengths4[] = { 0, 1, 8, 16, 17, 18, 24, 25, 28, 30, 31, 32, 32 };
	static const uint8_t lengths6[] = { 0, 3, 62, 63, 64, 65, 120, 124, 126, 127, 128, 128 };
	struct net n = { .addr = random_addr() };

	n.bits = n.addr.family == 4 ? lengths4[random_below(sizeof(lengths4))]
				    : lengths6[random_below(sizeof(lengths6))];
	addr_mask(&n.addr, n.bits);
	return n;
}

static CIDR *
as_cidr(const struct net *n)
{
	char bytes[64 + NET_TEXT_SIZE] = { 0 }; /* libcidr looks before the text */

	net_format(n, bytes + 64);
	return cidr_from_str(bytes + 64);
}

static bool
holds(const struct statement *s, const struct addr *key)
{
	struct net host = { *key, (uint8_t)addr_bits(key) };
	CIDR *big = as_cidr(&s->net), *little = as_cidr(&host);
	bool in = cidr_contains(big, little) == 0;

	cidr_free(big);
	cidr_free(little);
	return s->net.addr.family == key->family && in != s->negated;
}

static int
oracle(const struct statement *s, size_t count, const struct addr *key)
{
	for (size_t i = 0; i < count; i++) {
		if (s[i].kind == RULE && holds(&s[i], key))
			return (int)s[i].result;
		if (s[i].kind == IF && !holds(&s[i], key)) {
			unsigned depth = 1;

			while (depth > 0 && ++i < count)
				depth += s[i].kind == IF ? 1u : s[i].kind == ENDIF ? -1u : 0u;
		}
	}
	return -1;
}

static size_t
random_rules(struct statement *s, char *text)
{
	size_t count = random_below(STATEMENTS), depth = 0, len = 0;
	char net[NET_TEXT_SIZE];

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		unsigned what = random_below(12);

		s[i] =
		    (struct statement){ RULE, random_below(5) == 0, random_net(), random_below(5) };
		if (what == 0) {
			s[i].kind = IF;
			depth++;
		} else if (what == 1 && depth > 0) {
			s[i].kind = ENDIF;
			depth--;
		}
		net_format(&s[i].net, net);
		if (s[i].kind == ENDIF)
			len += (size_t)sprintf(text + len, "endif\n");
		else if (s[i].kind == IF)
			len +=
			    (size_t)sprintf(text + len, "if %s%s\n", s[i].negated ? "!" : "", net);
		else
			len += (size_t)sprintf(
			    text + len, "%s%s r%u\n", s[i].negated ? "!" : "", net, s[i].result);
	}
	return count;
}

ATF_TC_WITHOUT_HEAD(intervals_agree_with_a_linear_reading);
ATF_TC_BODY(intervals_agree_with_a_linear_reading, tc)
{
	static struct statement s[STATEMENTS];
	static char text[STATEMENTS * 80];
	unsigned found = 0;

	for (int round = 0; round < PROPERTY_ROUNDS; round++) {
		size_t count = random_rules(s, text);
		struct diag *diag = diag_new();
		struct table *t = open_rules(text, diag);

		for (int k = 0; k < PROPERTY_KEYS; k++) {
			struct addr key = random_addr();
			char want[16] = "-", shown[ADDR_TEXT_SIZE];
			int r = oracle(s, count, &key);

			if (r >= 0)
				snprintf(want, sizeof(want), "r%d", r);
			found += r >= 0;
			ATF_REQUIRE_STREQ_MSG(want, table_says(t, addr_format(&key, shown)),
			    "%s: %s in\n%s", shown, table_says(t, shown), text);
		}
		table_free(&t);
		diag_free(&diag);
	}
	/* The rules drawn are neither all hits nor all misses. */
	ATF_CHECK(found > PROPERTY_ROUNDS * PROPERTY_KEYS / 4);
	ATF_CHECK(found < PROPERTY_ROUNDS * PROPERTY_KEYS * 19 / 20);
}

/* More pieces than one level of the search holds. */
ATF_TC_WITHOUT_HEAD(many_rules);
ATF_TC_BODY(many_rules, tc)
{
	struct intervals *i = intervals_new();
	struct net n = { .addr = { .family = 4 }, .bits = 32 },
		   six = { .addr = { .family = 6 }, .bits = 128 };
	const uint32_t count = 70000;

	for (uint32_t r = 0; r < count; r++) {
		uint32_t ip = r * 40503; /* a permutation, so unsorted */

		for (int b = 0; b < 4; b++)
			n.addr.ip[b] = (uint8_t)(ip >> (24 - 8 * b));
		memcpy(six.addr.ip + (r % 2 == 0 ? 12 : 4), n.addr.ip, 4);
		intervals_add(i, &n, r);
		intervals_add(i, &six, r);
		memset(six.addr.ip, 0, 16);
	}
	intervals_build(i, NULL, NULL);
	for (uint32_t r = 0; r < count; r++) {
		uint32_t ip = r * 40503;

		for (int b = 0; b < 4; b++)
			n.addr.ip[b] = (uint8_t)(ip >> (24 - 8 * b));
		memcpy(six.addr.ip + (r % 2 == 0 ? 12 : 4), n.addr.ip, 4);
		ATF_REQUIRE_EQ(r, intervals_find(i, &n.addr));
		ATF_REQUIRE_EQ(r, intervals_find(i, &six.addr));
		six.addr.ip[r % 2 == 0 ? 11 : 15] ^= 1;
		ATF_REQUIRE_EQ(INTERVALS_NONE, intervals_find(i, &six.addr));
		memset(six.addr.ip, 0, 16);
		n.addr.ip[3] ^= 1;
	}
	ATF_CHECK_EQ(INTERVALS_NONE, intervals_find(i, &(struct addr){ .family = 0 }));
	intervals_free(&i);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, networks_are_scanned_strictly);
	ATF_TP_ADD_TC(tp, first_match_decides);
	ATF_TP_ADD_TC(tp, inline_rules);
	ATF_TP_ADD_TC(tp, every_complaint);
	ATF_TP_ADD_TC(tp, a_million_errors);
	ATF_TP_ADD_TC(tp, intervals_agree_with_a_linear_reading);
	ATF_TP_ADD_TC(tp, many_rules);
	return atf_no_error();
}
