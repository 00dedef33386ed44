#include "config.h"
#include "rules/table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "rules/lines.h"

#define KEY_MAX 4096
#define SEPARATORS ", \t\r\n"

static const struct table_type {
	const char *type;
	table_open_fn *open;
} table_types[] = {
	{ "cidr", cidr_open },
	{ "pcre", pcre_open },
	{ "regexp", regexp_open },
	{ "texthash", texthash_open },
	{ "inline", inline_open },
	{ "static", static_open },
	{ "fail", fail_open },
	{ "lmdb", lmdb_open },
	{ "union", union_open },
	{ "unionmap", union_open },
	{ "pipemap", pipemap_open },
	{ "hash", postmap_open },
	{ "btree", postmap_open },
	{ "cdb", postmap_open },
	{ "dbm", postmap_open },
	{ "sdbm", postmap_open },
};
#define TABLE_TYPES (sizeof(table_types) / sizeof(table_types[0]))

struct span
rules_list_token(struct span *rest)
{
	struct span token;
	size_t n = 0, depth = 0;

	while (rest->len > 0 && strchr(SEPARATORS, rest->p[0]) != NULL && rest->p[0] != '\0')
		*rest = (struct span){ rest->p + 1, rest->len - 1 };
	for (; n < rest->len; n++) {
		char c = rest->p[n];

		if (depth == 0 && c != '\0' && strchr(SEPARATORS, c) != NULL)
			break;
		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
	}
	token = (struct span){ rest->p, n };
	*rest = (struct span){ rest->p + n, rest->len - n };
	return token;
}

bool
strip_braces(struct span s, struct span *inside)
{
	size_t depth = 0;

	s = span_trim(s);
	if (s.len < 2 || s.p[0] != '{')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}' && --depth == 0 && i + 1 < s.len)
			return false;
	}
	if (depth != 0)
		return false;
	*inside = span_trim((struct span){ s.p + 1, s.len - 2 });
	return true;
}

static bool
each_inline_rule(
    const struct table *t, struct span inside, rule_fn *rule, void *arg, struct diag *diag)
{
	struct span element, text;
	unsigned n = 0;

	while ((element = rules_list_token(&inside)).len > 0) {
		n++;
		if (strip_braces(element, &text))
			rule(arg, text, t->name, n);
		else
			diag_add(diag, DIAG_WARNING, t->name, n,
			    "each rule stands in braces of its own; "
			    "write { { %.*s } }: skipping this rule",
			    (int)element.len, element.p);
	}
	return true;
}

bool
table_each_rule(
    const struct table *t, const char *name, rule_fn *rule, void *arg, struct diag *diag)
{
	struct span text;
	struct lines *lines;
	unsigned line;
	bool ok;

	if (name[0] == '{') {
		if (strip_braces(span_of(name), &text))
			return each_inline_rule(t, text, rule, arg, diag);
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s: unbalanced braces; write TYPE:{ { RULE }, "
		    "{ RULE } }",
		    t->name);
		return false;
	}
	lines = lines_open(name, DIAG_UNAVAILABLE, diag);
	if (lines == NULL)
		return false;
	while (lines_next(lines, &text, &line))
		rule(arg, text, name, line);
	ok = !lines_failed(lines);
	lines_close(&lines);
	return ok;
}

/*
 * What could not be opened.
 */
static enum table_result
unavailable_find(const struct table *t, struct span key, struct buf *value)
{
	(void)t;
	(void)key;
	(void)value;
	return TABLE_ERROR; /* fail open: the callers do */
}

static const struct table_kind unavailable = { .find = unavailable_find };

