#include "config.h"

#include <atf-c.h>
#include <string.h>

#include "tlsproxy/inner.h"

static const struct {
	const char *text;
	unsigned allowed; /* 0: refused */
} protocols[] = {
	{ "", TLS_V_ALL },
	{ ">=TLSv1", TLS_V_1_0 | TLS_V_1_1 | TLS_V_1_2 | TLS_V_1_3 },
	{ ">=TLSv1.2", TLS_V_1_2 | TLS_V_1_3 },
	{ ">=tlsv1.2, <=TLSv1.2", TLS_V_1_2 },
	{ "<=TLSv1.1", TLS_V_SSL3 | TLS_V_1_0 | TLS_V_1_1 },
	{ ">=0303", TLS_V_1_2 | TLS_V_1_3 },
	{ ">=0x0304", TLS_V_1_3 },
	{ "!SSLv2, !SSLv3", TLS_V_ALL & ~TLS_V_SSL3 },
	{ "!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", TLS_V_1_2 | TLS_V_1_3 },
	{ "TLSv1.2", TLS_V_1_2 },
	{ "TLSv1.2 TLSv1.3", TLS_V_1_2 | TLS_V_1_3 },
	{ "TLSv1, TLSv1.2, !TLSv1", TLS_V_1_2 },
	{ ">=TLSv1.1 !TLSv1.2", TLS_V_1_1 | TLS_V_1_3 },
	{ ">=SSLv2", TLS_V_ALL },
	{ "SSLv2", 0 },
	{ "<=SSLv2", 0 },
	{ "TLSv1.2 !TLSv1.2", 0 },
	{ ">=TLSv1.3 <=TLSv1.2", 0 },
	{ ">= TLSv1.2", 0 },
	{ "TLSv1.4", 0 },
	{ "!", 0 },
	{ ">TLSv1", 0 },
	{ "0305", 0 },
	{ "TLS", 0 },
};

ATF_TC_WITHOUT_HEAD(protocol_lists);
ATF_TC_BODY(protocol_lists, tc)
{
	for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
		char array[300];
		struct buf why = BUF(array);
		unsigned allowed = 0;
		bool ok = tls_protocols_parse(protocols[i].text, &allowed, &why);
		ATF_CHECK_EQ_MSG(protocols[i].allowed != 0, ok, "\"%s\"", protocols[i].text);
		ATF_CHECK_EQ_MSG(ok, why.len == 0, "\"%s\": %s", protocols[i].text, why.p);
		if (ok)
			ATF_CHECK_EQ_MSG(protocols[i].allowed, allowed, "\"%s\": %u",
			    protocols[i].text, allowed);
	}
	ATF_CHECK_STREQ("TLSv1.1", tls_version_name(TLS_V_1_1));
	ATF_CHECK_STREQ("", tls_version_name(32));
}

static const struct {
	const char *text;
	bool ok;
	enum tls_grade grade;
	bool obsolete;
} grades[] = {
	{ "high", true, TLS_GRADE_HIGH, false },
	{ "Medium", true, TLS_GRADE_MEDIUM, false },
	{ "low", true, TLS_GRADE_MEDIUM, true },
	{ "export", true, TLS_GRADE_MEDIUM, true },
	{ "null", true, TLS_GRADE_NULL, false },
	{ "", false, 0, false },
	{ "highest", false, 0, false },
};

ATF_TC_WITHOUT_HEAD(cipher_grades);
ATF_TC_BODY(cipher_grades, tc)
{
	for (size_t i = 0; i < sizeof grades / sizeof grades[0]; i++) {
		enum tls_grade grade = TLS_GRADE_HIGH;
		bool obsolete = false;
		ATF_CHECK_EQ_MSG(grades[i].ok, tls_grade_parse(grades[i].text, &grade, &obsolete),
		    "\"%s\"", grades[i].text);
		if (grades[i].ok)
			ATF_CHECK_MSG(grade == grades[i].grade && obsolete == grades[i].obsolete,
			    "\"%s\"", grades[i].text);
	}
}

static const struct {
	const char *text, *list; /* null: refused */
} exclusions[] = {
	{ "", "HIGH" },
	{ "aNULL", "HIGH:!aNULL" },
	{ "RC4, DES ,3DES", "HIGH:!RC4:!DES:!3DES" },
	{ "RC4:AES128-SHA", "HIGH:!RC4:!AES128-SHA" },
	{ "kRSA+AES", "HIGH:!kRSA+AES" },
	{ "!RC4", NULL },
	{ "-RC4", NULL },
	{ "+RC4", NULL },
	{ "@STRENGTH", NULL },
	{ "RC4!", NULL },
	{ "RC4\"", NULL },
};

ATF_TC_WITHOUT_HEAD(cipher_exclusions);
ATF_TC_BODY(cipher_exclusions, tc)
{
	for (size_t i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
		char array[100], why_array[200];
		struct buf list = BUF(array), why = BUF(why_array);
		buf_puts(&list, "HIGH");
		bool ok = tls_exclude(&list, exclusions[i].text, &why);
		ATF_CHECK_EQ_MSG(exclusions[i].list != NULL, ok, "\"%s\"", exclusions[i].text);
		if (exclusions[i].list != NULL)
			ATF_CHECK_STREQ(exclusions[i].list, list.p);
	}
}

