#include "config.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "screen/engine.h"
#include "screen/snapshot.h"

struct loading {
	struct snapshot *snap;
	struct diag *diag;
};

/* A diagnostic about the contents of a parameter, at the place where it was set. */
#define complain(l, param, ...)                                                      \
	do {                                                                         \
		unsigned line_;                                                      \
		const char *file_ = rules_origin((l)->snap->rules, (param), &line_); \
		diag_add((l)->diag, DIAG_ERROR, file_, line_, __VA_ARGS__);          \
	} while (0)

/* "ADDR:PORT" or "{ ADDR:PORT, proxy=yes }". */
static void
load_listener(struct loading *l, struct span text)
{
	struct snapshot *snap = l->snap;
	struct listener *listener = &snap->listeners[snap->listener_count];
	struct span rest = text, part;

	if (snap->listener_count == LISTENERS_MAX) {
		complain(l, P_gatehouse_listen, "gatehouse_listen: more than %d listeners",
		    LISTENERS_MAX);
		return;
	}
	if (text.len >= 2 && text.p[0] == '{' && text.p[text.len - 1] == '}')
		rest = (struct span){ text.p + 1, text.len - 2 };
	part = span_token(&rest, ", \t\r\n");
	if (!endpoint_parse(&listener->at, part.p, part.len, -1)) {
		complain(l, P_gatehouse_listen,
		    "gatehouse_listen: \"%.*s\": write ADDRESS:PORT, an IPv6 address in [], like "
		    "0.0.0.0:25 or [::]:25",
		    (int)part.len, part.p);
		return;
	}
	while ((part = span_token(&rest, ", \t\r\n")).len > 0) {
		if (span_is_nocase(part, "proxy=yes"))
			listener->proxy = true;
		else if (!span_is_nocase(part, "proxy=no"))
			complain(l, P_gatehouse_listen,
			    "gatehouse_listen: \"%.*s\": write proxy=yes or proxy=no",
			    (int)part.len, part.p);
	}
	if (strcmp(rules_text(snap->rules, P_postscreen_upstream_proxy_protocol), "haproxy") == 0)
		listener->proxy = true;
	snap->listener_count++;
}

static void
load_listeners(struct loading *l)
{
	struct span rest = span_of(rules_text(l->snap->rules, P_gatehouse_listen)), part;
	const char *protocol = rules_text(l->snap->rules, P_postscreen_upstream_proxy_protocol);

	if (*protocol != '\0' && strcmp(protocol, "haproxy") != 0)
		complain(l, P_postscreen_upstream_proxy_protocol,
		    "postscreen_upstream_proxy_protocol: unsupported value \"%s\": write haproxy "
		    "or nothing",
		    protocol);
	while ((part = span_token(&rest, ", \t\r\n")).len > 0)
		load_listener(l, part);
	if (l->snap->listener_count == 0 && diag_count(l->diag, DIAG_ERROR) == 0)
		complain(l, P_gatehouse_listen,
		    "gatehouse_listen is empty: write at least one ADDRESS:PORT");
}

static const char *
load_user(struct loading *l, enum param param)
{
	const char *user = rules_text(l->snap->rules, param);

	if (geteuid() == 0 && getpwnam(user) == NULL)
		complain(l, param,
		    "%s: there is no user \"%s\": create it (useradd --system %s) or name another",
		    param_rows[param].name, user, user);
	return user;
}

static void
load_users(struct loading *l)
{
	l->snap->user = load_user(l, P_gatehouse_user);
	l->snap->tls_user = l->snap->user;
	if (geteuid() == 0 && rules_is_set(l->snap->rules, P_gatehouse_tls_user))
		l->snap->tls_user = load_user(l, P_gatehouse_tls_user);
}

static void
load_continuation(struct loading *l)
{
	const char *word = rules_text(l->snap->rules, P_gatehouse_after_deep_tests);

	l->snap->continues = strcmp(word, "continue") == 0;
	if (!l->snap->continues && strcmp(word, "retry") != 0)
		complain(l, P_gatehouse_after_deep_tests,
		    "gatehouse_after_deep_tests: \"%s\": write continue (go on to the backend) or "
		    "retry (450)",
		    word);
}

static void
load_numbers(struct loading *l)
{
	struct snapshot *snap = l->snap;
	const struct rules *r = snap->rules;

	snap->workers = (size_t)rules_number(r, P_gatehouse_workers);
	if (snap->workers > WORKERS_MAX)
		complain(l, P_gatehouse_workers, "gatehouse_workers: at most %d", WORKERS_MAX);
	snap->sessions_max = (size_t)rules_number(r, P_gatehouse_session_limit);
	for (int stressed = 0; stressed < 2; stressed++) {
		snap->greet_wait_us[stressed] =
		    rules_seconds_stress(r, P_postscreen_greet_wait, stressed) * 1000000;
		snap->starttls_time_us[stressed] =
		    rules_seconds_stress(r, P_postscreen_starttls_timeout, stressed) * 1000000;
		snap->command_time_us[stressed] =
		    rules_seconds_stress(r, P_postscreen_command_time_limit, stressed) * 1000000;
	}
	snap->proxy_time_us = rules_seconds(r, P_postscreen_upstream_proxy_timeout) * 1000000;
	snap->backend_time_us = rules_seconds(r, P_gatehouse_backend_time_limit) * 1000000;
	snap->relay_time_us = rules_seconds(r, P_gatehouse_relay_time_limit) * 1000000;
	snap->pre_queue_limit = (size_t)rules_number(r, P_postscreen_pre_queue_limit);
	snap->post_queue_limit = (size_t)rules_number(r, P_postscreen_post_queue_limit);
	snap->client_limit = (size_t)rules_number(r, P_postscreen_client_connection_count_limit);
	snap->client_prefix = (unsigned)rules_number(r, P_gatehouse_client_prefix_ipv6);
	snap->high_water = snap->pre_queue_limit * 9 / 10;
	snap->low_water = snap->pre_queue_limit * 7 / 10;
	snap->log_decimals = (unsigned)rules_number(r, P_delay_logging_resolution_limit);
	snap->soft_bounce = rules_flag(r, P_soft_bounce);
	snap->respectful = rules_flag(r, P_respectful_logging);
	snap->myhostname = rules_text(r, P_myhostname);
	snap->banner = rules_text(r, P_smtpd_banner);
	snap->greet_banner = rules_text(r, P_postscreen_greet_banner);
}

