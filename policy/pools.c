/* The board: what is known of pools, shared by the processes of a generation. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "policy/pools.h"

#define READS_MAX 16 /* a set changes every few minutes; a writer gone mad must not hold us */

/* Ranges. */

static int
compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->ip, b->ip, sizeof a->ip);
}

static int
by_first(const void *a, const void *b)
{
	return compare(&((const struct range *)a)->first, &((const struct range *)b)->first);
}

static struct range
range_of(const struct pool_net *net)
{
	struct range r = { net->net, net->net };

	for (unsigned bit = net->len; bit < addr_bits(&net->net); bit++)
		r.last.ip[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return r;
}

/* Sorted and merged, so that one binary search finds an address. Returns how many are left. */
static size_t
merge(struct range *list, size_t count)
{
	size_t kept = 0;

	if (count == 0)
		return 0;
	qsort(list, count, sizeof *list, by_first);
	for (size_t i = 1; i < count; i++) {
		if (compare(&list[i].first, &list[kept].last) > 0)
			list[++kept] = list[i];
		else if (compare(&list[i].last, &list[kept].last) > 0)
			list[kept].last = list[i].last;
	}
	return kept + 1;
}

/* Of one kind, from `list` on. */
static size_t
collect(struct range *list, const struct pool_set *set, bool excluded)
{
	size_t count = 0;

	for (size_t i = 0; i < set->net_count; i++)
		if (set->nets[i].excluded == excluded)
			list[count++] = range_of(&set->nets[i]);
	return merge(list, count);
}

void
pool_set_sort(struct pool_set *set)
{
	set->in_count = collect(set->ranges, set, false);
	set->out_count = collect(set->ranges + set->in_count, set, true);
}

static bool
ranges_have(const struct range *list, size_t count, const struct addr *a)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(&list[middle].last, a) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && compare(&list[low].first, a) <= 0;
}

/* The board. */

struct pools_board *
pools_board_new(const struct pools_rules *rules)
{
	size_t size = rules->count * sizeof(struct pool_slot);
	void *slots = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (slots == MAP_FAILED)
		return NULL;
	struct pools_board *board = mem_alloc(sizeof *board);
	*board = (struct pools_board){ rules, slots };
	return board;
}

void
pools_board_free(struct pools_board **board)
{
	if (*board == NULL)
		return;
	munmap((*board)->slots, (*board)->rules->count * sizeof(struct pool_slot));
	free(*board);
	*board = NULL;
}

const struct pool_set *
pool_in_force(const struct pool_slot *slot)
{
	uint32_t version = atomic_load_explicit(&slot->version, memory_order_acquire);

	return version == 0 ? NULL : &slot->sets[version % 2];
}

struct pool_set *
pool_to_fill(struct pool_slot *slot)
{
	uint32_t version = atomic_load_explicit(&slot->version, memory_order_relaxed);

	/* Whoever still reads there must find the version changed. */
	atomic_thread_fence(memory_order_seq_cst);
	return &slot->sets[(version + 1) % 2];
}

void
pool_publish(struct pool_slot *slot)
{
	uint32_t version = atomic_load_explicit(&slot->version, memory_order_relaxed) + 1;

	/* After four thousand million walks, in ten thousand years: 0 would mean that nothing is known. */
	atomic_store_explicit(&slot->version, version == 0 ? 2 : version, memory_order_release);
}

static size_t
at_most(size_t n, size_t max)
{
	return n < max ? n : max;
}

/* Whoever wrote it may have been in the middle of it, or not be himself any more: no count is trusted. */
void
pool_set_copy(struct pool_set *to, const struct pool_set *from)
{
	to->walked_us = from->walked_us;
	to->next_us = from->next_us;
	to->skipped = from->skipped;
	memcpy(to->error, from->error, sizeof to->error);
	to->error[sizeof to->error - 1] = '\0';
	to->net_count = at_most(from->net_count, POOL_NETS_MAX);
	to->source_count = at_most(from->source_count, POOL_SOURCES_MAX);
	to->in_count = at_most(from->in_count, POOL_NETS_MAX);
	to->out_count = at_most(from->out_count, POOL_NETS_MAX - to->in_count);
	memcpy(to->sources, from->sources, to->source_count * sizeof to->sources[0]);
	memcpy(to->nets, from->nets, to->net_count * sizeof to->nets[0]);
	memcpy(to->ranges, from->ranges, (to->in_count + to->out_count) * sizeof to->ranges[0]);
}

/* The version that was read; 0: there is nothing. */
static uint32_t
begin_reading(const struct pool_slot *slot)
{
	return atomic_load_explicit(&slot->version, memory_order_acquire);
}

