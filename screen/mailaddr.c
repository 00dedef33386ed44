#include "config.h"

#include <string.h>

#include "screen/mailaddr.h"

/* The unquoted text up to an unquoted `stop`. */
static void
unquote(struct span s, char stop, struct buf *out)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == stop && !quoted)
			return;
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c == '\\') {
			if (++i == s.len)
				return;
			c = s.p[i];
		}
		buf_putc(out, c);
	}
}

static void
drop_route(struct buf *b, size_t from)
{
	char *start = b->p + from, *colon;
	size_t len = b->len - from;

	if (len == 0 || *start != '@' || (colon = memchr(start, ':', len)) == NULL)
		return;
	size_t route = (size_t)(colon + 1 - start);
	memmove(start, colon + 1, len - route);
	b->len -= route;
	b->p[b->len] = '\0';
}

bool
mailaddr_extract(struct span args, struct buf *out)
{
	const char *colon = args.len == 0 ? NULL : memchr(args.p, ':', args.len);
	size_t from = out->len;

	if (colon == NULL)
		return false;
	struct span rest = { colon + 1, args.len - (size_t)(colon + 1 - args.p) };
	while (rest.len > 0 && rest.p[0] == ' ')
		rest.p++, rest.len--;
	if (rest.len > 0 && rest.p[0] == '<') {
		rest.p++, rest.len--;
		unquote(rest, '>', out);
	} else {
		unquote(rest, ' ', out);
	}
	drop_route(out, from);
	return true;
}

static bool
is_dot_string(struct span local)
{
	if (local.len == 0 || local.p[0] == '.' || local.p[local.len - 1] == '.')
		return false;
	for (size_t i = 0; i < local.len; i++) {
		unsigned char c = (unsigned char)local.p[i];
		if (c <= ' ' || c == 127 || strchr("()<>@,;:\\\"[]", c) != NULL)
			return false;
		if (c == '.' && local.p[i + 1] == '.')
			return false;
	}
	return true;
}

void
mailaddr_quote(struct span addr, struct buf *out)
{
	size_t at = addr.len;

	while (at > 0 && addr.p[at - 1] != '@')
		at--;
	struct span local = { addr.p, at > 0 ? at - 1 : addr.len };
	if (addr.len == 0 || is_dot_string(local)) {
		buf_putspan(out, addr);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\' || local.p[i] == '\r')
			buf_putc(out, '\\');
		buf_putc(out, local.p[i]);
	}
	buf_putc(out, '"');
	buf_put(out, addr.p + local.len, addr.len - local.len);
}
