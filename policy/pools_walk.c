/* Walking the SPF records of domains, again and again, and writing on the board what they allow. */
#include "config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "policy/pools.h"

#define LOG_PROGRAM "postscreen"
#define TTL_MIN_S 300
#define TTL_MAX_S 86400
#define RETRY_MIN_S 60
#define RETRY_MAX_S 3600

struct walker {
	struct pools *pools;
	const struct pool_rule *rule;
	struct pool_slot *slot;
	struct spf_walk *walk;
	struct watch timer;
	int64_t retry_s; /* 0: the last walk was good */
};
struct pools {
	struct loop *loop;
	struct spf_dns *dns;
	bool ending;
	size_t count;
	struct walker walkers[];
};

static void
double_retry(struct walker *w)
{
	w->retry_s = w->retry_s == 0 ? RETRY_MIN_S : w->retry_s * 2;
	if (w->retry_s > RETRY_MAX_S)
		w->retry_s = RETRY_MAX_S;
}

/* The last good set stays. */
static void
failed(struct walker *w, struct pool_set *set, const char *why)
{
	const struct pool_set *known = pool_in_force(w->slot);

	if (known != NULL)
		pool_set_copy(set, known);
	else
		memset(set, 0, offsetof(struct pool_set, sources));
	struct buf error = BUF(set->error);
	buf_puts(&error, why);
	log_warning("pool %s: %s -- %s", w->rule->name, why,
	    set->net_count > 0 ? "the last good set stays"
			       : "its hosts are screened as any other"); /* fail open */
	double_retry(w);
}

static void
succeeded(struct walker *w, struct pool_set *set)
{
	const struct pool_net *nets = spf_walk_nets(w->walk, &set->net_count);
	const struct pool_source *sources = spf_walk_sources(w->walk, &set->source_count);

	if (set->net_count > 0)
		memcpy(set->nets, nets, set->net_count * sizeof *nets);
	memcpy(set->sources, sources, set->source_count * sizeof *sources);
	pool_set_sort(set);
	set->walked_us = loop_now_us(w->pools->loop);
	set->skipped = spf_walk_skipped(w->walk);
	set->error[0] = '\0';
	w->retry_s = 0;
}

static int64_t
next_walk_s(const struct walker *w)
{
	int64_t ttl_s = spf_walk_ttl(w->walk);

	if (w->retry_s > 0)
		return w->retry_s;
	return ttl_s < TTL_MIN_S ? TTL_MIN_S : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s;
}

static void
on_walked(void *arg)
{
	struct walker *w = arg;

	if (w->pools->ending)
		return;
	struct pool_set *set = pool_to_fill(w->slot);
	const char *error = spf_walk_error(w->walk);
	if (error != NULL)
		failed(w, set, error);
	else
		succeeded(w, set);
	int64_t wait_s = next_walk_s(w);
	set->next_us = loop_now_us(w->pools->loop) + wait_s * 1000000;
	pool_publish(w->slot);
	watch_start_once(&w->timer, wait_s * 1000);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct walker *w = arg;
	struct spf_resolver resolver = spf_dns_resolver(w->pools->dns);

	(void)fd, (void)what;
	spf_walk_free(&w->walk);
	w->walk = spf_walk_new(&resolver, w->rule->name, on_walked, w);
	spf_walk_start(w->walk);
}

/* What a process before us has walked is walked again when its time comes. */
static void
begin(struct walker *w)
{
	const struct pool_set *known = pool_in_force(w->slot);
	int64_t wait_us = known == NULL ? 0 : known->next_us - loop_now_us(w->pools->loop);

	if (wait_us > TTL_MAX_S * INT64_C(1000000))
		wait_us = 0; /* not one of ours */
	watch_init_timer(&w->timer, w->pools->loop, on_timer, w);
	watch_start_once(&w->timer, wait_us > 0 ? wait_us / 1000 + 1 : 0);
}

static void
add_walker(struct pools *pools, const struct pools_board *board, size_t i)
{
	struct walker *w = &pools->walkers[pools->count++];

	w->pools = pools;
	w->rule = &board->rules->rules[i];
	w->slot = &board->slots[i];
	begin(w);
}

struct pools *
pools_walk(struct loop *loop, struct pools_board *board)
{
	size_t count = board->rules->count;
	struct pools *pools = mem_alloc(sizeof *pools + count * sizeof pools->walkers[0]);

	pools->loop = loop;
	pools->dns = spf_dns_new(loop, board->rules->servers);
	if (pools->dns == NULL)
		log_warning("pools: no resolver: check gatehouse_dns_servers"); /* fail open */
	for (size_t i = 0; i < count && pools->dns != NULL; i++)
		if (board->rules->rules[i].net.family == 0)
			add_walker(pools, board, i);
	return pools;
}

void
pools_free(struct pools **handle)
{
	struct pools *pools = *handle;

	if (pools == NULL)
		return;
	pools->ending = true;
	for (size_t i = 0; i < pools->count; i++)
		watch_stop(&pools->walkers[i].timer);
	spf_dns_free(&pools->dns); /* ends the walks */
	for (size_t i = 0; i < pools->count; i++)
		spf_walk_free(&pools->walkers[i].walk);
	free(pools);
	*handle = NULL;
}
