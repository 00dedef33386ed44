/* The status page. The frame is screen/page.html; its body is written here and fetched anew by the
 * page itself. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "screen/console_inner.h"
#include "screen/journal.h"
#include "tlsproxy/tlsproxy.h"

#define CHART_MINUTES 60
#define CHART_HEIGHT 160
#define BAR_WIDTH 12 /* of a minute, with its gap */
#define TICK_MINUTES 15
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

enum clock { CLOCK_MINUTE, CLOCK_SECOND, CLOCK_ZONE };

static void
put_clock(struct buf *b, int64_t at_s, enum clock precision)
{
	char text[32];
	time_t at = (time_t)at_s;
	struct tm tm = { 0 };

	(void)localtime_r(&at, &tm);
	strftime(text, sizeof text,
	    precision == CLOCK_SECOND ? "%H:%M:%S"
	    : precision == CLOCK_ZONE ? "%H:%M %Z"
				      : "%H:%M",
	    &tm);
	put_html(b, text);
}

/* In the unit that says most. */
static void
put_duration(struct buf *b, int64_t us)
{
	if (us < 0)
		buf_puts(b, "<span class=\"faint\">&#8211;</span>");
	else if (us < 9950)
		buf_printf(b, "%.1f&#8201;ms", us / 1000.0);
	else if (us < 999500)
		buf_printf(b, "%.0f&#8201;ms", us / 1000.0);
	else
		buf_printf(b, "%.1f&#8201;s", us / 1000000.0);
}

static void
put_pill(struct buf *b, const char *look, const char *text)
{
	buf_printf(b, "<span class=\"pill %s\">", look);
	put_html(b, text);
	buf_puts(b, "</span>");
}

static void
put_header(const struct view *v, struct buf *b)
{
	buf_puts(b, "<header><svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path "
		    "d=\"M2 22V12a10 10 "
		    "0 0 1 20 0v10h-4V12a6 6 0 0 0-12 0v10z\"/><path d=\"M8.5 22V12h2v10zM13.5 "
		    "22V12h2v10z\"/></svg>"
		    "<h1>Gatehouse</h1><p>");
	if (v->snap != NULL)
		put_html(b, v->snap->myhostname);
	buf_puts(b, "</p>");
	if (master_stopping(v->console->master))
		put_pill(b, "trouble", "stopping");
	else if (v->snap == NULL)
		put_pill(b, "trouble", "starting");
	else
		put_pill(b, "passed", "serving");
	if (v->stressed)
		put_pill(b, "trouble", "stress");
	if (is_shadowed(v)) {
		buf_puts(b, "<span class=\"pill shadow\">shadow: ");
		put_html(b, shadow_text(v));
		buf_puts(b, "</span>");
	}
	buf_puts(b, "<p class=\"end\">");
	put_clock(b, v->now_s, CLOCK_ZONE);
	buf_puts(b, " &#183; up ");
	put_span_of_time(b, (v->now_us - v->console->started_us) / 1000000);
	buf_puts(b, "</p></header>");
}

/*
 * Tiles: one great number each, its words, and a smaller remark. A part that is nothing to worry about has no colour.
 */
static void
begin_tile(struct buf *b, const char *look, const char *label)
{
	buf_printf(b, "<section class=\"card tile %s\"><h2>%s</h2><b>", look, label);
}

static void
put_share(struct buf *b, uint64_t part, uint64_t all)
{
	if (all == 0)
		buf_puts(b, "none in the last hour");
	else
		buf_printf(b, "in the last hour &#183; %.*f&#8201;%%",
		    part > 0 && part * 100 < all ? 1 : 0, 100.0 * (double)part / (double)all);
}

static void
put_flow_tile(const struct view *v, enum flow f, const char *label, struct buf *b)
{
	uint64_t n = hour(v, f), all = 0;

	for (unsigned i = 0; i < FLOWS; i++)
		all += hour(v, (enum flow)i);
	begin_tile(b, n > 0 ? flow_word(f) : "", label);
	put_count(b, n);
	buf_puts(b, "</b><p>");
	put_share(b, n, all);
	buf_puts(b, "</p></section>");
}

