/*
 * gatehousectl explain: everything that would decide a client now. Asks DNS and the store, and the daemon which pool
 * the client is in, if there are any.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "dnsbl/dnsbl.h"
#include "policy/policy.h"
#include "screen/ctl.h"
#include "screen/ctl_live.h"

#define SITES_SIZE (64 * 1024)

struct explanation {
	struct ctl *ctl;
	const struct rules *rules;
	struct addr client, key; /* key: under which its record stands */
	char pool[256];		 /* empty: in none */
	struct policy_rules policy;
	enum access_result access;
	bool stored, unread;
	struct record record;
	unsigned due; /* CHECK_BITs */
	bool asked;
	int score;
	char list[64];
	struct buf sites; /* of JSON */
};

static void
look_up_access(struct explanation *e)
{
	struct diag *diag = diag_new();
	struct access_list *list = access_list_load(e->rules, diag);

	e->access = access_list_find(list, &e->client);
	access_list_free(&list);
	ctl_report(diag, DIAG_WARNING);
	diag_free(&diag);
}

/* "NAME KEY lists", or "all" for a pool whose hosts are tested as any other. */
static void
take_pool(struct explanation *e, struct span line)
{
	struct span name = span_token(&line, " \n"), key = span_token(&line, " \n");
	struct buf pool = BUF(e->pool);

	if (!addr_parse(&e->key, key.p, key.len))
		return;
	buf_putspan(&pool, name);
	if (span_is(span_token(&line, " \n"), "lists"))
		policy_rules_listed_only(&e->policy);
}

/* Only the daemon knows the sets of domains. */
static void
look_up_pool(struct explanation *e)
{
	struct diag *diag = diag_new();
	struct pools_rules *pools = pools_rules_load(e->rules, diag);
	char address[ADDR_TEXT_SIZE], request[ADDR_TEXT_SIZE + 8];
	struct buf line = BUF(request);
	enum ctl_exit status;
	bool json = e->ctl->json;

	e->key = e->client;
	if (pools != NULL) {
		buf_printf(&line, "pool %s", addr_format(&e->client, address));
		e->ctl->json = false;
		char *answer = ctl_ask(e->ctl, request, &status);
		e->ctl->json = json;
		if (answer != NULL)
			take_pool(e, span_of(answer));
		free(answer);
	}
	pools_rules_free(&pools);
	diag_free(&diag);
}

/* The store belongs to the workers' user; others are told, not refused. */
static void
look_up_record(struct explanation *e)
{
	char *path = store_path_of(e->rules);
	char why[256] = "postscreen_cache_map is empty";
	struct buf err = BUF(why);
	struct store_tool *store = path != NULL ? store_tool_open(path, NULL, false, &err) : NULL;

	free(path);
	if (store == NULL) {
		e->unread = true;
		fprintf(stderr, "gatehousectl: the temporary allowlist cannot be read: %s\n", why);
		return;
	}
	e->stored = store_tool_get(store, &e->key, &e->record) == STORE_FOUND;
	store_tool_free(&store);
}

