/*
 * policy/tune/report_html.c: one page, nothing fetched, readable without scripts.
 *
 * Bars are boxes with a height or a width in per cent, so they follow the screen; figures stand
 * beside them as text. The only script moves the threshold over the score distribution.
 */
#include "config.h"

#include <math.h>
#include <string.h>
#include "base/text.h"
#include "policy/tune/analysis.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d5dae0;--good:#1a7f37;"
    "--bad:#b42318;--other:#7a8490;--mark:#0957c3;--soft:#eef1f5}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e4e8ee;--dim:#9aa5b1;--line:#"
    "333b45;"
    "--good:#4cc26a;--bad:#ff7b6b;--other:#8b96a3;--mark:#6cabff;--soft:#1d232b}}"
    "*{box-sizing:border-box}body{margin:0 "
    "auto;max-width:70rem;padding:1rem;background:var(--bg);color:var(--fg);"
    "font:16px/1.45 system-ui,sans-serif}h1{font-size:1.5rem;margin:.2em "
    "0}h2{font-size:1.15rem;margin:2em 0 .4em}"
    "p,li{max-width:46rem}.dim,figcaption,caption{color:var(--dim);font-size:.9rem;text-align:left}"
    ".wide{overflow-x:auto;-webkit-overflow-scrolling:touch}table{border-collapse:collapse;font-"
    "size:.9rem}"
    "th,td{padding:.25rem .6rem .25rem 0;text-align:right;border-bottom:1px solid "
    "var(--line);white-space:nowrap}"
    "th:first-child,td:first-child,.l{text-align:left}code,pre{font:.85rem/1.4 "
    "ui-monospace,monospace}"
    "pre{background:var(--soft);padding:.7rem;overflow-x:auto}figure{margin:.5rem 0}"
    ".tiles{display:flex;flex-wrap:wrap;gap:.6rem}.tile{background:var(--soft);padding:.5rem "
    ".8rem;flex:1 1 8rem}"
    ".tile "
    "b{display:block;font-size:1.3rem}.plot{display:flex;align-items:flex-end;height:10rem;gap:1px;"
    "border-bottom:1px solid var(--line)}.plot>div{flex:1 1 0;min-width:0;height:100%;display:flex;"
    "flex-direction:column-reverse}.plot "
    "i{display:block;width:100%}.ends{display:flex;justify-content:space-between}"
    ".key span{margin-right:1rem}.key "
    "i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}"
    ".b{background:var(--bad)}.g{background:var(--good)}.o{background:var(--other)}.m{background:"
    "var(--mark)}"
    ".c0{background:#2f7d4f}.c1{background:#74b889}.c2{background:#b7d8bf}.c3{background:#b42318}"
    ".c4{background:#e0685a}.c5{background:#d9a441}.c6{background:#7b6fb5}.c7{background:#8b96a3}"
    ".scores>div{flex-direction:row;align-items:flex-end}.scores i{flex:1 1 0}.scores "
    ".over{background:var(--soft);"
    "outline:1px solid "
    "var(--soft)}.rows{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr 1fr;"
    "gap:.2rem .5rem;align-items:center;font-size:.9rem}.rows .name{overflow-wrap:anywhere}"
    ".bar{background:var(--soft);position:relative;min-height:1.3em}.bar "
    "i{position:absolute;inset:0 auto 0 0}"
    ".bar i{opacity:.45}.bar.left i{inset:0 0 0 auto}.bar span{position:relative;padding:0 "
    ".3em}.bar.left{text-align:right}"
    "input[type=range]{width:100%}.heat td{text-align:center;min-width:2.6rem;border:1px solid "
    "var(--bg)}"
    ".heat th{font-weight:400}@media(max-width:40rem){body{padding:.7rem;font-size:15px}"
    ".rows{grid-template-columns:1fr 1fr}.rows .name{grid-column:1/3;margin-top:.4rem}}";

/* Text of any origin. Names and addresses are checked before they get here; this is the second
 * wall. */
static void
put_html(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text, out);
		}
}

static void
put_tile(FILE *out, uint64_t n, const char *what)
{
	fprintf(out, "<div class=tile><b>%llu</b>%s</div>", (unsigned long long)n, what);
}

