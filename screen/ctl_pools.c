/* gatehousectl pools: walks the SPF records as a worker does, and shows what comes of them. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "policy/policy.h"
#include "screen/ctl.h"

#define PATIENCE_US 30000000

/* Every domain was walked once, well or badly. */
static void
walk_all(struct loop *loop, const struct pools *pools)
{
	int64_t until_us = clock_now_us() + PATIENCE_US;
	size_t i = 0;

	while (i < pools_count(pools) && clock_now_us() < until_us) {
		struct pool_info info = pools_info(pools, i);
		if (!info.is_domain || info.next_s >= 0)
			i++;
		else
			loop_turn(loop, true);
	}
}

static bool
print_net(void *arg, const struct addr *net, unsigned len, bool excluded)
{
	char text[ADDR_TEXT_SIZE];

	(void)arg;
	printf("  %s%s/%u\n", excluded ? "not " : "", addr_format(net, text), len);
	return true;
}

static void
print_pool(const struct pools *pools, size_t i)
{
	struct pool_info info = pools_info(pools, i);
	char key[ADDR_TEXT_SIZE];

	printf("%s: %zu networks from %s", info.name, info.networks,
	    info.is_domain ? "its SPF record" : "gatehouse_pool_prefixes");
	if (info.age_s >= 0)
		printf(", %" PRId64 " s old, again in %" PRId64 " s", info.age_s, info.next_s);
	if (info.skipped > 0)
		printf(", %u terms that are no networks", info.skipped);
	printf("; record under %s\n", addr_format(&info.key, key));
	if (info.error != NULL)
		printf("  problem: %s\n", info.error);
	pools_each_net(pools, i, print_net, NULL);
}

static bool
json_net(void *arg, const struct addr *net, unsigned len, bool excluded)
{
	char text[ADDR_TEXT_SIZE];
	bool *any = arg;

	printf("%s\"%s%s/%u\"", *any ? "," : "", excluded ? "!" : "", addr_format(net, text), len);
	*any = true;
	return true;
}

static void
json_pool(const struct pools *pools, size_t i)
{
	struct pool_info info = pools_info(pools, i);
	char key[ADDR_TEXT_SIZE];
	bool any = false;

	fputs("{\"name\":", stdout);
	ctl_json_string(span_of(info.name));
	printf(",\"source\":\"%s\",\"key\":\"%s\",\"age\":%" PRId64 ",\"next\":%" PRId64
	       ",\"skipped\":%u,\"error\":",
	    info.is_domain ? "spf" : "prefix", addr_format(&info.key, key), info.age_s, info.next_s,
	    info.skipped);
	if (info.error != NULL)
		ctl_json_string(span_of(info.error));
	else
		fputs("null", stdout);
	fputs(",\"networks\":[", stdout);
	pools_each_net(pools, i, json_net, &any);
	puts("]}");
}

static enum ctl_exit
show(const struct ctl *ctl, const struct pools_rules *rules)
{
	struct loop *loop = loop_new();
	struct pools *pools = pools_new(loop, rules);
	enum ctl_exit status = CTL_OK;

	walk_all(loop, pools);
	for (size_t i = 0; i < pools_count(pools); i++) {
		(ctl->json ? json_pool : print_pool)(pools, i);
		if (pools_info(pools, i).error != NULL)
			status = CTL_NO;
	}
	pools_free(&pools);
	loop_free(&loop);
	return status;
}

enum ctl_exit
ctl_pools(struct ctl *ctl, int argc, char **argv)
{
	const struct rules *rules;
	struct pools_rules *pools;
	struct diag *diag;
	enum ctl_exit status;

	(void)argv;
	if (argc != 1)
		return ctl_usage(ctl, "pools takes no arguments");
	if ((rules = ctl_rules(ctl)) == NULL)
		return CTL_CONFIG;
	diag = diag_new();
	pools = pools_rules_load(rules, diag);
	if (ctl_report(diag, DIAG_ERROR)) {
		status = CTL_CONFIG;
	} else if (pools == NULL) {
		fputs(
		    "gatehousectl: gatehouse_pool_prefixes and gatehouse_pool_domains are empty\n",
		    stderr);
		status = CTL_NO;
	} else {
		status = show(ctl, pools);
	}
	pools_rules_free(&pools);
	diag_free(&diag);
	return status;
}
