#include "config.h"
#include "screen/ctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"

static const struct ctl_command commands[] = {
#define CTL(word, function, arguments, help) { word, function, arguments, help },
#include "screen/ctl.tbl"
#undef CTL
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
print_line(void *arg, enum diag_level level, const char *text)
{
	static const char *const word[] = { "notice", "warning", "error", "error" };
	const enum diag_level *least = arg;

	if (level >= *least)
		fprintf(stderr, "gatehousectl: %s: %s\n", word[level], text);
}

bool
ctl_report(const struct diag *diag, enum diag_level least)
{
	diag_each(diag, print_line, &least);
	return diag_count(diag, DIAG_ERROR) > 0;
}

static bool
dir_has_configuration(const char *dir)
{
	static const char *const name[] = { "main.cf", "gatehouse.cf" };
	bool found = false;

	for (int i = 0; i < 2; i++) {
		char *path = mem_printf("%s/%s", dir, name[i]);

		found = found || access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

static struct rules *
load(const struct ctl *ctl, struct diag *diag)
{
	const char *dir = ctl->dir;

	if (dir == NULL && dir_has_configuration(GH_SYSCONFDIR))
		dir = GH_SYSCONFDIR;
	return rules_load(dir, ctl->override, ctl->overrides, diag);
}

const struct rules *
ctl_rules(struct ctl *ctl)
{
	struct diag *diag;

	if (ctl->rules != NULL)
		return ctl->rules;
	diag = diag_new();
	ctl->rules = load(ctl, diag);
	if (ctl_report(diag, DIAG_ERROR))
		rules_free(&ctl->rules);
	diag_free(&diag);
	return ctl->rules;
}

struct rules *
ctl_rules_anyhow(const struct ctl *ctl)
{
	struct diag *diag = diag_new();
	struct rules *rules = load(ctl, diag);

	if (rules == NULL)
		ctl_report(diag, DIAG_ERROR);
	diag_free(&diag);
	return rules;
}

enum ctl_exit
ctl_usage(const struct ctl *ctl, const char *format, ...)
{
	char bytes[1000];
	struct buf text = BUF(bytes);
	va_list args;

	if (format != NULL) {
		va_start(args, format);
		buf_vprintf(&text, format, args);
		va_end(args);
		fprintf(stderr, "gatehousectl: %s\n", bytes);
	}
	fprintf(stderr, "usage: gatehousectl [-c DIR] [-o NAME=VALUE]... [--json] %s%s%s\n",
	    ctl->command->word, ctl->command->arguments[0] != '\0' ? " " : "",
	    ctl->command->arguments);
	return CTL_USAGE;
}

void
ctl_json_string(struct span text)
{
	size_t size = text.len * 6 + 1; /* \u00XX at worst */
	char *bytes = mem_alloc(size);
	struct buf b = buf_over(bytes, size);

	buf_json(&b, text);
	printf("\"%s\"", bytes);
	free(bytes);
}

static void
print_commands(FILE *to)
{
	fputs("usage: gatehousectl [-c DIR] [-o NAME=VALUE]... [--json] COMMAND [ARGUMENT...]\n"
	      "       gatehousectl --help | --version\n\n",
	    to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %s%s%s\n        %s\n", commands[i].word,
		    commands[i].arguments[0] == '\0' ? "" : " ", commands[i].arguments,
		    commands[i].help);
}

static bool
take_override(struct rules_override *override, char *text)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || equals == text) {
		fprintf(stderr, "gatehousectl: -o %s: write -o NAME=VALUE\n", text);
		return false;
	}
	*equals = '\0';
	*override = (struct rules_override){ text, equals + 1 };
	return true;
}

/* --json may stand anywhere before a lone "--"; it is taken out here. */
static bool
take_json(int *argc, char **argv)
{
	bool json = false;
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (i < *argc)
				argv[kept++] = argv[i++];
			break;
		}
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	*argc = kept;
	return json;
}

static enum ctl_exit
print_help(const struct ctl_command *c)
{
	printf("usage: gatehousectl [-c DIR] [-o NAME=VALUE]... [--json] %s%s%s\n\n%s\n", c->word,
	    c->arguments[0] == '\0' ? "" : " ", c->arguments, c->help);
	return CTL_OK;
}

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 0) {
		print_commands(stderr);
		return CTL_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].word) != 0)
			continue;
		ctl->command = &commands[i];
		if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
			return print_help(ctl->command);
		optind = 0; /* the command reads options of its own */
		return commands[i].run(ctl, argc, argv);
	}
	fprintf(stderr, "gatehousectl: unknown command %s\n", argv[0]);
	print_commands(stderr);
	return CTL_USAGE;
}

/* False if there is nothing to run: then *status is the end. Leaves optind at the command. */
static bool
take_options(
    struct ctl *ctl, struct rules_override *override, int argc, char **argv, enum ctl_exit *status)
{
	static const struct option words[] = { { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	bool good = true;
	int c;

	while (good && (c = getopt_long(argc, argv, "+c:o:hv", words, NULL)) != -1)
		switch (c) {
		case 'c':
			ctl->dir = optarg;
			break;
		case 'o':
			good = take_override(&override[ctl->overrides++], optarg);
			break;
		case 'h':
			print_commands(stdout);
			*status = CTL_OK;
			return false;
		case 'v':
			puts("gatehousectl " PACKAGE_VERSION);
			*status = CTL_OK;
			return false;
		default:
			print_commands(stderr);
			good = false;
		}
	if (!good)
		*status = CTL_USAGE;
	return good;
}

int
main(int argc, char **argv)
{
	struct rules_override *override = mem_array((size_t)argc, sizeof(*override));
	struct ctl ctl = { .json = take_json(&argc, argv), .override = override };
	enum ctl_exit status;

	if (take_options(&ctl, override, argc, argv, &status))
		status = run(&ctl, argc - optind, argv + optind);
	rules_free(&ctl.rules);
	free(override);
	if (fflush(stdout) != 0)
		status = CTL_NO;
	return (int)status;
}
