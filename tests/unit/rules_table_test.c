#include "config.h"
#include "tests/unit/rules_help.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Each type of table: "%" in a name stands for a file with this text.
 */
struct table_case {
	const char *name, *text, *key, *want, *said;
};

static void
check_case(const struct table_case *c)
{
	struct diag *diag = diag_new();
	struct table *t;

	if (c->text != NULL)
		write_text("file", c->text);
	t = table_open(c->name, diag);
	ATF_CHECK_STREQ(c->name, table_name(t));
	ATF_CHECK_STREQ_MSG(
	    c->want, table_says(t, c->key), "%s: %s: %s", c->name, c->key, table_says(t, c->key));
	ATF_CHECK_STREQ_MSG(c->said != NULL ? c->said : "", said_by(diag), "%s\n%s:\n%s", c->name,
	    c->text != NULL ? c->text : "", said_by(diag));
	table_free(&t);
	diag_free(&diag);
}

static void
check_cases(const struct table_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_case(&cases[i]);
}
#define CHECK_CASES(cases) check_cases((cases), sizeof(cases) / sizeof((cases)[0]))

static const struct table_case fixed[] = {
	{ "static:yes", NULL, "anything", "yes", NULL },
	{ "static:{ two words }", NULL, "", "two words", NULL },
	{ "static:{ open", NULL, "x", "ERROR",
	    "unavailable: static:{ open: unbalanced braces; write static:{ RESULT }\n" },
	{ "fail:whatever", NULL, "x", "ERROR", NULL },
	{ "inline:{ a=1, {B = 2}, {c d = e f} }", NULL, "A", "1", NULL },
	{ "inline:{ a=1, B = 2 }", NULL, "a", "ERROR",
	    "unavailable: inline:{ a=1, B = 2 }: missing '=' in \"B\"; write inline:{ KEY=VALUE, { "
	    "KEY = VALUE WITH SPACES } }\n" },
	{ "inline:{ a=1, {B = 2}, {c d = e f} }", NULL, "b", "2", NULL },
	{ "inline:{ a=1, {B = 2}, {c d = e f} }", NULL, "C D", "e f", NULL },
	{ "inline:{ a=1 }", NULL, "b", "-", NULL },
	{ "inline:{ a=1 }", NULL, "", "-", NULL },
	{ "inline:{ }", NULL, "a", "-", NULL },
	{ "inline:{ a= }", NULL, "a", "", NULL },
	{ "inline:{ a=b=c }", NULL, "a", "b=c", NULL },
	{ "inline:{ a=1, a=2 }", NULL, "a", "1",
	    "warning: inline:{ a=1, a=2 }: duplicate entry \"a\"; the first one counts\n" },
	{ "inline:{ a }", NULL, "a", "ERROR",
	    "unavailable: inline:{ a }: missing '=' in \"a\"; write "
	    "inline:{ KEY=VALUE, { KEY = VALUE WITH SPACES } }\n" },
	{ "inline:{ =a }", NULL, "a", "ERROR",
	    "unavailable: inline:{ =a }: missing '=' in \"=a\"; write "
	    "inline:{ KEY=VALUE, { KEY = VALUE WITH SPACES } }\n" },
	{ "inline:a=b", NULL, "a", "ERROR",
	    "unavailable: inline:a=b: unbalanced braces; write inline:{ "
	    "KEY=VALUE, { KEY = VALUE WITH SPACES } }\n" },
	{ "texthash:file", "a 1\n# c\nB  two words \n\n c\nd\t4", "b", "two words  c", NULL },
	{ "texthash:file", "a 1\nB  two words \nd\t4", "D", "4", NULL },
	{ "texthash:file", "a 1\n", "aa", "-", NULL },
	{ "texthash:file", "", "a", "-", NULL },
	{ "texthash:file", "a 1\na 2\n", "a", "1",
	    "warning: file:2: duplicate entry \"a\"; the first one counts, remove this one\n" },
	{ "texthash:file", "a\nb 2\n", "b", "2",
	    "warning: file:1: no value after \"a\"; write KEY VALUE: skipping this line\n" },
	{ "texthash:file", "root: me\n", "root:", "me",
	    "warning: file:1: the key \"root:\" ends in a colon; "
	    "write KEY VALUE without it, this is no alias file\n" },
	{ "texthash:./none", NULL, "a", "ERROR",
	    "unavailable: ./none: cannot be opened: No such file or directory\n" },
	{ "hash:file", "a 1\n", "a", "1",
	    "notice: hash:file is read from the text file file itself, not from "
	    "the database beside it; write texthash:file to say so\n" },
	{ "btree:file", "a 1\n", "a", "1",
	    "notice: btree:file is read from the text file file itself, not from "
	    "the database beside it; write texthash:file to say so\n" },
	{ "proxy:texthash:file", "a 1\n", "a", "1", NULL },
	{ "hash:./none", NULL, "a", "ERROR",
	    "unavailable: ./none: cannot be opened: No such file or "
	    "directory\nunavailable: hash:./none is unavailable: its database format is not read, "
	    "and the "
	    "text ./none it is made from is not there; write texthash:FILE, or make an LMDB file "
	    "with postmap "
	    "lmdb:FILE\n" },
	{ "union:{static:a, inline:{k=b}, static:c}", NULL, "k", "a,b,c", NULL },
	{ "union:{inline:{k=b}, inline:{l=c}}", NULL, "l", "c", NULL },
	{ "union:{inline:{k=b}}", NULL, "l", "-", NULL },
	{ "union:{static:a, fail:x}", NULL, "l", "ERROR", NULL },
	{ "union:static:a", NULL, "l", "ERROR",
	    "unavailable: union:static:a: write the tables in braces, such "
	    "as { cidr:/etc/gatehouse/a.cidr, static:permit }\n" },
	{ "pipemap:{inline:{a=b}, inline:{b=c}, inline:{c=d}}", NULL, "a", "d", NULL },
	{ "pipemap:{inline:{a=b}, inline:{x=c}}", NULL, "a", "-", NULL },
	{ "pipemap:{inline:{a=b}, fail:x}", NULL, "a", "ERROR", NULL },
	{ "pipemap:{}", NULL, "a", "ERROR",
	    "unavailable: pipemap:{}: write the tables in braces, such as { "
	    "cidr:/etc/gatehouse/a.cidr, static:permit }\n" },
	{ "nonsense", NULL, "a", "ERROR",
	    "unavailable: \"nonsense\" is no table; write TYPE:NAME, such as "
	    "cidr:/etc/gatehouse/access.cidr\n" },
	{ "nonsense:x", NULL, "a", "ERROR",
	    "unavailable: nonsense:x is unavailable: unsupported table type: "
	    "nonsense; use cidr, pcre, regexp, texthash, inline, static, fail, lmdb, union or "
	    "pipemap\n" },
	{ "mysql:/etc/x", NULL, "a", "ERROR",
	    "unavailable: mysql:/etc/x is unavailable: tables of type mysql "
	    "are not supported, since clients would wait for each look-up; export it to a file and "
	    "write "
	    "texthash:FILE or cidr:FILE\n" },
};

