/*
 * rules/table.h: inside the look-up tables. A type is one row of table_types (rules/table.c): its open
 * function fills in the table's kind and state.
 */
#ifndef RULES_TABLE_H
#define RULES_TABLE_H

#include "rules/rules.h"

struct table_kind {
	enum table_result (*find)(const struct table *, struct span key, struct buf *value);
	/* Null: find() with the address's text. */
	enum table_result (*find_addr)(const struct table *, const struct addr *, struct buf *value);
	/* Null: the keys cannot be listed. */
	void (*each)(const struct table *, table_each_fn *, void *arg);
	void (*free)(struct table *); /* of the state only */
	bool folded;                  /* keys are given to find() in lower case */
};

struct table {
	char *name; /* "type:name" */
	const struct table_kind *kind;
	void *state;
};

/*
 * Opens the table called name (what follows the colon). False, with the reason in diag as
 * DIAG_UNAVAILABLE, if it cannot be used.
 */
typedef bool table_open_fn(struct table *, const char *name, struct diag *);
table_open_fn cidr_open, regexp_open, pcre_open, texthash_open, postmap_open, inline_open, static_open,
    fail_open, lmdb_open, union_open, pipemap_open;

/*
 * Calls rule for every rule of a table: the logical lines of a file, or the elements of {{...}, {...}}.
 * file and line are for diagnostics. False if there is no such file.
 */
typedef void rule_fn(void *arg, struct span text, const char *file, unsigned line);
bool table_each_rule(const struct table *, const char *name, rule_fn *, void *arg, struct diag *);

/*
 * The inside of "{ text }" without white space at its ends. False if s is not in braces as a whole.
 */
bool strip_braces(struct span s, struct span *inside);

#endif
