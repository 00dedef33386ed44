/*
 * policy/tune/history.c: lists, patterns and clients, and what becomes of a finished session.
 */
#include "config.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "policy/tune/tables.h"

const char *const verdict_words[VERDICTS] = { "pass_old", "pass_new", "allow", "reject", "drop",
	"hangup", "busy", "error" };

struct ipkey
ipkey_from_addr(const struct addr *a)
{
	struct ipkey k = { 0, 0 };

	if (a->family == 4) {
		k.lo = IPKEY_V4_BITS | (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 |
		       (uint32_t)a->ip[2] << 8 | a->ip[3];
		return k;
	}
	for (int i = 0; i < 8; i++) {
		k.hi = k.hi << 8 | a->ip[i];
		k.lo = k.lo << 8 | a->ip[i + 8];
	}
	return k;
}

struct addr
ipkey_to_addr(struct ipkey k)
{
	struct addr a = { .family = ipkey_is_v4(k) ? 4 : 6 };

	if (a.family == 4) {
		for (int i = 0; i < 4; i++)
			a.ip[i] = (uint8_t)(k.lo >> (24 - 8 * i));
		return a;
	}
	for (int i = 0; i < 8; i++) {
		a.ip[i] = (uint8_t)(k.hi >> (56 - 8 * i));
		a.ip[i + 8] = (uint8_t)(k.lo >> (56 - 8 * i));
	}
	return a;
}

struct ipkey
ipkey_cluster(struct ipkey k)
{
	if (ipkey_is_v4(k))
		k.lo &= ~0xffull;
	else {
		k.hi &= ~0xffffull;
		k.lo = 0;
	}
	return k;
}

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

uint64_t
ipkey_hash(struct ipkey k)
{
	return k.hi == 0 ? mix(k.lo) : mix(k.lo + mix(k.hi) * 31);
}

/* Eight steps to every factor of two: the bits behind the leading one. */
void
histogram_add(struct histogram *h, int64_t value)
{
	uint64_t v = value < 1 ? 1 : (uint64_t)value;
	int power = 63 - __builtin_clzll(v);
	int step = (int)(power >= 3 ? v >> (power - 3) : v << (3 - power)) & 7;
	int bin = power * 8 + step;

	h->bin[bin < HISTOGRAM_STEPS ? bin : HISTOGRAM_STEPS - 1]++;
	h->count++;
}

double
histogram_quantile(const struct histogram *h, double q)
{
	uint64_t want = (uint64_t)ceil(q * (double)h->count), seen = 0;
	int i = 0;

	if (h->count == 0)
		return -1;
	for (; i < HISTOGRAM_STEPS - 1; i++) {
		seen += h->bin[i];
		if (seen >= want && seen > 0)
			break;
	}
	return i == 0 ? 0 : ldexp(1 + (i % 8 + 0.5) / 8, i / 8);
}

struct history *
history_new(void)
{
	struct history *h = mem_alloc(sizeof *h);
	struct history_tables *t = mem_alloc(sizeof *t);

	h->tables = t;
	h->lists = mem_array(LISTS_MAX, sizeof *h->lists);
	h->answers = mem_array(ANSWERS_MAX, sizeof *h->answers);
	h->first_s = INT64_MAX;
	h->last_s = INT64_MIN;
	h->rank_min = INT64_MAX;
	t->index_mask = 8191;
	t->index = mem_array(t->index_mask + 1, sizeof *t->index);
	t->pattern_mask = 2047;
	t->pattern_index = mem_array(t->pattern_mask + 1, sizeof *t->pattern_index);
	live_init(t);
	pattern_take(h, NULL, 0); /* number 0: nothing listed */
	return h;
}

void
history_free(struct history **hp)
{
	struct history *h = *hp;

	if (h == NULL)
		return;
	for (size_t i = 0; i < h->tables->chunk_count; i++)
		free(h->tables->chunks[i]);
	free(h->tables->chunks);
	free(h->tables->index);
	free(h->tables->pattern_index);
	free(h->tables->live);
	free(h->tables);
	free(h->lists);
	free(h->answers);
	free(h->patterns);
	free(h->codes);
	free(h);
	*hp = NULL;
}

size_t
history_bytes(const struct history *h)
{
	const struct history_tables *t = h->tables;

	return t->chunk_count * CLIENT_CHUNK * sizeof(struct client) +
	       t->chunk_size * sizeof *t->chunks + (t->index_mask + 1) * sizeof *t->index +
	       (t->pattern_mask + 1) * sizeof *t->pattern_index +
	       h->pattern_size * sizeof *h->patterns + h->code_size * sizeof *h->codes;
}

struct client *
client_at(const struct history *h, size_t i)
{
	return &h->tables->chunks[i / CLIENT_CHUNK][i % CLIENT_CHUNK];
}

/* Where this client is, or the free place where it belongs. */
static struct client_slot *
client_place(const struct history *h, struct ipkey ip)
{
	struct history_tables *t = h->tables;
	uint64_t hash = ipkey_hash(ip);
	size_t at = (size_t)hash & t->index_mask;

	for (;; at = (at + 1) & t->index_mask) {
		struct client_slot *s = &t->index[at];

		if (s->index1 == 0)
			return s;
		if (s->tag == (uint32_t)(hash >> 32) &&
		    ipkey_equal(client_at(h, s->index1 - 1)->ip, ip))
			return s;
	}
}

static void
index_grow(struct history *h)
{
	struct history_tables *t = h->tables;

	free(t->index);
	t->index_mask = t->index_mask * 2 + 1;
	t->index = mem_array(t->index_mask + 1, sizeof *t->index);
	for (size_t i = 0; i < h->client_count; i++) {
		uint64_t hash = ipkey_hash(client_at(h, i)->ip);
		size_t at = (size_t)hash & t->index_mask;

		while (t->index[at].index1 != 0)
			at = (at + 1) & t->index_mask;
		t->index[at] = (struct client_slot){ (uint32_t)(hash >> 32), (uint32_t)i + 1 };
	}
}

static void
chunk_add(struct history_tables *t)
{
	if (t->chunk_count == t->chunk_size) {
		t->chunk_size = t->chunk_size * 2 + 4;
		t->chunks = mem_grow(t->chunks, t->chunk_size, sizeof *t->chunks);
	}
	t->chunks[t->chunk_count++] = mem_array(CLIENT_CHUNK, sizeof(struct client));
}

uint32_t
client_take(struct history *h, struct ipkey ip, int64_t now_s)
{
	struct history_tables *t = h->tables;
	struct client_slot *s = client_place(h, ip);
	struct client *c;

	if (s->index1 != 0)
		return s->index1 - 1;
	if ((h->client_count + 1) * 10 > (t->index_mask + 1) * 7) {
		index_grow(h);
		s = client_place(h, ip);
	}
	if (h->client_count == t->chunk_count * CLIENT_CHUNK)
		chunk_add(t);
	s->tag = (uint32_t)(ipkey_hash(ip) >> 32);
	s->index1 = (uint32_t)++h->client_count;
	c = client_at(h, h->client_count - 1);
	c->ip = ip;
	c->first_s = c->last_s = (uint32_t)now_s;
	return s->index1 - 1;
}

void
client_prefetch(const struct history *h, struct ipkey ip, bool record)
{
	const struct client_slot *s =
	    &h->tables->index[(size_t)ipkey_hash(ip) & h->tables->index_mask];

	if (!record)
		__builtin_prefetch(s);
	else if (s->index1 != 0)
		__builtin_prefetch(client_at(h, s->index1 - 1));
}

uint32_t
client_find(const struct history *h, struct ipkey ip)
{
	return client_place(h, ip)->index1 - 1; /* 0 - 1: UINT32_MAX */
}

static uint32_t
bytes_hash(const char *p, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)p[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static bool
name_valid(const char *name, size_t len)
{
	if (len == 0 || len >= LIST_NAME_SIZE || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '-' && c != '_')
			return false;
	}
	return true;
}

int
history_list(struct history *h, const char *name, size_t len)
{
	uint8_t *index = h->tables->list_index;
	size_t at = bytes_hash(name, len) % (LISTS_MAX * 4);

	for (; index[at] != 0; at = (at + 1) % (LISTS_MAX * 4)) {
		const struct list *l = &h->lists[index[at] - 1];

		if (strncmp(l->name, name, len) == 0 && l->name[len] == '\0')
			return index[at] - 1;
	}
	if (h->list_count == LISTS_MAX || !name_valid(name, len))
		return -1;
	index[at] = (uint8_t)++h->list_count;
	memcpy(h->lists[h->list_count - 1].name, name, len);
	return (int)h->list_count - 1;
}

int
history_code(struct history *h, int list, const uint8_t ip[4])
{
	uint16_t *index = h->tables->answer_index;
	uint32_t word;
	size_t at;

	memcpy(&word, ip, 4);
	at = (size_t)mix((uint64_t)list << 32 | word) % (ANSWERS_MAX * 2);
	for (; index[at] != 0; at = (at + 1) % (ANSWERS_MAX * 2)) {
		const struct answer *a = &h->answers[index[at] - 1];

		if (a->list == list && memcmp(a->ip, ip, 4) == 0)
			return index[at] - 1;
	}
	if (h->answer_count == ANSWERS_MAX)
		return -1;
	index[at] = (uint16_t)++h->answer_count;
	h->answers[h->answer_count - 1].list = (uint8_t)list;
	memcpy(h->answers[h->answer_count - 1].ip, ip, 4);
	return (int)h->answer_count - 1;
}

void
history_rank(struct history *h, int64_t rank)
{
	if (rank < h->rank_min)
		h->rank_min = rank;
}

static void
pattern_index_grow(struct history *h)
{
	struct history_tables *t = h->tables;

	free(t->pattern_index);
	t->pattern_mask = t->pattern_mask * 2 + 1;
	t->pattern_index = mem_array(t->pattern_mask + 1, sizeof *t->pattern_index);
	for (size_t i = 0; i < h->pattern_count; i++) {
		size_t at = h->patterns[i].hash & t->pattern_mask;

		while (t->pattern_index[at] != 0)
			at = (at + 1) & t->pattern_mask;
		t->pattern_index[at] = (uint32_t)i + 1;
	}
}

static uint32_t
pattern_add(struct history *h, const uint16_t *answers, size_t count, uint32_t hash)
{
	struct pattern *p;

	if (h->pattern_count == h->pattern_size) {
		h->pattern_size = h->pattern_size + h->pattern_size / 2 + 256;
		h->patterns = mem_grow(h->patterns, h->pattern_size, sizeof *h->patterns);
	}
	if (h->code_count + count > h->code_size) {
		h->code_size = h->code_size + h->code_size / 2 + 1024;
		h->codes = mem_grow(h->codes, h->code_size, sizeof *h->codes);
	}
	p = &h->patterns[h->pattern_count++];
	*p = (struct pattern){
		.hash = hash, .offset = (uint32_t)h->code_count, .count = (uint16_t)count
	};
	for (size_t i = 0; i < count; i++)
		p->lists |= 1ull << h->answers[answers[i]].list;
	if (count > 0)
		memcpy(h->codes + h->code_count, answers, count * sizeof *answers);
	h->code_count += count;
	return (uint32_t)h->pattern_count - 1;
}

/*
 * A stranger cannot choose what lists answer, but a forged log could: patterns are few compared
 * with clients, or the rest is read as "the first answer only", which are never more than
 * ANSWERS_MAX.
 */
uint32_t
pattern_take(struct history *h, const uint16_t *answers, size_t count)
{
	struct history_tables *t = h->tables;
	uint32_t hash = bytes_hash((const char *)answers, count * sizeof *answers);
	size_t at = hash & t->pattern_mask;

	for (; t->pattern_index[at] != 0; at = (at + 1) & t->pattern_mask) {
		const struct pattern *p = &h->patterns[t->pattern_index[at] - 1];

		if (p->hash == hash && p->count == count &&
		    (count == 0 ||
			memcmp(h->codes + p->offset, answers, count * sizeof *answers) == 0))
			return t->pattern_index[at] - 1;
	}
	if (count > 1 && h->pattern_count > ANSWERS_MAX * 2 + h->client_count / 4) {
		h->lost_patterns++;
		return pattern_take(h, answers, 1);
	}
	t->pattern_index[at] = (uint32_t)h->pattern_count + 1;
	pattern_add(h, answers, count, hash);
	if (h->pattern_count * 2 > t->pattern_mask)
		pattern_index_grow(h);
	return (uint32_t)h->pattern_count - 1;
}

/* Makes room for time at_s by halving the resolution until it fits. */
static size_t
timeline_bucket(struct timeline *t, int64_t at_s)
{
	if (t->width_s == 0) {
		t->width_s = 3600;
		t->start_s = at_s - at_s % t->width_s;
	}
	while (at_s < t->start_s || at_s >= t->start_s + t->width_s * TIMELINE_BUCKETS) {
		int64_t wide = t->width_s * 2, from = t->start_s - t->start_s % wide;
		size_t shift = from == t->start_s ? 0 : 1;
		uint32_t merged[TIMELINE_BUCKETS][VERDICTS] = { { 0 } };

		for (size_t i = 0; i < TIMELINE_BUCKETS; i++)
			for (int v = 0; v < VERDICTS; v++)
				merged[(i + shift) / 2][v] += t->count[i][v];
		if (at_s < from) { /* what was first becomes last */
			memset(t->count, 0, sizeof t->count);
			memcpy(t->count[TIMELINE_BUCKETS / 2 - 1], merged[0],
			    (TIMELINE_BUCKETS / 2 + 1) * sizeof merged[0]);
			from -= wide * (TIMELINE_BUCKETS / 2 - 1);
		} else {
			memcpy(t->count, merged, sizeof merged);
		}
		t->width_s = wide;
		t->start_s = from;
	}
	return (size_t)((at_s - t->start_s) / t->width_s);
}

static enum verdict
verdict_of(unsigned flags)
{
	static const struct {
		unsigned flag;
		enum verdict verdict;
	} order[] = { { S_BUSY, V_BUSY }, { S_ALLOW, V_ALLOW }, { S_DROP, V_DROP },
		{ S_HARD, V_REJECT }, { S_RANK | S_DENY | S_VIOLATION, V_DROP },
		{ S_PASS_OLD, V_PASS_OLD }, { S_PASS_NEW, V_PASS_NEW }, { S_HANGUP, V_HANGUP },
		{ S_SOFT, V_REJECT } };

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
		if (flags & order[i].flag)
			return order[i].verdict;
	return V_ERROR;
}

/* A fifth pattern of one client goes to the one it shows most, unless a place holds one session
 * only. */
static void
slot_count(struct client *c, uint32_t pattern, bool blocked)
{
	struct slot *s = c->slot, *best = c->slot;

	for (size_t i = 0; i < c->slots; i++) {
		if (s[i].pattern == pattern) {
			best = &s[i];
			goto found;
		}
		if (s[i].sessions > best->sessions)
			best = &s[i];
	}
	if (c->slots < SLOTS) {
		best = &s[c->slots++];
		*best = (struct slot){ .pattern = pattern };
	} else if (s[SLOTS - 1].sessions == 1) {
		best = &s[SLOTS - 1];
		*best = (struct slot){ .pattern = pattern };
	}
found:
	bump16(&best->sessions);
	if (blocked)
		bump16(&best->blocked);
}

/* Lists that name a client now which they did not when it was let in less than a day ago. */
static void
lag_count(struct history *h, const struct client *c, uint32_t pattern, uint32_t now_s)
{
	uint64_t fresh;

	if (c->scored_s == 0 || now_s < c->scored_s || now_s - c->scored_s > LAG_WINDOW_S)
		return;
	fresh = h->patterns[pattern].lists & ~h->patterns[c->scored_pattern].lists;
	for (; fresh != 0; fresh &= fresh - 1)
		histogram_add(&h->lists[__builtin_ctzll(fresh)].lag_s, now_s - c->scored_s);
}

static void
scored_fold(struct history *h, struct client *c, const struct whole *w, uint32_t now_s, bool passed)
{
	uint32_t number = pattern_take(h, w->answer, w->count);
	struct pattern *p = &h->patterns[number];
	bool blocked = (w->flags & S_RANK) != 0;

	h->scored++;
	h->scored_unsaid += w->asked == 0;
	p->sessions++;
	p->blocked += blocked;
	for (size_t i = 0; i < w->count; i++)
		h->answers[w->answer[i]].hits++;
	for (uint64_t left = w->asked; left != 0; left &= left - 1)
		h->lists[__builtin_ctzll(left)].asked++;
	slot_count(c, number, blocked);
	if (w->count > 0)
		lag_count(h, c, number, now_s);
	if (passed) {
		c->scored_s = now_s;
		c->scored_pattern = number;
	}
}

static void
client_fold(struct client *c, unsigned flags, uint32_t now_s)
{
	bump16(&c->sessions);
	if (now_s < c->first_s)
		c->first_s = now_s;
	if (now_s > c->last_s)
		c->last_s = now_s;
	if (flags & S_PASS_OLD)
		bump16(&c->pass_old);
	if (flags & S_PASS_NEW)
		bump16(&c->pass_new);
	if (flags & S_PREGREET)
		bump16(&c->pregreet);
	if (flags & S_DEEP)
		bump16(&c->deep);
	if (flags & S_RANK)
		bump16(&c->ranked);
	if (flags & (S_VIOLATION | S_RANK) && now_s > c->bad_s)
		c->bad_s = now_s;
	if ((c->flags & CLIENT_WAITED) && now_s > c->soft_s) {
		c->flags |= CLIENT_RETURNED;
		c->flags &= (uint8_t)~CLIENT_WAITED;
	}
	if ((flags & S_SOFT) && !(flags & (S_VIOLATION | S_RANK))) {
		c->soft_s = now_s;
		c->flags |= CLIENT_WAITED;
	}
}

void
session_fold(struct history *h, const struct whole *w, uint32_t index)
{
	struct client *c = client_at(h, index);
	int64_t now_s = w->start_us / 1000000;
	enum verdict verdict = verdict_of(w->flags);

	h->sessions++;
	h->verdicts[verdict]++;
	h->timeline.count[timeline_bucket(&h->timeline, now_s)][verdict]++;
	if (now_s < h->first_s)
		h->first_s = now_s;
	if (now_s > h->last_s)
		h->last_s = now_s;
	if (w->scored)
		scored_fold(
		    h, c, w, (uint32_t)now_s, verdict == V_PASS_NEW || verdict == V_PASS_OLD);
	else
		h->from_memory++;
	if (w->asn != 0)
		c->asn = w->asn;
	client_fold(c, w->flags, (uint32_t)now_s);
}

void
history_whole(struct history *h, const struct whole *w)
{
	session_fold(h, w, client_take(h, w->ip, w->start_us / 1000000));
}
