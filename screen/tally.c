#include "config.h"

#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "screen/engine.h"
#include "screen/journal.h"
#include "screen/shared.h"
#include "screen/tally.h"
#include "screen/worker.h"

const int64_t tally_bounds_us[BUCKETS] = { 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
	500000, 1000000, 2500000, 5000000, 10000000, 30000000, 300000000 };

const struct metric tally_metrics[] = {
#define METRIC(id, kind, name, help, labels, cells) \
	{ name, help, METRIC_##kind, LABELS_##labels, CELL_##id, cells },
#include "screen/counters.tbl"
#undef METRIC
};
const size_t tally_metrics_count = sizeof tally_metrics / sizeof tally_metrics[0];

static const char *const reason_words[REASONS] = {
#define REASON(id, word, help) word,
#include "screen/reasons.tbl"
#undef REASON
};
static const char *const event_names[EVENTS] = {
#define EVENT(id, line, respectless, when) #id,
#include "screen/events.tbl"
#undef EVENT
};
static const char *const lack_words[LACKS] = { "sessions", "descriptors" };
static const char *const result_words[RESULTS] = { "pass", "fail", "shadow", "undecided" };
static const char *const memory_words[2] = { "miss", "hit" };
static const char *const handoff_words[HANDOFF_OUTCOMES] = { "ok", "no_connect", "no_pass",
	"timeout" };
static const char *const share_words[SHARE_OPS] = { "asked", "found", "late", "put", "lost",
	"broken" };
static const char *const tls_words[TLS_VERSIONS] = { "TLSv1.3", "TLSv1.2", "older", "failed" };
static const char *const list_words[LIST_RESULTS] = { "listed", "clear", "failed", "distrusted",
	"skipped", "late" };
static const char *const list_states[LIST_STATES] = {
	[DNSBL_UNKNOWN] = "unknown",
	[DNSBL_HEALTHY] = "healthy",
	[DNSBL_SUSPECT] = "suspect",
	[DNSBL_BLOCKED] = "blocked",
	[DNSBL_DEAD] = "dead",
};
static const char *const ciphers[CIPHERS] = { "TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
	"ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA",
	"AES256-GCM-SHA384", "other" };

const char *
share_word(enum share_op op)
{
	return share_words[op];
}

const char *
reason_word(enum reason r)
{
	return reason_words[r];
}

unsigned
metric_cells(const struct metric *m)
{
	return m->kind == METRIC_TIME ? CELLS_TIME : 1;
}

/*
 * Labels: up to two names; a cell's number is i of the first times the size of the second, plus i
 * of it.
 */
static const struct {
	const char *name[2];
	const char *const *words[2]; /* null: found otherwise */
	unsigned size;		     /* of the second */
} label_sets[] = {
	[LABELS_LACK] = { { "lack" }, { lack_words }, 1 },
	[LABELS_VERDICT_REASON] = { { "verdict", "reason" }, { NULL, reason_words }, REASONS },
	[LABELS_REASON] = { { "reason" }, { reason_words }, 1 },
	[LABELS_TEST_RESULT] = { { "test", "result" }, { NULL, result_words }, RESULTS },
	[LABELS_EVENT] = { { "event" }, { NULL }, 1 },
	[LABELS_MEMORY] = { { "result" }, { memory_words }, 1 },
	[LABELS_HANDOFF] = { { "outcome" }, { handoff_words }, 1 },
	[LABELS_TLS_VERSION] = { { "version" }, { tls_words }, 1 },
	[LABELS_SHARE] = { { "operation" }, { share_words }, 1 },
	[LABELS_CIPHER] = { { "cipher" }, { ciphers }, 1 },
	[LABELS_LIST] = { { "list" }, { NULL }, 1 },
	[LABELS_LIST_HEALTH] = { { "list", "state" }, { NULL, list_states }, LIST_STATES },
	[LABELS_LIST_RESULT] = { { "list", "result" }, { NULL, list_words }, LIST_RESULTS },
};

static void
put_lower(struct buf *out, const char *word)
{
	for (; *word != '\0'; word++)
		buf_putc(out, *word >= 'A' && *word <= 'Z' ? (char)(*word - 'A' + 'a') : *word);
}

/* The exposition format's escapes: backslash, quote, newline. */
static void
put_label_value(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\' || *text == '"')
			buf_putc(out, '\\');
		buf_putc(out, *text == '\n' ? ' ' : *text);
	}
}