static bool
read_whole(const struct pool_slot *slot, uint32_t version)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&slot->version, memory_order_relaxed) == version;
}

/* False: nothing is known. */
static bool
read_set(const struct pool_slot *slot, struct pool_set *out)
{
	for (int i = 0; i < READS_MAX; i++) {
		uint32_t version = begin_reading(slot);
		if (version == 0)
			return false;
		pool_set_copy(out, &slot->sets[version % 2]);
		if (read_whole(slot, version))
			return true;
	}
	return false;
}

void
pools_board_inherit(struct pools_board *board, const struct pools_board *from)
{
	for (size_t i = 0; i < board->rules->count; i++)
		for (size_t k = 0; k < from->rules->count; k++)
			if (strcmp(board->rules->rules[i].name, from->rules->rules[k].name) == 0 &&
			    read_set(&from->slots[k], pool_to_fill(&board->slots[i])))
				pool_publish(&board->slots[i]);
}

/* Finding. */

static bool
set_has(const struct pool_set *set, const struct addr *client)
{
	size_t in = at_most(set->in_count, POOL_NETS_MAX);
	size_t out = at_most(set->out_count, POOL_NETS_MAX - in);

	return ranges_have(set->ranges, in, client) && !ranges_have(set->ranges + in, out, client);
}

static bool
slot_has(const struct pool_slot *slot, const struct addr *client)
{
	for (int i = 0; i < READS_MAX; i++) {
		uint32_t version = begin_reading(slot);
		bool has = version != 0 && set_has(&slot->sets[version % 2], client);
		if (read_whole(slot, version))
			return has;
	}
	return false;
}

bool
pools_find(
    const struct pools_board *board, const struct addr *client, struct addr *key, bool *listed_only)
{
	for (size_t i = 0; i < board->rules->count; i++) {
		const struct pool_rule *rule = &board->rules->rules[i];
		bool is_domain = rule->net.family == 0;
		if (is_domain ? !slot_has(&board->slots[i], client)
			      : !addr_in_prefix(client, &rule->net, rule->len))
			continue;
		*key = rule->key;
		*listed_only = is_domain;
		return true;
	}
	return false;
}

/* Showing. */

const char *
pools_name(const struct pools_board *board, const struct addr *key)
{
	for (size_t i = 0; i < board->rules->count; i++)
		if (addr_equal(&board->rules->rules[i].key, key))
			return board->rules->rules[i].name;
	return NULL;
}

size_t
pools_count(const struct pools_board *board)
{
	return board->rules->count;
}

static void
tame(struct pool_info *info)
{
	for (size_t i = 0; i < info->source_count; i++) {
		info->sources[i].term[sizeof info->sources[i].term - 1] = '\0';
		if (info->sources[i].parent > i)
			info->sources[i].parent = 0;
	}
	for (size_t i = 0; i < info->net_count; i++) {
		struct pool_net *net = &info->nets[i];
		if (net->source >= info->source_count)
			net->source = 0;
		if (net->net.family != 4 && net->net.family != 6)
			net->net.family = 6;
	}
}

static void
describe(struct pool_info *info, const struct pool_set *set, int64_t now_us)
{
	info->age_s = set->walked_us != 0 ? (now_us - set->walked_us) / 1000000 : -1;
	info->next_s = set->next_us != 0 ? (set->next_us - now_us) / 1000000 : -1;
	if (info->next_s < 0 && set->next_us != 0)
		info->next_s = 0; /* at work */
	info->skipped = set->skipped;
	info->source_count = set->source_count;
	info->net_count = set->net_count;
	memcpy(info->error, set->error, sizeof info->error);
	memcpy(info->sources, set->sources, set->source_count * sizeof set->sources[0]);
	memcpy(info->nets, set->nets, set->net_count * sizeof set->nets[0]);
	tame(info);
}

struct pool_info *
pools_look(const struct pools_board *board, size_t i, int64_t now_us)
{
	const struct pool_rule *rule = &board->rules->rules[i];
	struct pool_info *info = mem_alloc(sizeof *info);
	struct pool_set *set = mem_alloc(sizeof *set);

	info->name = rule->name;
	info->key = rule->key;
	info->is_domain = rule->net.family == 0;
	info->age_s = info->next_s = -1;
	if (read_set(&board->slots[i], set)) {
		describe(info, set, now_us);
	} else if (!info->is_domain) {
		info->net_count = 1;
		info->nets[0] = (struct pool_net){ .net = rule->net, .len = rule->len };
	}
	free(set);
	return info;
}
