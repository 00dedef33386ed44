/*
 * policy/tune/figures.c: what each list did.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "policy/tune/analysis.h"

struct share
share_of(uint64_t hits, uint64_t of)
{
	const double z = 1.959964;
	double n = (double)of, p = of == 0 ? 0 : (double)hits / n, middle, half;

	if (of == 0)
		return (struct share){ hits, of, 0, 0, 1 };
	middle = (p + z * z / (2 * n)) / (1 + z * z / n);
	half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n);
	return (struct share){ hits, of, p, hits == 0 ? 0 : fmax(0, middle - half),
		hits == of ? 1 : fmin(1, middle + half) };
}

/* Sessions, exactly: by pattern. */
static void
count_sessions(struct analysis *a)
{
	const struct history *h = a->history;

	for (size_t i = 0; i < h->pattern_count; i++) {
		const struct pattern *p = &h->patterns[i];
		uint64_t lists = 0, blocks = 0;

		for (size_t k = 0; k < p->count; k++) {
			uint16_t code = h->codes[p->offset + k];

			if (a->code[code].believed)
				lists |= 1ull << h->answers[code].list;
			else
				a->figure[h->answers[code].list].errors += p->sessions;
		}
		for (size_t l = 0; l < h->list_count; l++)
			if ((lists >> l & 1) && !a->figure[l].allow)
				blocks |= 1ull << l;
		for (size_t l = 0; l < h->list_count; l++) {
			struct figure *f = &a->figure[l];
			bool is, was;

			if (!(lists >> l & 1))
				continue;
			f->hits += p->sessions;
			f->unique += blocks == 1ull << l || (f->allow && lists == 1ull << l)
					 ? p->sessions
					 : 0;
			is = a->in_force.score[i] >= a->in_force.threshold;
			was = sites_score(a, &a->in_force, p, (int)l) >= a->in_force.threshold;
			f->decisive += is != was ? p->sessions : 0;
			for (size_t m = 0; m < h->list_count; m++)
				a->both[l][m] += lists >> m & 1 ? p->sessions : 0;
		}
	}
}

static void
count_codes(struct analysis *a, enum label label, const uint64_t seen[ANSWERS_MAX / 64])
{
	for (size_t i = 0; i < a->history->answer_count; i++)
		if (seen[i / 64] >> i % 64 & 1) {
			a->code[i].good += label == GOOD;
			a->code[i].bad += label == BAD;
		}
}

/* Clients, by label; each list is judged by labels that do not come from it. */
static void
count_client(struct analysis *a, const struct client *c, uint64_t good[2][LISTS_MAX],
    uint64_t bad[2][LISTS_MAX])
{
	const struct history *h = a->history;
	uint64_t trust = trust_of(a, c), lists = 0, seen[ANSWERS_MAX / 64] = { 0 };
	enum label label = label_of(a, c, trust);

	a->labels[label]++;
	if (c->slots == 0)
		return;
	for (size_t s = 0; s < c->slots; s++) {
		const struct pattern *p = &h->patterns[c->slot[s].pattern];

		for (size_t k = 0; k < p->count; k++) {
			uint16_t code = h->codes[p->offset + k];

			seen[code / 64] |= 1ull << code % 64;
			if (a->code[code].believed)
				lists |= 1ull << h->answers[code].list;
		}
	}
	if (label != UNLABELLED)
		count_codes(a, label, seen);
	for (size_t l = 0; l < h->list_count; l++) {
		bool hit = lists >> l & 1;
		enum label other = trust >> l & 1 ? label_of(a, c, trust & ~(1ull << l)) : label;

		good[hit][l] += other == GOOD;
		bad[hit][l] += other == BAD;
	}
}

/* Where no configuration says what a list is for, its name may, or else those it names. */
static bool
is_allow(const char *name, const struct share *good, const struct share *bad)
{
	static const char *const words[] = { "dnswl", "swl.", "white", "allow", "wl." };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strstr(name, words[i]) != NULL)
			return true;
	return good->hits >= NEEDED_HITS && good->hits >= 9 * bad->hits &&
	       good->rate > 4 * bad->rate;
}

