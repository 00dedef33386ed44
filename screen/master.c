#include "config.h"

#define LOG_PROGRAM "gatehouse"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "screen/console.h"
#include "screen/filewatch.h"
#include "screen/listen.h"
#include "screen/mailbox.h"
#include "screen/master.h"
#include "screen/namewatch.h"
#include "screen/notify.h"
#include "screen/orders.h"
#include "screen/shared.h"
#include "screen/sinkhole.h"
#include "screen/spawner.h"
#include "screen/tlscare.h"
#include "screen/worker.h"
#include "tlsproxy/tlsproxy.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 30000
#define LIVED_LONG_US (10 * INT64_C(1000000)) /* a child that lived this long starts a new count */
#define STOP_LIMIT_MS 5000

/* A place for one process of a generation. Whoever sits in it may die and be replaced. */
struct seat {
	struct generation *generation;
	enum { SEAT_SCREEN, SEAT_TLS } role;
	unsigned number;
	pid_t pid;   /* 0: empty */
	int channel; /* -1: closed, the worker drains */
	struct slot *slot;
	struct watch word, again; /* a message from the worker; the next try */
	bool is_ready;
	int64_t started_us;
	int64_t backoff_ms;
};

/* The workers of one snapshot. Begun, in charge, then draining; freed with its last worker. */
struct generation {
	struct master *master;
	struct snapshot *snap;
	int journal_fd;
	int tls_channel[2];	  /* -1: no TLS */
	int mail[WORKERS_MAX][2]; /* screen/mailbox.h; -1: not needed */
	enum { GEN_BEGUN, GEN_SERVING, GEN_DRAINING } phase;
	struct generation *next;
	struct watch limit; /* of the drain */
	size_t seat_count;
	struct seat seats[];
};

struct master {
	struct loop *loop;
	const struct master_start *start;
	struct shared *shared;
	struct store_writer *store;
	struct tlscare *care;
	struct filewatch *files;
	struct namewatch *names;
	struct sinkhole *sink;
	struct spawner *spawner;
	struct console *console;
	struct listen_set listening;
	struct generation *serving, *begun, *draining; /* draining: a list */
	struct watch hup, term, intr, child, stop_limit;
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
	if (log_open(target, rules_text(snap->rules, P_syslog_name), facility))
		return true;
	fprintf(stderr, "gatehouse: gatehouse_log: cannot open %s: %s\n", target, strerror(errno));
	return false;
}

/* Descriptors: two a session and some of our own. The hard limit is all we can ask for. */
static void
raise_limits(const struct snapshot *snap)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max / 2 * snap->workers < snap->sessions_max)
		log_warning("gatehouse_session_limit = %zu needs about %zu file descriptors a "
			    "worker, the limit is "
			    "%llu: raise it (LimitNOFILE=), or clients beyond it get 421",
		    snap->sessions_max, snap->sessions_max * 2 / snap->workers + 64,
		    (unsigned long long)limit.rlim_max);
}

/* False after a logged reason: then we have what we had. */
static bool
open_listeners(struct master *m, struct snapshot *snap)
{
	char reason[256];
	struct buf err = BUF(reason);

	if (listen_set_open(
		&m->listening, snap->listeners, snap->listener_count, snap->workers, &err))
		return true;
	log_error("%s", reason);
	return false;
}

static void
close_unused_listeners(struct master *m, const struct snapshot *snap)
{
	listen_set_trim(&m->listening, snap == NULL ? NULL : snap->listeners,
	    snap == NULL ? 0 : snap->listener_count);
}

static void on_word(int, short, void *);
static void on_again(int, short, void *);
static void on_drain_limit(int, short, void *);

static int
open_journal(const struct snapshot *snap)
{
	const char *path = rules_text(snap->rules, P_gatehouse_record_log);

	if (*path == '\0')
		return -1;
	int fd = strcmp(path, "stderr") == 0
		     ? dup(2)
		     : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		log_warning("gatehouse_record_log: cannot open %s: %s; no records are written",
		    path, strerror(errno));
	return fd;
}

