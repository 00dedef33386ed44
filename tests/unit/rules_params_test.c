#include "config.h"
#include "tests/unit/rules_help.h"

#include <inttypes.h>
#include <sys/stat.h>

/*
 * What postconf(5) says of each parameter: default as expanded on a host called mx.example.org,
 * least value, value under stress. Rows are written down here a second time on purpose.
 */
static const struct {
	enum param param;
	const char *text;
	int64_t number, stressed, least;
} defaults[] = {
	{ P_postscreen_access_list, "permit_mynetworks", 0, 0, 0 },
	{ P_postscreen_allowlist_interfaces, "static:all", 0, 0, 0 },
	{ P_postscreen_bare_newline_action, "ignore", 0, 0, 0 },
	{ P_postscreen_bare_newline_enable, "no", 0, 0, 0 },
	{ P_postscreen_bare_newline_ttl, "30d", 2592000, 2592000, 1 },
	{ P_postscreen_cache_cleanup_interval, "12h", 43200, 43200, 0 },
	{ P_postscreen_cache_map, "lmdb:/var/lib/gatehouse/postscreen_cache", 0, 0, 0 },
	{ P_postscreen_cache_retention_time, "7d", 604800, 604800, 1 },
	{ P_postscreen_client_connection_count_limit, "50", 50, 50, 0 },
	{ P_postscreen_command_count_limit, "20", 20, 20, 1 },
	{ P_postscreen_command_filter, "", 0, 0, 0 },
	{ P_postscreen_command_time_limit, "300s", 300, 10, 1 },
	{ P_postscreen_denylist_action, "ignore", 0, 0, 0 },
	{ P_postscreen_disable_vrfy_command, "no", 0, 0, 0 },
	{ P_postscreen_discard_ehlo_keyword_address_maps, "", 0, 0, 0 },
	{ P_postscreen_discard_ehlo_keywords, "", 0, 0, 0 },
	{ P_postscreen_dnsbl_action, "ignore", 0, 0, 0 },
	{ P_postscreen_dnsbl_allowlist_threshold, "0", 0, 0, INT32_MIN },
	{ P_postscreen_dnsbl_max_ttl, "1h", 3600, 3600, 1 },
	{ P_postscreen_dnsbl_min_ttl, "60s", 60, 60, 1 },
	{ P_postscreen_dnsbl_reply_map, "", 0, 0, 0 },
	{ P_postscreen_dnsbl_sites, "", 0, 0, 0 },
	{ P_postscreen_dnsbl_threshold, "1", 1, 1, 1 },
	{ P_postscreen_dnsbl_timeout, "10s", 10, 10, 1 },
	{ P_postscreen_enforce_tls, "no", 0, 0, 0 },
	{ P_postscreen_forbidden_commands, "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", 0, 0, 0 },
	{ P_postscreen_greet_action, "ignore", 0, 0, 0 },
	{ P_postscreen_greet_banner, "mx.example.org ESMTP Postfix", 0, 0, 0 },
	{ P_postscreen_greet_ttl, "1d", 86400, 86400, 1 },
	{ P_postscreen_greet_wait, "6s", 6, 2, 1 },
	{ P_postscreen_helo_required, "no", 0, 0, 0 },
	{ P_postscreen_non_smtp_command_action, "drop", 0, 0, 0 },
	{ P_postscreen_non_smtp_command_enable, "no", 0, 0, 0 },
	{ P_postscreen_non_smtp_command_ttl, "30d", 2592000, 2592000, 1 },
	{ P_postscreen_pipelining_action, "enforce", 0, 0, 0 },
	{ P_postscreen_pipelining_enable, "no", 0, 0, 0 },
	{ P_postscreen_pipelining_ttl, "30d", 2592000, 2592000, 1 },
	{ P_postscreen_post_queue_limit, "100", 100, 100, 5 },
	{ P_postscreen_pre_queue_limit, "100", 100, 100, 10 },
	{ P_postscreen_reject_footer, "", 0, 0, 0 },
	{ P_postscreen_reject_footer_maps, "", 0, 0, 0 },
	{ P_postscreen_starttls_timeout, "300s", 300, 10, 1 },
	{ P_postscreen_tls_security_level, "", 0, 0, 0 },
	{ P_postscreen_upstream_proxy_protocol, "", 0, 0, 0 },
	{ P_postscreen_upstream_proxy_timeout, "5s", 5, 5, 1 },
	{ P_postscreen_use_tls, "no", 0, 0, 0 },
	{ P_postscreen_watchdog_timeout, "10s", 10, 10, 10 },
	{ P_postscreen_tls_always_issue_session_ids, "yes", 0, 0, 0 },
	{ P_postscreen_tls_ccert_verifydepth, "9", 9, 9, 0 },
	{ P_postscreen_tls_ciphers, "medium", 0, 0, 0 },
	{ P_postscreen_tls_eecdh_grade, "auto", 0, 0, 0 },
	{ P_postscreen_tls_fingerprint_digest, "md5", 0, 0, 0 },
	{ P_postscreen_tls_loglevel, "0", 0, 0, 0 },
	{ P_postscreen_tls_mandatory_protocols, ">=TLSv1", 0, 0, 0 },
	{ P_postscreen_tls_protocols, ">=TLSv1", 0, 0, 0 },
	{ P_postscreen_tls_trace_size_limit, "102400", 102400, 102400, 0 },
	{ P_smtpd_tls_session_cache_timeout, "3600s", 3600, 3600, 0 },
	{ P_smtpd_service_name, "smtpd", 0, 0, 0 },
	{ P_dnsblog_service_name, "dnsblog", 0, 0, 0 },
	{ P_tlsproxy_service_name, "tlsproxy", 0, 0, 0 },
	{ P_smtpd_banner, "mx.example.org ESMTP Postfix", 0, 0, 0 },
	{ P_line_length_limit, "2048", 2048, 2048, 1 },
	{ P_message_size_limit, "10240000", 10240000, 10240000, 0 },
	{ P_disable_vrfy_command, "no", 0, 0, 0 },
	{ P_soft_bounce, "no", 0, 0, 0 },
	{ P_respectful_logging, "no", 0, 0, 0 },
	{ P_smtputf8_enable, "no", 0, 0, 0 },
	{ P_delay_logging_resolution_limit, "2", 2, 2, 0 },
	{ P_info_log_address_format, "external", 0, 0, 0 },
	{ P_default_process_limit, "100", 100, 100, 1 },
	{ P_max_idle, "100s", 100, 100, 1 },
	{ P_ipc_timeout, "3600s", 3600, 3600, 1 },
	{ P_compatibility_level, "0", 0, 0, 0 },
	{ P_mydomain, "example.org", 0, 0, 0 },
	{ P_mynetworks_style, "subnet", 0, 0, 0 },
	{ P_inet_protocols, "all", 0, 0, 0 },
	{ P_syslog_name, "postfix", 0, 0, 0 },
	{ P_tlsproxy_watchdog_timeout, "10s", 10, 10, 10 },
	{ P_tlsproxy_tls_security_level, "", 0, 0, 0 },
	{ P_tls_preempt_cipherlist, "no", 0, 0, 0 },
	{ P_tls_session_ticket_cipher, "aes-256-cbc", 0, 0, 0 },
	{ P_tls_fast_shutdown_enable, "yes", 0, 0, 0 },
	{ P_gatehouse_listen, "0.0.0.0:25, [::]:25", 0, 0, 0 },
	{ P_gatehouse_backend, "pass:private/smtpd", 0, 0, 0 },
	{ P_gatehouse_after_deep_tests, "continue", 0, 0, 0 },
	{ P_gatehouse_session_limit, "10000", 10000, 10000, 16 },
	{ P_gatehouse_control, "/run/gatehouse/control", 0, 0, 0 },
	{ P_gatehouse_log, "syslog", 0, 0, 0 },
	{ P_gatehouse_client_prefix_ipv6, "64", 64, 64, 16 },
	{ P_gatehouse_tarpit_delay, "0s", 0, 0, 0 },
};

