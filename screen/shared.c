#include "config.h"

#include <sys/mman.h>

#include "screen/shared.h"

struct shared *
shared_new(void)
{
	void *p = mmap(
	    NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

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
	for (size_t i = 0; i < CELLS; i++)
		atomic_store_explicit(&slot->cells[i], 0, memory_order_relaxed);
	slot->check_queue = 0;
	slot->post_queue = 0;
	slot->relayed = 0;
	slot->proxy_queue = 0;
	slot->tarpit = 0;
	slot->descriptors = 0;
	slot->taken = false;
}

/* One gauge of every slot, by its place in the struct. */
static size_t
sum(const struct shared *sh, size_t gauge)
{
	size_t total = 0;

	for (uint32_t i = 0, n = shared_used(sh); i < n; i++) {
		const char *slot = (const char *)&sh->slots[i];
		const _Atomic uint32_t *at = (const void *)(slot + gauge);
		total += atomic_load_explicit(at, memory_order_relaxed);
	}
	return total;
}

/* Workers can write there; nobody shall be led beyond the end. */
uint32_t
shared_used(const struct shared *sh)
{
	uint32_t n = sh->slots_used;

	return n < SLOTS_MAX ? n : SLOTS_MAX;
}

size_t
shared_check_queue(const struct shared *sh)
{
	return sum(sh, offsetof(struct slot, check_queue));
}

size_t
shared_post_queue(const struct shared *sh)
{
	return sum(sh, offsetof(struct slot, post_queue));
}

size_t
shared_relayed(const struct shared *sh)
{
	return sum(sh, offsetof(struct slot, relayed));
}

size_t
shared_proxy_queue(const struct shared *sh)
{
	return sum(sh, offsetof(struct slot, proxy_queue));
}

void
shared_show(struct slot *slot, const struct session *s, int64_t now_us)
{
	uint64_t n = atomic_load_explicit(&slot->shown, memory_order_relaxed);

	row_fill(&slot->ended[n % ENDED_MAX], s, now_us);
	atomic_store_explicit(&slot->shown, n + 1, memory_order_release);
}

size_t
shared_ended(const struct slot *slot, uint64_t *seen, struct session_row *out, size_t max)
{
	uint64_t shown = atomic_load_explicit(&slot->shown, memory_order_acquire), first = *seen;
	size_t n = 0;

	if (shown - first >= ENDED_MAX) /* the oldest place may be in the writer's hands */
		first = shown - ENDED_MAX + 1;
	for (uint64_t i = first; i < shown && n < max; i++)
		out[n++] = slot->ended[i % ENDED_MAX];
	*seen = first + n;
	atomic_thread_fence(memory_order_acquire);
	shown = atomic_load_explicit(&slot->shown, memory_order_relaxed);
	if (shown - first < ENDED_MAX)
		return n;
	size_t lost = (size_t)(shown - first - ENDED_MAX + 1); /* overwritten while we copied */
	if (lost > n)
		lost = n;
	for (size_t i = lost; i < n; i++)
		out[i - lost] = out[i];
	return n - lost;
}

size_t
shared_tarpit(const struct shared *sh)
{
	size_t sum = 0;

	for (uint32_t i = 0, n = shared_used(sh); i < n; i++)
		sum += atomic_load_explicit(&sh->slots[i].tarpit, memory_order_relaxed);
	return sum;
}
