/*
 * policy/spf.h: from a domain to the addresses that send for it (RFC 7208), for pools of senders.
 * Not an evaluator of SPF: what cannot be turned into networks beforehand (ptr, exists, macros) is
 * left out, so that a set is never bigger than the domain meant. Inside the policy room only.
 */
#ifndef POLICY_SPF_H
#define POLICY_SPF_H

#include <netinet/in.h>
#include "policy/policy.h"

/* DNS replies: the records of one type in the answer section, one after the other. */
enum dns_state { DNS_FOUND, DNS_VOID, DNS_FAILED };
struct dns_reader {
	const uint8_t *packet;
	size_t len, at;
	unsigned left;
	uint16_t type;
};
struct dns_rr {
	uint32_t ttl;
	size_t at, len; /* of the data, in the packet */
};
enum { DNS_A = 1, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };
/* DNS_FAILED for a packet that makes no sense and every code but "no error" and "no such name". */
enum dns_state dns_read(struct dns_reader *, const uint8_t *packet, size_t len, uint16_t type);
bool dns_next(struct dns_reader *, struct dns_rr *); /* false: no more, or cut */
/* A host name in the data of an RR; false if it is none, or longer than the room. */
bool dns_name(const struct dns_reader *, size_t at, struct buf *out);

/* The grammar. */
enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_IP4,
	SPF_IP6,
	SPF_ASKS, /* ptr, exists: a look-up for each client */
	SPF_REDIRECT,
	SPF_NOTHING, /* exp and unknown modifiers */
};
struct spf_term {
	enum spf_kind kind;
	char qualifier;	    /* '+', '-', '~', '?' */
	struct span domain; /* len 0: the current one */
	bool macro;	    /* the domain has a % in it */
	struct span text;   /* the whole term */
	struct addr net;    /* SPF_IP4, SPF_IP6 */
	uint8_t len4, len6; /* prefix lengths */
};
enum spf_result { SPF_TERM, SPF_END, SPF_BAD };
bool spf_begin(struct span *text); /* "v=spf1" and an end or a space; taken off */
enum spf_result spf_next(struct span *rest, struct spf_term *out);

/* One walk. The packets come from elsewhere, so that tests and fuzzers can bring their own. */
typedef void spf_answer_fn(void *arg, const uint8_t *packet, size_t len); /* null: no answer */
struct spf_resolver {
	/* One question is out at a time. May call back before it returns. */
	void (*ask)(void *ctx, const char *name, uint16_t type, spf_answer_fn *, void *arg);
	void *ctx;
};

struct spf_walk;
typedef void spf_done_fn(void *arg);
struct spf_walk *spf_walk_new(
    const struct spf_resolver *, const char *domain, spf_done_fn *, void *arg);
void spf_walk_start(struct spf_walk *);
void spf_walk_free(struct spf_walk **); /* not from within done, nor while a question is out */
/* After done. Null: it went well. */
const char *spf_walk_error(const struct spf_walk *);
const struct pool_net *spf_walk_nets(const struct spf_walk *, size_t *count);
const struct pool_source *spf_walk_sources(const struct spf_walk *, size_t *count);
uint32_t spf_walk_ttl(const struct spf_walk *);	    /* the least of all answers */
unsigned spf_walk_skipped(const struct spf_walk *); /* terms that are no networks */

/* Questions to a real resolver (c-ares). Null if it cannot be set up. */
struct spf_dns;
struct spf_dns *spf_dns_new(
    struct loop *, const char *servers); /* "ADDR[:PORT], ..."; "": resolv.conf */
void spf_dns_free(struct spf_dns **);	 /* every question out is answered with null, at once */
struct spf_resolver spf_dns_resolver(struct spf_dns *);

#endif