static void
find_due(struct explanation *e, int64_t now_s)
{
	for (unsigned i = 0; i < CHECKS; i++)
		if ((e->policy.enabled & CHECK_BIT(i)) &&
		    (!e->stored || now_s > e->record.expires_at[i]))
			e->due |= CHECK_BIT(i);
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

static void
put_site_json(struct explanation *e, const char *name, const struct dnsbl_answer *a)
{
	static const char *const words[] = { "pending", "listed", "clear", "failed", "distrusted",
		"skipped" };
	struct buf *b = &e->sites;

	buf_puts(b, b->len == 0 ? "{\"list\":\"" : ",{\"list\":\"");
	buf_json(b, span_of(name));
	buf_printf(b, "\",\"state\":\"%s\",\"score\":%d,\"answers\":[", words[a->state], a->score);
	for (unsigned i = 0; i < a->count; i++)
		buf_printf(b, "%s\"%u.%u.%u.%u\"", i == 0 ? "" : ",", a->ip[i][0], a->ip[i][1],
		    a->ip[i][2], a->ip[i][3]);
	buf_puts(b, "],\"error\":\"");
	buf_json(b, span_of(a->error != NULL ? a->error : ""));
	buf_puts(b, "\"}");
}

static void
print_site(const char *name, const struct dnsbl_answer *a)
{
	static const char *const words[] = { "no answer", "listed", "not listed", "failed",
		"distrusted", "not asked" };

	if (a->state == DNSBL_NOT_LISTED)
		return;
	printf("  %s: %s", name, words[a->state]);
	for (unsigned i = 0; i < a->count; i++)
		printf(" %u.%u.%u.%u", a->ip[i][0], a->ip[i][1], a->ip[i][2], a->ip[i][3]);
	printf(", %+d%s%s\n", a->score, a->error != NULL ? ": " : "",
	    a->error != NULL ? a->error : "");
}

static void
show_site(struct explanation *e, const char *name, const struct dnsbl_answer *a)
{
	if (e->ctl->json)
		put_site_json(e, name, a);
	else
		print_site(name, a);
}

static void
ask_lists(struct explanation *e, const struct dnsbl_sites *sites)
{
	struct loop *loop = loop_new();
	struct diag *diag = diag_new();
	struct dnsbl *dnsbl = dnsbl_new(loop, sites, 1, diag);
	struct dnsbl_ask *ask;

	log_threshold(LOG_LEVEL_ERROR);
	ask = dnsbl_ask(dnsbl, &e->client, stop_loop, loop);
	if (ask != NULL) {
		loop_run(loop);
		const struct dnsbl_score *score = dnsbl_ask_score(ask);
		struct buf list = BUF(e->list);
		e->asked = true;
		e->score = score->total;
		buf_puts(&list, score->name != NULL ? score->name : "");
		if (!e->ctl->json)
			printf("lists: score %d, threshold %d\n", e->score, e->policy.threshold);
		for (size_t i = 0; i < score->count; i++)
			show_site(e, dnsbl_domain_shown(sites, i), &score->answers[i]);
		dnsbl_release(&ask);
	}
	dnsbl_free(&dnsbl);
	diag_free(&diag);
	loop_free(&loop);
}

static void
print_record(const struct explanation *e, int64_t now_s)
{
	if (!e->stored) {
		puts(e->unread ? "record: unknown" : "record: none; this is a new client");
		return;
	}
	puts("record:");
	for (unsigned i = 0; i < CHECKS; i++) {
		int64_t left = e->record.expires_at[i] - now_s;
		const char *name = check_word((enum check)i);
		if (e->record.expires_at[i] <= STAMP_DISABLED)
			printf("  %s: never passed\n", name);
		else if (left < 0)
			printf("  %s: passed, expired %lld s ago\n", name, (long long)-left);
		else
			printf("  %s: passed, for another %lld s\n", name, (long long)left);
	}
}

/* What this address alone decides; how the client behaves may add to it. */
static const char *
verdict(const struct explanation *e)
{
	if (e->access == ACCESS_PERMIT)
		return "allow";
	if (e->access == ACCESS_REJECT && e->policy.denylist_action != ACTION_IGNORE)
		return e->policy.shadow_denylist ? "pass (in the shadow: reject)" : "reject";
	if (e->due == 0)
		return "pass_old";
	if (e->asked && (e->due & CHECK_BIT(CHECK_DNSBL)) && e->score >= e->policy.threshold &&
	    e->policy.action[CHECK_DNSBL] != ACTION_IGNORE)
		return e->policy.shadow & CHECK_BIT(CHECK_DNSBL) ? "pass (in the shadow: reject)"
								 : "reject";
	return e->policy.action[CHECK_DNSBL] == ACTION_IGNORE ? "pass if nothing is enforced"
							      : "pass";
}

static void
print_text(const struct explanation *e)
{
	bool comma = false;

	printf("due now:");
	for (unsigned i = 0; i < CHECKS; i++)
		if (e->due & CHECK_BIT(i)) {
			printf("%s %s", comma ? "," : "", check_word((enum check)i));
			comma = true;
		}
	printf("%s\nverdict: %s\n", e->due == 0 ? " nothing" : "", verdict(e));
}

static void
print_json(const struct explanation *e)
{
	static const char *const access[] = { "none", "permit", "reject" };
	char addr[ADDR_TEXT_SIZE];

	printf("{\"address\":\"%s\",\"access\":\"%s\",\"pool\":", addr_format(&e->client, addr),
	    access[e->access]);
	if (e->pool[0] != '\0')
		ctl_json_string(span_of(e->pool));
	else
		fputs("null", stdout);
	fputs(",\"record\":", stdout);
	if (!e->stored)
		fputs("null", stdout);
	for (unsigned i = 0; e->stored && i < CHECKS; i++)
		printf("%s\"%s\":%lld", i == 0 ? "{" : ",", check_word((enum check)i),
		    (long long)e->record.expires_at[i]);
	printf("%s,\"due\":[", e->stored ? "}" : "");
	for (unsigned i = 0, n = 0; i < CHECKS; i++)
		if (e->due & CHECK_BIT(i))
			printf("%s\"%s\"", n++ > 0 ? "," : "", check_word((enum check)i));
	if (e->asked)
		printf("],\"score\":%d,\"list\":", e->score);
	else
		printf("],\"score\":null,\"list\":");
	ctl_json_string(span_of(e->list));
	printf(",\"lists\":[%s],\"threshold\":%d,\"verdict\":\"%s\"}\n", e->sites.p,
	    e->policy.threshold, verdict(e));
}

static void
explain(struct explanation *e, const struct dnsbl_sites *sites)
{
	static const char *const access[] = { "no match", "permit: handed over at once", "reject" };
	int64_t now_s = (int64_t)time(NULL);

	look_up_access(e);
	look_up_pool(e);
	look_up_record(e);
	find_due(e, now_s);
	if (!e->ctl->json) {
		printf("access list: %s\n", access[e->access]);
		if (e->pool[0] != '\0')
			printf("pool: %s\n", e->pool);
		print_record(e, now_s);
	}
	if (dnsbl_domain_count(sites) > 0)
		ask_lists(e, sites);
	if (e->ctl->json)
		print_json(e);
	else
		print_text(e);
}

enum ctl_exit
ctl_explain(struct ctl *ctl, int argc, char **argv)
{
	static char sites_json[SITES_SIZE];
	struct explanation e = { .ctl = ctl, .sites = BUF(sites_json) };

	if (argc != 2 || !addr_parse(&e.client, argv[1], strlen(argv[1])))
		return ctl_usage(ctl, argc == 2 ? "\"%s\" is not an address" : NULL, argv[1]);
	e.rules = ctl_rules(ctl);
	if (e.rules == NULL)
		return CTL_CONFIG;
	struct diag *diag = diag_new();
	struct dnsbl_sites *sites = dnsbl_sites_load(e.rules, diag);
	policy_rules_load(&e.policy, e.rules, dnsbl_domain_count(sites), diag);
	bool bad = ctl_report(diag, DIAG_WARNING);
	diag_free(&diag);
	if (!bad)
		explain(&e, sites);
	dnsbl_sites_free(&sites);
	return bad ? CTL_CONFIG : CTL_OK;
}
