/*
 * policy/tune/line.c: the left part of a log line: when, where, which program.
 *
 * This runs for every line of every log; all but a few lines end here. The time and the host are
 * those of the line before more often than not, and comparing is cheaper than reading.
 */
#include "config.h"

#include <string.h>
#include <time.h>
#include "policy/tune/scan.h"

#define SECONDS_MAX 4102444800ll /* 2100: what fits the records of the history */

void
scan_restart(struct tune *t, int64_t now_s)
{
	t->stamp.len = t->host_len = 0;
	t->now_s = now_s;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The years' changes are seen by a date that falls back by more than half a year. */
static void
year_follow(struct tune *t, int64_t day_of_year)
{
	if (t->stamp.year == 0) {
		struct tm now;
		time_t now_s = (time_t)t->now_s;

		localtime_r(&now_s, &now);
		t->stamp.year = now.tm_year + 1900 - (day_of_year > now.tm_yday + 1);
	} else if (day_of_year < t->stamp.last_day_of_year - 183) {
		t->stamp.year++;
	} else if (t->stamp.last_day_of_year < 7 && day_of_year > 358) {
		t->stamp.year--; /* a line that came late, from before midnight of New Year */
	}
	t->stamp.last_day_of_year = day_of_year;
}

/* Local time to UTC; the offset of a zone is asked for once an hour of log. */
static int64_t
utc_from_local(struct tune *t, int64_t local_s)
{
	if (local_s / 3600 != t->zone_hour) {
		time_t guess = (time_t)local_s;
		struct tm tm;

		t->zone_hour = local_s / 3600;
		gmtime_r(&guess, &tm);
		tm.tm_isdst = -1;
		t->zone_offset_s = (int64_t)mktime(&tm) - local_s;
	}
	return local_s + t->zone_offset_s;
}

static int
month_number(const char *p)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (memcmp(p, names + i * 3, 3) == 0)
			return i;
	return -1;
}

static int
two_digits(const char *p)
{
	int high = p[0] == ' ' ? 0 : p[0] - '0', low = p[1] - '0';

	return high < 0 || high > 9 || low < 0 || low > 9 ? 99 : high * 10 + low;
}

/* "Nov 21 01:02:03 " */
static enum scan_result
stamp_syslog(struct tune *t, const char *p)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int month = month_number(p), day = two_digits(p + 4);
	int h = two_digits(p + 7), m = two_digits(p + 10), s = two_digits(p + 13);
	int64_t day_of_year, years;

	if (month < 0 || p[3] != ' ' || p[6] != ' ' || p[9] != ':' || p[12] != ':' || day < 1 ||
	    day > 31 || h > 23 || m > 59 || s > 60 || p[7] == ' ' || p[10] == ' ' || p[13] == ' ')
		return SCAN_ODD;
	day_of_year = before[month] + day - 1;
	year_follow(t, day_of_year);
	years = t->stamp.year - 1970;
	day_of_year += (is_leap(t->stamp.year) && month > 1) + years * 365 + (years + 1) / 4;
	t->stamp.us = utc_from_local(t, day_of_year * 86400 + h * 3600 + m * 60 + s) * 1000000;
	return SCAN_FINE;
}

/* "Nov 21 01:02:" as before: only the seconds are read. */
static bool
stamp_same_minute(struct tune *t, const char *p)
{
	int s;

	if (t->stamp.len != 16 || t->stamp.text[2] < 'a' || !same_text(p, t->stamp.text, 13))
		return false;
	s = two_digits(p + 13);
	if (p[13] == ' ' || s > 59 || p[15] != ' ')
		return false;
	t->stamp.us += (s - two_digits(t->stamp.text + 13)) * 1000000ll;
	memcpy(t->stamp.text + 13, p + 13, 2);
	return true;
}

