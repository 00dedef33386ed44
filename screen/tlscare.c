#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "screen/tlscare.h"

#define LOOK_MS 2000
#define DAY_S 86400

struct tlscare {
	struct loop *loop;
	struct tlsproxy_tickets *tickets;
	const struct snapshot *snap;
	void (*changed)(void *arg);
	void *arg;
	struct watch turn, look;
	int64_t warn_at_s;
};

static void
on_turn(int fd, short what, void *arg)
{
	struct tlscare *c = arg;

	(void)fd, (void)what;
	watch_start_once(
	    &c->turn, 1000 * tlsproxy_tickets_turn(c->tickets, c->snap->tls, loop_wall_s(c->loop)));
}

static void
on_look(int fd, short what, void *arg)
{
	struct tlscare *c = arg;
	int64_t now_s = loop_wall_s(c->loop);

	(void)fd, (void)what;
	watch_start_once(&c->look, LOOK_MS);
	if (now_s >= c->warn_at_s) {
		tlsproxy_conf_warn_expiry(c->snap->tls, now_s);
		c->warn_at_s = now_s + DAY_S;
	}
	if (rules_flag(c->snap->rules, P_gatehouse_tls_watch) &&
	    tlsproxy_conf_changed(c->snap->tls))
		c->changed(c->arg);
}

struct tlscare *
tlscare_new(struct loop *loop, void (*changed)(void *arg), void *arg)
{
	struct tlscare *c = mem_alloc(sizeof *c);

	c->loop = loop;
	c->changed = changed;
	c->arg = arg;
	c->tickets = tlsproxy_tickets_new();
	watch_init_timer(&c->turn, loop, on_turn, c);
	watch_init_timer(&c->look, loop, on_look, c);
	return c;
}

void
tlscare_free(struct tlscare **care)
{
	struct tlscare *c = *care;

	if (c == NULL)
		return;
	watch_stop(&c->turn);
	watch_stop(&c->look);
	tlsproxy_tickets_free(&c->tickets);
	free(c);
	*care = NULL;
}

void
tlscare_serve(struct tlscare *c, const struct snapshot *snap)
{
	bool first = c->snap == NULL;

	c->snap = snap;
	if (first)
		on_turn(-1, 0, c); /* before the first process is forked there must be a key */
	if (tlsproxy_conf_ready(snap->tls))
		watch_start_once(&c->look, 0);
	else
		watch_stop(&c->look);
}

const struct tlsproxy_tickets *
tlscare_tickets(const struct tlscare *c)
{
	return c->tickets;
}
