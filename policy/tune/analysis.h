/*
 * policy/tune/analysis.h: what the history means.
 */
#ifndef POLICY_TUNE_ANALYSIS_H
#define POLICY_TUNE_ANALYSIS_H

#include "policy/tune/history.h"
#include "policy/tune/tune.h"

#define SITES_MAX 64
#define NEEDED_HITS 20           /* labelled clients a list must have named before it is judged */
#define UNKNOWN_MASS 5           /* refused recipients that are no slip of the pen any more */
#define RETURN_WINDOW_S (24 * 3600)
#define HISTORY_PASSES 5         /* PASS OLD, over a day at least: a long history */

enum label { UNLABELLED, GOOD, BAD, LABELS };

/* One entry of a site list: DOMAIN[=FILTER][*WEIGHT]. */
struct site {
	char *text;              /* DOMAIN[=FILTER] */
	char *domain, *shown;
	int weight;
	int list;                /* in the history; -1: never seen there */
	bool in_force;
	bool allow;
};
struct sites {
	struct site site[SITES_MAX];
	size_t count;
	char *text;              /* the whole list */
	int64_t threshold;
	void *scorer;
	int *score;              /* by pattern */
	int *domain_list;        /* list of each domain of the scorer; -1 */
};

/* A share of a sample with its Wilson score interval at 95 %. */
struct share {
	uint64_t hits, of;
	double rate, low, high;
};
struct share share_of(uint64_t hits, uint64_t of);

struct code_figure {
	uint64_t good, bad;      /* clients */
	bool believed;           /* no error code */
};
struct figure {
	const char *shown;
	bool allow, in_force, reported;
	uint64_t queries, hits, unique, decisive, errors;
	struct share fp;         /* good clients it named (for an allow list: bad ones) */
	struct share caught;     /* bad clients it named (for an allow list: good ones) */
	uint64_t labelled_hits;
	char advice[64];
	double stability;        /* -1: not worked out */
	int weight, suggested;   /* summed over its sites */
};

struct fit {
	bool done;
	struct sites *all;       /* in force, and lists seen besides */
	int weight[SITES_MAX];
	int64_t threshold;
	double stability[SITES_MAX];
	const char *verdict[SITES_MAX];
	bool frozen[SITES_MAX];
	uint64_t good, bad;      /* examples */
	struct share fp, missed; /* on all examples */
	struct share fp_before, missed_before;
	struct share held_out;   /* errors on examples not used for fitting */
	char *text;              /* the suggested list */
};

struct change {
	uint32_t client;
	bool blocked;            /* newly; else newly passed */
	enum label label;
	int before, after;
	uint32_t sessions;
};
#define EXAMPLES 20
struct what_if {
	bool done;
	struct sites *sites;
	uint64_t blocked, passed, blocked_sessions, passed_sessions;
	uint64_t by_label[2][LABELS];
	uint64_t allowed[LABELS];
	struct change example[2][EXAMPLES];
	size_t examples[2];
};

#define SCORE_LOW (-20)
#define SCORE_HIGH 40
#define SCORE_BINS (SCORE_HIGH - SCORE_LOW + 1)

struct analysis {
	const struct history *history;
	const struct tune_options *options;
	const struct tune_scorer *scorer;
	struct diag *diag;
	uint32_t log_end_s;
	double days;
	bool guessed_sites, guessed_threshold;
	uint64_t *neighbours;            /* bit set: networks from which mail was taken */
	uint8_t *answer_trusted;         /* by answer: a high-trust allow list said so */
	struct code_figure *code;        /* by answer */
	uint64_t labels[LABELS];
	struct sites in_force;
	struct figure figure[LISTS_MAX];
	uint64_t both[LISTS_MAX][LISTS_MAX]; /* sessions */
	uint64_t histogram[LABELS][SCORE_BINS]; /* sessions by score in force */
	struct fit fit;
	struct what_if what_if;
	uint64_t odd, lines, repeated;
};

/* Wanted lists of answers cleared of what the scorer does not believe; by the list's own domain. */
bool sites_open(struct analysis *, struct sites *, const char *text, int64_t threshold);
void sites_close(struct analysis *, struct sites *);
/* Which sites match each pattern: bit i for site i. To be freed. */
uint64_t *sites_match(struct analysis *, const struct sites *);
/* The score of a pattern without the answers of one list (-1: with all). */
int sites_score(struct analysis *, const struct sites *, const struct pattern *, int without);

/* Lists whose word on this client counts as trust: bit set. */
uint64_t trust_of(const struct analysis *, const struct client *);
/* trust: bits of the lists that may vouch; the list being judged is left out of it. */
enum label label_of(const struct analysis *, const struct client *, uint64_t trust);
void labels_prepare(struct analysis *);

void figures_clients(struct analysis *);  /* labels, and what each list says of the labelled */
void figures_sessions(struct analysis *); /* the rest; needs the sites in force */
void what_if(struct analysis *, struct sites *, int64_t allow);
void fit(struct analysis *);
void denylist(struct analysis *, FILE *out);

void report_text(const struct analysis *, FILE *);
void report_json(const struct analysis *, FILE *);
void report_html(const struct analysis *, FILE *);

/* Pieces the reports share. */
int64_t free_queries_a_day(const char *domain); /* 0: no published limit known */
const char *label_word(enum label);
void put_day(FILE *, int64_t s);                /* 2026-11-21 */
/* Things a reader must know before believing a figure; fn is called once for each. */
void caveats(const struct analysis *, void (*fn)(void *arg, const char *text), void *arg);

#endif
