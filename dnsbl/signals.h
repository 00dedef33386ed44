/*
 * dnsbl/signals.h: local signals that add to the score (gatehouse_score_rules), inside the room.
 *
 * A rule stands among the answers behind the lists: matched means listed. Feeds, countries and networks
 * are known at once; what concerns the client's name (PTR) is asked of the resolver.
 */
#ifndef DNSBL_SIGNALS_H
#define DNSBL_SIGNALS_H

#include "dnsbl/sites.h"

enum signal_kind {
	SIGNAL_CIDR,
	SIGNAL_COUNTRY,
	SIGNAL_ASN,
	SIGNAL_PTR_MISSING,
	SIGNAL_PTR_UNCONFIRMED, /* the name's addresses do not hold the client's (FCrDNS) */
	SIGNAL_PTR_TABLE,
};

struct signal {
	enum signal_kind kind;
	char *shown; /* the rule without its weight; of a file, its last part */
	int weight;
	struct feed *feed;
	struct span words; /* countries or network numbers as written, within text */
	char *text;
	struct table_list *names;
};

/* Every fault is an error in place->diag. geo_files: what gatehouse_geo_files says. */
void signals_parse(struct dnsbl_sites *, struct span text, const char *geo_files, const struct place *);
void signals_free(struct dnsbl_sites *);

bool signal_needs_ptr(const struct signal *);
bool signals_need_ptr(const struct dnsbl_sites *);
/* Of those that need no name. */
bool signal_matches_client(const struct dnsbl_sites *, const struct signal *, const struct addr *);
/* Of those that do. name: null if there is none; confirmed: it leads back to the client. */
bool signal_matches_name(const struct signal *, const char *name, bool confirmed);

/*
 * A feed: one prefix a line, with whatever follows it after white space, `;` or `#`. Disjoint ranges,
 * sorted: one binary search whatever its size. Null after an error in place->diag.
 */
struct feed;
struct feed *feed_load(const char *path, const struct place *);
void feed_free(struct feed **);
bool feed_has(const struct feed *, const struct addr *);
size_t feed_ranges(const struct feed *);

/* MMDB files. */
struct geo;
struct geo *geo_open(const char *files, const struct place *); /* null: none, or an error in diag */
void geo_close(struct geo **);
bool geo_country(const struct geo *, const struct addr *, char out[3]);
bool geo_asn(const struct geo *, const struct addr *, uint32_t *out);

#endif
