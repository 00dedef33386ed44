/* The status page. The frame is screen/page.html; its body is written here and fetched anew by the
 * page itself. */
#include "config.h"

#include <string.h>
#include <time.h>

#include "screen/console_inner.h"
#include "screen/journal.h"

#define CHART_MINUTES 60
#define CHART_HEIGHT 160
#define BAR_WIDTH 12 /* of a minute, with its gap */
#define NETS_SHOWN 10
#define RECENT_SHOWN 40

typedef unsigned long long ull;

static const char frame[] =
#include "screen/page_frame.h"
    ;

/* Foreign text: only printable ASCII, and of that nothing HTML could mistake. */
static void
put_html(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'' || c == '`')
			buf_printf(b, "&#%u;", c);
		else
			buf_putc(b, c >= 32 && c < 127 ? (char)c : '?');
	}
}

/* 1 234 567 with thin spaces. */
static void
put_count(struct buf *b, uint64_t n)
{
	char digits[24];
	struct buf d = BUF(digits);

	buf_printf(&d, "%llu", (ull)n);
	for (size_t i = 0; i < d.len; i++) {
		if (i > 0 && (d.len - i) % 3 == 0)
			buf_puts(b, "&#8201;");
		buf_putc(b, digits[i]);
	}
}

static uint64_t
cell(const struct view *v, unsigned at)
{
	return v->totals.cells[at];
}

static uint64_t
hour(const struct view *v, enum flow f)
{
	uint64_t sum = 0;

	for (unsigned back = 0; back < CHART_MINUTES; back++) {
		const struct minute *m = console_minute(v, back);
		sum += m == NULL ? 0 : m->flows[f];
	}
	return sum;
}

static uint64_t
shadow_hour(const struct view *v)
{
	uint64_t sum = 0;

	for (unsigned back = 0; back < CHART_MINUTES; back++) {
		const struct minute *m = console_minute(v, back);
		sum += m == NULL ? 0 : m->shadow;
	}
	return sum;
}

static void
put_header(const struct view *v, struct buf *b)
{
	bool stopping = master_stopping(v->console->master);

	buf_puts(b, "<header><h1>Gatehouse</h1><p>");
	if (v->snap != NULL)
		put_html(b, v->snap->myhostname);
	buf_puts(b, "</p>");
	if (stopping)
		buf_puts(b, "<span class=\"pill trouble\">stopping</span>");
	else if (v->snap == NULL)
		buf_puts(b, "<span class=\"pill trouble\">starting</span>");
	else
		buf_puts(b, "<span class=\"pill passed\">serving</span>");
	if (v->stressed)
		buf_puts(b, "<span class=\"pill trouble\">stress</span>");
	if (is_shadowed(v)) {
		buf_puts(b, "<span class=\"pill shadow\">shadow: ");
		put_html(b, shadow_text(v));
		buf_puts(b, "</span>");
	}
	buf_puts(b, "<p class=\"end\">up ");
	put_span_of_time(b, (v->now_us - v->console->started_us) / 1000000);
	buf_puts(b, "</p></header>");
}

static void
put_tile(struct buf *b, const char *look, uint64_t n, const char *words)
{
	buf_printf(b, "<section class=\"card tile %s\"><b>", look);
	put_count(b, n);
	buf_printf(b, "</b><span>%s</span></section>", words);
}

static void
put_tiles(const struct view *v, struct buf *b)
{
	put_tile(b, "", v->open, "sessions open now");
	put_tile(b, "passed", hour(v, FLOW_PASSED), "passed in this hour");
	put_tile(b, "refused", hour(v, FLOW_REFUSED), "refused in this hour");
	if (is_shadowed(v) || shadow_hour(v) > 0)
		put_tile(
		    b, "shadow", shadow_hour(v), "more would be refused by what is in the shadow");
	else
		put_tile(
		    b, "trouble", hour(v, FLOW_TROUBLE), "turned away for lack of room, or failed");
}

