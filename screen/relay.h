/*
 * screen/relay.h: going on to the backend in the same connection.
 *
 * Two ways lead here. A client that passed in the engine (its first RCPT came, nothing failed) is continued: we
 * open the backend, say HELO or EHLO and MAIL again in the client's own words, then its RCPT, and the backend's
 * reply to that is the client's. A client that needs no engine, before a backend that cannot take sockets, is
 * relayed from the backend's greeting on. From then on bytes go both ways uninterpreted, until either side ends.
 *
 * Of what the client sent before the switch nothing but these three commands reaches the backend.
 */
#ifndef SCREEN_RELAY_H
#define SCREEN_RELAY_H

#include "base/text.h"
#include "screen/session.h"

#define RELAY_REPLY_MAX 4096 /* longest reply of the backend to what is replayed */
#define RELAY_BULK 16384 /* this much at once is spliced from then on */
#define RELAY_SPLICE ((size_t)1024 * 1024)
#define RELAY_CHUNK ((size_t)128 * 1024) /* moved at once; one buffer for all sessions of a worker */

/* What the client said to the engine, without line ends; borrowed from it. */
struct relay_words {
	bool esmtp;                   /* EHLO, else HELO */
	struct span helo, mail, rcpt; /* what followed the command word */
};
void engine_words(const struct session *, struct relay_words *);

size_t relay_size(void);
void relay_free(struct session *); /* harmless if there is none */

#endif
