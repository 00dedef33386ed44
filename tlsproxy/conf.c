#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "tlsproxy/inner.h"

#define LOG_PROGRAM "tlsproxy"
#define CIPHER_LIST_SIZE 4096

/* The three names of each setting, strongest first. */
static const struct {
	enum param screen, proxy, base;
} settings[] = {
#define SETTING(name) { P_postscreen_tls_##name, P_tlsproxy_tls_##name, P_smtpd_tls_##name },
#include "tlsproxy/settings.tbl"
#undef SETTING
};

/*
 * Whether the value comes from the name itself: a postscreen_tls_X that is not set refers to
 * smtpd_tls_X. Names that default to another of the same kind (key_file: cert_file) follow it.
 */
enum param
tls_setting_param(const struct rules *rules, enum tls_setting setting)
{
	if (rules_is_set(rules, settings[setting].screen))
		return settings[setting].screen;
	if (rules_is_set(rules, settings[setting].proxy))
		return settings[setting].proxy;
	return settings[setting].screen;
}

static const char *
text_of(const struct rules *rules, enum tls_setting setting)
{
	return rules_text(rules, tls_setting_param(rules, setting));
}

static bool
flag_of(const struct rules *rules, enum tls_setting setting)
{
	return rules_flag(rules, tls_setting_param(rules, setting));
}

void
tls_complain(struct diag *diag, enum diag_level level, const struct rules *rules, enum param param,
    const char *format, ...)
{
	char array[1024];
	struct buf text = BUF(array);
	unsigned line = 0;
	va_list ap;

	/* A default that refers to another parameter: name the one that the operator wrote. */
	for (enum tls_setting i = 0; i < TLS_SETTINGS; i++)
		if (settings[i].screen == param && !rules_is_set(rules, param))
			param = settings[i].base;
	if (param == P_postscreen_tls_security_level && !rules_is_set(rules, param))
		param = P_smtpd_tls_security_level;
	const char *file = rules_origin(rules, param, &line);
	buf_printf(&text, "%s: ", param_rows[param].name);
	va_start(ap, format);
	buf_vprintf(&text, format, ap);
	va_end(ap);
	diag_add(diag, level, rules_is_set(rules, param) ? file : NULL, line, "%s", text.p);
}

/* The security level. */
static const struct {
	const char *word;
	enum tlsproxy_level level;
	bool known;
} levels[] = {
	{ "none", TLSPROXY_OFF, true },
	{ "may", TLSPROXY_MAY, true },
	{ "encrypt", TLSPROXY_ENCRYPT, true },
	{ "fingerprint", TLSPROXY_ENCRYPT, false },
	{ "verify", TLSPROXY_ENCRYPT, false },
	{ "secure", TLSPROXY_ENCRYPT, false },
};

static enum tlsproxy_level
level_of(const struct rules *rules, enum param level, enum param use, enum param enforce,
    struct diag *diag)
{
	const char *text = rules_text(rules, level);

	if (*text == '\0')
		return rules_flag(rules, enforce) ? TLSPROXY_ENCRYPT
		       : rules_flag(rules, use)	  ? TLSPROXY_MAY
						  : TLSPROXY_OFF;
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		if (span_is_nocase(span_of(text), levels[i].word)) {
			if (!levels[i].known)
				tls_complain(diag, DIAG_WARNING, rules, level,
				    "unsupported TLS level \"%s\", using \"encrypt\"", text);
			return levels[i].level;
		}
	tls_complain(diag, DIAG_ERROR, rules, level,
	    "Invalid TLS level \"%s\": write none, may or encrypt", text);
	return TLSPROXY_OFF;
}

/* tlsproxy's own level can only forbid, and only if somebody wrote it. */
static enum tlsproxy_level
load_level(const struct rules *rules, struct diag *diag)
{
	enum tlsproxy_level level = level_of(rules, P_postscreen_tls_security_level,
	    P_postscreen_use_tls, P_postscreen_enforce_tls, diag);

	if (level == TLSPROXY_OFF || !rules_is_set(rules, P_tlsproxy_tls_security_level))
		return level;
	if (level_of(rules, P_tlsproxy_tls_security_level, P_tlsproxy_use_tls,
		P_tlsproxy_enforce_tls, diag) != TLSPROXY_OFF)
		return level;
	tls_complain(diag, DIAG_WARNING, rules, P_tlsproxy_tls_security_level,
	    "TLS server role is disabled by configuration");
	return TLSPROXY_OFF;
}

