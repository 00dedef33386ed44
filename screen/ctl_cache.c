/* gatehousectl cache: the temporary allowlist, looked into and changed by hand. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/policy.h"
#include "screen/ctl.h"

struct cache {
	struct ctl *ctl;
	const struct rules *rules;
	char *path;
	struct store_tool *store;
	int64_t now_s;
};

static bool
open_cache(struct cache *c, bool write)
{
	char text[256];
	struct buf err = BUF(text);

	c->path = store_path_of(c->rules);
	if (c->path == NULL) {
		fputs("gatehousectl: postscreen_cache_map is empty: there is no temporary "
		      "allowlist\n",
		    stderr);
		return false;
	}
	c->store = store_tool_open(c->path, rules_text(c->rules, P_gatehouse_user), write, &err);
	if (c->store == NULL)
		fprintf(stderr, "gatehousectl: %s\n", text);
	return c->store != NULL;
}

static enum ctl_exit
complain(const struct cache *c)
{
	fprintf(stderr, "gatehousectl: %s\n", store_tool_error(c->store));
	return CTL_NO;
}

static bool
read_address(const char *text, struct addr *out)
{
	if (addr_parse(out, text, strlen(text)))
		return true;
	fprintf(stderr, "gatehousectl: %s: not an IP address\n", text);
	return false;
}

static void
print_stamp(int64_t stamp, int64_t now_s)
{
	char when[32];
	struct tm tm;
	time_t at = (time_t)stamp;

	if (stamp == STAMP_NEW) {
		printf("never passed");
	} else if (stamp == STAMP_DISABLED) {
		printf("never passed (was not asked for)");
	} else if (localtime_r(&at, &tm) == NULL ||
		   strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
		printf("%" PRId64, stamp);
	} else {
		printf("%s %s", now_s > stamp ? "expired" : "passed until", when);
	}
}

static void
print_record(const struct cache *c, const char *client, const struct record *record)
{
	char text[RECORD_TEXT_SIZE];
	struct buf out = BUF(text);

	record_format(record, CHECKS_EARLY | CHECKS_DEEP, &out);
	if (c->ctl->json) {
		printf("{\"client\":\"%s\",\"record\":\"%s\"", client, text);
		for (unsigned i = 0; i < CHECKS; i++)
			printf(",\"%s\":%" PRId64, check_word(i), record->expires_at[i]);
		puts("}");
		return;
	}
	printf("%s\t%s\n", client, text);
	for (unsigned i = 0; i < CHECKS; i++) {
		printf("  %-13s ", check_word(i));
		print_stamp(record->expires_at[i], c->now_s);
		putchar('\n');
	}
}

static enum ctl_exit
cache_get(struct cache *c, int argc, char **argv)
{
	char text[ADDR_TEXT_SIZE];
	struct record record;
	struct addr client;

	if (argc != 2)
		return ctl_usage(c->ctl, "cache get takes one ADDRESS");
	if (!read_address(argv[1], &client))
		return CTL_USAGE;
	if (!open_cache(c, false))
		return CTL_NO;
	switch (store_tool_get(c->store, &client, &record)) {
	case STORE_FOUND:
		print_record(c, addr_format(&client, text), &record);
		return CTL_OK;
	case STORE_MISSING:
		fprintf(
		    stderr, "gatehousectl: %s is not in the cache\n", addr_format(&client, text));
		return CTL_NO;
	case STORE_ERROR:
		break;
	}
	return complain(c);
}

/* Every check passed now, each for as long as the configuration says. */
static void
all_passed(const struct cache *c, struct record *record)
{
	struct policy_rules policy;
	struct diag *diag = diag_new();

	policy_rules_load(&policy, c->rules, 1, diag);
	diag_free(&diag);
	policy.ttl_s[CHECK_DNSBL] = rules_seconds(c->rules, P_postscreen_dnsbl_max_ttl);
	for (int i = 0; i < CHECKS; i++)
		record->expires_at[i] = c->now_s + policy.ttl_s[i];
}