static bool
is_by_list(enum labels labels)
{
	return labels == LABELS_LIST || labels == LABELS_LIST_RESULT ||
	       labels == LABELS_LIST_HEALTH;
}

static bool
put_first(enum labels labels, const struct totals *t, unsigned i, struct buf *out)
{
	if (labels == LABELS_VERDICT_REASON) {
		if (i == V_NONE)
			return false;
		buf_puts(out, verdict_word((enum verdict)i));
	} else if (labels == LABELS_TEST_RESULT) {
		buf_puts(out, check_word((enum check)i));
	} else if (labels == LABELS_EVENT) {
		put_lower(out, event_names[i]);
	} else if (is_by_list(labels)) {
		if (t == NULL || t->lists[i][0] == '\0')
			return false;
		put_label_value(out, t->lists[i]);
	} else {
		buf_puts(out, label_sets[labels].words[0][i]);
	}
	return true;
}

bool
metric_labels(const struct metric *m, const struct totals *t, unsigned i, struct buf *out)
{
	if (m->labels == LABELS_NONE)
		return true;
	unsigned size = label_sets[m->labels].size;
	buf_printf(out, "%s=\"", label_sets[m->labels].name[0]);
	if (!put_first(m->labels, t, i / size, out))
		return false;
	buf_putc(out, '"');
	if (label_sets[m->labels].name[1] != NULL)
		buf_printf(out, ",%s=\"%s\"", label_sets[m->labels].name[1],
		    label_sets[m->labels].words[1][i % size]);
	return true;
}

const char *
metric_label_names(const struct metric *m)
{
	static char text[64];
	struct buf b = BUF(text);

	if (m->labels == LABELS_NONE)
		return "";
	buf_puts(&b, label_sets[m->labels].name[0]);
	if (label_sets[m->labels].name[1] != NULL)
		buf_printf(&b, ", %s", label_sets[m->labels].name[1]);
	return text;
}

/*
 * Counting. The owner alone writes, so a load and a store do; readers see whole words.
 */
void
tally_add(struct slot *slot, unsigned cell, uint64_t n)
{
	uint64_t now = atomic_load_explicit(&slot->cells[cell], memory_order_relaxed);

	atomic_store_explicit(&slot->cells[cell], now + n, memory_order_relaxed);
}

void
tally_set(struct slot *slot, unsigned cell, uint64_t value)
{
	atomic_store_explicit(&slot->cells[cell], value, memory_order_relaxed);
}

void
tally_time(struct slot *slot, enum cell histogram, unsigned i, int64_t us)
{
	unsigned first = (unsigned)histogram + i * CELLS_TIME, bucket = 0;

	while (bucket < BUCKETS && us > tally_bounds_us[bucket])
		bucket++;
	tally_add(slot, first + bucket, 1);
	tally_add(slot, first + BUCKETS + 1, us > 0 ? (uint64_t)us : 0);
}

unsigned
tally_cipher(const char *name)
{
	for (unsigned i = 0; i < CIPHERS - 1; i++)
		if (strcmp(name, ciphers[i]) == 0)
			return i;
	return CIPHERS - 1;
}

enum tls_version
tally_tls_version(const char *protocol)
{
	for (unsigned i = 0; i < TLS_OLDER; i++)
		if (strcmp(protocol, tls_words[i]) == 0)
			return (enum tls_version)i;
	return TLS_OLDER;
}

static const struct {
	uint8_t final; /* enum reply */
	uint8_t reason;
} last_words[] = {
	{ R_TOO_MANY, REASON_CLIENT_LIMIT },
	{ R_PORTS_BUSY, REASON_BACKEND_BUSY },
	{ R_SCREEN_BUSY, REASON_SCREEN_BUSY },
	{ R_TIMEOUT, REASON_TIME_LIMIT },
	{ R_TRY_LATER, REASON_COMMAND_LIMIT },
	{ R_UNAVAILABLE, REASON_STOPPING },
};

