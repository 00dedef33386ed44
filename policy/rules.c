#include "config.h"

#include <string.h>
#include <strings.h>
#include "policy/policy.h"

/* One row a check; DNSBL's lifetime is that of its answers, the parameter is their least. */
static const struct {
	enum param enable, ttl, action;
} params[CHECKS] = {
#define CHECK(id, word, when, enable, ttl, action) \
	[CHECK_##id] = { P_##enable, P_##ttl, P_##action },
#include "policy/checks.tbl"
#undef CHECK
};

static const struct {
	const char *word;
	enum action action;
} actions[] = {
	{ "ignore", ACTION_IGNORE },
	{ "continue", ACTION_IGNORE },
	{ "enforce", ACTION_ENFORCE },
	{ "drop", ACTION_DROP },
};

static enum action
load_action(const struct rules *rules, enum param param, struct diag *diag)
{
	const char *word = rules_text(rules, param);
	unsigned line;

	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (strcasecmp(word, actions[i].word) == 0)
			return actions[i].action;

	const char *file = rules_origin(rules, param, &line);
	diag_add(diag, DIAG_ERROR, file, line,
	    "bad %s value: \"%.100s\": write ignore, enforce or drop", param_rows[param].name,
	    word);
	return ACTION_IGNORE;
}

static bool
is_enabled(const struct rules *rules, enum param param)
{
	if (param_rows[param].type == PT_BOOL)
		return rules_flag(rules, param);
	return rules_text(rules, param)[0] != '\0';
}

static const struct {
	const char *word;
	uint8_t checks;
	bool denylist, veto;
} shadows[] = {
	{ "no", 0, false, false },
	{ "yes", CHECKS_EARLY | CHECKS_DEEP, true, true },
	{ "pregreet", CHECK_BIT(CHECK_PREGREET), false, false },
	{ "dnsbl", CHECK_BIT(CHECK_DNSBL), false, false },
	{ "pipelining", CHECK_BIT(CHECK_PIPELINING), false, false },
	{ "non_smtp_command", CHECK_BIT(CHECK_NON_SMTP), false, false },
	{ "bare_newline", CHECK_BIT(CHECK_BARE_NEWLINE), false, false },
	{ "denylist", 0, true, false },
};

/* False if there is no such word. */
static bool
cast_shadow(struct policy_rules *out, struct span word)
{
	for (size_t i = 0; i < sizeof shadows / sizeof shadows[0]; i++) {
		if (!span_is_nocase(word, shadows[i].word))
			continue;
		out->shadow |= shadows[i].checks;
		out->shadow_denylist = out->shadow_denylist || shadows[i].denylist;
		out->shadow_veto = out->shadow_veto || shadows[i].veto;
		return true;
	}
	return false;
}

/* gatehouse_shadow: yes, no, or names of what stands in the shadow. */
static void
load_shadow(struct policy_rules *out, const struct rules *rules, struct diag *diag)
{
	struct span rest = span_of(rules_text(rules, P_gatehouse_shadow)), word;
	unsigned line;
	const char *file = rules_origin(rules, P_gatehouse_shadow, &line);

	while ((word = rules_list_token(&rest)).len > 0)
		if (!cast_shadow(out, word))
			diag_add(diag, DIAG_ERROR, file, line,
			    "gatehouse_shadow: \"%.*s\": write yes, no, or names out of pregreet, "
			    "dnsbl, pipelining, non_smtp_command, bare_newline, denylist",
			    (int)(word.len < 100 ? word.len : 100), word.p);
}

void
policy_rules_load(
    struct policy_rules *out, const struct rules *rules, size_t dnsbl_domains, struct diag *diag)
{
	memset(out, 0, sizeof *out);
	out->ignored_ttl_s = INT64_MAX;
	for (unsigned i = 0; i < CHECKS; i++) {
		if (is_enabled(rules, params[i].enable))
			out->enabled |= CHECK_BIT(i);
		out->action[i] = load_action(rules, params[i].action, diag);
		out->ttl_s[i] = rules_seconds(rules, params[i].ttl);
		if (out->ttl_s[i] < out->ignored_ttl_s)
			out->ignored_ttl_s = out->ttl_s[i];
	}
	/* Local signals vote too, without any list. */
	if (dnsbl_domains > 0)
		out->enabled |= CHECK_BIT(CHECK_DNSBL);
	else
		out->enabled &= (uint8_t)~CHECK_BIT(CHECK_DNSBL);
	out->denylist_action = load_action(rules, P_postscreen_denylist_action, diag);
	load_shadow(out, rules, diag);
	out->retention_s = rules_seconds(rules, P_postscreen_cache_retention_time);
	out->threshold = (int)rules_number(rules, P_postscreen_dnsbl_threshold);
	out->allow_threshold = (int)rules_number(rules, P_postscreen_dnsbl_allowlist_threshold);
}

void
policy_rules_listed_only(struct policy_rules *rules)
{
	rules->enabled &= CHECK_BIT(CHECK_DNSBL);
}
