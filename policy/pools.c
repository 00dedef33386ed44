#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "policy/spf.h"

#define LOG_PROGRAM "postscreen"
#define POOLS_MAX 64
#define TTL_MIN_S 300
#define TTL_MAX_S 86400
#define RETRY_MIN_S 60
#define RETRY_MAX_S 3600
#define WIDEST_4 8
#define WIDEST_6 16

/* What the operator named. */
struct pool_rule {
	char *name;
	struct addr net; /* family 0: a domain */
	uint8_t len;
	struct addr key;
};
struct pools_rules {
	struct pool_rule rules[POOLS_MAX];
	size_t count;
	char *servers;
};

/* Addresses from first to last, as one sorted list; IPv4 before IPv6. */
struct range {
	struct addr first, last;
};
struct ranges {
	struct range *list;
	size_t count;
};

struct pool {
	const struct pool_rule *rule;
	struct pools *pools;
	struct ranges in, out;
	struct spf_net *nets; /* as walked, for showing */
	size_t net_count;
	struct spf_walk *walk;
	struct watch timer;
	int64_t walked_us, next_us; /* 0: never */
	int64_t retry_s;
	unsigned skipped;
	char error[320];
};
struct pools {
	struct loop *loop;
	struct spf_dns *dns;
	bool ending;
	size_t count;
	struct pool pools[];
};

/* Configuration. */

static void
wrong(struct diag *diag, const struct rules *rules, enum param param, struct span text,
    const char *write)
{
	unsigned line;
	const char *file = rules_origin(rules, param, &line);

	diag_add(diag, DIAG_ERROR, file, line, "%s: \"%.*s\": %s", param_rows[param].name,
	    (int)(text.len < 200 ? text.len : 200), text.p, write);
}

static bool
parse_prefix(struct span text, struct pool_rule *out)
{
	const char *slash = memchr(text.p, '/', text.len);
	uint64_t len;

	if (slash == NULL || !addr_parse(&out->net, text.p, (size_t)(slash - text.p)))
		return false;
	if (!span_uint((struct span){ slash + 1, text.len - (size_t)(slash + 1 - text.p) },
		addr_bits(&out->net), &len))
		return false;
	out->len = (uint8_t)len;
	out->key = out->net;
	addr_mask(&out->key, out->len);
	return addr_equal(&out->key, &out->net) &&
	       len >= (out->net.family == 4 ? WIDEST_4 : WIDEST_6);
}

/*
 * The record of a domain's pool stands under an address of 100::/64, which nobody can send from
 * (RFC 6666): every host that shares records, and every restart, finds the same.
 */
static struct addr
domain_key(const char *domain)
{
	struct addr key = { .family = 6, .ip = { 1 } };
	uint64_t hash = 14695981039346656037u; /* FNV-1a: fixed for ever, unlike hash_bytes() */

	for (; *domain != '\0'; domain++)
		hash = (hash ^ (unsigned char)*domain) * 1099511628211u;
	for (int i = 0; i < 8; i++)
		key.ip[8 + i] = (uint8_t)(hash >> (56 - 8 * i));
	return key;
}

static bool
is_domain(struct span text)
{
	bool dot = false;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (!isalnum(c) && c != '-' && c != '_' && c != '.')
			return false;
		dot = dot || (c == '.' && i > 0 && i + 1 < text.len);
	}
	return dot && text.len < 254;
}