static bool
written(const struct rules *rules, enum tls_setting setting)
{
	return rules_is_set(rules, settings[setting].screen) ||
	       rules_is_set(rules, settings[setting].proxy) ||
	       rules_is_set(rules, settings[setting].base);
}

static void
load_protocols(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	char array[400];
	struct buf why = BUF(array);
	enum tls_setting setting =
	    conf->level == TLSPROXY_ENCRYPT ? TLS_SET_mandatory_protocols : TLS_SET_protocols;
	const char *text = text_of(rules, setting);

	/* Who requires TLS and says no more gets a floor that is worth requiring. */
	if (setting == TLS_SET_mandatory_protocols && !written(rules, setting))
		text = ">=TLSv1.2";
	if (!tls_protocols_parse(text, &conf->protocols, &why))
		tls_complain(
		    diag, DIAG_ERROR, rules, tls_setting_param(rules, setting), "%s", why.p);
}

static enum tls_grade
load_grade(const struct rules *rules, enum tls_setting setting, struct diag *diag)
{
	const char *text = text_of(rules, setting);
	enum tls_grade grade = TLS_GRADE_MEDIUM;
	bool obsolete = false;

	if (!tls_grade_parse(text, &grade, &obsolete))
		tls_complain(diag, DIAG_ERROR, rules, tls_setting_param(rules, setting),
		    "\"%s\" is not a cipher grade: write high, medium or null", text);
	else if (obsolete)
		tls_complain(diag, DIAG_NOTICE, rules, tls_setting_param(rules, setting),
		    "the grade \"%s\" is obsolete: medium is used", text);
	return grade;
}

static void
exclude(struct buf *list, const struct rules *rules, enum tls_setting setting, struct diag *diag)
{
	char array[300];
	struct buf why = BUF(array);

	if (!tls_exclude(list, text_of(rules, setting), &why))
		tls_complain(
		    diag, DIAG_ERROR, rules, tls_setting_param(rules, setting), "%s", why.p);
}

static void
load_ciphers(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	static const enum param bases[] = { [TLS_GRADE_HIGH] = P_tls_high_cipherlist,
		[TLS_GRADE_MEDIUM] = P_tls_medium_cipherlist,
		[TLS_GRADE_NULL] = P_tls_null_cipherlist };
	bool enforce = conf->level == TLSPROXY_ENCRYPT;
	char array[CIPHER_LIST_SIZE];
	struct buf list = BUF(array);
	enum tls_grade grade =
	    load_grade(rules, enforce ? TLS_SET_mandatory_ciphers : TLS_SET_ciphers, diag);

	buf_puts(&list, rules_text(rules, bases[grade]));
	exclude(&list, rules, TLS_SET_exclude_ciphers, diag);
	if (enforce)
		exclude(&list, rules, TLS_SET_mandatory_exclude_ciphers, diag);
	if (conf->ask_cert)
		buf_puts(&list, ":!aNULL");
	if (list.cut)
		tls_complain(diag, DIAG_ERROR, rules, bases[grade],
		    "with the exclusions the cipher list is longer than %d bytes",
		    CIPHER_LIST_SIZE);
	conf->cipher_list = mem_strdup(list.p);
}

static void
load_log(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	char array[300];
	struct buf why = BUF(array);

	if (!tls_loglevel_parse(text_of(rules, TLS_SET_loglevel), &conf->log_features, &why))
		tls_complain(diag, DIAG_ERROR, rules, tls_setting_param(rules, TLS_SET_loglevel),
		    "%s", why.p);
	if (conf->log_features & TLS_LOG_TRACE)
		tls_complain(diag, DIAG_NOTICE, rules, tls_setting_param(rules, TLS_SET_loglevel),
		    "trace is without effect: the process that could write such files has no "
		    "access to any; "
		    "ssl-handshake-packet-dump writes to the log");
	if (*rules_text(rules, P_postscreen_tls_loglevel_maps) != '\0')
		conf->log_maps =
		    table_list_open(rules_text(rules, P_postscreen_tls_loglevel_maps), diag);
}

static void
load_client_certs(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	bool require = flag_of(rules, TLS_SET_req_ccert);

	conf->require_cert = require && conf->level == TLSPROXY_ENCRYPT;
	conf->ask_cert = flag_of(rules, TLS_SET_ask_ccert) || conf->require_cert;
	conf->verify_depth =
	    (int)rules_number(rules, tls_setting_param(rules, TLS_SET_ccert_verifydepth));
	if (require && !conf->require_cert)
		tls_complain(diag, DIAG_WARNING, rules, tls_setting_param(rules, TLS_SET_req_ccert),
		    "Can't require client certs unless TLS is required");
}

