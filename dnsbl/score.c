#include "config.h"

#include <string.h>
#include "dnsbl/signals.h"
#include "dnsbl/sites.h"

/* As postscreen does: the lower one wins, and any new value wins over "unknown". */
static int64_t
merge_ttl(int64_t old, int64_t ttl)
{
	return old < 0 || old > ttl ? ttl : old;
}

void
score_reset(const struct dnsbl_sites *s, struct dnsbl_score *score, struct dnsbl_answer *answers)
{
	memset(score, 0, sizeof *score);
	score->count = score->pending = (unsigned)dnsbl_domain_count(s);
	score->answers = answers;
	score->fail_ttl = score->pass_ttl = -1;
}

void
dnsbl_score_begin(
    const struct dnsbl_sites *s, struct dnsbl_score *score, struct dnsbl_answer *answers)
{
	score_reset(s, score, answers);
	memset(answers, 0, score->count * sizeof *answers);
	for (size_t i = 0; i < score->count; i++)
		answers[i].ttl = -1;
}

static bool
pair_matches(const struct pair *p, const struct dnsbl_answer *a)
{
	return p->any ? a->count > 0
		      : filter_match_any(&p->filter, (const uint8_t(*)[4])a->ip, a->count);
}

static void
add_weight(struct dnsbl_score *score, struct dnsbl_answer *a, int weight, const char *name)
{
	a->score += weight;
	if (weight > 0)
		score->plus += weight;
	else
		score->minus += weight;
	if (score->name == NULL || weight > score->name_weight) {
		score->name = name;
		score->name_weight = weight;
	}
}

static void
add_pair(struct dnsbl_score *score, struct dnsbl_answer *a, const struct pair *p, const char *name)
{
	bool listed = a->state == DNSBL_LISTED;

	if (listed && pair_matches(p, a))
		add_weight(score, a, p->weight, name);
	if (listed == (p->weight > 0))
		score->fail_ttl = merge_ttl(score->fail_ttl, a->ttl);
	else
		score->pass_ttl = merge_ttl(score->pass_ttl, a->ttl);
}

static void
add_domain(struct dnsbl_score *score, struct dnsbl_answer *a, const struct domain *d)
{
	for (size_t i = d->pair_count; i-- > 0;)
		add_pair(score, a, &d->pairs[i], d->shown);
}

/* A signal has no time to live and leaves that of the lists alone. */
static void
add_signal(struct dnsbl_score *score, struct dnsbl_answer *a, const struct signal *sig)
{
	add_weight(score, a, sig->weight, sig->shown);
}

static int
clamp_allow(const struct dnsbl_sites *s, int minus)
{
	return s->allow_cap > 0 && minus < -s->allow_cap ? -s->allow_cap : minus;
}

void
dnsbl_score_add(const struct dnsbl_sites *s, struct dnsbl_score *score, size_t domain)
{
	struct dnsbl_answer *a = &score->answers[domain];

	a->score = 0;
	score->pending--;
	if (a->state == DNSBL_SKIPPED)
		return;
	if (domain < s->count)
		add_domain(score, a, &s->domains[domain]);
	else if (a->state == DNSBL_LISTED)
		add_signal(score, a, &s->signals[domain - s->count]);
	score->total = score->plus + clamp_allow(s, score->minus);
}

void
dnsbl_score_end(const struct dnsbl_sites *s, struct dnsbl_score *score)
{
	int64_t ttl = score->total > 0 ? score->fail_ttl : score->pass_ttl;

	if (ttl < s->min_ttl_s)
		ttl = s->min_ttl_s;
	score->ttl_s = ttl > s->max_ttl_s ? s->max_ttl_s : ttl;
}

void
dnsbl_score_range(
    const struct dnsbl_sites *s, const struct dnsbl_score *score, int *lowest, int *highest)
{
	int plus = score->plus, minus = score->minus;

	*lowest = score->plus;
	for (size_t i = 0; i < s->count; i++)
		if (score->answers[i].state == DNSBL_PENDING) {
			plus += s->domains[i].highest;
			minus += s->domains[i].lowest;
		}
	for (size_t i = 0; i < s->signal_count; i++)
		if (score->answers[s->count + i].state == DNSBL_PENDING) {
			int weight = s->signals[i].weight;
			plus += weight > 0 ? weight : 0;
			minus += weight < 0 ? weight : 0;
		}
	*lowest += clamp_allow(s, minus);
	*highest = plus + clamp_allow(s, score->minus);
}

enum dnsbl_outlook
dnsbl_score_outlook(const struct dnsbl_sites *s, const struct dnsbl_score *score)
{
	int lowest, highest;

	dnsbl_score_range(s, score, &lowest, &highest);
	if (lowest >= s->threshold)
		return DNSBL_WILL_FAIL;
	if (highest >= s->threshold)
		return DNSBL_OPEN;
	if (s->allow_threshold >= 0 || lowest > s->allow_threshold)
		return DNSBL_WILL_PASS;
	return highest <= s->allow_threshold ? DNSBL_WILL_ALLOW : DNSBL_OPEN;
}

/* Drops what is outside 127/8; true if something was. */
static bool
keep_loopback(struct dnsbl_answer *a)
{
	uint8_t kept = 0;
	bool dropped = false;

	for (uint8_t i = 0; i < a->count; i++) {
		if (a->ip[i][0] != 127) {
			dropped = true;
			continue;
		}
		memmove(a->ip[kept++], a->ip[i], 4);
	}
	a->count = kept;
	return dropped;
}

static void
distrust(struct dnsbl_answer *a, const char *why)
{
	a->state = DNSBL_DISTRUSTED;
	a->count = 0;
	a->ttl = -1;
	a->error = why;
}

void
dnsbl_judge(const struct dnsbl_sites *s, size_t domain, struct dnsbl_answer *a)
{
	const struct domain *d;

	if (domain >= s->count || a->state != DNSBL_LISTED || !s->domains[domain].truth)
		return;
	d = &s->domains[domain];
	for (uint8_t i = 0; i < a->count; i++) {
		const struct error_code *code = code_find(s, d, a->ip[i]);
		if (code != NULL) {
			distrust(a, code->meaning); /* fail open */
			return;
		}
	}
	if (keep_loopback(a) && a->count == 0)
		distrust(a, "answer outside 127.0.0.0/8"); /* fail open */
}
