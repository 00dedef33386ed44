#include "config.h"
#include "rules/intervals.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

/* An address as a number whose first bit is the address's first bit; IPv4 fills the upper 32. */
struct key {
	uint64_t high, low;
};

/* What was added: all addresses that begin with the first `bits` of first. */
struct prefix {
	struct key first;
	uint32_t rule;
	uint8_t bits;
};

/*
 * The space is cut into pieces, each with its first rule: a piece reaches from its first address to
 * the end of that rule's prefix or to the next piece, whichever comes first. So gaps need no entry.
 * The search goes down `top`, which holds every 64th first address, and then through 64 pieces.
 */
#define TOP_STEP 64

struct family {
	struct prefix *prefixes;
	size_t prefix_count, prefix_room;
	struct key *first, *top; /* ascending */
	uint32_t *what;		 /* prefix length in the upper 8 bits, rule below */
	size_t count, top_count;
};

struct intervals {
	struct family family[2]; /* IPv4, IPv6 */
};

static int
key_compare(struct key a, struct key b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low < b.low ? -1 : a.low > b.low;
}

static uint64_t
load64(const uint8_t *p)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | p[i];
	return n;
}

static struct key
key_of(const struct addr *a)
{
	struct key k = { load64(a->ip), load64(a->ip + 8) };

	return k;
}

static struct key
key_last(struct key k, unsigned bits)
{
	if (bits < 64)
		k.high |= UINT64_MAX >> bits;
	if (bits <= 64)
		k.low = UINT64_MAX;
	else if (bits < 128)
		k.low |= UINT64_MAX >> (bits - 64);
	return k;
}

/* False if there is no next key. */
static bool
key_next(struct key *k)
{
	return ++k->low != 0 || ++k->high != 0;
}

struct intervals *
intervals_new(void)
{
	return mem_alloc(sizeof(struct intervals));
}

void
intervals_free(struct intervals **ip)
{
	struct intervals *i = *ip;

	*ip = NULL;
	if (i == NULL)
		return;
	for (int f = 0; f < 2; f++) {
		free(i->family[f].prefixes);
		free(i->family[f].first);
		free(i->family[f].what);
		free(i->family[f].top);
	}
	free(i);
}

void
intervals_add(struct intervals *i, const struct net *net, uint32_t rule)
{
	struct family *f = &i->family[net->addr.family == 6];

	assert(rule <= INTERVALS_RULES_MAX);
	if (f->prefix_count == f->prefix_room) {
		f->prefix_room = f->prefix_room == 0 ? 64 : f->prefix_room + f->prefix_room / 2;
		f->prefixes = mem_grow(f->prefixes, f->prefix_room, sizeof(*f->prefixes));
	}
	f->prefixes[f->prefix_count++] = (struct prefix){ key_of(&net->addr), rule, net->bits };
}

static int
prefix_compare(const void *a, const void *b)
{
	const struct prefix *left = a, *right = b;
	int order = key_compare(left->first, right->first);

	if (order != 0)
		return order;
	return left->rule < right->rule ? -1 : left->rule > right->rule;
}

static void
sort_prefixes(struct family *f)
{
	for (size_t n = 1; n < f->prefix_count; n++) {
		if (prefix_compare(&f->prefixes[n - 1], &f->prefixes[n]) > 0) {
			qsort(f->prefixes, f->prefix_count, sizeof(*f->prefixes), prefix_compare);
			return;
		}
	}
}

/*
 * The prefixes open at the place the sweep has reached, the lowest rule first: a binary heap.
 */
struct heap {
	const struct prefix **item;
	size_t count, room;
};

static void
heap_push(struct heap *h, const struct prefix *p)
{
	size_t at = h->count++;

	if (h->count > h->room) {
		h->room = h->room == 0 ? 256 : h->room * 2;
		h->item = mem_grow(h->item, h->room, sizeof(*h->item));
	}
	for (; at > 0 && p->rule < h->item[(at - 1) / 2]->rule; at = (at - 1) / 2)
		h->item[at] = h->item[(at - 1) / 2];
	h->item[at] = p;
}

static void
heap_pop(struct heap *h)
{
	const struct prefix *last = h->item[--h->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < h->count) {
		if (child + 1 < h->count && h->item[child + 1]->rule < h->item[child]->rule)
			child++;
		if (last->rule <= h->item[child]->rule)
			break;
		h->item[at] = h->item[child];
		at = child;
	}
	h->item[at] = last;
}

/* Called for each piece, in ascending order. */
typedef void piece_fn(struct family *, struct key first, const struct prefix *);