static void
load_times(struct tlsproxy_conf *conf, const struct rules *rules)
{
	for (int stress = 0; stress < 2; stress++)
		conf->handshake_us[stress] =
		    rules_seconds_stress(rules, P_postscreen_starttls_timeout, stress != 0) *
		    1000000;
	conf->stall_us = (rules_seconds(rules, P_postscreen_command_time_limit) + 10) * 1000000;
	conf->watchdog_s = rules_seconds(rules, P_tlsproxy_watchdog_timeout);
	conf->ticket_half_s = rules_seconds(rules, P_smtpd_tls_session_cache_timeout) / 2;
}

/* What differs between the two families and is not the same by accident. */
static void
notice_unused(const struct rules *rules, struct diag *diag)
{
	for (enum tls_setting i = 0; i < TLS_SETTINGS; i++)
		if (rules_is_set(rules, settings[i].screen) &&
		    rules_is_set(rules, settings[i].proxy) &&
		    strcmp(rules_expanded_text(rules, settings[i].screen),
			rules_expanded_text(rules, settings[i].proxy)) != 0)
			tls_complain(diag, DIAG_WARNING, rules, settings[i].proxy,
			    "differs from %s, which is used", param_rows[settings[i].screen].name);
	if (flag_of(rules, TLS_SET_enable_rpk))
		tls_complain(diag, DIAG_WARNING, rules,
		    tls_setting_param(rules, TLS_SET_enable_rpk),
		    "raw public keys are not supported; X.509 certificates are used");
}

static bool
has_chain(const struct tlsproxy_conf *conf)
{
	for (size_t i = 0; i < conf->id_count; i++)
		if (conf->ids[i].name[0] == '\0' && conf->ids[i].certs.len > 0)
			return true;
	return false;
}

/* Without a certificate TLS is announced only if the operator wants it anonymous. */
static bool
load_ready(const struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	enum param param = tls_setting_param(rules, TLS_SET_cert_file);

	if (has_chain(conf))
		return true;
	if (conf->anonymous_only && !conf->ask_cert)
		return true;
	if (conf->ask_cert)
		tls_complain(diag, DIAG_WARNING, rules, tls_setting_param(rules, TLS_SET_ask_ccert),
		    "Need a server cert to request client certs");
	tls_complain(
	    diag, DIAG_WARNING, rules, param, "No server certs available. TLS won't be enabled");
	return false;
}

static void
load_all(struct tlsproxy_conf *conf, const struct rules *rules, int64_t now_s, struct diag *diag)
{
	unsigned before = diag_count(diag, DIAG_ERROR);

	notice_unused(rules, diag);
	load_client_certs(conf, rules, diag);
	load_protocols(conf, rules, diag);
	load_ciphers(conf, rules, diag);
	load_log(conf, rules, diag);
	load_times(conf, rules);
	conf->session_ids = flag_of(rules, TLS_SET_always_issue_session_ids);
	conf->wait_close = !rules_flag(rules, P_tls_fast_shutdown_enable);
	conf->default_ca = rules_flag(rules, P_tls_append_default_CA);
	conf->trust_server_certs = rules_flag(rules, P_tls_trust_server_ccerts);
	conf->expiry_warning_s = rules_seconds(rules, P_gatehouse_tls_expiry_warning);
	tls_options_load(conf, rules, diag);
	tls_files_load(conf, rules, diag);
	tls_certs_load(conf, now_s, diag);
	conf->ready = load_ready(conf, rules, diag);
	if (conf->ready)
		tls_contexts_check(conf, diag);
	if (diag_count(diag, DIAG_ERROR) > before)
		conf->ready = false;
}

struct tlsproxy_conf *
tlsproxy_conf_load(const struct rules *rules, int64_t now_s, struct diag *diag)
{
	struct tlsproxy_conf *conf = mem_alloc(sizeof *conf);

	conf->vault = tls_vault_new();
	conf->level = load_level(rules, diag);
	if (conf->level == TLSPROXY_OFF)
		return conf;
	if (tls_available()) {
		load_all(conf, rules, now_s, diag);
	} else {
		tls_complain(diag, DIAG_ERROR, rules, P_postscreen_tls_security_level,
		    "this Gatehouse is built without OpenSSL: write none, or build it with "
		    "OpenSSL");
		conf->level = TLSPROXY_OFF;
	}
	return conf;
}