ATF_TC_WITHOUT_HEAD(defaults_are_the_documented_ones);
ATF_TC_BODY(defaults_are_the_documented_ones, tc)
{
	struct diag *diag = diag_new();
	struct rules *r = load_texts("myhostname = mx.example.org\n", NULL, diag);

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		enum param p = defaults[i].param;
		const char *name = param_rows[p].name;

		ATF_CHECK_STREQ_MSG(defaults[i].text, rules_expanded_text(r, p), "%s = %s", name,
		    rules_expanded_text(r, p));
		if (param_rows[p].type == PT_NUMBER)
			ATF_CHECK_EQ_MSG(defaults[i].number, rules_number(r, p), "%s", name);
		if (param_rows[p].type == PT_TIME) {
			ATF_CHECK_EQ_MSG(defaults[i].number, rules_seconds(r, p), "%s", name);
			ATF_CHECK_EQ_MSG(
			    defaults[i].stressed, rules_seconds_stress(r, p, true), "%s", name);
		}
		if (param_rows[p].type == PT_NUMBER || param_rows[p].type == PT_TIME)
			ATF_CHECK_EQ_MSG(defaults[i].least, param_rows[p].min, "%s", name);
	}
	ATF_CHECK_STREQ("", said_by(diag));
	rules_free(&r);
	diag_free(&diag);
}