static void
put_open_tile(const struct view *v, struct buf *b)
{
	begin_tile(b, "", "open now");
	put_count(b, v->open);
	buf_puts(b, "</b><p>");
	if (v->snap != NULL) {
		buf_puts(b, "of at most ");
		put_count(b, v->snap->sessions_max);
	}
	if (v->passing + v->relayed > 0) {
		buf_puts(b, " &#183; ");
		put_count(b, v->passing + v->relayed);
		buf_puts(b, " at the mail server");
	}
	buf_puts(b, "</p></section>");
}

static void
put_time_tile(const struct view *v, struct buf *b)
{
	int64_t wait_us = view_mean(&v->totals, CELL_WAIT_TIME);
	int64_t give_us = view_mean(&v->totals, CELL_HANDOFF_TIME);

	begin_tile(b, "", "wait of new clients");
	put_duration(b, wait_us);
	buf_puts(b, "</b><p>on average");
	if (give_us >= 0) {
		buf_puts(b, " &#183; hand-off ");
		put_duration(b, give_us);
	}
	buf_puts(b, "</p></section>");
}

static void
put_tiles(const struct view *v, struct buf *b)
{
	buf_puts(b, "<div class=\"tiles\">");
	put_open_tile(v, b);
	put_flow_tile(v, FLOW_PASSED, "passed", b);
	put_flow_tile(v, FLOW_REFUSED, "refused", b);
	put_flow_tile(v, FLOW_TROUBLE, "no room, or failed", b);
	put_time_tile(v, b);
	buf_puts(b, "</div>");
}

/*
 * What somebody should look after. Each writes its sentence, or nothing.
 */
static void
mind_load(const struct view *v, struct buf *b)
{
	if (v->stressed)
		buf_puts(b, "<li>Many clients at once: time limits are shortened (stress).</li>");
}

static void
mind_store(const struct view *v, struct buf *b)
{
	struct keeper_view keeper = master_keeper(v->console->master);

	if (keeper.path != NULL && !keeper.works)
		buf_puts(b, "<li>The temporary allowlist cannot be written: clients are tested "
			    "anew each time. The "
			    "log says why.</li>");
}

static void
mind_share(const struct view *v, struct buf *b)
{
	uint64_t up = cell(v, CELL_SHARE_UP);
	unsigned all = view_screens(v);

	if (v->snap != NULL && *rules_text(v->snap->rules, P_gatehouse_cache_server) != '\0' &&
	    up < all)
		buf_printf(b,
		    "<li>Only %llu of %u workers have a connection to gatehouse_cache_server.</li>",
		    (ull)up, all);
}

static void
mind_certificate(const struct view *v, struct buf *b)
{
	int64_t at_s = v->snap == NULL ? 0 : tlsproxy_conf_expires_at(v->snap->tls);

	if (at_s == 0 ||
	    at_s - v->now_s >= rules_seconds(v->snap->rules, P_gatehouse_tls_expiry_warning))
		return;
	if (at_s <= v->now_s) {
		buf_puts(b, "<li>A TLS certificate has expired.</li>");
		return;
	}
	buf_puts(b, "<li>A TLS certificate expires in ");
	put_span_of_time(b, at_s - v->now_s);
	buf_puts(b, ".</li>");
}

static void
put_attention(const struct view *v, struct buf *b)
{
	static void (*const minds[])(const struct view *, struct buf *) = { mind_load, mind_store,
		mind_share, mind_certificate };
	size_t before = b->len, begun;

	buf_puts(b, "<section class=\"card attention\"><h2>Needs attention</h2><ul>");
	begun = b->len;
	for (size_t i = 0; i < sizeof minds / sizeof minds[0]; i++)
		minds[i](v, b);
	if (b->len > begun)
		buf_puts(b, "</ul></section>");
	else
		b->len = before;
}

