#include "config.h"
#include "rules/table.h"

#include <stdlib.h>
#include "base/mem.h"

/*
 * union:{a, b}: every result, joined by commas. pipemap:{a, b}: the result of each is the key of
 * the next.
 */
struct join {
	struct table **table;
	size_t count;
};

#define RESULT_MAX 4096

static void
join_free(struct table *t)
{
	struct join *j = t->state;

	for (size_t i = 0; i < j->count; i++)
		table_free(&j->table[i]);
	free(j->table);
	free(j);
}

static enum table_result
union_find(const struct table *t, struct span key, struct buf *value)
{
	const struct join *j = t->state;
	enum table_result all = TABLE_MISSING;
	char *text = mem_strndup(key.p, key.len);

	for (size_t i = 0; i < j->count && all != TABLE_ERROR; i++) {
		char bytes[RESULT_MAX];
		struct buf one = BUF(bytes);
		enum table_result result = table_find(j->table[i], text, &one);

		if (result == TABLE_MISSING)
			continue;
		if (all == TABLE_FOUND)
			buf_putc(value, ',');
		buf_puts(value, bytes);
		all = result;
	}
	free(text);
	return all;
}

static enum table_result
pipemap_find(const struct table *t, struct span key, struct buf *value)
{
	const struct join *j = t->state;
	enum table_result result = TABLE_MISSING;
	char *text = mem_strndup(key.p, key.len);

	for (size_t i = 0; i < j->count; i++) {
		char bytes[RESULT_MAX];
		struct buf one = BUF(bytes);

		result = table_find(j->table[i], text, &one);
		if (result != TABLE_FOUND)
			break;
		free(text);
		text = mem_strdup(bytes);
	}
	if (result == TABLE_FOUND)
		buf_puts(value, text);
	free(text);
	return result;
}

static const struct table_kind union_kind = { .find = union_find, .free = join_free };
static const struct table_kind pipemap_kind = { .find = pipemap_find, .free = join_free };

static bool
join_open(struct table *t, const char *name, struct diag *diag, const struct table_kind *kind)
{
	struct span rest, word;
	struct join *j;

	if (!strip_braces(span_of(name), &rest) || rest.len == 0) {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s: write the tables in braces, such as "
		    "{ cidr:/etc/gatehouse/a.cidr, static:permit }",
		    t->name);
		return false;
	}
	j = mem_alloc(sizeof(*j));
	while ((word = rules_list_token(&rest)).len > 0) {
		char *one = mem_strndup(word.p, word.len);

		j->table = mem_grow(j->table, j->count + 1, sizeof(struct table *));
		j->table[j->count++] = table_open(one, diag);
		free(one);
	}
	t->state = j;
	t->kind = kind;
	return true;
}

bool
union_open(struct table *t, const char *name, struct diag *diag)
{
	return join_open(t, name, diag, &union_kind);
}

bool
pipemap_open(struct table *t, const char *name, struct diag *diag)
{
	return join_open(t, name, diag, &pipemap_kind);
}
