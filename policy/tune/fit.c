/*
 * policy/tune/fit.c: integer weights and a threshold from evidence.
 *
 * The task is small (a few dozen sites, weights of one digit) and its shape is rough, so it is
 * searched, not descended: from several starts, one weight and then two at a time are set to every
 * value they may have, and for each setting every threshold is tried. That costs one histogram a
 * step, whatever the number of clients, because clients with the same matches are counted together.
 */
#include "config.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"
#include "policy/tune/analysis.h"

#define WEIGHT_MAX 8
#define STARTS 10
#define REPLICATES 30
#define FOLDS 5
#define BINS (2 * WEIGHT_MAX * SITES_MAX + 1)
#define ZERO_BIN (WEIGHT_MAX * SITES_MAX)

/* Examples that match the same sites. */
struct group {
	uint64_t match;
	uint32_t good, bad;
};
struct examples {
	struct group *group;
	size_t count, size;
	uint64_t good, bad;
};
struct setting {
	int weight[SITES_MAX];
	int threshold;
};
struct cost {
	uint64_t errors, fp, size;
};
struct search {
	const struct examples *ex;
	size_t sites;
	bool allow[SITES_MAX], frozen[SITES_MAX];
	const struct setting *home; /* among equals, the nearest to this */
	uint64_t fp_max;
};
/* Good and bad by score. */
struct bins {
	uint32_t good[BINS], bad[BINS];
	int low, high; /* occupied */
};

static bool
cheaper(const struct cost *a, const struct cost *b)
{
	if (a->errors != b->errors)
		return a->errors < b->errors;
	return a->fp != b->fp ? a->fp < b->fp : a->size < b->size;
}

static void
bins_clear(struct bins *b)
{
	for (int at = b->low; at <= b->high; at++)
		b->good[at] = b->bad[at] = 0;
	b->low = BINS;
	b->high = -1;
}

static void
bins_add(struct bins *b, int score, const struct group *g)
{
	int at = score + ZERO_BIN < 0 ? 0 : score + ZERO_BIN >= BINS ? BINS - 1 : score + ZERO_BIN;

	b->good[at] += g->good;
	b->bad[at] += g->bad;
	b->low = at < b->low ? at : b->low;
	b->high = at > b->high ? at : b->high;
}

static int
score_of(const struct setting *s, uint64_t match)
{
	int score = 0;

	for (; match != 0; match &= match - 1)
		score += s->weight[__builtin_ctzll(match)];
	return score;
}

/* The best threshold for `parts` histograms, each shifted; *threshold is set. */
static struct cost
best_threshold(const struct search *s, const struct bins *const *part, const int *shift,
    size_t parts, int *threshold)
{
	struct cost best = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	uint64_t fp = 0, caught = 0;
	int high = 0;

	for (size_t i = 0; i < parts; i++)
		if (part[i]->high >= 0 && part[i]->high - ZERO_BIN + shift[i] > high)
			high = part[i]->high - ZERO_BIN + shift[i];
	for (int t = high + 1; t >= 1; t--) {
		struct cost c;

		for (size_t i = 0; i < parts; i++) {
			int at = t - shift[i] + ZERO_BIN;

			if (at < part[i]->low || at > part[i]->high)
				continue;
			fp += part[i]->good[at];
			caught += part[i]->bad[at];
		}
		if (fp > s->fp_max)
			break;
		c = (struct cost){ fp + s->ex->bad - caught, fp,
			(uint64_t)(t > s->home->threshold ? t - s->home->threshold
							  : s->home->threshold - t) };
		if (cheaper(&c, &best)) {
			best = c;
			*threshold = t;
		}
	}
	return best;
}

static uint64_t
distance(const struct search *s, const struct setting *at)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->sites; i++)
		sum += (uint64_t)abs(at->weight[i] - s->home->weight[i]) + (at->weight[i] != 0);
	return sum;
}

