#include "config.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <openssl/crypto.h>

#include "tlsproxy/crypto.h"

/*
 * The library's memory. Its record buffers of 16 to 18 kB come and go between small blocks that
 * stay for the life of a session; from one heap the holes they leave are never whole again (24 kB a
 * session instead of 14, measured). So they come from a mapping of their own, the last one given
 * back first. Free blocks keep their pages until a trim finds that nobody has taken them since the
 * one before: a page given back and wanted again costs more than a handshake's system calls.
 */
#define BLOCK_LEAST 16000
#define BLOCK_SIZE 20480 /* whole pages */
#define BLOCKS 65536	 /* address space only; beyond it the heap */

static struct {
	char *base;
	uint32_t fresh; /* blocks from here on were never used */
	/* A stack of free blocks. Below `empty` they are without pages, below `idle` not taken lately. */
	uint32_t *free;
	uint32_t free_count, idle, empty;
} arena;

static bool
ours(const void *p)
{
	return arena.base != NULL && (const char *)p >= arena.base &&
	       (const char *)p < arena.base + (size_t)BLOCKS * BLOCK_SIZE;
}

static char *
block_at(uint32_t number)
{
	return arena.base + (size_t)number * BLOCK_SIZE;
}

static void *
block_take(void)
{
	if (arena.free_count == 0)
		return arena.fresh < BLOCKS ? block_at(arena.fresh++) : NULL;
	uint32_t top = --arena.free_count;
	arena.idle = arena.idle < top ? arena.idle : top;
	arena.empty = arena.empty < top ? arena.empty : top;
	return block_at(arena.free[top]);
}

static void
block_give(const void *p)
{
	arena.free[arena.free_count++] =
	    (uint32_t)((size_t)((const char *)p - arena.base) / BLOCK_SIZE);
}

bool
tls_blocks_trim(void)
{
	for (; arena.empty < arena.idle; arena.empty++)
		(void)madvise(block_at(arena.free[arena.empty]), BLOCK_SIZE, MADV_DONTNEED);
	arena.idle = arena.free_count;
	if (arena.empty < arena.free_count)
		return true;
	/* After a rush: whole pages between what stays (28 kB a session otherwise, measured). */
	(void)malloc_trim(0);
	return false;
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
