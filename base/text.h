/*
 * base/text.h: spans of foreign bytes, bounded output buffers, escaping and numbers.
 *
 * A span is bytes somebody else owns; it is not NUL-terminated. A buf is a fixed array with a length
 * that can never be passed: writing beyond the end cuts the text and sets `cut`, so a chain of writes
 * needs one check at its end, or none where a cut text is still right (log lines).
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	const char *p;
	size_t len;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
struct span span_of(const char *cstring);
bool span_is(struct span, const char *cstring);          /* exact */
bool span_is_nocase(struct span, const char *cstring);   /* ASCII case folded */
struct span span_trim(struct span);                      /* without leading and trailing ASCII white space */

/*
 * Takes the next token off *rest: skips bytes in `seps`, then returns the run up to the next of them.
 * A `{` at the start of a token protects everything up to its matching `}` (the braces are part of the
 * token). len 0 at the end.
 */
struct span span_token(struct span *rest, const char *seps);

/* Decimal only, no sign (span_uint) or an optional '-' or '+' (span_int), no white space, no rest. */
bool span_uint(struct span, uint64_t max, uint64_t *out);
bool span_int(struct span, int64_t min, int64_t max, int64_t *out);

struct buf {
	char *p;
	size_t len, size;
	bool cut;
};

/* A buf over an array; the array always holds a NUL-terminated string afterwards. */
#define BUF(array) buf_over((array), sizeof(array))
struct buf buf_over(char *array, size_t size);
void buf_put(struct buf *, const void *bytes, size_t len);
void buf_puts(struct buf *, const char *cstring);
void buf_putc(struct buf *, char);
void buf_putspan(struct buf *, struct span);
void buf_uint(struct buf *, uint64_t);
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *, const char *format, va_list) __attribute__((format(printf, 2, 0)));

/*
 * The log escape: printable ASCII unchanged, backslash doubled, \a \b \f \n \r \t \v, every other byte
 * as backslash and three octal digits. At most max bytes of *output* are written; the text may be cut
 * in the middle of an escape.
 */
void buf_escape(struct buf *, struct span, size_t max);

/* Every byte that is not printable ASCII becomes '?'. */
void buf_printable(struct buf *, struct span);

/* The inside of a JSON string (no quotes): RFC 8259 escapes, U+FFFD for bytes that are not UTF-8. */
void buf_json(struct buf *, struct span);
/* "name":"value" of an object: a comma before it unless it is the first, or one stands there. The name is our own. */
void buf_json_member(struct buf *, const char *name, struct span value);

/* RFC 3629, shortest form, no surrogates. */
bool span_is_utf8(struct span);

#endif
