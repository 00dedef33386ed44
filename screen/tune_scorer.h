/*
 * screen/tune_scorer.h: the daemon's site grammar and scorer, lent to the tuner.
 *
 * The tuner is policy, the lists are a sister room; only from here are both seen.
 */
#ifndef SCREEN_TUNE_SCORER_H
#define SCREEN_TUNE_SCORER_H

#include "policy/tune/tune.h"
#include "rules/rules.h"

/* Where every other parameter of the lists comes from (reply map, error codes, cap of allow lists). */
#define TUNE_OVERRIDES_MAX 64
struct tune_scorer_config {
	const char *dir; /* null: embedded defaults */
	struct rules_override override[TUNE_OVERRIDES_MAX + 2]; /* the last places are the scorer's own */
	size_t overrides;
};

/* One scorer a process; the config is borrowed for as long as it is used. */
const struct tune_scorer *tune_scorer_of(struct tune_scorer_config *);

#endif