/* What would change without the shadow. */
static void
put_shadow(const struct view *v, struct buf *b)
{
	uint64_t passed = hour(v, FLOW_PASSED), would = shadow_hour(v),
		 now_refused = hour(v, FLOW_REFUSED);

	if (!is_shadowed(v) && would == 0)
		return;
	buf_puts(b, "<section class=\"card shadowed\"><h2>If the shadow were enforced</h2><p "
		    "class=\"say\">");
	if (would == 0) {
		buf_puts(b, "Nobody more would have been refused in the last hour.");
	} else {
		buf_puts(b, "<b>");
		put_count(b, would);
		buf_printf(b, "</b> more %s would have been refused in the last hour: ",
		    would == 1 ? "session" : "sessions");
		put_count(b, now_refused + would);
		buf_puts(b, " instead of ");
		put_count(b, now_refused);
		if (passed >= would && passed > 0)
			buf_printf(b, ", %.1f&#8201;%% of those that passed",
			    100.0 * (double)would / (double)passed);
		buf_puts(b, ".");
	}
	buf_puts(b, "</p><p class=\"pills\"><span class=\"faint\">since the start</span>");
	for (unsigned r = 1; r < REASONS; r++)
		if (cell(v, CELL_WOULD + r) > 0) {
			buf_printf(
			    b, "<span class=\"pill shadow\">%s ", reason_word((enum reason)r));
			put_count(b, cell(v, CELL_WOULD + r));
			buf_puts(b, "</span> ");
		}
	buf_puts(b, "</p></section>");
}

/*
 * The chart: a column a minute; the scale ends at a round number.
 */
static uint64_t
minute_sum(const struct minute *m)
{
	uint64_t sum = 0;

	for (unsigned f = 0; m != NULL && f < FLOWS; f++)
		sum += m->flows[f];
	return sum;
}

static uint64_t
round_up(uint64_t most)
{
	static const unsigned steps[] = { 2, 3, 4, 6, 8, 10 };
	uint64_t unit = 1;

	while (unit * 10 < most)
		unit *= 10;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (unit * steps[i] >= most &&
		    unit * steps[i] % 2 == 0) /* its half is shown, too */
			return unit * steps[i];
	return unit * 10;
}

static void
put_rect(struct buf *b, const char *look, unsigned x, double y, double height)
{
	if (height > 0)
		buf_printf(b,
		    "<rect class=\"f-%s\" x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>", look,
		    x, y, BAR_WIDTH - 2, height);
}

static void
put_column(const struct minute *m, unsigned x, uint64_t top, struct buf *b)
{
	double y = CHART_HEIGHT, scale = (double)CHART_HEIGHT / (double)top;

	if (m == NULL) {
		buf_printf(b, "<rect class=\"f-off\" x=\"%u\" width=\"%d\" height=\"%d\"/>", x,
		    BAR_WIDTH, CHART_HEIGHT);
		return;
	}
	buf_puts(b, "<g><title>");
	put_clock(b, m->at_s, CLOCK_MINUTE);
	for (unsigned f = 0; f < FLOWS; f++)
		buf_printf(b, ", %llu %s", (ull)m->flows[f], flow_word((enum flow)f));
	buf_puts(b, "</title>");
	put_rect(b, "none", x, 0, CHART_HEIGHT);
	for (unsigned f = 0; f < FLOWS; f++) {
		double height = (double)m->flows[f] * scale;
		y -= height;
		put_rect(b, flow_word((enum flow)f), x, y, height);
		uint64_t would = f != FLOW_PASSED	   ? 0
				 : m->shadow < m->flows[f] ? m->shadow
							   : m->flows[f];
		put_rect(b, "shadow", x, y, (double)would * scale);
	}
	buf_puts(b, "</g>");
}

static void
put_times(const struct view *v, struct buf *b)
{
	buf_puts(b, "<div class=\"ends\">");
	for (int back = CHART_MINUTES; back > 0; back -= TICK_MINUTES) {
		buf_puts(b, "<span>");
		put_clock(b, v->now_s - back * 60, CLOCK_MINUTE);
		buf_puts(b, "</span>");
	}
	buf_puts(b, "<span>now</span></div>");
}

static void
put_key(const struct view *v, struct buf *b)
{
	buf_puts(b, "<ul class=\"key\"><li><i class=\"passed\"></i>passed</li>");
	if (is_shadowed(v) || shadow_hour(v) > 0)
		buf_puts(b, "<li><i class=\"shadow\"></i>of those, refused if enforced</li>");
	buf_puts(b, "<li><i class=\"refused\"></i>refused</li><li><i></i>left by themselves</li>"
		    "<li><i class=\"trouble\"></i>no room, or failed</li></ul>");
}

