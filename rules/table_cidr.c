#include "config.h"
#include "rules/table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/mem.h"
#include "rules/intern.h"
#include "rules/intervals.h"

struct cidr {
	struct intervals *intervals;
	struct intern results;
};

/*
 * While reading: what a rule or an IF matches is a set of networks, the pattern itself or, negated,
 * all of its family but the pattern, cut down to what the IFs around it leave.
 */
struct net_set {
	struct net *net;
	size_t count, room;
};

struct block {
	struct net_set set;
	unsigned line;
};

#define NETS_MAX ((size_t)1 << 24) /* of one table; only nested negations can multiply */

struct reader {
	struct cidr *cidr;
	struct diag *diag;
	const char *name;
	struct block *block; /* open IFs, the innermost last */
	size_t depth;
	uint32_t *result; /* by rule */
	unsigned *line;
	size_t rules, room, nets;
	struct net_set set; /* scratch */
};

static void
set_add(struct net_set *s, const struct net *net)
{
	if (s->count == s->room) {
		s->room = s->room == 0 ? 8 : s->room * 2;
		s->net = mem_grow(s->net, s->room, sizeof(*s->net));
	}
	s->net[s->count++] = *net;
}

/* Adds what net and the open IFs have in common. */
static void
set_add_within(struct net_set *s, const struct net *net, const struct block *outer)
{
	if (outer == NULL) {
		set_add(s, net);
		return;
	}
	for (size_t i = 0; i < outer->set.count; i++) {
		const struct net *o = &outer->set.net[i];
		unsigned shorter = o->bits < net->bits ? o->bits : net->bits;

		if (addr_in_prefix(&net->addr, &o->addr, shorter))
			set_add(s, o->bits > net->bits ? o : net);
	}
}

