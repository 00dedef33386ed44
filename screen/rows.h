/*
 * screen/rows.h: one session in a few words, for people who look on: what a worker shows of its
 * sessions (screen/orders.h) and of those that ended (screen/shared.h). Fixed size; foreign text is
 * as it came: escape it where it is printed.
 */
#ifndef SCREEN_ROWS_H
#define SCREEN_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/text.h"
#include "screen/session.h"

struct session_row {
	uint64_t id;
	int64_t wall_ms; /* Unix time of its birth */
	struct endpoint client, server;
	uint32_t total_ms, wait_ms;
	int32_t score;
	uint8_t state, verdict, reason, would; /* enum state, verdict, reason, reason */
	uint8_t fail, access;
	uint8_t ended, scored, known, tls, handed; /* 0 or 1 */
	uint8_t refused; /* 0 or 1: for what it is or did, or it would have been at RCPT */
	char list[32]; /* the DNS list that weighed most */
	char helo[64];
};

void row_fill(struct session_row *, const struct session *, int64_t now_us);
/*
 * A row comes from a worker, who may be somebody else's by now: makes every index and every text safe to use. Of the
 * copy, not where the worker can still write.
 */
void row_tame(struct session_row *);
/* What the session is doing, or what came of it, in a word. */
const char *row_word(const struct session_row *);
/* One JSON object without a newline. */
void row_json(const struct session_row *, struct buf *);
/* One line for people, without a newline. */
void row_line(const struct session_row *, struct buf *);
const char *row_line_header(void);

#endif