static void
put_head(const struct analysis *a, FILE *out)
{
	const struct history *h = a->history;

	fprintf(out,
	    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
	    "content=\"width=device-width,initial-scale=1\"><meta "
	    "http-equiv=Content-Security-Policy "
	    "content=\"default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'\">"
	    "<title>Block lists: what they are worth here</title><style>%s</style>"
	    "<h1>Block lists: what they are worth here</h1><p class=dim>",
	    style);
	if (h->sessions > 0) {
		put_day(out, h->first_s);
		fputs(" to ", out);
		put_day(out, h->last_s);
	}
	fprintf(out,
	    "; %llu log lines, %llu of them odd; threshold in force %lld%s.</p><div class=tiles>",
	    (unsigned long long)a->lines, (unsigned long long)a->odd,
	    (long long)a->in_force.threshold,
	    a->guessed_sites ? ", every list one point (no configuration given)" : "");
	put_tile(out, h->sessions, "sessions");
	put_tile(out, h->client_count, "clients");
	put_tile(out, a->labels[GOOD], "good clients");
	put_tile(out, a->labels[BAD], "bad clients");
	put_tile(out, a->labels[UNLABELLED], "not known");
	fputs("</div>", out);
}

static uint64_t
bucket_total(const struct timeline *t, size_t i)
{
	uint64_t sum = 0;

	for (int v = 0; v < VERDICTS; v++)
		sum += t->count[i][v];
	return sum;
}

static void
put_timeline(const struct analysis *a, FILE *out)
{
	const struct timeline *t = &a->history->timeline;
	size_t first = TIMELINE_BUCKETS, last = 0;
	uint64_t most = 1;

	for (size_t i = 0; i < TIMELINE_BUCKETS; i++) {
		uint64_t total = bucket_total(t, i);

		if (total == 0)
			continue;
		first = first == TIMELINE_BUCKETS ? i : first;
		last = i;
		most = total > most ? total : most;
	}
	if (first == TIMELINE_BUCKETS)
		return;
	fprintf(out,
	    "<h2>Verdicts over time</h2><figure><div class=plot role=img aria-label=\"sessions by "
	    "verdict, one "
	    "bar for %lld hours, at most %llu sessions\">",
	    (long long)t->width_s / 3600, (unsigned long long)most);
	for (size_t i = first; i <= last; i++) {
		fputs("<div>", out);
		for (int v = 0; v < VERDICTS; v++)
			if (t->count[i][v] > 0)
				fprintf(out, "<i class=c%d style=\"height:%.2f%%\"></i>", v,
				    100.0 * t->count[i][v] / (double)most);
		fputs("</div>", out);
	}
	fputs("</div><div class=\"ends dim\"><span>", out);
	put_day(out, t->start_s + (int64_t)first * t->width_s);
	fputs("</span><span>", out);
	put_day(out, t->start_s + (int64_t)(last + 1) * t->width_s - 1);
	fprintf(out, "</span></div><figcaption class=key>%lld h a bar, the highest %llu sessions. ",
	    (long long)t->width_s / 3600, (unsigned long long)most);
	for (int v = 0; v < VERDICTS; v++)
		if (a->history->verdicts[v] > 0)
			fprintf(out, "<span><i class=c%d></i>%s %llu</span>", v, verdict_words[v],
			    (unsigned long long)a->history->verdicts[v]);
	fputs("</figcaption></figure>", out);
}

static uint64_t
label_total(const struct analysis *a, enum label label, int from_score)
{
	uint64_t sum = 0;

	for (int i = from_score - SCORE_LOW < 0 ? 0 : from_score - SCORE_LOW; i < SCORE_BINS; i++)
		sum += a->histogram[label][i];
	return sum;
}

static double
percent(uint64_t part, uint64_t of)
{
	return of == 0 ? 0 : 100.0 * (double)part / (double)of;
}

