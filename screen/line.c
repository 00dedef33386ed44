#include "config.h"

#include <string.h>

#include "screen/line.h"

static void
keep(struct line *l, const char *p, size_t n)
{
	if (n > 0)
		memcpy(l->kept + l->len, p, n);
	l->len += (uint32_t)n;
}

enum line_end
line_take(struct line *l, struct span *in, struct span *out)
{
	const char *lf = in->len == 0 ? NULL : memchr(in->p, '\n', in->len);
	size_t n = lf == NULL ? in->len : (size_t)(lf - in->p);

	/* The LF counts too: where it would not fit, the line was too long already. */
	if (l->len + n + (lf != NULL) > l->limit)
		return LINE_LONG;
	*out = (struct span){ in->p, n };
	if (lf == NULL || l->len > 0) {
		keep(l, in->p, n);
		*out = (struct span){ l->kept, l->len };
	}
	in->p += n + (lf != NULL);
	in->len -= n + (lf != NULL);
	if (lf == NULL)
		return LINE_MORE;
	l->len = 0;
	if (out->len == 0 || out->p[out->len - 1] != '\r')
		return LINE_BARE;
	out->len--;
	return LINE_DONE;
}
