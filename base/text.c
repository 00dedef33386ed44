#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

struct span
span_of(const char *cstring)
{
	return (struct span){ cstring, strlen(cstring) };
}

bool
span_is(struct span s, const char *cstring)
{
	return strlen(cstring) == s.len && memcmp(s.p, cstring, s.len) == 0;
}

bool
span_is_nocase(struct span s, const char *cstring)
{
	return strlen(cstring) == s.len && strncasecmp(s.p, cstring, s.len) == 0;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span
span_trim(struct span s)
{
	while (s.len > 0 && is_space(s.p[0]))
		s.p++, s.len--;
	while (s.len > 0 && is_space(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* strchr() that does not find the terminating NUL. */
static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

struct span
span_token(struct span *rest, const char *seps)
{
	size_t n = 0;
	unsigned depth = 0;

	while (rest->len > 0 && is_one_of(rest->p[0], seps))
		rest->p++, rest->len--;
	struct span token = { rest->p, 0 };
	for (; n < rest->len; n++) {
		char c = rest->p[n];
		if (depth == 0 && is_one_of(c, seps))
			break;
		if (c == '{' && (n == 0 || depth > 0))
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
	}
	token.len = n;
	rest->p += n;
	rest->len -= n;
	return token;
}

bool
span_uint(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*out = n;
	return true;
}

bool
span_int(struct span s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = s.len > 0 && s.p[0] == '-';
	uint64_t n;

	if (s.len > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s.p++, s.len--;
	if (!span_uint(s, INT64_MAX, &n))
		return false;
	int64_t v = negative ? -(int64_t)n : (int64_t)n;
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

struct buf
buf_over(char *array, size_t size)
{
	if (size > 0)
		array[0] = '\0';
	return (struct buf){ array, 0, size, false };
}

void
buf_put(struct buf *b, const void *bytes, size_t len)
{
	size_t room = b->size > b->len ? b->size - b->len - 1 : 0;

	if (len > room) {
		len = room;
		b->cut = true;
	}
	if (len > 0)
		memcpy(b->p + b->len, bytes, len);
	b->len += len;
	if (b->size > 0)
		b->p[b->len] = '\0';
}

void
buf_puts(struct buf *b, const char *cstring)
{
	buf_put(b, cstring, strlen(cstring));
}

void
buf_putc(struct buf *b, char c)
{
	if (b->len + 1 >= b->size) {
		b->cut = true;
		return;
	}
	b->p[b->len++] = c;
	b->p[b->len] = '\0';
}

void
buf_putspan(struct buf *b, struct span s)
{
	buf_put(b, s.p, s.len);
}

void
buf_uint(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_put(b, digits + at, sizeof digits - at);
}

void
buf_vprintf(struct buf *b, const char *format, va_list ap)
{
	size_t room = b->size - b->len;
	int n = vsnprintf(b->p + b->len, room, format, ap);

	if (n < 0)
		return;
	if ((size_t)n >= room) {
		b->cut = true;
		n = room > 0 ? (int)room - 1 : 0;
	}
	b->len += (size_t)n;
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(b, format, ap);
	va_end(ap);
}

/* The escape of one byte, and its length. */
static size_t
escape_byte(unsigned char c, char out[4])
{
	static const char letters[] = "abtnvfr"; /* \a is 7 ... \r is 13 */

	out[0] = '\\';
	if (c == '\\') {
		out[1] = '\\';
		return 2;
	}
	if (c >= 7 && c <= 13) {
		out[1] = letters[c - 7];
		return 2;
	}
	if (c >= 32 && c < 127) {
		out[0] = (char)c;
		return 1;
	}
	out[1] = (char)('0' + (c >> 6));
	out[2] = (char)('0' + ((c >> 3) & 7));
	out[3] = (char)('0' + (c & 7));
	return 4;
}

void
buf_escape(struct buf *b, struct span s, size_t max)
{
	for (size_t i = 0; i < s.len && max > 0; i++) {
		char e[4];
		size_t n = escape_byte((unsigned char)s.p[i], e);
		if (n > max)
			n = max;
		buf_put(b, e, n);
		max -= n;
	}
}

void
buf_printable(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_putc(b, s.p[i] >= 32 && s.p[i] < 127 ? s.p[i] : '?');
}

/*
 * The length of the UTF-8 sequence at p, or 0. RFC 3629: the ranges of the second byte exclude
 * overlong forms, surrogates and anything beyond U+10FFFF.
 */
static size_t
utf8_length(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool
span_is_utf8(struct span s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8_length((const unsigned char *)s.p + i, s.len - i);
		if (n == 0)
			return false;
	}
	return true;
}

static void
json_ascii(struct buf *b, unsigned char c)
{
	static const char *const shorts[14] = {
		[8] = "\\b",
		[9] = "\\t",
		[10] = "\\n",
		[12] = "\\f",
		[13] = "\\r",
	};

	if (c == '"' || c == '\\') {
		buf_putc(b, '\\');
		buf_putc(b, (char)c);
	} else if (c < 14 && shorts[c] != NULL) {
		buf_puts(b, shorts[c]);
	} else if (c < 32 || c == 127) {
		buf_printf(b, "\\u%04x", c);
	} else {
		buf_putc(b, (char)c);
	}
}

void
buf_json(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.len;) {
		const unsigned char *p = (const unsigned char *)s.p + i;
		size_t n = utf8_length(p, s.len - i);
		if (n == 1)
			json_ascii(b, *p);
		else if (n > 1)
			buf_put(b, p, n);
		else
			buf_puts(b, "\xef\xbf\xbd");
		i += n > 0 ? n : 1;
	}
}

void
buf_json_member(struct buf *b, const char *name, struct span value)
{
	if (b->len > 0 && b->p[b->len - 1] != '{' && b->p[b->len - 1] != ',')
		buf_putc(b, ',');
	buf_printf(b, "\"%s\":\"", name);
	buf_json(b, value);
	buf_putc(b, '"');
}
