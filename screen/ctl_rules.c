#include "config.h"
#include "screen/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * conf
 */
struct conf_options {
	bool set_only, expanded, json, any;
};

static void
print_param(const struct rules *rules, enum param p, struct conf_options *options)
{
	const char *value = options->expanded ? rules_expanded_text(rules, p) : rules_source_text(rules, p);

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
