#include "config.h"

#include <atf-c.h>
#include <stdio.h>
#include <string.h>

#include "tlsproxy/inner.h"

#ifdef HAVE_OPENSSL
#define OVERRIDES_MAX 8

struct found {
	const char *wanted;
	bool seen;
};

static void
look(void *arg, enum diag_level level, const char *text)
{
	struct found *found = arg;

	(void)level;
	printf("%s\n", text);
	if (strstr(text, found->wanted) != NULL)
		found->seen = true;
}

/* Loads "name=value" settings over the defaults; checks that the text is (or nothing at all is)
 * said. */
static struct tlsproxy_conf *
load(const char *const *settings, const char *wanted)
{
	struct rules_override overrides[OVERRIDES_MAX];
	char names[OVERRIDES_MAX][100];
	struct diag *diag = diag_new();
	struct found found = { .wanted = wanted != NULL ? wanted : "" };
	size_t count = 0;

	for (; count < OVERRIDES_MAX && settings[count] != NULL; count++) {
		const char *equals = strchr(settings[count], '=');
		snprintf(names[count], sizeof names[count], "%.*s", (int)(equals - settings[count]),
		    settings[count]);
		overrides[count] = (struct rules_override){ names[count], equals + 1 };
	}
	struct rules *rules = rules_load(NULL, overrides, count, diag);
	ATF_REQUIRE(rules != NULL);
	struct tlsproxy_conf *conf = tlsproxy_conf_load(rules, 1000000, diag);
	diag_each(diag, look, &found);
	ATF_CHECK_EQ_MSG(wanted != NULL, found.seen, "%s: \"%s\"", settings[0], found.wanted);
	rules_free(&rules);
	diag_free(&diag);
	return conf;
}

#define ANONYMOUS "smtpd_tls_cert_file=none"
static const struct {
	const char *settings[OVERRIDES_MAX];
	const char *said; /* null: nothing */
	enum tlsproxy_level level;
	bool ready;
} levels[] = {
	{ { "myhostname=a.b" }, NULL, TLSPROXY_OFF, false },
	{ { "smtpd_tls_security_level=none" }, NULL, TLSPROXY_OFF, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS }, NULL, TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=MAY", ANONYMOUS }, NULL, TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=encrypt", ANONYMOUS }, NULL, TLSPROXY_ENCRYPT, true },
	{ { "smtpd_tls_security_level=may", "postscreen_tls_security_level=none" }, NULL,
	    TLSPROXY_OFF, false },
	{ { "smtpd_use_tls=yes", ANONYMOUS }, "smtpd_use_tls is obsolete", TLSPROXY_MAY, true },
	{ { "postscreen_enforce_tls=yes", ANONYMOUS }, "postscreen_enforce_tls is obsolete",
	    TLSPROXY_ENCRYPT, true },
	{ { "smtpd_tls_security_level=verify", ANONYMOUS },
	    "unsupported TLS level \"verify\", using \"encrypt\"", TLSPROXY_ENCRYPT, true },
	{ { "smtpd_tls_security_level=maybe", ANONYMOUS },
	    "smtpd_tls_security_level: Invalid TLS level \"maybe\"", TLSPROXY_OFF, false },
	{ { "smtpd_tls_security_level=may" }, "No server certs available. TLS won't be enabled",
	    TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", "tlsproxy_tls_security_level=none", ANONYMOUS },
	    "TLS server role is disabled by configuration", TLSPROXY_OFF, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_ask_ccert=yes" },
	    "Need a server cert to request client certs", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_req_ccert=yes" },
	    "Can't require client certs unless TLS is required", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "postscreen_tls_loglevel=1",
	      "tlsproxy_tls_loglevel=2" },
	    "tlsproxy_tls_loglevel: differs from postscreen_tls_loglevel, which is used",
	    TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_dcert_file=/x" },
	    "smtpd_tls_dcert_file is obsolete", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_protocols=TLSv1.7" },
	    "smtpd_tls_protocols: \"TLSv1.7\" is not a protocol", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_ciphers=best" },
	    "\"best\" is not a cipher grade", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_ciphers=export" },
	    "the grade \"export\" is obsolete", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_exclude_ciphers=!RC4" },
	    "smtpd_tls_exclude_ciphers: \"!RC4\": write names", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_medium_cipherlist=NOSUCH" },
	    "leave no cipher", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_eecdh_grade=best" },
	    "\"best\" is not a grade", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_eecdh_auto_curves=X25519 nosuch" },
	    "\"nosuch\" is not known to this OpenSSL", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_eecdh_auto_curves=?nosuch:DEFAULT" },
	    NULL, TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_ssl_options=NO_TICKET, 0x4" }, NULL,
	    TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_ssl_options=NO_SUCH" },
	    "\"NO_SUCH\" is not known", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_session_ticket_cipher=aes-256-gcm" },
	    "invalid value: aes-256-gcm; session tickets disabled", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_fingerprint_digest=sha0" },
	    "\"sha0\" is not a digest", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_loglevel=11" },
	    "smtpd_tls_loglevel: \"11\" is not a TLS log level", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", "smtpd_tls_chain_files=/nonexistent" },
	    "/nonexistent: No such file or directory", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_server_sni_maps=hash:/x" },
	    "tls_server_sni_maps: hash:/x is unavailable", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_server_sni_maps=static:/x" },
	    "static:/x: the keys of such a table cannot be listed", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "smtpd_tls_loglevel=1, trace" },
	    "smtpd_tls_loglevel: trace is without effect", TLSPROXY_MAY, true },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_server_sni_maps=inline:{a..b=/x}" },
	    "\"a..b\" is not a host name", TLSPROXY_MAY, false },
	{ { "smtpd_tls_security_level=may", ANONYMOUS, "tls_config_file=openssl.cnf" },
	    "write default, none or an absolute path", TLSPROXY_MAY, false },
};