static void
put_chart(const struct view *v, struct buf *b)
{
	uint64_t most = 1;

	for (unsigned back = 0; back < CHART_MINUTES; back++) {
		uint64_t sum = minute_sum(console_minute(v, back));
		most = sum > most ? sum : most;
	}
	uint64_t top = round_up(most);
	buf_puts(b, "<section class=\"card wide\"><h2>Sessions by minute</h2><div "
		    "class=\"plot\"><span class=\"top\">");
	put_count(b, top);
	buf_puts(b, "</span><span class=\"mid\">");
	put_count(b, top / 2);
	buf_printf(b,
	    "</span><svg class=\"chart\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
	    "role=\"img\" ",
	    CHART_MINUTES * BAR_WIDTH, CHART_HEIGHT + 1);
	buf_printf(
	    b, "aria-label=\"sessions by minute in the last hour, at most %llu\">", (ull)most);
	for (int i = 0; i < 3; i++)
		buf_printf(b, "<rect class=\"f-line\" x=\"0\" y=\"%d\" width=\"%d\" height=\"1\"/>",
		    i * CHART_HEIGHT / 2, CHART_MINUTES * BAR_WIDTH);
	for (unsigned i = 0; i < CHART_MINUTES; i++)
		put_column(console_minute(v, CHART_MINUTES - 1 - i), i * BAR_WIDTH, top, b);
	buf_puts(b, "</svg></div>");
	put_times(v, b);
	put_key(v, b);
	buf_puts(b, "</section>");
}

/* Two parts of the longest bar. */
static void
put_bar(struct buf *b, const char *look, uint64_t n, uint64_t would, uint64_t most)
{
	double scale = most == 0 ? 0 : 100.0 / (double)most;

	buf_puts(b, "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" "
		    "aria-hidden=\"true\">");
	buf_printf(
	    b, "<rect class=\"f-%s\" width=\"%.1f\" height=\"8\"/>", look, scale * (double)n);
	if (would > 0)
		buf_printf(b, "<rect class=\"f-shadow\" x=\"%.1f\" width=\"%.1f\" height=\"8\"/>",
		    scale * (double)n, scale * (double)would);
	buf_puts(b, "</svg>");
}

struct reason_sum {
	enum reason reason;
	uint64_t refused, would;
};

static int
by_sum(const void *a, const void *b)
{
	const struct reason_sum *x = a, *y = b;
	uint64_t left = x->refused + x->would, right = y->refused + y->would;

	return (left < right) - (left > right);
}

/* Most frequent first. */
static size_t
sum_reasons(const struct view *v, struct reason_sum out[REASONS])
{
	size_t n = 0;

	for (unsigned r = 1; r < REASONS; r++) {
		struct reason_sum s = { (enum reason)r, 0, cell(v, CELL_WOULD + r) };
		for (unsigned verdict = V_REJECT; verdict <= V_ERROR; verdict++)
			s.refused += cell(v, CELL_ENDED + verdict * REASONS + r);
		if (s.refused + s.would > 0)
			out[n++] = s;
	}
	qsort(out, n, sizeof out[0], by_sum);
	return n;
}

static void
put_reasons(const struct view *v, struct buf *b)
{
	struct reason_sum sums[REASONS] = { { 0 } };
	size_t n = sum_reasons(v, sums);

	buf_puts(b, "<section class=\"card narrow\"><h2>Why not, since the start</h2>");
	if (n == 0) {
		buf_puts(b, "<p class=\"empty\">Nobody was refused so far.</p></section>");
		return;
	}
	buf_puts(b, "<table>");
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, "<tr><th scope=\"row\">%s</th><td class=\"grow\">",
		    reason_word(sums[i].reason));
		put_bar(
		    b, "refused", sums[i].refused, sums[i].would, sums[0].refused + sums[0].would);
		buf_puts(b, "</td><td class=\"n\">");
		if (sums[i].refused > 0)
			put_count(b, sums[i].refused);
		if (sums[i].would > 0) {
			buf_puts(b, " <span class=\"pill shadow\">+");
			put_count(b, sums[i].would);
			buf_puts(b, "</span>");
		}
		buf_puts(b, "</td></tr>");
	}
	buf_puts(b, "</table></section>");
}