static uint64_t
minute_sum(const struct minute *m)
{
	uint64_t sum = 0;

	for (unsigned f = 0; m != NULL && f < FLOWS; f++)
		sum += m->flows[f];
	return sum;
}

static void
put_column(const struct minute *m, unsigned x, uint64_t most, struct buf *b)
{
	double y = CHART_HEIGHT;

	for (unsigned f = 0; m != NULL && f < FLOWS; f++) {
		double height = (double)m->flows[f] * CHART_HEIGHT / (double)most;
		if (m->flows[f] == 0)
			continue;
		y -= height;
		buf_printf(b,
		    "<rect class=\"f-%s\" x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>",
		    flow_word((enum flow)f), x, y, BAR_WIDTH - 2, height);
	}
}

static void
put_chart(const struct view *v, struct buf *b)
{
	uint64_t most = 1;

	for (unsigned back = 0; back < CHART_MINUTES; back++) {
		uint64_t sum = minute_sum(console_minute(v, back));
		most = sum > most ? sum : most;
	}
	buf_puts(b, "<section class=\"card wide\"><h2>Sessions by minute, last hour</h2>");
	buf_printf(b,
	    "<svg class=\"chart\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" ",
	    CHART_MINUTES * BAR_WIDTH, CHART_HEIGHT + 2);
	buf_printf(b, "aria-label=\"at most %llu sessions a minute\">", (ull)most);
	buf_printf(b, "<rect class=\"f-line\" x=\"0\" y=\"%d\" width=\"%d\" height=\"1\"/>",
	    CHART_HEIGHT, CHART_MINUTES * BAR_WIDTH);
	for (unsigned i = 0; i < CHART_MINUTES; i++)
		put_column(console_minute(v, CHART_MINUTES - 1 - i), i * BAR_WIDTH, most, b);
	buf_puts(b, "</svg><div class=\"ends\"><span>an hour ago</span><span>now</span></div><ul "
		    "class=\"key\"><li><i class=\"passed\"></i>passed</li>"
		    "<li><i class=\"refused\"></i>refused</li><li><i></i>left by themselves</li>"
		    "<li><i class=\"trouble\"></i>trouble</li><li>tallest: ");
	put_count(b, most);
	buf_puts(b, " a minute</li></ul></section>");
}

static void
put_bar(struct buf *b, const char *look, uint64_t n, uint64_t most)
{
	buf_printf(b,
	    "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" "
	    "aria-hidden=\"true\">"
	    "<rect class=\"f-%s\" width=\"%.1f\" height=\"8\"/></svg>",
	    look, most == 0 ? 0 : 100.0 * (double)n / (double)most);
}

static void
put_reasons(const struct view *v, struct buf *b)
{
	uint64_t sums[REASONS] = { 0 }, most = 0;

	for (unsigned r = 1; r < REASONS; r++) {
		for (unsigned verdict = V_REJECT; verdict <= V_ERROR; verdict++)
			sums[r] += cell(v, CELL_ENDED + verdict * REASONS + r);
		most = sums[r] > most ? sums[r] : most;
		most = cell(v, CELL_WOULD + r) > most ? cell(v, CELL_WOULD + r) : most;
	}
	buf_puts(b, "<section class=\"card narrow\"><h2>Why, since the start</h2>");
	if (most == 0)
		buf_puts(b, "<p class=\"empty\">nobody was refused so far</p>");
	buf_puts(b, "<table>");
	for (unsigned r = 1; r < REASONS; r++) {
		uint64_t would = cell(v, CELL_WOULD + r);
		if (sums[r] + would == 0)
			continue;
		buf_printf(b, "<tr><td>%s%s</td><td class=\"grow\">", reason_word((enum reason)r),
		    sums[r] == 0 ? " <span class=\"pill shadow\">shadow</span>" : "");
		put_bar(
		    b, sums[r] == 0 ? "shadow" : "refused", sums[r] == 0 ? would : sums[r], most);
		buf_puts(b, "</td><td class=\"n\">");
		put_count(b, sums[r] == 0 ? would : sums[r]);
		buf_puts(b, "</td></tr>");
	}
	buf_puts(b, "</table></section>");
}

