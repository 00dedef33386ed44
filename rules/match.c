#include "config.h"
#include "rules/rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/mem.h"
#include "rules/intervals.h"
#include "rules/lines.h"

/*
 * Networks that follow each other are one piece; whether the first that holds an address was
 * negated decides. Tables and elements that cannot be used stand between.
 */
enum piece_kind { PIECE_NETS, PIECE_TABLE, PIECE_BAD };
struct piece {
	enum piece_kind kind;
	bool negated; /* PIECE_TABLE */
	struct table *table;
	struct intervals *nets; /* rule numbers as added */
	uint32_t *yes;		/* by rule number: the element was not negated */
	uint32_t count;
};

struct match_list {
	struct piece *piece;
	size_t count;
};

#define FILES_NESTED_MAX 5

struct reader {
	struct match_list *list;
	struct diag *diag;
	const char *file;
	unsigned line, depth;
	bool all_negated; /* by a `!` before the file this is read from */
};

static struct piece *
add_piece(struct match_list *l, enum piece_kind kind)
{
	l->piece = mem_grow(l->piece, l->count + 1, sizeof(*l->piece));
	l->piece[l->count] = (struct piece){ .kind = kind };
	return &l->piece[l->count++];
}

static void
add_net(struct match_list *l, const struct net *net, bool negated)
{
	struct piece *p = l->count > 0 ? &l->piece[l->count - 1] : NULL;

	if (p == NULL || p->kind != PIECE_NETS || p->count == INTERVALS_RULES_MAX) {
		p = add_piece(l, PIECE_NETS);
		p->nets = intervals_new();
	}
	if ((p->count & (p->count + 1)) == 0)
		p->yes = mem_grow(p->yes, 2 * (size_t)p->count + 2, sizeof(*p->yes));
	p->yes[p->count] = !negated;
	intervals_add(p->nets, net, p->count++);
}

static void read_list(const struct reader *, const char *text, size_t len);

static void
read_file(const struct reader *r, const char *path, bool negated)
{
	struct reader inner = *r;
	struct lines *lines;
	struct span text;

	if (r->depth >= FILES_NESTED_MAX) {
		diag_add(r->diag, DIAG_ERROR, r->file, r->line,
		    "%s: files refer to each other too deep", path);
		return;
	}
	inner.all_negated = negated;
	inner.depth++;
	inner.file = path;
	lines = lines_open(path, DIAG_ERROR, r->diag);
	if (lines == NULL) {
		add_piece(r->list, PIECE_BAD);
		return;
	}
	while (lines_next(lines, &text, &inner.line))
		read_list(&inner, text.p, text.len);
	lines_close(&lines);
}

/* TYPE:NAME, not a misspelt IPv6 address. */
static bool
looks_like_table(const char *word)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	const char *colon = strchr(word, ':');

	if (colon == NULL || colon == word || word[0] == '[')
		return false;
	return strspn(word, hex) < (size_t)(colon - word) || colon[1] == '/' || colon[1] == '{';
}

static void
read_element(const struct reader *r, char *word)
{
	bool negated = r->all_negated;
	char bytes[300];
	struct buf why = BUF(bytes);
	struct net net;

	for (; *word == '!'; word++)
		negated = !negated;
	if (word[0] == '/') {
		read_file(r, word, negated);
	} else if (net_parse(&net, span_of(word), &why)) {
		add_net(r->list, &net, negated);
	} else if (looks_like_table(word)) {
		struct piece *p = add_piece(r->list, PIECE_TABLE);

		p->negated = negated;
		p->table = table_open(word, r->diag);
	} else {
		diag_add(r->diag, DIAG_ERROR, r->file, r->line,
		    "%s; write an address, a network, /FILE or "
		    "TYPE:TABLE",
		    bytes);
		add_piece(r->list, PIECE_BAD);
	}
}

static void
read_list(const struct reader *r, const char *text, size_t len)
{
	struct span rest = { text, len }, word;

	while ((word = rules_list_token(&rest)).len > 0) {
		char *copy = mem_strndup(word.p, word.len);

		read_element(r, copy);
		free(copy);
	}
}

struct match_list *
match_list_open(const char *text, const char *file, unsigned line, struct diag *diag)
{
	struct match_list *l = mem_alloc(sizeof(*l));
	struct reader r = { .list = l, .diag = diag, .file = file, .line = line };

	read_list(&r, text, strlen(text));
	for (size_t i = 0; i < l->count; i++)
		if (l->piece[i].kind == PIECE_NETS)
			intervals_build(l->piece[i].nets, NULL, NULL);
	return l;
}

void
match_list_free(struct match_list **lp)
{
	struct match_list *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++) {
		table_free(&l->piece[i].table);
		intervals_free(&l->piece[i].nets);
		free(l->piece[i].yes);
	}
	free(l->piece);
	free(l);
}

/* TABLE_MISSING: this piece says nothing. Else *yes is what it says. */
static enum table_result
ask_piece(const struct piece *p, const struct addr *addr, bool *yes)
{
	char bytes[256];
	struct buf value = BUF(bytes);
	uint32_t rule;

	switch (p->kind) {
	case PIECE_NETS:
		rule = intervals_find(p->nets, addr);
		*yes = rule != INTERVALS_NONE && p->yes[rule];
		return rule != INTERVALS_NONE ? TABLE_FOUND : TABLE_MISSING;
	case PIECE_TABLE:
		*yes = !p->negated;
		return table_find_addr(p->table, addr, &value);
	case PIECE_BAD:
		break;
	}
	return TABLE_ERROR; /* fail closed or open: the caller knows which */
}

enum table_result
match_list_addr(const struct match_list *l, const struct addr *addr)
{
	for (size_t i = 0; i < l->count; i++) {
		bool yes = false;
		enum table_result result = ask_piece(&l->piece[i], addr, &yes);

		if (result == TABLE_FOUND)
			return yes ? TABLE_FOUND : TABLE_MISSING;
		if (result == TABLE_ERROR)
			return TABLE_ERROR;
	}
	return TABLE_MISSING;
}

static bool
piece_meets(const struct piece *p, const struct net *net)
{
	char bytes[256];
	struct buf value = BUF(bytes);

	switch (p->kind) {
	case PIECE_NETS:
		return intervals_meet(p->nets, net);
	case PIECE_TABLE:
		return table_find_addr(p->table, &net->addr, &value) != TABLE_MISSING;
	case PIECE_BAD:
		break;
	}
	return true;
}

bool
match_list_meets(const struct match_list *l, const struct addr *addr, unsigned bits)
{
	struct net net = { .addr = *addr, .bits = (uint8_t)bits };

	for (size_t i = 0; i < l->count; i++)
		if (piece_meets(&l->piece[i], &net))
			return true;
	return false;
}
