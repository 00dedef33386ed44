/*
 * rules/rules.h: what the operator wrote.
 *
 * For: the main.cf grammar, the one table of parameters (rules/params.tbl), look-up tables (type:name),
 * match lists, and diagnostics that say where and what instead. Not for: deciding anything about a
 * client. Everything here is read at load and immutable afterwards; nothing reads the clock.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/text.h"

/*
 * Diagnostics. Loading reports everything it finds, then the caller decides: errors at start are fatal
 * (exit 78), at reload the old snapshot stays. The first 100 of each level are kept, the rest counted.
 * DIAG_UNAVAILABLE is a table that cannot be used: `-t` fails, but the daemon starts without it, since
 * look-ups in it fail open; it is logged as an error.
 */
enum diag_level { DIAG_NOTICE, DIAG_WARNING, DIAG_UNAVAILABLE, DIAG_ERROR };
struct diag;
struct diag *diag_new(void);
void diag_free(struct diag **);
/* file may be null (no place known), line 0 (the whole file). The text says what to write instead. */
void diag_add(struct diag *, enum diag_level, const char *file, unsigned line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
unsigned diag_count(const struct diag *, enum diag_level);
/* In the order added; text is "FILE:LINE: TEXT" or "FILE: TEXT" or "TEXT", without a newline. */
void diag_each(const struct diag *, void (*fn)(void *arg, enum diag_level, const char *text), void *arg);

/* Parameters: one enumerator a row of params.tbl, P_<name>. */
enum param {
#define PARAM(name, type, value, min, max, flags, doc) P_##name,
#include "rules/params.tbl"
#undef PARAM
	PARAMS
};

enum param_type {
	PT_TEXT,   /* expanded */
	PT_RAW,    /* not expanded, except when the whole value is one $name or ${name} */
	PT_NUMBER, /* decimal integer within min..max */
	PT_TIME,   /* seconds; the unit without a suffix is that of the default */
	PT_BOOL,   /* yes or no */
};
enum param_flags {
	PF_NONE = 0,
	PF_STRESS = 1,  /* evaluated twice: with $stress empty and with it `yes` */
	PF_OLD = 2,     /* an obsolete name: accepted with one notice; defaults refer to it */
	PF_UNUSED = 4,  /* accepted so that a shared main.cf is understood, without effect here */
	PF_SECRET = 8,  /* shown masked by `conf` unless asked for */
	PF_COMPUTED = 16, /* the default is found out at load; the text says how */
};
struct param_row {
	const char *name, *value; /* value: the default, before expansion */
	enum param_type type;
	int64_t min, max;         /* PT_NUMBER, PT_TIME (seconds); max INT64_MAX: none */
	unsigned flags;
	const char *doc;          /* prose for the manual: one paragraph, plain text */
};
extern const struct param_row param_rows[PARAMS];

/* A snapshot of main.cf, gatehouse.cf over it, and -o overrides over both. */
struct rules;
struct rules_override {
	const char *name, *value;
};
/*
 * dir must hold main.cf or gatehouse.cf, unless it is null: embedded defaults and overrides only.
 * Returns a snapshot even where diag has errors (so that everything can be reported), null only if
 * the files cannot be read at all.
 */
struct rules *rules_load(const char *dir, const struct rules_override *, size_t count, struct diag *);
void rules_free(struct rules **);

/* All results are borrowed from the snapshot. The type must be the row's: asserted. */
const char *rules_text(const struct rules *, enum param);
int64_t rules_number(const struct rules *, enum param);
int64_t rules_seconds(const struct rules *, enum param);                     /* not stressed */
int64_t rules_seconds_stress(const struct rules *, enum param, bool stress);
bool rules_flag(const struct rules *, enum param);

/* Where the value came from, for diagnostics about its contents: "FILE" and line, or "default", 0. */
const char *rules_origin(const struct rules *, enum param, unsigned *line);
bool rules_is_set(const struct rules *, enum param);       /* by a file or an override */
const char *rules_source_text(const struct rules *, enum param); /* unexpanded text in force */
const char *rules_expanded_text(const struct rules *, enum param); /* of any type; not stressed */
/* The exact or nearest name; PARAMS if none is near. */
enum param param_find(const char *name);
enum param param_nearest(const char *name);

/*
 * Takes the next element off a list of the configuration: separators are commas and white space, braces
 * protect what stands between them. len 0 at the end.
 */
struct span rules_list_token(struct span *rest);

/*
 * Look-up tables: cidr, pcre, regexp, texthash, inline, static, fail, lmdb, union, pipemap; hash and
 * other files made by postmap are read from the text beside them. Everything is read at open. An
 * unavailable table (missing file, unknown type) is DIAG_UNAVAILABLE at open and answers TABLE_ERROR to
 * every look-up afterwards: the caller fails open. A rule that makes no sense is a warning, and the rest
 * of the table counts. Keys are looked up without regard to case.
 */
enum table_result { TABLE_FOUND, TABLE_MISSING, TABLE_ERROR };
struct table;
struct table *table_open(const char *type_name, struct diag *); /* never null */
void table_free(struct table **);
const char *table_name(const struct table *);
/* value gets the result appended. */
enum table_result table_find(const struct table *, const char *key, struct buf *value);
/* The same for an address: cidr tables use its bytes, the others its canonical text. */
enum table_result table_find_addr(const struct table *, const struct addr *, struct buf *value);

/*
 * Every key and its result, in the order of the table: keys are in lower case, of a key that is there twice
 * the first. False, and nothing is called, if a table of this type has no list of keys (patterns, networks,
 * static, joins) or is unavailable.
 */
typedef void table_each_fn(void *arg, struct span key, struct span value);
bool table_each(const struct table *, table_each_fn *, void *arg);

/* A list of tables, first answer wins, an error ends the search. text may be empty. */
struct table_list;
struct table_list *table_list_open(const char *text, struct diag *);
void table_list_free(struct table_list **);
bool table_list_empty(const struct table_list *);
enum table_result table_list_find(const struct table_list *, const char *key, struct buf *value);

/*
 * Match lists (mynetworks, postscreen_allowlist_interfaces): addresses, net/len, /file, type:table,
 * `!` negates, first match wins. file/line: where the text stands, for diagnostics. TABLE_FOUND: the
 * address is in the list. TABLE_ERROR: an element that comes before any match could not be used.
 */
struct match_list;
struct match_list *match_list_open(const char *text, const char *file, unsigned line, struct diag *);
void match_list_free(struct match_list **);
enum table_result match_list_addr(const struct match_list *, const struct addr *);
/*
 * True if an element names any address of the network, with `!` or without; tables are asked for the
 * network's first address. True also for an element that could not be used: it might.
 */
bool match_list_meets(const struct match_list *, const struct addr *net, unsigned bits);

#endif