static struct cost
evaluate(const struct search *s, struct setting *at)
{
	static struct bins all = { .low = 0, .high = -1 };
	const struct bins *part = &all;
	int shift = 0;
	struct cost c;

	bins_clear(&all);
	for (size_t g = 0; g < s->ex->count; g++)
		bins_add(&all, score_of(at, s->ex->group[g].match), &s->ex->group[g]);
	c = best_threshold(s, &part, &shift, 1, &at->threshold);
	c.size += distance(s, at);
	return c;
}

/* Every value of one site's weight, or of two sites' together (i == k: one). True if one was
 * better. */
static bool
try_sites(const struct search *s, struct setting *at, struct cost *cost, size_t i, size_t k)
{
	static struct bins bin[4] = { { .high = -1 }, { .high = -1 }, { .high = -1 },
		{ .high = -1 } };
	const struct bins *part[4] = { &bin[0], &bin[1], &bin[2], &bin[3] };
	struct setting rest = *at, best = *at, trial;
	size_t parts = i == k ? 2 : 4;
	int sign_i = s->allow[i] ? -1 : 1, sign_k = s->allow[k] ? -1 : 1;
	bool better = false;

	rest.weight[i] = rest.weight[k] = 0;
	for (size_t b = 0; b < parts; b++)
		bins_clear(&bin[b]);
	for (size_t g = 0; g < s->ex->count; g++) {
		uint64_t match = s->ex->group[g].match;
		size_t which = (match >> i & 1) | (i == k ? 0 : (match >> k & 1) << 1);

		bins_add(&bin[which], score_of(&rest, match), &s->ex->group[g]);
	}
	for (int v = 0; v <= WEIGHT_MAX; v++)
		for (int w = 0; w <= (i == k ? 0 : WEIGHT_MAX); w++) {
			int shift[4] = { 0, v * sign_i, w * sign_k, v * sign_i + w * sign_k };
			struct cost c;

			trial = *at;
			trial.weight[i] = v * sign_i;
			if (i != k)
				trial.weight[k] = w * sign_k;
			c = best_threshold(s, part, shift, parts, &trial.threshold);
			if (c.errors == UINT64_MAX)
				continue;
			c.size += distance(s, &trial);
			if (cheaper(&c, cost)) {
				*cost = c;
				best = trial;
				better = true;
			}
		}
	*at = best;
	return better;
}

static struct cost
descend(const struct search *s, struct setting *at, bool pairs)
{
	struct cost cost = evaluate(s, at);
	bool better = true;

	while (better) {
		better = false;
		for (size_t i = 0; i < s->sites; i++)
			if (!s->frozen[i])
				better |= try_sites(s, at, &cost, i, i);
		if (better || !pairs)
			continue;
		for (size_t i = 0; i < s->sites && !better; i++)
			for (size_t k = i + 1; k < s->sites && !better; k++)
				if (!s->frozen[i] && !s->frozen[k])
					better |= try_sites(s, at, &cost, i, k);
	}
	return cost;
}

/* What each site alone says, in steps of a size that grows with `start`. */
static void
start_from_odds(const struct search *s, struct setting *at, int start)
{
	for (size_t i = 0; i < s->sites; i++) {
		double good = 0.5, bad = 0.5, odds;
		int w;

		for (size_t g = 0; g < s->ex->count; g++)
			if (s->ex->group[g].match >> i & 1) {
				good += s->ex->group[g].good;
				bad += s->ex->group[g].bad;
			}
		odds = log(bad / ((double)s->ex->bad + 1)) - log(good / ((double)s->ex->good + 1));
		w = (int)lround(odds * start / 2);
		if (s->frozen[i])
			continue;
		if (s->allow[i])
			at->weight[i] = w > 0 ? 0 : w < -WEIGHT_MAX ? -WEIGHT_MAX : w;
		else
			at->weight[i] = w < 0 ? 0 : w > WEIGHT_MAX ? WEIGHT_MAX : w;
	}
}

