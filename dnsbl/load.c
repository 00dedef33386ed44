#include "config.h"

#include <string.h>
#include "base/mem.h"
#include "dnsbl/signals.h"
#include "dnsbl/sites.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define V6_NIBBLES 64 /* bytes of an IPv6 address before the domain */

static struct place
place_of(const struct rules *r, enum param p, struct diag *diag)
{
	struct place at = { .diag = diag };

	at.file = rules_origin(r, p, &at.line);
	return at;
}

static void
load_servers(struct dnsbl_sites *s, const struct rules *r, struct diag *diag)
{
	struct place at = place_of(r, P_gatehouse_dns_servers, diag);

	servers_parse(s, span_of(rules_text(r, P_gatehouse_dns_servers)), &at);
	if (s->server_count == 0)
		servers_from_resolv_conf(s, RESOLV_CONF);
}

static void
load_early(struct dnsbl_sites *s, const struct rules *r, struct diag *diag)
{
	static const char *const words[] = {
		[EARLY_NEVER] = "no", [EARLY_ALLOW] = "allow", [EARLY_BOTH] = "yes"
	};
	struct place at = place_of(r, P_gatehouse_early_decision, diag);
	const char *text = rules_text(r, P_gatehouse_early_decision);

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(text, words[i]) == 0) {
			s->early = (enum early)i;
			return;
		}
	diag_add(diag, DIAG_ERROR, at.file, at.line,
	    "bad gatehouse_early_decision \"%s\": write no, allow or yes", text);
}

/* The reply map's word for a domain, else the domain with its secrets masked. */
static char *
shown_name(const struct table_list *map, const struct place *at, const char *name)
{
	char text[512];
	struct buf value = BUF(text);

	switch (table_list_find(map, name, &value)) {
	case TABLE_FOUND:
		return mem_strdup(text);
	case TABLE_ERROR:
		diag_add(at->diag, DIAG_ERROR, at->file, at->line,
		    "postscreen_dnsbl_reply_map has no answer for \"%s\": the table cannot be read",
		    name);
		break;
	case TABLE_MISSING:
		break;
	}
	return name_masked(name);
}

static void
load_shown(struct dnsbl_sites *s, const struct rules *r, struct diag *diag)
{
	struct place at = place_of(r, P_postscreen_dnsbl_reply_map, diag);
	struct table_list *map = table_list_open(rules_text(r, P_postscreen_dnsbl_reply_map), diag);

	for (size_t i = 0; i < s->count; i++)
		s->domains[i].shown = shown_name(map, &at, s->domains[i].name);
	table_list_free(&map);
}

/* An address before a name must still be a name (RFC 1035 §2.3.4). */
static void
check_lengths(struct dnsbl_sites *s, const struct place *at)
{
	for (size_t i = 0; i < s->count; i++)
		if (V6_NIBBLES + s->domains[i].wire_len > DNS_NAME_MAX) {
			diag_add(at->diag, DIAG_WARNING, at->file, at->line,
			    "DNSBL domain \"%s\" is too long to be asked about IPv6 clients",
			    s->domains[i].name);
			s->domains[i].families &= (uint8_t)~FAMILY_V6;
		}
}

static void
load_numbers(struct dnsbl_sites *s, const struct rules *r)
{
	int64_t probe_s = rules_seconds(r, P_gatehouse_dnsbl_probe_interval);

	s->min_ttl_s = rules_seconds(r, P_postscreen_dnsbl_min_ttl);
	s->max_ttl_s = rules_seconds(r, P_postscreen_dnsbl_max_ttl);
	s->timeout_ms = rules_seconds(r, P_postscreen_dnsbl_timeout) * 1000;
	s->threshold = (int)rules_number(r, P_postscreen_dnsbl_threshold);
	s->allow_threshold = (int)rules_number(r, P_postscreen_dnsbl_allowlist_threshold);
	s->allow_cap = (int)rules_number(r, P_gatehouse_dnsbl_allow_cap);
	s->workers = (unsigned)rules_number(r, P_gatehouse_workers);
	s->probe_interval_s = probe_s;
}

struct dnsbl_sites *
dnsbl_sites_load(const struct rules *r, struct diag *diag)
{
	struct dnsbl_sites *s = mem_alloc(sizeof *s);
	struct place at = place_of(r, P_postscreen_dnsbl_sites, diag);
	struct place signals_at = place_of(r, P_gatehouse_score_rules, diag);
	struct place codes_at = place_of(r, P_gatehouse_dnsbl_error_codes, diag);

	load_numbers(s, r);
	load_early(s, r, diag);
	load_servers(s, r, diag);
	sites_parse(s, span_of(rules_text(r, P_postscreen_dnsbl_sites)), &at);
	check_lengths(s, &at);
	load_shown(s, r, diag);
	codes_parse(s, span_of(rules_text(r, P_gatehouse_dnsbl_error_codes)), &codes_at);
	codes_load_builtin(s);
	codes_assign(s);
	signals_parse(s, span_of(rules_text(r, P_gatehouse_score_rules)),
	    rules_text(r, P_gatehouse_geo_files), &signals_at);
	return s;
}
