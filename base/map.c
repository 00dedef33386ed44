#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/map.h"
#include "base/mem.h"

void
map_init(struct map *m, size_t expected)
{
	size_t n = 16;

	while (n < expected)
		n *= 2;
	m->buckets = mem_array(n, sizeof *m->buckets);
	m->mask = n - 1;
	m->count = 0;
}

void
map_fini(struct map *m)
{
	free(m->buckets);
	memset(m, 0, sizeof *m);
}

struct map_node *
map_find(const struct map *m, uint64_t hash, map_same_fn *same, const void *key)
{
	for (struct map_node *n = m->buckets[hash & m->mask]; n != NULL; n = n->next)
		if (n->hash == hash && same(n, key))
			return n;
	return NULL;
}

static void
link_node(struct map *m, struct map_node *n)
{
	struct map_node **bucket = &m->buckets[n->hash & m->mask];

	n->next = *bucket;
	*bucket = n;
}

static void
double_buckets(struct map *m)
{
	struct map_node **old = m->buckets;
	size_t count = m->mask + 1;

	m->buckets = mem_array(count * 2, sizeof *m->buckets);
	m->mask = count * 2 - 1;
	for (size_t i = 0; i < count; i++)
		for (struct map_node *n = old[i], *next; n != NULL; n = next) {
			next = n->next;
			link_node(m, n);
		}
	free(old);
}

void
map_add(struct map *m, struct map_node *n, uint64_t hash)
{
	if (m->count > m->mask)
		double_buckets(m);
	n->hash = hash;
	link_node(m, n);
	m->count++;
}

void
map_del(struct map *m, struct map_node *n)
{
	struct map_node **p = &m->buckets[n->hash & m->mask];

	while (*p != n) {
		assert(*p != NULL);
		p = &(*p)->next;
	}
	*p = n->next;
	n->next = NULL;
	m->count--;
}

void
map_each(struct map *m, void (*fn)(struct map_node *, void *arg), void *arg)
{
	for (size_t i = 0; i <= m->mask; i++)
		for (struct map_node *n = m->buckets[i], *next; n != NULL; n = next) {
			next = n->next;
			fn(n, arg);
		}
}

/* Two rounds of multiply-and-fold over a secret key (the construction of wyhash-like hashes). */
static uint64_t
fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
hash_bytes(const void *bytes, size_t len)
{
	static uint64_t key[2];
	const unsigned char *p = bytes;

	if (key[0] == 0 && getrandom(key, sizeof key, 0) != sizeof key)
		abort();
	uint64_t h = key[0] ^ len;
	for (; len > 0;) {
		uint64_t word = 0;
		size_t n = len < sizeof word ? len : sizeof word;
		memcpy(&word, p, n);
		h = fold(h ^ word, key[1] | 1);
		p += n;
		len -= n;
	}
	return fold(h, key[0] | 1);
}
