/* How Gatehouse does, as text for people and as JSON for programs. */
#include "config.h"

#include <string.h>
#include <time.h>

#include "screen/console_inner.h"
#include "screen/journal.h"

#define RATE_MINUTES 5

typedef unsigned long long ull;

static uint64_t
cell(const struct view *v, unsigned cell)
{
	return v->totals.cells[cell];
}

/* Of the minutes that are over. */
static double
rate_a_minute(const struct view *v, enum flow f)
{
	uint64_t sum = 0;
	unsigned n = 0;

	for (unsigned back = 1; back <= RATE_MINUTES; back++) {
		const struct minute *m = console_minute(v, back);
		if (m == NULL)
			continue;
		sum += m->flows[f];
		n++;
	}
	return n == 0 ? 0 : (double)sum / n;
}

static uint64_t
would_all(const struct view *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < REASONS; i++)
		sum += cell(v, CELL_WOULD + i);
	return sum;
}

static uint64_t
reason_sum(const struct view *v, unsigned reason)
{
	uint64_t sum = 0;

	for (unsigned verdict = V_REJECT; verdict <= V_ERROR; verdict++)
		sum += cell(v, CELL_ENDED + verdict * REASONS + reason);
	return sum;
}

const char *
shadow_text(const struct view *v)
{
	return v->snap == NULL ? "no" : rules_text(v->snap->rules, P_gatehouse_shadow);
}

bool
is_shadowed(const struct view *v)
{
	const struct policy_rules *p = v->snap == NULL ? NULL : &v->snap->policy;

	return p != NULL && (p->shadow != 0 || p->shadow_denylist || p->shadow_veto);
}

const char *
list_state(const struct view *v, unsigned i, const char **why)
{
	uint64_t r[LIST_RESULTS], all = 0;

	for (unsigned k = 0; k < LIST_RESULTS; k++) {
		r[k] = cell(v, CELL_LIST_RESULTS + i * LIST_RESULTS + k);
		all += k == LIST_SKIPPED ? 0 : r[k];
	}
	*why = "";
	for (unsigned k = DNSBL_DEAD; k >= DNSBL_SUSPECT; k--)
		if (cell(v, CELL_LIST_HEALTH + i * LIST_STATES + k) > 0) {
			*why = cell(v, CELL_LIST_QUARANTINED + i) > 0
				   ? "neither asked nor obeyed until it is well again"
			       : k == DNSBL_SUSPECT ? ""
						    : "its probes fail";
			return dnsbl_health_word((enum dnsbl_health_state)k);
		}
	if (all == 0 && cell(v, CELL_LIST_HEALTH + i * LIST_STATES + DNSBL_HEALTHY) == 0)
		return r[LIST_SKIPPED] > 0 ? "skipped" : "unused";
	if (all > 0 && r[LIST_DISTRUSTED] * 2 > all) {
		*why = "most of its answers are error codes or nonsense";
		return "distrusted";
	}
	if (all > 0 && r[LIST_FAILED] * 2 > all) {
		*why = "most questions get no answer";
		return "failing";
	}
	if ((r[LIST_FAILED] + r[LIST_DISTRUSTED]) * 20 > all) {
		*why = "one answer in twenty or more is missing or wrong";
		return "troubled";
	}
	return "healthy";
}

/* Null and a dash where nothing was counted. */
static void
put_ms_json(struct buf *b, const char *name, int64_t us)
{
	if (us < 0)
		buf_printf(b, ",\"%s\":null", name);
	else
		buf_printf(b, ",\"%s\":%.1f", name, us / 1000.0);
}

static void
put_ms(struct buf *b, int64_t us)
{
	if (us < 0)
		buf_printf(b, " %8s", "-");
	else
		buf_printf(b, " %8.1f", us / 1000.0);
}

/*
 * JSON.
 */