/* The mirrored names (tlsproxy_tls_X, postscreen_tls_X) all exist and follow smtpd_tls_X. */
ATF_TC_WITHOUT_HEAD(mirrors_follow_the_server);
ATF_TC_BODY(mirrors_follow_the_server, tc)
{
	static const char *const names[] = { "always_issue_session_ids", "ask_ccert", "CAfile",
		"CApath", "ccert_verifydepth", "cert_file", "chain_files", "ciphers", "dcert_file",
		"dkey_file", "dh1024_param_file", "dh512_param_file", "eccert_file", "eckey_file",
		"eecdh_grade", "enable_rpk", "exclude_ciphers", "fingerprint_digest", "key_file",
		"loglevel", "loglevel_maps", "mandatory_ciphers", "mandatory_exclude_ciphers",
		"mandatory_protocols", "protocols", "req_ccert", "trace_size_limit" };
	char name[100], want[100];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (int screen = 0; screen < 2; screen++) {
			enum param p;

			snprintf(name, sizeof(name), "%s_tls_%s",
			    screen ? "postscreen" : "tlsproxy", names[i]);
			snprintf(want, sizeof(want), "$smtpd_tls_%s", names[i]);
			p = param_find(name);
			if (!screen && (strcmp(names[i], "loglevel_maps") == 0 ||
					   strcmp(names[i], "trace_size_limit") == 0))
				continue; /* the screen's alone */
			ATF_REQUIRE_MSG(p != PARAMS, "%s", name);
			ATF_CHECK_STREQ(want, param_rows[p].value);
		}
	}
}

ATF_TC_WITHOUT_HEAD(every_row_is_sane);
ATF_TC_BODY(every_row_is_sane, tc)
{
	struct diag *diag = diag_new();
	struct rules *r = rules_load(NULL, NULL, 0, diag);

	ATF_REQUIRE(r != NULL);
	for (unsigned i = 0; i < PARAMS; i++) {
		const struct param_row *row = &param_rows[i];
		size_t doc = strlen(row->doc);

		ATF_CHECK_MSG(param_find(row->name) == (enum param)i, "%s stands twice", row->name);
		ATF_CHECK_MSG(doc > 20 && row->doc[doc - 1] == '.', "%s: no prose", row->name);
		ATF_CHECK_MSG(row->min <= row->max, "%s: min > max", row->name);
		ATF_CHECK_MSG(
		    (row->flags & PF_COMPUTED) == 0 || row->value[0] == '\0', "%s", row->name);
		ATF_CHECK(!rules_is_set(r, (enum param)i));
	}
	/* No default is out of its own range, undefined or in a loop. */
	ATF_CHECK_STREQ("", said_by(diag));
	rules_free(&r);
	diag_free(&diag);
}

/*
 * The grammar of the files.
 */
static const struct {
	const char *main_cf, *gatehouse_cf;
	enum param param;
	const char *want;
} files[] = {
	{ "mail_name = One\n", NULL, P_mail_name, "One" },
	{ "mail_name=One", NULL, P_mail_name, "One" },
	{ "mail_name = One\nmail_name = Two\n", NULL, P_mail_name, "Two" },
	{ "mail_name = One\n", "mail_name = Two\n", P_mail_name, "Two" },
	{ "mail_name = One\n", "mail_name =\n", P_mail_name, "" },
	{ "mail_name = One\n  more\n\ttext\n", NULL, P_mail_name, "One  more\ttext" },
	{ "mail_name =\n  later\n", NULL, P_mail_name, "later" },
	{ "mail_name = One\n# comment\n\n   # indented\n more\n", NULL, P_mail_name, "One more" },
	{ "mail_name = One # no comment\n", NULL, P_mail_name, "One # no comment" },
	{ "mail_name = a = b\n", NULL, P_mail_name, "a = b" },
	{ "mail_name = One\r\nmyorigin = x\r\n", NULL, P_mail_name, "One" },
	{ "mail_name = $x ${x} $(x)\nx = y\n", NULL, P_mail_name, "y y y" },
	{ "mail_name = $x.com\nx = y\n", NULL, P_mail_name, "y.com" },
	{ "mail_name = $$x $$$$\n", NULL, P_mail_name, "$x $$" },
	{ "x = $y\ny = $z\nz = deep\nmail_name = $x\n", NULL, P_mail_name, "deep" },
	{ "mail_name = ${x?yes}${x:no}\n", NULL, P_mail_name, "no" },
	{ "x = 1\nmail_name = ${x?yes}${x:no}\n", NULL, P_mail_name, "yes" },
	{ "x =\nmail_name = ${x?yes}${x:no}\n", NULL, P_mail_name, "no" },
	{ "x = 1\nmail_name = ${x?{yes}:{no}}\n", NULL, P_mail_name, "yes" },
	{ "mail_name = ${x?{yes}:{no}}\n", NULL, P_mail_name, "no" },
	{ "mail_name = ${x?{yes}}\n", NULL, P_mail_name, "" },
	{ "mail_name = ${x:{a {b} c}}\n", NULL, P_mail_name, "a {b} c" },
	{ "mail_name = ${x ? { yes } : { no }}\n", NULL, P_mail_name, "no" },
	{ "x = 1\ny = 2\nmail_name = ${x?{${y?{both}:{x}}}:{none}}\n", NULL, P_mail_name, "both" },
	{ "mail_name = ${{a} == {a} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{a} == {b} ? {x} : {y}}\n", NULL, P_mail_name, "y" },
	{ "mail_name = ${{a} != {b} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{9} < {10} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{b9} < {b10} ? {x} : {y}}\n", NULL, P_mail_name, "y" },
	{ "mail_name = ${{10} <= {10} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{10} > {9} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{9} >= {10} ? {x} : {y}}\n", NULL, P_mail_name, "y" },
	{ "mail_name = ${{3.10} >=level {3.6} ? {x} : {y}}\n", NULL, P_mail_name, "x" },
	{ "mail_name = ${{3.6} <level {3.6} ? {x} : {y}}\n", NULL, P_mail_name, "y" },
	{ "mail_name = ${{a} == {a}}\n", NULL, P_mail_name, "bool:true" },
	{ "mail_name = ${{a} == {b}}\n", NULL, P_mail_name, "" },
	{ "mail_name = ${{$x} == {1} ? {x}}\nx = 1\n", NULL, P_mail_name, "x" },
	{ "compatibility_level = 3.6\n", NULL, P_respectful_logging, "yes" },
	{ "compatibility_level = 3.5.9\n", NULL, P_respectful_logging, "no" },
	{ "compatibility_level = 2\n", NULL, P_mynetworks_style, "host" },
	{ "myhostname = a.b.example\n", NULL, P_mydomain, "b.example" },
	{ "myhostname = bare\n", NULL, P_mydomain, "localdomain" },
	{ "smtpd_banner = hi\n", NULL, P_postscreen_greet_banner, "hi" },
	{ "postscreen_whitelist_interfaces = !192.0.2.1, static:all\n", NULL,
	    P_postscreen_allowlist_interfaces, "!192.0.2.1, static:all" },
	{ "postscreen_whitelist_interfaces = a\npostscreen_allowlist_interfaces = b\n", NULL,
	    P_postscreen_allowlist_interfaces, "b" },
	{ "postscreen_blacklist_action = drop\n", NULL, P_postscreen_denylist_action, "drop" },
	{ "postscreen_dnsbl_whitelist_threshold = -2\n", NULL,
	    P_postscreen_dnsbl_allowlist_threshold, "-2" },
	{ "multi_instance_name = postfix-in\n", NULL, P_syslog_name, "postfix-in" },
	/* Raw parameters: only a whole reference is one. */
	{ "postscreen_reject_footer = \\c; see $localtime\n", NULL, P_postscreen_reject_footer,
	    "\\c; see $localtime" },
	{ "smtpd_reject_footer = \\c $x\n", NULL, P_postscreen_reject_footer, "\\c $x" },
	{ "f = \\c text\npostscreen_reject_footer = ${f}\n", NULL, P_postscreen_reject_footer,
	    "\\c text" },
	/* Names of other programs mean nothing here. */
	{ "smtpd_relay_restrictions = $undefined ${broken\nmail_name = One\n", NULL, P_mail_name,
	    "One" },
};

