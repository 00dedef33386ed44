/*
 * screen/snapshot.h: one load of the configuration, read out once into what the hot path uses. Immutable.
 * A worker lives its whole life under one snapshot; a reload starts new workers with a new one.
 */
#ifndef SCREEN_SNAPSHOT_H
#define SCREEN_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "dnsbl/dnsbl.h"
#include "policy/policy.h"
#include "rules/rules.h"
#include "screen/backend.h"
#include "tlsproxy/tlsproxy.h"

#define LISTENERS_MAX 16
#define WORKERS_MAX 64

struct listener {
	struct endpoint at;
	bool proxy; /* expects a PROXY header */
};

struct snapshot {
	struct rules *rules;
	struct dnsbl_sites *sites;
	struct access_list *access;
	struct match_list *interfaces; /* postscreen_allowlist_interfaces */
	struct match_list *proxy_networks; /* gatehouse_proxy_networks */
	bool families[2]; /* IPv4, IPv6: what PROXY headers may bring (inet_protocols) */
	struct engine_rules *engine;       /* the dialogue: screen/engine.h */
	struct tlsproxy_conf *tls;
	struct policy_rules policy;
	struct policy_rules policy_listed; /* for clients of which only DNSBL is asked */
	struct share_rules *share;         /* null: records are not shared */
	struct pools_rules *pools;         /* null: none */

	struct listener listeners[LISTENERS_MAX];
	size_t listener_count, workers, sessions_max;

	struct backend backend;
	bool continues; /* gatehouse_after_deep_tests = continue */

	const char *user;       /* whom the workers become */
	const char *tls_user;   /* and the tlsproxy processes */
	const char *store_path; /* the LMDB environment; null: no memory */
	char *store_path_owned;

	const char *myhostname, *banner, *greet_banner;
	int64_t proxy_time_us, backend_time_us, relay_time_us;
	int64_t greet_wait_us[2], command_time_us[2], starttls_time_us[2]; /* [stressed] */
	size_t pre_queue_limit, post_queue_limit, client_limit, high_water, low_water, proxy_limit;
	unsigned client_prefix; /* IPv6 bits that make one client where sessions are counted */
	unsigned log_decimals; /* delay_logging_resolution_limit */
	bool soft_bounce, respectful;
};

/* Null if a file cannot be read; look at diag for errors in any case. */
struct snapshot *snapshot_load(const char *dir, const struct rules_override *, size_t count, struct diag *);
void snapshot_free(struct snapshot **);

#endif