/* Only clients behind a proxy may have to change the worker. */
static void
open_mailboxes(struct generation *g)
{
	bool proxy = false;

	for (size_t i = 0; i < g->snap->listener_count; i++)
		proxy = proxy || g->snap->listeners[i].proxy;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (!proxy || g->snap->workers < 2 || i >= g->snap->workers ||
		    !mailbox_open(g->mail[i]))
			g->mail[i][0] = g->mail[i][1] = -1;
}

static void
close_mailboxes(struct generation *g)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (g->mail[i][0] >= 0) {
			close(g->mail[i][0]);
			close(g->mail[i][1]);
		}
}

static struct generation *
generation_new(struct master *m, struct snapshot *snap)
{
	bool tls = tlsproxy_conf_ready(snap->tls);
	size_t count =
	    snap->workers + (tls ? (size_t)rules_number(snap->rules, P_gatehouse_tls_workers) : 0);
	struct generation *g = mem_alloc(sizeof *g + count * sizeof g->seats[0]);

	g->master = m;
	g->snap = snap;
	g->journal_fd = open_journal(snap);
	open_mailboxes(g);
	g->seat_count = count;
	g->tls_channel[0] = g->tls_channel[1] = -1;
	if (tls && !tlsproxy_channel(g->tls_channel)) {
		g->seat_count = snap->workers;
		log_error(
		    "no channel to the TLS processes: %s; STARTTLS gets 454", strerror(errno));
	}
	watch_init_timer(&g->limit, m->loop, on_drain_limit, g);
	for (unsigned i = 0; i < g->seat_count; i++) {
		struct seat *seat = &g->seats[i];
		seat->generation = g;
		seat->role = i < snap->workers ? SEAT_SCREEN : SEAT_TLS;
		seat->number = seat->role == SEAT_SCREEN ? i : i - (unsigned)snap->workers;
		seat->channel = -1;
		watch_init_timer(&seat->again, m->loop, on_again, seat);
	}
	return g;
}

static void
close_tls_channel(struct generation *g)
{
	for (int i = 0; i < 2; i++) {
		if (g->tls_channel[i] >= 0)
			close(g->tls_channel[i]);
		g->tls_channel[i] = -1;
	}
}

static void
generation_free(struct generation *g)
{
	close_tls_channel(g);
	close_mailboxes(g);
	for (size_t i = 0; i < g->seat_count; i++)
		watch_stop(&g->seats[i].again);
	watch_stop(&g->limit);
	if (g->journal_fd >= 0)
		close(g->journal_fd);
	snapshot_free(&g->snap);
	free(g);
}

/* The child's side of a fork. */
static _Noreturn void
become_worker(const struct seat *seat, int channel, int store_fd)
{
	struct master *m = seat->generation->master;
	struct worker_start start = { .snap = seat->generation->snap,
		.number = seat->number,
		.shared = m->shared,
		.slot = seat->slot,
		.orders_fd = channel,
		.store_fd = store_fd,
		.journal_fd = seat->generation->journal_fd,
		.tls_fd = seat->generation->tls_channel[0] };

	start.mail_in = seat->generation->mail[seat->number][1];
	for (size_t i = 0; i < start.snap->workers; i++)
		start.mail_out[i] = seat->generation->mail[i][0];
	loop_abandon(&m->loop);
	for (size_t i = 0; i < start.snap->listener_count; i++) {
		const struct listen_group *g =
		    listen_set_find(&m->listening, &start.snap->listeners[i].at);
		assert(g != NULL && seat->number < g->count);
		start.listen_fds[i] = g->fds[seat->number];
	}
	int status = worker_main(&start);
	log_flush();
	_exit(status);
}