static uint64_t
scramble(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Some thousands of groups are too many to look at every pair of sites. */
static bool
pairs_affordable(const struct search *s)
{
	return s->sites * s->sites * (s->ex->count + 5000) < 60000000;
}

static struct cost
search_all(const struct search *s, struct setting *best, int starts)
{
	struct cost best_cost;
	bool pairs = pairs_affordable(s);

	best_cost = descend(s, best, pairs);
	for (int n = 1; n < starts; n++) {
		struct setting at = *s->home;
		struct cost c;

		for (size_t i = 0; n > 4 && i < s->sites; i++)
			if (!s->frozen[i])
				at.weight[i] = (s->allow[i] ? -1 : 1) *
					       (int)(scramble((uint64_t)n * 1000 + i) % 5);
		if (n <= 4)
			start_from_odds(s, &at, n);
		c = descend(s, &at, pairs);
		if (cheaper(&c, &best_cost)) {
			best_cost = c;
			*best = at;
		}
	}
	return best_cost;
}

static void
examples_add(struct examples *ex, uint64_t match, uint32_t good, uint32_t bad)
{
	if (ex->count == ex->size) {
		ex->size = ex->size * 2 + 64;
		ex->group = mem_grow(ex->group, ex->size, sizeof *ex->group);
	}
	ex->group[ex->count++] = (struct group){ match, good, bad };
	ex->good += good;
	ex->bad += bad;
}

static int
by_match(const void *x, const void *y)
{
	const struct group *a = x, *b = y;

	return (a->match > b->match) - (a->match < b->match);
}

static void
examples_merge(struct examples *ex)
{
	size_t kept = 0;

	if (ex->count > 0)
		qsort(ex->group, ex->count, sizeof *ex->group, by_match);
	for (size_t i = 0; i < ex->count; i++) {
		if (kept > 0 && ex->group[kept - 1].match == ex->group[i].match) {
			ex->group[kept - 1].good += ex->group[i].good;
			ex->group[kept - 1].bad += ex->group[i].bad;
		} else {
			ex->group[kept++] = ex->group[i];
		}
	}
	ex->count = kept;
}

/* Labels here never come from a list: all of them are on trial at once. */
struct sample {
	struct analysis *a;
	const uint64_t *match; /* by pattern */
	const uint8_t *label;  /* by client */
};

static uint64_t
cluster_of(const struct client *c, bool by_asn)
{
	return by_asn && c->asn != 0 ? scramble(c->asn + 1) : ipkey_hash(ipkey_cluster(c->ip));
}

/* How often the bootstrap draws this cluster: Poisson with mean one. */
static uint32_t
drawn(uint64_t cluster, int replicate)
{
	double u = (double)(scramble(cluster + (uint64_t)replicate * 0x9e3779b97f4a7c15ull) >> 11) /
		   9007199254740992.0;
	double p = 0.36787944117144233, sum = p;
	uint32_t n = 0;

	while (u > sum && n < 8) {
		p /= ++n;
		sum += p;
	}
	return n;
}

/* fold >= 0: in is what belongs to it, out the rest. replicate >= 0: out is a bootstrap draw. */
static void
sample_take(const struct sample *s, int fold, int replicate, bool by_asn, struct examples *out,
    struct examples *in)
{
	const struct history *h = s->a->history;

	for (size_t i = 0; i < h->client_count; i++) {
		const struct client *c = client_at(h, i);
		uint64_t cluster;
		uint32_t times = 1;
		struct examples *to = out;

		if (s->label[i] == UNLABELLED)
			continue;
		cluster = cluster_of(c, by_asn);
		if (fold >= 0 && (int)(scramble(cluster) % FOLDS) == fold)
			to = in;
		if (replicate >= 0)
			times = drawn(cluster, replicate);
		for (size_t k = 0; times > 0 && k < c->slots; k++)
			examples_add(to, s->match[c->slot[k].pattern],
			    s->label[i] == GOOD ? times : 0, s->label[i] == BAD ? times : 0);
		if (to->count > 1000000)
			examples_merge(to);
	}
	examples_merge(out);
	if (in != NULL)
		examples_merge(in);
}

static void
count_errors(const struct examples *ex, const struct setting *at, uint64_t *fp, uint64_t *missed)
{
	*fp = *missed = 0;
	for (size_t g = 0; g < ex->count; g++)
		if (score_of(at, ex->group[g].match) >= at->threshold)
			*fp += ex->group[g].good;
		else
			*missed += ex->group[g].bad;
}

static uint64_t
fp_ceiling(const struct analysis *a, const struct examples *ex)
{
	return (uint64_t)floor(a->options->max_fp * (double)ex->good + 1e-9);
}

static void
hold_out(struct analysis *a, const struct sample *sample, const struct search *full)
{
	uint64_t errors = 0, of = 0;

	for (int fold = 0; fold < FOLDS; fold++) {
		struct examples train = { 0 }, test = { 0 };
		struct setting at = *full->home;
		struct search s = *full;
		uint64_t fp, missed;

		sample_take(sample, fold, -1, true, &train, &test);
		s.ex = &train;
		s.fp_max = fp_ceiling(a, &train);
		search_all(&s, &at, 6);
		count_errors(&test, &at, &fp, &missed);
		errors += fp + missed;
		of += test.good + test.bad;
		free(train.group);
		free(test.group);
	}
	a->fit.held_out = share_of(errors, of);
}

/* What changes for a site, with weights seen in proportion to their threshold. */
static const char *
change_word(int before, int64_t threshold_before, int after, int64_t threshold)
{
	double was = fabs((double)before / (double)threshold_before),
	       is = fabs((double)after / (double)threshold);

	if (after == 0)
		return "drop";
	if (is > was * 1.2)
		return "raise";
	return is < was * 0.84 ? "lower" : "keep";
}

static void
bootstrap(struct analysis *a, const struct sample *sample, const struct search *base,
    const struct setting *full, const struct setting *before, bool by_asn)
{
	double same[SITES_MAX] = { 0 };
	struct fit *f = &a->fit;

	for (int r = 0; r < REPLICATES; r++) {
		struct examples draw = { 0 };
		struct setting at = *full;
		struct search s = *base;

		sample_take(sample, -1, r, by_asn, &draw, NULL);
		s.ex = &draw;
		s.fp_max = fp_ceiling(a, &draw);
		search_all(&s, &at, 2);
		for (size_t i = 0; i < s.sites; i++)
			same[i] +=
			    strcmp(f->verdict[i], change_word(before->weight[i], before->threshold,
						      at.weight[i], at.threshold)) == 0;
		free(draw.group);
	}
	for (size_t i = 0; i < base->sites; i++)
		if (f->stability[i] < 0 || same[i] / REPLICATES < f->stability[i])
			f->stability[i] = same[i] / REPLICATES;
}

static char *
sites_text(const struct sites *sites, const int *weight)
{
	size_t size = 1;
	struct buf b;
	char *text;

	for (size_t i = 0; i < sites->count; i++)
		size += strlen(sites->site[i].text) + 24;
	text = mem_alloc(size);
	b = buf_over(text, size);
	for (size_t i = 0; i < sites->count; i++) {
		if (weight[i] == 0)
			continue;
		buf_printf(&b, "%s%s", b.len > 0 ? ", " : "", sites->site[i].text);
		if (weight[i] != 1)
			buf_printf(&b, "*%d", weight[i]);
	}
	return text;
}

static void
search_prepare(struct analysis *a, struct search *s, struct setting *before)
{
	struct fit *f = &a->fit;

	s->sites = f->all->count;
	before->threshold = (int)a->in_force.threshold;
	for (size_t i = 0; i < s->sites; i++) {
		const struct site *site = &f->all->site[i];
		const struct figure *figure = site->list < 0 ? NULL : &a->figure[site->list];

		s->allow[i] = site->weight < 0 || (site->weight == 0 && site->allow);
		before->weight[i] = site->in_force ? site->weight : 0;
		f->frozen[i] = s->frozen[i] = figure == NULL || figure->labelled_hits < NEEDED_HITS;
		f->stability[i] = -1;
	}
}

/* A long list of small weights is as good as one of large ones, and easier to read. */
static void
setting_reduce(struct setting *at, size_t sites)
{
	for (int divisor = WEIGHT_MAX; divisor > 1; divisor--) {
		bool even = at->threshold % divisor == 0;

		for (size_t i = 0; i < sites; i++)
			even &= at->weight[i] % divisor == 0;
		if (!even)
			continue;
		for (size_t i = 0; i < sites; i++)
			at->weight[i] /= divisor;
		at->threshold /= divisor;
	}
}

static bool
any_frozen_weight(const struct search *s, const struct setting *at)
{
	for (size_t i = 0; i < s->sites; i++)
		if (s->frozen[i] && at->weight[i] != 0)
			return true;
	return false;
}

static void
fit_run(struct analysis *a, const struct sample *sample, const struct examples *all)
{
	struct fit *f = &a->fit;
	struct setting before = { .threshold = 1 }, full;
	struct search s = { .ex = all, .home = &before, .fp_max = fp_ceiling(a, all) };
	uint64_t fp, missed;
	bool asn_known = false;

	search_prepare(a, &s, &before);
	full = before;
	search_all(&s, &full, STARTS);
	if (!any_frozen_weight(&s, &full))
		setting_reduce(&full, s.sites);
	memcpy(f->weight, full.weight, sizeof f->weight);
	f->threshold = full.threshold;
	for (size_t i = 0; i < s.sites; i++)
		f->verdict[i] =
		    change_word(before.weight[i], before.threshold, full.weight[i], full.threshold);
	f->good = all->good;
	f->bad = all->bad;
	count_errors(all, &full, &fp, &missed);
	f->fp = share_of(fp, all->good);
	f->missed = share_of(missed, all->bad);
	count_errors(all, &before, &fp, &missed);
	f->fp_before = share_of(fp, all->good);
	f->missed_before = share_of(missed, all->bad);
	hold_out(a, sample, &s);
	bootstrap(a, sample, &s, &full, &before, false);
	for (size_t i = 0; !asn_known && i < a->history->client_count; i++)
		asn_known = client_at(a->history, i)->asn != 0;
	if (asn_known)
		bootstrap(a, sample, &s, &full, &before, true);
	f->text = sites_text(f->all, f->weight);
	f->done = true;
}

/* What the fit says of a list goes into the table of lists; the site named most decides. */
static void
advice_from_fit(struct analysis *a)
{
	struct fit *f = &a->fit;

	for (size_t i = 0; i < f->all->count; i++) {
		const struct site *s = &f->all->site[i];
		struct figure *figure = s->list < 0 ? NULL : &a->figure[s->list];
		struct buf advice;

		if (figure == NULL)
			continue;
		figure->suggested += f->weight[i];
		if (f->frozen[i])
			continue;
		if (f->stability[i] < 0.6 && s->in_force && !a->guessed_sites)
			f->verdict[i] = "keep";
		figure->stability = f->stability[i];
		advice = BUF(figure->advice);
		buf_puts(&advice, a->guessed_sites && strcmp(f->verdict[i], "drop") != 0
				      ? "keep"
				      : f->verdict[i]);
	}
}

void
fit(struct analysis *a)
{
	const struct history *h = a->history;
	uint8_t *label = mem_array(h->client_count + 1, 1);
	struct sample sample = { .a = a, .label = label };
	struct examples all = { 0 };
	uint64_t *match;

	for (size_t i = 0; i < h->client_count; i++)
		label[i] = (uint8_t)label_of(a, client_at(h, i), 0);
	sample.match = match = sites_match(a, a->fit.all);
	sample_take(&sample, -1, -1, false, &all, NULL);
	if (all.good > 0 && all.bad > 0) {
		fit_run(a, &sample, &all);
		advice_from_fit(a);
	}
	a->fit.good = all.good;
	a->fit.bad = all.bad;
	free(all.group);
	free(match);
	free(label);
}
