/*
 * rules/intervals.h: which of many ordered networks is the first to hold an address.
 *
 * Built once from prefixes in the order of their rules, then immutable. Look-up is a search in a sorted
 * array: where networks overlap, the space has been cut so that each piece knows its first rule. IPv4
 * and IPv6 never match each other.
 */
#ifndef RULES_INTERVALS_H
#define RULES_INTERVALS_H

#include <stdbool.h>
#include <stdint.h>
#include "rules/net.h"

#define INTERVALS_RULES_MAX 0xffffffu
#define INTERVALS_NONE UINT32_MAX

struct intervals;
struct intervals *intervals_new(void);
void intervals_free(struct intervals **);

/*
 * Rule numbers must not descend from call to call and be at most INTERVALS_RULES_MAX; one rule may have
 * many networks. Only before intervals_build().
 */
void intervals_add(struct intervals *, const struct net *, uint32_t rule);

/*
 * Ends the building. For every rule of which no part is left, because earlier ones take all of it,
 * shadowed (if not null) is called with a rule that takes some of it; from the 101st on with
 * INTERVALS_NONE.
 */
typedef void intervals_shadow_fn(void *arg, uint32_t rule, uint32_t by);
void intervals_build(struct intervals *, intervals_shadow_fn *shadowed, void *arg);

/* Replaces every rule number by map[rule] (at most INTERVALS_RULES_MAX). After intervals_build(). */
void intervals_renumber(struct intervals *, const uint32_t *map);

/* The first rule that holds the address, or INTERVALS_NONE. */
uint32_t intervals_find(const struct intervals *, const struct addr *);

/* True if some rule holds some address of this network. */
bool intervals_meet(const struct intervals *, const struct net *);

#endif