static enum ctl_exit
cache_set(struct cache *c, int argc, char **argv)
{
	char line[ADDR_TEXT_SIZE + RECORD_TEXT_SIZE];
	struct buf out = BUF(line);
	struct record record;
	struct addr client;
	const char *why = "too long";

	if (argc != 2 && argc != 3)
		return ctl_usage(c->ctl, "cache set takes an ADDRESS and perhaps a VALUE");
	if (!read_address(argv[1], &client))
		return CTL_USAGE;
	all_passed(c, &record);
	if (argc == 3) {
		buf_printf(&out, "%s\t%s", argv[1], argv[2]);
		if (out.cut || store_line_parse((struct span){ out.p, out.len }, &client, &record,
				   &why) != STORE_LINE)
			return ctl_usage(c->ctl, "%s: %s", argv[2], why);
	}
	if (!open_cache(c, true))
		return CTL_NO;
	if (!store_tool_put(c->store, &client, &record) || !store_tool_commit(c->store))
		return complain(c);
	return CTL_OK;
}

static enum ctl_exit
cache_delete(struct cache *c, int argc, char **argv)
{
	char text[ADDR_TEXT_SIZE];
	struct addr client;
	enum store_result result;

	if (argc != 2)
		return ctl_usage(c->ctl, "cache delete takes one ADDRESS");
	if (!read_address(argv[1], &client))
		return CTL_USAGE;
	if (!open_cache(c, true))
		return CTL_NO;
	result = store_tool_delete(c->store, &client);
	if (result == STORE_ERROR || !store_tool_commit(c->store))
		return complain(c);
	if (result == STORE_MISSING)
		fprintf(
		    stderr, "gatehousectl: %s is not in the cache\n", addr_format(&client, text));
	return result == STORE_FOUND ? CTL_OK : CTL_NO;
}

static bool
export_one(void *arg, const struct addr *client, const struct record *record)
{
	const struct cache *c = arg;
	char text[RECORD_TEXT_SIZE], address[ADDR_TEXT_SIZE];
	struct buf out = BUF(text);

	record_format(record, CHECKS_EARLY | CHECKS_DEEP, &out);
	printf(c->ctl->json ? "{\"client\":\"%s\",\"record\":\"%s\"}\n" : "%s\t%s\n",
	    addr_format(client, address), text);
	return !ferror(stdout);
}

static enum ctl_exit
cache_export(struct cache *c, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return ctl_usage(c->ctl, "cache export takes no arguments");
	if (!open_cache(c, false))
		return CTL_NO;
	return store_tool_each(c->store, export_one, c) && !ferror(stdout) ? CTL_OK : complain(c);
}

struct import {
	uint64_t line, taken, bad;
};

static bool
import_line(struct cache *c, struct import *import, struct span line)
{
	struct addr client;
	struct record record;
	const char *why = NULL;

	import->line++;
	switch (store_line_parse(line, &client, &record, &why)) {
	case STORE_LINE:
		import->taken++;
		return store_tool_put(c->store, &client, &record);
	case STORE_LINE_SKIPPED:
		break;
	case STORE_LINE_BAD:
		if (++import->bad <= 10)
			fprintf(stderr, "gatehousectl: line %" PRIu64 ": %s\n", import->line, why);
		break;
	}
	return true;
}

static enum ctl_exit
import_all(struct cache *c, FILE *from)
{
	struct import import = { 0 };
	char *line = NULL;
	size_t size = 0;
	bool good = true;
	ssize_t n;

	while (good && (n = getline(&line, &size, from)) > 0)
		good = import_line(c, &import, (struct span){ line, (size_t)n });
	free(line);
	if (!good || !store_tool_commit(c->store))
		return complain(c);
	if (ferror(from)) {
		fprintf(stderr, "gatehousectl: cannot read: %s\n", strerror(errno));
		return CTL_NO;
	}
	printf(c->ctl->json ? "{\"imported\":%" PRIu64 ",\"bad\":%" PRIu64 "}\n"
			    : "%" PRIu64 " records imported, %" PRIu64 " lines not understood\n",
	    import.taken, import.bad);
	return import.bad == 0 ? CTL_OK : CTL_NO;
}