/* Two descriptors a session; who asked for more sessions than that was told at start. */
static size_t
tls_sessions(const struct snapshot *snap)
{
	struct rlimit limit;
	size_t most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 512
			  ? (limit.rlim_cur - 256) / 2
			  : 128;

	return snap->sessions_max < most ? snap->sessions_max : most;
}

static _Noreturn void
become_tlsproxy(const struct seat *seat)
{
	const struct generation *g = seat->generation;
	struct tlsproxy_process process = { .conf = g->snap->tls,
		.tickets = tlscare_tickets(g->master->care),
		.channels = &g->tls_channel[1],
		.channel_count = 1,
		.user = g->snap->user,
		.session_limit = tls_sessions(g->snap) };

	loop_abandon(&g->master->loop);
	close(g->tls_channel[0]); /* or we would wait for ourselves at the end */
	int status = tlsproxy_main(&process);
	log_flush();
	_exit(status);
}

static void
try_later(struct seat *seat)
{
	seat->backoff_ms = seat->backoff_ms == 0 ? BACKOFF_FIRST_MS : seat->backoff_ms * 2;
	if (seat->backoff_ms > BACKOFF_MOST_MS)
		seat->backoff_ms = BACKOFF_MOST_MS;
	watch_start_once(&seat->again, seat->backoff_ms);
}

static void
spawn_tlsproxy(struct seat *seat)
{
	const struct generation *g = seat->generation;

	log_flush();
	seat->pid = tlsproxy_fork(g->snap->tls, tlscare_tickets(g->master->care));
	if (seat->pid == 0)
		become_tlsproxy(seat);
	seat->started_us = clock_now_us();
	seat->is_ready = true;
	if (seat->pid < 0) {
		log_error("cannot start tlsproxy %u: fork: %s", seat->number, strerror(errno));
		seat->pid = 0;
		try_later(seat);
	}
}

static void
spawn_screen(struct seat *seat)
{
	struct master *m = seat->generation->master;
	int pair[2], store_fd = -1;

	seat->slot = shared_take(m->shared);
	if (seat->slot == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		if (seat->slot != NULL)
			shared_give(m->shared, seat->slot);
		log_error("cannot start worker %u: %s", seat->number,
		    seat->slot == NULL ? "too many draining" : strerror(errno));
		try_later(seat);
		return;
	}
	if (m->store != NULL)
		store_fd = store_writer_feed(m->store);
	log_flush();
	seat->pid = fork();
	if (seat->pid == 0)
		become_worker(seat, pair[1], store_fd);
	close(pair[1]);
	if (store_fd >= 0)
		close(store_fd);
	if (seat->pid < 0) {
		log_error("cannot start worker %u: fork: %s", seat->number, strerror(errno));
		seat->pid = 0;
		close(pair[0]);
		shared_give(m->shared, seat->slot);
		seat->slot = NULL;
		try_later(seat);
		return;
	}
	seat->channel = pair[0];
	seat->is_ready = false;
	seat->started_us = clock_now_us();
	watch_init(&seat->word, m->loop, seat->channel, WATCH_READ, on_word, seat);
	watch_start(&seat->word);
}

static void
spawn(struct seat *seat)
{
	if (seat->role == SEAT_TLS)
		spawn_tlsproxy(seat);
	else
		spawn_screen(seat);
}

static void
close_channel(struct seat *seat)
{
	if (seat->channel < 0)
		return;
	watch_stop(&seat->word);
	close(seat->channel);
	seat->channel = -1;
}

static bool
all_gone(const struct generation *g)
{
	for (size_t i = 0; i < g->seat_count; i++)
		if (g->seats[i].pid != 0)
			return false;
	return true;
}

static void
finish_if_gone(struct generation *g)
{
	struct master *m = g->master;

	if (!all_gone(g))
		return;
	for (struct generation **p = &m->draining; *p != NULL; p = &(*p)->next)
		if (*p == g) {
			*p = g->next;
			generation_free(g);
			break;
		}
	if (m->stopping && m->draining == NULL)
		loop_stop(m->loop);
}

