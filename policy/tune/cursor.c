/*
 * policy/tune/cursor.c: small pieces of text.
 */
#include "config.h"

#include <string.h>
#include "policy/tune/scan.h"

static bool
take_address(struct cursor *c, struct ipkey *out)
{
	struct cursor from = *c;
	struct addr a;
	uint32_t ip;

	if (take_ip4(c, &ip)) {
		*out = (struct ipkey){ 0, IPKEY_V4_BITS | ip };
		return true;
	}
	while (c->p < c->end && c->p - from.p < ADDR_TEXT_SIZE &&
	       ((*c->p >= '0' && *c->p <= '9') || (*c->p >= 'a' && *c->p <= 'f') ||
		   (*c->p >= 'A' && *c->p <= 'F') || *c->p == ':' || *c->p == '.'))
		c->p++;
	if (!addr_parse(&a, from.p, (size_t)(c->p - from.p))) {
		*c = from;
		return false;
	}
	*out = ipkey_from_addr(&a);
	return true;
}

/* Index of the first byte of a word that equals x; 8 if there is none. */
static unsigned
byte_find(uint64_t word, char x)
{
	uint64_t differ = word ^ 0x0101010101010101ull * (uint8_t)x;
	uint64_t zero = (differ - 0x0101010101010101ull) & ~differ & 0x8080808080808080ull;

	return zero == 0 ? 8 : (unsigned)__builtin_ctzll(zero) / 8;
}

/* Known by its text? Then there is nothing to read. */
static bool
take_known(const struct history *h, struct cursor *c, char stop, struct peer *out)
{
	uint64_t text[2];
	unsigned len;

	memcpy(text, c->p, sizeof text);
	len = byte_find(text[0], stop);
	if (len < 8) {
		text[0] &= (1ull << len * 8) - 1;
		text[1] = 0;
	} else {
		len = byte_find(text[1], stop);
		if (len == 8)
			return false;
		text[1] &= (1ull << len * 8) - 1;
		len += 8;
	}
	if (len < 7 || c->end - c->p <= (ptrdiff_t)len || !history_know(h, text, out))
		return false;
	c->p += len;
	return true;
}

bool
take_peer(const struct history *h, struct cursor *c, char stop, struct peer *out)
{
	struct cursor from = *c;

	if (c->p < c->end && take_known(h, c, stop, out))
		return true;
	out->live = NULL;
	if (take_address(c, &out->ip) && c->p < c->end && *c->p == stop)
		return true;
	*c = from;
	return false;
}

bool
take_endpoint(const struct history *h, struct cursor *c, struct peer *out, uint16_t *port)
{
	struct cursor from = *c;
	uint32_t n;

	if (TAKE(c, "[") && take_peer(h, c, ']', out) && TAKE(c, "]:") && take_uint(c, 65535, &n)) {
		*port = (uint16_t)n;
		return true;
	}
	*c = from;
	return false;
}

/* Days since 1970 of a proleptic Gregorian date. */
static int64_t
days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool
take_date(struct cursor *c, int64_t *day)
{
	struct cursor from = *c;
	uint32_t y, m, d;

	if (c->end - c->p >= 10 && c->p[4] == '-' && c->p[7] == '-' && take_uint(c, 2100, &y) &&
	    TAKE(c, "-") && take_uint(c, 12, &m) && TAKE(c, "-") && take_uint(c, 31, &d) &&
	    c->p == from.p + 10 && y >= 1971 && m >= 1 && d >= 1) {
		*day = days_from_civil(y, m, d);
		return true;
	}
	*c = from;
	return false;
}

static bool
take_clock(struct cursor *c, int64_t *us)
{
	const char *p = c->p;
	uint32_t h, m, s;

	if (c->end - p < 8 || p[2] != ':' || p[5] != ':' || !take_uint(c, 23, &h) ||
	    !TAKE(c, ":") || !take_uint(c, 59, &m) || !TAKE(c, ":") || !take_uint(c, 60, &s))
		return false;
	*us = (int64_t)(h * 3600 + m * 60 + s) * 1000000;
	if (c->p < c->end && (*c->p == '.' || *c->p == ',')) {
		int64_t unit = 100000;

		for (c->p++; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
			*us += unit * (*c->p - '0');
	}
	return true;
}

static bool
take_zone(struct cursor *c, int64_t *us)
{
	uint32_t h, m;
	bool east = c->p < c->end && *c->p == '+';

	if (TAKE(c, "Z"))
		return true;
	if (!(east || (c->p < c->end && *c->p == '-')))
		return false;
	c->p++;
	if (c->end - c->p < 4)
		return false;
	h = (uint32_t)(c->p[0] - '0') * 10 + (uint32_t)(c->p[1] - '0');
	c->p += 2;
	if (*c->p == ':')
		c->p++;
	if (c->end - c->p < 2)
		return false;
	m = (uint32_t)(c->p[0] - '0') * 10 + (uint32_t)(c->p[1] - '0');
	c->p += 2;
	if (h > 15 || m > 59)
		return false;
	*us += (east ? -1 : 1) * (int64_t)(h * 3600 + m * 60) * 1000000;
	return true;
}

bool
take_iso(struct cursor *c, int64_t *us)
{
	struct cursor from = *c;
	int64_t day, clock;

	if (take_date(c, &day) && (TAKE(c, "T") || TAKE(c, " ")) && take_clock(c, &clock) &&
	    take_zone(c, &clock)) {
		*us = day * 86400 * 1000000 + clock;
		return true;
	}
	*c = from;
	return false;
}
