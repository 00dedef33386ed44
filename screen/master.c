#include "config.h"

#define LOG_PROGRAM "gatehouse"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/console.h"
#include "screen/filewatch.h"
#include "screen/generation.h"
#include "screen/master.h"
#include "screen/namewatch.h"
#include "screen/notify.h"
#include "screen/sinkhole.h"
#include "screen/spawner.h"

#define STOP_LIMIT_MS 5000
#define LEAVE_MS 100 /* for the answer to who asked */

struct master {
	struct workplace at;
	const struct master_start *start;
	struct filewatch *files;
	struct namewatch *names;
	struct sinkhole *sink;
	struct spawner *spawner;
	struct console *console;
	struct generation *serving, *begun, *draining; /* draining: a list */
	struct watch hup, term, intr, child, stop_limit, leave;
	bool stopping, failed;
	int ready_fd;
};

static const struct {
	const char *name;
	int facility;
} facilities[] = {
	{ "mail", LOG_MAIL },
	{ "daemon", LOG_DAEMON },
	{ "user", LOG_USER },
	{ "auth", LOG_AUTH },
	{ "local0", LOG_LOCAL0 },
	{ "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 },
	{ "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 },
};

bool
master_open_log(const struct snapshot *snap, bool foreground)
{
	const char *target = foreground && !rules_is_set(snap->rules, P_gatehouse_log)
				 ? "stderr"
				 : rules_text(snap->rules, P_gatehouse_log);
	const char *name = rules_text(snap->rules, P_syslog_facility);
	int facility = LOG_MAIL;

	for (size_t i = 0; i < sizeof facilities / sizeof facilities[0]; i++)
		if (strcmp(facilities[i].name, name) == 0)
			facility = facilities[i].facility;
	log_host(snap->myhostname);
	if (log_open(target, rules_text(snap->rules, P_syslog_name), facility))
		return true;
	fprintf(stderr, "gatehouse: gatehouse_log: cannot open %s: %s\n", target, strerror(errno));
	return false;
}

/* The hard limit is all we can ask for. A worker needs some descriptors of its own. */
#define OWN_DESCRIPTORS 64

static void
raise_limits(const struct snapshot *snap)
{
	unsigned each = backend_descriptors(&snap->backend, snap->rules);
	size_t need = snap->sessions_max * each / snap->workers + OWN_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < need)
		log_warning("gatehouse_session_limit = %zu needs about %zu file descriptors a "
			    "worker (%u a session), the limit is "
			    "%llu: raise it (LimitNOFILE=), or clients beyond it get 421",
		    snap->sessions_max, need, each, (unsigned long long)limit.rlim_max);
}

/* False after a logged reason: then we have what we had. */
static bool
open_listeners(struct master *m, struct snapshot *snap)
{
	char reason[256];
	struct buf err = BUF(reason);

	if (listen_set_open(
		&m->at.listening, snap->listeners, snap->listener_count, snap->workers, &err))
		return true;
	log_error("%s", reason);
	return false;
}

static void
close_unused_listeners(struct master *m, const struct snapshot *snap)
{
	listen_set_trim(&m->at.listening, snap == NULL ? NULL : snap->listeners,
	    snap == NULL ? 0 : snap->listener_count);
}

static void
drain(struct master *m, struct generation *g)
{
	g->next = m->draining;
	m->draining = g;
	generation_drain(g);
}

static void
announce(struct master *m, const struct snapshot *snap)
{
	char at[ADDR_TEXT_SIZE];

	log_info("ready: %zu workers, %zu sessions of %zu bytes", snap->workers, snap->sessions_max,
	    sizeof(struct session) + sizeof(struct client));
	for (size_t i = 0; i < snap->listener_count; i++)
		log_info("listening on [%s]:%u%s", addr_format(&snap->listeners[i].at.addr, at),
		    snap->listeners[i].at.port, snap->listeners[i].proxy ? " for a proxy" : "");
	notify("READY=1\n");
	if (m->ready_fd >= 0) {
		(void)!write(m->ready_fd, "R", 1);
		close(m->ready_fd);
		m->ready_fd = -1;
	}
}

/* The new generation serves: the one before it drains. */
static void
take_charge(void *arg, struct generation *g)
{
	struct master *m = arg;
	struct generation *before = m->serving;

	m->serving = g;
	m->begun = NULL;
	console_follow(m->console, g->snap);
	tlscare_serve(m->at.care, g->snap);
	filewatch_follow(m->files, g->snap->rules);
	namewatch_follow(m->names, g->snap);
	announce(m, g->snap);
	if (before == NULL)
		return;
	close_unused_listeners(m, g->snap);
	drain(m, before);
	console_settled(m->console, true);
}

/* A client for the backend's command. */
static void
spawn_command(
    struct master *m, const struct backend *backend, const struct order *order, int client)
{
	if (backend->kind != BACKEND_SPAWN)
		return;
	log_flush();
	spawner_start(m->spawner, backend, &order->peer, &order->local, order->last != 0, client);
}

static void
hear(void *arg, const struct generation *g, const struct order *order, int fd)
{
	struct master *m = arg;

	if (order->kind == ORDER_ROWS)
		console_rows(m->console, order);
	else if (order->kind == ORDER_SPAWN && fd >= 0)
		spawn_command(m, &g->snap->backend, order, fd);
	if (fd >= 0)
		close(fd);
}

/* A worker of the new generation died before it served: the old one stays in charge. */
static void
abandon(void *arg, struct generation *g)
{
	struct master *m = arg;

	m->begun = NULL;
	if (m->serving == NULL) {
		m->failed = true;
		log_fatal("the workers cannot start");
	} else {
		log_error("the new workers cannot start; the old configuration stays in force");
		notify("READY=1\n");
		console_settled(m->console, false);
	}
	generation_signal(g, SIGTERM);
	close_unused_listeners(m, m->serving == NULL ? NULL : m->serving->snap);
	drain(m, g);
	if (m->failed)
		loop_stop(m->at.loop);
}

static void
mourn(void *arg, const struct generation *g, const struct slot *slot, int status)
{
	struct master *m = arg;

	/* LMDB aborts over some kinds of damage. */
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGSEGV ||
				       WTERMSIG(status) == SIGABRT))
		keeper_suspect(m->at.keeper);
	console_died(m->console, g->phase != GEN_DRAINING);
	if (slot != NULL)
		console_fold(m->console, slot, g->snap);
}