static void
json_workers(const struct view *v, struct buf *b)
{
	buf_puts(b, ",\"workers\":[");
	for (size_t i = 0; i < v->seat_count; i++) {
		const struct seat_view *s = &v->seats[i];
		struct process_view p = seat_look(s);
		buf_printf(b,
		    "%s{\"role\":\"%s\",\"number\":%u,\"phase\":\"%s\",\"pid\":%ld,\"ready\":%s,"
		    "\"uptime_s\":%lld,\"descriptors\":%llu,\"resident_bytes\":%llu",
		    i == 0 ? "" : ",", s->role, s->number, s->phase, (long)s->pid,
		    s->ready ? "true" : "false", (long long)((v->now_us - s->started_us) / 1000000),
		    (ull)p.descriptors, (ull)p.resident_bytes);
		if (s->slot != NULL)
			buf_printf(b, ",\"open\":%u,\"passing\":%u,\"connections\":%llu",
			    s->slot->check_queue, s->slot->post_queue,
			    (ull)s->slot->cells[CELL_ACCEPTED]);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void
json_verdicts(const struct view *v, struct buf *b)
{
	buf_puts(b, ",\"verdicts\":{");
	for (unsigned i = V_PASS_OLD; i < VERDICTS; i++)
		buf_printf(b, "%s\"%s\":%llu", i == V_PASS_OLD ? "" : ",",
		    verdict_word((enum verdict)i),
		    (ull)totals_verdict(&v->totals, (enum verdict)i));
	buf_puts(b, "},\"reasons\":{");
	for (unsigned i = 1, first = 1; i < REASONS; i++) {
		if (reason_sum(v, i) == 0)
			continue;
		buf_printf(b, "%s\"%s\":%llu", first ? "" : ",", reason_word((enum reason)i),
		    (ull)reason_sum(v, i));
		first = 0;
	}
	buf_putc(b, '}');
}

static void
json_shadow(const struct view *v, struct buf *b)
{
	bool first = true;

	buf_puts(b, ",\"shadow\":{");
	buf_json_member(b, "setting", span_of(shadow_text(v)));
	buf_printf(b, ",\"on\":%s,\"would_refuse\":{", is_shadowed(v) ? "true" : "false");
	for (unsigned i = 0; i < REASONS; i++) {
		if (cell(v, CELL_WOULD + i) == 0)
			continue;
		buf_printf(b, "%s\"%s\":%llu", first ? "" : ",", reason_word((enum reason)i),
		    (ull)cell(v, CELL_WOULD + i));
		first = false;
	}
	buf_puts(b, "}}");
}

static void
json_minutes(const struct view *v, struct buf *b)
{
	bool first = true;

	buf_puts(b, ",\"minutes\":[");
	for (unsigned back = 60; back-- > 0;) {
		const struct minute *m = console_minute(v, back);
		if (m == NULL)
			continue;
		buf_printf(b, "%s{\"at\":%lld", first ? "" : ",", (long long)m->at_s);
		for (unsigned f = 0; f < FLOWS; f++)
			buf_printf(b, ",\"%s\":%llu", flow_word((enum flow)f), (ull)m->flows[f]);
		buf_printf(b, ",\"shadow\":%llu}", (ull)m->shadow);
		first = false;
	}
	buf_putc(b, ']');
}

static void
json_list(const struct view *v, unsigned i, struct buf *b)
{
	static const char *const words[LIST_RESULTS] = { "listed", "clear", "failed", "distrusted",
		"skipped", "late" };
	const char *why, *state = list_state(v, i, &why);

	buf_putc(b, '{');
	buf_json_member(b, "list", span_of(v->totals.lists[i]));
	buf_printf(b, ",\"state\":\"%s\",\"why\":\"%s\"", state, why);
	for (unsigned k = 0; k < LIST_RESULTS; k++)
		buf_printf(b, ",\"%s\":%llu", words[k],
		    (ull)cell(v, CELL_LIST_RESULTS + i * LIST_RESULTS + k));
	buf_printf(b, ",\"cached\":%llu,\"queries\":%llu", (ull)cell(v, CELL_LIST_CACHED + i),
	    (ull)cell(v, CELL_LIST_QUERIES + i));
	put_ms_json(b, "p50_ms", view_quantile(&v->totals, CELL_LIST_TIME, i, 500));
	put_ms_json(b, "p95_ms", view_quantile(&v->totals, CELL_LIST_TIME, i, 950));
	buf_putc(b, '}');
}

void
lists_json(const struct view *v, struct buf *b)
{
	buf_puts(b, "{\"lists\":[");
	for (unsigned i = 0; i < LISTS_MAX && v->totals.lists[i][0] != '\0'; i++) {
		if (i > 0)
			buf_putc(b, ',');
		json_list(v, i, b);
	}
	buf_puts(b, "]}\n");
}

static const char *
phase_word(const struct view *v)
{
	return master_stopping(v->console->master) ? "stopping"
	       : v->snap == NULL		   ? "starting"
						   : "serving";
}

static void
json_listeners(const struct view *v, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE];

	buf_puts(b, ",\"listeners\":[");
	for (size_t i = 0; v->snap != NULL && i < v->snap->listener_count; i++)
		buf_printf(b, "%s\"[%s]:%u\"", i == 0 ? "" : ",",
		    addr_format(&v->snap->listeners[i].at.addr, addr),
		    v->snap->listeners[i].at.port);
	buf_putc(b, ']');
}

unsigned
view_screens(const struct view *v)
{
	unsigned count = 0;

	for (size_t i = 0; i < v->seat_count; i++)
		count += v->seats[i].slot != NULL;
	return count;
}

static void
json_memory(const struct view *v, struct buf *b)
{
	struct keeper_view keeper = master_keeper(v->console->master);
	const char *server =
	    v->snap == NULL ? "" : rules_text(v->snap->rules, P_gatehouse_cache_server);

	buf_printf(b, ",\"memory\":{\"known\":%llu,\"unknown\":%llu", (ull)cell(v, CELL_MEMORY + 1),
	    (ull)cell(v, CELL_MEMORY));
	if (keeper.path != NULL) {
		buf_json_member(b, "store", span_of(keeper.path));
		buf_printf(b, ",\"works\":%s,\"writer\":%ld,\"writer_deaths\":%u",
		    keeper.works ? "true" : "false", (long)keeper.pid, keeper.deaths);
	}
	if (*server != '\0') {
		buf_puts(b, ",\"share\":{");
		buf_json_member(b, "server", span_of(server));
		buf_printf(b, ",\"connected\":%llu,\"workers\":%u", (ull)cell(v, CELL_SHARE_UP),
		    view_screens(v));
		for (unsigned i = 0; i < SHARE_OPS; i++)
			buf_printf(b, ",\"%s\":%llu", share_word((enum share_op)i),
			    (ull)cell(v, CELL_SHARE + i));
		buf_putc(b, '}');
	}
	buf_putc(b, '}');
}

void
status_json(const struct view *v, struct buf *b)
{
	const struct console *c = v->console;

	buf_printf(b, "{\"version\":\"%s\",\"phase\":\"%s\",\"started\":%lld,\"uptime_s\":%lld",
	    PACKAGE_VERSION, phase_word(v), (long long)c->started_s,
	    (long long)((v->now_us - c->started_us) / 1000000));
	if (v->snap != NULL) {
		buf_json_member(b, "host", span_of(v->snap->myhostname));
		buf_json_member(b, "backend", span_of(v->snap->backend.name));
		buf_printf(b, ",\"sessions_limit\":%zu", v->snap->sessions_max);
	}
	buf_printf(b,
	    ",\"stressed\":%s,\"open\":%zu,\"passing\":%zu,\"in_proxy\":%zu,\"connections\":%llu",
	    v->stressed ? "true" : "false", v->open, v->passing, v->in_proxy,
	    (ull)cell(v, CELL_ACCEPTED));
	buf_printf(b, ",\"reloads\":%llu,\"reloads_refused\":%llu,\"deaths\":%llu",
	    (ull)c->reloads[1], (ull)c->reloads[0], (ull)c->deaths);
	put_ms_json(b, "handoff_p95_ms", view_quantile(&v->totals, CELL_HANDOFF_TIME, 0, 950));
	put_ms_json(b, "wait_p50_ms", view_quantile(&v->totals, CELL_WAIT_TIME, 0, 500));
	put_ms_json(b, "wait_mean_ms", view_mean(&v->totals, CELL_WAIT_TIME));
	json_memory(v, b);
	json_listeners(v, b);
	json_workers(v, b);
	json_verdicts(v, b);
	json_shadow(v, b);
	json_minutes(v, b);
	buf_puts(b, "}\n");
}

/*
 * Text.
 */
void
put_span_of_time(struct buf *b, int64_t s)
{
	if (s >= 172800)
		buf_printf(b, "%lld days", (long long)(s / 86400));
	else if (s >= 7200)
		buf_printf(b, "%lld hours", (long long)(s / 3600));
	else if (s >= 120)
		buf_printf(b, "%lld minutes", (long long)(s / 60));
	else
		buf_printf(b, "%lld second%s", (long long)s, s == 1 ? "" : "s");
}

static void
text_flows(const struct view *v, struct buf *b)
{
	buf_printf(b, "\n%-10s %12s %14s\n", "", "since start", "a minute now");
	for (unsigned f = 0; f < FLOWS; f++)
		buf_printf(b, "%-10s %12llu %14.1f\n", flow_word((enum flow)f),
		    (ull)view_flow(&v->totals, (enum flow)f), rate_a_minute(v, (enum flow)f));
	bool any = false;
	for (unsigned i = 1; i < REASONS; i++)
		if (reason_sum(v, i) > 0) {
			buf_puts(b, any ? "" : "\nwhy\n");
			any = true;
			buf_printf(b, "  %-14s %12llu\n", reason_word((enum reason)i),
			    (ull)reason_sum(v, i));
		}
}

static void
text_shadow(const struct view *v, struct buf *b)
{
	if (!is_shadowed(v) && would_all(v) == 0)
		return;
	buf_printf(b,
	    "\nshadow (gatehouse_shadow = %s): enforcing would have refused %llu sessions more\n",
	    shadow_text(v), (ull)would_all(v));
	for (unsigned i = 0; i < REASONS; i++)
		if (cell(v, CELL_WOULD + i) > 0)
			buf_printf(b, "  %-14s %12llu\n", reason_word((enum reason)i),
			    (ull)cell(v, CELL_WOULD + i));
}

static void
text_workers(const struct view *v, struct buf *b)
{
	buf_printf(b, "\n%-9s %3s %8s  %-9s %8s %8s %10s\n", "worker", "", "pid", "phase", "open",
	    "passing", "clients");
	for (size_t i = 0; i < v->seat_count; i++) {
		const struct seat_view *s = &v->seats[i];
		buf_printf(b, "%-9s %3u %8ld  %-9s", s->role, s->number, (long)s->pid,
		    s->pid == 0 ? "dead" : s->phase);
		if (s->slot != NULL)
			buf_printf(b, " %8u %8u %10llu", s->slot->check_queue, s->slot->post_queue,
			    (ull)s->slot->cells[CELL_ACCEPTED]);
		buf_putc(b, '\n');
	}
}

void
lists_text(const struct view *v, struct buf *b)
{
	buf_printf(b, "%-32s %-10s %9s %9s %8s %8s %8s %8s %8s\n", "list", "state", "listed",
	    "clear", "failed", "distrust", "late", "p50 ms", "p95 ms");
	for (unsigned i = 0; i < LISTS_MAX && v->totals.lists[i][0] != '\0'; i++) {
		const char *why, *state = list_state(v, i, &why);
		unsigned at = CELL_LIST_RESULTS + i * LIST_RESULTS;
		buf_printf(b, "%-32s %-10s %9llu %9llu %8llu %8llu %8llu", v->totals.lists[i],
		    state, (ull)cell(v, at + LIST_LISTED), (ull)cell(v, at + LIST_CLEAR),
		    (ull)cell(v, at + LIST_FAILED), (ull)cell(v, at + LIST_DISTRUSTED),
		    (ull)cell(v, at + LIST_LATE));
		put_ms(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 500));
		put_ms(b, view_quantile(&v->totals, CELL_LIST_TIME, i, 950));
		buf_printf(b, "%s%s\n", *why != '\0' ? "  " : "", why);
	}
}

