#include "config.h"
#include "screen/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include "base/text.h"

/*
 * conf
 */
struct conf_options {
	bool set_only, expanded, json, any;
};

static void
print_param(const struct rules *rules, enum param p, struct conf_options *options)
{
	const char *value =
	    options->expanded ? rules_expanded_text(rules, p) : rules_source_text(rules, p);

	if ((param_rows[p].flags & PF_SECRET) != 0 && value[0] != '\0')
		value = "(hidden)";
	if (!options->json) {
		printf("%s =%s%s\n", param_rows[p].name, value[0] != '\0' ? " " : "", value);
	} else {
		printf("%s\"%s\":", options->any ? "," : "", param_rows[p].name);
		ctl_json_string(span_of(value));
	}
	options->any = true;
}

static int
by_name(const void *a, const void *b)
{
	const enum param *left = a, *right = b;

	return strcmp(param_rows[*left].name, param_rows[*right].name);
}

static void
print_all(const struct rules *rules, struct conf_options *options)
{
	enum param order[PARAMS];

	for (unsigned p = 0; p < PARAMS; p++)
		order[p] = (enum param)p;
	qsort(order, PARAMS, sizeof(order[0]), by_name);
	for (unsigned i = 0; i < PARAMS; i++)
		if (!options->set_only || rules_is_set(rules, order[i]))
			print_param(rules, order[i], options);
}

/* False if there is no such parameter. */
static bool
print_named(const struct rules *rules, const char *name, struct conf_options *options)
{
	enum param p = param_find(name), near;

	if (p == PARAMS) {
		near = param_nearest(name);
		fprintf(stderr, "gatehousectl: no parameter %s", name);
		fprintf(stderr, near < PARAMS ? "; did you mean %s?\n" : "\n",
		    near < PARAMS ? param_rows[near].name : "");
		return false;
	}
	if (!options->set_only || rules_is_set(rules, p))
		print_param(rules, p, options);
	return true;
}

static enum ctl_exit
conf_print(const struct rules *rules, struct conf_options *options, char **names)
{
	enum ctl_exit status = CTL_OK;

	if (options->json)
		putchar('{');
	if (*names == NULL)
		print_all(rules, options);
	for (; *names != NULL; names++)
		if (!print_named(rules, *names, options))
			status = CTL_NO;
	if (options->json)
		puts("}");
	return status;
}

enum ctl_exit
ctl_conf(struct ctl *ctl, int argc, char **argv)
{
	struct conf_options options = { .json = ctl->json };
	bool defaults = false;
	const struct rules *rules;
	int c;

	while ((c = getopt(argc, argv, "dnx")) != -1) {
		if (c == '?')
			return ctl_usage(ctl, NULL);
		defaults = defaults || c == 'd';
		options.set_only = options.set_only || c == 'n';
		options.expanded = options.expanded || c == 'x';
	}
	if (defaults && options.set_only)
		return ctl_usage(ctl, "-d and -n exclude each other");
	if (defaults) {
		struct diag *diag = diag_new();
		struct rules *pure = rules_load(NULL, NULL, 0, diag);
		enum ctl_exit status = conf_print(pure, &options, argv + optind);

		rules_free(&pure);
		diag_free(&diag);
		return status;
	}
	rules = ctl_rules(ctl);
	return rules != NULL ? conf_print(rules, &options, argv + optind) : CTL_CONFIG;
}

/*
 * lookup
 */
#define RESULT_MAX 65536

static void
print_pair(const struct ctl *ctl, const char *key, const char *value, bool with_key)
{
	if (ctl->json) {
		fputs("{\"key\":", stdout);
		ctl_json_string(span_of(key));
		fputs(",\"value\":", stdout);
		ctl_json_string(span_of(value));
		puts("}");
	} else if (with_key) {
		printf("%s\t%s\n", key, value);
	} else {
		puts(value);
	}
}

static enum ctl_exit
lookup_one(const struct ctl *ctl, const struct table *table, const char *key, bool with_key)
{
	static char bytes[RESULT_MAX];
	struct buf value = BUF(bytes);

	switch (table_find(table, key, &value)) {
	case TABLE_FOUND:
		print_pair(ctl, key, bytes, with_key);
		return CTL_OK;
	case TABLE_MISSING:
		return CTL_NO;
	case TABLE_ERROR:
		break;
	}
	fprintf(stderr, "gatehousectl: %s: look-up error for %s\n", table_name(table), key);
	return CTL_CONFIG;
}

static enum ctl_exit
lookup_stdin(const struct ctl *ctl, const struct table *table)
{
	enum ctl_exit status = CTL_NO;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while (status != CTL_CONFIG && (len = getline(&line, &size, stdin)) >= 0) {
		enum ctl_exit one;

		if (len > 0 && line[len - 1] == '\n')
			line[len - 1] = '\0';
		one = lookup_one(ctl, table, line, true);
		if (one != CTL_NO)
			status = one;
	}
	free(line);
	return status;
}

enum ctl_exit
ctl_lookup(struct ctl *ctl, int argc, char **argv)
{
	struct diag *diag;
	struct table *table;
	enum ctl_exit status = CTL_CONFIG;

	if (argc == 4 && strcmp(argv[1], "--") == 0) {
		argv++;
		argc--;
	}
	if (argc != 3)
		return ctl_usage(ctl,
		    argc < 3 ? "a table and a key are needed" : "one key only; use - for many");
	diag = diag_new();
	table = table_open(argv[1], diag);
	ctl_report(diag, DIAG_WARNING);
	if (diag_count(diag, DIAG_UNAVAILABLE) == 0)
		status = strcmp(argv[2], "-") == 0 ? lookup_stdin(ctl, table)
						   : lookup_one(ctl, table, argv[2], false);
	table_free(&table);
	diag_free(&diag);
	return status;
}