static void
forget(void *arg, struct generation *g)
{
	struct master *m = arg;
	struct generation **p = &m->draining;

	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	generation_free(g);
	if (m->stopping && m->draining == NULL)
		loop_stop(m->at.loop);
}

static const struct generation_events events = { take_charge, abandon, mourn, forget, hear };

static bool
bury(struct master *m, pid_t pid, int status)
{
	struct generation *g = m->draining;

	if (generation_bury(m->serving, pid, status) || generation_bury(m->begun, pid, status))
		return true;
	while (g != NULL && !generation_bury(g, pid, status))
		g = g->next;
	return g != NULL;
}

static void
on_child(int signo, short what, void *arg)
{
	struct master *m = arg;
	int status;
	pid_t pid;

	(void)signo, (void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (bury(m, pid, status) || spawner_child_died(m->spawner, pid) ||
		    namewatch_child_died(m->names, pid, status) ||
		    keeper_child_died(m->at.keeper, pid, status))
			continue;
		if (m->sink != NULL)
			sinkhole_child_died(m->sink, pid, status);
	}
}

/* To the log, and errors also into the answer for who asked. */
static void
log_diag(void *arg, enum diag_level level, const char *text)
{
	static const enum log_level levels[] = {
		[DIAG_NOTICE] = LOG_LEVEL_INFO,
		[DIAG_WARNING] = LOG_LEVEL_WARNING,
		[DIAG_UNAVAILABLE] = LOG_LEVEL_ERROR,
		[DIAG_ERROR] = LOG_LEVEL_ERROR,
	};

	if (level == DIAG_ERROR)
		buf_printf(arg, "%s\n", text);
	log_line(levels[level], LOG_PROGRAM, "%s", text);
}