static void
text_memory(const struct view *v, struct buf *b)
{
	struct keeper_view keeper = master_keeper(v->console->master);
	const char *server =
	    v->snap == NULL ? "" : rules_text(v->snap->rules, P_gatehouse_cache_server);

	if (keeper.path != NULL)
		buf_printf(b, "memory: lmdb:%s %s; %llu clients known, %llu not\n", keeper.path,
		    keeper.works ? "works" : "DOES NOT WORK, see the log",
		    (ull)cell(v, CELL_MEMORY + 1), (ull)cell(v, CELL_MEMORY));
	if (*server == '\0')
		return;
	buf_printf(b, "shared: %s, %llu of %u workers connected;", server,
	    (ull)cell(v, CELL_SHARE_UP), view_screens(v));
	for (unsigned i = 0; i < SHARE_OPS; i++)
		buf_printf(b, "%s %s %llu", i > 0 ? "," : "", share_word((enum share_op)i),
		    (ull)cell(v, CELL_SHARE + i));
	buf_putc(b, '\n');
}

void
status_text(const struct view *v, struct buf *b)
{
	const struct console *c = v->console;

	buf_printf(b, "gatehouse %s, %s; up ", PACKAGE_VERSION, phase_word(v));
	put_span_of_time(b, (v->now_us - c->started_us) / 1000000);
	if (v->snap != NULL)
		buf_printf(b, "; clients that pass go to %s", v->snap->backend.name);
	buf_printf(b, "\nsessions: %zu open, %zu of them wait for the mail server; at most %zu%s\n",
	    v->open, v->passing, v->snap == NULL ? 0 : v->snap->sessions_max,
	    v->stressed ? "; STRESS: time limits are shortened" : "");
	buf_printf(b,
	    "connections since start: %llu; reloads %llu, refused %llu; workers died %llu\n",
	    (ull)cell(v, CELL_ACCEPTED), (ull)c->reloads[1], (ull)c->reloads[0], (ull)c->deaths);
	text_memory(v, b);
	text_flows(v, b);
	text_shadow(v, b);
	text_workers(v, b);
	if (v->totals.lists[0][0] != '\0') {
		buf_putc(b, '\n');
		lists_text(v, b);
	}
}
