/*
 * policy/pools.h: what the parts of the pools have in common: their configuration (pools_rules.c), the board
 * (pools.c), and who walks the SPF records and writes on it (pools_walk.c). Inside the policy room only.
 */
#ifndef POLICY_POOLS_H
#define POLICY_POOLS_H

#include <stdatomic.h>
#include "policy/spf.h"

/* What the operator named. */
struct pool_rule {
	char *name;
	struct addr net; /* family 0: a domain */
	uint8_t len;
	struct addr key;
};
struct pools_rules {
	struct pool_rule rules[POOLS_MAX];
	size_t count;
	char *servers;
};

/* Addresses from first to last. */
struct range {
	struct addr first, last;
};

/*
 * What is known of a domain. The ranges are sorted, IPv4 before IPv6, and none begins before another ends:
 * first those that are in, then those that are not.
 */
struct pool_set {
	int64_t walked_us, next_us; /* 0: never */
	unsigned skipped;
	char error[POOL_ERROR_SIZE];
	size_t in_count, out_count, net_count, source_count;
	struct pool_source sources[POOL_SOURCES_MAX];
	struct pool_net nets[POOL_NETS_MAX]; /* as walked, for showing */
	struct range ranges[POOL_NETS_MAX];
};

/*
 * One process writes, many read, nobody waits: the writer fills the set that is not in force, then says so. A
 * reader who finds the version changed has perhaps read what was being written, and reads again.
 */
struct pool_slot {
	_Atomic uint32_t version; /* sets[version % 2] is in force; 0: none is */
	struct pool_set sets[2];
};
struct pools_board {
	const struct pools_rules *rules;
	struct pool_slot *slots; /* shared with the children; one a rule */
};

/* The writer's: what is in force, null if nothing is; the set to fill; and its coming into force. */
const struct pool_set *pool_in_force(const struct pool_slot *);
struct pool_set *pool_to_fill(struct pool_slot *);
void pool_publish(struct pool_slot *);
/* What is used of it: the sets are big, and their pages are touched by use. */
void pool_set_copy(struct pool_set *, const struct pool_set *from);
/* From its nets to its ranges. */
void pool_set_sort(struct pool_set *);

#endif