_Static_assert(
    REASON_BARE_NEWLINE - REASON_PREGREET == CHECK_BARE_NEWLINE, "reasons follow the checks");

static enum reason
failed_check(uint8_t bits)
{
	for (unsigned c = CHECKS; c-- > 0;)
		if (bits & CHECK_BIT(c))
			return (enum reason)(REASON_PREGREET + c);
	return REASON_NONE;
}

enum reason
session_reason(const struct session *s)
{
	if (s->verdict == V_ALLOW)
		return REASON_ACCESS;
	if (s->verdict == V_BUSY || s->verdict == V_ERROR)
		for (size_t i = 0; i < sizeof last_words / sizeof last_words[0]; i++)
			if (last_words[i].final == s->final && !s->no_handoff)
				return (enum reason)last_words[i].reason;
	if (s->sc.denied)
		return REASON_DENY;
	if (s->sc.fail != 0)
		return failed_check(s->sc.fail);
	if (s->sc.vetoed)
		return REASON_VETO;
	if (s->no_handoff)
		return REASON_HANDOFF;
	return s->final == R_TIMEOUT	 ? REASON_TIME_LIMIT
	       : s->final == R_TRY_LATER ? REASON_COMMAND_LIMIT
					 : REASON_NONE;
}

enum reason
session_would(const struct session *s)
{
	if (s->sc.would_deny)
		return REASON_DENY;
	if (s->sc.would != 0)
		return failed_check(s->sc.would);
	return s->sc.would_veto ? REASON_VETO : REASON_NONE;
}

static void
tally_tests(const struct session *s)
{
	const struct screening *sc = &s->sc;

	for (unsigned c = 0; c < CHECKS; c++) {
		uint8_t bit = (uint8_t)CHECK_BIT(c);
		enum test_result r = sc->fail & bit    ? RESULT_FAIL
				     : sc->would & bit ? RESULT_SHADOW
				     : sc->pass & bit  ? RESULT_PASS
						       : RESULT_UNDECIDED;
		if ((sc->todo | sc->fail | sc->would) & bit)
			tally_add(s->worker->slot, CELL_TESTS + c * RESULTS + r, 1);
	}
}

static const uint8_t list_results[] = {
	[DNSBL_PENDING] = LIST_LATE,
	[DNSBL_LISTED] = LIST_LISTED,
	[DNSBL_NOT_LISTED] = LIST_CLEAR,
	[DNSBL_FAILED] = LIST_FAILED,
	[DNSBL_DISTRUSTED] = LIST_DISTRUSTED,
	[DNSBL_SKIPPED] = LIST_SKIPPED,
};

static void
tally_lists(const struct session *s)
{
	struct slot *slot = s->worker->slot;
	const struct dnsbl_score *score = s->ask == NULL ? NULL : dnsbl_ask_score(s->ask);

	for (unsigned i = 0; score != NULL && i < score->count && i < LISTS_MAX; i++) {
		const struct dnsbl_answer *a = &score->answers[i];
		tally_add(slot, CELL_LIST_RESULTS + i * LIST_RESULTS + list_results[a->state], 1);
		if (a->us > 0)
			tally_time(slot, CELL_LIST_TIME, i, a->us);
		else if (a->state == DNSBL_LISTED || a->state == DNSBL_NOT_LISTED)
			tally_add(slot, CELL_LIST_CACHED + i, 1);
	}
}

static void
tally_health(const struct worker *w)
{
	size_t count = dnsbl_domain_count(w->snap->sites);

	for (unsigned i = 0; i < count && i < LISTS_MAX; i++) {
		const struct dnsbl_health *h = dnsbl_health(w->dnsbl, i);
		unsigned first = CELL_LIST_HEALTH + i * LIST_STATES;
		tally_set(w->slot, CELL_LIST_QUARANTINED + i, h->quarantined);
		tally_set(w->slot, CELL_LIST_QUERIES + i, h->answers);
		if (w->slot->cells[first + h->state] != 0)
			continue;
		for (unsigned k = 0; k < LIST_STATES; k++)
			tally_set(w->slot, first + k, k == h->state);
	}
}