static void
put_ms(struct buf *b, int64_t us)
{
	if (us < 0)
		buf_puts(b, "<span class=\"faint\">&#8211;</span>");
	else if (us == INT64_MAX)
		buf_puts(b, "longer");
	else
		buf_printf(b, "&#8804;&#8201;%g", us / 1000.0);
}

static void
put_list(const struct view *v, unsigned i, struct buf *b)
{
	const char *why, *state = list_state(v, i, &why);
	bool good = strcmp(state, "healthy") == 0, bad = *why != '\0';
	unsigned at = CELL_LIST_RESULTS + i * LIST_RESULTS;

	buf_puts(b, "<tr><td class=\"grow\">");
	put_html(b, v->totals.lists[i]);
	buf_printf(b,
	    "</td><td><span class=\"pill %s\" title=\"%s\">%s</span></td><td class=\"n\">",
	    good  ? "passed"
	    : bad ? "trouble"
		  : "",
	    why, state);
	put_count(b, cell(v, at + LIST_LISTED));
	buf_puts(b, "</td><td class=\"n\">");
	put_count(b, cell(v, at + LIST_CLEAR));
	buf_puts(b, "</td><td class=\"n\">");
	put_count(b, cell(v, at + LIST_FAILED) + cell(v, at + LIST_DISTRUSTED));
	buf_puts(b, "</td><td class=\"n hide\">");
	put_ms(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 500));
	buf_puts(b, "</td><td class=\"n\">");
	put_ms(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 950));
	buf_puts(b, "</td></tr>");
}

static void
put_lists(const struct view *v, struct buf *b)
{
	buf_puts(b, "<section class=\"card half\"><h2>DNS lists</h2>");
	if (v->totals.lists[0][0] == '\0') {
		buf_puts(b, "<p class=\"empty\">no lists are configured "
			    "(postscreen_dnsbl_sites)</p></section>");
		return;
	}
	buf_puts(b,
	    "<div class=\"scroll\"><table><tr><th>list</th><th></th><th class=\"n\">listed</th>"
	    "<th class=\"n\">clear</th><th class=\"n\">no use</th><th class=\"n hide\">half, "
	    "ms</th>"
	    "<th class=\"n\">95&#8201;%, ms</th></tr>");
	for (unsigned i = 0; i < LISTS_MAX && v->totals.lists[i][0] != '\0'; i++)
		put_list(v, i, b);
	buf_puts(b, "</table></div></section>");
}

static void
put_nets(const struct view *v, struct buf *b)
{
	const struct offender *top[NETS_SHOWN];
	size_t n = offenders_top(&v->console->nets, top, NETS_SHOWN);
	char addr[ADDR_TEXT_SIZE];

	buf_puts(b, "<section class=\"card half\"><h2>Networks refused most, of late</h2>");
	if (n == 0)
		buf_puts(b, "<p class=\"empty\">none</p>");
	buf_puts(b, "<div class=\"scroll\"><table>");
	for (size_t i = 0; i < n; i++) {
		buf_printf(b,
		    "<tr><td><code>%s/%u</code></td><td class=\"faint\">%s</td><td class=\"grow\">",
		    addr_format(&top[i]->net, addr), top[i]->bits,
		    reason_word((enum reason)top[i]->reason));
		put_bar(b, "refused", top[i]->count, top[0]->count);
		buf_puts(b, "</td><td class=\"n\">");
		put_count(b, top[i]->count);
		buf_puts(b, "</td></tr>");
	}
	buf_puts(b, "</table></div></section>");
}

static const char *
verdict_look(const struct session_row *r)
{
	switch (r->verdict) {
	case V_PASS_OLD:
	case V_PASS_NEW:
	case V_ALLOW:
		return r->would != REASON_NONE ? "shadow" : "passed";
	case V_REJECT:
	case V_DROP:
		return "refused";
	case V_BUSY:
	case V_ERROR:
		return "trouble";
	default:
		return "";
	}
}

