/*
 * rules/net.h: addresses and networks as an operator writes them: ADDR, ADDR/LEN, [ADDR], [ADDR/LEN] and
 * [ADDR]/LEN, nothing shorter, no octal, no masks.
 *
 * A strict scan reads them. libcidr works out the corrected form of a network with host bits; it is given
 * only what has passed the scan, in canonical form, since it takes much of everything else for something
 * (1.2.3.4/x for /0, for one).
 */
#ifndef RULES_NET_H
#define RULES_NET_H

#include <stdbool.h>
#include "base/addr.h"
#include "base/text.h"

struct net {
	struct addr addr;
	uint8_t bits; /* of the prefix */
};

/* False: what is wrong, and the corrected form where there is one, has been put into why. */
bool net_parse(struct net *out, struct span text, struct buf *why);

/* "10.0.0.0/8"; an address alone without its length. out holds at least NET_TEXT_SIZE bytes. */
#define NET_TEXT_SIZE (ADDR_TEXT_SIZE + 4)
char *net_format(const struct net *, char *out);

#endif
