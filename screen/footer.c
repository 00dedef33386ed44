#include "config.h"

#include <string.h>

#include "screen/footer.h"

static const char *const fact_names[FOOTER_FACTS] = {
	[FOOTER_CLIENT_ADDRESS] = "client_address",
	[FOOTER_CLIENT_PORT] = "client_port",
	[FOOTER_SERVER_NAME] = "server_name",
	[FOOTER_LOCALTIME] = "localtime",
};

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Takes `name`, `{name}` or `(name)` off *rest. Null, or what is wrong. */
static const char *
take_name(struct span *rest, struct span *name)
{
	char close = rest->len == 0	 ? '\0'
		     : rest->p[0] == '{' ? '}'
		     : rest->p[0] == '(' ? ')'
					 : '\0';
	size_t n = 0;

	if (close != '\0')
		rest->p++, rest->len--;
	while (n < rest->len && is_name_byte(rest->p[n]))
		n++;
	*name = (struct span){ rest->p, n };
	if (n == 0)
		return "a $ must be followed by a name; write $$ for a dollar sign";
	if (close != '\0' && (n == rest->len || rest->p[n++] != close))
		return "a name in braces must end with its closing brace";
	rest->p += n;
	rest->len -= n;
	return NULL;
}

static const char *
put_fact(struct buf *out, struct span name, const struct footer_facts *facts)
{
	enum footer_fact f = 0;

	while (f < FOOTER_FACTS && !span_is(name, fact_names[f]))
		f++;
	if (f == FOOTER_FACTS)
		return "the names are client_address, client_port, server_name and localtime";
	for (const char *p = facts->value[f]; *p != '\0'; p++)
		buf_putc(out, facts->filter[(unsigned char)*p] ? *p : '_');
	return NULL;
}

static const char *
expand(struct span text, const struct footer_facts *facts, struct buf *out)
{
	const char *error = NULL;
	struct span name;

	while (text.len > 0 && error == NULL) {
		char c = *text.p++;
		text.len--;
		if (c != '$') {
			buf_putc(out, c);
		} else if (text.len > 0 && text.p[0] == '$') {
			buf_putc(out, '$');
			text.p++, text.len--;
		} else {
			error = take_name(&text, &name);
			if (error == NULL)
				error = put_fact(out, name, facts);
		}
	}
	return error;
}

/* Up to the two characters `\n`, which are skipped. */
static struct span
take_line(struct span *rest)
{
	struct span line = { rest->p, 0 };

	while (line.len < rest->len && !(rest->p[line.len] == '\\' && line.len + 1 < rest->len &&
					   rest->p[line.len + 1] == 'n'))
		line.len++;
	size_t used = line.len < rest->len ? line.len + 2 : line.len;
	rest->p += used;
	rest->len -= used;
	return line;
}

static size_t
digits(const char *p, const char *end, size_t max)
{
	size_t n = 0;

	while (n < max && p + n < end && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* The length of "4.7.1 " at p (RFC 3463), or 0. */
static size_t
enhanced_length(const char *p, const char *end)
{
	size_t n = digits(p, end, 1), part;

	if (n == 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		if (p + n >= end || p[n] != '.')
			return 0;
		part = digits(p + n + 1, end, 3);
		if (part == 0)
			return 0;
		n += 1 + part;
	}
	return p + n < end && p[n] == ' ' ? n + 1 : 0;
}

static size_t
last_line(const struct buf *b)
{
	size_t at = b->len;

	while (at > 0 && b->p[at - 1] != '\n')
		at--;
	return at;
}

/* A new last line: the codes of the one before, which becomes a line to be continued. */
static void
begin_line(struct buf *b)
{
	size_t at = last_line(b), codes = 4;
	char copy[16];

	if (b->len - at < codes)
		return;
	codes += enhanced_length(b->p + at + 4, b->p + b->len);
	memcpy(copy, b->p + at, codes);
	copy[3] = ' ';
	b->p[at + 3] = '-';
	buf_puts(b, "\r\n");
	buf_put(b, copy, codes);
}

static void
undo(struct buf *b, size_t len, size_t line)
{
	b->len = len;
	b->p[len] = '\0';
	b->cut = false;
	if (len - line >= 4)
		b->p[line + 3] = ' ';
}

const char *
footer_append(struct buf *reply, struct span template, const struct footer_facts *facts)
{
	size_t len = reply->len, line = last_line(reply);
	const char *error = NULL;
	bool go_on = template.len >= 2 && template.p[0] == '\\' && template.p[1] == 'c';

	if (go_on)
		template = (struct span){ template.p + 2, template.len - 2 };
	do {
		if (!go_on)
			begin_line(reply);
		go_on = false;
		error = expand(take_line(&template), facts, reply);
	} while (template.len > 0 && error == NULL);
	if (error == NULL && reply->cut)
		error = "it is too long";
	if (error != NULL)
		undo(reply, len, line);
	return error;
}

const char *footer_error(struct span template)
{
	static const bool filter[256];
	struct footer_facts facts = { .value = { "", "", "", "" }, .filter = filter };
	char reply[2048];
	struct buf b = BUF(reply);

	buf_puts(&b, "550 5.0.0 x");
	return footer_append(&b, template, &facts);
}
