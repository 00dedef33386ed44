/*
 * screen/memory.h: what is remembered of a client: by this host's store, by other hosts (Redis),
 * and under whose name if it belongs to a pool of senders. All of it fails open.
 */
#ifndef SCREEN_MEMORY_H
#define SCREEN_MEMORY_H

#include "policy/policy.h"

struct session;
struct worker;

struct worker_start;

/* Before the jail. The first worker walks the records of pools for all. */
void memory_open(struct worker *, const struct worker_start *);
void memory_close(struct worker *);

/* The rules this session is judged by: a domain's pool is asked about by DNSBL only. */
const struct policy_rules *memory_policy(const struct session *);
/* Finds the client's pool, then its record in the store. */
bool memory_get(struct session *, struct record *out);
/* Asks the other hosts, while the client waits; what they know is a session_event(ON_OTHER). */
void memory_ask(struct session *);
/* In that event: true if it came from here; *known: nothing is due any more. */
bool memory_answered(struct session *, bool *known);
void memory_put(struct session *);
void memory_release(struct session *);

#endif
