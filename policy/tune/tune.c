/*
 * policy/tune/tune.c: from a history to a report.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/mem.h"
#include "base/text.h"
#include "policy/tune/analysis.h"
#include "policy/tune/scan.h"

/* An answer that scores nothing on its list alone is an error code, or lies outside 127/8. */
static void
codes_judge(struct analysis *a)
{
	const struct history *h = a->history;

	a->code = mem_array(h->answer_count + 1, sizeof *a->code);
	for (size_t l = 0; l < h->list_count; l++) {
		struct diag *quiet =
		    diag_new(); /* a name in a log need not be one in the grammar */
		void *alone = a->scorer->open(h->lists[l].name, quiet);

		for (size_t i = 0; i < h->answer_count; i++) {
			struct tune_answer answer = { .count = 1 };

			if (h->answers[i].list != l)
				continue;
			memcpy(answer.ip[0], h->answers[i].ip, 4);
			a->code[i].believed = alone != NULL && a->scorer->count(alone) == 1 &&
					      a->scorer->score(alone, &answer) != 0;
		}
		if (alone != NULL)
			a->scorer->close(alone);
		diag_free(&quiet);
	}
}

static bool
list_usable(const struct analysis *a, size_t list)
{
	const struct history *h = a->history;

	for (size_t i = 0; i < h->answer_count; i++)
		if (h->answers[i].list == list && a->code[i].believed)
			return true;
	return false;
}

/* Every list seen that `besides` does not name. Weights: 1 and -1, or 0 for all. To be freed. */
static char *
sites_seen(const struct analysis *a, const struct sites *besides, const char *start)
{
	const struct history *h = a->history;
	size_t size = strlen(start) + (LIST_NAME_SIZE + 8) * LISTS_MAX + 1;
	char *text = mem_alloc(size);
	struct buf b = buf_over(text, size);

	buf_puts(&b, start);
	for (size_t l = 0; l < h->list_count; l++) {
		bool named = !list_usable(a, l);

		for (size_t i = 0; besides != NULL && i < besides->count; i++)
			named |= besides->site[i].list == (int)l;
		if (named)
			continue;
		buf_printf(&b, "%s%s%s", b.len > 0 ? ", " : "", h->lists[l].name,
		    a->figure[l].allow ? "*-1" : "");
	}
	return text;
}

static int64_t
threshold_in_force(const struct analysis *a)
{
	if (a->options->threshold > 0)
		return a->options->threshold;
	return a->history->rank_min > 0 && a->history->rank_min < 1000 ? a->history->rank_min : 1;
}

/* Lists in force that never said anything still have their line in the report. */
static void
lists_complete(struct history *h, const struct tune_scorer *scorer, const char *sites)
{
	struct diag *quiet = diag_new();
	void *parsed = scorer->open(sites, quiet);

	for (size_t d = 0; parsed != NULL && d < scorer->count(parsed); d++) {
		const char *name = scorer->domain(parsed, d), *shown = scorer->shown(parsed, d);
		bool known = false;

		for (size_t l = 0; l < h->list_count; l++)
			known |= strcmp(h->lists[l].name, name) == 0 ||
				 strcmp(h->lists[l].name, shown) == 0;
		if (!known)
			history_list(h, name, strlen(name));
	}
	if (parsed != NULL)
		scorer->close(parsed);
	diag_free(&quiet);
}

static bool
fit_sites(struct analysis *a, struct sites *all)
{
	char *text = sites_seen(a, &a->in_force, a->in_force.text);
	bool fine = sites_open(a, all, text, a->in_force.threshold);

	for (size_t i = 0; fine && i < all->count; i++)
		all->site[i].in_force = i < a->in_force.count;
	a->fit.all = all;
	free(text);
	return fine;
}

static bool
in_force_open(struct analysis *a)
{
	bool fine;
	char *text;

	if (!a->guessed_sites)
		return true;
	text = sites_seen(a, NULL, "");
	fine = sites_open(a, &a->in_force, text, threshold_in_force(a));
	free(text);
	return fine;
}

static void
analysis_free(struct analysis *a)
{
	sites_close(a, &a->in_force);
	free(a->neighbours);
	free(a->answer_trusted);
	free(a->code);
	free(a->fit.text);
	free(a);
}

static void
report_write(struct analysis *a, FILE *out)
{
	if (a->options->denylist)
		denylist(a, out);
	else if (a->options->json)
		report_json(a, out);
	else
		report_text(a, out);
	if (a->options->html != NULL)
		report_html(a, a->options->html);
}