static void
tally_share(const struct worker *w)
{
	struct share_stats s = share_stats(w->share);
	const uint64_t counts[SHARE_OPS] = { s.asked, s.found, s.late, s.put, s.lost, s.broken };

	tally_set(w->slot, CELL_SHARE_UP, s.up);
	for (unsigned i = 0; i < SHARE_OPS; i++)
		tally_set(w->slot, CELL_SHARE + i, counts[i]);
}

#define COUNT_EVERY_US INT64_C(5000000)

static void
tally_descriptors(struct worker *w)
{
	int64_t now_us = loop_now_us(w->loop);

	if (now_us < w->count_at_us)
		return;
	w->count_at_us = now_us + COUNT_EVERY_US;
	w->slot->descriptors = (uint32_t)fd_count();
}

void
tally_worker(struct worker *w)
{
	tally_descriptors(w);
	tally_health(w);
	if (w->share != NULL)
		tally_share(w);
	tally_set(w->slot, CELL_LOG_LOST, log_lost());
	tally_set(w->slot, CELL_RECORDS_LOST, journal_lost());
}

void
tally_session(struct session *s, int64_t now_us)
{
	struct slot *slot = s->worker->slot;
	enum reason would = session_would(s);

	tally_add(slot, CELL_ENDED + s->verdict * REASONS + session_reason(s), 1);
	if (would != REASON_NONE && s->handed)
		tally_add(slot, CELL_WOULD + would, 1);
	if (s->verdict != V_ALLOW && s->verdict != V_BUSY)
		tally_add(slot, CELL_MEMORY + s->known, 1);
	tally_tests(s);
	tally_lists(s);
	if (s->wait_us > 0)
		tally_time(slot, CELL_WAIT_TIME, 0, s->wait_us);
	tally_time(slot, CELL_TOTAL_TIME, 0, now_us - s->born_us);
	shared_show(slot, s, now_us);
}

/*
 * Adding up.
 */
static unsigned
list_place(struct totals *t, const char *name)
{
	for (unsigned i = 0; i < LISTS_MAX; i++) {
		if (t->lists[i][0] == '\0') {
			struct buf b = BUF(t->lists[i]);
			buf_puts(&b, name);
			return i;
		}
		if (strncmp(t->lists[i], name, LIST_NAME_SIZE - 1) == 0)
			return i;
	}
	return LISTS_MAX; /* more names than places since the start: not counted */
}

static void
add_cells(struct totals *t, const struct slot *slot, unsigned to, unsigned from, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		t->cells[to + k] +=
		    atomic_load_explicit(&slot->cells[from + k], memory_order_relaxed);
}

void
totals_add(struct totals *t, const struct slot *slot, const struct dnsbl_sites *sites, bool alive)
{
	size_t lists =
	    dnsbl_domain_count(sites) < LISTS_MAX ? dnsbl_domain_count(sites) : LISTS_MAX;
	unsigned place[LISTS_MAX];

	for (unsigned i = 0; i < lists; i++)
		place[i] = list_place(t, dnsbl_domain_shown(sites, i));
	for (size_t k = 0; k < tally_metrics_count; k++) {
		const struct metric *m = &tally_metrics[k];
		if (m->kind == METRIC_GAUGE && !alive)
			continue;
		if (!is_by_list(m->labels)) {
			add_cells(t, slot, m->first, m->first, m->count * metric_cells(m));
			continue;
		}
		unsigned each = m->count / LISTS_MAX * metric_cells(m);
		for (unsigned i = 0; i < lists; i++)
			if (place[i] < LISTS_MAX)
				add_cells(
				    t, slot, m->first + place[i] * each, m->first + i * each, each);
	}
}

uint64_t
totals_verdict(const struct totals *t, enum verdict v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < REASONS; i++)
		sum += t->cells[CELL_ENDED + v * REASONS + i];
	return sum;
}

uint64_t
totals_time_count(const struct totals *t, enum cell histogram, unsigned i)
{
	uint64_t sum = 0;

	for (unsigned k = 0; k <= BUCKETS; k++)
		sum += t->cells[histogram + i * CELLS_TIME + k];
	return sum;
}