static void
put_scores(const struct analysis *a, FILE *out)
{
	static const char *const marks[LABELS] = { "o", "g", "b" };
	int low = SCORE_BINS, high = 0;
	uint64_t most[LABELS] = { 1, 1, 1 };

	for (int i = 0; i < SCORE_BINS; i++)
		for (int l = 0; l < LABELS; l++) {
			if (a->histogram[l][i] == 0)
				continue;
			low = i < low ? i : low;
			high = i > high ? i : high;
			most[l] = a->histogram[l][i] > most[l] ? a->histogram[l][i] : most[l];
		}
	if (low > high)
		return;
	fputs("<h2>Scores of good and bad clients</h2><figure><div class=\"plot scores\" id=scores "
	      "role=img "
	      "aria-label=\"sessions by score and label; figures in the table below\">",
	    out);
	for (int i = low; i <= high; i++) {
		fprintf(out, "<div data-s=%d%s>", i + SCORE_LOW,
		    i + SCORE_LOW >= a->in_force.threshold ? " class=over" : "");
		for (int l = GOOD; l <= BAD; l++)
			fprintf(out, "<i class=%s style=\"height:%.2f%%\" data-n=%llu></i>",
			    marks[l], sqrt((double)a->histogram[l][i] / (double)most[l]) * 100,
			    (unsigned long long)a->histogram[l][i]);
		fputs("</div>", out);
	}
	fprintf(out,
	    "</div><div class=\"ends dim\"><span>score %d</span><span>%d</span></div>"
	    "<label>threshold <b id=tv>%lld</b><input id=t type=range min=1 max=%d "
	    "value=%lld></label>"
	    "<p id=says><span class=l>At %lld: %.2f %% of good and %.1f %% of bad sessions are "
	    "blocked.</span></p>",
	    low + SCORE_LOW, high + SCORE_LOW, (long long)a->in_force.threshold,
	    high + SCORE_LOW + 1 < 2 ? 2 : high + SCORE_LOW + 1, (long long)a->in_force.threshold,
	    (long long)a->in_force.threshold,
	    percent(
		label_total(a, GOOD, (int)a->in_force.threshold), label_total(a, GOOD, SCORE_LOW)),
	    percent(
		label_total(a, BAD, (int)a->in_force.threshold), label_total(a, BAD, SCORE_LOW)));
	fputs(
	    "<figcaption class=key><span><i class=g></i>good</span><span><i class=b></i>bad</span>"
	    "Each colour has its own scale; heights are square roots, so that few are seen beside "
	    "many. "
	    "Shaded: blocked.</figcaption></figure><div class=wide><table><caption>Sessions "
	    "blocked at each "
	    "threshold</caption><tr><th>threshold<th>good<th>bad<th>not known",
	    out);
	for (int t = 1; t <= high + SCORE_LOW + 1 && t <= 12; t++)
		fprintf(out, "<tr><td>%d<td>%.3f %%<td>%.1f %%<td>%.1f %%", t,
		    percent(label_total(a, GOOD, t), label_total(a, GOOD, SCORE_LOW)),
		    percent(label_total(a, BAD, t), label_total(a, BAD, SCORE_LOW)),
		    percent(label_total(a, UNLABELLED, t), label_total(a, UNLABELLED, SCORE_LOW)));
	fputs("</table></div>", out);
}

static void
put_value(const struct analysis *a, FILE *out)
{
	double worst = 0.01;

	for (size_t l = 0; l < a->history->list_count; l++)
		if (a->figure[l].reported && a->figure[l].labelled_hits >= NEEDED_HITS)
			worst = fmax(worst, a->figure[l].fp.high);
	fputs("<h2>What a list is worth, and what it costs</h2><div class=rows>", out);
	for (size_t l = 0; l < a->history->list_count; l++) {
		const struct figure *f = &a->figure[l];

		if (!f->reported)
			continue;
		fputs("<div class=name>", out);
		put_html(out, f->shown);
		fprintf(out,
		    "%s</div><div class=\"bar left\"><i class=%s "
		    "style=\"width:%.1f%%\"></i><span>%.2f %% "
		    "wrong</span></div>",
		    f->allow ? " <span class=dim>(allow list)</span>" : "", f->allow ? "g" : "b",
		    100 * fmin(1, f->fp.rate / worst), 100 * f->fp.rate);
		fprintf(out,
		    "<div class=bar><i class=m style=\"width:%.1f%%\"></i><span>%.1f %% caught, "
		    "%llu decisive"
		    "</span></div>",
		    100 * f->caught.rate, 100 * f->caught.rate, (unsigned long long)f->decisive);
	}
	fprintf(out,
	    "</div><p class=dim>Left, the cost: good clients named (full width is %.2g %%). Right, "
	    "the value: "
	    "bad clients named; decisive are sessions that would have gone the other way without "
	    "the list.</p>",
	    100 * worst);
}

static void
put_ms(FILE *out, const struct histogram *h)
{
	if (h->count == 0)
		fputs("<td>–<td>–", out);
	else
		fprintf(out, "<td>%.0f<td>%.0f", histogram_quantile(h, 0.5) / 1000,
		    histogram_quantile(h, 0.95) / 1000);
}

