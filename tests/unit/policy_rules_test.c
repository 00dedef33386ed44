/* policy/rules.c and policy/access.c: what the operator wrote, as judging needs it. */
#include "config.h"

#include <atf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct loaded {
	struct rules *rules;
	struct diag *diag;
};

static struct loaded
load(const struct rules_override *o, size_t count)
{
	struct loaded l = { .diag = diag_new() };

	l.rules = rules_load(NULL, o, count, l.diag);
	ATF_REQUIRE(l.rules != NULL);
	return l;
}

static void
unload(struct loaded *l)
{
	rules_free(&l->rules);
	diag_free(&l->diag);
}

static void
keep_text(void *arg, enum diag_level level, const char *text)
{
	if (level == DIAG_ERROR)
		snprintf(arg, 500, "%s", text);
}

ATF_TC_WITHOUT_HEAD(defaults);
ATF_TC_BODY(defaults, tc)
{
	struct loaded l = load(NULL, 0);
	struct policy_rules r;

	policy_rules_load(&r, l.rules, 0, l.diag);
	ATF_CHECK_EQ(diag_count(l.diag, DIAG_ERROR), 0);
	ATF_CHECK_EQ(r.enabled, CHECK_BIT(CHECK_PREGREET));
	ATF_CHECK_EQ(r.action[CHECK_PREGREET], ACTION_IGNORE);
	ATF_CHECK_EQ(r.action[CHECK_DNSBL], ACTION_IGNORE);
	ATF_CHECK_EQ(r.action[CHECK_PIPELINING], ACTION_ENFORCE);
	ATF_CHECK_EQ(r.action[CHECK_NON_SMTP], ACTION_DROP);
	ATF_CHECK_EQ(r.action[CHECK_BARE_NEWLINE], ACTION_IGNORE);
	ATF_CHECK_EQ(r.denylist_action, ACTION_IGNORE);
	ATF_CHECK_EQ(r.ttl_s[CHECK_PREGREET], 86400);
	ATF_CHECK_EQ(r.ttl_s[CHECK_PIPELINING], 30 * 86400);
	ATF_CHECK_EQ(r.ignored_ttl_s, 60);
	ATF_CHECK_EQ(r.retention_s, 7 * 86400);
	ATF_CHECK_EQ(r.threshold, 1);
	ATF_CHECK_EQ(r.allow_threshold, 0);
	unload(&l);
}

ATF_TC_WITHOUT_HEAD(settings);
ATF_TC_BODY(settings, tc)
{
	static const struct rules_override o[] = {
		{ "postscreen_greet_banner", "" },
		{ "postscreen_dnsbl_sites", "bl.example" },
		{ "postscreen_dnsbl_threshold", "4" },
		{ "postscreen_dnsbl_allowlist_threshold", "-2" },
		{ "postscreen_dnsbl_action", "DROP" },
		{ "postscreen_greet_action", "Continue" },
		{ "postscreen_denylist_action", "enforce" },
		{ "postscreen_bare_newline_enable", "yes" },
		{ "postscreen_bare_newline_ttl", "50s" },
		{ "postscreen_cache_retention_time", "1h" },
	};
	struct loaded l = load(o, COUNT(o));
	struct policy_rules r;

	policy_rules_load(&r, l.rules, 1, l.diag);
	ATF_CHECK_EQ(diag_count(l.diag, DIAG_ERROR), 0);
	ATF_CHECK_EQ(r.enabled, CHECK_BIT(CHECK_DNSBL) | CHECK_BIT(CHECK_BARE_NEWLINE));
	ATF_CHECK_EQ(r.threshold, 4);
	ATF_CHECK_EQ(r.allow_threshold, -2);
	ATF_CHECK_EQ(r.action[CHECK_DNSBL], ACTION_DROP);
	ATF_CHECK_EQ(r.action[CHECK_PREGREET], ACTION_IGNORE);
	ATF_CHECK_EQ(r.denylist_action, ACTION_ENFORCE);
	ATF_CHECK_EQ(r.ignored_ttl_s, 50);
	ATF_CHECK_EQ(r.retention_s, 3600);
	policy_rules_load(&r, l.rules, 0, l.diag);
	ATF_CHECK_EQ_MSG(r.enabled, CHECK_BIT(CHECK_BARE_NEWLINE), "no domain to ask");
	unload(&l);
}

ATF_TC_WITHOUT_HEAD(a_bad_action_is_explained);
ATF_TC_BODY(a_bad_action_is_explained, tc)
{
	static const struct rules_override o[] = { { "postscreen_greet_action", "reject" } };
	struct loaded l = load(o, 1);
	struct policy_rules r;
	char text[500] = "";

	policy_rules_load(&r, l.rules, 0, l.diag);
	ATF_CHECK_EQ(diag_count(l.diag, DIAG_ERROR), 1);
	diag_each(l.diag, keep_text, text);
	ATF_CHECK_MSG(strstr(text, "bad postscreen_greet_action value: \"reject\": "
				   "write ignore, enforce or drop") != NULL,
	    "%s", text);
	unload(&l);
}

ATF_TC_WITHOUT_HEAD(where_the_store_is);
ATF_TC_BODY(where_the_store_is, tc)
{
	static const struct {
		const char *map, *path;
	} cases[] = {
		{ "lmdb:/var/lib/x", "/var/lib/x" },
		{ "btree:/var/lib/x", "/var/lib/x.lmdb" },
		{ "", NULL },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rules_override o = { "postscreen_cache_map", cases[i].map };
		struct loaded l = load(&o, 1);
		char *path = store_path_of(l.rules);
		if (cases[i].path == NULL)
			ATF_CHECK(path == NULL);
		else
			ATF_CHECK_STREQ(path, cases[i].path);
		free(path);
		unload(&l);
	}
}

