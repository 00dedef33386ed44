#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/console_inner.h"
#include "screen/poolshow.h"

#define TEXT_SIZE POOLSHOW_SIZE /* nothing is longer */
#define TICK_MS 1000
#define TICK_BUSY_MS 100 /* sessions end so fast that places are overwritten within a second */
#define BUSY_ROWS 32	 /* found at once */
#define LISTING_LIMIT_MS 200
#define HALVE_S 3600 /* offenders fade: what was an hour ago counts half */
#define ROWS_A_TICK 512

static const char *const flow_words[FLOWS] = { "passed", "refused", "left", "trouble" };
static const uint8_t flow_of[VERDICTS] = {
	[V_NONE] = FLOW_LEFT,
	[V_PASS_OLD] = FLOW_PASSED,
	[V_PASS_NEW] = FLOW_PASSED,
	[V_ALLOW] = FLOW_PASSED,
	[V_REJECT] = FLOW_REFUSED,
	[V_DROP] = FLOW_REFUSED,
	[V_HANGUP] = FLOW_LEFT,
	[V_BUSY] = FLOW_TROUBLE,
	[V_ERROR] = FLOW_TROUBLE,
};

const char *
flow_word(enum flow f)
{
	return flow_words[f];
}

uint64_t
view_flow(const struct totals *t, enum flow f)
{
	uint64_t sum = 0;

	for (unsigned v = 0; v < VERDICTS; v++)
		if (flow_of[v] == f)
			sum += totals_verdict(t, (enum verdict)v);
	return sum;
}

/*
 * Once a second: what ended, and the minute.
 */
static bool
is_offence(const struct session_row *r)
{
	return r->verdict == V_REJECT || r->verdict == V_DROP || r->fail != 0 ||
	       r->would != REASON_NONE;
}

static void
note_ended(struct console *c, const struct session_row *r, int64_t now_s)
{
	c->recent[c->recent_count++ % RECENT_MAX] = *r;
	if (flow_of[r->verdict] == FLOW_PASSED)
		offenders_forgive(&c->hosts, &r->client.addr, 32, 64);
	else if (r->refused)
		offenders_note(&c->hosts, r, 32, 64, now_s);
	if (is_offence(r))
		offenders_note(&c->nets, r, 24, 48, now_s);
}

/* The most that any worker had. */
static size_t
gather_ended(struct console *c, int64_t now_s)
{
	static struct session_row rows[ROWS_A_TICK];
	const struct shared *sh = master_shared(c->master);
	size_t most = 0;

	for (uint32_t i = 0, n = sh == NULL ? 0 : shared_used(sh); i < n; i++) {
		size_t count = shared_ended(&sh->slots[i], &c->seen[i], rows, ROWS_A_TICK);
		for (size_t k = 0; k < count; k++) {
			row_tame(&rows[k]);
			note_ended(c, &rows[k], now_s);
		}
		most = count > most ? count : most;
	}
	return most;
}

static void
add_seats(struct view *v)
{
	v->totals = v->console->base;
	for (size_t i = 0; i < v->seat_count; i++)
		if (v->seats[i].slot != NULL)
			totals_add(&v->totals, v->seats[i].slot, v->seats[i].snap->sites, true);
}

const struct view *
console_view(struct console *c)
{
	static struct view v;
	const struct shared *sh = master_shared(c->master);

	v.console = c;
	v.now_us = loop_now_us(c->loop);
	v.now_s = loop_wall_s(c->loop);
	v.snap = master_snapshot(c->master);
	v.seat_count = master_seats(c->master, v.seats, SEATS_VIEW_MAX);
	v.open = shared_check_queue(sh);
	v.passing = shared_post_queue(sh);
	v.relayed = shared_relayed(sh);
	v.tarpit = shared_tarpit(sh);
	v.in_proxy = shared_proxy_queue(sh);
	v.stressed = sh->stressed;
	add_seats(&v);
	return &v;
}