ATF_TC_WITHOUT_HEAD(files_are_read);
ATF_TC_BODY(files_are_read, tc)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct diag *diag = diag_new();
		struct rules *r;

		remove("gatehouse.cf");
		r = load_texts(files[i].main_cf, files[i].gatehouse_cf, diag);
		ATF_CHECK_STREQ_MSG(files[i].want, rules_expanded_text(r, files[i].param),
		    "%s: \"%s\" instead of \"%s\"", files[i].main_cf,
		    rules_expanded_text(r, files[i].param), files[i].want);
		ATF_CHECK_EQ_MSG(
		    0, diag_count(diag, DIAG_ERROR), "%s: %s", files[i].main_cf, said_by(diag));
		rules_free(&r);
		diag_free(&diag);
	}
}

/*
 * Numbers, times, booleans.
 */
static const struct {
	const char *main_cf;
	enum param param;
	int64_t want;
} numbers[] = {
	{ "postscreen_greet_ttl = 90\n", P_postscreen_greet_ttl, 90 * 86400 },
	{ "postscreen_greet_ttl = 90s\n", P_postscreen_greet_ttl, 90 },
	{ "postscreen_greet_ttl = 2m\n", P_postscreen_greet_ttl, 120 },
	{ "postscreen_greet_ttl = 2h\n", P_postscreen_greet_ttl, 7200 },
	{ "postscreen_greet_ttl = 2d\n", P_postscreen_greet_ttl, 172800 },
	{ "postscreen_greet_ttl = 2w\n", P_postscreen_greet_ttl, 1209600 },
	{ "postscreen_greet_ttl = 2W\n", P_postscreen_greet_ttl, 1209600 },
	{ "postscreen_dnsbl_max_ttl = 2\n", P_postscreen_dnsbl_max_ttl, 7200 },
	{ "postscreen_dnsbl_ttl = 2\n", P_postscreen_dnsbl_max_ttl, 7200 },
	{ "postscreen_dnsbl_ttl = 30m\n", P_postscreen_dnsbl_max_ttl, 1800 },
	{ "postscreen_dnsbl_ttl = 30m\npostscreen_dnsbl_max_ttl = 2m\n", P_postscreen_dnsbl_max_ttl,
	    120 },
	{ "postscreen_greet_wait = 4\n", P_postscreen_greet_wait, 4 },
	{ "postscreen_greet_wait = ${stress?{1}:{8}}s\n", P_postscreen_greet_wait, 8 },
	{ "stress = yes\n", P_postscreen_greet_wait, 6 },
	{ "stress = yes\nmax_idle = ${stress?1}${stress:2}s\n", P_max_idle, 1 },
	{ "postscreen_starttls_timeout = 7\n", P_postscreen_starttls_timeout, 7 },
	{ "default_process_limit = 300\n", P_postscreen_pre_queue_limit, 300 },
	{ "smtpd_client_connection_count_limit = 7\n", P_postscreen_client_connection_count_limit,
	    7 },
	{ "postscreen_dnsbl_allowlist_threshold = -3\n", P_postscreen_dnsbl_allowlist_threshold,
	    -3 },
	{ "postscreen_pipelining_enable = YES\n", P_postscreen_pipelining_enable, 1 },
	{ "postscreen_pipelining_enable = no\n", P_postscreen_pipelining_enable, 0 },
	{ "smtpd_helo_required = yes\n", P_postscreen_helo_required, 1 },
};

