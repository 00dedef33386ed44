/*
 * tests/unit/rules_help.h: what the tests of the rules room share. Files are written into the work
 * directory that kyua gives each case.
 */
#ifndef TESTS_UNIT_RULES_HELP_H
#define TESTS_UNIT_RULES_HELP_H

#include <atf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rules/rules.h"

struct said {
	char text[200000];
	size_t len;
};

static inline void
said_line(void *arg, enum diag_level level, const char *text)
{
	static const char *const word[] = { "notice", "warning", "unavailable", "error" };
	struct said *said = arg;
	size_t room = sizeof(said->text) - said->len;

	said->len += (size_t)snprintf(said->text + said->len, room, "%s: %s\n", word[level], text);
	ATF_REQUIRE(said->len < sizeof(said->text));
}

/* All that diag holds, "LEVEL: TEXT\n" a line, in a static buffer. */
static inline const char *
said_by(const struct diag *diag)
{
	static struct said said;

	said.len = 0;
	said.text[0] = '\0';
	diag_each(diag, said_line, &said);
	return said.text;
}

static inline void
write_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	ATF_REQUIRE(f != NULL);
	ATF_REQUIRE_EQ(len, fwrite(bytes, 1, len, f));
	ATF_REQUIRE_EQ(0, fclose(f));
}

static inline void
write_text(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

/* Loads main.cf (and gatehouse.cf, unless null) written with these texts. */
static inline struct rules *
load_texts(const char *main_cf, const char *gatehouse_cf, struct diag *diag)
{
	struct rules *rules;

	write_text("main.cf", main_cf);
	if (gatehouse_cf != NULL)
		write_text("gatehouse.cf", gatehouse_cf);
	rules = rules_load(".", NULL, 0, diag);
	ATF_REQUIRE(rules != NULL);
	return rules;
}

/* What the table says of key: the result, "-" for nothing, "ERROR". In a static buffer. */
static inline const char *
table_says(const struct table *table, const char *key)
{
	static char bytes[70000];
	struct buf value = BUF(bytes);

	switch (table_find(table, key, &value)) {
	case TABLE_FOUND:
		return bytes;
	case TABLE_MISSING:
		return "-";
	case TABLE_ERROR:
		break;
	}
	return "ERROR";
}

#endif