static void
put_list(const struct view *v, unsigned i, struct buf *b)
{
	const char *why, *state = list_state(v, i, &why);
	const char *look = strcmp(state, "healthy") == 0 ? "passed" : *why != '\0' ? "trouble" : "";
	unsigned at = CELL_LIST_RESULTS + i * LIST_RESULTS;
	const uint64_t counts[] = { cell(v, at + LIST_LISTED), cell(v, at + LIST_CLEAR),
		cell(v, at + LIST_FAILED) + cell(v, at + LIST_DISTRUSTED) +
		    cell(v, at + LIST_LATE) };

	buf_puts(b, "<tr><th scope=\"row\" class=\"grow\">");
	put_html(b, v->totals.lists[i]);
	if (*why != '\0') {
		buf_puts(b, "<small>");
		put_html(b, why);
		buf_puts(b, "</small>");
	}
	buf_puts(b, "</th><td>");
	put_pill(b, look, state);
	for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
		buf_printf(b, "</td><td class=\"n%s\">", k == 1 ? " hide" : "");
		put_count(b, counts[k]);
	}
	buf_puts(b, "</td><td class=\"n hide\">");
	put_duration(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 500));
	buf_puts(b, "</td><td class=\"n\">");
	put_duration(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 950));
	buf_puts(b, "</td></tr>");
}

static void
put_lists(const struct view *v, struct buf *b)
{
	buf_puts(b, "<section class=\"card half\"><h2>DNS lists</h2>");
	if (v->totals.lists[0][0] == '\0') {
		buf_puts(b, "<p class=\"empty\">No lists are asked: postscreen_dnsbl_sites names "
			    "them.</p></section>");
		return;
	}
	buf_puts(b,
	    "<div class=\"scroll\"><table><tr><th scope=\"col\">list</th><th "
	    "scope=\"col\">health</th>"
	    "<th scope=\"col\" class=\"n\">listed</th><th scope=\"col\" class=\"n hide\">clear</th>"
	    "<th scope=\"col\" class=\"n\">no answer</th><th scope=\"col\" class=\"n hide\">half "
	    "within</th>"
	    "<th scope=\"col\" class=\"n\">95&#8201;% within</th></tr>");
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

	buf_printf(b, "<section class=\"card half\"><h2>Networks %s most, of late</h2>",
	    is_shadowed(v) ? "refused, or that would be," : "refused");
	if (n == 0) {
		buf_puts(b, "<p class=\"empty\">None so far.</p></section>");
		return;
	}
	buf_puts(b, "<div class=\"scroll\"><table>");
	for (size_t i = 0; i < n; i++) {
		buf_printf(b,
		    "<tr><th scope=\"row\"><code>%s/%u</code></th><td class=\"faint\">%s</td><td "
		    "class=\"grow\">",
		    addr_format(&top[i]->net, addr), top[i]->bits,
		    reason_word((enum reason)top[i]->reason));
		put_bar(b, "refused", top[i]->count, 0, top[0]->count);
		buf_puts(b, "</td><td class=\"n\">");
		put_count(b, top[i]->count);
		buf_puts(b, "</td></tr>");
	}
	buf_puts(b, "</table></div></section>");
}

/*
 * Sessions that ended last. Words for people; what logs and records say stands in the tooltip.
 */
static const struct {
	const char *words, *look;
} verdict_views[VERDICTS] = {
	[V_NONE] = { "left", "" },
	[V_PASS_OLD] = { "passed, known", "passed" },
	[V_PASS_NEW] = { "passed, new", "passed" },
	[V_ALLOW] = { "let in", "passed" },
	[V_REJECT] = { "refused", "refused" },
	[V_DROP] = { "dropped", "refused" },
	[V_HANGUP] = { "left", "" },
	[V_BUSY] = { "no room", "trouble" },
	[V_ERROR] = { "failed", "trouble" },
};

static void
put_why(const struct session_row *r, struct buf *b)
{
	buf_puts(b, reason_word((enum reason)r->reason));
	if (r->would != REASON_NONE)
		buf_printf(b, "<span class=\"in-shadow\">would be refused: %s</span>",
		    reason_word((enum reason)r->would));
	if (r->list[0] != '\0' && r->score > 0) {
		buf_puts(b, " <span class=\"faint\">");
		put_html(b, r->list);
		buf_puts(b, "</span>");
	}
}