static enum scan_result
stamp_read(struct tune *t, struct cursor *c)
{
	if (c->p[0] >= 'A' && c->p[0] <= 'S') {
		if (c->p[15] != ' ' || stamp_syslog(t, c->p) != SCAN_FINE)
			return SCAN_ODD;
		c->p += 16;
	} else if (!take_iso(c, &t->stamp.us) || !TAKE(c, " ")) {
		return SCAN_ODD;
	}
	return t->stamp.us < 0 || t->stamp.us / 1000000 > SECONDS_MAX ? SCAN_ODD : SCAN_FINE;
}

enum scan_result
scan_stamp(struct tune *t, struct cursor *c)
{
	struct cursor from = *c;
	size_t room = (size_t)(c->end - c->p);

	if (t->stamp.len > 0 && room > t->stamp.len &&
	    same_text(c->p, t->stamp.text, t->stamp.len)) {
		c->p += t->stamp.len;
		return SCAN_FINE;
	}
	if (room < 17)
		return SCAN_ODD;
	if (stamp_same_minute(t, c->p)) {
		c->p += 16;
		return SCAN_FINE;
	}
	t->stamp_before = t->stamp;
	t->stamp_moved = true;
	if (stamp_read(t, c) != SCAN_FINE)
		return SCAN_ODD;
	t->stamp.len = (size_t)(c->p - from.p);
	if (t->stamp.len > sizeof t->stamp.text)
		t->stamp.len = 0;
	else
		memcpy(t->stamp.text, from.p, t->stamp.len);
	return SCAN_FINE;
}

static bool
take_host(struct tune *t, struct cursor *c)
{
	struct cursor from = *c;

	if (t->host_len > 0 && (size_t)(c->end - c->p) > t->host_len &&
	    same_text(c->p, t->host, t->host_len)) {
		c->p += t->host_len;
		return true;
	}
	if (!find_char(c, ' ') || c->p == from.p)
		return false;
	c->p++;
	t->host_len = (size_t)(c->p - from.p);
	if (t->host_len > sizeof t->host)
		t->host_len = 0;
	else
		memcpy(t->host, from.p, t->host_len);
	return true;
}

/* "postfix/smtpd", "mx1/postscreen", "postfix/submission/smtpd": the last word, but not for
 * submission. */
static enum program
program_of(const char *tag, size_t len)
{
	const char *word = tag + len;

	while (word > tag && word[-1] != '/')
		word--;
	if (word == tag)
		return PROGRAM_OTHER;
	switch (tag + len - word) {
	case 4:
		return memcmp(word, "qmgr", 4) == 0 ? PROGRAM_QMGR : PROGRAM_OTHER;
	case 5:
		if (memcmp(word, "smtpd", 5) != 0 || memmem(tag, len, "/submission", 11) != NULL ||
		    memmem(tag, len, "/smtps/", 7) != NULL)
			return PROGRAM_OTHER;
		return PROGRAM_SMTPD;
	case 7:
		if (memcmp(word, "dnsblog", 7) == 0)
			return PROGRAM_DNSBLOG;
		return memcmp(word, "cleanup", 7) == 0 ? PROGRAM_CLEANUP : PROGRAM_OTHER;
	case 10:
		return memcmp(word, "postscreen", 10) == 0 ? PROGRAM_POSTSCREEN : PROGRAM_OTHER;
	default:
		return PROGRAM_OTHER;
	}
}

/* The usual spellings, without a look at the rest. Moves behind the bracket. */
static enum program
take_usual(struct cursor *c)
{
	if (c->end - c->p < 24 || !TAKE(c, "postfix/"))
		return PROGRAM_OTHER;
	switch (*c->p) {
	case 'p':
		return TAKE(c, "postscreen[") ? PROGRAM_POSTSCREEN : PROGRAM_OTHER;
	case 'd':
		return TAKE(c, "dnsblog[") ? PROGRAM_DNSBLOG : PROGRAM_OTHER;
	case 's':
		return TAKE(c, "smtpd[") ? PROGRAM_SMTPD : PROGRAM_OTHER;
	case 'c':
		return TAKE(c, "cleanup[") ? PROGRAM_CLEANUP : PROGRAM_OTHER;
	case 'q':
		return TAKE(c, "qmgr[") ? PROGRAM_QMGR : PROGRAM_OTHER;
	default:
		return PROGRAM_OTHER;
	}
}

