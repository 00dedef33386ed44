/*
 * policy/tune/report_text.c: the report for the terminal.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "policy/tune/analysis.h"

/* 12345678 as "12 345 678". */
static const char *
number(char *out, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[at++] = ' ';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}
#define NUMBER(n) number((char[32]){ 0 }, (n))

static void
put_head(const struct analysis *a, FILE *out)
{
	const struct history *h = a->history;
	uint64_t clients = a->labels[GOOD] + a->labels[BAD] + a->labels[UNLABELLED];

	fprintf(out, "%s sessions of %s clients", NUMBER(h->sessions), NUMBER(h->client_count));
	if (h->sessions > 0) {
		fputs(", ", out);
		put_day(out, h->first_s);
		fputs(" to ", out);
		put_day(out, h->last_s);
	}
	fprintf(out, "; %s lines, %s odd\n", NUMBER(a->lines), NUMBER(a->odd));
	fprintf(out, "clients: %s good, %s bad, %s not known (%.0f %%)\n", NUMBER(a->labels[GOOD]),
	    NUMBER(a->labels[BAD]), NUMBER(a->labels[UNLABELLED]),
	    clients == 0 ? 0.0 : 100.0 * (double)a->labels[UNLABELLED] / (double)clients);
	fputs("sessions:", out);
	for (int v = 0; v < VERDICTS; v++)
		if (h->verdicts[v] > 0)
			fprintf(out, " %s %s", NUMBER(h->verdicts[v]), verdict_words[v]);
	fprintf(out, "\nin force: threshold %lld; %s\n", (long long)a->in_force.threshold,
	    a->guessed_sites ? "every list seen, one point each" : "as configured");
}

static void
put_ms(const struct histogram *h, FILE *out)
{
	if (h->count == 0)
		fputs("         -", out);
	else
		fprintf(out, " %4.0f/%-4.0f", histogram_quantile(h, 0.5) / 1000,
		    histogram_quantile(h, 0.95) / 1000);
}

/* Answers of one list apart, where there is more than one kind. */
static void
put_codes(const struct analysis *a, size_t l, FILE *out)
{
	const struct history *h = a->history;
	size_t kinds = 0, shown = 0;

	for (size_t i = 0; i < h->answer_count; i++)
		kinds += h->answers[i].list == l && h->answers[i].hits > 0;
	for (size_t i = 0; kinds > 1 && i < h->answer_count && shown < 12; i++) {
		const struct answer *answer = &h->answers[i];
		char code[16];

		if (answer->list != l || answer->hits == 0)
			continue;
		snprintf(code, sizeof code, "%u.%u.%u.%u", answer->ip[0], answer->ip[1],
		    answer->ip[2], answer->ip[3]);
		fprintf(out, "  %-26s           %9s          clients: %llu bad, %llu good%s\n",
		    code, NUMBER(answer->hits), (unsigned long long)a->code[i].bad,
		    (unsigned long long)a->code[i].good,
		    a->code[i].believed ? "" : "   error code, not a listing");
		shown++;
	}
	if (kinds > shown && shown > 0)
		fprintf(out, "  and %zu more\n", kinds - shown);
}

static void
put_lists(const struct analysis *a, FILE *out)
{
	fputs("\nlist                          queries      hits   unique decisive  caught  wrong "
	      "(95 % interval)   ms "
	      "p50/95 errors  advice\n",
	    out);
	for (size_t l = 0; l < a->history->list_count; l++) {
		const struct figure *f = &a->figure[l];
		const struct list *list = &a->history->lists[l];

		if (!f->reported)
			continue;
		fprintf(out, "%-27.60s %9s %9s %8s %8s %6.1f%% %6.2f%% (%.2f to %.2f)", f->shown,
		    NUMBER(f->queries), NUMBER(f->hits), NUMBER(f->unique), NUMBER(f->decisive),
		    100 * f->caught.rate, 100 * f->fp.rate, 100 * f->fp.low, 100 * f->fp.high);
		put_ms(&list->latency_us, out);
		fprintf(out, " %6s  %s%s", NUMBER(f->errors + list->timeouts), f->advice,
		    f->allow ? " (allow list)" : "");
		if (f->stability >= 0)
			fprintf(out, ", stable %.0f %%", 100 * f->stability);
		fputc('\n', out);
		put_codes(a, l, out);
	}
	fputs("caught: bad clients it named; wrong: good clients it named (for an allow list the "
	      "other way round)\n",
	    out);
}

static void
put_lags(const struct analysis *a, FILE *out)
{
	for (size_t l = 0; l < a->history->list_count; l++) {
		const struct histogram *lag = &a->history->lists[l].lag_s;

		if (lag->count >= 10 && !a->figure[l].allow)
			fprintf(out,
			    "%s named %s clients within a day after they got through; half of them "
			    "within %.1f h\n",
			    a->figure[l].shown, NUMBER(lag->count),
			    histogram_quantile(lag, 0.5) / 3600);
	}
}

static void
put_cost(const struct analysis *a, FILE *out)
{
	double days = a->days < 1 ? 1 : a->days;

	for (size_t l = 0; l < a->history->list_count; l++) {
		int64_t limit = free_queries_a_day(a->history->lists[l].name);
		double a_day = (double)a->figure[l].queries / days;

		if (limit > 0 && a->figure[l].reported)
			fprintf(out, "%s: %s queries a day; free use ends at %s%s\n",
			    a->figure[l].shown, NUMBER((uint64_t)a_day), NUMBER((uint64_t)limit),
			    a_day > (double)limit ? ": over it" : "");
	}
}