static void
put_table(const struct analysis *a, FILE *out)
{
	double days = a->days < 1 ? 1 : a->days;

	fputs("<h2>The lists</h2><div "
	      "class=wide><table><tr><th>list<th>advice<th>queries/day<th>free/day<th>hits<th>"
	      "unique<th>decisive<th>caught<th>wrong<th>95 % interval<th>ms "
	      "p50<th>p95<th>timeouts<th>errors<th>"
	      "stability",
	    out);
	for (size_t l = 0; l < a->history->list_count; l++) {
		const struct figure *f = &a->figure[l];
		const struct list *list = &a->history->lists[l];
		int64_t limit = free_queries_a_day(list->name);

		if (!f->reported)
			continue;
		fputs("<tr><td>", out);
		put_html(out, f->shown);
		fputs("<td class=l>", out);
		put_html(out, f->advice);
		fprintf(out, "<td>%.0f<td>", (double)f->queries / days);
		if (limit > 0)
			fprintf(out, "%lld", (long long)limit);
		fprintf(out, "<td>%llu<td>%llu<td>%llu<td>%.1f %%<td>%.2f %%<td>%.2f to %.2f %%",
		    (unsigned long long)f->hits, (unsigned long long)f->unique,
		    (unsigned long long)f->decisive, 100 * f->caught.rate, 100 * f->fp.rate,
		    100 * f->fp.low, 100 * f->fp.high);
		put_ms(out, &list->latency_us);
		fprintf(out, "<td>%llu<td>%llu<td>", (unsigned long long)list->timeouts,
		    (unsigned long long)f->errors);
		if (f->stability >= 0)
			fprintf(out, "%.0f %%", 100 * f->stability);
	}
	fputs("</table></div><details><summary>By answer</summary><div "
	      "class=wide><table><tr><th>list<th>answer<th>"
	      "sessions<th>bad clients<th>good clients<th class=l>",
	    out);
	for (size_t i = 0; i < a->history->answer_count && i < 500; i++) {
		const struct answer *answer = &a->history->answers[i];

		if (answer->hits == 0)
			continue;
		fputs("<tr><td>", out);
		put_html(out, a->figure[answer->list].shown);
		fprintf(out, "<td>%u.%u.%u.%u<td>%llu<td>%llu<td>%llu<td class=l>%s", answer->ip[0],
		    answer->ip[1], answer->ip[2], answer->ip[3], (unsigned long long)answer->hits,
		    (unsigned long long)a->code[i].bad, (unsigned long long)a->code[i].good,
		    a->code[i].believed ? "" : "error code, not a listing");
	}
	fputs("</table></div></details>", out);
}

static void
put_overlap(const struct analysis *a, FILE *out)
{
	size_t n = a->history->list_count, number = 0;

	fputs("<h2>Overlap</h2><div class=wide><table class=heat><caption>Of what the list at the "
	      "left names, the share "
	      "that the list above names too</caption><tr><th>",
	    out);
	for (size_t m = 0; m < n; m++)
		if (a->figure[m].hits > 0)
			fprintf(out, "<th>%zu", ++number);
	number = 0;
	for (size_t l = 0; l < n; l++) {
		if (a->figure[l].hits == 0)
			continue;
		fprintf(out, "<tr><th class=l>%zu ", ++number);
		put_html(out, a->figure[l].shown);
		for (size_t m = 0; m < n; m++) {
			double share = (double)a->both[l][m] / (double)a->figure[l].hits;

			if (a->figure[m].hits == 0)
				continue;
			if (l == m)
				fputs("<td>·", out);
			else
				fprintf(out,
				    "<td style=\"background:color-mix(in srgb,var(--mark) "
				    "%.0f%%,var(--bg))\">%.0f",
				    share * 70, share * 100);
		}
	}
	fputs("</table></div>", out);
}

static void
put_example(const struct analysis *a, const struct change *c, FILE *out)
{
	struct addr addr = ipkey_to_addr(client_at(a->history, c->client)->ip);
	char text[ADDR_TEXT_SIZE];

	fprintf(out, "<tr><td>%s<td class=l>%s<td class=l>%s<td>%d<td>%d<td>%u",
	    addr_format(&addr, text), label_word(c->label), c->blocked ? "blocked" : "passed",
	    c->before, c->after, c->sessions);
}