void
tlsproxy_conf_free(struct tlsproxy_conf **confp)
{
	struct tlsproxy_conf *conf = *confp;

	if (conf == NULL)
		return;
	tls_vault_free(&conf->vault);
	tls_files_free(conf);
	if (conf->log_maps != NULL)
		table_list_free(&conf->log_maps);
	for (size_t i = 0; i < conf->cert_count; i++) {
		free(conf->certs[i].subject);
		free(conf->certs[i].key);
	}
	free(conf->certs);
	free(conf->cipher_list);
	free(conf->groups);
	free(conf->digest);
	free(conf->ticket_cipher);
	free(conf->config_file);
	free(conf->config_name);
	free(conf);
	*confp = NULL;
}

enum tlsproxy_level
tlsproxy_conf_level(const struct tlsproxy_conf *conf)
{
	return conf->level;
}

bool
tlsproxy_conf_ready(const struct tlsproxy_conf *conf)
{
	return conf->ready;
}

static void
describe_protocols(const struct tlsproxy_conf *conf, struct buf *line)
{
	buf_puts(line, "protocols:");
	for (unsigned bit = TLS_V_SSL3; bit <= TLS_V_1_3; bit <<= 1)
		if (conf->protocols & bit)
			buf_printf(line, " %s", tls_version_name(bit));
	if (conf->protocols & (TLS_V_SSL3 | TLS_V_1_0 | TLS_V_1_1))
		buf_puts(line, " (those before TLSv1.2 are obsolete: RFC 8996)");
}

void
tlsproxy_conf_describe(
    const struct tlsproxy_conf *conf, void (*fn)(void *arg, const char *line), void *arg)
{
	static const char *const words[] = {
		[TLSPROXY_OFF] = "off", [TLSPROXY_MAY] = "may", [TLSPROXY_ENCRYPT] = "encrypt"
	};
	char array[CIPHER_LIST_SIZE + 100];
	struct buf line = BUF(array);
	size_t names = 0;

	buf_printf(&line, "level: %s%s", words[conf->level],
	    conf->level != TLSPROXY_OFF && !conf->ready
		? ", but not ready: STARTTLS is not announced"
		: "");
	fn(arg, line.p);
	if (conf->level == TLSPROXY_OFF || !conf->ready)
		return;
	line = BUF(array);
	describe_protocols(conf, &line);
	fn(arg, line.p);
	line = BUF(array);
	buf_printf(&line, "ciphers before TLSv1.3: %s", conf->cipher_list);
	fn(arg, line.p);
	line = BUF(array);
	buf_printf(&line, "key exchange groups: %s", conf->groups);
	fn(arg, line.p);
	for (size_t i = 0; i < conf->id_count; i++)
		names += conf->ids[i].name[0] != '\0';
	line = BUF(array);
	buf_printf(&line,
	    "client certificates: %s; session tickets: %s; chains by server name: %zu",
	    conf->require_cert ? "required"
	    : conf->ask_cert   ? "asked for"
			       : "not asked for",
	    conf->ticket_cipher[0] != '\0' ? conf->ticket_cipher : "off", names);
	fn(arg, line.p);
}

void
tlsproxy_conf_certs(const struct tlsproxy_conf *conf,
    void (*fn)(void *arg, const struct tlsproxy_cert *), void *arg)
{
	for (size_t i = 0; i < conf->cert_count; i++)
		fn(arg, &conf->certs[i].cert);
}

int64_t
tlsproxy_conf_expires_at(const struct tlsproxy_conf *conf)
{
	int64_t first = 0;

	for (size_t i = 0; i < conf->cert_count; i++)
		if (first == 0 || conf->certs[i].cert.expires_at < first)
			first = conf->certs[i].cert.expires_at;
	return first;
}

bool
tls_expiry_text(const struct tlsproxy_conf *conf, const struct tlsproxy_cert *cert, int64_t now_s,
    struct buf *out)
{
	int64_t left_s = cert->expires_at - now_s;

	if (left_s > conf->expiry_warning_s)
		return false;
	if (left_s <= 0)
		buf_printf(out, "%s: the certificate of %s has expired", cert->file, cert->subject);
	else
		buf_printf(out, "%s: the certificate of %s expires in %d days and %d hours",
		    cert->file, cert->subject, (int)(left_s / 86400), (int)(left_s % 86400 / 3600));
	return true;
}

void
tlsproxy_conf_warn_expiry(const struct tlsproxy_conf *conf, int64_t now_s)
{
	for (size_t i = 0; i < conf->cert_count; i++) {
		char array[700];
		struct buf text = BUF(array);
		if (tls_expiry_text(conf, &conf->certs[i].cert, now_s, &text))
			log_warning("%s", text.p);
	}
}
