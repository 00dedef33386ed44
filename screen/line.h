/*
 * screen/line.h: from bytes to command lines.
 *
 * A line ends in CR LF or in a bare LF; neither belongs to it. A CR anywhere else, NUL and 8-bit bytes
 * are ordinary data: there is exactly one way to cut a given stream into lines, however it was split
 * into packets. Pure, bounded: only an unfinished line is kept, and never more than `limit` bytes.
 */
#ifndef SCREEN_LINE_H
#define SCREEN_LINE_H

#include "base/text.h"

struct line {
	char *kept; /* an array of `limit` bytes, the owner's */
	uint32_t len, limit;
};

enum line_end {
	LINE_MORE, /* all of *in was taken, the line goes on */
	LINE_DONE, /* CR LF */
	LINE_BARE, /* LF alone */
	LINE_LONG, /* longer than the limit, line end included: nobody reads on after that */
};

/*
 * Takes one line off *in, or the beginning of one. *out is valid until the next call and until the bytes
 * of *in go away.
 */
enum line_end line_take(struct line *, struct span *in, struct span *out);

#endif
