/*
 * dnsbl/filter.h: reply filters, inside the room.
 *
 * Four sets of octets, one a field, so a look at an address is four bit tests whatever was written.
 * Beyond postscreen's grammar: a leading `!`, and `&NUMBER` where a number may stand (every octet that
 * shares a bit with NUMBER). postscreen refuses both.
 */
#ifndef DNSBL_FILTER_H
#define DNSBL_FILTER_H

#include "dnsbl/dnsbl.h"

struct dnsbl_filter {
	uint64_t octets[4][4];
	bool negated;
};

bool filter_parse(struct dnsbl_filter *out, struct span text, struct buf *err);

/*
 * Over a whole answer: plain, if any address matches; negated, if there are addresses and none matches
 * the pattern after the `!`.
 */
bool filter_match_any(const struct dnsbl_filter *, const uint8_t (*ip)[4], size_t count);

#endif
