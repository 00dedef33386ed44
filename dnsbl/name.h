/*
 * dnsbl/name.h: the name of a client, inside the room: its PTR, and whether that name's addresses hold the client's
 * (the forward-confirmed reverse name of RFC 8601 section 3).
 */
#ifndef DNSBL_NAME_H
#define DNSBL_NAME_H

#include "base/addr.h"
#include "dnsbl/resolver.h"

enum name_state {
	NAME_ASKED,
	NAME_FAILED, /* nothing could be learned */
	NAME_MISSING,
	NAME_UNCONFIRMED,
	NAME_CONFIRMED,
};

/* Part of its owner's struct. Initialised once, asked any number of times. */
struct client_name {
	struct resolver *resolver;
	const struct addr *client;
	void (*known)(struct client_name *);
	struct query ptr, confirm;
	enum name_state state;
	char text[DNS_NAME_MAX + 1]; /* "" unless there is one */
};

/* known is called from the loop, once for each time it is asked. Resolver and client outlive the name. */
void client_name_init(struct client_name *, struct resolver *, const struct addr *client, uint16_t lane,
    void (*known)(struct client_name *));
void client_name_ask(struct client_name *);
void client_name_cancel(struct client_name *); /* harmless if nothing is out */

#endif