static void
put_recent_row(const struct session_row *r, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE], clock[16];
	time_t born = (time_t)(r->wall_ms / 1000);
	struct tm tm = { 0 };

	(void)localtime_r(&born, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	buf_printf(b,
	    "<tr><td class=\"faint\">%s</td><td><code>%s</code></td><td><span class=\"pill "
	    "%s\">%s</span>",
	    clock, addr_format(&r->client.addr, addr), verdict_look(r), row_word(r));
	buf_printf(b, "</td><td>%s", reason_word((enum reason)r->reason));
	if (r->would != REASON_NONE)
		buf_printf(b, "<span class=\"faint\">in the shadow: %s</span>",
		    reason_word((enum reason)r->would));
	if (r->list[0] != '\0' && r->score > 0) {
		buf_puts(b, " <span class=\"faint\">");
		put_html(b, r->list);
		buf_puts(b, "</span>");
	}
	buf_puts(b, "</td><td class=\"n\">");
	if (r->scored)
		buf_printf(b, "%d", r->score);
	buf_printf(
	    b, "</td><td class=\"n\">%.1f&#8201;s</td><td class=\"grow\">", r->total_ms / 1000.0);
	put_html(b, r->helo);
	buf_puts(b, "</td></tr>");
}

static void
put_recent(const struct view *v, struct buf *b)
{
	const struct session_row *r;

	buf_puts(b, "<section class=\"card\"><h2>Sessions that ended last</h2>");
	if (console_recent(v->console, 0) == NULL) {
		buf_puts(b, "<p class=\"empty\">none yet</p></section>");
		return;
	}
	buf_puts(b,
	    "<div "
	    "class=\"scroll\"><table><tr><th>began</th><th>client</th><th>verdict</th><th>why</th>"
	    "<th class=\"n\">score</th><th class=\"n\">lasted</th><th>said it was</th></tr>");
	for (size_t i = 0; i < RECENT_SHOWN && (r = console_recent(v->console, i)) != NULL; i++)
		put_recent_row(r, b);
	buf_puts(b, "</table></div></section>");
}

static void
put_footer(const struct view *v, struct buf *b)
{
	unsigned workers = 0, draining = 0;

	for (size_t i = 0; i < v->seat_count; i++) {
		workers += v->seats[i].pid > 0 && strcmp(v->seats[i].role, "screen") == 0;
		draining += v->seats[i].pid > 0 && strcmp(v->seats[i].phase, "draining") == 0;
	}
	buf_printf(b, "<footer>gatehouse %s &#183; %u workers", PACKAGE_VERSION, workers);
	if (draining > 0)
		buf_printf(b, ", %u of them draining", draining);
	buf_puts(b, " &#183; ");
	put_count(b, cell(v, CELL_ACCEPTED));
	buf_puts(b, " connections since the start</footer>");
}

void
page_body(const struct view *v, struct buf *b)
{
	put_header(v, b);
	buf_puts(b, "<div class=\"grid\">");
	put_tiles(v, b);
	put_chart(v, b);
	put_reasons(v, b);
	put_lists(v, b);
	put_nets(v, b);
	put_recent(v, b);
	buf_puts(b, "</div>");
	put_footer(v, b);
}

void
page_whole(const struct view *v, const char *nonce, struct buf *b)
{
	static const struct span marks[] = { { "@NONCE@", 7 }, { "@BODY@", 6 } };

	for (const char *p = frame, *at; *p != '\0';) {
		at = strchr(p, '@');
		size_t n = at == NULL ? strlen(p) : (size_t)(at - p);
		buf_put(b, p, n);
		p += n;
		if (strncmp(p, marks[0].p, marks[0].len) == 0) {
			buf_puts(b, nonce);
			p += marks[0].len;
		} else if (strncmp(p, marks[1].p, marks[1].len) == 0) {
			page_body(v, b);
			p += marks[1].len;
		} else if (*p != '\0') {
			buf_putc(b, *p++);
		}
	}
}
