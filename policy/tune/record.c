/*
 * policy/tune/record.c: Gatehouse session records, one JSON object a line.
 *
 * A scanner, not a tree: members of interest are read where they stand, all others are skipped over
 * by the grammar of RFC 8259, so that nothing inside a string can look like a member. A record that
 * is not well-formed to its last byte changes nothing.
 */
#include "config.h"

#include <string.h>
#include "base/text.h"
#include "policy/tune/scan.h"

#define DEPTH_MAX 16

static void
skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

static bool
take_char(struct cursor *c, char what)
{
	skip_space(c);
	if (c->p == c->end || *c->p != what)
		return false;
	c->p++;
	return true;
}

/* The raw inside of a string; escapes stay as they are: no name we look for needs one. */
static bool
take_string(struct cursor *c, struct span *out)
{
	if (!take_char(c, '"'))
		return false;
	out->p = c->p;
	for (; c->p < c->end && *c->p != '"'; c->p++) {
		if ((unsigned char)*c->p < 0x20)
			return false;
		if (*c->p == '\\' && ++c->p == c->end)
			return false;
	}
	if (c->p == c->end)
		return false;
	out->len = (size_t)(c->p++ - out->p);
	return true;
}

static bool skip_value(struct cursor *, int depth);

/* Members or elements, separated by commas, up to `close`. */
static bool
skip_container(struct cursor *c, char close, bool named, int depth)
{
	struct span name;

	if (take_char(c, close))
		return true;
	do {
		if (named && (!take_string(c, &name) || !take_char(c, ':')))
			return false;
		if (!skip_value(c, depth))
			return false;
	} while (take_char(c, ','));
	return take_char(c, close);
}

static bool
skip_word(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && ((*c->p >= '0' && *c->p <= '9') || (*c->p >= 'a' && *c->p <= 'z') ||
				    *c->p == '.' || *c->p == '-' || *c->p == '+' || *c->p == 'E'))
		c->p++;
	return c->p > from;
}

static bool
skip_value(struct cursor *c, int depth)
{
	struct span text;

	skip_space(c);
	if (c->p == c->end || depth == DEPTH_MAX)
		return false;
	switch (*c->p) {
	case '"':
		return take_string(c, &text);
	case '{':
		c->p++;
		return skip_container(c, '}', true, depth + 1);
	case '[':
		c->p++;
		return skip_container(c, ']', false, depth + 1);
	default:
		return skip_word(c);
	}
}

/* One number or word, without its fraction where it is a number. */
static bool
value_int(struct span v, int64_t *out)
{
	const char *dot = memchr(v.p, '.', v.len);

	return span_int((struct span){ v.p, dot == NULL ? v.len : (size_t)(dot - v.p) }, INT64_MIN,
	    INT64_MAX, out);
}

static bool
is_string(struct span v)
{
	return v.len >= 2 && v.p[0] == '"';
}

static struct span
unquoted(struct span v)
{
	return is_string(v) ? (struct span){ v.p + 1, v.len - 2 } : v;
}

