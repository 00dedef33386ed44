/*
 * policy/tune/history.h: what the logs said, folded as it is read.
 *
 * Three tables. Lists and the answers (list, A record) seen from them: as many as the site asks.
 * Patterns: distinct sets of answers. Clients: one fixed record each, with up to four patterns. Sessions
 * under way live in a fixed pool beside them, so an event is one look-up in memory that stays warm.
 */
#ifndef POLICY_TUNE_HISTORY_H
#define POLICY_TUNE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

#define LISTS_MAX 64
#define LIST_NAME_SIZE 256
#define ANSWERS_MAX 4096        /* distinct (list, A record) pairs */
#define PATTERN_MAX 32          /* answers kept of one session */
#define LAG_WINDOW_S (24 * 3600)

/* An address as a number: IPv4 stands in the mapped range, so order and prefixes are uniform. */
struct ipkey {
	uint64_t hi, lo;
};
#define IPKEY_V4_BITS 0x0000ffff00000000ull
static inline bool
ipkey_is_v4(struct ipkey k)
{
	return k.hi == 0 && k.lo >> 32 == 0xffff;
}
static inline bool
ipkey_equal(struct ipkey a, struct ipkey b)
{
	return a.hi == b.hi && a.lo == b.lo;
}
struct ipkey ipkey_from_addr(const struct addr *);
struct addr ipkey_to_addr(struct ipkey);
/* The /24 or the /48: neighbours share a key. */
struct ipkey ipkey_cluster(struct ipkey);
uint64_t ipkey_hash(struct ipkey);

/* Logarithmic histogram of times, eight steps to the factor of two: fixed size. */
#define HISTOGRAM_STEPS 240
struct histogram {
	uint64_t count;
	uint32_t bin[HISTOGRAM_STEPS];
};
void histogram_add(struct histogram *, int64_t value);
double histogram_quantile(const struct histogram *, double q); /* middle of the bin; -1 if empty */

struct list {
	char name[LIST_NAME_SIZE];
	uint64_t asked;        /* sessions whose records say that it was asked */
	uint64_t timeouts, errors;
	struct histogram latency_us;
	struct histogram lag_s;   /* passed unlisted, listed within a day: how much later */
};
struct answer {
	uint8_t list;
	uint8_t ip[4];
	uint64_t hits;         /* sessions */
};
struct pattern {
	uint64_t lists;        /* bit set */
	uint32_t hash, offset; /* of its answers in history.codes */
	uint16_t count;
	uint32_t sessions, blocked;
};

enum session_flag {
	S_CONNECT = 1 << 0,
	S_CLOSED = 1 << 1,
	S_PREGREET = 1 << 2,
	S_PIPELINING = 1 << 3,
	S_NON_SMTP = 1 << 4,
	S_BARE_NEWLINE = 1 << 5,
	S_RANK = 1 << 6,       /* the lists said no */
	S_SOFT = 1 << 7,       /* told to come back */
	S_HARD = 1 << 8,       /* a recipient was refused for good */
	S_ALLOW = 1 << 9,
	S_DENY = 1 << 10,
	S_PASS_OLD = 1 << 11,
	S_PASS_NEW = 1 << 12,
	S_HANGUP = 1 << 13,
	S_BUSY = 1 << 14,
	S_DROP = 1 << 15,      /* known from a record; logs do not tell */
};
#define S_DEEP (S_PIPELINING | S_NON_SMTP | S_BARE_NEWLINE)
#define S_VIOLATION (S_PREGREET | S_DEEP)
#define S_VERDICT (S_VIOLATION | S_RANK | S_SOFT | S_HARD | S_ALLOW | S_DENY | S_PASS_OLD | S_PASS_NEW | \
    S_HANGUP | S_BUSY | S_DROP)

/* The words of the session record. */
enum verdict { V_PASS_OLD, V_PASS_NEW, V_ALLOW, V_REJECT, V_DROP, V_HANGUP, V_BUSY, V_ERROR, VERDICTS };
extern const char *const verdict_words[VERDICTS];

#define SLOTS 4
#define CLIENT_WAITED 1        /* told to come back, not seen since */
#define CLIENT_RETURNED 2
struct slot {
	uint32_t pattern;
	uint16_t sessions, blocked;
};
struct client {
	struct ipkey ip;
	uint32_t first_s, last_s, soft_s, bad_s; /* bad_s: last offence */
	uint32_t scored_s, scored_pattern;       /* last session that passed after the lists were asked */
	uint32_t asn;                            /* 0: not known */
	uint16_t sessions, pass_old, pass_new, pregreet, deep, ranked;
	uint16_t delivered, spam, unknown, refused;
	uint8_t flags, slots;
	struct slot slot[SLOTS];
};

/* Verdicts over time; the buckets widen as the span grows. */
#define TIMELINE_BUCKETS 192
struct timeline {
	int64_t start_s, width_s;
	uint32_t used;
	uint32_t count[TIMELINE_BUCKETS][VERDICTS];
};

struct history;
struct history *history_new(void);
void history_free(struct history **);
size_t history_bytes(const struct history *);

/*
 * Who an event is about. Most events are about a client with a session under way, and those are known
 * by the text of their address, which saves reading it: history_know().
 */
struct live;
struct peer {
	struct ipkey ip;
	struct live *live;    /* null: not looked for, or none; good until the next event */
};
/* The client whose IPv4 address has this text (at most 15 bytes, zeros behind), if it is under way. */
bool history_know(const struct history *, const uint64_t text[2], struct peer *out);

/* Events, in any order that logs have. Times are Unix microseconds. */
void history_connect(struct history *, const struct peer *, uint16_t port, int64_t now_us);
void history_event(struct history *, const struct peer *, uint16_t port, unsigned flags, int64_t now_us);
void history_disconnect(struct history *, const struct peer *, uint16_t port, int64_t now_us);
/* list: history_list(); -1 is ignored. */
void history_answer(struct history *, const struct peer *, int list, const uint8_t code[4],
    int64_t now_us);

/* One whole session at once. answers: history_code() numbers; asked: bit set of lists. */
struct whole {
	struct ipkey ip;
	unsigned flags;
	int64_t start_us;
	uint32_t asn;
	bool scored;
	uint64_t asked;
	size_t count;
	uint16_t answer[PATTERN_MAX];
};
void history_whole(struct history *, const struct whole *);

/* The backend's word on a client that was let in; null if it never was screened. */
struct client *history_client(struct history *, struct ipkey);
uint32_t history_client_index(struct history *, const struct peer *); /* UINT32_MAX: unknown */

/* Numbers for names; -1 when the table is full or the name is none. */
int history_list(struct history *, const char *name, size_t len);
int history_code(struct history *, int list, const uint8_t ip[4]);
void history_rank(struct history *, int64_t rank);

void history_finish(struct history *);

struct history {
	struct list *lists;              /* LISTS_MAX */
	size_t list_count;
	struct answer *answers;          /* ANSWERS_MAX */
	size_t answer_count;
	struct pattern *patterns;
	size_t pattern_count, pattern_size;
	uint16_t *codes;
	size_t code_count, code_size;
	size_t client_count;
	uint64_t sessions, scored, lost_patterns, from_memory;
	uint64_t scored_unsaid; /* scored, without a word on which lists were asked: all */
	uint64_t verdicts[VERDICTS];
	int64_t first_s, last_s, rank_min;
	struct timeline timeline;
	struct history_tables *tables;   /* private: indexes, chunks, sessions under way */
};
struct client *client_at(const struct history *, size_t index);

static inline void
bump16(uint16_t *n)
{
	*n += *n != UINT16_MAX;
}

#endif