static void
put_what_if(const struct analysis *a, FILE *out)
{
	const struct what_if *w = &a->what_if;
	uint64_t most = w->blocked > w->passed ? w->blocked : w->passed;

	if (!w->done)
		return;
	fputs("<h2>What if</h2><p><code>", out);
	put_html(out, w->sites->text);
	fprintf(out, "</code>, threshold %lld</p><div class=rows>", (long long)w->sites->threshold);
	for (int l = GOOD; l != LABELS + 1; l = l == BAD    ? UNLABELLED
						: l == GOOD ? BAD
							    : LABELS + 1) {
		fprintf(out, "<div class=name>%s clients</div>", label_word((enum label)l));
		for (int way = 0; way < 2; way++)
			fprintf(out,
			    "<div class=\"bar%s\"><i class=%s "
			    "style=\"width:%.1f%%\"></i><span>%llu newly %s</span></div>",
			    way == 0 ? " left" : "", way == 0 ? "b" : "g",
			    percent(w->by_label[way][l], most == 0 ? 1 : most),
			    (unsigned long long)w->by_label[way][l],
			    way == 0 ? "blocked" : "passed");
	}
	fputs("</div>", out);
	if (w->examples[0] + w->examples[1] == 0)
		return;
	fputs("<div class=wide><table><caption>Examples, good clients "
	      "first</caption><tr><th>client<th class=l>label<th "
	      "class=l>newly<th>score was<th>is<th>sessions",
	    out);
	for (int way = 0; way < 2; way++)
		for (size_t i = 0; i < w->examples[way]; i++)
			put_example(a, &w->example[way][i], out);
	fputs("</table></div>", out);
}

static void
put_suggested(const struct analysis *a, FILE *out)
{
	const struct fit *f = &a->fit;

	if (!f->done)
		return;
	fputs("<h2>Suggested</h2><pre>postscreen_dnsbl_threshold = ", out);
	fprintf(out, "%lld\npostscreen_dnsbl_sites =", (long long)f->threshold);
	for (size_t i = 0, n = 0; i < f->all->count; i++) {
		const struct site *s = &f->all->site[i];

		if (f->weight[i] == 0)
			continue;
		/* The page may be shown around: the name fit for strangers stands for the list's
		 * own. */
		fputs(n++ > 0 ? ",\n    " : "\n    ", out);
		put_html(out, s->shown);
		put_html(out, s->text + strlen(s->domain));
		fprintf(out, "*%d", f->weight[i]);
	}
	fprintf(out,
	    "</pre><p>Good clients blocked: %.3f %% (%.3f to %.3f), was %.3f %%. Bad clients let "
	    "through: %.1f %%, "
	    "was %.1f %%. Error on examples held back: %.2f %% (%.2f to %.2f).</p>",
	    100 * f->fp.rate, 100 * f->fp.low, 100 * f->fp.high, 100 * f->fp_before.rate,
	    100 * f->missed.rate, 100 * f->missed_before.rate, 100 * f->held_out.rate,
	    100 * f->held_out.low, 100 * f->held_out.high);
}

static void
put_caveat(void *arg, const char *text)
{
	FILE *out = arg;

	fputs("<li>", out);
	put_html(out, text);
}

static const char script[] =
    "(function(){var t=document.getElementById('t');if(!t)return;function f(){var "
    "v=+t.value,g=0,b=0,G=0,B=0;"
    "document.querySelectorAll('#scores>div').forEach(function(d){var o=+d.dataset.s>=v;"
    "d.classList.toggle('over',o);var i=d.children,x=+i[0].dataset.n,y=+i[1].dataset.n;G+=x;B+=y;"
    "if(o){g+=x;b+=y}});document.getElementById('tv').textContent=v;"
    "document.getElementById('says').textContent='At '+v+': '+(G?100*g/G:0).toFixed(2)+' % of good "
    "and '"
    "+(B?100*b/B:0).toFixed(1)+' % of bad sessions are blocked.'}t.addEventListener('input',f)})()";

void
report_html(const struct analysis *a, FILE *out)
{
	put_head(a, out);
	put_timeline(a, out);
	put_scores(a, out);
	put_value(a, out);
	put_table(a, out);
	put_overlap(a, out);
	put_what_if(a, out);
	put_suggested(a, out);
	fputs("<h2>Before you believe this</h2><ul>", out);
	caveats(a, put_caveat, out);
	fprintf(out, "</ul><script>%s</script></html>\n", script);
}
