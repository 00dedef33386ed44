#include "config.h"
#include "rules/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

#define DIAG_KEPT 100 /* of each level, so that notices cannot crowd out errors */
#define DIAG_TEXT 2000
#define DIAG_LEVELS (DIAG_ERROR + 1)

struct diag_line {
	enum diag_level level;
	char *text;
};

struct diag {
	struct diag_line line[DIAG_LEVELS * DIAG_KEPT];
	unsigned lines;
	unsigned count[DIAG_LEVELS];
};

struct diag *
diag_new(void)
{
	return mem_alloc(sizeof(struct diag));
}

void
diag_free(struct diag **dp)
{
	struct diag *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->lines; i++)
		free(d->line[i].text);
	free(d);
}

void
diag_add(
    struct diag *d, enum diag_level level, const char *file, unsigned line, const char *format, ...)
{
	char bytes[DIAG_TEXT];
	struct buf text = BUF(bytes);
	va_list args;

	if (++d->count[level] > DIAG_KEPT)
		return;
	if (file != NULL && line != 0)
		buf_printf(&text, "%s:%u: ", file, line);
	else if (file != NULL)
		buf_printf(&text, "%s: ", file);
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	d->line[d->lines++] = (struct diag_line){ level, mem_strdup(bytes) };
}

unsigned
diag_count(const struct diag *d, enum diag_level level)
{
	return d->count[level];
}

void
diag_each(const struct diag *d, void (*fn)(void *arg, enum diag_level, const char *text), void *arg)
{
	static const char *const word[DIAG_LEVELS] = { "notices", "warnings", "unusable tables",
		"errors" };
	char text[64];

	for (unsigned i = 0; i < d->lines; i++)
		fn(arg, d->line[i].level, d->line[i].text);
	for (unsigned level = 0; level < DIAG_LEVELS; level++) {
		if (d->count[level] <= DIAG_KEPT)
			continue;
		snprintf(text, sizeof(text), "%u more %s of %u are not shown",
		    d->count[level] - DIAG_KEPT, word[level], d->count[level]);
		fn(arg, (enum diag_level)level, text);
	}
}
