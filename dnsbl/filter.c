#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/filter.h"

/* A scanner over the pattern; a token is a run of digits or one other byte, empty at the end. */
struct scan {
	struct span text;
	size_t pos; /* after the token */
	struct span token;
	unsigned value; /* of a number; 256 for anything that is not one within 0..255 */
	struct buf *err;
};

#define NO_OCTET 256u

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
scan_next(struct scan *s)
{
	size_t start = s->pos;
	uint64_t value = NO_OCTET;

	while (s->pos < s->text.len && is_digit(s->text.p[s->pos]))
		s->pos++;
	if (s->pos == start && s->pos < s->text.len)
		s->pos++;
	s->token = (struct span){ s->text.p + start, s->pos - start };
	s->value = span_uint(s->token, 255, &value) ? (unsigned)value : NO_OCTET;
}

static bool
scan_is(const struct scan *s, char c)
{
	return s->token.len == 1 && s->token.p[0] == c;
}

/* Says what was wanted where: the text before, the offending token marked, the text after. */
static bool
scan_fail(const struct scan *s, const char *problem)
{
	size_t start = (size_t)(s->token.p - s->text.p);

	if (s->err == NULL)
		return false;
	buf_puts(s->err, problem);
	buf_puts(s->err, " at \"");
	buf_printable(s->err, (struct span){ s->text.p, start });
	buf_putc(s->err, '>');
	buf_printable(s->err, s->token);
	buf_putc(s->err, '<');
	buf_printable(s->err, (struct span){ s->text.p + s->pos, s->text.len - s->pos });
	buf_putc(s->err, '"');
	return false;
}

static void
octets_add(uint64_t set[4], unsigned low, unsigned high)
{
	for (unsigned v = low; v <= high; v++)
		set[v >> 6] |= UINT64_C(1) << (v & 63);
}

static void
octets_add_mask(uint64_t set[4], unsigned mask)
{
	for (unsigned v = 0; v <= 255; v++)
		if ((v & mask) != 0)
			octets_add(set, v, v);
}

/* `&NUMBER`, the scanner standing on the `&`. */
static bool
parse_mask(struct scan *s, uint64_t set[4])
{
	scan_next(s);
	if (s->value == NO_OCTET || s->value == 0)
		return scan_fail(s, "need decimal number 1..255 after \"&\"");
	octets_add_mask(set, s->value);
	scan_next(s);
	return true;
}

/* `..NUMBER` after a number, the scanner standing on the first dot. */
static bool
parse_range(struct scan *s, uint64_t set[4], unsigned low)
{
	scan_next(s);
	if (!scan_is(s, '.'))
		return scan_fail(s, "numeric range error");
	scan_next(s);
	if (s->value == NO_OCTET || s->value < low)
		return scan_fail(s, "numeric range error");
	octets_add(set, low, s->value);
	scan_next(s);
	return true;
}

static bool
parse_item(struct scan *s, uint64_t set[4])
{
	unsigned low = s->value;

	if (scan_is(s, '&'))
		return parse_mask(s, set);
	if (low == NO_OCTET)
		return scan_fail(s, "need decimal number 0..255");
	scan_next(s);
	if (scan_is(s, '.'))
		return parse_range(s, set, low);
	octets_add(set, low, low);
	return true;
}

/* `[item;item...]`, the scanner standing on the bracket. */
static bool
parse_set(struct scan *s, uint64_t set[4])
{
	do {
		scan_next(s);
		if (!parse_item(s, set))
			return false;
	} while (scan_is(s, ';'));
	if (!scan_is(s, ']'))
		return scan_fail(s, "need \";\" or \"]\"");
	scan_next(s);
	return true;
}

static bool
parse_field(struct scan *s, uint64_t set[4])
{
	if (scan_is(s, '['))
		return parse_set(s, set);
	if (scan_is(s, '&'))
		return parse_mask(s, set);
	if (s->value == NO_OCTET)
		return scan_fail(s, "need decimal number 0..255 or \"[\"");
	octets_add(set, s->value, s->value);
	scan_next(s);
	return true;
}

/* Brackets around the whole go away if the first one is closed by the very last byte. */
static bool
strip_brackets(struct span *text, struct buf *err)
{
	size_t i, depth = 0;

	if (text->len == 0 || text->p[0] != '[')
		return true;
	for (i = 0; i < text->len; i++) {
		if (text->p[i] == '[')
			depth++;
		else if (text->p[i] == ']' && --depth == 0)
			break;
	}
	if (depth != 0) {
		if (err != NULL)
			buf_puts(err, "missing \"]\" character");
		return false;
	}
	if (i == text->len - 1)
		*text = (struct span){ text->p + 1, text->len - 2 };
	return true;
}

bool
filter_parse(struct dnsbl_filter *out, struct span text, struct buf *err)
{
	struct scan s = { .err = err };

	memset(out, 0, sizeof(*out));
	if (text.len > 0 && text.p[0] == '!') {
		out->negated = true;
		text = (struct span){ text.p + 1, text.len - 1 };
	}
	if (!strip_brackets(&text, err))
		return false;
	if (text.len == 0) {
		if (err != NULL)
			buf_puts(err, "empty address pattern");
		return false;
	}
	s.text = text;
	scan_next(&s);
	for (unsigned field = 0; field < 4; field++) {
		if (field > 0) {
			if (!scan_is(&s, '.'))
				return scan_fail(&s, "need \".\"");
			scan_next(&s);
		}
		if (!parse_field(&s, out->octets[field]))
			return false;
	}
	return s.token.len == 0 || scan_fail(&s, "garbage after pattern");
}

struct dnsbl_filter *
dnsbl_filter_parse(struct span text, struct buf *err)
{
	struct dnsbl_filter *f = mem_alloc(sizeof(*f));

	if (!filter_parse(f, text, err))
		dnsbl_filter_free(&f);
	return f;
}

void
dnsbl_filter_free(struct dnsbl_filter **f)
{
	free(*f);
	*f = NULL;
}

static bool
octets_have(const uint64_t set[4], uint8_t v)
{
	return (set[v >> 6] >> (v & 63) & 1) != 0;
}

static bool
pattern_match(const struct dnsbl_filter *f, const uint8_t ip[4])
{
	return octets_have(f->octets[0], ip[0]) && octets_have(f->octets[1], ip[1]) &&
	       octets_have(f->octets[2], ip[2]) && octets_have(f->octets[3], ip[3]);
}

bool
dnsbl_filter_match(const struct dnsbl_filter *f, const uint8_t ip[4])
{
	return pattern_match(f, ip) != f->negated;
}

bool
filter_match_any(const struct dnsbl_filter *f, const uint8_t (*ip)[4], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pattern_match(f, ip[i]))
			return !f->negated;
	return f->negated && count > 0;
}
