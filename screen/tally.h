/*
 * screen/tally.h: what is counted, and how the counts survive.
 *
 * A worker counts in its slot of shared memory (screen/shared.h): plain relaxed stores, no locks,
 * since nobody else writes there. The master adds the slots up (struct totals) whenever somebody
 * asks, and folds a slot into its base when the worker is gone, so that a dead worker loses
 * nothing.
 */
#ifndef SCREEN_TALLY_H
#define SCREEN_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/text.h"
#include "screen/session.h"

#define LISTS_MAX 64 /* DNS lists with counters of their own: the first of the configuration */

enum reason {
#define REASON(id, word, help) REASON_##id,
#include "screen/reasons.tbl"
#undef REASON
	REASONS
};
const char *reason_word(enum reason);

enum lack { LACK_SESSIONS, LACK_DESCRIPTORS, LACKS };
enum share_op {
	SHARE_ASKED,
	SHARE_FOUND,
	SHARE_LATE,
	SHARE_PUT,
	SHARE_LOST,
	SHARE_BROKEN,
	SHARE_OPS
};
const char *share_word(enum share_op);
enum test_result { RESULT_PASS, RESULT_FAIL, RESULT_SHADOW, RESULT_UNDECIDED, RESULTS };
enum handoff_outcome {
	HANDOFF_OK,
	HANDOFF_NO_CONNECT,
	HANDOFF_NO_PASS,
	HANDOFF_TIMEOUT,
	HANDOFF_OUTCOMES
};
enum tls_version { TLS_1_3, TLS_1_2, TLS_OLDER, TLS_NONE, TLS_VERSIONS };
enum list_result {
	LIST_LISTED,
	LIST_CLEAR,
	LIST_FAILED,
	LIST_DISTRUSTED,
	LIST_SKIPPED,
	LIST_LATE,
	LIST_RESULTS
};
#define LIST_STATES (DNSBL_DEAD + 1)
#define CIPHERS 16

/* Histograms of durations: upper bounds in microseconds; one more bucket for what is longer. */
#define BUCKETS 15
extern const int64_t tally_bounds_us[BUCKETS];
enum { CELLS_COUNTER = 1, CELLS_GAUGE = 1, CELLS_TIME = BUCKETS + 2 }; /* ..., +Inf, sum in µs */

enum cell {
#define METRIC(id, kind, name, help, labels, cells) \
	CELL_##id, CELL_##id##_LAST = CELL_##id + (cells)*CELLS_##kind - 1,
#include "screen/counters.tbl"
#undef METRIC
	CELLS
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_TIME };
enum labels {
	LABELS_NONE,
	LABELS_LACK,
	LABELS_VERDICT_REASON,
	LABELS_REASON,
	LABELS_TEST_RESULT,
	LABELS_EVENT,
	LABELS_MEMORY,
	LABELS_HANDOFF,
	LABELS_TLS_VERSION,
	LABELS_CIPHER,
	LABELS_LIST,
	LABELS_LIST_RESULT,
	LABELS_SHARE,
	LABELS_LIST_HEALTH,
};
struct metric {
	const char *name, *help;
	enum metric_kind kind;
	enum labels labels;
	uint32_t first, count; /* cells; a histogram counts as one */
};
#define METRICS_COUNTED tally_metrics_count
extern const struct metric tally_metrics[];
extern const size_t tally_metrics_count;
unsigned metric_cells(const struct metric *); /* of one of its `count` */
/* The labels of cell i without braces, `test="dnsbl",result="fail"`; false if such a cell means
 * nothing. */
struct totals;
bool metric_labels(const struct metric *, const struct totals *, unsigned i, struct buf *out);
/* The names of the labels, for the manual: "test, result". */
const char *metric_label_names(const struct metric *);

struct slot;
void tally_add(struct slot *, unsigned cell, uint64_t n);
void tally_set(struct slot *, unsigned cell, uint64_t value);
void tally_time(struct slot *, enum cell histogram, unsigned i, int64_t us);
unsigned tally_cipher(const char *name); /* 0 .. CIPHERS-1, the last for all others */
enum tls_version tally_tls_version(const char *protocol); /* "TLSv1.3" */

/* After a turn of the loop: what this worker thinks of each list, what it lost, how sharing does, its
 * descriptors. */
void tally_worker(struct worker *);

/* What decided this session; final at its end. */
enum reason session_reason(const struct session *);
/* What in the shadow would have refused it; REASON_NONE if nothing. */
enum reason session_would(const struct session *);
/* At the end of a session: everything about it. */
void tally_session(struct session *, int64_t now_us);

/* Sums. Lists are told apart by their shown names, since a reload may change their places. */
#define LIST_NAME_SIZE 64
struct totals {
	uint64_t cells[CELLS];
	char lists[LISTS_MAX][LIST_NAME_SIZE];
};
struct dnsbl_sites;
/* Gauges count only if the worker is alive. */
void totals_add(struct totals *, const struct slot *, const struct dnsbl_sites *, bool alive);
uint64_t totals_verdict(const struct totals *, enum verdict);
uint64_t totals_time_count(const struct totals *, enum cell histogram, unsigned i);

#endif