/* Its channel stays open, so that what it still holds can be seen. */
static void
order_drain(struct seat *seat)
{
	static const struct order order = { .kind = ORDER_DRAIN };

	if (seat->channel >= 0 && !order_send(seat->channel, &order))
		close_channel(seat); /* says the same */
}

/* Its workers take no new clients and end with the last one they have. */
static void
drain(struct generation *g)
{
	struct master *m = g->master;

	g->phase = GEN_DRAINING;
	g->next = m->draining;
	m->draining = g;
	for (size_t i = 0; i < g->seat_count; i++) {
		watch_stop(&g->seats[i].again);
		order_drain(&g->seats[i]);
	}
	close_tls_channel(g); /* its processes end with the last worker that has the sending end */
	watch_start_once(
	    &g->limit, rules_seconds(g->snap->rules, P_gatehouse_drain_time_limit) * 1000);
	finish_if_gone(g);
}

static void
signal_all(const struct generation *g, int signo)
{
	for (size_t i = 0; i < g->seat_count; i++)
		if (g->seats[i].pid != 0)
			kill(g->seats[i].pid, signo);
}

static void
on_drain_limit(int fd, short what, void *arg)
{
	const struct generation *g = arg;

	(void)fd, (void)what;
	log_warning("workers still busy after gatehouse_drain_time_limit are ended");
	signal_all(g, SIGTERM);
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
take_charge(struct generation *g)
{
	struct master *m = g->master;
	struct generation *before = m->serving;

	g->phase = GEN_SERVING;
	m->serving = g;
	m->begun = NULL;
	console_follow(m->console, g->snap);
	tlscare_serve(m->care, g->snap);
	filewatch_follow(m->files, g->snap->rules);
	namewatch_follow(m->names, g->snap);
	announce(m, g->snap);
	if (before == NULL)
		return;
	close_unused_listeners(m, g->snap);
	drain(before);
	console_settled(m->console, true);
}

static void
note_ready(struct seat *seat)
{
	struct generation *g = seat->generation;

	seat->is_ready = true;
	if (g->phase != GEN_BEGUN)
		return;
	for (size_t i = 0; i < g->seat_count; i++)
		if (!g->seats[i].is_ready)
			return;
	take_charge(g);
}

/* A client for the backend's command. Takes the socket. */
static void
spawn_command(struct generation *g, const struct order *order, int fd)
{
	struct master *m = g->master;

	if (order->kind == ORDER_SPAWN && g->snap->backend.kind == BACKEND_SPAWN) {
		log_flush();
		spawner_start(m->spawner, &g->snap->backend, &order->peer, &order->local,
		    order->last != 0, fd);
	}
	close(fd);
}

static void
on_word(int fd, short what, void *arg)
{
	static struct order order;
	struct seat *seat = arg;

	(void)what;
	int passed;
	if (!order_recv_fd(fd, &order, &passed)) {
		if (errno != EAGAIN)
			watch_stop(&seat->word); /* its end is closed: the signal will tell */
	} else if (passed >= 0) {
		spawn_command(seat->generation, &order, passed);
	} else if (order.kind == ORDER_READY) {
		note_ready(seat);
	} else if (order.kind == ORDER_ROWS) {
		console_rows(seat->generation->master->console, &order);
	}
}

static void
begin(struct master *m, struct snapshot *snap)
{
	struct generation *g = generation_new(m, snap);

	m->begun = g;
	for (size_t i = 0; i < g->seat_count; i++)
		spawn(&g->seats[i]);
}

/* A worker of the new generation died before it served: the old one stays in charge. */
static void
abandon(struct generation *g)
{
	struct master *m = g->master;

	m->begun = NULL;
	if (m->serving == NULL) {
		m->failed = true;
		log_fatal("the workers cannot start");
	} else {
		log_error("the new workers cannot start; the old configuration stays in force");
		notify("READY=1\n");
		console_settled(m->console, false);
	}
	signal_all(g, SIGTERM);
	close_unused_listeners(m, m->serving == NULL ? NULL : m->serving->snap);
	drain(g);
	if (m->failed)
		loop_stop(m->loop);
}

static void
on_again(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	spawn(arg);
}

static void
log_death(const struct seat *seat, int status)
{
	const char *role = seat->role == SEAT_TLS ? "tlsproxy" : "worker";

	if (WIFSIGNALED(status))
		log_warning("%s %u (process %ld) was killed by signal %d", role, seat->number,
		    (long)seat->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 || seat->generation->phase != GEN_DRAINING)
		log_warning("%s %u (process %ld) ended with status %d", role, seat->number,
		    (long)seat->pid, WEXITSTATUS(status));
}

static void
bury(struct seat *seat, int status)
{
	struct generation *g = seat->generation;
	struct master *m = g->master;

	log_death(seat, status);
	if (m->store != NULL && WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGSEGV))
		store_writer_suspect(m->store);
	close_channel(seat);
	console_died(m->console, g->phase != GEN_DRAINING);
	if (seat->slot != NULL) {
		console_fold(m->console, seat->slot, g->snap);
		shared_give(m->shared, seat->slot);
	}
	seat->slot = NULL;
	seat->pid = 0;
	if (g->phase == GEN_DRAINING) {
		finish_if_gone(g);
	} else if (g->phase == GEN_BEGUN) {
		abandon(g);
	} else {
		if (clock_now_us() - seat->started_us > LIVED_LONG_US)
			seat->backoff_ms = 0;
		try_later(seat);
	}
}

