/*
 * base/mem.h: memory that is got at start or not at all.
 *
 * mem_* never return null: a process without memory at start or reload has nothing better to do than
 * say so and stop. What strangers can make us use comes from pools, which are sized at start and
 * answer null when empty.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_alloc(size_t size);                 /* zeroed */
void *mem_array(size_t count, size_t size);   /* zeroed, overflow-checked */
void *mem_grow(void *old, size_t count, size_t size); /* not zeroed beyond the old size */
char *mem_strdup(const char *);
char *mem_strndup(const char *, size_t len);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A pool of `count` objects of one size in one mapping. Pages are touched on first use only, and the
 * object used last is given out first, so the memory in use follows the load. Under AddressSanitizer
 * a free object is poisoned.
 */
struct pool;
struct pool *pool_new(size_t count, size_t size);
void pool_free(struct pool **);
void *pool_take(struct pool *);       /* zeroed; null when empty */
void pool_give(struct pool *, void *);
size_t pool_used(const struct pool *);
size_t pool_count(const struct pool *);

#endif