static bool
log_has(const char *text)
{
	char all[8192] = "";
	FILE *f = fopen("log", "r");

	log_flush();
	ATF_REQUIRE(f != NULL);
	all[fread(all, 1, sizeof all - 1, f)] = '\0';
	fclose(f);
	return strstr(all, text) != NULL;
}

#define IGNORING " -- ignoring the remainder of this access list"

ATF_TC_WITHOUT_HEAD(access_lists);
ATF_TC_BODY(access_lists, tc)
{
	static const struct {
		const char *list, *client;
		enum access_result want;
		const char *warning;
	} cases[] = {
		{ "permit_mynetworks", "192.0.2.1", ACCESS_PERMIT, NULL },
		{ "permit_mynetworks", "192.0.3.1", ACCESS_DUNNO, NULL },
		{ "Permit_MyNetworks, REJECT", "192.0.3.1", ACCESS_REJECT, NULL },
		{ "permit", "192.0.3.1", ACCESS_PERMIT, NULL },
		{ "dunno reject", "192.0.3.1", ACCESS_DUNNO, NULL },
		{ "", "192.0.2.1", ACCESS_DUNNO, NULL },
		{ "inline:{192.0.3.1=reject} permit", "192.0.3.1", ACCESS_REJECT, NULL },
		{ "inline:{192.0.3.1=reject} permit", "192.0.3.2", ACCESS_PERMIT, NULL },
		{ "inline:{192.0.3.1=dunno} permit", "192.0.3.1", ACCESS_PERMIT, NULL },
		{ "inline:{{192.0.3.1 = permit_mynetworks reject}}", "192.0.3.1", ACCESS_REJECT,
		    NULL },
		{ "inline:{{192.0.2.1 = permit_mynetworks reject}}", "192.0.2.1", ACCESS_PERMIT,
		    NULL },
		{ "inline:{{192.0.3.1 = dunno reject}} permit", "192.0.3.1", ACCESS_PERMIT, NULL },
		{ "inline:{2001:db8::1=reject}", "2001:DB8:0::1", ACCESS_REJECT, NULL },
		{ "cidr:{{192.0.3.0/24 reject}, {0.0.0.0/0 permit}}", "192.0.3.77", ACCESS_REJECT,
		    NULL },
		{ "inline:{192.0.3.1=OK} reject", "192.0.3.1", ACCESS_DUNNO,
		    "unknown command: OK" IGNORING },
		{ "inline:{{192.0.3.1 = 550 go away}} reject", "192.0.3.1", ACCESS_DUNNO,
		    "unknown command: 550" IGNORING },
		{ "inline:{192.0.3.1=cidr:x} permit", "192.0.3.1", ACCESS_PERMIT,
		    "lookup result \"cidr:x\" is not allowed -- ignoring remainder of access "
		    "list" },
		{ "fail:x permit", "192.0.3.1", ACCESS_DUNNO,
		    "warning: postscreen_access_list: fail:x: table lookup error" IGNORING },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct rules_override o[] = {
			{ "postscreen_access_list", cases[i].list },
			{ "mynetworks", "192.0.2.0/24" },
		};
		struct loaded l = load(o, 2);
		struct access_list *list = access_list_load(l.rules, l.diag);
		struct addr client;

		unlink("log");
		ATF_REQUIRE(log_open("log", "postfix", LOG_MAIL));
		char text[500] = "";
		diag_each(l.diag, keep_text, text);
		ATF_CHECK_MSG(text[0] == 0, "%s: %s", cases[i].list, text);
		ATF_REQUIRE(addr_parse(&client, cases[i].client, strlen(cases[i].client)));
		ATF_CHECK_EQ_MSG(access_list_find(list, &client), cases[i].want, "%s %s",
		    cases[i].list, cases[i].client);
		if (cases[i].warning != NULL) {
			ATF_CHECK_MSG(log_has(cases[i].warning), "%s: no warning", cases[i].list);
			usleep(1010000); /* one warning a second */
		}
		access_list_free(&list);
		ATF_CHECK(list == NULL);
		unload(&l);
	}
}

ATF_TC_WITHOUT_HEAD(an_unknown_word_is_an_error_at_load);
ATF_TC_BODY(an_unknown_word_is_an_error_at_load, tc)
{
	static const struct rules_override o[] = {
		{ "postscreen_access_list", "permit_mynetwork, permit" },
	};
	struct loaded l = load(o, 1);
	struct access_list *list = access_list_load(l.rules, l.diag);
	struct addr client = { .family = 4, .ip = { 192, 0, 2, 1 } };
	char text[500] = "";

	diag_each(l.diag, keep_text, text);
	ATF_CHECK_MSG(
	    strstr(text, "unknown command: permit_mynetwork: write permit, reject") != NULL, "%s",
	    text);
	ATF_CHECK_EQ_MSG(access_list_find(list, &client), ACCESS_DUNNO, "the rest is not read");
	access_list_free(&list);
	unload(&l);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, defaults);
	ATF_TP_ADD_TC(tp, settings);
	ATF_TP_ADD_TC(tp, a_bad_action_is_explained);
	ATF_TP_ADD_TC(tp, where_the_store_is);
	ATF_TP_ADD_TC(tp, access_lists);
	ATF_TP_ADD_TC(tp, an_unknown_word_is_an_error_at_load);
	return atf_no_error();
}
