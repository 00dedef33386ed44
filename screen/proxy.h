/*
 * screen/proxy.h: the header of the PROXY protocol, versions 1 and 2 (haproxy.org: proxy-protocol.txt),
 * by which a load balancer in front of us says whom it speaks for.
 */
#ifndef SCREEN_PROXY_H
#define SCREEN_PROXY_H

#include "base/addr.h"
#include "base/text.h"

#define PROXY_HEADER_MAX 536

enum proxy_result {
	PROXY_MORE,  /* so far so good; every byte given belongs to the header */
	PROXY_DONE,  /* *client and *server are set */
	PROXY_LOCAL, /* the proxy speaks for itself (LOCAL, UNKNOWN): the socket's own ends count */
	PROXY_BAD,   /* *error says why */
};

/*
 * Pure: give it all bytes read so far. *used: the length of the header, when it is complete. What follows it
 * is the client's. Extensions (TLVs) are skipped.
 */
enum proxy_result proxy_parse(struct span bytes, size_t *used, struct endpoint *client, struct endpoint *server,
    const char **error);

#endif