static bool
analyse(struct analysis *a, FILE *out)
{
	const struct tune_options *o = a->options;
	struct sites all = { 0 }, trial = { 0 };
	bool fine = true;

	codes_judge(a);
	labels_prepare(a);
	figures_clients(a);
	if (!in_force_open(a))
		return false;
	figures_sessions(a);
	if (o->what_if != NULL) {
		fine = sites_open(a, &trial, o->what_if,
		    o->what_if_threshold > 0 ? o->what_if_threshold : a->in_force.threshold);
		if (fine)
			what_if(a, &trial, o->what_if_allow);
	}
	if (fine && o->suggest && (fine = fit_sites(a, &all)))
		fit(a);
	if (fine)
		report_write(a, out);
	sites_close(a, &all);
	sites_close(a, &trial);
	return fine;
}

bool
tune_report(struct tune *t, const struct tune_options *o, const struct tune_scorer *scorer,
    FILE *out, struct diag *diag)
{
	struct analysis *a = mem_alloc(sizeof *a);
	const struct history *h = t->history;
	bool fine = true;

	a->history = h;
	a->options = o;
	a->scorer = scorer;
	a->diag = diag;
	a->odd = t->odd;
	a->lines = t->lines;
	a->repeated = t->repeated;
	a->days = h->sessions == 0 || h->last_s <= h->first_s
		      ? 0
		      : (double)(h->last_s - h->first_s) / 86400;
	a->guessed_sites = o->sites == NULL || *o->sites == '\0';
	a->guessed_threshold = o->threshold <= 0;
	if (!a->guessed_sites) {
		lists_complete(t->history, scorer, o->sites);
		fine = sites_open(a, &a->in_force, o->sites, threshold_in_force(a));
	}
	fine = fine && analyse(a, out);
	analysis_free(a);
	return fine;
}

void
put_day(FILE *out, int64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;
	char text[16];

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%d", &tm);
	fputs(text, out);
}

void
caveats(const struct analysis *a, void (*fn)(void *arg, const char *text), void *arg)
{
	const struct history *h = a->history;
	uint64_t labelled = a->labels[GOOD] + a->labels[BAD];
	char text[512];

	snprintf(text, sizeof text,
	    "%llu of %llu clients could not be told good from bad; nothing is said about them.",
	    (unsigned long long)a->labels[UNLABELLED],
	    (unsigned long long)a->labels[UNLABELLED] + labelled);
	fn(arg, text);
	if (h->from_memory > 0) {
		snprintf(text, sizeof text,
		    "%llu of %llu sessions were let in or turned away before any list was asked "
		    "(memory, access list, load): lists may know those clients, the log does not.",
		    (unsigned long long)h->from_memory, (unsigned long long)h->sessions);
		fn(arg, text);
	}
	fn(arg, "Clients that the lists keep out never get to show that they are good: false "
		"positives of lists that "
		"decide alone are seen only where the same client also got through. Where the "
		"daemon decides early, "
		"answers that came later are missing.");
	if (a->labels[GOOD] < 100 || a->labels[BAD] < 100) {
		snprintf(text, sizeof text,
		    "Small sample: %llu good and %llu bad clients. Read the intervals, not the "
		    "figures.",
		    (unsigned long long)a->labels[GOOD], (unsigned long long)a->labels[BAD]);
		fn(arg, text);
	}
	if (a->guessed_sites)
		fn(arg, "No configuration was given (-c or --sites): every list seen counts one "
			"point.");
	if (a->guessed_threshold) {
		snprintf(text, sizeof text,
		    "The threshold in force was not given; %lld is assumed (%s).",
		    (long long)a->in_force.threshold,
		    h->rank_min < 1000 ? "the lowest rank in the log" : "the default");
		fn(arg, text);
	}
	if (h->scored_unsaid > 0)
		fn(arg,
		    "Postfix's log tells listings, not questions: every scored session is taken to "
		    "have asked every "
		    "list, and answer times are those of listings, as exact as the log's clock.");
	if (a->repeated > 0) {
		snprintf(text, sizeof text,
		    "%llu log lines tell of times that session records cover; the records were "
		    "believed.",
		    (unsigned long long)a->repeated);
		fn(arg, text);
	}
	if (h->lost_patterns > 0) {
		snprintf(text, sizeof text,
		    "%llu sessions had sets of answers too many to keep; one answer of each was.",
		    (unsigned long long)h->lost_patterns);
		fn(arg, text);
	}
}