ATF_TC_WITHOUT_HEAD(numbers_are_read);
ATF_TC_BODY(numbers_are_read, tc)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct diag *diag = diag_new();
		struct rules *r = load_texts(numbers[i].main_cf, NULL, diag);
		enum param p = numbers[i].param;
		int64_t got = param_rows[p].type == PT_TIME   ? rules_seconds(r, p)
			      : param_rows[p].type == PT_BOOL ? rules_flag(r, p)
							      : rules_number(r, p);

		ATF_CHECK_EQ_MSG(numbers[i].want, got, "%s: %" PRId64, numbers[i].main_cf, got);
		ATF_CHECK_EQ_MSG(0, diag_count(diag, DIAG_ERROR), "%s", said_by(diag));
		rules_free(&r);
		diag_free(&diag);
	}
}

/*
 * Every complaint, whole.
 */
static const struct {
	const char *main_cf, *said;
} complaints[] = {
	{ "nonsense\n",
	    "error: ./main.cf:1: missing '=' after \"nonsense\"; write NAME = VALUE, or begin the "
	    "line with white space if it continues the one before\n" },
	{ "a b = c\n",
	    "error: ./main.cf:1: bad parameter name in \"a b = c\"; write NAME = VALUE with a name "
	    "of letters, digits and _\n" },
	{ "= c\n",
	    "error: ./main.cf:1: bad parameter name in \"= c\"; write NAME = VALUE with a name of "
	    "letters, digits and _\n" },
	{ "  x = y\n",
	    "warning: ./main.cf:1: line continues nothing and is skipped: \"  x = y\"; remove the "
	    "white space at its start\n" },
	{ "\npostscreen_gret_wait = 1\n",
	    "error: ./main.cf:2: unknown parameter postscreen_gret_wait; did you "
	    "mean postscreen_greet_wait?\n" },
	{ "gatehouse_listn = 1\n", "error: ./main.cf:1: unknown parameter gatehouse_listn; did you "
				   "mean gatehouse_listen?\n" },
	{ "dnsblog_repl_delay = 1\n", "error: ./main.cf:1: unknown parameter dnsblog_repl_delay; "
				      "did you mean dnsblog_reply_delay?\n" },
	{ "tlsproxy_tls_certfile = 1\n",
	    "error: ./main.cf:1: unknown parameter tlsproxy_tls_certfile; did you "
	    "mean tlsproxy_tls_cert_file?\n" },
	{ "gatehouse_quite_something_else_altogether = 1\n",
	    "error: ./main.cf:1: unknown parameter gatehouse_quite_something_else_altogether; "
	    "remove it, or "
	    "see gatehouse.conf(5) for the names there are\n" },
	{ "postscreen_blacklist_action = drop\n",
	    "notice: ./main.cf:1: postscreen_blacklist_action is "
	    "obsolete: The name of postscreen_denylist_action before Postfix 3.6.\n" },
	{ "postscreen_greet_ttl = soon\n",
	    "error: ./main.cf:1: parameter postscreen_greet_ttl: bad time value or unit: soon; "
	    "write a number "
	    "and one of s, m, h, d, w (seconds to weeks), such as 30s\n" },
	{ "postscreen_greet_ttl = 5y\n",
	    "error: ./main.cf:1: parameter postscreen_greet_ttl: bad time value or unit: 5y; write "
	    "a number "
	    "and one of s, m, h, d, w (seconds to weeks), such as 30s\n" },
	{ "postscreen_greet_ttl = -5\n",
	    "error: ./main.cf:1: parameter postscreen_greet_ttl: bad time value or unit: -5; write "
	    "a number "
	    "and one of s, m, h, d, w (seconds to weeks), such as 30s\n" },
	{ "postscreen_greet_ttl =\n", "error: ./main.cf:1: parameter postscreen_greet_ttl: bad "
				      "time value or unit: ; write a number and "
				      "one of s, m, h, d, w (seconds to weeks), such as 30s\n" },
	{ "postscreen_greet_ttl = 0\n",
	    "error: ./main.cf:1: invalid postscreen_greet_ttl: 0 is out of range; "
	    "the least is 1s\n" },
	{ "postscreen_greet_ttl = 99999w\n",
	    "error: ./main.cf:1: invalid postscreen_greet_ttl: 99999w is out "
	    "of range; the most is 2147483647s\n" },
	{ "postscreen_watchdog_timeout = 9\n",
	    "error: ./main.cf:1: invalid postscreen_watchdog_timeout: 9 is "
	    "out of range; the least is 10s\n" },
	{ "postscreen_dnsbl_threshold = 0\n",
	    "error: ./main.cf:1: invalid postscreen_dnsbl_threshold: 0 is "
	    "out of range; the least is 1\n" },
	{ "postscreen_pre_queue_limit = 9\n",
	    "error: ./main.cf:1: invalid postscreen_pre_queue_limit: 9 is "
	    "out of range; the least is 10\n" },
	{ "postscreen_pre_queue_limit = many\n",
	    "error: ./main.cf:1: bad numerical configuration: "
	    "postscreen_pre_queue_limit = many; write a whole number\n" },
	{ "postscreen_pre_queue_limit = 99999999999999999999\n",
	    "error: ./main.cf:1: bad numerical configuration: postscreen_pre_queue_limit = "
	    "99999999999999999999; write a whole number\n" },
	{ "postscreen_helo_required = maybe\n",
	    "error: ./main.cf:1: bad boolean configuration: "
	    "postscreen_helo_required = maybe; write yes or no\n" },
	/* Reported once, where the mistake stands, however many defaults refer to it. */
	{ "\n\ndefault_process_limit = x\n", "error: ./main.cf:3: bad numerical configuration: "
					     "postscreen_post_queue_limit = x (through "
					     "$default_process_limit); write a whole number\n" },
	{ "mail_name = $nothing\n",
	    "warning: ./main.cf:1: $nothing is not defined anywhere and stands for "
	    "nothing; define it, or write $$ for a dollar sign\n" },
	{ "mail_name = $myhostnam\n",
	    "warning: ./main.cf:1: $myhostnam is not defined anywhere and stands for "
	    "nothing; did you mean $myhostname?\n" },
	{ "mail_name = $a\na = $b\nb = $a\n",
	    "error: ./main.cf:2: a: $a refers to itself (a -> b -> a); "
	    "the value cannot be expanded\n" },
	{ "mail_name = $mail_name x\n",
	    "error: ./main.cf:1: mail_name: $mail_name refers to itself (mail_name "
	    "-> mail_name); the value cannot be expanded\n" },
	{ "mail_name = ${a\n", "missing } for the ${ at \"${a\"" },
	{ "mail_name = $(a\n", "missing ) for the $( at \"$(a\"" },
	{ "mail_name = a $\n", "no parameter name after $ (write $$ for a dollar sign)" },
	{ "mail_name = a $-\n", "no parameter name after $ (write $$ for a dollar sign)" },
	{ "mail_name = ${}\n", "no parameter name after ${" },
	{ "mail_name = ${a b}\n", "need ?, : or } after the name at \"b\"" },
	{ "mail_name = ${a?{b}c}\n", "need ? or : or } here at \"c\"" },
	{ "mail_name = ${{a} = {b} ? {c}}\n", "need one of == != < <= > >= at \"= {b} ? {c}\"" },
	{ "mail_name = ${{a} == b}\n", "need {text} after the comparison at \"b\"" },
	{ "mail_name = ${{a}}\n", "need one of == != < <= > >= at \"{a}\"" },
};

