/*
 * A screen worker without a process, listeners, lists or memory, for tests and fuzzers of sessions: its
 * clients are ends of socket pairs.
 */
#ifndef TESTS_FAKE_WORKER_H
#define TESTS_FAKE_WORKER_H

#include "screen/worker.h"

/* Overrides over a small configuration of its own; aborts with the diagnostics if they are wrong. */
struct worker *fake_worker_new(const struct rules_override *, size_t count);
void fake_worker_free(struct worker **);

/* A client at the door (proxied: before its PROXY header). Returns its end, non-blocking. */
int fake_client(struct worker *, const char *address, bool proxied);

/* Some session of the worker, or null. */
struct session *fake_session(struct worker *);

#endif
