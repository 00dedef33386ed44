/*
 * policy/tune/sessions.c: sessions under way, put together from lines of several programs.
 *
 * Lines of one client may come interleaved with others, late, or slightly out of order. A place in
 * the pool is held from the first line about a client until its sessions have ended and late
 * answers of the lists have had their time; when the pool is full the place unused for longest is
 * closed.
 */
#include "config.h"

#include <string.h>
#include "base/mem.h"
#include "policy/tune/tables.h"

void
live_init(struct history_tables *t)
{
	t->live = mem_array(LIVE_MAX, sizeof *t->live);
	memset(t->live_bucket, 0xff, sizeof t->live_bucket);
	t->live_free = LIVE_NONE;
	t->newest = t->oldest = LIVE_NONE;
}

static size_t
text_bucket(const uint64_t text[2])
{
	return (((text[0] ^ text[1] * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull) >> 50) %
	       (LIVE_MAX * 2);
}

/* The text of an IPv4 address as two words; zeros for IPv6. */
static void
text_make(struct ipkey ip, uint64_t text[2])
{
	char spelled[16] = { 0 };
	size_t at = 0;

	for (int shift = 24; ipkey_is_v4(ip) && shift >= 0; shift -= 8) {
		unsigned n = (unsigned)(ip.lo >> shift) & 255;

		if (n >= 100)
			spelled[at++] = (char)('0' + n / 100);
		if (n >= 10)
			spelled[at++] = (char)('0' + n / 10 % 10);
		spelled[at++] = (char)('0' + n % 10);
		if (shift > 0)
			spelled[at++] = '.';
	}
	memcpy(text, spelled, sizeof spelled);
}

static uint16_t *
live_bucket(struct history_tables *t, struct ipkey ip, const uint64_t text[2])
{
	return &t->live_bucket[text[0] != 0 ? text_bucket(text)
					    : (ipkey_hash(ip) >> 16) % (LIVE_MAX * 2)];
}

bool
history_know(const struct history *h, const uint64_t text[2], struct peer *out)
{
	const struct history_tables *t = h->tables;

	for (uint16_t at = t->live_bucket[text_bucket(text)]; at != LIVE_NONE;
	     at = t->live[at].next)
		if (t->live[at].text[0] == text[0] && t->live[at].text[1] == text[1]) {
			out->live = &t->live[at];
			out->ip = t->live[at].ip;
			return true;
		}
	return false;
}

static void
order_remove(struct history_tables *t, struct live *l)
{
	*(l->newer == LIVE_NONE ? &t->newest : &t->live[l->newer].older) = l->older;
	*(l->older == LIVE_NONE ? &t->oldest : &t->live[l->older].newer) = l->newer;
}

static void
order_add(struct history_tables *t, struct live *l)
{
	uint16_t at = (uint16_t)(l - t->live);

	l->newer = LIVE_NONE;
	l->older = t->newest;
	*(t->newest == LIVE_NONE ? &t->oldest : &t->live[t->newest].newer) = at;
	t->newest = at;
}

/*
 * Were the lists asked? A log does not say. Not if the client was let in or turned away before; and
 * a PASS OLD within a second without any answer came from memory.
 */
static bool
was_scored(const struct live *l, const struct live_session *s)
{
	if (l->answers > 0 || (s->flags & S_RANK))
		return true;
	if (s->flags & (S_ALLOW | S_BUSY | S_DENY))
		return false;
	return !(s->flags & S_PASS_OLD) || s->end_us - s->start_us > 1500000;
}

static void
live_fold(struct history *h, struct live *l, const struct live_session *s)
{
	struct whole w = { .ip = l->ip, .flags = s->flags, .start_us = s->start_us };

	if (!(s->flags & (S_CONNECT | S_VERDICT)))
		return;
	if (l->client == UINT32_MAX)
		l->client = client_take(h, l->ip, s->start_us / 1000000);
	w.scored = was_scored(l, s);
	w.count = l->answers;
	memcpy(w.answer, l->answer, l->answers * sizeof w.answer[0]);
	session_fold(h, &w, l->client);
}

static void
live_fold_all(struct history *h, struct live *l)
{
	for (size_t i = 0; i < l->sessions; i++)
		live_fold(h, l, &l->session[i]);
	l->sessions = 0;
	l->answers = 0;
}

static void
live_close(struct history *h, struct live *l)
{
	struct history_tables *t = h->tables;
	uint16_t at = (uint16_t)(l - t->live), *link = live_bucket(t, l->ip, l->text);

	live_fold_all(h, l);
	while (*link != at)
		link = &t->live[*link].next;
	*link = l->next;
	order_remove(t, l);
	l->next = t->live_free;
	t->live_free = at;
	/* The next to be closed are known long before: their clients' memory is not. */
	if (t->oldest != LIVE_NONE) {
		client_prefetch(h, t->live[t->oldest].ip, true);
		if (t->live[t->oldest].newer != LIVE_NONE)
			client_prefetch(h, t->live[t->live[t->oldest].newer].ip, false);
	}
}

static bool
all_closed(const struct live *l)
{
	for (size_t i = 0; i < l->sessions; i++)
		if (!(l->session[i].flags & S_CLOSED))
			return false;
	return true;
}

static void
live_expire(struct history *h, int64_t now_us)
{
	struct history_tables *t = h->tables;

	while (t->oldest != LIVE_NONE) {
		struct live *l = &t->live[t->oldest];
		int64_t idle = now_us - l->touched_us;

		if (idle < LIVE_IDLE_US && idle > -LIVE_OPEN_US)
			return;
		if (!all_closed(l) && idle < LIVE_OPEN_US && idle > -LIVE_OPEN_US) {
			/* Look again later; those behind it wait too, which costs nothing but
			 * places. */
			if (t->live_used < LIVE_MAX || t->live_free != LIVE_NONE)
				return;
		}
		live_close(h, l);
	}
}

static struct live *
live_find(const struct history *h, const struct peer *peer)
{
	struct history_tables *t = h->tables;
	uint64_t text[2];

	if (peer->live != NULL)
		return peer->live;
	text_make(peer->ip, text);
	for (uint16_t at = *live_bucket(t, peer->ip, text); at != LIVE_NONE; at = t->live[at].next)
		if (ipkey_equal(t->live[at].ip, peer->ip))
			return &t->live[at];
	return NULL;
}

/* One given back, one never used, or the one that has been quiet for longest. */
static struct live *
place_take(struct history *h)
{
	struct history_tables *t = h->tables;
	struct live *l;

	if (t->live_free == LIVE_NONE && t->live_used < LIVE_MAX)
		return &t->live[t->live_used++];
	if (t->live_free == LIVE_NONE)
		live_close(h, &t->live[t->oldest]);
	l = &t->live[t->live_free];
	t->live_free = l->next;
	return l;
}

static struct live *
live_take(struct history *h, const struct peer *peer, int64_t now_us)
{
	struct history_tables *t = h->tables;
	struct live *l = live_find(h, peer);
	uint16_t *bucket;

	if (l != NULL) {
		if (now_us - l->touched_us > (all_closed(l) ? LIVE_IDLE_US : LIVE_OPEN_US))
			live_fold_all(h, l);
		order_remove(t, l);
	} else {
		live_expire(h, now_us);
		l = place_take(h);
		l->ip = peer->ip;
		text_make(l->ip, l->text);
		l->client = UINT32_MAX;
		l->sessions = l->answers = 0;
		bucket = live_bucket(t, l->ip, l->text);
		l->next = *bucket;
		*bucket = (uint16_t)(l - t->live);
	}
	l->touched_us = now_us;
	order_add(t, l);
	return l;
}

/* The session on this port; a new one, in place of the oldest ended one if there is no room. */
static struct live_session *
session_take(struct history *h, struct live *l, uint16_t port, int64_t now_us)
{
	size_t at = 0;

	for (size_t i = 0; i < l->sessions; i++)
		if (l->session[i].port == port)
			return &l->session[i];
	if (l->sessions == LIVE_SESSIONS) {
		while (at < LIVE_SESSIONS - 1 && !(l->session[at].flags & S_CLOSED))
			at++;
		live_fold(h, l, &l->session[at]);
		memmove(&l->session[at], &l->session[at + 1],
		    (LIVE_SESSIONS - 1 - at) * sizeof l->session[0]);
		l->sessions--;
	}
	l->session[l->sessions] =
	    (struct live_session){ .port = port, .start_us = now_us, .end_us = now_us };
	return &l->session[l->sessions++];
}

void
history_connect(struct history *h, const struct peer *peer, uint16_t port, int64_t now_us)
{
	struct live *l = live_take(h, peer, now_us);
	struct live_session *s;

	if (l->sessions > 0 && all_closed(l)) {
		bool begun = true;

		/* The end of a session can be written before its beginning, in the same breath. */
		for (size_t i = 0; i < l->sessions; i++)
			begun &= l->session[i].port != port || (l->session[i].flags & S_CONNECT);
		if (begun)
			live_fold_all(h, l);
	}
	s = session_take(h, l, port, now_us);
	if (s->flags & S_CONNECT) {
		live_fold(h, l, s);
		*s = (struct live_session){ .port = port };
	}
	if (s->start_us == 0 || s->start_us > now_us)
		s->start_us = now_us;
	s->flags |= S_CONNECT;
}

void
history_event(
    struct history *h, const struct peer *peer, uint16_t port, unsigned flags, int64_t now_us)
{
	struct live *l = live_take(h, peer, now_us);
	struct live_session *s = session_take(h, l, port, now_us);

	s->flags = (uint16_t)(s->flags | flags);
	s->end_us = now_us;
	if (flags & (S_PASS_OLD | S_PASS_NEW | S_ALLOW | S_BUSY))
		s->flags |= S_CLOSED;
}

void
history_disconnect(struct history *h, const struct peer *peer, uint16_t port, int64_t now_us)
{
	struct live *l = live_find(h, peer);

	for (size_t i = 0; l != NULL && i < l->sessions; i++)
		if (l->session[i].port == port) {
			l->session[i].flags |= S_CLOSED;
			l->session[i].end_us = now_us;
		}
}

/* Kept sorted: equal sets make equal patterns. */
static void
live_answer(struct live *l, uint16_t code)
{
	size_t at = l->answers;

	while (at > 0 && l->answer[at - 1] > code)
		at--;
	if ((at > 0 && l->answer[at - 1] == code) || l->answers == PATTERN_MAX)
		return;
	memmove(&l->answer[at + 1], &l->answer[at], (l->answers - at) * sizeof l->answer[0]);
	l->answer[at] = code;
	l->answers++;
}

void
history_answer(
    struct history *h, const struct peer *peer, int list, const uint8_t code[4], int64_t now_us)
{
	struct live *l;
	int number;

	if (list < 0 || (number = history_code(h, list, code)) < 0)
		return;
	l = live_take(h, peer, now_us);
	live_answer(l, (uint16_t)number);
	if (l->sessions > 0) {
		int64_t wait_us = now_us - l->session[l->sessions - 1].start_us;

		if (wait_us >= 0 && wait_us < LIVE_IDLE_US)
			histogram_add(&h->lists[list].latency_us, wait_us);
	}
}

/* Most often the one asked for has just been let in. */
uint32_t
history_client_index(struct history *h, const struct peer *peer)
{
	struct live *l = live_find(h, peer);

	if (l == NULL || (l->client == UINT32_MAX && l->sessions == 0))
		return client_find(h, peer->ip);
	if (l->client == UINT32_MAX)
		l->client = client_take(h, peer->ip, l->session[0].start_us / 1000000);
	return l->client;
}

struct client *
history_client(struct history *h, struct ipkey ip)
{
	uint32_t i = history_client_index(h, &(struct peer){ ip, NULL });

	return i == UINT32_MAX ? NULL : client_at(h, i);
}

void
history_finish(struct history *h)
{
	while (h->tables->oldest != LIVE_NONE)
		live_close(h, &h->tables->live[h->tables->oldest]);
}