ATF_TC_WITHOUT_HEAD(every_complaint_says_where_and_what_instead);
ATF_TC_BODY(every_complaint_says_where_and_what_instead, tc)
{
	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		struct diag *diag = diag_new();
		struct rules *r = load_texts(complaints[i].main_cf, NULL, diag);
		const char *said = said_by(diag), *want = complaints[i].said;
		bool whole = want[strlen(want) - 1] == '\n';

		ATF_CHECK_MSG(whole ? strcmp(said, want) == 0 : strstr(said, want) != NULL,
		    "%s:\n%s instead of\n%s", complaints[i].main_cf, said, want);
		ATF_CHECK_MSG(strstr(said, "./main.cf:") != NULL, "%s", said);
		rules_free(&r);
		diag_free(&diag);
	}
}

/* A value in error is replaced by its default, so that the rest can be checked. */
ATF_TC_WITHOUT_HEAD(errors_leave_a_whole_snapshot);
ATF_TC_BODY(errors_leave_a_whole_snapshot, tc)
{
	struct diag *diag = diag_new();
	struct rules *r =
	    load_texts("postscreen_greet_ttl = x\nmail_name = ${\n"
		       "postscreen_helo_required = perhaps\npostscreen_dnsbl_threshold = 0\n",
		NULL, diag);

	ATF_CHECK_EQ(86400, rules_seconds(r, P_postscreen_greet_ttl));
	ATF_CHECK_STREQ("Postfix", rules_text(r, P_mail_name));
	ATF_CHECK(!rules_flag(r, P_postscreen_helo_required));
	ATF_CHECK_EQ(1, rules_number(r, P_postscreen_dnsbl_threshold));
	ATF_CHECK_EQ(4, diag_count(diag, DIAG_ERROR));
	rules_free(&r);
	diag_free(&diag);
}

