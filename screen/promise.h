/*
 * screen/promise.h: what the backend says it can do.
 *
 * The engine answers EHLO before the backend is asked, and a client that is continued holds us to that answer. So
 * each worker asks the backend's EHLO over a connection of its own, at its start and every few minutes, and
 * announces nothing the backend does not.
 */
#ifndef SCREEN_PROMISE_H
#define SCREEN_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

struct promise;
struct worker;

/* Null if this configuration never continues a client: then nothing need be asked. */
struct promise *promise_new(struct worker *);
void promise_free(struct promise **);

/* Takes from *keywords (KW_BITs) what the backend does not keep, and lowers *size to its limit (0: none). */
void promise_limit(const struct promise *, uint32_t *keywords, int64_t *size);

/* For promise.c, its test and its fuzzer: reads one EHLO reply, as it came. */
void promise_parse(const char *reply, uint64_t len, uint32_t *keywords, int64_t *size);

#endif
