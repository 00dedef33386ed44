/*
 * rules/lines.h: logical lines of main.cf and of table files. A line that begins with white space
 * continues the one before; empty lines and lines whose first non-blank is `#` count for nothing, even
 * in the middle of a continuation.
 */
#ifndef RULES_LINES_H
#define RULES_LINES_H

#include <stdbool.h>
#include "base/text.h"
#include "rules/rules.h"

struct lines;

/*
 * Null, and why in diag at this level, if the file cannot be opened or is a directory. path is borrowed.
 */
struct lines *lines_open(const char *path, enum diag_level, struct diag *);

void lines_close(struct lines **);

/*
 * The next logical line, NUL-terminated, with trailing white space removed; borrowed until the next
 * call. *first is the number of its first physical line. NUL bytes are dropped with a warning. False at
 * the end; an I/O error is reported in diag and ends the file.
 */
bool lines_next(struct lines *, struct span *text, unsigned *first);
bool lines_failed(const struct lines *); /* an I/O error, or a directory in place of the file */

#endif
