/*
 * screen/verbs.h: between engine.c, verbs.c and ehlo.c only.
 */
#ifndef SCREEN_VERBS_H
#define SCREEN_VERBS_H

#include "screen/engine.h"

/* The KW_BITs not to announce to this client; logs where they are its own. */
uint32_t ehlo_discard(const struct session *);
/* The whole answer, CR LF included. */
void ehlo_answer(const struct session *, struct buf *out);

/* A reply in the dialogue: S_AGAIN, or the end of a client that does not read. */
enum state engine_say(struct session *, enum reply);
enum state engine_write(struct session *, struct span bytes);
/* The refusal of a recipient, logged. */
enum state refuse_rcpt(struct session *, struct span args);
/* Slow replies for this client, from now on if it has deserved them and there is room. */
bool tarpit_holds(struct session *);
void tarpit_leave(struct session *);
/* The last reply: the verdict is what the checks say. */
enum state engine_over(struct session *, enum reply);

#endif
