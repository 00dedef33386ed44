/*
 * policy/tune/scan.h: from bytes to events. Strict from the left: what a client wrote comes after the
 * fields read here and is never looked at.
 */
#ifndef POLICY_TUNE_SCAN_H
#define POLICY_TUNE_SCAN_H

#include <string.h>
#include "policy/tune/history.h"
#include "policy/tune/tune.h"

#define LINE_BYTES_MAX 65536 /* longer lines are odd, whatever they begin with */

/* A text read from the left: every take_*() that fails leaves it where it was. */
struct cursor {
	const char *p, *end;
};
static inline bool
take_text(struct cursor *c, const char *text, size_t len)
{
	if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
		return false;
	c->p += len;
	return true;
}
#define TAKE(c, literal) take_text((c), "" literal, sizeof(literal) - 1)
/* Decimal, at most ten digits. */
static inline bool
take_uint(struct cursor *c, uint32_t max, uint32_t *out)
{
	const char *p = c->p, *end = c->end - p > 11 ? p + 11 : c->end;
	uint64_t n = 0;
	unsigned digit;

	while (p < end && (digit = (unsigned char)*p - '0') < 10) {
		n = n * 10 + digit;
		p++;
	}
	if (p == c->p || p - c->p > 10 || n > max)
		return false;
	c->p = p;
	*out = (uint32_t)n;
	return true;
}
/* Strict dotted quad. */
static inline bool
take_ip4(struct cursor *c, uint32_t *out)
{
	const char *p = c->p, *end = c->end;
	uint32_t ip = 0;

	if (end - p < 7)
		return false;
	for (int field = 0; field < 4; field++) {
		unsigned n, digit;

		if (p == end || (n = (unsigned char)*p - '0') > 9)
			return false;
		if (++p < end && (digit = (unsigned char)*p - '0') < 10) {
			if (n == 0)
				return false;
			n = n * 10 + digit;
			if (++p < end && (digit = (unsigned char)*p - '0') < 10) {
				n = n * 10 + digit;
				p++;
			}
		}
		if (n > 255)
			return false;
		ip = ip << 8 | n;
		if (field < 3 && (p == end || *p++ != '.'))
			return false;
	}
	c->p = p;
	*out = ip;
	return true;
}
/* An address up to one of ']' and ' ', as stop says; 16 bytes behind the line must be readable. */
bool take_peer(const struct history *, struct cursor *, char stop, struct peer *out);
bool take_endpoint(const struct history *, struct cursor *, struct peer *out, uint16_t *port); /* [ADDRESS]:PORT */
bool take_date(struct cursor *, int64_t *day);                     /* 2026-11-21, days since 1970 */
bool take_iso(struct cursor *, int64_t *us);                       /* 2026-11-21T01:02:03[.5](Z|+hh:mm) */
/* Moves to the first of these bytes. */
static inline bool
find_char(struct cursor *c, char what)
{
	const char *at = c->p < c->end ? memchr(c->p, what, (size_t)(c->end - c->p)) : NULL;

	if (at == NULL)
		return false;
	c->p = at;
	return true;
}
/* memcmp() == 0 for short texts that are most often equal. */
static inline bool
same_text(const char *a, const char *b, size_t len)
{
	uint64_t x, y, differ = 0;

	if (len < 8)
		return memcmp(a, b, len) == 0;
	for (size_t i = 0; i + 8 < len; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		differ |= x ^ y;
	}
	memcpy(&x, a + len - 8, 8);
	memcpy(&y, b + len - 8, 8);
	return (differ | (x ^ y)) == 0;
}

/* Messages accepted by Postfix: queue id → client. A fixed table; what is not seen again is forgotten. */
#define QUEUE_SETS 16384
#define QUEUE_WAYS 4
struct queue_entry {
	uint64_t id;
	uint32_t client1; /* index + 1 */
	uint32_t at;      /* ticks of use */
};

struct tune {
	struct history *history;
	uint64_t lines, odd;
	/* the last stamp and host, which the next line most often repeats */
	struct stamp {
		char text[40];
		size_t len;
		int64_t us;
		int64_t last_day_of_year; /* dates without a year: */
		int year;                 /* 0: not known yet */
	} stamp, stamp_before;
	bool stamp_moved;         /* by the line at hand: an odd line moves nothing */
	char host[256];
	size_t host_len;
	int64_t now_s, zone_hour, zone_offset_s;
	/* sessions already told by records */
	int64_t records_from_us, records_to_us;
	uint64_t repeated;
	/* "bl.example as 127.0.0.2": the same few ends of lines come again and again */
	struct tail {
		char text[96];
		uint8_t len;          /* 0: free */
		uint8_t code[4];
		int list;
	} tail[256];
	struct queue_entry *queue;
	uint32_t queue_clock;
};

/* A new file begins: forget what was assumed about the next line. */
void scan_restart(struct tune *, int64_t now_s);
/* One line without its newline. LINE_SLACK bytes behind it must be readable, whatever they are. */
#define LINE_SLACK 16
void scan_line(struct tune *, const char *p, size_t len);

enum scan_result { SCAN_FINE, SCAN_ODD };
/* The time at the left, moved behind it and one space. */
enum scan_result scan_stamp(struct tune *, struct cursor *);
/* A message of one of Postfix's programs. */
enum program { PROGRAM_OTHER, PROGRAM_POSTSCREEN, PROGRAM_DNSBLOG, PROGRAM_SMTPD, PROGRAM_CLEANUP, PROGRAM_QMGR };
enum scan_result scan_message(struct tune *, enum program, struct cursor *);
enum scan_result scan_record(struct tune *, const char *p, size_t len);

#endif
