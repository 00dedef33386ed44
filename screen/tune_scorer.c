/*
 * screen/tune_scorer.c: see tune_scorer.h.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/dnsbl.h"
#include "screen/tune_scorer.h"

static struct tune_scorer_config *config;

struct parsed {
	struct rules *rules;
	struct dnsbl_sites *sites;
};

static void
errors_only(void *arg, enum diag_level level, const char *text)
{
	if (level == DIAG_ERROR)
		diag_add(arg, level, NULL, 0, "%s", text);
}

static void
parsed_close(void *p)
{
	struct parsed *parsed = p;

	dnsbl_sites_free(&parsed->sites);
	rules_free(&parsed->rules);
	free(parsed);
}

static void *
parsed_open(const char *text, struct diag *diag)
{
	struct parsed *p = mem_alloc(sizeof *p);
	struct diag *own = diag_new();
	bool fine;

	config->override[config->overrides] =
	    (struct rules_override){ "postscreen_dnsbl_sites", text };
	/* Lists are judged here; what other evidence said of a client is no merit or fault of theirs. */
	config->override[config->overrides + 1] =
	    (struct rules_override){ "gatehouse_score_rules", "" };
	p->rules = rules_load(config->dir, config->override, config->overrides + 2, own);
	if (p->rules != NULL)
		p->sites = dnsbl_sites_load(p->rules, own);
	fine = p->sites != NULL && diag_count(own, DIAG_ERROR) == 0;
	diag_each(own, errors_only, diag);
	diag_free(&own);
	if (fine)
		return p;
	parsed_close(p);
	return NULL;
}

static size_t
parsed_count(const void *p)
{
	return dnsbl_domain_count(((const struct parsed *)p)->sites);
}

static const char *
parsed_domain(const void *p, size_t i)
{
	return dnsbl_domain_name(((const struct parsed *)p)->sites, i);
}

static const char *
parsed_shown(const void *p, size_t i)
{
	return dnsbl_domain_shown(((const struct parsed *)p)->sites, i);
}

#define DOMAINS_MAX 64
static int
parsed_score(const void *p, const struct tune_answer *from)
{
	const struct dnsbl_sites *sites = ((const struct parsed *)p)->sites;
	struct dnsbl_answer answers[DOMAINS_MAX];
	struct dnsbl_score score;
	size_t count = dnsbl_domain_count(sites);

	if (count > DOMAINS_MAX)
		return 0;
	dnsbl_score_begin(sites, &score, answers);
	for (size_t i = 0; i < count; i++) {
		answers[i].ttl = -1;
		answers[i].count = from[i].count;
		memcpy(answers[i].ip, from[i].ip, sizeof from[i].ip);
		answers[i].state = from[i].count > 0 ? DNSBL_LISTED : DNSBL_NOT_LISTED;
		dnsbl_judge(sites, i, &answers[i]);
		dnsbl_score_add(sites, &score, i);
	}
	dnsbl_score_end(sites, &score);
	return score.total;
}
_Static_assert(TUNE_ANSWERS_MAX == DNSBL_ANSWERS_MAX, "answers are copied whole");

static const struct tune_scorer scorer = { parsed_open, parsed_close, parsed_count, parsed_domain,
	parsed_shown, parsed_score };

const struct tune_scorer *
tune_scorer_of(struct tune_scorer_config *from)
{
	config = from;
	return &scorer;
}