static bool
reload(struct master *m, struct buf *why)
{
	struct diag *diag = diag_new();
	struct snapshot *snap = snapshot_load(
	    m->start->config_dir, m->start->overrides, m->start->override_count, diag);

	diag_each(diag, log_diag, why);
	bool usable = snap != NULL && diag_count(diag, DIAG_ERROR) == 0;
	diag_free(&diag);
	if (usable && snap->workers != m->serving->snap->workers) {
		log_warning("gatehouse_workers: %zu stays in force until a restart",
		    m->serving->snap->workers);
		snap->workers = m->serving->snap->workers;
	}
	if (!usable || !open_listeners(m, snap)) {
		log_error("reload: the old configuration stays in force");
		buf_puts(why, "the old configuration stays in force");
		snapshot_free(&snap);
		notify("READY=1\n");
		console_settled(m->console, false);
		return false;
	}
	master_open_log(snap, m->start->foreground);
	keeper_follow(m->at.keeper, snap);
	m->begun = generation_begin(&m->at, snap, m->serving);
	return true;
}

bool
master_reload(struct master *m, struct buf *why)
{
	if (m->stopping || m->serving == NULL) {
		buf_puts(why, m->stopping ? "Gatehouse is stopping" : "Gatehouse is starting");
		return false;
	}
	if (m->begun != NULL) {
		log_warning("reload: the one before is not finished; send it again later");
		buf_puts(why, "the reload before is not finished; try again later");
		return false;
	}
	log_info("reload");
	notify_reloading();
	return reload(m, why);
}

static void
on_hup(int signo, short what, void *arg)
{
	char text[256];
	struct buf why = BUF(text);

	(void)signo, (void)what;
	(void)master_reload(arg, &why);
}

/*
 * New workers are needed for the same configuration: the store's file is a new one and only they can open it, or a
 * certificate, a feed or an MMDB file was replaced, or the backend's name stands for other addresses.
 */
static void
renew_workers(void *arg)
{
	struct master *m = arg;
	char text[256];
	struct buf why = BUF(text);

	if (!m->stopping && m->serving != NULL && m->begun == NULL)
		(void)reload(m, &why);
}

static void
on_stop_limit(int fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd, (void)what;
	for (struct generation *g = m->draining; g != NULL; g = g->next)
		generation_signal(g, SIGKILL);
}

static void
drain_all(struct master *m)
{
	struct generation *serving = m->serving, *begun = m->begun;

	m->stopping = true;
	tlscare_free(&m->at.care); /* the snapshot they look after goes */
	filewatch_free(&m->files);
	namewatch_free(&m->names);
	notify("STOPPING=1\n");
	close_unused_listeners(m, NULL);
	m->serving = m->begun = NULL;
	if (begun != NULL)
		drain(m, begun);
	if (serving != NULL)
		drain(m, serving);
}

void
master_drain(struct master *m)
{
	if (m->stopping)
		return;
	log_info("draining: no new clients are taken");
	drain_all(m);
	if (m->draining == NULL)
		loop_stop(m->at.loop);
}

static void
on_leave(int fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd, (void)what;
	loop_stop(m->at.loop);
}

void
master_leave(struct master *m)
{
	if (m->stopping)
		return;
	const struct snapshot *snap = master_snapshot(m);
	if (snap == NULL || snap->backend.kind == BACKEND_SINK ||
	    snap->backend.kind == BACKEND_SPAWN) {
		master_drain(m);
		return;
	}
	log_info("leaving: the workers finish what they hold");
	drain_all(m);
	watch_start_once(&m->leave, LEAVE_MS);
}

void
master_stop(struct master *m)
{
	if (watch_active(&m->stop_limit))
		return;
	log_info("stopping");
	if (!m->stopping)
		drain_all(m);
	for (struct generation *g = m->draining; g != NULL; g = g->next)
		generation_signal(g, SIGTERM);
	watch_start_once(&m->stop_limit, STOP_LIMIT_MS);
	if (m->draining == NULL)
		loop_stop(m->at.loop);
}

static void
on_term(int signo, short what, void *arg)
{
	(void)signo, (void)what;
	master_stop(arg);
}