static void
put_overlap(const struct analysis *a, FILE *out)
{
	bool title = false;

	for (size_t l = 0; l < a->history->list_count; l++)
		for (size_t m = 0; m < a->history->list_count; m++) {
			uint64_t both = a->both[l][m], x = a->figure[l].hits, y = a->figure[m].hits;
			double covered = x == 0 ? 0 : (double)both / (double)x;

			if (l == m || x < NEEDED_HITS || covered < 0.7)
				continue;
			if (!title)
				fputs("\noverlap\n", out);
			title = true;
			fprintf(out, "%.0f %% of what %s names, %s names too (Jaccard %.2f)\n",
			    100 * covered, a->figure[l].shown, a->figure[m].shown,
			    (double)both / (double)(x + y - both));
		}
}

static void
put_examples(const struct analysis *a, const struct what_if *w, int way, FILE *out)
{
	for (size_t i = 0; i < w->examples[way] && i < 10; i++) {
		const struct change *c = &w->example[way][i];
		struct addr addr = ipkey_to_addr(client_at(a->history, c->client)->ip);
		char text[ADDR_TEXT_SIZE];

		fprintf(out, "    %-39s %-10s score %d, was %d; %u session%s\n",
		    addr_format(&addr, text), label_word(c->label), c->after, c->before,
		    c->sessions, c->sessions == 1 ? "" : "s");
	}
}

static void
put_what_if(const struct analysis *a, FILE *out)
{
	const struct what_if *w = &a->what_if;

	if (!w->done)
		return;
	fprintf(
	    out, "\nwhat if: %s, threshold %lld\n", w->sites->text, (long long)w->sites->threshold);
	for (int way = 0; way < 2; way++) {
		fprintf(out,
		    "  newly %s: %s clients (%s sessions): %s good, %s bad, %s not known\n",
		    way == 0 ? "blocked" : "passed", NUMBER(way == 0 ? w->blocked : w->passed),
		    NUMBER(way == 0 ? w->blocked_sessions : w->passed_sessions),
		    NUMBER(w->by_label[way][GOOD]), NUMBER(w->by_label[way][BAD]),
		    NUMBER(w->by_label[way][UNLABELLED]));
		put_examples(a, w, way, out);
	}
	if (a->options->what_if_allow < 0)
		fprintf(out,
		    "  at or below %lld, let in without other checks: %s good, %s bad, %s not "
		    "known clients\n",
		    (long long)a->options->what_if_allow, NUMBER(w->allowed[GOOD]),
		    NUMBER(w->allowed[BAD]), NUMBER(w->allowed[UNLABELLED]));
}

static void
put_weights(const char *mark, const struct sites *sites, const int *weight, int64_t threshold,
    size_t count, FILE *out)
{
	bool first = true;

	fprintf(out, "%spostscreen_dnsbl_threshold = %lld\n%spostscreen_dnsbl_sites =", mark,
	    (long long)threshold, mark);
	for (size_t i = 0; i < count; i++) {
		int w = weight == NULL ? sites->site[i].weight : weight[i];

		if (w == 0 && weight != NULL)
			continue;
		fprintf(out, "%s\n%s    %s*%d", first ? "" : ",", mark, sites->site[i].text, w);
		first = false;
	}
	fputc('\n', out);
}

static void
put_suggested(const struct analysis *a, FILE *out)
{
	const struct fit *f = &a->fit;

	if (!a->options->suggest)
		return;
	if (!f->done) {
		fprintf(out, "\nsuggested: nothing: %llu good and %llu bad examples are too few\n",
		    (unsigned long long)f->good, (unsigned long long)f->bad);
		return;
	}
	fprintf(out, "\nsuggested: at most %.4g %% of good clients blocked\n",
	    100 * a->options->max_fp);
	put_weights("-", &a->in_force, NULL, a->in_force.threshold, a->in_force.count, out);
	put_weights("+", f->all, f->weight, f->threshold, f->all->count, out);
	fprintf(out,
	    "  good blocked: %.3f %% (%.3f to %.3f), was %.3f %%; bad let through: %.1f %%, was "
	    "%.1f %%\n",
	    100 * f->fp.rate, 100 * f->fp.low, 100 * f->fp.high, 100 * f->fp_before.rate,
	    100 * f->missed.rate, 100 * f->missed_before.rate);
	fprintf(out, "  error on examples held back: %.2f %% (%.2f to %.2f) of %s\n",
	    100 * f->held_out.rate, 100 * f->held_out.low, 100 * f->held_out.high,
	    NUMBER(f->held_out.of));
	for (size_t i = 0; i < f->all->count; i++) {
		const struct site *s = &f->all->site[i];

		if (f->frozen[i])
			fprintf(out, "  %-40s %3d -> %-3d needs more data (%llu)\n", s->text,
			    s->in_force ? s->weight : 0, f->weight[i],
			    (unsigned long long)(s->list < 0 ? 0
							     : a->figure[s->list].labelled_hits));
		else
			fprintf(out, "  %-40s %3d -> %-3d %s, in %.0f %% of resampled histories\n",
			    s->text, s->in_force ? s->weight : 0, f->weight[i], f->verdict[i],
			    100 * f->stability[i]);
	}
}

/* Broken at words, indented by two. */
static void
put_wrapped(void *arg, const char *text)
{
	FILE *out = arg;
	size_t column = 2;

	fputs("-", out);
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column + len > 98) {
			fputs("\n ", out);
			column = 2;
		}
		fprintf(out, " %.*s", (int)len, text);
		column += len + 1;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void
report_text(const struct analysis *a, FILE *out)
{
	put_head(a, out);
	if (a->history->list_count > 0)
		put_lists(a, out);
	put_lags(a, out);
	put_cost(a, out);
	put_overlap(a, out);
	put_what_if(a, out);
	put_suggested(a, out);
	fputs("\nbefore you believe this\n", out);
	caveats(a, put_wrapped, out);
}
