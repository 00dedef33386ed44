/*
 * policy/tune/deny.c: candidates for the permanent deny list, from repeat offenders.
 *
 * A rule is a network in which several offenders live and no client that anybody could miss.
 * Networks widen only as far as the offenders are dense: a few bad neighbours condemn no street.
 */
#include "config.h"

#include <stdlib.h>
#include "base/mem.h"
#include "policy/tune/analysis.h"

#define EVIDENCE_MIN 3 /* offences of one client */

struct level {
	unsigned bits;	 /* of the 128 */
	unsigned needed; /* offenders */
};
static const struct level levels4[] = { { 120, 16 }, { 121, 10 }, { 122, 6 }, { 123, 4 },
	{ 124, 3 }, { 125, 3 }, { 126, 3 }, { 128, 1 }, { 0, 0 } };
static const struct level levels6[] = { { 48, 8 }, { 56, 4 }, { 64, 2 }, { 128, 1 }, { 0, 0 } };

struct suspect {
	struct ipkey ip;
	uint32_t client;
	bool offender; /* else protected */
};
struct deny {
	struct analysis *a;
	FILE *out;
	struct suspect *suspect;
	size_t count;
	uint64_t rules;
};

static unsigned
offences(const struct client *c)
{
	return c->pregreet + c->deep + c->ranked + c->spam + c->unknown / UNKNOWN_MASS;
}

static bool
is_own(const struct analysis *a, struct ipkey ip)
{
	struct addr addr = ipkey_to_addr(ip);

	if (addr_is_private(&addr))
		return true;
	return a->options->own != NULL && match_list_addr(a->options->own, &addr) == TABLE_FOUND;
}

static void
suspects_find(struct deny *d)
{
	const struct history *h = d->a->history;
	int64_t keep_s = d->a->options->keep_days * 86400;

	d->suspect = mem_array(h->client_count + 1, sizeof *d->suspect);
	for (size_t i = 0; i < h->client_count; i++) {
		const struct client *c = client_at(h, i);
		enum label label = label_of(d->a, c, trust_of(d->a, c));
		bool offender = label == BAD && c->delivered == 0 && offences(c) >= EVIDENCE_MIN &&
				c->bad_s > 0 && c->bad_s + keep_s > d->a->log_end_s &&
				!is_own(d->a, c->ip);

		if (offender || label == GOOD || c->delivered > 0 ||
		    (label == UNLABELLED && c->pass_old + c->pass_new > 0) || is_own(d->a, c->ip))
			d->suspect[d->count++] = (struct suspect){ c->ip, (uint32_t)i, offender };
	}
}

static int
by_address(const void *x, const void *y)
{
	const struct suspect *a = x, *b = y;

	if (a->ip.hi != b->ip.hi)
		return a->ip.hi < b->ip.hi ? -1 : 1;
	return (a->ip.lo > b->ip.lo) - (a->ip.lo < b->ip.lo);
}

static struct ipkey
key_mask(struct ipkey k, unsigned bits)
{
	if (bits < 64)
		return (struct ipkey){ bits == 0 ? 0 : k.hi & ~0ull << (64 - bits), 0 };
	k.lo &= bits == 64 ? 0 : bits == 128 ? ~0ull : ~0ull << (128 - bits);
	return k;
}

/* Own networks may lie beside the offender inside the rule. */
static bool
covers_own(const struct analysis *a, struct ipkey net, unsigned bits)
{
	uint64_t size = bits >= 120 ? 1ull << (128 - bits) : 1;

	for (uint64_t i = 0; i < size; i++)
		if (is_own(a, (struct ipkey){ net.hi, net.lo + i }))
			return true;
	return false;
}

static void
rule_write(struct deny *d, size_t from, size_t to, unsigned bits)
{
	struct ipkey net = key_mask(d->suspect[from].ip, bits);
	struct addr addr = ipkey_to_addr(net);
	uint64_t sessions = 0, early = 0, deep = 0, ranked = 0, mail = 0;
	int64_t last_s = 0;
	char text[ADDR_TEXT_SIZE];

	for (size_t i = from; i < to; i++) {
		const struct client *c = client_at(d->a->history, d->suspect[i].client);

		sessions += c->sessions;
		early += c->pregreet;
		deep += c->deep;
		ranked += c->ranked;
		mail += c->spam + c->unknown;
		last_s = c->bad_s > last_s ? c->bad_s : last_s;
	}
	fprintf(d->out,
	    "# %zu client%s, %llu sessions: %llu spoke early, %llu broke the protocol, %llu over "
	    "the threshold, "
	    "%llu refused by the backend; last ",
	    to - from, to - from == 1 ? "" : "s", (unsigned long long)sessions,
	    (unsigned long long)early, (unsigned long long)deep, (unsigned long long)ranked,
	    (unsigned long long)mail);
	put_day(d->out, last_s);
	fputs("; remove after ", d->out);
	put_day(d->out, last_s + d->a->options->keep_days * 86400);
	fprintf(d->out, "\n%s/%u reject\n", addr_format(&addr, text),
	    addr.family == 4 ? bits - 96 : bits);
	d->rules++;
}

static void
rules_find(struct deny *d, size_t from, size_t to, const struct level *level)
{
	size_t offenders = 0, children = 0, fewest = SIZE_MAX;
	const struct level *next = level + 1;

	for (size_t i = from; i < to; i++)
		offenders += d->suspect[i].offender;
	if (offenders == 0)
		return;
	for (size_t i = from, end; i < to && next->bits > 0; i = end) {
		struct ipkey child = key_mask(d->suspect[i].ip, next->bits);

		for (end = i;
		     end < to && ipkey_equal(key_mask(d->suspect[end].ip, next->bits), child);
		     end++)
			;
		fewest = end - i < fewest ? end - i : fewest;
		children++;
	}
	if (offenders == to - from && offenders >= level->needed &&
	    (next->bits == 0 || (children > 1 && fewest * 4 >= offenders / children)) &&
	    !covers_own(d->a, key_mask(d->suspect[from].ip, level->bits), level->bits)) {
		rule_write(d, from, to, level->bits);
		return;
	}
	for (size_t i = from, end; i < to && next->bits > 0; i = end) {
		struct ipkey child = key_mask(d->suspect[i].ip, next->bits);

		for (end = i;
		     end < to && ipkey_equal(key_mask(d->suspect[end].ip, next->bits), child);
		     end++)
			;
		rules_find(d, i, end, next);
	}
}

void
denylist(struct analysis *a, FILE *out)
{
	struct deny d = { .a = a, .out = out };

	fputs("# Candidates for postscreen_access_list (cidr: table), by gatehouse-tune "
	      "--denylist.\n# Evidence up to ",
	    out);
	put_day(out, a->log_end_s);
	fprintf(out,
	    ". Each client behind a rule offended at least %d times and delivered nothing;\n"
	    "# no rule covers a client that was good, delivered mail, or passed without fault.\n",
	    EVIDENCE_MIN);
	suspects_find(&d);
	qsort(d.suspect, d.count, sizeof *d.suspect, by_address);
	for (size_t i = 0, end; i < d.count; i = end) {
		const struct level *levels = ipkey_is_v4(d.suspect[i].ip) ? levels4 : levels6;
		struct ipkey net = key_mask(d.suspect[i].ip, levels[0].bits);

		for (end = i;
		     end < d.count && ipkey_equal(key_mask(d.suspect[end].ip, levels[0].bits), net);
		     end++)
			;
		rules_find(&d, i, end, levels);
	}
	fprintf(out, "# %llu rules\n", (unsigned long long)d.rules);
	free(d.suspect);
}