static void
direction(struct analysis *a, struct figure *f, int list)
{
	bool named = false, negative = true;

	f->weight = 0;
	for (size_t i = 0; i < a->in_force.count; i++) {
		const struct site *s = &a->in_force.site[i];

		if (s->list != list)
			continue;
		named = true;
		negative &= s->weight < 0;
		f->shown = s->shown;
		f->weight += s->weight;
	}
	if (named)
		f->allow = negative;
	f->in_force = named;
}

void
figures_clients(struct analysis *a)
{
	uint64_t good[2][LISTS_MAX] = { { 0 } }, bad[2][LISTS_MAX] = { { 0 } };

	for (size_t i = 0; i < a->history->client_count; i++)
		count_client(a, client_at(a->history, i), good, bad);
	for (size_t l = 0; l < a->history->list_count; l++) {
		struct figure *f = &a->figure[l];
		struct share of_good = share_of(good[1][l], good[0][l] + good[1][l]);
		struct share of_bad = share_of(bad[1][l], bad[0][l] + bad[1][l]);

		f->stability = -1;
		f->shown = a->history->lists[l].name;
		f->allow = is_allow(f->shown, &of_good, &of_bad);
		direction(a, f, (int)l);
		f->fp = f->allow ? of_bad : of_good;
		f->caught = f->allow ? of_good : of_bad;
		f->labelled_hits = good[1][l] + bad[1][l];
	}
}

static void
score_count(struct analysis *a, const struct client *c, enum label label)
{
	for (size_t s = 0; s < c->slots; s++) {
		int score = a->in_force.score[c->slot[s].pattern];

		score = score < SCORE_LOW ? SCORE_LOW : score > SCORE_HIGH ? SCORE_HIGH : score;
		a->histogram[label][score - SCORE_LOW] += c->slot[s].sessions;
	}
}

/* Without a fit: what the figures alone say. */
static void
advise(struct analysis *a, struct figure *f)
{
	bool costly = f->fp.low > a->options->max_fp && f->fp.rate * 20 > f->caught.rate;
	bool idle = f->unique == 0 && f->decisive == 0 && !costly;
	const char *word = "keep";

	if (f->labelled_hits < NEEDED_HITS && !(f->hits == 0 && f->queries >= 10000)) {
		snprintf(f->advice, sizeof f->advice, "needs more data (%llu)",
		    (unsigned long long)f->labelled_hits);
		return;
	}
	if (f->hits == 0 || f->caught.rate <= f->fp.rate || idle)
		word = "drop";
	else if (costly)
		word = "lower";
	snprintf(f->advice, sizeof f->advice, "%s", word);
}

void
figures_sessions(struct analysis *a)
{
	const struct history *h = a->history;

	count_sessions(a);
	for (size_t i = 0; i < h->client_count; i++) {
		const struct client *c = client_at(h, i);

		score_count(a, c, label_of(a, c, trust_of(a, c)));
	}
	for (size_t l = 0; l < h->list_count; l++) {
		struct figure *f = &a->figure[l];

		/* A log says only who is listed: whoever was scored was asked about everywhere. */
		f->queries = h->lists[l].asked + h->scored_unsaid;
		f->errors += h->lists[l].errors;
		f->reported = f->hits + f->errors + h->lists[l].timeouts + h->lists[l].asked > 0 ||
			      f->in_force;
		if (a->guessed_sites)
			f->in_force = false;
		advise(a, f);
	}
}

int64_t
free_queries_a_day(const char *domain)
{
	static const struct {
		const char *zone;
		int64_t queries;
	} limits[] = { { "spamhaus.org", 300000 }, { "dnswl.org", 100000 } };
	size_t len = strlen(domain);

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		size_t zone = strlen(limits[i].zone);

		if (len >= zone && strcmp(domain + len - zone, limits[i].zone) == 0)
			return limits[i].queries;
	}
	return 0;
}