/* All of the family but net: at each bit of it, the half that it is not in. */
static void
set_add_others(struct net_set *s, const struct net *net, const struct block *outer)
{
	for (unsigned bit = 0; bit < net->bits; bit++) {
		struct net other = { net->addr, (uint8_t)(bit + 1) };

		addr_mask(&other.addr, bit + 1);
		other.addr.ip[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		set_add_within(s, &other, outer);
	}
}

/* What is wrong is in why. */
static bool
parse_pattern(struct reader *r, struct span text, struct net_set *out, struct buf *why)
{
	const struct block *outer = r->depth > 0 ? &r->block[r->depth - 1] : NULL;
	struct net net;
	bool negated = false;

	for (; text.len > 0 && (text.p[0] == '!' || isspace((unsigned char)text.p[0]));
	     text = (struct span){ text.p + 1, text.len - 1 })
		negated ^= text.p[0] == '!';
	if (text.len == 0) {
		buf_puts(why, "no address pattern");
		return false;
	}
	if (!net_parse(&net, text, why))
		return false;
	out->count = 0;
	if (negated)
		set_add_others(out, &net, outer);
	else
		set_add_within(out, &net, outer);
	return true;
}

static bool
read_if(struct reader *r, struct span pattern, unsigned line, struct buf *why)
{
	struct block block = { .line = line };

	if (!parse_pattern(r, span_trim(pattern), &block.set, why))
		return false;
	r->block = mem_grow(r->block, r->depth + 1, sizeof(*r->block));
	r->block[r->depth++] = block;
	return true;
}

static bool
read_endif(struct reader *r, struct span rest, struct buf *why)
{
	if (span_trim(rest).len > 0)
		buf_puts(why, "garbage after ENDIF");
	else if (r->depth == 0)
		buf_puts(why, "ENDIF without IF");
	else
		free(r->block[--r->depth].set.net);
	return why->len == 0;
}

static void
keep_rule(struct reader *r, struct span result, unsigned line)
{
	if (r->rules == r->room) {
		r->room = r->room == 0 ? 64 : r->room + r->room / 2;
		r->result = mem_grow(r->result, r->room, sizeof(*r->result));
		r->line = mem_grow(r->line, r->room, sizeof(*r->line));
	}
	r->line[r->rules] = line;
	r->result[r->rules] = intern_add(&r->cidr->results, result, NULL);
	for (size_t i = 0; i < r->set.count; i++)
		intervals_add(r->cidr->intervals, &r->set.net[i], (uint32_t)r->rules);
	r->nets += r->set.count;
	r->rules++;
}

/* The pattern ends at the first white space that does not follow a `!`. */
static size_t
pattern_length(struct span text)
{
	size_t n = 0;

	while (n < text.len && (text.p[n] == '!' || isspace((unsigned char)text.p[n])))
		n++;
	while (n < text.len && !isspace((unsigned char)text.p[n]))
		n++;
	return n;
}

static bool
read_pair(struct reader *r, struct span text, unsigned line, struct buf *why)
{
	size_t n = pattern_length(text);
	struct span result = span_trim((struct span){ text.p + n, text.len - n });

	if (!parse_pattern(r, (struct span){ text.p, n }, &r->set, why))
		return false;
	if (result.len == 0)
		buf_puts(why, "no lookup result");
	else if (r->rules > INTERVALS_RULES_MAX - 1 || r->nets + r->set.count > NETS_MAX)
		buf_puts(why, "the table is too large");
	else
		keep_rule(r, result, line);
	return why->len == 0;
}

static bool
is_keyword(struct span text, const char *word)
{
	size_t n = strlen(word);

	return text.len >= n && (text.p[0] | 0x20) == word[0] &&
	       strncasecmp(text.p, word, n) == 0 &&
	       (text.len == n || !isalnum((unsigned char)text.p[n]));
}

static void
read_rule(void *arg, struct span text, const char *file, unsigned line)
{
	struct reader *r = arg;
	char bytes[300];
	struct buf why = BUF(bytes);
	bool ok;

	if (is_keyword(text, "if"))
		ok = read_if(r, (struct span){ text.p + 2, text.len - 2 }, line, &why);
	else if (is_keyword(text, "endif"))
		ok = read_endif(r, (struct span){ text.p + 5, text.len - 5 }, &why);
	else
		ok = read_pair(r, text, line, &why);
	if (!ok)
		diag_add(r->diag, DIAG_WARNING, file, line, "%s: skipping this rule", bytes);
}

static void
report_shadowed(void *arg, uint32_t rule, uint32_t by)
{
	struct reader *r = arg;
	const char *mine = intern_text(&r->cidr->results, r->result[rule]), *theirs;

	if (by == INTERVALS_NONE) {
		diag_add(r->diag, DIAG_NOTICE, r->name, r->line[rule],
		    "this rule (%.60s) is never reached; remove it", mine);
		return;
	}
	theirs = intern_text(&r->cidr->results, r->result[by]);
	if (r->result[rule] == r->result[by])
		diag_add(r->diag, DIAG_NOTICE, r->name, r->line[rule],
		    "this rule is never reached: line %u "
		    "comes first and says the same (%.60s); remove it",
		    r->line[by], mine);
	else
		diag_add(r->diag, DIAG_NOTICE, r->name, r->line[rule],
		    "this rule (%.60s) is never reached: "
		    "line %u (%.60s) comes first; move it before line %u, or remove it",
		    mine, r->line[by], theirs, r->line[by]);
}

static void
reader_fini(struct reader *r)
{
	while (r->depth > 0) {
		r->depth--;
		diag_add(r->diag, DIAG_WARNING, r->name, r->block[r->depth].line,
		    "IF has no matching ENDIF");
		free(r->block[r->depth].set.net);
	}
	free(r->block);
	free(r->result);
	free(r->line);
	free(r->set.net);
}

static enum table_result
cidr_find_addr(const struct table *t, const struct addr *addr, struct buf *value)
{
	const struct cidr *c = t->state;
	uint32_t found = intervals_find(c->intervals, addr);

	if (found == INTERVALS_NONE)
		return TABLE_MISSING;
	buf_puts(value, intern_text(&c->results, found));
	return TABLE_FOUND;
}

static enum table_result
cidr_find(const struct table *t, struct span key, struct buf *value)
{
	struct addr addr;

	return addr_parse(&addr, key.p, key.len) ? cidr_find_addr(t, &addr, value) : TABLE_MISSING;
}

static void
cidr_free(struct table *t)
{
	struct cidr *c = t->state;

	intervals_free(&c->intervals);
	intern_fini(&c->results);
	free(c);
}

static const struct table_kind cidr_kind = {
	.find = cidr_find,
	.find_addr = cidr_find_addr,
	.free = cidr_free,
};

bool
cidr_open(struct table *t, const char *name, struct diag *diag)
{
	struct cidr *c = mem_alloc(sizeof(*c));
	struct reader r = { .cidr = c, .diag = diag, .name = name[0] == '{' ? t->name : name };
	bool ok;

	c->intervals = intervals_new();
	t->state = c;
	ok = table_each_rule(t, name, read_rule, &r, diag);
	intervals_build(c->intervals, report_shadowed, &r);
	if (r.rules > 0)
		intervals_renumber(c->intervals, r.result);
	reader_fini(&r);
	if (!ok)
		cidr_free(t);
	t->kind = &cidr_kind;
	return ok;
}
