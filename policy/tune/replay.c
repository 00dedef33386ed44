/*
 * policy/tune/replay.c: site lists over history, through the daemon's own scorer.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"
#include "policy/tune/analysis.h"

/* The answers of a pattern, one entry a domain of the scorer. */
static void
answers_fill(const struct analysis *a, const struct sites *sites, const struct pattern *p,
    int without, struct tune_answer *out, size_t domains)
{
	const struct history *h = a->history;

	for (size_t d = 0; d < domains; d++) {
		int list = sites->domain_list[d];

		out[d].count = 0;
		if (list < 0 || list == without || !(p->lists >> list & 1))
			continue;
		for (size_t i = 0; i < p->count && out[d].count < TUNE_ANSWERS_MAX; i++) {
			const struct answer *answer = &h->answers[h->codes[p->offset + i]];

			if (answer->list == list)
				memcpy(out[d].ip[out[d].count++], answer->ip, 4);
		}
	}
}

int
sites_score(struct analysis *a, const struct sites *sites, const struct pattern *p, int without)
{
	size_t domains = a->scorer->count(sites->scorer);
	struct tune_answer answers[SITES_MAX];

	assert(domains <= SITES_MAX);
	answers_fill(a, sites, p, without, answers, domains);
	return a->scorer->score(sites->scorer, answers);
}

/* Logs have the name as written; records have the one fit for strangers. */
static int
list_named(const struct history *h, const char *name, const char *shown)
{
	for (size_t i = 0; i < h->list_count; i++)
		if (strcmp(h->lists[i].name, name) == 0)
			return (int)i;
	for (size_t i = 0; i < h->list_count; i++)
		if (strcmp(h->lists[i].name, shown) == 0)
			return (int)i;
	return -1;
}

/* "DOMAIN=FILTER*WEIGHT"; the scorer has seen that it is well-formed. */
static void
site_split(struct site *s, struct span token)
{
	const char *star = memchr(token.p, '*', token.len), *equals;
	size_t len = star == NULL ? token.len : (size_t)(star - token.p);
	int64_t weight = 1;

	if (star != NULL)
		(void)span_int(span_trim((struct span){ star + 1, token.len - len - 1 }), -100000,
		    100000, &weight);
	equals = memchr(token.p, '=', len);
	s->text = mem_strndup(token.p, len);
	s->domain = mem_strndup(token.p, equals == NULL ? len : (size_t)(equals - token.p));
	s->weight = (int)weight;
	s->list = -1;
	s->allow = weight < 0;
}

static void
sites_split(struct analysis *a, struct sites *sites, const char *text)
{
	struct span rest = span_of(text), token;

	while ((token = span_token(&rest, ", \t\r\n")).len > 0) {
		struct site *s = &sites->site[sites->count];

		if (sites->count == SITES_MAX) {
			diag_add(a->diag, DIAG_WARNING, NULL, 0,
			    "only the first %d sites are looked at", SITES_MAX);
			return;
		}
		site_split(s, token);
		for (size_t d = 0; d < a->scorer->count(sites->scorer); d++)
			if (strcmp(a->scorer->domain(sites->scorer, d), s->domain) == 0) {
				s->shown = mem_strdup(a->scorer->shown(sites->scorer, d));
				s->list = sites->domain_list[d];
			}
		if (s->shown == NULL)
			s->shown = mem_strdup(s->domain);
		sites->count++;
	}
}

bool
sites_open(struct analysis *a, struct sites *sites, const char *text, int64_t threshold)
{
	const struct history *h = a->history;
	size_t domains;

	memset(sites, 0, sizeof *sites);
	sites->scorer = a->scorer->open(text, a->diag);
	if (sites->scorer == NULL)
		return false;
	domains = a->scorer->count(sites->scorer);
	if (domains > SITES_MAX) {
		diag_add(a->diag, DIAG_ERROR, NULL, 0, "%zu lists; at most %d can be replayed",
		    domains, SITES_MAX);
		a->scorer->close(sites->scorer);
		return false;
	}
	sites->text = mem_strdup(text);
	sites->threshold = threshold;
	sites->domain_list = mem_array(domains + 1, sizeof *sites->domain_list);
	for (size_t d = 0; d < domains; d++)
		sites->domain_list[d] = list_named(
		    h, a->scorer->domain(sites->scorer, d), a->scorer->shown(sites->scorer, d));
	sites_split(a, sites, text);
	sites->score = mem_array(h->pattern_count, sizeof *sites->score);
	for (size_t i = 0; i < h->pattern_count; i++)
		sites->score[i] = sites_score(a, sites, &h->patterns[i], -1);
	return true;
}