size_t
master_seats(const struct master *m, struct seat_view *out, size_t max)
{
	/* Screens first: they have counts, and none may be missing in a sum. */
	static const enum seat_role roles[] = { SEAT_SCREEN, SEAT_TLS };
	size_t n = 0;

	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		n += generation_view(m->serving, roles[i], out + n, max - n);
		n += generation_view(m->begun, roles[i], out + n, max - n);
		for (const struct generation *g = m->draining; g != NULL; g = g->next)
			n += generation_view(g, roles[i], out + n, max - n);
	}
	return n;
}

struct loop *
master_loop(const struct master *m)
{
	return m->at.loop;
}

const struct shared *
master_shared(const struct master *m)
{
	return m->at.shared;
}

const struct snapshot *
master_snapshot(const struct master *m)
{
	if (m->serving != NULL)
		return m->serving->snap;
	return m->stopping && m->draining != NULL ? m->draining->snap : NULL;
}

struct keeper_view
master_keeper(const struct master *m)
{
	return keeper_look(m->at.keeper);
}

const struct pools_board *
master_pools(const struct master *m)
{
	return m->serving != NULL ? m->serving->pools : NULL;
}

bool
master_stopping(const struct master *m)
{
	return m->stopping;
}

static void
watch_signals(struct master *m)
{
	watch_init_signal(&m->hup, m->at.loop, SIGHUP, on_hup, m);
	watch_init_signal(&m->term, m->at.loop, SIGTERM, on_term, m);
	watch_init_signal(&m->intr, m->at.loop, SIGINT, on_term, m);
	watch_init_signal(&m->child, m->at.loop, SIGCHLD, on_child, m);
	watch_init_timer(&m->stop_limit, m->at.loop, on_stop_limit, m);
	watch_init_timer(&m->leave, m->at.loop, on_leave, m);
	watch_start(&m->hup);
	watch_start(&m->term);
	watch_start(&m->intr);
	watch_start(&m->child);
}

static void
flush_logs(void *arg)
{
	(void)arg;
	log_flush();
}

static bool
open_shop(struct master *m, struct snapshot *snap)
{
	m->at.shared = shared_new();
	if (m->at.shared == NULL) {
		log_fatal("no memory to share with the workers: %s", strerror(errno));
		return false;
	}
	m->at.care = tlscare_new(m->at.loop, renew_workers, m);
	tlscare_serve(m->at.care, snap);
	m->files = filewatch_new(m->at.loop, renew_workers, m);
	m->names = namewatch_new(m->at.loop, renew_workers, m);
	m->spawner = spawner_new((size_t)rules_number(snap->rules, P_gatehouse_spawn_limit));
	raise_limits(snap);
	m->console = console_new(m);
	if (!open_listeners(m, snap))
		return false;
	if (snap->backend.kind == BACKEND_SINK) {
		m->sink = sinkhole_open(m->at.loop, snap);
		if (m->sink == NULL)
			return false;
	}
	m->at.keeper = keeper_new(m->at.loop, snap, renew_workers, m);
	return m->at.keeper != NULL;
}

int
master_main(const struct master_start *start)
{
	static struct master m;

	m = (struct master){ .start = start, .ready_fd = start->ready_fd };
	m.at = (struct workplace){ .loop = loop_new(), .events = &events, .arg = &m };
	signal(SIGPIPE, SIG_IGN);
	loop_after_turn(m.at.loop, flush_logs, NULL);
	watch_signals(&m);
	if (open_shop(&m, start->snap)) {
		m.begun = generation_begin(&m.at, start->snap, NULL);
		loop_run(m.at.loop);
	} else {
		struct snapshot *snap = start->snap;
		snapshot_free(&snap);
		m.failed = true;
	}
	console_free(&m.console);
	sinkhole_close(&m.sink);
	spawner_free(&m.spawner);
	keeper_free(&m.at.keeper);
	tlscare_free(&m.at.care);
	filewatch_free(&m.files);
	namewatch_free(&m.names);
	close_unused_listeners(&m, NULL);
	shared_free(&m.at.shared);
	loop_free(&m.at.loop);
	if (!m.failed)
		log_info("stopped");
	log_flush();
	return m.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