/* Other types than lmdb cannot be shared among workers: then the store stands beside that file. */
static void
load_store(struct loading *l)
{
	struct snapshot *snap = l->snap;
	const char *map = rules_text(snap->rules, P_postscreen_cache_map);
	unsigned line;
	const char *file = rules_origin(snap->rules, P_postscreen_cache_map, &line);

	snap->store_path = snap->store_path_owned = store_path_of(snap->rules);
	if (snap->store_path != NULL && strncmp(map, "lmdb:", 5) != 0)
		diag_add(l->diag, DIAG_NOTICE, file, line,
		    "postscreen_cache_map: \"%s\": Gatehouse keeps its own store in lmdb:%s; "
		    "bring the records over with: postmap -s %s | gatehousectl cache import",
		    map, snap->store_path, map);
}

static struct match_list *
load_match_list(struct loading *l, enum param p)
{
	unsigned line;
	const char *file = rules_origin(l->snap->rules, p, &line);

	return match_list_open(rules_text(l->snap->rules, p), file, line, l->diag);
}

static void
load_families(struct loading *l)
{
	bool *families = l->snap->families;
	struct span rest = span_of(rules_text(l->snap->rules, P_inet_protocols)), word;

	while ((word = span_token(&rest, ", \t\r\n")).len > 0) {
		bool all = span_is_nocase(word, "all"), four = span_is_nocase(word, "ipv4");
		bool six = span_is_nocase(word, "ipv6");
		if (!all && !four && !six)
			complain(l, P_inet_protocols,
			    "inet_protocols: \"%.*s\": write all, ipv4 or ipv6", (int)word.len,
			    word.p);
		families[0] = families[0] || all || four;
		families[1] = families[1] || all || six;
	}
	if (!families[0] && !families[1])
		families[0] = families[1] = true;
}

static void
load_proxies(struct loading *l)
{
	struct snapshot *snap = l->snap;
	bool expected = false;

	snap->proxy_networks = load_match_list(l, P_gatehouse_proxy_networks);
	snap->proxy_limit = (size_t)rules_number(snap->rules, P_gatehouse_proxy_limit);
	for (size_t i = 0; i < snap->listener_count; i++)
		expected |= snap->listeners[i].proxy;
	if (expected && *rules_text(snap->rules, P_gatehouse_proxy_networks) == '\0')
		complain(l, P_gatehouse_proxy_networks,
		    "gatehouse_proxy_networks is empty, so nobody's PROXY header would be "
		    "believed: "
		    "write the addresses of your proxies");
}

struct snapshot *
snapshot_load(
    const char *dir, const struct rules_override *overrides, size_t count, struct diag *diag)
{
	struct snapshot *snap = mem_alloc(sizeof *snap);
	struct loading l = { snap, diag };

	snap->rules = rules_load(dir, overrides, count, diag);
	if (snap->rules == NULL) {
		snapshot_free(&snap);
		return NULL;
	}
	load_numbers(&l);
	load_listeners(&l);
	backend_load(&snap->backend, snap->rules, diag);
	load_users(&l);
	load_continuation(&l);
	load_store(&l);
	snap->sites = dnsbl_sites_load(snap->rules, diag);
	snap->tls = tlsproxy_conf_load(snap->rules, time(NULL), diag);
	snap->access = access_list_load(snap->rules, diag);
	policy_rules_load(&snap->policy, snap->rules, dnsbl_domain_count(snap->sites), diag);
	if (snap->policy.shadow_veto) /* everything in the shadow: 450 would be a refusal, too */
		snap->continues = true;
	snap->policy_listed = snap->policy;
	policy_rules_listed_only(&snap->policy_listed);
	snap->share = share_rules_load(snap->rules, diag);
	snap->pools = pools_rules_load(snap->rules, diag);
	snap->interfaces = load_match_list(&l, P_postscreen_allowlist_interfaces);
	load_families(&l);
	load_proxies(&l);
	snap->engine = engine_rules_load(snap->rules, snap->tls, diag);
	return snap;
}

void
snapshot_free(struct snapshot **snap)
{
	struct snapshot *s = *snap;

	if (s == NULL)
		return;
	engine_rules_free(&s->engine);
	match_list_free(&s->proxy_networks);
	match_list_free(&s->interfaces);
	access_list_free(&s->access);
	share_rules_free(&s->share);
	pools_rules_free(&s->pools);
	tlsproxy_conf_free(&s->tls);
	dnsbl_sites_free(&s->sites);
	rules_free(&s->rules);
	backend_fini(&s->backend);
	free(s->store_path_owned);
	free(s);
	*snap = NULL;
}