static void
sweep(struct family *f, piece_fn *emit)
{
	struct heap open = { 0 };
	struct key at = { 0, 0 }, end;
	size_t next = 0;
	bool more = true;

	while (more && (open.count > 0 || next < f->prefix_count)) {
		if (open.count == 0 && key_compare(at, f->prefixes[next].first) < 0)
			at = f->prefixes[next].first;
		while (next < f->prefix_count && key_compare(f->prefixes[next].first, at) <= 0)
			heap_push(&open, &f->prefixes[next++]);
		while (open.count > 0 &&
		       key_compare(key_last(open.item[0]->first, open.item[0]->bits), at) < 0)
			heap_pop(&open);
		if (open.count == 0)
			continue;
		emit(f, at, open.item[0]);
		end = key_last(open.item[0]->first, open.item[0]->bits);
		/* A later prefix matters only where its rule is lower; find where this piece ends.
		 */
		while (next < f->prefix_count && key_compare(f->prefixes[next].first, end) <= 0 &&
		       f->prefixes[next].rule > open.item[0]->rule)
			heap_push(&open, &f->prefixes[next++]);
		if (next < f->prefix_count && key_compare(f->prefixes[next].first, end) <= 0) {
			at = f->prefixes[next].first;
		} else {
			at = end;
			more = key_next(&at);
		}
	}
	free(open.item);
}

static void
count_piece(struct family *f, struct key first, const struct prefix *p)
{
	(void)first;
	(void)p;
	f->count++;
}

static void
store_piece(struct family *f, struct key first, const struct prefix *p)
{
	f->first[f->count] = first;
	f->what[f->count++] = (uint32_t)p->bits << 24 | p->rule;
}

static void
build_family(struct family *f)
{
	sort_prefixes(f);
	sweep(f, count_piece);
	f->first = mem_array(f->count + 1, sizeof(*f->first));
	f->what = mem_array(f->count + 1, sizeof(*f->what));
	f->count = 0;
	sweep(f, store_piece);
	f->top_count = (f->count + TOP_STEP - 1) / TOP_STEP;
	f->top = mem_array(f->top_count + 1, sizeof(*f->top));
	for (size_t i = 0; i < f->top_count; i++)
		f->top[i] = f->first[i * TOP_STEP];
}

/* The number of keys that are at most k. */
static size_t
count_up_to(const struct key *keys, size_t count, struct key k)
{
	const struct key *base = keys;

	while (count > 0) {
		size_t half = count / 2;
		bool right = key_compare(base[half], k) <= 0;

		base = right ? base + half + 1 : base;
		count = right ? count - half - 1 : half;
	}
	return (size_t)(base - keys);
}

static uint32_t
find_key(const struct family *f, struct key k)
{
	size_t top = count_up_to(f->top, f->top_count, k), from, room, at;
	uint32_t what;

	if (top == 0)
		return INTERVALS_NONE;
	from = (top - 1) * TOP_STEP;
	room = f->count - from < TOP_STEP ? f->count - from : TOP_STEP;
	at = from + count_up_to(f->first + from, room, k) - 1;
	what = f->what[at];
	if (key_compare(k, key_last(f->first[at], what >> 24)) > 0)
		return INTERVALS_NONE;
	return what & INTERVALS_RULES_MAX;
}

uint32_t
intervals_find(const struct intervals *i, const struct addr *a)
{
	if (a->family == 0)
		return INTERVALS_NONE;
	return find_key(&i->family[a->family == 6], key_of(a));
}

/* A rule with networks in both families is shadowed if nothing is left of it in either. */
static void
report_shadowed(struct intervals *i, intervals_shadow_fn *shadowed, void *arg)
{
	uint32_t rules = 0;
	uint8_t *left;

	for (int f = 0; f < 2; f++)
		for (size_t n = 0; n < i->family[f].prefix_count; n++)
			if (i->family[f].prefixes[n].rule >= rules)
				rules = i->family[f].prefixes[n].rule + 1;
	left = mem_array(rules + 1, 1);
	for (int f = 0; f < 2; f++)
		for (size_t n = 0; n < i->family[f].count; n++)
			left[i->family[f].what[n] & INTERVALS_RULES_MAX] = 1;
	for (int f = 0; f < 2; f++) {
		for (size_t n = 0; n < i->family[f].prefix_count; n++) {
			const struct prefix *p = &i->family[f].prefixes[n];

			if (left[p->rule])
				continue;
			left[p->rule] = 1;
			shadowed(arg, p->rule, find_key(&i->family[f], p->first));
		}
	}
	free(left);
}

void
intervals_build(struct intervals *i, intervals_shadow_fn *shadowed, void *arg)
{
	for (int f = 0; f < 2; f++)
		build_family(&i->family[f]);
	if (shadowed != NULL)
		report_shadowed(i, shadowed, arg);
	for (int f = 0; f < 2; f++) {
		free(i->family[f].prefixes);
		i->family[f].prefixes = NULL;
		i->family[f].prefix_count = i->family[f].prefix_room = 0;
	}
}

void
intervals_renumber(struct intervals *i, const uint32_t *map)
{
	for (int f = 0; f < 2; f++)
		for (size_t n = 0; n < i->family[f].count; n++) {
			uint32_t *what = &i->family[f].what[n];

			*what = (*what & ~INTERVALS_RULES_MAX) | map[*what & INTERVALS_RULES_MAX];
		}
}
