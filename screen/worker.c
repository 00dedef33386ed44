#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jail.h"
#include "base/log.h"
#include "screen/engine.h"
#include "screen/journal.h"
#include "screen/mailbox.h"
#include "screen/orders.h"
#include "screen/promise.h"
#include "screen/relay.h"
#include "screen/memory.h"
#include "screen/worker.h"

#define ACCEPTS_A_TURN 64 /* then others get their turn */
#define LINGER_MS 500
#define HANDOFF_LIMIT_US (100 * INT64_C(1000000))
#define TLSPROXY_LATE_US (5 * INT64_C(1000000)) /* after its own limit has ended a handshake */

static bool
same_client(const struct map_node *n, const void *key)
{
	return addr_equal(&container_of(n, const struct client, node)->addr, key);
}

static void
update_stress(struct worker *w, bool opened)
{
	size_t open = shared_check_queue(w->shared);
	bool calm = false, stressed = true;

	if (opened && open >= w->snap->high_water) {
		if (atomic_compare_exchange_strong(&w->shared->stressed, &calm, true))
			log_info("entering STRESS mode with %zu connections", open);
	} else if (!opened && open <= w->snap->low_water) {
		if (atomic_compare_exchange_strong(&w->shared->stressed, &stressed, false))
			log_info("leaving STRESS mode with %zu connections", open);
	}
}

static bool
same_net(const struct map_node *n, const void *key)
{
	return addr_equal(&container_of(n, const struct crowd, node)->net, key);
}

/* Null where addresses are counted one by one; also if there is no room: fail open, the pools are bounds too. */
static struct crowd *
find_crowd(struct worker *w, const struct addr *addr)
{
	struct addr net = *addr;
	struct map_node *n;
	struct crowd *c;

	if (addr->family != 6 || w->snap->client_prefix >= 128)
		return NULL;
	addr_mask(&net, w->snap->client_prefix);
	n = map_find(&w->by_net, addr_hash(&net), same_net, &net);
	if (n != NULL)
		return container_of(n, struct crowd, node);
	c = pool_take(w->crowds);
	if (c == NULL)
		return NULL;
	c->net = net;
	map_add(&w->by_net, &c->node, addr_hash(&net));
	return c;
}

bool
worker_admit(struct worker *w, struct session *s)
{
	uint64_t hash = addr_hash(&s->peer.addr);
	struct map_node *n = map_find(&w->by_addr, hash, same_client, &s->peer.addr);
	struct client *c;

	if (n != NULL) {
		c = container_of(n, struct client, node);
	} else {
		c = pool_take(w->clients);
		if (c == NULL)
			return false;
		c->addr = s->peer.addr;
		record_clear(&c->stamps);
		c->crowd = find_crowd(w, &c->addr);
		map_add(&w->by_addr, &c->node, hash);
	}
	c->sessions++;
	c->screened++;
	if (c->crowd != NULL)
		c->crowd->sessions++;
	s->client = c;
	atomic_fetch_add_explicit(&w->slot->check_queue, 1, memory_order_relaxed);
	if (!atomic_load_explicit(&w->shared->stressed, memory_order_relaxed))
		update_stress(w, true);
	return shared_check_queue(w->shared) <= w->snap->sessions_max;
}

static void
leave_when_empty(struct worker *w)
{
	if (w->draining && pool_used(w->sessions) == 0 && !watch_active(&w->linger))
		loop_stop(w->loop);
}

void
worker_dismiss(struct worker *w, struct session *s)
{
	struct client *c = s->client;

	if (s->relayed)
		atomic_fetch_sub_explicit(&w->slot->relayed, 1, memory_order_relaxed);
	if (s->post_queued)
		atomic_fetch_sub_explicit(&w->slot->post_queue, 1, memory_order_relaxed);
	if (c == NULL)
		return;
	if (c->crowd != NULL && --c->crowd->sessions == 0) {
		map_del(&w->by_net, &c->crowd->node);
		pool_give(w->crowds, c->crowd);
		c->crowd = NULL;
	}
	if (!s->handed)
		c->screened--;
	if (--c->sessions == 0) {
		map_del(&w->by_addr, &c->node);
		pool_give(w->clients, c);
	}
	s->client = NULL;
	atomic_fetch_sub_explicit(&w->slot->check_queue, 1, memory_order_relaxed);
	if (atomic_load_explicit(&w->shared->stressed, memory_order_relaxed))
		update_stress(w, false);
}