ATF_TC_WITHOUT_HEAD(origin_and_overrides);
ATF_TC_BODY(origin_and_overrides, tc)
{
	static const struct rules_override override[] = {
		{ "mail_name", "Over" },
		{ "postscreen_greet_wait", "9s" },
		{ "gatehouse_bad", "x" },
	};
	struct diag *diag = diag_new();
	struct rules *r;
	unsigned line;

	write_text("main.cf", "myhostname = h.example\nmail_name = One\n");
	write_text("gatehouse.cf", "\nmail_name = Two\nsmtpd_banner = $mail_name\n");
	r = rules_load(".", override, 3, diag);
	ATF_CHECK_STREQ("Over", rules_text(r, P_mail_name));
	ATF_CHECK_STREQ("Over", rules_text(r, P_smtpd_banner));
	ATF_CHECK_STREQ("$mail_name", rules_source_text(r, P_smtpd_banner));
	ATF_CHECK_EQ(9, rules_seconds_stress(r, P_postscreen_greet_wait, true));
	ATF_CHECK_STREQ("command line", rules_origin(r, P_mail_name, &line));
	ATF_CHECK_EQ(0, line);
	ATF_CHECK_STREQ("./gatehouse.cf", rules_origin(r, P_smtpd_banner, &line));
	ATF_CHECK_EQ(3, line);
	ATF_CHECK_STREQ("./main.cf", rules_origin(r, P_myhostname, &line));
	ATF_CHECK_EQ(1, line);
	ATF_CHECK_STREQ("default", rules_origin(r, P_myorigin, &line));
	ATF_CHECK(rules_is_set(r, P_mail_name) && !rules_is_set(r, P_myorigin));
	ATF_CHECK_STREQ(".", rules_text(r, P_config_directory));
	ATF_CHECK(
	    strstr(said_by(diag), "error: command line: unknown parameter gatehouse_bad") != NULL);
	rules_free(&r);
	diag_free(&diag);
}

ATF_TC_WITHOUT_HEAD(unreadable_directories);
ATF_TC_BODY(unreadable_directories, tc)
{
	struct diag *diag = diag_new();

	ATF_CHECK(rules_load("./nowhere", NULL, 0, diag) == NULL);
	ATF_CHECK_STREQ(
	    "error: ./nowhere: holds neither main.cf nor gatehouse.cf; name the directory of one "
	    "with -c\n",
	    said_by(diag));
	diag_free(&diag);
	ATF_REQUIRE_EQ(0, mkdir("d", 0700));
	ATF_REQUIRE_EQ(0, mkdir("d/main.cf", 0700));
	diag = diag_new();
	ATF_CHECK(rules_load("d", NULL, 0, diag) == NULL);
	ATF_CHECK_STREQ("error: d/main.cf: is a directory; a file is needed here\n", said_by(diag));
	diag_free(&diag);
}

/* Megabyte lines, NUL bytes, a value that explodes, a thousand errors. */
ATF_TC_WITHOUT_HEAD(hostile_files);
ATF_TC_BODY(hostile_files, tc)
{
	static const char nul[] = "mail_name = a\0b\n";
	size_t size = 2000000;
	char *big = malloc(size + 1);
	struct diag *diag = diag_new();
	struct rules *r;

	memset(big, 'x', size);
	memcpy(big, "mail_name = ", 12);
	big[size] = '\0';
	r = load_texts(big, NULL, diag);
	ATF_CHECK_EQ(size - 12, strlen(rules_text(r, P_mail_name)));
	ATF_CHECK_EQ(0, diag_count(diag, DIAG_ERROR));
	rules_free(&r);
	diag_free(&diag);

	diag = diag_new();
	write_bytes("main.cf", nul, sizeof(nul) - 1);
	r = rules_load(".", NULL, 0, diag);
	ATF_CHECK_STREQ("ab", rules_text(r, P_mail_name));
	ATF_CHECK_STREQ(
	    "warning: ./main.cf:1: NUL bytes are ignored; save the file as plain text (UTF-8)\n",
	    said_by(diag));
	rules_free(&r);
	diag_free(&diag);

	big[0] = '\0';
	for (int i = 0, n = 0; i < 40; i++)
		n += snprintf(big + n, size - (size_t)n, "v%d = $v%d$v%d\n", i, i + 1, i + 1);
	snprintf(big + strlen(big), size - strlen(big), "v40 = x\nmail_name = $v0\n");
	diag = diag_new();
	r = load_texts(big, NULL, diag);
	ATF_CHECK(strstr(said_by(diag), "refers to too many others") != NULL);
	rules_free(&r);
	diag_free(&diag);

	for (int i = 0, n = 0; i < 1000; i++)
		n += snprintf(big + n, size - (size_t)n, "gatehouse_zzzzzzzzzzzzzzzz_%d = x\n", i);
	diag = diag_new();
	r = load_texts(big, NULL, diag);
	ATF_CHECK_EQ(1000, diag_count(diag, DIAG_ERROR));
	ATF_CHECK(
	    strstr(said_by(diag), "\nerror: 900 more errors of 1000 are not shown\n") != NULL);
	ATF_CHECK(strstr(said_by(diag), "./main.cf:100: ") != NULL);
	ATF_CHECK(strstr(said_by(diag), "./main.cf:101: ") == NULL);
	rules_free(&r);
	diag_free(&diag);
	free(big);
}

