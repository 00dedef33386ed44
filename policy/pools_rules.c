/* gatehouse_pool_prefixes and gatehouse_pool_domains. */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/pools.h"

#define WIDEST_4 8
#define WIDEST_6 16

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