static enum ctl_exit
cache_import(struct cache *c, int argc, char **argv)
{
	FILE *from = stdin;

	if (argc > 2)
		return ctl_usage(c->ctl, "cache import reads one FILE, or standard input");
	if (argc == 2 && (from = fopen(argv[1], "re")) == NULL) {
		fprintf(stderr, "gatehousectl: %s: %s\n", argv[1], strerror(errno));
		return CTL_NO;
	}
	enum ctl_exit status = open_cache(c, true) ? import_all(c, from) : CTL_NO;
	if (from != stdin)
		fclose(from);
	return status;
}

struct tally {
	struct cache *cache;
	uint64_t valid[CHECKS], all, v4;
};

static bool
tally_one(void *arg, const struct addr *client, const struct record *record)
{
	struct tally *t = arg;

	t->all++;
	t->v4 += client->family == 4;
	for (unsigned i = 0; i < CHECKS; i++)
		t->valid[i] += record->expires_at[i] >= t->cache->now_s;
	return true;
}

static void
print_stats(const struct cache *c, const struct store_stats *stats, const struct tally *t)
{
	if (c->ctl->json) {
		printf("{\"records\":%" PRIu64 ",\"ipv4\":%" PRIu64 ",\"file_bytes\":%" PRIu64
		       ",\"used_bytes\":%" PRIu64 ",\"map_bytes\":%" PRIu64
		       ",\"last_cleanup\":%" PRId64 ",\"readers\":%u,\"valid\":{",
		    t->all, t->v4, stats->file_bytes, stats->used_bytes, stats->map_bytes,
		    stats->swept_at, stats->readers);
		for (unsigned i = 0; i < CHECKS; i++)
			printf("%s\"%s\":%" PRIu64, i ? "," : "", check_word(i), t->valid[i]);
		puts("}}");
		return;
	}
	printf("store         lmdb:%s\n", c->path);
	printf("records       %" PRIu64 " (IPv4 %" PRIu64 ", IPv6 %" PRIu64 ")\n", t->all, t->v4,
	    t->all - t->v4);
	for (unsigned i = 0; i < CHECKS; i++)
		printf("  %-13s %" PRIu64 " passed and not expired\n", check_word(i), t->valid[i]);
	printf("file          %" PRIu64 " bytes, %" PRIu64 " of them in use, room for %" PRIu64
	       "\n",
	    stats->file_bytes, stats->used_bytes, stats->map_bytes);
	printf("last cleanup  ");
	if (stats->swept_at == 0)
		printf("never\n");
	else
		printf("%" PRId64 " seconds ago\n", c->now_s - stats->swept_at);
}

static enum ctl_exit
cache_stats(struct cache *c, int argc, char **argv)
{
	struct tally tally = { .cache = c };
	struct store_stats stats;

	(void)argv;
	if (argc != 1)
		return ctl_usage(c->ctl, "cache stats takes no arguments");
	if (!open_cache(c, false))
		return CTL_NO;
	if (!store_tool_stats(c->store, &stats) || !store_tool_each(c->store, tally_one, &tally))
		return complain(c);
	print_stats(c, &stats, &tally);
	return CTL_OK;
}

static const struct {
	const char *word;
	enum ctl_exit (*run)(struct cache *, int argc, char **argv);
} verbs[] = {
	{ "get", cache_get },
	{ "set", cache_set },
	{ "delete", cache_delete },
	{ "export", cache_export },
	{ "import", cache_import },
	{ "stats", cache_stats },
};

enum ctl_exit
ctl_cache(struct ctl *ctl, int argc, char **argv)
{
	struct cache c = { .ctl = ctl, .now_s = time(NULL) };
	enum ctl_exit status = CTL_USAGE;
	size_t i = 0;

	while (
	    argc > 1 && i < sizeof verbs / sizeof verbs[0] && strcmp(argv[1], verbs[i].word) != 0)
		i++;
	if (argc < 2 || i == sizeof verbs / sizeof verbs[0])
		return ctl_usage(ctl, "cache: say what to do");
	if ((c.rules = ctl_rules(ctl)) == NULL)
		return CTL_CONFIG;
	status = verbs[i].run(&c, argc - 1, argv + 1);
	store_tool_free(&c.store);
	free(c.path);
	return status;
}