static void
explain_type(struct diag *diag, const char *type_name, struct span type)
{
	static const char *const remote[] = { "ldap", "memcache", "mongodb", "mysql", "netinfo",
		"nis", "nisplus", "pgsql", "socketmap", "sqlite", "tcp", "unix", "redis", "environ",
		"randmap" };

	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		if (!span_is(type, remote[i]))
			continue;
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s is unavailable: tables of type %s are not "
		    "supported, since clients would wait for each look-up; export it to a file and "
		    "write "
		    "texthash:FILE or cidr:FILE",
		    type_name, remote[i]);
		return;
	}
	diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
	    "%s is unavailable: unsupported table type: %.*s; use "
	    "cidr, pcre, regexp, texthash, inline, static, fail, lmdb, union or pipemap",
	    type_name, (int)type.len, type.p);
}

static void
open_typed(struct table *t, const char *type_name, struct diag *diag)
{
	const char *colon = strchr(type_name, ':');
	struct span type;

	if (colon == NULL || colon == type_name || colon[1] == '\0') {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "\"%s\" is no table; write TYPE:NAME, such as "
		    "cidr:/etc/gatehouse/access.cidr",
		    type_name);
		return;
	}
	type = (struct span){ type_name, (size_t)(colon - type_name) };
	if (span_is(type, "proxy")) {
		open_typed(t, colon + 1, diag);
		return;
	}
	for (size_t i = 0; i < TABLE_TYPES; i++) {
		if (!span_is(type, table_types[i].type))
			continue;
		if (!table_types[i].open(t, colon + 1, diag))
			t->kind = &unavailable;
		return;
	}
	explain_type(diag, type_name, type);
}

struct table *
table_open(const char *type_name, struct diag *diag)
{
	struct table *t = mem_alloc(sizeof(*t));

	t->name = mem_strdup(type_name);
	t->kind = &unavailable;
	open_typed(t, type_name, diag);
	return t;
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	if (t->kind->free != NULL)
		t->kind->free(t);
	free(t->name);
	free(t);
}

const char *
table_name(const struct table *t)
{
	return t->name;
}

enum table_result
table_find(const struct table *t, const char *key, struct buf *value)
{
	struct span s = span_of(key);
	char folded[KEY_MAX];

	if (!t->kind->folded)
		return t->kind->find(t, s, value);
	if (s.len > sizeof(folded))
		return TABLE_MISSING;
	for (size_t i = 0; i < s.len; i++)
		folded[i] = (char)tolower((unsigned char)s.p[i]);
	return t->kind->find(t, (struct span){ folded, s.len }, value);
}

bool
table_each(const struct table *t, table_each_fn *fn, void *arg)
{
	if (t->kind->each == NULL)
		return false;
	t->kind->each(t, fn, arg);
	return true;
}

enum table_result
table_find_addr(const struct table *t, const struct addr *addr, struct buf *value)
{
	char text[ADDR_TEXT_SIZE];

	if (t->kind->find_addr != NULL)
		return t->kind->find_addr(t, addr, value);
	return table_find(t, addr_format(addr, text), value);
}

/*
 * Lists of tables.
 */
struct table_list {
	struct table **table;
	size_t count;
};

struct table_list *
table_list_open(const char *text, struct diag *diag)
{
	struct table_list *l = mem_alloc(sizeof(*l));
	struct span rest = span_of(text), word;

	while ((word = rules_list_token(&rest)).len > 0) {
		char *name = mem_strndup(word.p, word.len);

		l->table = mem_grow(l->table, l->count + 1, sizeof(struct table *));
		l->table[l->count++] = table_open(name, diag);
		free(name);
	}
	return l;
}

void
table_list_free(struct table_list **lp)
{
	struct table_list *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++)
		table_free(&l->table[i]);
	free(l->table);
	free(l);
}

bool
table_list_empty(const struct table_list *l)
{
	return l->count == 0;
}

enum table_result
table_list_find(const struct table_list *l, const char *key, struct buf *value)
{
	for (size_t i = 0; i < l->count; i++) {
		enum table_result result = table_find(l->table[i], key, value);

		if (result != TABLE_MISSING)
			return result;
	}
	return TABLE_MISSING;
}