ATF_TC_WITHOUT_HEAD(fixed_keys);
ATF_TC_BODY(fixed_keys, tc)
{
	CHECK_CASES(fixed);
}

static const struct table_case patterns[] = {
	{ "pcre:file", "/^a/ first\n/b$/ second\n", "Axx", "first", NULL },
	{ "pcre:file", "/^a/ first\n/b$/ second\n", "xxB", "second", NULL },
	{ "pcre:file", "/^a/ first\n/b$/ second\n", "xxc", "-", NULL },
	{ "pcre:file", "/^a/i first\n", "Axx", "-", NULL },
	{ "pcre:file", "/^a/i first\n", "axx", "first", NULL },
	{ "pcre:file", "!/a/ none\n", "b", "none", NULL },
	{ "pcre:file", "!/a/ none\n", "a", "-", NULL },
	{ "pcre:file", "! !/a/ some\n", "a", "some", NULL },
	{ "pcre:file", "|a/b| slash\n", "a/b", "slash", NULL },
	{ "pcre:file", "/a\\/b/ slash\n", "a/b", "slash", NULL },
	{ "pcre:file", "/a b/x  spaced\n", "ab", "spaced", NULL },
	{ "pcre:file", "/a.b/ dot\n", "a\nb", "dot", NULL },
	{ "pcre:file", "/a.b/s dot\n", "a\nb", "-", NULL },
	{ "pcre:file", "/^b/m line\n", "a\nb", "line", NULL },
	{ "pcre:file", "/b/A anchored\n", "ab", "-", NULL },
	{ "pcre:file", "/(a+)(b)?/ <$1|${2}|$(1)|$$>\n", "xaay", "<aa||aa|$>", NULL },
	{ "pcre:file", "if /a/\n/b/ both\nendif\n/b/ b\n", "ab", "both", NULL },
	{ "pcre:file", "if /a/\n/b/ both\nendif\n/b/ b\n", "b", "b", NULL },
	{ "pcre:file", "IF !/a/\n/b/ b only\nEndIf\n/b/ both\n", "ab", "both", NULL },
	{ "pcre:file", "if /a/\nif /b/\n/c/ abc\nendif\n/c/ ac\nendif\n/c/ c\n", "ac", "ac", NULL },
	{ "pcre:file", "if /a/\nif /b/\n/c/ abc\nendif\n/c/ ac\nendif\n/c/ c\n", "bc", "c", NULL },
	{ "pcre:{{/a b/ x y}, {!/c/ z}}", NULL, "a b", "x y", NULL },
	{ "pcre:{{/a b/ x y}, {!/c/ z}}", NULL, "q", "z", NULL },
	{ "pcre:file", "/(/ x\n/a/ a\n", "a", "a",
	    "warning: file:1: bad pattern at \"\": missing closing parenthesis: skipping this "
	    "rule\n" },
	{ "pcre:file", "/a x\n", "a", "-",
	    "warning: file:1: no closing \"/\" after the pattern: skipping this "
	    "rule\n" },
	{ "pcre:file", "abc x\n", "a", "-",
	    "warning: file:1: no pattern; write /PATTERN/ RESULT: skipping this rule\n" },
	{ "pcre:file", "/a/\n", "a", "-",
	    "warning: file:1: no lookup result; write /PATTERN/ RESULT: skipping this rule\n" },
	{ "pcre:file", "/a/q x\n", "a", "-",
	    "warning: file:1: unknown option \"q\" after the pattern; write "
	    "white space before the result: skipping this rule\n" },
	{ "pcre:file", "/a/ $1\n", "a", "-",
	    "warning: file:1: $1 in the result, but the pattern has 0 groups: skipping this "
	    "rule\n" },
	{ "pcre:file", "/(a)/ $0\n", "a", "-",
	    "warning: file:1: $0 in the result, but the pattern has 1 groups: skipping this "
	    "rule\n" },
	{ "pcre:file", "!/(a)/ $1\n", "b", "-",
	    "warning: file:1: $number in the result of a negated pattern, "
	    "which has no groups: skipping this rule\n" },
	{ "pcre:file", "/(a)/ $x\n", "a", "-",
	    "warning: file:1: no number after $ in the result; write $1, "
	    "${1}, or $$ for a dollar sign: skipping this rule\n" },
	{ "pcre:file", "/(a)/ ${1\n", "a", "-",
	    "warning: file:1: no number after $ in the result; write $1, "
	    "${1}, or $$ for a dollar sign: skipping this rule\n" },
	{ "pcre:file", "endif\n", "a", "-",
	    "warning: file:1: ENDIF without IF: skipping this rule\n" },
	{ "pcre:file", "if /a/\nendif x\n/a/ a\n", "a", "a",
	    "warning: file:2: garbage after ENDIF: skipping this rule\nwarning: file:1: IF has no "
	    "matching "
	    "ENDIF\n" },
	{ "pcre:file", "if /a/ x\n", "a", "-",
	    "warning: file:1: text after the pattern of IF: skipping this rule\n" },
	{ "pcre:file", "if /a/\n/b/ b\n", "b", "-", "warning: file:1: IF has no matching ENDIF\n" },
	{ "regexp:{{/^[^A-Z]/ Bogus}}", NULL, "GET", "-", NULL },
	{ "regexp:{{/^[^A-Z]/ Bogus}}", NULL, "get", "-", NULL }, /* case is ignored */
	{ "regexp:{{/^[^A-Z]/ Bogus}}", NULL, "\x16\x03\x01", "Bogus", NULL },
	{ "regexp:file", "/^[^A-Z]/i Bogus\n", "get", "Bogus", NULL },
	{ "regexp:file", "/[\\.]$/ end\n", "a\\", "end",
	    NULL }, /* a POSIX bracket has no escapes */
	{ "regexp:file", "/^[]x]$/ bracket\n", "]", "bracket", NULL },
	{ "regexp:file", "/^[^]x]$/ bracket\n", "]", "-", NULL },
	{ "regexp:file", "/^[[:digit:][]+$/ class\n", "1[2", "class", NULL },
	{ "regexp:file", "/\\<word\\>/ w\n", "a word here", "w", NULL },
	{ "regexp:file", "/\\<word\\>/ w\n", "swords", "-", NULL },
	{ "regexp:file", "/^(.*)@a\\.b$/ $1\n", "Joe@A.B", "Joe", NULL },
	{ "regexp:file", "/a.b/ x\n", "a\nb", "x", NULL },
	{ "regexp:file", "/a.b/m x\n", "a\nb", "-", NULL },
	{ "regexp:file", "/a/x x\n", "a", "-",
	    "warning: file:1: unknown option \"x\" after the pattern; write "
	    "white space before the result: skipping this rule\n" },
	{ "regexp:./none", NULL, "a", "ERROR",
	    "unavailable: ./none: cannot be opened: No such file or directory\n" },
};

