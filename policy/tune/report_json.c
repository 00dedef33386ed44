/*
 * policy/tune/report_json.c: one object, stable names.
 */
#include "config.h"

#include "base/text.h"
#include "policy/tune/analysis.h"

static void
put_text(FILE *out, const char *text)
{
	char escaped[8192];
	struct buf b = BUF(escaped);

	buf_json(&b, span_of(text));
	fprintf(out, "\"%s\"", escaped);
}

static void
put_ms(FILE *out, const char *name, const struct histogram *h, double q)
{
	if (h->count == 0)
		fprintf(out, "\"%s\":null", name);
	else
		fprintf(out, "\"%s\":%.3g", name, histogram_quantile(h, q) / 1000);
}

static void
put_list(const struct analysis *a, size_t l, FILE *out)
{
	const struct figure *f = &a->figure[l];
	const struct list *list = &a->history->lists[l];

	fputs("{\"site\":", out);
	put_text(out, f->shown);
	fprintf(out, ",\"queries\":%llu,\"hits\":%llu,\"unique\":%llu,\"decisive\":%llu",
	    (unsigned long long)f->queries, (unsigned long long)f->hits,
	    (unsigned long long)f->unique, (unsigned long long)f->decisive);
	fprintf(out, ",\"fp\":%.6f,\"fp_low\":%.6f,\"fp_high\":%.6f,\"latency_ms\":{", f->fp.rate,
	    f->fp.low, f->fp.high);
	put_ms(out, "p50", &list->latency_us, 0.5);
	fputc(',', out);
	put_ms(out, "p95", &list->latency_us, 0.95);
	fprintf(out,
	    "},\"timeouts\":%llu,\"errors\":%llu,\"advice\":", (unsigned long long)list->timeouts,
	    (unsigned long long)f->errors);
	put_text(out, f->advice);
	fputc('}', out);
}

static void
put_lists(const struct analysis *a, FILE *out)
{
	bool first = true;

	fputs(",\"lists\":[", out);
	for (size_t l = 0; l < a->history->list_count; l++) {
		if (!a->figure[l].reported)
			continue;
		fputs(first ? "" : ",", out);
		put_list(a, l, out);
		first = false;
	}
	fputc(']', out);
}

static void
put_overlap(const struct analysis *a, FILE *out)
{
	bool first = true;

	fputs(",\"overlap\":[", out);
	for (size_t l = 0; l < a->history->list_count; l++)
		for (size_t m = l + 1; m < a->history->list_count; m++) {
			uint64_t both = a->both[l][m], x = a->figure[l].hits, y = a->figure[m].hits;

			if (x == 0 || y == 0)
				continue;
			fprintf(out, "%s{\"a\":", first ? "" : ",");
			put_text(out, a->figure[l].shown);
			fputs(",\"b\":", out);
			put_text(out, a->figure[m].shown);
			fprintf(out,
			    ",\"both\":%llu,\"jaccard\":%.4f,\"a_given_b\":%.4f,\"b_given_a\":%."
			    "4f}",
			    (unsigned long long)both, (double)both / (double)(x + y - both),
			    (double)both / (double)y, (double)both / (double)x);
			first = false;
		}
	fputc(']', out);
}

static void
put_example(const struct analysis *a, const struct change *c, bool first, FILE *out)
{
	struct addr addr = ipkey_to_addr(client_at(a->history, c->client)->ip);
	char text[ADDR_TEXT_SIZE];

	fprintf(out,
	    "%s{\"client\":\"%s\",\"label\":\"%s\",\"change\":\"%s\",\"before\":%d,\"after\":%d,"
	    "\"sessions\":%u}",
	    first ? "" : ",", addr_format(&addr, text), label_word(c->label),
	    c->blocked ? "blocked" : "passed", c->before, c->after, c->sessions);
}

static void
put_what_if(const struct analysis *a, FILE *out)
{
	const struct what_if *w = &a->what_if;

	if (!w->done) {
		fputs(",\"what_if\":null", out);
		return;
	}
	fprintf(out, ",\"what_if\":{\"newly_blocked\":%llu,\"newly_passed\":%llu,\"examples\":[",
	    (unsigned long long)w->blocked, (unsigned long long)w->passed);
	for (int way = 0; way < 2; way++)
		for (size_t i = 0; i < w->examples[way]; i++)
			put_example(a, &w->example[way][i],
			    i == 0 && (way == 0 || w->examples[0] == 0), out);
	fputs("]}", out);
}

void
report_json(const struct analysis *a, FILE *out)
{
	const struct history *h = a->history;

	fprintf(out,
	    "{\"sessions\":%llu,\"clients\":%zu,\"labelled\":{\"good\":%llu,\"bad\":%llu,"
	    "\"unlabelled\":%llu}",
	    (unsigned long long)h->sessions, h->client_count, (unsigned long long)a->labels[GOOD],
	    (unsigned long long)a->labels[BAD], (unsigned long long)a->labels[UNLABELLED]);
	put_lists(a, out);
	put_overlap(a, out);
	put_what_if(a, out);
	if (a->fit.done) {
		fputs(",\"suggested\":{\"sites\":", out);
		put_text(out, a->fit.text);
		fprintf(out, ",\"threshold\":%lld,\"held_out_error\":%.6f}",
		    (long long)a->fit.threshold, a->fit.held_out.rate);
	} else {
		fputs(",\"suggested\":null", out);
	}
	fprintf(out, ",\"odd_lines\":%llu}\n", (unsigned long long)a->odd);
}
