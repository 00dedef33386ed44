/*
 * rules/dyn.h: text that grows, for what is read at load. Always NUL-terminated once something was
 * put; never for anything a client sends.
 */
#ifndef RULES_DYN_H
#define RULES_DYN_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"

struct dyn {
	char *p;
	size_t len, size;
};

static inline void
dyn_put(struct dyn *d, const char *bytes, size_t len)
{
	if (d->p == NULL || d->size - d->len <= len) {
		size_t want = d->len + len + 1;

		d->size = want < 64 ? 64 : want + want / 2;
		d->p = mem_grow(d->p, d->size, 1);
	}
	if (len != 0)
		memcpy(d->p + d->len, bytes, len);
	d->len += len;
	d->p[d->len] = '\0';
}

static inline void
dyn_puts(struct dyn *d, const char *text)
{
	dyn_put(d, text, strlen(text));
}

static inline void __attribute__((format(printf, 2, 3)))
dyn_printf(struct dyn *d, const char *format, ...)
{
	char text[512];
	struct buf b = BUF(text);
	va_list args;

	va_start(args, format);
	buf_vprintf(&b, format, args);
	va_end(args);
	dyn_put(d, text, b.len);
}

static inline const char *
dyn_text(const struct dyn *d)
{
	return d->p != NULL ? d->p : "";
}

static inline void
dyn_clear(struct dyn *d)
{
	d->len = 0;
	if (d->p != NULL)
		d->p[0] = '\0';
}

static inline struct span
dyn_span(const struct dyn *d)
{
	return (struct span){ dyn_text(d), d->len };
}

/* The text, which now is the caller's; the dyn is empty again. Never null. */
static inline char *
dyn_take(struct dyn *d)
{
	char *text = d->p != NULL ? d->p : mem_strdup("");

	*d = (struct dyn){ 0 };
	return text;
}

static inline void
dyn_fini(struct dyn *d)
{
	free(d->p);
	*d = (struct dyn){ 0 };
}

#endif
