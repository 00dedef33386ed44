/*
 * screen/mailaddr.h: the address in the arguments of MAIL and RCPT, for the log. Pure.
 */
#ifndef SCREEN_MAILADDR_H
#define SCREEN_MAILADDR_H

#include "base/text.h"

/*
 * What stands after the first colon of args: between < and > or up to a space, unquoted, without a source
 * route (RFC 5321 §4.1.2, leniently: nothing is refused). False if there is no colon.
 */
bool mailaddr_extract(struct span args, struct buf *out);

/* Internal to external form: the local part in quotes where RFC 5321 needs it. */
void mailaddr_quote(struct span addr, struct buf *out);

#endif