void
sites_close(struct analysis *a, struct sites *sites)
{
	for (size_t i = 0; i < sites->count; i++) {
		free(sites->site[i].text);
		free(sites->site[i].domain);
		free(sites->site[i].shown);
	}
	if (sites->scorer != NULL)
		a->scorer->close(sites->scorer);
	free(sites->text);
	free(sites->score);
	free(sites->domain_list);
	memset(sites, 0, sizeof *sites);
}

/* A site alone, worth one point, scores one where it matches: so the filter is the daemon's own. */
uint64_t *
sites_match(struct analysis *a, const struct sites *sites)
{
	const struct history *h = a->history;
	uint64_t *match = mem_array(h->pattern_count, sizeof *match);

	for (size_t s = 0; s < sites->count; s++) {
		int list = sites->site[s].list;
		struct sites alone = { .domain_list = &list };

		alone.scorer = list < 0 ? NULL : a->scorer->open(sites->site[s].text, a->diag);
		if (alone.scorer == NULL)
			continue;
		for (size_t i = 0; i < h->pattern_count; i++)
			if ((h->patterns[i].lists >> list & 1) &&
			    sites_score(a, &alone, &h->patterns[i], -1) != 0)
				match[i] |= 1ull << s;
		a->scorer->close(alone.scorer);
	}
	return match;
}

static void
example_add(struct what_if *w, const struct change *c)
{
	struct change *list = w->example[!c->blocked];
	size_t *count = &w->examples[!c->blocked], at = *count;

	/* Good clients first, then those seen most. */
	while (at > 0 && ((c->label == GOOD) > (list[at - 1].label == GOOD) ||
			     ((c->label == GOOD) == (list[at - 1].label == GOOD) &&
				 c->sessions > list[at - 1].sessions)))
		at--;
	if (at == EXAMPLES)
		return;
	if (*count == EXAMPLES)
		(*count)--;
	memmove(&list[at + 1], &list[at], (*count - at) * sizeof *list);
	list[at] = *c;
	(*count)++;
}

/* One client under both lists. Its verdict is that of any pattern it ever showed. */
static void
client_replay(struct analysis *a, struct what_if *w, uint32_t index, int64_t allow)
{
	const struct client *c = client_at(a->history, index);
	enum label label = label_of(a, c, trust_of(a, c));
	struct change blocked = { index, true, label, 0, 0, 0 },
		      passed = { index, false, label, 0, 0, 0 };
	bool allowed = false;

	for (size_t i = 0; i < c->slots; i++) {
		const struct slot *s = &c->slot[i];
		int before = a->in_force.score[s->pattern], after = w->sites->score[s->pattern];
		bool was = a->guessed_sites ? s->blocked > 0 : before >= a->in_force.threshold;
		bool is = after >= w->sites->threshold;
		struct change *change = is ? &blocked : &passed;

		allowed |= allow < 0 && after <= allow;
		if (was == is)
			continue;
		change->sessions += s->sessions;
		change->before = before;
		change->after = after;
	}
	w->allowed[label] += allowed;
	if (blocked.sessions > 0) {
		w->blocked++;
		w->blocked_sessions += blocked.sessions;
		w->by_label[0][label]++;
		example_add(w, &blocked);
	}
	if (passed.sessions > 0) {
		w->passed++;
		w->passed_sessions += passed.sessions;
		w->by_label[1][label]++;
		example_add(w, &passed);
	}
}

void
what_if(struct analysis *a, struct sites *sites, int64_t allow)
{
	struct what_if *w = &a->what_if;

	w->done = true;
	w->sites = sites;
	for (size_t i = 0; i < a->history->client_count; i++)
		client_replay(a, w, (uint32_t)i, allow);
}
