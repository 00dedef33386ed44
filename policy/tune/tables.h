/*
 * policy/tune/tables.h: the private side of the history: indexes, chunks, sessions under way.
 */
#ifndef POLICY_TUNE_TABLES_H
#define POLICY_TUNE_TABLES_H

#include "policy/tune/history.h"

#define CLIENT_CHUNK 4096
#define LIVE_MAX 8192            /* clients with a session under way */
#define LIVE_NONE UINT16_MAX
#define LIVE_SESSIONS 4
#define LIVE_IDLE_US (30 * 1000000ll)   /* late answers are awaited this long */
#define LIVE_OPEN_US (600 * 1000000ll)  /* a session without an end is over after this */

struct live_session {
	uint16_t port;
	uint16_t flags;
	uint32_t unused;
	int64_t start_us, end_us;
};
struct live {
	struct ipkey ip;
	uint64_t text[2];         /* of an IPv4 address; else zero */
	int64_t touched_us;
	uint32_t client;          /* UINT32_MAX: not looked up */
	uint16_t newer, older, next;
	uint8_t sessions, answers;
	uint16_t answer[PATTERN_MAX];
	struct live_session session[LIVE_SESSIONS];
};

struct client_slot {
	uint32_t tag, index1;     /* index + 1; 0: free */
};
struct history_tables {
	struct client **chunks;
	size_t chunk_count, chunk_size;
	struct client_slot *index;
	size_t index_mask;
	uint32_t *pattern_index;  /* number + 1 */
	size_t pattern_mask;
	uint16_t answer_index[ANSWERS_MAX * 2]; /* number + 1 */
	uint8_t list_index[LISTS_MAX * 4];      /* number + 1 */
	struct live *live;
	uint16_t live_bucket[LIVE_MAX * 2];
	uint16_t live_free, live_used, newest, oldest;
};

uint32_t client_take(struct history *, struct ipkey, int64_t now_s); /* finds or makes */
uint32_t client_find(const struct history *, struct ipkey);          /* UINT32_MAX: none */
/* Fetches the place in the index, later what stands there, into the processor's cache ahead of use. */
void client_prefetch(const struct history *, struct ipkey, bool record);
uint32_t pattern_take(struct history *, const uint16_t *answers, size_t count); /* sorted, distinct */
void session_fold(struct history *, const struct whole *, uint32_t client);

void live_init(struct history_tables *);

#endif