/* "postfix/postscreen[123]: ", left behind; lines without a process number are nobody's we know. */
static enum scan_result
scan_tag(struct tune *t, struct cursor *c)
{
	const char *tag = c->p, *p = tag;
	enum program program = take_usual(c);
	uint32_t pid;

	if (program == PROGRAM_OTHER) {
		while (p < c->end && *p != '[' && *p != ' ' && *p != ':')
			p++;
		if (p == tag)
			return SCAN_ODD;
		if (p == c->end || *p != '[')
			return SCAN_FINE;
		program = program_of(tag, (size_t)(p - tag));
		if (program == PROGRAM_OTHER)
			return SCAN_FINE;
		c->p = p + 1;
	}
	if (!take_uint(c, UINT32_MAX, &pid) || !TAKE(c, "]: "))
		return SCAN_ODD;
	return scan_message(t, program, c);
}

static bool
skip_word(struct cursor *c)
{
	if (!find_char(c, ' '))
		return false;
	c->p++;
	return true;
}

/* RFC 5424 structured data: "-" or elements with quoted values. */
static bool
skip_structured(struct cursor *c)
{
	bool quoted = false;

	if (TAKE(c, "- "))
		return true;
	if (c->p == c->end || *c->p != '[')
		return false;
	for (; c->p < c->end; c->p++) {
		if (quoted && *c->p == '\\')
			c->p++;
		else if (c->p < c->end && *c->p == '"')
			quoted = !quoted;
		else if (!quoted && *c->p == ' ' && c->p[-1] == ']')
			break;
	}
	return c->p < c->end && TAKE(c, " ");
}

/* After "<22>1 ": time host program process message-id data text. */
static enum scan_result
scan_rfc5424(struct tune *t, struct cursor *c)
{
	enum program program;
	const char *tag;

	if (scan_stamp(t, c) != SCAN_FINE || !take_host(t, c))
		return SCAN_ODD;
	tag = c->p;
	if (!find_char(c, ' '))
		return SCAN_ODD;
	program = program_of(tag, (size_t)(c->p - tag));
	c->p++;
	if (program == PROGRAM_OTHER)
		return SCAN_FINE;
	if (!skip_word(c) || !skip_word(c) || !skip_structured(c))
		return SCAN_ODD;
	(void)TAKE(c, "\xef\xbb\xbf");
	return scan_message(t, program, c);
}

static enum scan_result
scan_any(struct tune *t, const char *p, size_t len)
{
	struct cursor c = { p, p + len };
	uint32_t priority;

	if (*p == '{')
		return scan_record(t, p, len);
	if (*p == '-' && TAKE(&c, "-- "))
		return SCAN_FINE; /* journalctl's own remarks */
	if (*p == '<') {
		c.p++;
		if (!take_uint(&c, 191, &priority) || !TAKE(&c, ">"))
			return SCAN_ODD;
		if (TAKE(&c, "1 "))
			return scan_rfc5424(t, &c);
	}
	if (scan_stamp(t, &c) != SCAN_FINE || !take_host(t, &c))
		return SCAN_ODD;
	return scan_tag(t, &c);
}

void
scan_line(struct tune *t, const char *p, size_t len)
{
	if (len > 0 && p[len - 1] == '\r')
		len--;
	if (len == 0)
		return;
	t->lines++;
	t->stamp_moved = false;
	if (scan_any(t, p, len) == SCAN_FINE)
		return;
	t->odd++;
	if (t->stamp_moved)
		t->stamp = t->stamp_before;
}
