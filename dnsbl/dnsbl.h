/*
 * dnsbl/dnsbl.h: asking the lists.
 *
 * For: the site grammar and its reply filters, the questions over DNS, judging each answer true or
 * false, and one score per client with its lifetime. Not for: what a score means (policy does that).
 */
#ifndef DNSBL_DNSBL_H
#define DNSBL_DNSBL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/loop.h"
#include "rules/rules.h"

/*
 * Reply filters: "127.0.0.[2..4]", reference grammar. On an error null, and the reason with its
 * position in err ("need \".\" at \"1.2>x<\"").
 */
struct dnsbl_filter;
struct dnsbl_filter *dnsbl_filter_parse(struct span text, struct buf *err);
void dnsbl_filter_free(struct dnsbl_filter **);
bool dnsbl_filter_match(const struct dnsbl_filter *, const uint8_t ip[4]);

/*
 * The parsed site list, immutable. Sites are grouped by domain: one question a domain, and each
 * (filter, weight) pair of it judged on the whole answer.
 */
struct dnsbl_sites;
struct dnsbl_sites *dnsbl_sites_load(const struct rules *, struct diag *); /* all dnsbl parameters */
void dnsbl_sites_free(struct dnsbl_sites **);
/* Everything that votes: the lists, then the local signals of gatehouse_score_rules. 0: the test is off. */
size_t dnsbl_domain_count(const struct dnsbl_sites *);
size_t dnsbl_list_count(const struct dnsbl_sites *); /* the lists alone */
/* The name as shown to clients and in logs meant for others: after the reply map, secrets masked. */
const char *dnsbl_domain_shown(const struct dnsbl_sites *, size_t domain);
size_t dnsbl_domain_find(const struct dnsbl_sites *, struct span name); /* dnsbl_domain_count() if there is none */
/* A list's name as written, secrets and all: for finding it in logs of its questions, not for showing. */
const char *dnsbl_domain_name(const struct dnsbl_sites *, size_t domain);

/* Where an address belongs, by gatehouse_geo_files. False if they do not say. */
bool dnsbl_country(const struct dnsbl_sites *, const struct addr *, char out[3]); /* ISO 3166-1 alpha-2 */
bool dnsbl_asn(const struct dnsbl_sites *, const struct addr *, uint32_t *out);

/* What is known of one client, at once or when every answer is in. */
#define DNSBL_ANSWERS_MAX 16 /* A records kept of one answer; more make it a broken answer */
enum dnsbl_state {
	DNSBL_PENDING,
	DNSBL_LISTED,     /* at least one believed A record */
	DNSBL_NOT_LISTED,
	DNSBL_FAILED,     /* timeout, SERVFAIL, malformed ...: counts as not listed */
	DNSBL_DISTRUSTED, /* answered, but with an error code or outside 127/8: counts as not listed */
	DNSBL_SKIPPED,    /* not asked: other address family, private client, quarantined or dead list */
};
struct dnsbl_answer {
	enum dnsbl_state state;
	uint8_t count;                     /* of ip */
	uint8_t ip[DNSBL_ANSWERS_MAX][4];
	int32_t ttl;                       /* seconds; -1 unknown */
	uint32_t us;                       /* how long the answer took; 0 from memory */
	int score;                         /* what this domain added */
	const char *error;                 /* static text; null unless FAILED, DISTRUSTED or SKIPPED */
};

/* Whether the missing answers can still change the verdict. */
enum dnsbl_outlook {
	DNSBL_OPEN,
	DNSBL_WILL_PASS,  /* below the threshold, above the allowlist threshold */
	DNSBL_WILL_ALLOW, /* at or below the allowlist threshold */
	DNSBL_WILL_FAIL,
};
struct dnsbl_score {
	int total;
	const char *name;      /* shown name of the domain that weighs most; null if none matched */
	int64_t ttl_s;         /* lifetime of the result, already within min_ttl..max_ttl */
	unsigned pending;      /* answers still out */
	size_t count;          /* domains */
	struct dnsbl_answer *answers; /* by domain index */
	/* The scorer's own. */
	int plus, minus, name_weight;
	int64_t fail_ttl, pass_ttl;
};

