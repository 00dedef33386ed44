/*
 * dnsbl/sites.h: the parsed site list, inside the room.
 */
#ifndef DNSBL_SITES_H
#define DNSBL_SITES_H

#include "dnsbl/dnsbl.h"
#include "dnsbl/filter.h"

#define DNS_NAME_MAX 255   /* bytes of a name on the wire, with the root label (RFC 1035 §2.3.4) */
#define DNS_SERVERS_MAX 8

/* One (filter, weight) of a domain. */
struct pair {
	struct dnsbl_filter filter;
	bool any; /* no filter written: every believed address matches */
	int weight;
};

/* An answer that means "I do not answer you", not "listed". */
struct error_code {
	char *zone; /* the zone itself and everything below it; "": every zone */
	struct dnsbl_filter filter;
	const char *meaning, *advice; /* static; advice may be null */
};

enum { FAMILY_V4 = 1, FAMILY_V6 = 2 };

struct domain {
	char *name;  /* as written: never shown */
	char *shown;
	uint8_t wire[DNS_NAME_MAX]; /* with the root label */
	size_t wire_len;
	struct pair *pairs; /* in the order written; judged from the last to the first */
	size_t pair_count;
	int highest, lowest; /* the most and the least this domain can add */
	uint8_t families;
	bool truth;  /* answers must be in 127/8 and no error code */
	bool probe;  /* health probes are sent and obeyed */
	size_t *codes; /* indices of the error codes that concern it */
	size_t code_count;
};

enum early { EARLY_NEVER, EARLY_ALLOW, EARLY_BOTH };

struct dnsbl_sites {
	struct domain *domains;
	size_t count;
	struct error_code *codes;
	size_t code_count;
	struct signal *signals; /* dnsbl/signals.h; their answers stand behind those of the domains */
	size_t signal_count;
	struct geo *geo;
	int64_t min_ttl_s, max_ttl_s, timeout_ms, probe_interval_s;
	int threshold, allow_threshold;
	int allow_cap; /* 0: none */
	enum early early;
	unsigned workers; /* processes that ask side by side */
	struct endpoint servers[DNS_SERVERS_MAX];
	size_t server_count;
};

/* Writes a name in wire form. Why it is no host name, or null. */
const char *name_wire(struct span name, uint8_t wire[DNS_NAME_MAX], size_t *wire_len);

/* Where the text of a list stands, for diagnostics. */
struct place {
	const char *file;
	unsigned line;
	struct diag *diag;
};

/* Appends the sites of a list to s; every fault is an error in place->diag. */
void sites_parse(struct dnsbl_sites *s, struct span text, const struct place *place);

/* "ZONE=FILTER" items, added to the built-in codes. */
void codes_load_builtin(struct dnsbl_sites *);
void codes_parse(struct dnsbl_sites *, struct span text, const struct place *place);
/* After the last site and the last code: which concern which. */
void codes_assign(struct dnsbl_sites *);
/* The code that an address of this domain's answer is, or null. */
const struct error_code *code_find(const struct dnsbl_sites *, const struct domain *, const uint8_t ip[4]);

/* Null, or why a zone must not be asked any more. */
const char *dead_zone_find(const char *name);
bool zone_is_below(const char *name, const char *zone); /* or the zone itself; case does not matter */

/* The name with every label that looks like a customer's key replaced. To be freed. */
char *name_masked(const char *name);

/* dnsbl_score_begin() that leaves the answers as they are. */
void score_reset(const struct dnsbl_sites *, struct dnsbl_score *, struct dnsbl_answer *answers);

/* ADDR[:PORT] items. */
void servers_parse(struct dnsbl_sites *, struct span text, const struct place *place);
/* The nameserver lines of a resolv.conf; 127.0.0.1 if there are none. */
void servers_from_resolv_conf(struct dnsbl_sites *, const char *path);

#endif