/* What Debian's package writes, and a busy site's postscreen part. */
ATF_TC_WITHOUT_HEAD(a_main_cf_of_debian);
ATF_TC_BODY(a_main_cf_of_debian, tc)
{
	static const char text[] =
	    "# See /usr/share/postfix/main.cf.dist for a commented, more complete version\n\n"
	    "# Debian specific:  Specifying a file name will cause the first\n"
	    "# line of that file to be used as the name.\n"
	    "#myorigin = /etc/mailname\n\n"
	    "smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)\nbiff = no\n"
	    "append_dot_mydomain = no\n#delay_warning_time = 4h\nreadme_directory = no\n"
	    "compatibility_level = 3.6\n\n"
	    "smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem\n"
	    "smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key\n"
	    "smtpd_tls_security_level=may\nsmtp_tls_CApath=/etc/ssl/certs\n"
	    "smtp_tls_security_level=may\n"
	    "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n\n"
	    "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated "
	    "defer_unauth_destination\n"
	    "myhostname = mx.example.org\nalias_maps = hash:/etc/aliases\nmydestination = "
	    "$myhostname, "
	    "localhost.$mydomain, , localhost\nrelayhost = \n"
	    "mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128\nmailbox_size_limit = 0\n"
	    "recipient_delimiter = +\ninet_interfaces = all\ninet_protocols = all\n"
	    "postscreen_access_list = permit_mynetworks,\n        "
	    "cidr:$config_directory/access.cidr\n"
	    "postscreen_blacklist_action = drop\npostscreen_dnsbl_sites = zen.spamhaus.org*3\n"
	    "        # a comment in between\n        b.barracudacentral.org=127.0.0.[2..11]*2\n"
	    "postscreen_dnsbl_threshold = 3\npostscreen_dnsbl_action = enforce\n"
	    "postscreen_greet_action = enforce\n"
	    "postscreen_cache_map = proxy:btree:$data_directory/postscreen_cache\n";
	struct diag *diag = diag_new();
	struct rules *r = load_texts(text, NULL, diag);
	struct match_list *mynetworks;
	struct addr client;

	ATF_CHECK_STREQ(
	    "mx.example.org ESMTP Postfix (Debian/GNU)", rules_text(r, P_postscreen_greet_banner));
	ATF_CHECK_STREQ("permit_mynetworks,        cidr:./access.cidr",
	    rules_text(r, P_postscreen_access_list));
	ATF_CHECK_STREQ("drop", rules_text(r, P_postscreen_denylist_action));
	ATF_CHECK_STREQ("may", rules_text(r, P_postscreen_tls_security_level));
	ATF_CHECK_STREQ(
	    "/etc/ssl/private/ssl-cert-snakeoil.key", rules_text(r, P_postscreen_tls_key_file));
	ATF_CHECK_STREQ("zen.spamhaus.org*3        b.barracudacentral.org=127.0.0.[2..11]*2",
	    rules_text(r, P_postscreen_dnsbl_sites));
	ATF_CHECK(rules_flag(r, P_respectful_logging));
	ATF_CHECK_EQ_MSG(
	    0, diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_WARNING), "%s", said_by(diag));
	mynetworks = match_list_open(rules_text(r, P_mynetworks), "main.cf", 1, diag);
	ATF_CHECK_EQ_MSG(
	    0, diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_WARNING), "%s", said_by(diag));
	ATF_REQUIRE(addr_parse(&client, "127.5.0.1", 9));
	ATF_CHECK_EQ(TABLE_FOUND, match_list_addr(mynetworks, &client));
	ATF_REQUIRE(addr_parse(&client, "128.0.0.1", 9));
	ATF_CHECK_EQ(TABLE_MISSING, match_list_addr(mynetworks, &client));
	match_list_free(&mynetworks);
	rules_free(&r);
	diag_free(&diag);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, defaults_are_the_documented_ones);
	ATF_TP_ADD_TC(tp, mirrors_follow_the_server);
	ATF_TP_ADD_TC(tp, every_row_is_sane);
	ATF_TP_ADD_TC(tp, files_are_read);
	ATF_TP_ADD_TC(tp, numbers_are_read);
	ATF_TP_ADD_TC(tp, every_complaint_says_where_and_what_instead);
	ATF_TP_ADD_TC(tp, errors_leave_a_whole_snapshot);
	ATF_TP_ADD_TC(tp, origin_and_overrides);
	ATF_TP_ADD_TC(tp, unreadable_directories);
	ATF_TP_ADD_TC(tp, hostile_files);
	ATF_TP_ADD_TC(tp, a_main_cf_of_debian);
	return atf_no_error();
}