/*
 * Pure: the score of these answers, in order of arrival. begin: answers is the
 * caller's array of dnsbl_domain_count(), made all pending. Then for each answer: fill in state, ip, count and
 * ttl; judge; add, once. What allow lists take off together is bounded by gatehouse_dnsbl_allow_cap.
 */
void dnsbl_score_begin(const struct dnsbl_sites *, struct dnsbl_score *, struct dnsbl_answer *answers);
/* Truth filter: an answer that is an error code, or wholly outside 127/8, becomes DISTRUSTED. */
void dnsbl_judge(const struct dnsbl_sites *, size_t domain, struct dnsbl_answer *);
void dnsbl_score_add(const struct dnsbl_sites *, struct dnsbl_score *, size_t domain);
void dnsbl_score_end(const struct dnsbl_sites *, struct dnsbl_score *); /* computes ttl_s; repeatable */
/* The least and the most the total can become. */
void dnsbl_score_range(const struct dnsbl_sites *, const struct dnsbl_score *, int *lowest, int *highest);
enum dnsbl_outlook dnsbl_score_outlook(const struct dnsbl_sites *, const struct dnsbl_score *);
const char *dnsbl_truth_version(void); /* the date of the built-in table of error codes */

/* One process's resolver: channels, windows, result memory. Every pending thing dies with it. */
struct dnsbl;
struct dnsbl *dnsbl_new(struct loop *, const struct dnsbl_sites *, size_t clients_max, struct diag *);
void dnsbl_free(struct dnsbl **);

/*
 * Asks all lists about a client, or joins the question already out for the same address. done is
 * called once, from the loop, never from inside this call: when no answer is pending any more, or when
 * none that is can change the verdict and gatehouse_early_decision lets the client go early (at once in
 * the next turn if memory had it all). A list that does not answer within postscreen_dnsbl_timeout has
 * failed. Null if `clients_max` questions are out: fail open. The handle stays valid after done; it is
 * given back with dnsbl_release(), which also cancels; that may be done at any time, also from done.
 */
struct dnsbl_ask;
typedef void dnsbl_done_fn(void *arg);
struct dnsbl_ask *dnsbl_ask(struct dnsbl *, const struct addr *client, dnsbl_done_fn *, void *arg);
void dnsbl_release(struct dnsbl_ask **);
/* The score so far; borrowed, valid until release or the next turn. Never null. */
const struct dnsbl_score *dnsbl_ask_score(struct dnsbl_ask *);

/* The client's name (PTR), once it is known; null if there is none or no rule has it looked up. Borrowed. */
const char *dnsbl_ask_ptr(const struct dnsbl_ask *);

/*
 * Says that a client has passed. A list that suddenly lists such clients is not obeyed (spike guard); call
 * it for every pass, the room keeps the last few.
 */
void dnsbl_client_passed(struct dnsbl *, const struct addr *client);

/* The health of a list (a local signal is always healthy), as this process sees it. Borrowed; it changes with the loop. */
enum dnsbl_health_state {
	DNSBL_UNKNOWN, /* not probed yet */
	DNSBL_HEALTHY,
	DNSBL_SUSPECT, /* lacks a test point; obeyed */
	DNSBL_BLOCKED, /* answers with error codes, which do not count */
	DNSBL_DEAD,    /* silent, or lists the world */
};
struct dnsbl_health {
	enum dnsbl_health_state state;
	bool quarantined;           /* neither asked nor obeyed until a probe finds it well */
	const char *reason, *advice; /* static text; null if there is nothing to say */
	uint64_t answers, listed, failed, distrusted; /* about clients, from the wire, since the start */
	uint64_t us_total;
	uint32_t us_max;
};
const struct dnsbl_health *dnsbl_health(const struct dnsbl *, size_t domain);
const char *dnsbl_health_word(enum dnsbl_health_state);
bool dnsbl_probing(const struct dnsbl *); /* probes are out */

#endif