static struct seat *
find_seat(struct generation *g, pid_t pid)
{
	for (size_t i = 0; g != NULL && i < g->seat_count; i++)
		if (g->seats[i].pid == pid)
			return &g->seats[i];
	return NULL;
}

static void
on_child(int signo, short what, void *arg)
{
	struct master *m = arg;
	int status;
	pid_t pid;

	(void)signo, (void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct seat *seat = find_seat(m->serving, pid);
		if (seat == NULL)
			seat = find_seat(m->begun, pid);
		for (struct generation *g = m->draining; g != NULL && seat == NULL; g = g->next)
			seat = find_seat(g, pid);
		if (seat != NULL)
			bury(seat, status);
		else if (spawner_child_died(m->spawner, pid) ||
			 namewatch_child_died(m->names, pid, status))
			continue;
		else if (m->sink != NULL)
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

static int64_t
sweep_interval(const struct snapshot *snap)
{
	return rules_seconds(snap->rules, P_postscreen_cache_cleanup_interval);
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
	if (m->store != NULL)
		store_writer_rules(m->store, &snap->policy, sweep_interval(snap));
	begin(m, snap);
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
		signal_all(g, SIGKILL);
}

static void
drain_all(struct master *m)
{
	struct generation *serving = m->serving, *begun = m->begun;

	m->stopping = true;
	tlscare_free(&m->care); /* the snapshot they look after goes */
	filewatch_free(&m->files);
	namewatch_free(&m->names);
	notify("STOPPING=1\n");
	close_unused_listeners(m, NULL);
	m->serving = m->begun = NULL;
	if (begun != NULL)
		drain(begun);
	if (serving != NULL)
		drain(serving);
}

void
master_drain(struct master *m)
{
	if (m->stopping)
		return;
	log_info("draining: no new clients are taken");
	drain_all(m);
	if (m->draining == NULL)
		loop_stop(m->loop);
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
		signal_all(g, SIGTERM);
	watch_start_once(&m->stop_limit, STOP_LIMIT_MS);
	if (m->draining == NULL)
		loop_stop(m->loop);
}

static void
on_term(int signo, short what, void *arg)
{
	(void)signo, (void)what;
	master_stop(arg);
}

static size_t
view_seats(const struct generation *g, struct seat_view *out, size_t max)
{
	static const char *const roles[] = { "screen", "tlsproxy" };
	static const char *const phases[] = { "starting", "serving", "draining" };
	size_t n = 0;

	for (size_t i = 0; g != NULL && i < g->seat_count && n < max; i++) {
		const struct seat *s = &g->seats[i];
		if (s->pid == 0 && g->phase == GEN_DRAINING)
			continue;
		out[n++] = (struct seat_view){ roles[s->role], phases[g->phase], s->number, s->pid,
			s->is_ready, s->started_us, s->channel, s->slot, g->snap };
	}
	return n;
}

size_t
master_seats(const struct master *m, struct seat_view *out, size_t max)
{
	size_t n = view_seats(m->serving, out, max);

	n += view_seats(m->begun, out + n, max - n);
	for (const struct generation *g = m->draining; g != NULL; g = g->next)
		n += view_seats(g, out + n, max - n);
	return n;
}

struct loop *
master_loop(const struct master *m)
{
	return m->loop;
}

const struct shared *
master_shared(const struct master *m)
{
	return m->shared;
}

const struct snapshot *
master_snapshot(const struct master *m)
{
	if (m->serving != NULL)
		return m->serving->snap;
	return m->stopping && m->draining != NULL ? m->draining->snap : NULL;
}

bool
master_stopping(const struct master *m)
{
	return m->stopping;
}

static void
watch_signals(struct master *m)
{
	watch_init_signal(&m->hup, m->loop, SIGHUP, on_hup, m);
	watch_init_signal(&m->term, m->loop, SIGTERM, on_term, m);
	watch_init_signal(&m->intr, m->loop, SIGINT, on_term, m);
	watch_init_signal(&m->child, m->loop, SIGCHLD, on_child, m);
	watch_init_timer(&m->stop_limit, m->loop, on_stop_limit, m);
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
	m->shared = shared_new();
	if (m->shared == NULL) {
		log_fatal("no memory to share with the workers: %s", strerror(errno));
		return false;
	}
	m->care = tlscare_new(m->loop, renew_workers, m);
	tlscare_serve(m->care, snap);
	m->files = filewatch_new(m->loop, renew_workers, m);
	m->names = namewatch_new(m->loop, renew_workers, m);
	m->spawner = spawner_new((size_t)rules_number(snap->rules, P_gatehouse_spawn_limit));
	raise_limits(snap);
	m->console = console_new(m);
	if (!open_listeners(m, snap))
		return false;
	if (snap->backend.kind == BACKEND_SINK) {
		m->sink = sinkhole_open(m->loop, snap);
		if (m->sink == NULL)
			return false;
	}
	if (snap->store_path != NULL) {
		m->store = store_writer_open(
		    m->loop, snap->store_path, snap->user, &snap->policy, sweep_interval(snap));
		store_writer_on_renewal(m->store, renew_workers, m);
	}
	return true;
}

int
master_main(const struct master_start *start)
{
	static struct master m;

	m = (struct master){ .loop = loop_new(), .start = start, .ready_fd = start->ready_fd };
	signal(SIGPIPE, SIG_IGN);
	loop_after_turn(m.loop, flush_logs, NULL);
	watch_signals(&m);
	if (open_shop(&m, start->snap)) {
		begin(&m, start->snap);
		loop_run(m.loop);
	} else {
		struct snapshot *snap = start->snap;
		snapshot_free(&snap);
		m.failed = true;
	}
	console_free(&m.console);
	sinkhole_close(&m.sink);
	spawner_free(&m.spawner);
	store_writer_free(&m.store);
	tlscare_free(&m.care);
	filewatch_free(&m.files);
	namewatch_free(&m.names);
	close_unused_listeners(&m, NULL);
	shared_free(&m.shared);
	loop_free(&m.loop);
	if (!m.failed)
		log_info("stopped");
	log_flush();
	return m.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
