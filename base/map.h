/*
 * base/map.h: an intrusive hash map. The node lives in the caller's struct, so adding and removing
 * never allocate, except that the bucket array doubles with the number of nodes (never shrinks).
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct map_node {
	struct map_node *next;
	uint64_t hash;
};

struct map {
	struct map_node **buckets;
	size_t mask, count;
};

typedef bool map_same_fn(const struct map_node *, const void *key);

void map_init(struct map *, size_t expected);
void map_fini(struct map *); /* frees the buckets; the nodes are the caller's */
struct map_node *map_find(const struct map *, uint64_t hash, map_same_fn *, const void *key);
void map_add(struct map *, struct map_node *, uint64_t hash); /* the caller has checked that it is new */
void map_del(struct map *, struct map_node *);                /* must be in the map */

/* Calls fn for every node; fn may remove the node it is given, and no other. */
void map_each(struct map *, void (*fn)(struct map_node *, void *arg), void *arg);

/* Keyed per process (SipHash-like strength is not needed: tables are bounded; the key is secret). */
uint64_t hash_bytes(const void *bytes, size_t len);

#endif