static bool
parse_domain(struct span text, struct pool_rule *out)
{
	if (!is_domain(text))
		return false;
	for (char *p = out->name; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	out->key = domain_key(out->name);
	return true;
}

static void
load_list(struct pools_rules *p, const struct rules *rules, enum param param,
    bool (*parse)(struct span, struct pool_rule *), const char *write, struct diag *diag)
{
	struct span rest = span_of(rules_text(rules, param)), text;

	while ((text = rules_list_token(&rest)).len > 0) {
		if (p->count == POOLS_MAX) {
			wrong(diag, rules, param, text, "at most 64 pools");
			return;
		}
		struct pool_rule *rule = &p->rules[p->count];
		*rule = (struct pool_rule){ .name = mem_strndup(text.p, text.len) };
		if (parse(text, rule)) {
			p->count++;
			continue;
		}
		wrong(diag, rules, param, text, write);
		free(rule->name);
	}
}

struct pools_rules *
pools_rules_load(const struct rules *rules, struct diag *diag)
{
	struct pools_rules *p = mem_alloc(sizeof *p);

	load_list(p, rules, P_gatehouse_pool_prefixes, parse_prefix,
	    "write NETWORK/LENGTH with no bits set after LENGTH, /8 (IPv6: /16) or longer", diag);
	load_list(p, rules, P_gatehouse_pool_domains, parse_domain,
	    "write a domain, like example.com", diag);
	p->servers = mem_strdup(rules_text(rules, P_gatehouse_dns_servers));
	if (p->count == 0)
		pools_rules_free(&p);
	return p;
}

void
pools_rules_free(struct pools_rules **rules)
{
	if (*rules == NULL)
		return;
	for (size_t i = 0; i < (*rules)->count; i++)
		free((*rules)->rules[i].name);
	free((*rules)->servers);
	free(*rules);
	*rules = NULL;
}

/* Sets. */

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
range_of(const struct spf_net *net)
{
	struct range r = { net->net, net->net };

	for (unsigned bit = net->len; bit < addr_bits(&net->net); bit++)
		r.last.ip[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return r;
}

/* Sorted, and no range begins before another one ends: one binary search finds an address. */
static struct ranges
ranges_make(const struct spf_net *nets, size_t count, bool excluded)
{
	struct ranges r = { mem_array(count ? count : 1, sizeof *r.list), 0 };
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (nets[i].excluded == excluded)
			r.list[r.count++] = range_of(&nets[i]);
	if (r.count > 0)
		qsort(r.list, r.count, sizeof *r.list, by_first);
	for (size_t i = 1; i < r.count; i++) {
		if (compare(&r.list[i].first, &r.list[kept].last) > 0)
			r.list[++kept] = r.list[i];
		else if (compare(&r.list[i].last, &r.list[kept].last) > 0)
			r.list[kept].last = r.list[i].last;
	}
	if (r.count > 0)
		r.count = kept + 1;
	return r;
}

static bool
ranges_have(const struct ranges *r, const struct addr *a)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(&r->list[middle].last, a) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->count && compare(&r->list[low].first, a) <= 0;
}

static void
pool_forget(struct pool *p)
{
	free(p->in.list);
	free(p->out.list);
	free(p->nets);
	p->in = p->out = (struct ranges){ 0 };
	p->nets = NULL;
	p->net_count = 0;
}

/* Walking. */

static void
walk_failed(struct pool *p, const char *why)
{
	struct buf error = BUF(p->error);

	buf_puts(&error, why);
	log_warning("pool %s: %s -- %s", p->rule->name, p->error,
	    p->net_count > 0 ? "the last good set stays"
			     : "its hosts are screened as any other"); /* fail open */
	p->retry_s = p->retry_s * 2 < RETRY_MIN_S   ? RETRY_MIN_S
		     : p->retry_s * 2 > RETRY_MAX_S ? RETRY_MAX_S
						    : p->retry_s * 2;
}

static void
walk_succeeded(struct pool *p)
{
	const struct spf_net *nets;

	pool_forget(p);
	nets = spf_walk_nets(p->walk, &p->net_count);
	p->nets = mem_array(p->net_count ? p->net_count : 1, sizeof *nets);
	if (p->net_count > 0)
		memcpy(p->nets, nets, p->net_count * sizeof *nets);
	p->in = ranges_make(nets, p->net_count, false);
	p->out = ranges_make(nets, p->net_count, true);
	p->walked_us = loop_now_us(p->pools->loop);
	p->skipped = spf_walk_skipped(p->walk);
	p->error[0] = '\0';
	p->retry_s = 0;
}

static int64_t
next_walk_s(const struct pool *p)
{
	int64_t ttl_s = spf_walk_ttl(p->walk);

	if (p->retry_s > 0)
		return p->retry_s;
	return ttl_s < TTL_MIN_S ? TTL_MIN_S : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s;
}

static void
on_walked(void *arg)
{
	struct pool *p = arg;

	if (p->pools->ending)
		return;
	if (spf_walk_error(p->walk) != NULL)
		walk_failed(p, spf_walk_error(p->walk));
	else
		walk_succeeded(p);
	int64_t wait_s = next_walk_s(p);
	p->next_us = loop_now_us(p->pools->loop) + wait_s * 1000000;
	watch_start_once(&p->timer, wait_s * 1000);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct pool *p = arg;
	struct spf_resolver resolver = spf_dns_resolver(p->pools->dns);

	(void)fd, (void)what;
	spf_walk_free(&p->walk);
	p->walk = spf_walk_new(&resolver, p->rule->name, on_walked, p);
	spf_walk_start(p->walk);
}

static void
pool_init(struct pool *p, struct pools *pools, const struct pool_rule *rule)
{
	p->rule = rule;
	p->pools = pools;
	watch_init_timer(&p->timer, pools->loop, on_timer, p);
	if (rule->net.family == 0 && pools->dns != NULL)
		watch_start_once(&p->timer, 0);
}

struct pools *
pools_new(struct loop *loop, const struct pools_rules *rules)
{
	struct pools *pools = mem_alloc(sizeof *pools + rules->count * sizeof pools->pools[0]);

	pools->loop = loop;
	pools->count = rules->count;
	pools->dns = spf_dns_new(loop, rules->servers);
	if (pools->dns == NULL)
		log_warning("pools: no resolver: check gatehouse_dns_servers"); /* fail open */
	for (size_t i = 0; i < rules->count; i++)
		pool_init(&pools->pools[i], pools, &rules->rules[i]);
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
		watch_stop(&pools->pools[i].timer);
	spf_dns_free(&pools->dns); /* ends the walks */
	for (size_t i = 0; i < pools->count; i++) {
		spf_walk_free(&pools->pools[i].walk);
		pool_forget(&pools->pools[i]);
	}
	free(pools);
	*handle = NULL;
}

static bool
pool_has(const struct pool *p, const struct addr *client)
{
	if (p->rule->net.family != 0)
		return addr_in_prefix(client, &p->rule->net, p->rule->len);
	return ranges_have(&p->in, client) && !ranges_have(&p->out, client);
}

bool
pools_find(
    const struct pools *pools, const struct addr *client, struct addr *key, bool *listed_only)
{
	for (size_t i = 0; i < pools->count; i++) {
		const struct pool *p = &pools->pools[i];
		if (!pool_has(p, client))
			continue;
		*key = p->rule->key;
		*listed_only = p->rule->net.family == 0;
		return true;
	}
	return false;
}

/* Showing. */

size_t
pools_count(const struct pools *pools)
{
	return pools->count;
}

struct pool_info
pools_info(const struct pools *pools, size_t i)
{
	const struct pool *p = &pools->pools[i];
	int64_t now_us = loop_now_us(pools->loop);

	return (struct pool_info){
		.name = p->rule->name,
		.key = p->rule->key,
		.is_domain = p->rule->net.family == 0,
		.networks = p->rule->net.family != 0 ? 1 : p->net_count,
		.age_s = p->walked_us != 0 ? (now_us - p->walked_us) / 1000000 : -1,
		.next_s = p->next_us != 0 ? (p->next_us - now_us) / 1000000 : -1,
		.skipped = p->skipped,
		.error = p->error[0] != '\0' ? p->error : NULL,
	};
}

void
pools_each_net(const struct pools *pools, size_t i, pool_net_fn *fn, void *arg)
{
	const struct pool *p = &pools->pools[i];

	if (p->rule->net.family != 0)
		fn(arg, &p->rule->net, p->rule->len, false);
	for (size_t n = 0; n < p->net_count; n++)
		if (!fn(arg, &p->nets[n].net, p->nets[n].len, p->nets[n].excluded))
			return;
}
