/*
 * policy/tune/tune.h: block lists tuned from evidence.
 *
 * For: reading the logs a site already has (Postfix or Gatehouse), putting sessions together again,
 * telling good clients from bad ones without looking at mail, and saying what each list is worth,
 * what other weights would have done, and which weights to use. Not for: the daemon. Nothing here asks
 * the network, and nothing here is linked into the processes that see clients.
 *
 * The tuner judges with the daemon's own site grammar and scorer. They live in a sister room, so the
 * program lends them: struct tune_scorer.
 */
#ifndef POLICY_TUNE_TUNE_H
#define POLICY_TUNE_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/addr.h"
#include "rules/rules.h"

/* What one list answered about one client: A records; count 0 is "not listed". */
#define TUNE_ANSWERS_MAX 16
struct tune_answer {
	uint8_t count;
	uint8_t ip[TUNE_ANSWERS_MAX][4];
};

struct tune_scorer {
	/* Parses a site list in the daemon's grammar. Null on an error, which is in the diag. */
	void *(*open)(const char *sites, struct diag *);
	void (*close)(void *);
	size_t (*count)(const void *);                  /* domains */
	const char *(*domain)(const void *, size_t i);  /* as the operator wrote it, as in Postfix's logs */
	const char *(*shown)(const void *, size_t i);   /* fit for strangers: after reply map, masked */
	/* The total of these answers, one a domain, as the daemon would compute it. */
	int (*score)(const void *, const struct tune_answer *answers);
};

/* Everything learned from the logs. Grows with the number of distinct clients only: see tune_bytes(). */
struct tune;
struct tune *tune_new(void);
void tune_free(struct tune **);

/*
 * Reads logs: syslog, RFC 5424, ISO-stamped and Postfix's own files, Gatehouse session records; plain,
 * gzip or zstd, by their first bytes. Rotated sets are read oldest first, records before logs. "-" is
 * standard input. now_s: for dates without a year. progress may be null; total is 0 if not known.
 * False if a file could not be read to its end (the reason is in the diag; the others are still read).
 */
typedef void tune_progress_fn(void *arg, uint64_t done, uint64_t total);
bool tune_read(struct tune *, char *const *paths, size_t count, int64_t now_s, tune_progress_fn *,
    void *arg, struct diag *);
/* The same for one piece of text: whole lines, the last may lack its newline. */
void tune_feed(struct tune *, const char *bytes, size_t len, int64_t now_s);
/* Closes the sessions still open. Call once, after all input and before any report. */
void tune_finish(struct tune *);

uint64_t tune_lines(const struct tune *);
uint64_t tune_odd_lines(const struct tune *);
uint64_t tune_sessions(const struct tune *);
uint64_t tune_clients(const struct tune *);
size_t tune_bytes(const struct tune *);  /* memory that depends on the input */

/* What to work out and how to show it. */
struct tune_options {
	const char *sites;       /* in force; null: every list seen, one point each */
	int64_t threshold;       /* in force; 0: the lowest rank ever logged, or 1 */
	const char *what_if;     /* null: none */
	int64_t what_if_threshold, what_if_allow; /* 0: threshold in force; 0: off */
	bool suggest;
	double max_fp;           /* ceiling for suggestions, as a share of good clients */
	bool denylist;
	const struct match_list *own; /* networks never denied, besides private ones; may be null */
	int64_t keep_days;       /* life of a denylist candidate */
	bool json;
	FILE *html;              /* null: none */
	unsigned width;          /* columns of the text report */
};
#define TUNE_MAX_FP_DEFAULT 0.0004 /* one good client in 2 500 */
#define TUNE_KEEP_DAYS_DEFAULT 30

/*
 * Writes the report (text, or JSON, or the denylist) to out and the page to options->html. False, with
 * the reason in the diag, if a site list has errors.
 */
bool tune_report(struct tune *, const struct tune_options *, const struct tune_scorer *, FILE *out,
    struct diag *);

#endif