static void
put_recent_row(const struct session_row *r, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE];
	const char *look = verdict_views[r->verdict].look;

	if (r->would != REASON_NONE && strcmp(look, "passed") == 0)
		look = "shadow";
	buf_puts(b, "<tr><td class=\"faint\">");
	put_clock(b, (r->wall_ms + r->total_ms) / 1000, CLOCK_SECOND);
	buf_printf(b,
	    "</td><th scope=\"row\"><code>%s</code></th><td><span class=\"pill %s\" "
	    "title=\"%s\">%s</span></td><td>",
	    addr_format(&r->client.addr, addr), look, row_word(r), verdict_views[r->verdict].words);
	put_why(r, b);
	buf_puts(b, "</td><td class=\"n hide\">");
	if (r->scored)
		buf_printf(b, "%d", r->score);
	buf_puts(b, "</td><td class=\"n hide\">");
	put_duration(b, (int64_t)r->total_ms * 1000);
	buf_puts(b, "</td><td class=\"grow\">");
	put_html(b, r->helo);
	buf_puts(b, "</td></tr>");
}

static void
put_recent(const struct view *v, struct buf *b)
{
	const struct session_row *r;

	buf_puts(b, "<section class=\"card\"><h2>Sessions that ended last</h2>");
	if (console_recent(v->console, 0) == NULL) {
		buf_puts(b, "<p class=\"empty\">None yet: nobody has called.</p></section>");
		return;
	}
	buf_puts(b, "<div class=\"scroll\"><table class=\"recent\"><tr><th "
		    "scope=\"col\">ended</th><th scope=\"col\">client</th>"
		    "<th scope=\"col\">verdict</th><th scope=\"col\">why</th><th scope=\"col\" "
		    "class=\"n hide\">score</th>"
		    "<th scope=\"col\" class=\"n hide\">lasted</th><th scope=\"col\">said it "
		    "was</th></tr>");
	for (size_t i = 0; i < RECENT_SHOWN && (r = console_recent(v->console, i)) != NULL; i++)
		put_recent_row(r, b);
	buf_puts(b, "</table></div></section>");
}

static void
put_footer(const struct view *v, struct buf *b)
{
	unsigned workers = 0, draining = 0;
	uint64_t deaths = v->console->deaths;

	for (size_t i = 0; i < v->seat_count; i++) {
		workers += v->seats[i].pid > 0 && strcmp(v->seats[i].role, "screen") == 0;
		draining += v->seats[i].pid > 0 && strcmp(v->seats[i].phase, "draining") == 0;
	}
	buf_printf(b, "<footer>gatehouse %s &#183; ", PACKAGE_VERSION);
	put_count(b, cell(v, CELL_ACCEPTED));
	buf_printf(b, " connections since the start &#183; %u workers", workers);
	if (draining > 0)
		buf_printf(b, ", %u of them draining", draining);
	if (deaths > 0)
		buf_printf(b, ", %llu died since the start", (ull)deaths);
	buf_puts(b, "</footer>");
}

void
page_body(const struct view *v, struct buf *b)
{
	put_header(v, b);
	put_tiles(v, b);
	buf_puts(b, "<div class=\"grid\">");
	put_attention(v, b);
	put_shadow(v, b);
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
	static const char *const marks[] = { "@NONCE@", "@NAME@", "@BODY@" };

	for (const char *p = frame; *p != '\0';) {
		size_t n = strcspn(p, "@"), mark = 0;
		buf_put(b, p, n);
		p += n;
		while (mark < 3 && strncmp(p, marks[mark], strlen(marks[mark])) != 0)
			mark++;
		if (mark == 0)
			buf_puts(b, nonce);
		else if (mark == 1)
			put_html(b, v->snap != NULL ? v->snap->myhostname : "");
		else if (mark == 2)
			page_body(v, b);
		else if (*p != '\0')
			buf_putc(b, *p);
		p += mark < 3 ? strlen(marks[mark]) : *p != '\0';
	}
}