ATF_TC_WITHOUT_HEAD(levels);
ATF_TC_BODY(levels, tc)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
		struct tlsproxy_conf *conf = load(levels[i].settings, levels[i].said);
		const char *last = levels[i].settings[1] != NULL && levels[i].settings[2] != NULL
				       ? levels[i].settings[2]
				       : levels[i].settings[0];
		ATF_CHECK_EQ_MSG(levels[i].level, tlsproxy_conf_level(conf), "%s", last);
		ATF_CHECK_EQ_MSG(levels[i].ready, tlsproxy_conf_ready(conf), "%s", last);
		tlsproxy_conf_free(&conf);
	}
}

static const struct {
	const char *settings[OVERRIDES_MAX];
	unsigned protocols;
	const char *ciphers;
} choices[] = {
	{ { "smtpd_tls_security_level=may" }, TLS_V_ALL & ~TLS_V_SSL3,
	    "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	/* Required TLS has a floor of its own, unless the operator says otherwise. */
	{ { "smtpd_tls_security_level=encrypt" }, TLS_V_1_2 | TLS_V_1_3,
	    "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ { "smtpd_tls_security_level=encrypt", "smtpd_tls_mandatory_protocols=>=TLSv1" },
	    TLS_V_ALL & ~TLS_V_SSL3, "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ { "smtpd_tls_security_level=may", "postscreen_tls_protocols=TLSv1.3",
	      "tlsproxy_tls_protocols=TLSv1.2" },
	    TLS_V_1_3, NULL },
	{ { "smtpd_tls_security_level=may", "smtpd_tls_protocols=TLSv1.3",
	      "tlsproxy_tls_protocols=TLSv1.2" },
	    TLS_V_1_2, NULL },
	{ { "smtpd_tls_security_level=encrypt", "smtpd_tls_mandatory_ciphers=high",
	      "smtpd_tls_ciphers=null", "smtpd_tls_exclude_ciphers=RC4",
	      "smtpd_tls_mandatory_exclude_ciphers=MD5 DES" },
	    TLS_V_1_2 | TLS_V_1_3, "aNULL:-aNULL:HIGH:@STRENGTH:!RC4:!MD5:!DES" },
	{ { "smtpd_tls_security_level=may", "smtpd_tls_ask_ccert=yes" }, TLS_V_ALL & ~TLS_V_SSL3,
	    "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH:!aNULL" },
};

ATF_TC_WITHOUT_HEAD(choices);
ATF_TC_BODY(choices, tc)
{
	for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
		struct tlsproxy_conf *conf = load(choices[i].settings, "TLS won't be enabled");
		ATF_CHECK_EQ_MSG(choices[i].protocols, conf->protocols, "case %zu", i);
		if (choices[i].ciphers != NULL)
			ATF_CHECK_STREQ(choices[i].ciphers, conf->cipher_list);
		tlsproxy_conf_free(&conf);
	}
}

static void
count_line(void *arg, const char *line)
{
	printf("%s\n", line);
	++*(int *)arg;
}

ATF_TC_WITHOUT_HEAD(described);
ATF_TC_BODY(described, tc)
{
	static const char *const off[] = { "myhostname=a.b", NULL };
	static const char *const on[] = { "smtpd_tls_security_level=may", ANONYMOUS, NULL };
	struct tlsproxy_conf *conf = load(off, NULL);
	int lines = 0;

	tlsproxy_conf_describe(conf, count_line, &lines);
	ATF_CHECK_EQ(1, lines);
	ATF_CHECK_EQ(0, tlsproxy_conf_expires_at(conf));
	tlsproxy_conf_free(&conf);
	conf = load(on, NULL);
	lines = 0;
	tlsproxy_conf_describe(conf, count_line, &lines);
	ATF_CHECK_EQ(5, lines);
	ATF_CHECK(!tlsproxy_conf_changed(conf));
	tlsproxy_conf_free(&conf);
}
#else
ATF_TC_WITHOUT_HEAD(without);
ATF_TC_BODY(without, tc)
{
	struct rules_override level = { "smtpd_tls_security_level", "may" };
	struct diag *diag = diag_new();
	struct rules *rules = rules_load(NULL, &level, 1, diag);
	struct tlsproxy_conf *conf = tlsproxy_conf_load(rules, 0, diag);

	ATF_CHECK_EQ(1, diag_count(diag, DIAG_ERROR));
	ATF_CHECK_EQ(TLSPROXY_OFF, tlsproxy_conf_level(conf));
	ATF_CHECK(!tlsproxy_conf_ready(conf));
	tlsproxy_conf_free(&conf);
	rules_free(&rules);
	diag_free(&diag);
}
#endif

ATF_TP_ADD_TCS(tp)
{
#ifdef HAVE_OPENSSL
	ATF_TP_ADD_TC(tp, levels);
	ATF_TP_ADD_TC(tp, choices);
	ATF_TP_ADD_TC(tp, described);
#else
	ATF_TP_ADD_TC(tp, without);
#endif
	return atf_no_error();
}