ATF_TC_WITHOUT_HEAD(regular_expressions);
ATF_TC_BODY(regular_expressions, tc)
{
#ifdef HAVE_PCRE2
	CHECK_CASES(patterns);
#else
	static const struct table_case without = { "pcre:{{/a/ b}}", NULL, "a", "ERROR",
		"unavailable: pcre:{{/a/ b}} is unavailable: this gatehouse was built without "
		"PCRE2; build it "
		"with PCRE2, or use cidr or texthash tables\n" };

	(void)patterns;
	check_case(&without);
#endif
}

/* A pattern that would take for ever on a stranger's input is given up, and does not match. */
ATF_TC_WITHOUT_HEAD(patterns_are_given_up);
ATF_TC_BODY(patterns_are_given_up, tc)
{
	struct diag *diag = diag_new();
	struct table *t = table_open("pcre:{{/^(a+)+$/ slow}, {/b/ next}}", diag);

#ifndef HAVE_PCRE2
	atf_tc_skip("built without PCRE2");
#endif
	ATF_CHECK_STREQ("slow", table_says(t, "aaaaaaaa"));
	ATF_CHECK_STREQ(
	    "next", table_says(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
	table_free(&t);
	diag_free(&diag);
}

static void
put_lmdb(MDB_txn *txn, MDB_dbi dbi, const char *key, const char *value, size_t nul)
{
	MDB_val k = { strlen(key) + nul, (void *)(uintptr_t)key };
	MDB_val v = { strlen(value) + nul, (void *)(uintptr_t)value };

	ATF_REQUIRE_EQ(0, mdb_put(txn, dbi, &k, &v, 0));
}

/* As postmap writes them, with and without the NUL. */
ATF_TC_WITHOUT_HEAD(lmdb_files);
ATF_TC_BODY(lmdb_files, tc)
{
	static const struct table_case cases[] = {
		{ "lmdb:m", NULL, "Plain", "one", NULL },
		{ "lmdb:m", NULL, "nul", "two", NULL },
		{ "lmdb:m", NULL, "none", "-", NULL },
		{ "lmdb:./none", NULL, "a", "ERROR",
		    "unavailable: ./none.lmdb: cannot be read: No such file or "
		    "directory; make it with postmap lmdb:./none\n" },
		{ "lmdb:bad", NULL, "a", "ERROR",
		    "unavailable: bad.lmdb: cannot be read: MDB_INVALID: File is "
		    "not an LMDB file; make it with postmap lmdb:bad\n" },
	};
	char garbage[9000];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	ATF_REQUIRE_EQ(0, mdb_env_create(&env));
	ATF_REQUIRE_EQ(0, mdb_env_open(env, "m.lmdb", MDB_NOSUBDIR | MDB_NOLOCK, 0600));
	ATF_REQUIRE_EQ(0, mdb_txn_begin(env, NULL, 0, &txn));
	ATF_REQUIRE_EQ(0, mdb_dbi_open(txn, NULL, 0, &dbi));
	put_lmdb(txn, dbi, "plain", "one", 0);
	put_lmdb(txn, dbi, "nul", "two", 1);
	ATF_REQUIRE_EQ(0, mdb_txn_commit(txn));
	mdb_env_close(env);
	memset(garbage, 'x', sizeof(garbage));
	write_bytes("bad.lmdb", garbage, sizeof(garbage));
	CHECK_CASES(cases);
}

ATF_TC_WITHOUT_HEAD(unreadable_files);
ATF_TC_BODY(unreadable_files, tc)
{
	static const struct table_case directories[] = {
		{ "cidr:d", NULL, "10.0.0.1", "ERROR",
		    "unavailable: d: is a directory; a file is needed here\n" },
		{ "texthash:d", NULL, "a", "ERROR",
		    "unavailable: d: is a directory; a file is needed here\n" },
	};
	static const struct table_case secret = { "cidr:file", NULL, "10.0.0.1", "ERROR",
		"unavailable: file: cannot be opened: Permission denied\n" };
	static const char nul[] = "a\0b 1\nc 2\n";
	struct diag *diag = diag_new();
	struct table *t;

	ATF_REQUIRE_EQ(0, mkdir("d", 0700));
	CHECK_CASES(directories);
	write_bytes("file", nul, sizeof(nul) - 1);
	t = table_open("texthash:file", diag);
	ATF_CHECK_STREQ("1", table_says(t, "ab"));
	ATF_CHECK_STREQ(
	    "warning: file:1: NUL bytes are ignored; save the file as plain text (UTF-8)\n",
	    said_by(diag));
	table_free(&t);
	diag_free(&diag);
	ATF_REQUIRE_EQ(0, chmod("file", 0));
	if (geteuid() != 0)
		check_case(&secret);
}

static void
add_entry(void *arg, struct span key, struct span value)
{
	buf_printf(arg, "%.*s=%.*s;", (int)key.len, key.p, (int)value.len, value.p);
}

ATF_TC_WITHOUT_HEAD(listed);
ATF_TC_BODY(listed, tc)
{
	static const struct {
		const char *table, *want; /* null: cannot be listed */
	} cases[] = {
		{ "inline:{ B=1, {a = 2 3}, b=4 }", "b=1;a=2 3;" },
		{ "texthash:t", "x=1;y=2  3;" },
		{ "hash:t", "x=1;y=2  3;" },
		{ "proxy:texthash:t", "x=1;y=2  3;" },
		{ "texthash:none", NULL },
		{ "static:a", NULL },
		{ "cidr:{{1.2.3.4 a}}", NULL },
		{ "regexp:{{/a/ b}}", NULL },
		{ "fail:a", NULL },
	};

	write_bytes("t", "X 1\ny 2\n  3\n", 12);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct diag *diag = diag_new();
		struct table *t = table_open(cases[i].table, diag);
		char bytes[100] = "";
		struct buf all = BUF(bytes);

		ATF_CHECK_EQ_MSG(
		    cases[i].want != NULL, table_each(t, add_entry, &all), "%s", cases[i].table);
		ATF_CHECK_STREQ(cases[i].want != NULL ? cases[i].want : "", bytes);
		table_free(&t);
		diag_free(&diag);
	}
}

ATF_TC_WITHOUT_HEAD(lists_of_tables);
ATF_TC_BODY(lists_of_tables, tc)
{
	static const struct {
		const char *list, *key, *want;
	} cases[] = {
		{ "", "a", "-" },
		{ " , ", "a", "-" },
		{ "inline:{a=1} inline:{a=2, b=3}", "a", "1" },
		{ "inline:{a=1},inline:{a=2, b=3}", "b", "3" },
		{ "inline:{a=1}, fail:x, inline:{b=3}", "a", "1" },
		{ "inline:{a=1}, fail:x, inline:{b=3}", "b", "ERROR" },
		{ "regexp:{{/^c d/ seven}}, static:{end of list}", "c d", "seven" },
		{ "regexp:{{/^c d/ seven}}, static:{end of list}", "x", "end of list" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct diag *diag = diag_new();
		struct table_list *l = table_list_open(cases[i].list, diag);
		char bytes[100] = "-";
		struct buf value = BUF(bytes);

		buf_puts(&value, "");
		switch (table_list_find(l, cases[i].key, &value)) {
		case TABLE_MISSING:
			buf_puts(&value, "-");
			break;
		case TABLE_ERROR:
			buf_puts(&value, "ERROR");
			break;
		case TABLE_FOUND:
			break;
		}
		ATF_CHECK_STREQ(cases[i].want, bytes);
		ATF_CHECK_EQ(i < 2, table_list_empty(l));
		ATF_CHECK_STREQ("", said_by(diag));
		table_list_free(&l);
		diag_free(&diag);
	}
}

/*
 * Match lists.
 */
static const struct {
	const char *list, *address;
	enum table_result want;
	const char *said;
} matches[] = {
	{ "", "10.0.0.1", TABLE_MISSING, "" },
	{ "10.0.0.0/8", "10.0.0.1", TABLE_FOUND, "" },
	{ "10.0.0.0/8", "11.0.0.1", TABLE_MISSING, "" },
	{ "10.0.0.1 10.0.0.3,\t10.0.0.5", "10.0.0.5", TABLE_FOUND, "" },
	{ "!10.0.0.1, 10.0.0.0/8", "10.0.0.1", TABLE_MISSING, "" },
	{ "!10.0.0.1, 10.0.0.0/8", "10.0.0.2", TABLE_FOUND, "" },
	{ "10.0.0.0/8, !10.0.0.1", "10.0.0.1", TABLE_FOUND, "" },
	{ "!!10.0.0.1", "10.0.0.1", TABLE_FOUND, "" },
	{ "[::1]/128 [2001:db8::]/32", "2001:db8::5", TABLE_FOUND, "" },
	{ "2001:db8::/32", "2001:db8::5", TABLE_FOUND, "" },
	{ "[::ffff:127.0.0.0]/104", "127.9.9.9", TABLE_FOUND, "" },
	{ "static:all", "10.0.0.1", TABLE_FOUND, "" },
	{ "!10.0.0.1, static:all", "10.0.0.1", TABLE_MISSING, "" },
	{ "!10.0.0.1, static:all", "::1", TABLE_FOUND, "" },
	{ "!static:all", "::1", TABLE_MISSING, "" },
	{ "cidr:{{10.0.0.0/8 whatever}}", "10.0.0.1", TABLE_FOUND, "" },
	{ "!cidr:{{10.0.0.0/8 whatever}}, 0.0.0.0/0", "10.0.0.1", TABLE_MISSING, "" },
	{ "!cidr:{{10.0.0.0/8 whatever}}, 0.0.0.0/0", "11.0.0.1", TABLE_FOUND, "" },
	{ "inline:{10.0.0.1=x, 2001:db8::1=y}", "2001:db8::1", TABLE_FOUND, "" },
	{ "fail:x, 10.0.0.1", "10.0.0.1", TABLE_ERROR, "" },
	{ "10.0.0.1, fail:x", "10.0.0.1", TABLE_FOUND, "" },
	{ "/tmp/../FILE", "10.0.0.1", TABLE_ERROR,
	    "error: /tmp/../FILE: cannot be opened: No such file or directory\n" },
	{ "10.0.0.1/8, 10.0.0.0/8", "10.0.0.1", TABLE_ERROR,
	    "error: main.cf:7: non-null host address bits in \"10.0.0.1/8\", perhaps you should "
	    "use "
	    "\"10.0.0.0/8\" instead; write an address, a network, /FILE or TYPE:TABLE\n" },
	{ "10.0.0.0/8, 10.0.0.1/8", "10.0.0.1", TABLE_FOUND,
	    "error: main.cf:7: non-null host address bits in \"10.0.0.1/8\", perhaps you should "
	    "use "
	    "\"10.0.0.0/8\" instead; write an address, a network, /FILE or TYPE:TABLE\n" },
	{ "localhost", "127.0.0.1", TABLE_ERROR,
	    "error: main.cf:7: bad address pattern: \"localhost\"; write "
	    "an address, a network, /FILE or TYPE:TABLE\n" },
	{ "2001:db8:::1", "::1", TABLE_ERROR,
	    "error: main.cf:7: bad address pattern: \"2001:db8:::1\"; write "
	    "an address, a network, /FILE or TYPE:TABLE\n" },
	{ "cdb:/x", "::1", TABLE_ERROR,
	    "unavailable: /x: cannot be opened: No such file or directory\n"
	    "unavailable: cdb:/x is unavailable: its database format is not read, and the text /x "
	    "it is made "
	    "from is not there; write texthash:FILE, or make an LMDB file with postmap "
	    "lmdb:FILE\n" },
};

ATF_TC_WITHOUT_HEAD(match_lists);
ATF_TC_BODY(match_lists, tc)
{
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		struct diag *diag = diag_new();
		struct match_list *l = match_list_open(matches[i].list, "main.cf", 7, diag);
		struct addr a;

		ATF_REQUIRE(addr_parse(&a, matches[i].address, strlen(matches[i].address)));
		ATF_CHECK_EQ_MSG(matches[i].want, match_list_addr(l, &a), "%s in %s: %d",
		    matches[i].address, matches[i].list, match_list_addr(l, &a));
		ATF_CHECK_STREQ(matches[i].said, said_by(diag));
		match_list_free(&l);
		diag_free(&diag);
	}
}

/* Which lists name any address of a network. */
static const struct {
	const char *list, *net;
	unsigned bits;
	bool want;
} meetings[] = {
	{ "", "10.0.0.0", 8, false },
	{ "10.0.0.0/8", "10.1.2.3", 32, true },
	{ "10.0.0.0/8", "11.0.0.0", 32, false },
	{ "10.1.2.3", "10.0.0.0", 8, true },
	{ "10.1.2.3", "10.1.2.4", 30, false },
	{ "10.1.2.3", "10.1.2.0", 30, true },
	{ "10.255.255.255", "10.0.0.0", 8, true },
	{ "11.0.0.0", "10.0.0.0", 8, false },
	{ "0.0.0.0/0", "192.0.2.1", 32, true },
	{ "!10.1.2.3", "10.0.0.0", 8, true },
	{ "2001:db8:1:2::5", "2001:db8:1:2::", 64, true },
	{ "2001:db8:1:2::", "2001:db8:1:2::", 64, true },
	{ "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::", 64, true },
	{ "2001:db8:1:3::", "2001:db8:1:2::", 64, false },
	{ "2001:db8:1:1:ffff:ffff:ffff:ffff", "2001:db8:1:2::", 64, false },
	{ "2001:db8:1:2:8000::/80", "2001:db8:1:2::", 64, true },
	{ "2001:db8::/32", "2001:db8:1:2::", 64, true },
	{ "2001:db8:1:2::5", "32.1.13.184", 8, false },
	{ "2001:db8:1:1::, 2001:db8:1:3::, 10.0.0.0/8", "2001:db8:1:2::", 64, false },
	{ "inline:{10.0.0.1=x}", "10.0.0.1", 32, true },
	{ "inline:{10.0.0.1=x}", "10.0.0.2", 32, false },
	{ "fail:x", "10.0.0.2", 32, true },
	{ "localhost", "10.0.0.2", 32, true },
};

ATF_TC_WITHOUT_HEAD(match_lists_meet_networks);
ATF_TC_BODY(match_lists_meet_networks, tc)
{
	for (size_t i = 0; i < sizeof(meetings) / sizeof(meetings[0]); i++) {
		struct diag *diag = diag_new();
		struct match_list *l = match_list_open(meetings[i].list, "main.cf", 7, diag);
		struct addr net;

		ATF_REQUIRE(addr_parse(&net, meetings[i].net, strlen(meetings[i].net)));
		ATF_CHECK_EQ_MSG(meetings[i].want, match_list_meets(l, &net, meetings[i].bits),
		    "%s/%u and %s", meetings[i].net, meetings[i].bits, meetings[i].list);
		match_list_free(&l);
		diag_free(&diag);
	}
}

ATF_TC_WITHOUT_HEAD(match_lists_from_files);
ATF_TC_BODY(match_lists_from_files, tc)
{
	char cwd[500], list[600];
	struct diag *diag = diag_new();
	struct match_list *l;
	struct addr a;

	ATF_REQUIRE(getcwd(cwd, sizeof(cwd)) != NULL);
	write_text("nets", "# ours\n10.0.0.0/8\n  !11.0.0.1\n11.0.0.0/8 12.0.0.0/8\nx/y\n");
	snprintf(list, sizeof(list), "%s/nets", cwd);
	l = match_list_open(list, "main.cf", 1, diag);
	ATF_REQUIRE(addr_parse(&a, "12.0.0.1", 8));
	ATF_CHECK_EQ(TABLE_FOUND, match_list_addr(l, &a));
	ATF_REQUIRE(addr_parse(&a, "11.0.0.1", 8));
	ATF_CHECK_EQ(TABLE_MISSING, match_list_addr(l, &a));
	ATF_CHECK(strstr(said_by(diag), "/nets:5: bad mask value in \"x/y\"; write") != NULL);
	match_list_free(&l);
	/* All of a negated file is negated. */
	snprintf(list, sizeof(list), "!%s/nets, static:all", cwd);
	l = match_list_open(list, "main.cf", 1, diag);
	ATF_REQUIRE(addr_parse(&a, "12.0.0.1", 8));
	ATF_CHECK_EQ(TABLE_MISSING, match_list_addr(l, &a));
	ATF_REQUIRE(addr_parse(&a, "11.0.0.1", 8));
	ATF_CHECK_EQ(TABLE_FOUND, match_list_addr(l, &a));
	match_list_free(&l);
	diag_free(&diag);
	/* A file that names itself ends. */
	diag = diag_new();
	snprintf(list, sizeof(list), "%s/nets\n10.0.0.1\n", cwd);
	write_text("nets", list);
	snprintf(list, sizeof(list), "%s/nets", cwd);
	l = match_list_open(list, "main.cf", 1, diag);
	ATF_CHECK(strstr(said_by(diag), "files refer to each other too deep") != NULL);
	match_list_free(&l);
	diag_free(&diag);
}

/* A list of many elements of both kinds, and one that has more than one allocation's worth. */
ATF_TC_WITHOUT_HEAD(long_match_lists);
ATF_TC_BODY(long_match_lists, tc)
{
	static char text[200000];
	struct diag *diag = diag_new();
	struct match_list *l;
	size_t len = 0;

	for (unsigned i = 0; i < 5000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s10.%u.%u.0/24 ",
		    i % 3 ? "" : "!", i / 256, i % 256);
	l = match_list_open(text, "main.cf", 1, diag);
	for (unsigned i = 0; i < 5000; i++) {
		struct addr a = { 4, { 10, (uint8_t)(i / 256), (uint8_t)(i % 256), 9 } };

		ATF_REQUIRE_EQ(i % 3 ? TABLE_FOUND : TABLE_MISSING, match_list_addr(l, &a));
	}
	match_list_free(&l);
	diag_free(&diag);
}

static const struct {
	const char *list, *tokens; /* joined by | */
} token_cases[] = {
	{ "", "" },
	{ " ,\t\r\n", "" },
	{ "a b,c,,d\r\ne\tf", "a|b|c|d|e|f" },
	{ "{a b} c", "{a b}|c" },
	{ "t:{a, {b c}} d", "t:{a, {b c}}|d" },
	{ "t:{a b", "t:{a b" },
	{ "a} b", "a}|b" },
};

ATF_TC_WITHOUT_HEAD(list_tokens);
ATF_TC_BODY(list_tokens, tc)
{
	for (size_t i = 0; i < sizeof(token_cases) / sizeof(token_cases[0]); i++) {
		struct span rest = span_of(token_cases[i].list), word;
		char bytes[200] = "";
		struct buf got = BUF(bytes);

		while ((word = rules_list_token(&rest)).len > 0) {
			buf_puts(&got, got.len > 0 ? "|" : "");
			buf_putspan(&got, word);
		}
		ATF_CHECK_STREQ(token_cases[i].tokens, bytes);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, fixed_keys);
	ATF_TP_ADD_TC(tp, regular_expressions);
	ATF_TP_ADD_TC(tp, patterns_are_given_up);
	ATF_TP_ADD_TC(tp, lmdb_files);
	ATF_TP_ADD_TC(tp, unreadable_files);
	ATF_TP_ADD_TC(tp, listed);
	ATF_TP_ADD_TC(tp, lists_of_tables);
	ATF_TP_ADD_TC(tp, match_lists);
	ATF_TP_ADD_TC(tp, match_lists_meet_networks);
	ATF_TP_ADD_TC(tp, match_lists_from_files);
	ATF_TP_ADD_TC(tp, long_match_lists);
	ATF_TP_ADD_TC(tp, list_tokens);
	return atf_no_error();
}
