#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef WITH_SANITIZERS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#include "base/mem.h"

static void *
or_die(void *p)
{
	if (p == NULL) {
		fputs("gatehouse: fatal: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *
mem_alloc(size_t size)
{
	return or_die(calloc(1, size > 0 ? size : 1));
}

void *
mem_array(size_t count, size_t size)
{
	return or_die(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *
mem_grow(void *old, size_t count, size_t size)
{
	return or_die(reallocarray(old, count > 0 ? count : 1, size));
}

char *
mem_strdup(const char *s)
{
	return or_die(strdup(s));
}

char *
mem_strndup(const char *s, size_t len)
{
	return or_die(strndup(s, len));
}

char *
mem_printf(const char *format, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&s, format, ap) < 0)
		s = NULL;
	va_end(ap);
	return or_die(s);
}

/* A free object holds the link to the next one; objects never given out yet are beyond `fresh`. */
struct free_object {
	struct free_object *next;
};

struct pool {
	char *base;
	size_t size, count, fresh, used;
	struct free_object *free;
};

struct pool *
pool_new(size_t count, size_t size)
{
	struct pool *p = mem_alloc(sizeof *p);

	p->size = (size + 15) & ~(size_t)15;
	if (p->size < sizeof(struct free_object))
		p->size = sizeof(struct free_object);
	p->count = count > 0 ? count : 1;
	assert(p->count <= SIZE_MAX / p->size);
	p->base = mmap(NULL, p->count * p->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->base == MAP_FAILED)
		or_die(NULL);
	ASAN_POISON_MEMORY_REGION(p->base, p->count * p->size);
	return p;
}

void
pool_free(struct pool **p)
{
	if (*p == NULL)
		return;
	ASAN_UNPOISON_MEMORY_REGION((*p)->base, (*p)->count * (*p)->size);
	munmap((*p)->base, (*p)->count * (*p)->size);
	free(*p);
	*p = NULL;
}

void *
pool_take(struct pool *p)
{
	void *object = p->free;

	if (object != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(object, p->size);
		p->free = p->free->next;
		memset(object, 0, p->size);
	} else if (p->fresh < p->count) {
		object = p->base + p->fresh++ * p->size;
		ASAN_UNPOISON_MEMORY_REGION(object, p->size);
	} else {
		return NULL;
	}
	p->used++;
	return object;
}

void
pool_give(struct pool *p, void *object)
{
	struct free_object *f = object;

	assert((char *)object >= p->base && (char *)object < p->base + p->fresh * p->size);
	assert(p->used > 0);
	f->next = p->free;
	p->free = f;
	p->used--;
	ASAN_POISON_MEMORY_REGION(object, p->size);
}

size_t
pool_used(const struct pool *p)
{
	return p->used;
}

size_t
pool_count(const struct pool *p)
{
	return p->count;
}
