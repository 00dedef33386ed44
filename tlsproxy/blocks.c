#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <openssl/crypto.h>

#include "tlsproxy/crypto.h"

/*
 * The library's memory. Its record buffers of 16 to 18 kB come and go between small blocks that
 * stay for the life of a session; from one heap the holes they leave are never whole again (24 kB a
 * session instead of 14, measured). So they come from a mapping of their own, the last one given
 * back first.
 */
#define BLOCK_LEAST 16000
#define BLOCK_SIZE 20480 /* whole pages */
#define BLOCKS 65536	 /* address space only; beyond it the heap */
#define KEPT 64		 /* free blocks that keep their pages */

static struct {
	char *base;
	uint32_t fresh; /* blocks from here on were never used */
	uint32_t free_count;
	uint32_t *free; /* a stack */
} arena;

static bool
ours(const void *p)
{
	return arena.base != NULL && (const char *)p >= arena.base &&
	       (const char *)p < arena.base + (size_t)BLOCKS * BLOCK_SIZE;
}

static void *
block_take(void)
{
	if (arena.free_count > 0)
		return arena.base + (size_t)arena.free[--arena.free_count] * BLOCK_SIZE;
	return arena.fresh < BLOCKS ? arena.base + (size_t)arena.fresh++ * BLOCK_SIZE : NULL;
}

static void
block_give(void *p)
{
	if (arena.free_count >= KEPT)
		(void)madvise(p, BLOCK_SIZE, MADV_DONTNEED);
	arena.free[arena.free_count++] = (uint32_t)((size_t)((char *)p - arena.base) / BLOCK_SIZE);
}

static void *
library_malloc(size_t size, const char *file, int line)
{
	void *p =
	    arena.base != NULL && size >= BLOCK_LEAST && size <= BLOCK_SIZE ? block_take() : NULL;

	(void)file, (void)line;
	return p != NULL ? p : malloc(size);
}

static void
library_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	if (ours(p))
		block_give(p);
	else
		free(p);
}

static void *
library_realloc(void *old, size_t size, const char *file, int line)
{
	if (!ours(old))
		return realloc(old, size);
	if (size > 0 && size <= BLOCK_SIZE)
		return old;
	void *p = size > 0 ? malloc(size) : NULL;
	if (p != NULL)
		memcpy(p, old, BLOCK_SIZE);
	if (p != NULL || size == 0)
		library_free(old, file, line);
	return p;
}

void
tls_blocks_hook(void)
{
	/* Too late if the library has been used already; then its heap is as good as it is. */
	(void)CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free);
}

void
tls_blocks_open(void)
{
	void *base = mmap(NULL, (size_t)BLOCKS * BLOCK_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return;
	(void)madvise(base, (size_t)BLOCKS * BLOCK_SIZE, MADV_DONTDUMP);
	(void)madvise(base, (size_t)BLOCKS * BLOCK_SIZE, MADV_NOHUGEPAGE);
	arena.free = mem_array(BLOCKS, sizeof *arena.free);
	arena.base = base;
}
