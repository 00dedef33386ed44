#include "config.h"

#include <sys/mman.h>

#include "screen/shared.h"

struct shared *
shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void
shared_free(struct shared **sh)
{
	if (*sh != NULL)
		munmap(*sh, sizeof **sh);
	*sh = NULL;
}

struct slot *
shared_take(struct shared *sh)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		if (atomic_exchange(&sh->slots[i].taken, true))
			continue;
		if (i >= sh->slots_used)
			sh->slots_used = i + 1;
		return &sh->slots[i];
	}
	return NULL;
}

void
shared_give(struct shared *sh, struct slot *slot)
{
	(void)sh;
	slot->check_queue = 0;
	slot->post_queue = 0;
	slot->proxy_queue = 0;
	slot->taken = false;
}

size_t
shared_check_queue(const struct shared *sh)
{
	size_t sum = 0;

	for (uint32_t i = 0, n = sh->slots_used; i < n; i++)
		sum += atomic_load_explicit(&sh->slots[i].check_queue, memory_order_relaxed);
	return sum;
}

size_t
shared_post_queue(const struct shared *sh)
{
	size_t sum = 0;

	for (uint32_t i = 0, n = sh->slots_used; i < n; i++)
		sum += atomic_load_explicit(&sh->slots[i].post_queue, memory_order_relaxed);
	return sum;
}

size_t
shared_proxy_queue(const struct shared *sh)
{
	size_t sum = 0;

	for (uint32_t i = 0, n = sh->slots_used; i < n; i++)
		sum += atomic_load_explicit(&sh->slots[i].proxy_queue, memory_order_relaxed);
	return sum;
}
