#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "screen/engine.h"
#include "screen/relay.h"
#include "tests/helpers/fake_worker.h"

#define OVERRIDES_MAX 32

static const struct rules_override basics[] = {
	{ "myhostname", "mx.example.test" },
	{ "mynetworks", "127.0.0.1/32" },
	{ "compatibility_level", "3.6" },
	{ "gatehouse_listen", "127.0.0.1:2525" },
	{ "gatehouse_proxy_networks", "192.0.2.0/24" },
	{ "gatehouse_backend", "pass:/nonexistent/smtpd" },
	{ "gatehouse_after_deep_tests", "retry" },
	{ "gatehouse_user", "root" },
	{ "gatehouse_session_limit", "16" },
	{ "postscreen_cache_map", "" },
	{ "postscreen_pre_queue_limit", "100" },
};

static void
show(void *arg, enum diag_level level, const char *text)
{
	(void)arg;
	if (level == DIAG_ERROR)
		fprintf(stderr, "%s\n", text);
}

static struct snapshot *
load(const struct rules_override *extra, size_t count)
{
	size_t n = sizeof basics / sizeof basics[0];
	struct rules_override all[OVERRIDES_MAX];
	struct diag *diag = diag_new();
	struct snapshot *snap;

	if (n + count > OVERRIDES_MAX)
		abort();
	memcpy(all, basics, sizeof basics);
	if (count > 0)
		memcpy(all + n, extra, count * sizeof *extra);
	snap = snapshot_load(NULL, all, n + count, diag);
	diag_each(diag, show, NULL);
	if (snap == NULL || diag_count(diag, DIAG_ERROR) > 0)
		abort();
	diag_free(&diag);
	return snap;
}

static void
on_deadline(struct deadline *d)
{
	session_event(container_of(d, struct session, limit), ON_TIME);
}

struct worker *
fake_worker_new(const struct rules_override *extra, size_t count)
{
	struct worker *w = calloc(1, sizeof *w);

	if (w == NULL)
		abort();
	w->snap = load(extra, count);
	w->loop = loop_new();
	w->shared = shared_new();
	w->slot = shared_take(w->shared);
	w->sessions = pool_new(w->snap->sessions_max, sizeof(struct session));
	w->clients = pool_new(w->snap->sessions_max, sizeof(struct client));
	w->crowds = pool_new(w->snap->sessions_max, sizeof(struct crowd));
	w->engines = pool_new(w->snap->sessions_max, engine_size(w->snap));
	w->relays = pool_new(w->snap->sessions_max, relay_size());
	w->tls_fd = w->orders_fd = w->spare_fd = w->mail_in = -1;
	map_init(&w->by_addr, 16);
	map_init(&w->by_net, 16);
	for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++)
		for (int stressed = 0; stressed < 2; stressed++)
			deadline_queue_init(&w->limits[limit][stressed], w->loop,
			    3600 * INT64_C(1000000), on_deadline);
	gate_init(w);
	engine_init(w);
	return w;
}

void
fake_worker_free(struct worker **w)
{
	struct snapshot *snap = (struct snapshot *)(uintptr_t)(*w)->snap;

	for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++)
		for (int stressed = 0; stressed < 2; stressed++)
			deadline_queue_fini(&(*w)->limits[limit][stressed]);
	engine_fini(*w);
	watch_stop(&(*w)->look);
	map_fini(&(*w)->by_addr);
	map_fini(&(*w)->by_net);
	pool_free(&(*w)->sessions);
	pool_free(&(*w)->clients);
	pool_free(&(*w)->crowds);
	pool_free(&(*w)->engines);
	pool_free(&(*w)->relays);
	shared_free(&(*w)->shared);
	loop_free(&(*w)->loop);
	snapshot_free(&snap);
	free(*w);
	*w = NULL;
}

int
fake_client(struct worker *w, const char *address, bool proxied)
{
	struct endpoint peer, local;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    !fd_nonblock(pair[0], true) || !fd_nonblock(pair[1], true) ||
	    !endpoint_parse(&peer, address, strlen(address), 1025) ||
	    !endpoint_parse(&local, "198.51.100.2", 12, 25))
		abort();
	session_birth(w, pair[0], &peer, &local, proxied);
	return pair[1];
}

struct session *
fake_session(struct worker *w)
{
	for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++)
		for (int stressed = 0; stressed < 2; stressed++) {
			struct deadline_queue *q = &w->limits[limit][stressed];
			if (q->head.next != &q->head)
				return container_of(q->head.next, struct session, limit);
		}
	return NULL;
}
