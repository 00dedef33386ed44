/*
 * doc/gentab.c: writes what the manuals say of the tables, as mdoc items on standard output. Built and
 * run by make only.
 *
 * usage: gentab checks|commands|events|metrics|reasons
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

struct row {
	const char *word, *more, *text;
};

static const struct row checks[] = {
#define EARLY "before"
#define DEEP "after"
#define CHECK(id, word, when, enable, ttl, action) { word, when, #enable " " #ttl " " #action },
#include "policy/checks.tbl"
#undef CHECK
};

static const struct row commands[] = {
#define CTL(word, function, arguments, help) { word, arguments, help },
#include "screen/ctl.tbl"
#undef CTL
};

static const struct row events[] = {
#define EVENT(id, line, respectless, when) { line, respectless, when },
#include "screen/events.tbl"
#undef EVENT
};

static const struct row metrics[] = {
#define METRIC(id, kind, name, help, labels, cells) { name, #kind, help },
#include "screen/counters.tbl"
#undef METRIC
};

static const struct row reasons[] = {
#define REASON(id, word, text) { word, NULL, text },
#include "screen/reasons.tbl"
#undef REASON
};

/* For an argument of a macro: nothing in it may be taken for one, and its marks are filled in. */
static void
put(const char *text)
{
	for (; *text != '\0'; text++) {
		if (strncmp(text, "{c}", 3) == 0 || strncmp(text, "{s}", 3) == 0) {
			fputs(text[1] == 'c' ? "[CLIENT]:PORT" : "[SERVER]:PORT", stdout);
			text += 2;
		} else if (text[0] == '{' && text[1] >= '0' && text[1] <= '9' && text[2] == '}') {
			fputs("...", stdout);
			text += 2;
		} else if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '"')
			fputs("\\(dq", stdout);
		else
			putchar(*text);
	}
}

/* A sentence from a fragment. */
static void
put_sentence(const char *text)
{
	char first = text[0];
	size_t word = strcspn(text, " ");

	/* A parameter's name keeps its small letter. */
	if (first >= 'a' && first <= 'z' && memchr(text, '_', word) == NULL)
		putchar(first - 'a' + 'A'), text++;
	put(text);
	puts(text[0] != '\0' && text[strlen(text) - 1] == '.' ? "" : ".");
}

static void
put_quoted(const char *macro, const char *text)
{
	printf("%s \"", macro);
	put(text);
	puts("\"");
}

static void
put_check(const struct row *r)
{
	char names[200], *rest = names, *name;

	put_quoted(".It Cm", r->word);
	printf("Made %s the greeting;\n", r->more);
	snprintf(names, sizeof names, "%s", r->text);
	while ((name = strsep(&rest, " ")) != NULL)
		printf(".Va %s%s\n", name, rest != NULL ? " ," : " .");
}

static void
put_command(const struct row *r)
{
	printf(".It Cm %s", r->word);
	if (r->more[0] != '\0') {
		fputs(" Xo\n.Li \"", stdout);
		put(r->more);
		puts("\"\n.Xc");
	} else
		putchar('\n');
	put_sentence(r->text);
}

static void
put_event(const struct row *r)
{
	put_quoted(".It Li", r->word);
	put_sentence(r->text);
	if (r->more != NULL) {
		puts("Without\n.Va respectful_logging :");
		put_quoted(".Li", r->more);
	}
}

static void
put_plain(const struct row *r)
{
	if (r->word[0] == '\0')
		return;
	printf(".It Li %s\n", r->word);
	put_sentence(r->text);
}

static const struct table {
	const char *name;
	const struct row *rows;
	size_t count;
	void (*put)(const struct row *);
} tables[] = {
#define TABLE(name, put)                                       \
	{                                                      \
#name, name, sizeof name / sizeof name[0], put \
	}
	TABLE(checks, put_check),
	TABLE(commands, put_command),
	TABLE(events, put_event),
	TABLE(metrics, put_plain),
	TABLE(reasons, put_plain),
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof tables / sizeof tables[0]; i++)
		if (strcmp(argv[1], tables[i].name) == 0) {
			for (size_t k = 0; k < tables[i].count; k++)
				tables[i].put(&tables[i].rows[k]);
			return fflush(stdout) == 0 ? 0 : 1;
		}
	return 2;
}
