/*
 * dnsbl/resolver.h: questions to the name servers, inside the room.
 *
 * c-ares carries the packets; what it lacks is here: ids from getrandom(2), a window of questions on the
 * wire with one queue before it, a memory of dead servers, lanes so that a slow list cannot take every
 * place in the window, and a way to forget one question. Nothing is allocated for a question except by
 * c-ares while it is on the wire.
 */
#ifndef DNSBL_RESOLVER_H
#define DNSBL_RESOLVER_H

#include "base/loop.h"
#include "dnsbl/packet.h"

/* Beyond enum answer_status, in the same space. */
enum { QUERY_TIMEOUT = ANSWER_MALFORMED + 1 };

struct flight;
struct query;

struct query_kind {
	void (*question)(const struct query *, struct question *out);
	/* The query is free again. May ask and cancel; the answer is borrowed, and empty on failure. */
	void (*done)(struct query *, int status, const struct answer *);
};

/* One question, part of its owner's struct. Zero-initialised, then kind and lane set. */
struct query {
	struct query *prev, *next;  /* waiting; null otherwise */
	struct flight *flight;      /* on the wire, the last try first; null otherwise */
	const struct query_kind *kind;
	uint16_t lane;
	uint8_t tries, failed_servers; /* failed_servers: a bit a server */
	bool tcp;
};

struct resolver;
/*
 * lanes: queries of one lane get at most half of the window while others wait. window: questions on
 * the wire to one server as long as it answers fast.
 */
struct resolver *resolver_new(struct loop *, const struct endpoint *servers, size_t count, size_t lanes,
    unsigned window);
void resolver_free(struct resolver **); /* queries still out are forgotten, not called back */
/* done comes later, from the loop. urgent: before all that waits. */
void resolver_ask(struct resolver *, struct query *, bool urgent);
void resolver_cancel(struct resolver *, struct query *); /* harmless if it is not out */
bool query_is_out(const struct query *);

/* Called at the end of every turn in which a query was done, after the last done. */
void resolver_after_batch(struct resolver *, void (*fn)(void *arg), void *arg);

struct resolver_stats {
	uint64_t sent, answered, timeouts, server_deaths;
	unsigned in_flight, waiting;
};
void resolver_stats(const struct resolver *, struct resolver_stats *out);

const char *query_status_text(int status);

#endif
