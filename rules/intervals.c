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
 *
 * high[0] holds the upper halves of the first addresses, ascending, and each further level every
 * 16th of the one below, up to one that is looked through at once. Sixteen numbers are compared
 * without a branch between them, so that a look-up waits for memory about once a level. The lower
 * halves matter to IPv6 prefixes longer than 64 only.
 */
#define FAN 16
#define LEVELS_MAX 8 /* 16 to the 8th: more than there can be */

struct family {
	struct prefix *prefixes;
	size_t prefix_count, prefix_room;
	uint64_t *high[LEVELS_MAX];
	size_t count[LEVELS_MAX];
	unsigned levels;
	uint64_t *low;	/* by piece; null: all zero */
	uint32_t *what; /* by piece: prefix length in the upper 8 bits, rule below */
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
		for (unsigned l = 0; l < i->family[f].levels; l++)
			free(i->family[f].high[l]);
		free(i->family[f].low);
		free(i->family[f].what);
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

static unsigned
key_byte(struct key k, unsigned byte) /* 0 is the last one */
{
	return (unsigned)((byte < 8 ? k.low >> 8 * byte : k.high >> (8 * byte - 64)) & 0xff);
}

static bool
is_sorted(const struct family *f)
{
	for (size_t n = 1; n < f->prefix_count; n++)
		if (key_compare(f->prefixes[n - 1].first, f->prefixes[n].first) > 0)
			return false;
	return true;
}

/*
 * By first address, and in the order added where that is the same: byte by byte from the last,
 * skipping bytes that are the same everywhere.
 */
static void
sort_prefixes(struct family *f)
{
	struct prefix *from = f->prefixes, *to, *swap;

	if (is_sorted(f))
		return;
	to = mem_array(f->prefix_count, sizeof(*to));
	for (unsigned byte = 0; byte < 16; byte++) {
		size_t start[257] = { 0 };

		for (size_t n = 0; n < f->prefix_count; n++)
			start[key_byte(from[n].first, byte) + 1]++;
		if (start[key_byte(from[0].first, byte) + 1] == f->prefix_count)
			continue;
		for (unsigned v = 1; v < 256; v++)
			start[v] += start[v - 1];
		for (size_t n = 0; n < f->prefix_count; n++)
			to[start[key_byte(from[n].first, byte)]++] = from[n];
		swap = from;
		from = to;
		to = swap;
	}
	free(to);
	f->prefixes = from;
	f->prefix_room = f->prefix_count;
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
		h->item = mem_grow(h->item, h->room, sizeof(void *));
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

static void
put_piece(struct family *f, struct key first, const struct prefix *p)
{
	f->high[0][f->count[0]] = first.high;
	f->low[f->count[0]] = first.low;
	f->what[f->count[0]++] = (uint32_t)p->bits << 24 | p->rule;
}

/* A piece begins where a prefix begins, or after the end of one: there are at most two for each. */
static void
sweep(struct family *f)
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
		put_piece(f, at, open.item[0]);
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
build_levels(struct family *f)
{
	size_t count = f->count[0];

	for (f->levels = 1; count > FAN; f->levels++) {
		const uint64_t *below = f->high[f->levels - 1];
		size_t *above = &f->count[f->levels];

		f->high[f->levels] = mem_array(count / FAN + 1, sizeof(*below));
		for (size_t n = 0; n < count; n += FAN)
			f->high[f->levels][(*above)++] = below[n];
		count = *above;
	}
}

static void
build_family(struct family *f)
{
	size_t room = 2 * f->prefix_count + 1, n = 0, count;

	sort_prefixes(f);
	f->high[0] = mem_array(room, sizeof(*f->high[0]));
	f->low = mem_array(room, sizeof(*f->low));
	f->what = mem_array(room, sizeof(*f->what));
	sweep(f);
	count = f->count[0];
	f->high[0] = mem_grow(f->high[0], count + 1, sizeof(*f->high[0]));
	f->low = mem_grow(f->low, count + 1, sizeof(*f->low));
	f->what = mem_grow(f->what, count + 1, sizeof(*f->what));
	while (n < count && f->low[n] == 0)
		n++;
	if (n == count) {
		free(f->low);
		f->low = NULL;
	}
	build_levels(f);
}

/* The number of pieces whose upper half is at most high. */
static size_t
count_high(const struct family *f, uint64_t high)
{
	size_t at = 0;

	for (unsigned l = f->levels; l-- > 0;) {
		const uint64_t *keys = f->high[l] + at * FAN;
		size_t room = f->count[l] - at * FAN, n = room < FAN ? room : FAN, up_to = 0;

		for (size_t i = 0; i < n; i++)
			up_to += keys[i] <= high;
		if (up_to == 0)
			return 0;
		at = at * FAN + up_to - 1;
	}
	return f->levels > 0 ? at + 1 : 0;
}

static size_t
count_low(const uint64_t *keys, size_t count, uint64_t low)
{
	size_t from = 0;

	while (from < count) {
		size_t middle = from + (count - from) / 2;

		if (keys[middle] <= low)
			from = middle + 1;
		else
			count = middle;
	}
	return from;
}

/* The number of pieces that begin at k or before it. */
static size_t
count_to(const struct family *f, struct key k)
{
	size_t n = count_high(f, k.high);

	if (n > 0 && f->low != NULL && f->high[0][n - 1] == k.high) {
		size_t before = k.high > 0 ? count_high(f, k.high - 1) : 0;

		n = before + count_low(f->low + before, n - before, k.low);
	}
	return n;
}

static uint32_t
find_key(const struct family *f, struct key k)
{
	size_t n = count_to(f, k);
	struct key first;
	uint32_t what;

	if (n == 0)
		return INTERVALS_NONE;
	what = f->what[n - 1];
	first = (struct key){ f->high[0][n - 1], f->low != NULL ? f->low[n - 1] : 0 };
	if (key_compare(k, key_last(first, what >> 24)) > 0)
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

bool
intervals_meet(const struct intervals *i, const struct net *net)
{
	const struct family *f = &i->family[net->addr.family == 6];
	struct key first = key_of(&net->addr);

	return find_key(f, first) != INTERVALS_NONE ||
	       count_to(f, key_last(first, net->bits)) > count_to(f, first);
}

#define EXPLAINED 100 /* shadowed rules whose cause is looked for: as many as diag keeps */

/* A rule with networks in both families is shadowed if nothing is left of it in either. */
static void
report_shadowed(struct intervals *i, intervals_shadow_fn *shadowed, void *arg)
{
	uint32_t rules = 0, reported = 0;
	uint8_t *left;

	for (int f = 0; f < 2; f++)
		for (size_t n = 0; n < i->family[f].prefix_count; n++)
			if (i->family[f].prefixes[n].rule >= rules)
				rules = i->family[f].prefixes[n].rule + 1;
	left = mem_array(rules + 1, 1);
	for (int f = 0; f < 2; f++)
		for (size_t n = 0; n < i->family[f].count[0]; n++)
			left[i->family[f].what[n] & INTERVALS_RULES_MAX] = 1;
	for (int f = 0; f < 2; f++) {
		for (size_t n = 0; n < i->family[f].prefix_count; n++) {
			const struct prefix *p = &i->family[f].prefixes[n];

			if (left[p->rule])
				continue;
			left[p->rule] = 1;
			shadowed(arg, p->rule,
			    ++reported <= EXPLAINED ? find_key(&i->family[f], p->first)
						    : INTERVALS_NONE);
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
		for (size_t n = 0; n < i->family[f].count[0]; n++) {
			uint32_t *what = &i->family[f].what[n];

			*what = (*what & ~INTERVALS_RULES_MAX) | map[*what & INTERVALS_RULES_MAX];
		}
}