/* No descriptor left: the spare one is given up for a moment to say so to the newest client. */
static bool
refuse_for_lack(struct worker *w, int listen_fd)
{
	static const char text[] = "421 4.3.2 No system resources\r\n";
	static struct log_limit limit;
	unsigned held;

	if (log_allowed(&limit, loop_now_us(w->loop), &held))
		log_warning(
		    "out of file descriptors: new clients get 421 (%u more before this line)",
		    held);
	tally_add(w->slot, CELL_TURNED_AWAY + LACK_DESCRIPTORS, 1);
	close(w->spare_fd);
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		(void)!send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
		close(fd);
	}
	w->spare_fd = dup(w->orders_fd);
	return fd >= 0;
}

static void
welcome(struct listening *l, int fd, const struct sockaddr_storage *from)
{
	struct endpoint peer, local = l->rules->at;
	struct sockaddr_storage at;
	socklen_t len = sizeof at;

	if (l->wildcard && (getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
			       !endpoint_from_sockaddr(&local, &at))) {
		log_warning("getsockname: %s -- dropping this connection", strerror(errno));
		close(fd);
		return;
	}
	if (!endpoint_from_sockaddr(&peer, from)) {
		log_warning(
		    "client address family %d -- dropping this connection", from->ss_family);
		close(fd);
		return;
	}
	tally_add(l->worker->slot, CELL_ACCEPTED, 1);
	session_birth(l->worker, fd, &peer, &local, l->rules->proxy);
}

static void
on_accept(int listen_fd, short what, void *arg)
{
	static struct log_limit limit;
	struct listening *l = arg;
	unsigned held;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof from;
		int fd = accept4(
		    listen_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			welcome(l, fd, &from);
			continue;
		}
		if ((errno == EMFILE || errno == ENFILE) && refuse_for_lack(l->worker, listen_fd))
			continue;
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN && log_allowed(&limit, loop_now_us(l->worker->loop), &held))
			log_error("accept connection: %s", strerror(errno));
		return;
	}
}

static void
stop_listening(struct worker *w)
{
	for (size_t i = 0; i < w->snap->listener_count; i++) {
		watch_stop(&w->listening[i].watch);
		close(w->listening[i].fd);
	}
}

/* Takes no new clients, finishes those it has. */
static void
drain(struct worker *w)
{
	if (!w->draining) {
		stop_listening(w);
		if (w->mail_in >= 0) /* the others hear of it at their own time */
			watch_start_once(&w->linger, LINGER_MS);
	}
	w->draining = true;
	leave_when_empty(w);
}

/* Every session waits for some deadline: their queues are the list of all sessions. */
static void
each_session(struct worker *w, bool (*fn)(void *arg, struct session *), void *arg)
{
	for (int stressed = 0; stressed < 2; stressed++)
		for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++) {
			struct deadline_queue *q = &w->limits[limit][stressed];
			for (struct deadline *d = q->head.next, *next; d != &q->head; d = next) {
				next = d->next;
				if (!fn(arg, container_of(d, struct session, limit)))
					return;
			}
		}
}

struct listing {
	struct order page;
	unsigned left; /* rows still wanted */
	int64_t now_us;
	int channel;
};

/* False: enough, or the master does not read as fast: it shows what it got. */
static bool
list_session(void *arg, struct session *s)
{
	struct listing *l = arg;
	struct session_row *row = &l->page.rows[l->page.count++];

	row_fill(row, s, l->now_us);
	row->ended = false;
	if (l->page.count == ORDER_ROWS_MAX) {
		if (!order_send(l->channel, &l->page))
			return false;
		l->page.count = 0;
	}
	return --l->left > 0;
}

static void
list_sessions(struct worker *w, const struct order *order)
{
	static struct listing l;

	l = (struct listing){ .page = { .kind = ORDER_ROWS, .tag = order->tag },
		.left = order->count,
		.now_us = loop_now_us(w->loop),
		.channel = w->orders_fd };
	if (l.left > 0)
		each_session(w, list_session, &l);
	l.page.last = 1;
	(void)order_send(w->orders_fd, &l.page);
}