static const struct {
	const char *text;
	bool ok;
	unsigned has, has_not;
} log_levels[] = {
	{ "", true, 0, TLS_LOG_SUMMARY },
	{ "0", true, 0, TLS_LOG_SUMMARY },
	{ "1", true, TLS_LOG_SUMMARY | TLS_LOG_UNTRUSTED, TLS_LOG_CACHE | TLS_LOG_VERBOSE },
	{ "routine", true, TLS_LOG_SUMMARY, TLS_LOG_STATE },
	{ "2", true, TLS_LOG_SUMMARY | TLS_LOG_CACHE | TLS_LOG_STATE, TLS_LOG_HANDSHAKE_DUMP },
	{ "3", true, TLS_LOG_HANDSHAKE_DUMP, TLS_LOG_SESSION_DUMP },
	{ "4", true, TLS_LOG_SESSION_DUMP, TLS_LOG_TRACE },
	{ "9", true, TLS_LOG_SESSION_DUMP, TLS_LOG_TRACE },
	{ "summary, cache", true, TLS_LOG_SUMMARY | TLS_LOG_CACHE, TLS_LOG_VERBOSE },
	{ "1,trace", true, TLS_LOG_SUMMARY | TLS_LOG_TRACE, TLS_LOG_STATE },
	{ "10", false, 0, 0 },
	{ "loud", false, 0, 0 },
	{ "1 loud", false, 0, 0 },
};

ATF_TC_WITHOUT_HEAD(log_levels);
ATF_TC_BODY(log_levels, tc)
{
	for (size_t i = 0; i < sizeof log_levels / sizeof log_levels[0]; i++) {
		char array[300];
		struct buf why = BUF(array);
		unsigned features = 0;
		ATF_CHECK_EQ_MSG(log_levels[i].ok,
		    tls_loglevel_parse(log_levels[i].text, &features, &why), "\"%s\"",
		    log_levels[i].text);
		ATF_CHECK_EQ_MSG(
		    log_levels[i].has, features & log_levels[i].has, "\"%s\"", log_levels[i].text);
		ATF_CHECK_EQ_MSG(0, features & log_levels[i].has_not, "\"%s\"", log_levels[i].text);
	}
}

static const struct {
	const char *text, *name; /* null: refused */
} names[] = {
	{ "mail.Example.ORG", "mail.example.org" },
	{ "localhost", "localhost" },
	{ "_25._tcp.example.org", "_25._tcp.example.org" },
	{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "a.", NULL },
	{ ".a", NULL },
	{ "a..b", NULL },
	{ "", NULL },
	{ "-a.b", NULL },
	{ "a b", NULL },
	{ "a/../b", NULL },
	{ "\xc3\xa4.example", NULL },
	{ "a2345678901234567890123456789012345678901234567890123456789012345.example", NULL },
};

ATF_TC_WITHOUT_HEAD(server_names);
ATF_TC_BODY(server_names, tc)
{
	char out[256], text[300];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		ATF_CHECK_EQ_MSG(names[i].name != NULL, tls_name_valid(span_of(names[i].text), out),
		    "\"%s\"", names[i].text);
		if (names[i].name != NULL)
			ATF_CHECK_STREQ(names[i].name, out);
	}
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 10 == 9 ? '.' : 'a';
	ATF_CHECK(tls_name_valid((struct span){ text, 253 }, out));
	ATF_CHECK(!tls_name_valid((struct span){ text, 254 }, out));
}

#define BEGIN_BASE64 "LS0tLS1CRUdJTiBYLS0tLS0K" /* -----BEGIN X-----, newline */
#define END_BASE64 "LS0tLS1FTkQgWC0tLS0t"	/* -----END X----- */

ATF_TC_WITHOUT_HEAD(chains_in_base64);
ATF_TC_BODY(chains_in_base64, tc)
{
	static const struct {
		const char *base64, *text; /* null: refused */
	} cases[] = {
		{ BEGIN_BASE64 END_BASE64, "-----BEGIN X-----\n-----END X-----" },
		{ BEGIN_BASE64 END_BASE64 "Cg==", "-----BEGIN X-----\n-----END X-----\n" },
		{ BEGIN_BASE64, NULL },
		{ BEGIN_BASE64 "AAAA" END_BASE64, NULL }, /* zero bytes */
		{ BEGIN_BASE64 "-" END_BASE64, NULL },
		{ BEGIN_BASE64 " " END_BASE64, NULL },
		{ "AAAA", NULL },
		{ "/etc/ssl/private/host.pem", NULL },
		{ "", NULL },
	};
	char text[200];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out = BUF(text);
		ATF_CHECK_EQ_MSG(cases[i].text != NULL,
		    tls_sni_decode(span_of(cases[i].base64), &out), "\"%s\"", cases[i].base64);
		if (cases[i].text != NULL)
			ATF_CHECK_STREQ(cases[i].text, out.p);
	}
	struct buf small = buf_over(text, 20);
	ATF_CHECK(!tls_sni_decode(span_of(cases[0].base64), &small));
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, protocol_lists);
	ATF_TP_ADD_TC(tp, cipher_grades);
	ATF_TP_ADD_TC(tp, cipher_exclusions);
	ATF_TP_ADD_TC(tp, log_levels);
	ATF_TP_ADD_TC(tp, server_names);
	ATF_TP_ADD_TC(tp, chains_in_base64);
	return atf_no_error();
}
