/*
 * rules/genman.c: writes the parameters of gatehouse.conf(5) from rules/params.tbl, as mdoc items
 * on standard output. Built and run by make only.
 *
 * usage: genman [own|shared|unused]: Gatehouse's own, those shared with Postfix, those without
 * effect; all of them if nothing is named.
 */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rules/rules.h"

static void
put_escaped(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '"')
			fputs("\\(dq", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

/* One sentence a line, as mdoc wants it. */
static void
put_prose(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (p[0] == ' ' && p > text && p[-1] == '.' && isupper((unsigned char)p[1]))
			putchar('\n');
		else if (*p == '\\')
			fputs("\\e", stdout);
		else
			putchar(*p);
	}
	putchar('\n');
}

static void
put_range(const struct param_row *row)
{
	const char *unit = row->type == PT_TIME ? "s" : "";

	if (row->type != PT_NUMBER && row->type != PT_TIME)
		return;
	if (row->min > INT32_MIN)
		printf(", at least %" PRId64 "%s", row->min, unit);
	if (row->max < INT32_MAX)
		printf(", at most %" PRId64 "%s", row->max, unit);
}

static void
put_row(const struct param_row *row)
{
	static const char *const type[] = { "text", "text, not expanded", "number", "time",
		"yes or no" };

	printf(".It Va %s Pq %s", row->name, type[row->type]);
	put_range(row);
	if ((row->flags & PF_STRESS) != 0)
		fputs(", by stress", stdout);
	if ((row->flags & PF_OLD) != 0)
		fputs(", obsolete", stdout);
	if ((row->flags & PF_UNUSED) != 0)
		fputs(", without effect", stdout);
	putchar('\n');
	put_prose(row->doc);
	if ((row->flags & PF_COMPUTED) != 0)
		return;
	if (row->value[0] == '\0') {
		puts("Default: empty.");
		return;
	}
	fputs("Default:\n.Ql \"", stdout);
	put_escaped(row->value);
	puts("\" .");
}

static bool
is_wanted(const struct param_row *row, const char *group)
{
	bool unused = (row->flags & PF_UNUSED) != 0;
	bool own = strncmp(row->name, "gatehouse_", 10) == 0;

	if (group == NULL)
		return true;
	if (strcmp(group, "unused") == 0)
		return unused;
	return !unused && own == (strcmp(group, "own") == 0);
}

static int
by_name(const void *a, const void *b)
{
	const struct param_row *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

int
main(int argc, char **argv)
{
	const struct param_row *row[PARAMS];

	for (unsigned i = 0; i < PARAMS; i++)
		row[i] = &param_rows[i];
	qsort(row, PARAMS, sizeof(void *), by_name);
	for (unsigned i = 0; i < PARAMS; i++)
		if (is_wanted(row[i], argc > 1 ? argv[1] : NULL))
			put_row(row[i]);
	return fflush(stdout) == 0 ? 0 : 1;
}