static struct minute
sums(const struct totals *t)
{
	struct minute m = { 0 };

	for (unsigned f = 0; f < FLOWS; f++)
		m.flows[f] = view_flow(t, (enum flow)f);
	for (unsigned i = 0; i < REASONS; i++)
		m.shadow += t->cells[CELL_WOULD + i];
	return m;
}

static void
fill_minute(struct console *c, const struct minute *now)
{
	struct minute *m = &c->minutes[(c->minute_count - 1) % MINUTES_MAX];

	m->at_s = c->minute_base.at_s;
	for (unsigned f = 0; f < FLOWS; f++)
		m->flows[f] = now->flows[f] - c->minute_base.flows[f];
	m->shadow = now->shadow - c->minute_base.shadow;
}

/* A clock set back begins anew; hours asleep are not filled up. */
static void
turn_minute(struct console *c, const struct view *v)
{
	struct minute now = sums(&v->totals);
	int64_t at_s = v->now_s - v->now_s % 60;

	if (c->minute_count > 0)
		fill_minute(c, &now);
	if (c->minute_count > 0 && at_s == c->minute_base.at_s)
		return;
	if (c->minute_count > 0)
		c->minute_base = now;
	c->minute_base.at_s = at_s;
	c->minute_count++;
	fill_minute(c, &now);
}

const struct minute *
console_minute(const struct view *v, unsigned back)
{
	const struct console *c = v->console;
	int64_t at_s = v->now_s - v->now_s % 60 - (int64_t)back * 60;

	for (uint64_t i = c->minute_count; i-- > 0 && c->minute_count - i <= MINUTES_MAX;) {
		const struct minute *m = &c->minutes[i % MINUTES_MAX];
		if (m->at_s <= at_s)
			return m->at_s == at_s ? m : NULL;
	}
	return NULL;
}

const struct session_row *
console_recent(const struct console *c, size_t back)
{
	if (back >= c->recent_count || back >= RECENT_MAX)
		return NULL;
	return &c->recent[(c->recent_count - 1 - back) % RECENT_MAX];
}

static void
on_tick(int fd, short what, void *arg)
{
	struct console *c = arg;
	int64_t now_s = loop_wall_s(c->loop);

	(void)fd, (void)what;
	size_t most = gather_ended(c, now_s);
	watch_start_once(&c->tick, most >= BUSY_ROWS ? TICK_BUSY_MS : TICK_MS);
	turn_minute(c, console_view(c));
	if (now_s - c->halved_s >= HALVE_S) {
		c->halved_s = now_s;
		offenders_halve(&c->hosts);
		offenders_halve(&c->nets);
	}
}

/*
 * Live sessions, asked of the workers.
 */
static void
listing_done(struct console *c)
{
	watch_stop(&c->listing.limit);
	c->listing.under_way = false;
	control_listed(c);
}

static void
on_listing_limit(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	listing_done(arg); /* with what has come */
}

void
console_list(struct console *c)
{
	struct listing *l = &c->listing;
	const struct view *v;

	if (l->under_way)
		return;
	if (l->rows == NULL)
		l->rows = mem_array(LIVE_MAX, sizeof l->rows[0]);
	v = console_view(c);
	l->under_way = true;
	l->waiting = 0;
	l->count = 0;
	l->tag++;
	struct order order = { .kind = ORDER_LIST, .count = LIVE_A_WORKER, .tag = l->tag };
	for (size_t i = 0; i < v->seat_count; i++)
		if (v->seats[i].ready && v->seats[i].channel >= 0 &&
		    order_send(v->seats[i].channel, &order))
			l->waiting++;
	watch_start_once(&l->limit, l->waiting == 0 ? 0 : LISTING_LIMIT_MS);
}