static bool
is_nothing(struct span v)
{
	static const char *const words[] = { "null", "false", "0", "\"\"", "{}", "[]", "\"pass\"",
		"\"none\"", "\"skip\"" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (span_is(v, words[i]))
			return true;
	return false;
}

struct record_state {
	struct tune *tune;
	struct whole whole;
	bool has_client, has_time;
	int64_t total_ms;
	struct {
		int list;
		int64_t ms;
		bool timeout, error;
	} asked[LISTS_MAX];
	size_t asked_count;
};

/* The digits behind the point, as microseconds. */
static int64_t
fraction_us(struct span v)
{
	const char *dot = memchr(v.p, '.', v.len);
	int64_t us = 0, unit = 100000;

	if (dot == NULL)
		return 0;
	for (const char *p = dot + 1; p < v.p + v.len && *p >= '0' && *p <= '9'; p++, unit /= 10)
		us += unit * (*p - '0');
	return us;
}

static bool
member_time(struct record_state *r, struct span v)
{
	struct span text = unquoted(v);
	struct cursor c = { text.p, text.p + text.len };
	int64_t s;

	if (is_string(v)) {
		r->has_time = take_iso(&c, &r->whole.start_us) && c.p == c.end;
	} else {
		r->has_time = value_int(v, &s) && s > 0 && s < 4102444800ll;
		if (r->has_time)
			r->whole.start_us = s * 1000000 + fraction_us(v);
	}
	return r->has_time && r->whole.start_us > 0;
}

static bool
member_client(struct record_state *r, struct span v)
{
	struct span text = unquoted(v);
	struct addr a;

	if (!is_string(v) || !addr_parse(&a, text.p, text.len))
		return false;
	r->whole.ip = ipkey_from_addr(&a);
	r->has_client = true;
	return true;
}

static bool
member_asn(struct record_state *r, struct span v)
{
	struct span text = unquoted(v);
	uint64_t asn;

	if (text.len > 2 && text.p[0] == 'A' && text.p[1] == 'S')
		text = (struct span){ text.p + 2, text.len - 2 };
	if (span_uint(text, UINT32_MAX, &asn))
		r->whole.asn = (uint32_t)asn;
	return true;
}

static bool
member_pregreet(struct record_state *r, struct span v)
{
	if (!is_nothing(v))
		r->whole.flags |= S_PREGREET;
	return true;
}

/* Whatever its shape, it names the checks that failed. */
static bool
member_deep(struct record_state *r, struct span v)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = { { "\"pipelining\"", S_PIPELINING }, { "\"non-smtp\"", S_NON_SMTP },
		{ "\"bare-newline\"", S_BARE_NEWLINE } };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i].word);
		const char *at = memmem(v.p, v.len, words[i].word, len);
		struct cursor c;

		if (at == NULL)
			continue;
		/* In an object the word is a member's name and the outcome its value. */
		c = (struct cursor){ at + len, v.p + v.len };
		if (!take_char(&c, ':') || TAKE(&c, "true") || TAKE(&c, "\"fail") ||
		    TAKE(&c, "\"drop") || TAKE(&c, "\"enforce"))
			r->whole.flags |= words[i].flag;
	}
	return true;
}

static bool
member_access(struct record_state *r, struct span v)
{
	if (span_is(v, "\"permit\"") || span_is(v, "\"allow\""))
		r->whole.flags |= S_ALLOW;
	if (span_is(v, "\"reject\"") || span_is(v, "\"deny\""))
		r->whole.flags |= S_DENY;
	return true;
}

static bool
member_verdict(struct record_state *r, struct span v)
{
	static const unsigned flags[VERDICTS] = { S_PASS_OLD, S_PASS_NEW, S_ALLOW, S_HARD, S_DROP,
		S_HANGUP, S_BUSY, 0 };

	for (int i = 0; i < VERDICTS; i++)
		if (is_string(v) && span_is(unquoted(v), verdict_words[i])) {
			r->whole.flags |= flags[i];
			return true;
		}
	return false;
}

/* What the session was refused for. */
static bool
member_reason(struct record_state *r, struct span v)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = { { "dnsbl", S_RANK }, { "pregreet", S_PREGREET },
		{ "pipelining", S_PIPELINING }, { "non-smtp", S_NON_SMTP },
		{ "bare-newline", S_BARE_NEWLINE }, { "deny-list", S_DENY } };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (is_string(v) && span_is(unquoted(v), words[i].word))
			r->whole.flags |= words[i].flag;
	return true;
}

static bool
member_total(struct record_state *r, struct span v)
{
	return value_int(v, &r->total_ms) || is_nothing(v);
}