/* The master closed our channel, or died: that is an order to drain, too. */
static void
on_orders(int fd, short what, void *arg)
{
	static struct order order;
	struct worker *w = arg;

	(void)what;
	if (!order_recv(fd, &order)) {
		if (errno == EAGAIN)
			return;
		watch_stop(&w->orders);
		drain(w);
	} else if (order.kind == ORDER_DRAIN) {
		drain(w);
	} else if (order.kind == ORDER_LIST) {
		list_sessions(w, &order);
	}
}

/* A proxy's client of whom another worker read the PROXY header. */
static void
on_mail(int fd, short what, void *arg)
{
	struct worker *w = arg;
	struct letter letter;
	int client;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN && mailbox_take(fd, &letter, &client); i++)
		session_birth(w, client, &letter.peer, &letter.local, false);
}

static void
on_linger(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	leave_when_empty(arg);
}

static void
open_mailbox(struct worker *w, const struct worker_start *start)
{
	watch_init_timer(&w->linger, w->loop, on_linger, w);
	w->mail_in = start->mail_in;
	w->mail_out = start->mail_out;
	if (w->mail_in < 0)
		return;
	watch_init(&w->mail, w->loop, w->mail_in, WATCH_READ, on_mail, w);
	watch_start(&w->mail);
}

static void
on_deadline(struct deadline *d)
{
	session_event(container_of(d, struct session, limit), ON_TIME);
}

static void
init_limits(struct worker *w)
{
	const struct snapshot *snap = w->snap;

	for (int stressed = 0; stressed < 2; stressed++) {
		const int64_t span_us[LIMITS] = {
			[LIMIT_PROXY] = snap->proxy_time_us,
			[LIMIT_GREET] = snap->greet_wait_us[stressed],
			[LIMIT_COMMAND] = snap->command_time_us[stressed],
			[LIMIT_STARTTLS] = snap->starttls_time_us[stressed] + TLSPROXY_LATE_US,
			[LIMIT_HANDOFF] = HANDOFF_LIMIT_US,
			[LIMIT_DIAL] = snap->backend_time_us,
			[LIMIT_RELAY] = snap->relay_time_us,
			[LIMIT_TARPIT] = snap->engine->tarpit_delay_us,
			[LIMIT_SECOND] = 1000000,
		};
		for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++)
			deadline_queue_init(
			    &w->limits[limit][stressed], w->loop, span_us[limit], on_deadline);
	}
}

static bool
stop_session(void *arg, struct session *s)
{
	(void)arg;
	session_stop(s);
	return true;
}

static void
on_term(int signo, short what, void *arg)
{
	struct worker *w = arg;

	(void)signo, (void)what;
	drain(w);
	each_session(w, stop_session, NULL);
	leave_when_empty(w);
}

/*
 * A loop that does not come back in time is ended by SIGALRM, and the master starts another: a worker that hangs
 * would hold its clients for ever. Three steps a span, so that an idle one is never suspected.
 */
static void
on_watchdog(int fd, short what, void *arg)
{
	struct worker *w = arg;
	int64_t span_s = rules_seconds(w->snap->rules, P_postscreen_watchdog_timeout);

	(void)fd, (void)what;
	alarm((unsigned)span_s);
	watch_start_once(&w->watchdog, span_s * 1000 / 3);
}

static void
after_turn(void *arg)
{
	struct worker *w = arg;

	journal_flush();
	log_flush();
	if (w->store != NULL)
		store_reader_flush(w->store);
	tally_worker(w);
	leave_when_empty(w);
}

static void
start_listening(struct worker *w, const struct worker_start *start)
{
	static const struct addr any4 = { .family = 4 }, any6 = { .family = 6 };

	for (size_t i = 0; i < w->snap->listener_count; i++) {
		struct listening *l = &w->listening[i];
		l->worker = w;
		l->rules = &w->snap->listeners[i];
		l->fd = start->listen_fds[i];
		l->wildcard =
		    addr_equal(&l->rules->at.addr, &any4) || addr_equal(&l->rules->at.addr, &any6);
		watch_init(&l->watch, w->loop, l->fd, WATCH_READ, on_accept, l);
		watch_start(&l->watch);
	}
}