void
console_rows(struct console *c, const struct order *order)
{
	struct listing *l = &c->listing;

	if (!l->under_way || order->tag != l->tag)
		return;
	for (unsigned i = 0; i < order->count && l->count < LIVE_MAX; i++) {
		l->rows[l->count] = order->rows[i];
		row_tame(&l->rows[l->count++]);
	}
	if (order->last && l->waiting > 0 && --l->waiting == 0)
		listing_done(c);
}

/*
 * Life.
 */
struct console *
console_new(struct master *m)
{
	struct console *c = mem_alloc(sizeof *c);

	c->master = m;
	c->loop = master_loop(m);
	c->started_us = loop_now_us(c->loop);
	c->started_s = c->halved_s = loop_wall_s(c->loop);
	c->hosts.max = OFFENDERS_MAX;
	c->nets.max = OFFENDERS_MAX;
	c->text = buf_over(mem_alloc(TEXT_SIZE), TEXT_SIZE);
	watch_init_timer(&c->tick, c->loop, on_tick, c);
	watch_start_once(&c->tick, TICK_MS);
	watch_init_timer(&c->listing.limit, c->loop, on_listing_limit, c);
	return c;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

void
console_follow(struct console *c, const struct snapshot *snap)
{
	const char *path = rules_text(snap->rules, P_gatehouse_control);
	const char *at = rules_text(snap->rules, P_gatehouse_metrics_listen);

	if (c->control == NULL || !same(c->control_path, path)) {
		control_close(c);
		free(c->control_path);
		c->control_path = mem_strdup(path);
		if (*path != '\0')
			c->control = control_open(
			    c, path, rules_text(snap->rules, P_gatehouse_control_group));
	}
	if (c->http == NULL || !same(c->http_at, at)) {
		desk_free(&c->http);
		free(c->http_at);
		c->http_at = mem_strdup(at);
		if (*at != '\0')
			c->http = http_open(c, at);
	}
}

void
console_fold(struct console *c, const struct slot *slot, const struct snapshot *snap)
{
	gather_ended(c, loop_wall_s(c->loop));
	totals_add(&c->base, slot, snap->sites, false);
	/* Sessions in it end with it, unseen: every connection accepted has an end. */
	c->base.cells[CELL_ENDED + V_ERROR * REASONS + REASON_DIED] += slot->check_queue;
}

void
console_died(struct console *c, bool unexpected)
{
	c->deaths += unexpected;
}

void
console_settled(struct console *c, bool in_force)
{
	c->reloads[in_force]++;
	control_settled(c, in_force);
}

void
console_free(struct console **console)
{
	struct console *c = *console;

	if (c == NULL)
		return;
	watch_stop(&c->tick);
	watch_stop(&c->listing.limit);
	control_close(c);
	desk_free(&c->http);
	free(c->control_path);
	free(c->http_at);
	free(c->listing.rows);
	free(c->text.p);
	free(c);
	*console = NULL;
}

/*
 * Figures.
 */
int64_t
view_quantile(const struct totals *t, enum cell histogram, unsigned i, unsigned part)
{
	const uint64_t *cells = &t->cells[histogram + i * CELLS_TIME];
	uint64_t all = totals_time_count(t, histogram, i), sum = 0;
	double wanted = (double)all * part / 1000;

	if (all == 0)
		return -1;
	for (unsigned k = 0; k < BUCKETS; k++) {
		int64_t from_us = k == 0 ? 0 : tally_bounds_us[k - 1];
		if (cells[k] > 0 && (double)(sum + cells[k]) >= wanted)
			return from_us + (int64_t)((double)(tally_bounds_us[k] - from_us) *
						   (wanted - (double)sum) / (double)cells[k]);
		sum += cells[k];
	}
	return tally_bounds_us[BUCKETS - 1];
}

int64_t
view_mean(const struct totals *t, enum cell histogram)
{
	uint64_t all = totals_time_count(t, histogram, 0);

	return all == 0 ? -1 : (int64_t)(t->cells[histogram + BUCKETS + 1] / all);
}
