/*
 * dnsbl/health.h: is a list to be believed? Inside the room.
 *
 * Every list is asked now and then about addresses whose answer is known beforehand: the test points of
 * RFC 5782 §5, a name and an address that nobody can list. A run of listings raises an alarm: the same
 * questions at once, and some about clients that passed a moment ago. While an alarm lasts (HOLD_MS at
 * most) listings of that list wait for its outcome.
 */
#ifndef DNSBL_HEALTH_H
#define DNSBL_HEALTH_H

#include "dnsbl/resolver.h"

struct health;
/* The list was quarantined, came back, or its alarm ended: held listings are to be decided. */
typedef void health_changed_fn(void *arg, size_t domain);

struct health *health_new(struct loop *, struct resolver *, const struct dnsbl_sites *, health_changed_fn *,
    void *arg);
void health_free(struct health **); /* before the resolver */

/* Null, or why the list is not to be asked or obeyed. */
const char *health_quarantined(const struct health *, size_t domain);

/* One judged answer about a client, from the wire. True: hold this listing until health_changed_fn. */
bool health_note(struct health *, size_t domain, const struct dnsbl_answer *);
void health_passed(struct health *, const struct addr *client);

const struct dnsbl_health *health_get(const struct health *, size_t domain);
bool health_probing(const struct health *);

#endif
