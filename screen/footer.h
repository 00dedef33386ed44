/*
 * screen/footer.h: the text an operator hangs under 4xx and 5xx replies (postscreen_reject_footer). Pure.
 */
#ifndef SCREEN_FOOTER_H
#define SCREEN_FOOTER_H

#include "base/text.h"

enum footer_fact { FOOTER_CLIENT_ADDRESS, FOOTER_CLIENT_PORT, FOOTER_SERVER_NAME, FOOTER_LOCALTIME, FOOTER_FACTS };
struct footer_facts {
	const char *value[FOOTER_FACTS];
	const bool *filter; /* [256]: bytes allowed in what these expand to; others become _ */
};

/*
 * Appends the expanded template to a reply without its final CRLF: `\n` begins a new line, which repeats
 * the reply's codes; `\c` at the start goes on in the reply's last line. Null; or what is wrong with the
 * template or that there is no room, and then the reply is as it was.
 */
const char *footer_append(struct buf *reply, struct span template, const struct footer_facts *);

/* Null if the template can be used; otherwise what is wrong with it. */
const char *footer_error(struct span template);

#endif