static bool
site_answers(struct record_state *r, int list, struct span v)
{
	struct cursor c = { v.p, v.p + v.len };
	struct span text;

	if (list < 0 || !take_char(&c, '['))
		return true;
	while (take_string(&c, &text)) {
		struct cursor ip = { text.p, text.p + text.len };
		uint32_t a;
		int code;

		if (!take_ip4(&ip, &a) || ip.p != ip.end)
			return false;
		code = history_code(r->tune->history, list,
		    (uint8_t[4]){
			(uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a });
		if (code >= 0 && r->whole.count < PATTERN_MAX)
			r->whole.answer[r->whole.count++] = (uint16_t)code;
		if (!take_char(&c, ','))
			break;
	}
	return true;
}

typedef bool member_fn(struct record_state *, struct span value);
struct member {
	const char *name;
	member_fn *fn;
};

/* Reads the members of an object and hands the values on; unknown ones are skipped. */
static bool
each_member(struct cursor *c, bool (*fn)(void *arg, struct span name, struct span value), void *arg,
    int depth)
{
	struct span name;

	if (!take_char(c, '{'))
		return false;
	if (take_char(c, '}'))
		return true;
	do {
		struct span value;

		if (!take_string(c, &name) || !take_char(c, ':'))
			return false;
		skip_space(c);
		value.p = c->p;
		if (!skip_value(c, depth))
			return false;
		value.len = (size_t)(c->p - value.p);
		if (!fn(arg, name, value))
			return false;
	} while (take_char(c, ','));
	return take_char(c, '}');
}

struct site_state {
	struct span name, answers, error;
	int64_t ms;
};

static bool
site_member(void *arg, struct span name, struct span value)
{
	struct site_state *s = arg;

	if (span_is(name, "site"))
		s->name = unquoted(value);
	else if (span_is(name, "answers"))
		s->answers = value;
	else if (span_is(name, "error") && !is_nothing(value))
		s->error = unquoted(value);
	else if (span_is(name, "ms") && !value_int(value, &s->ms))
		s->ms = -1;
	return true;
}

static bool
site_read(struct record_state *r, struct cursor *c)
{
	struct site_state s = { .ms = -1 };
	size_t n = r->asked_count;
	int list;

	if (!each_member(c, site_member, &s, 2) || s.name.len == 0)
		return false;
	list = history_list(r->tune->history, s.name.p, s.name.len);
	if (list < 0 || n == LISTS_MAX)
		return true;
	r->whole.scored = true;
	r->whole.asked |= 1ull << list;
	r->asked[n].list = list;
	r->asked[n].ms = s.ms;
	r->asked[n].timeout =
	    s.error.len > 0 && (memmem(s.error.p, s.error.len, "time", 4) != NULL);
	r->asked[n].error = s.error.len > 0 && !r->asked[n].timeout && !span_is(s.error, "pending");
	r->asked_count++;
	return s.answers.len == 0 || site_answers(r, list, s.answers);
}

static bool
member_dnsbl(struct record_state *r, struct span v)
{
	struct cursor c = { v.p, v.p + v.len };

	if (!take_char(&c, '['))
		return is_nothing(v);
	if (take_char(&c, ']'))
		return true;
	do {
		if (!site_read(r, &c))
			return false;
	} while (take_char(&c, ','));
	return take_char(&c, ']');
}

static const struct member members[] = { { "time", member_time }, { "client", member_client },
	{ "asn", member_asn }, { "access", member_access }, { "pregreet", member_pregreet },
	{ "dnsbl", member_dnsbl }, { "deep", member_deep }, { "verdict", member_verdict },
	{ "reason", member_reason }, { "total_ms", member_total } };

static bool
record_member(void *arg, struct span name, struct span value)
{
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		if (span_is(name, members[i].name))
			return members[i].fn(arg, value);
	return true;
}

/* Sorted and distinct, as the history wants them. */
static void
answers_sort(struct whole *w)
{
	size_t kept = 0;

	for (size_t i = 1; i < w->count; i++) {
		uint16_t code = w->answer[i];
		size_t at = i;

		for (; at > 0 && w->answer[at - 1] > code; at--)
			w->answer[at] = w->answer[at - 1];
		w->answer[at] = code;
	}
	for (size_t i = 0; i < w->count; i++)
		if (kept == 0 || w->answer[kept - 1] != w->answer[i])
			w->answer[kept++] = w->answer[i];
	w->count = kept;
}

static void
record_fold(struct record_state *r)
{
	struct tune *t = r->tune;

	for (size_t i = 0; i < r->asked_count; i++) {
		struct list *l = &t->history->lists[r->asked[i].list];

		l->timeouts += r->asked[i].timeout;
		l->errors += r->asked[i].error;
		if (r->asked[i].ms >= 0 && !r->asked[i].timeout && r->asked[i].ms < 100000)
			histogram_add(&l->latency_us, r->asked[i].ms * 1000);
	}
	if (t->records_to_us == 0 || r->whole.start_us < t->records_from_us)
		t->records_from_us = r->whole.start_us;
	if (r->whole.start_us > t->records_to_us)
		t->records_to_us = r->whole.start_us;
	answers_sort(&r->whole);
	history_whole(t->history, &r->whole);
}

enum scan_result
scan_record(struct tune *t, const char *p, size_t len)
{
	struct record_state r = { .tune = t, .whole.flags = S_CONNECT };
	struct cursor c = { p, p + len };

	if (!each_member(&c, record_member, &r, 1))
		return SCAN_ODD;
	skip_space(&c);
	if (c.p != c.end || !r.has_client || !r.has_time)
		return SCAN_ODD;
	/* A record is written at the end of its session. */
	r.whole.start_us -= r.total_ms > 0 && r.total_ms < 86400000 ? r.total_ms * 1000 : 0;
	record_fold(&r);
	return SCAN_FINE;
}