/* Pools for every session there may be: whichever worker the clients choose, their sum is the limit. */
static void
init_pools(struct worker *w)
{
	size_t count = w->snap->sessions_max;

	w->sessions = pool_new(count, sizeof(struct session));
	w->clients = pool_new(count, sizeof(struct client));
	w->crowds = pool_new(count, sizeof(struct crowd));
	w->engines = pool_new(count, engine_size(w->snap));
	w->relays = pool_new(count, relay_size());
	map_init(&w->by_addr, 64);
	map_init(&w->by_net, 64);
}

static bool
open_world(struct worker *w, const struct worker_start *start)
{
	struct diag *diag = diag_new();

	w->dnsbl = dnsbl_new(w->loop, w->snap->sites, w->snap->sessions_max, diag);
	diag_free(&diag);
	memory_open(w, start);
	journal_open(start->journal_fd);
	return w->dnsbl != NULL;
}

static bool
lock_jail(const struct worker *w)
{
	char err[160];

	if (jail_drop(w->snap->user, err, sizeof err) && jail_seccomp(JAIL_SCREEN, err, sizeof err))
		return true;
	log_fatal("worker %u cannot give up its privileges: %s", w->number, err);
	return false;
}

static void
keep_only(const struct worker_start *start)
{
	int keep[LISTENERS_MAX + WORKERS_MAX + 6];
	size_t n = 0;

	for (size_t i = 0; i < start->snap->listener_count; i++)
		keep[n++] = start->listen_fds[i];
	keep[n++] = start->orders_fd;
	keep[n++] = start->store_fd;
	keep[n++] = start->journal_fd;
	keep[n++] = start->tls_fd;
	keep[n++] = start->mail_in;
	for (size_t i = 0; start->mail_in >= 0 && i < start->snap->workers; i++)
		keep[n++] = start->mail_out[i];
	keep[n++] = log_fd();
	fd_close_others(keep, n);
}

static void
close_world(struct worker *w)
{
	for (int stressed = 0; stressed < 2; stressed++)
		for (int limit = LIMIT_NONE + 1; limit < LIMITS; limit++)
			deadline_queue_fini(&w->limits[limit][stressed]);
	promise_free(&w->promise);
	engine_fini(w);
	dnsbl_free(&w->dnsbl);
	memory_close(w);
	map_fini(&w->by_addr);
	map_fini(&w->by_net);
	pool_free(&w->sessions);
	pool_free(&w->clients);
	pool_free(&w->crowds);
	pool_free(&w->engines);
	pool_free(&w->relays);
	loop_free(&w->loop);
}

int
worker_main(const struct worker_start *start)
{
	static struct worker w;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* meant for the master, even when sent to the whole group */
	signal(SIGINT, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	keep_only(start);
	w = (struct worker){ .loop = loop_new(),
		.snap = start->snap,
		.number = start->number,
		.shared = start->shared,
		.slot = start->slot,
		.orders_fd = start->orders_fd,
		.tls_fd = start->tls_fd };
	w.spare_fd = dup(w.orders_fd);
	if (getrandom(&w.next_id, sizeof w.next_id, 0) < 0)
		return EXIT_FAILURE;
	init_pools(&w);
	init_limits(&w);
	gate_init(&w);
	engine_init(&w);
	if (!open_world(&w, start) || !lock_jail(&w))
		return EXIT_FAILURE;
	w.promise = promise_new(&w);
	watch_init(&w.orders, w.loop, w.orders_fd, WATCH_READ, on_orders, &w);
	watch_start(&w.orders);
	watch_init_timer(&w.watchdog, w.loop, on_watchdog, &w);
	on_watchdog(-1, 0, &w);
	watch_init_signal(&w.term, w.loop, SIGTERM, on_term, &w);
	watch_start(&w.term);
	open_mailbox(&w, start);
	start_listening(&w, start);
	loop_after_turn(w.loop, after_turn, &w);
	tally_worker(&w); /* what is true before the first client */
	if (!order_send(w.orders_fd, &(struct order){ .kind = ORDER_READY }))
		return EXIT_FAILURE;
	loop_run(w.loop);
	journal_flush();
	log_flush();
	close_world(&w);
	return EXIT_SUCCESS;
}
