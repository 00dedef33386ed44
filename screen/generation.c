#include "config.h"

#define LOG_PROGRAM "gatehouse"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/generation.h"
#include "screen/mailbox.h"
#include "tlsproxy/tlsproxy.h"

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

static bool
open_tls_channel(struct generation *g)
{
	if (tlsproxy_channel(g->tls_channel))
		return true;
	g->tls_channel[0] = g->tls_channel[1] = -1;
	log_error("no channel to the TLS processes: %s; STARTTLS gets 454", strerror(errno));
	return false;
}

void
generation_signal(const struct generation *g, int signo)
{
	for (size_t i = 0; i < g->seat_count; i++)
		if (g->seats[i].pid != 0)
			kill(g->seats[i].pid, signo);
}

static void
on_drain_limit(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	log_warning("workers still busy after gatehouse_drain_time_limit are ended");
	generation_signal(arg, SIGTERM);
}

static struct pools_board *
open_pools(const struct snapshot *snap, const struct generation *before)
{
	struct pools_board *board = snap->pools == NULL ? NULL : pools_board_new(snap->pools);

	if (snap->pools != NULL && board == NULL)
		log_error("no memory for pools of senders: %s; they are screened as any other",
		    strerror(errno)); /* fail open */
	if (board != NULL && before != NULL && before->pools != NULL)
		pools_board_inherit(board, before->pools);
	return board;
}

static struct generation *
generation_new(struct workplace *at, struct snapshot *snap)
{
	size_t tls = tlsproxy_conf_ready(snap->tls)
			 ? (size_t)rules_number(snap->rules, P_gatehouse_tls_workers)
			 : 0;
	struct generation *g = mem_alloc(sizeof *g + (snap->workers + tls) * sizeof g->seats[0]);

	g->at = at;
	g->snap = snap;
	g->journal_fd = open_journal(snap);
	g->tls_channel[0] = g->tls_channel[1] = -1;
	open_mailboxes(g);
	watch_init_timer(&g->limit, at->loop, on_drain_limit, g);
	if (tls > 0 && !open_tls_channel(g))
		tls = 0;
	for (unsigned i = 0; i < snap->workers; i++)
		seat_init(&g->seats[g->seat_count++], g, SEAT_SCREEN, i);
	for (unsigned i = 0; i < tls; i++)
		seat_init(&g->seats[g->seat_count++], g, SEAT_TLS, i);
	return g;
}

struct generation *
generation_begin(struct workplace *at, struct snapshot *snap, const struct generation *before)
{
	struct generation *g = generation_new(at, snap);

	g->pools = open_pools(snap, before);
	for (size_t i = 0; i < g->seat_count; i++)
		seat_fill(&g->seats[i]);
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

void
generation_free(struct generation *g)
{
	close_tls_channel(g);
	close_mailboxes(g);
	for (size_t i = 0; i < g->seat_count; i++)
		restart_stop(&g->seats[i].restart);
	watch_stop(&g->limit);
	if (g->journal_fd >= 0)
		close(g->journal_fd);
	pools_board_free(&g->pools); /* before the rules it borrows */
	snapshot_free(&g->snap);
	free(g);
}

static bool
all_gone(const struct generation *g)
{
	for (size_t i = 0; i < g->seat_count; i++)
		if (g->seats[i].pid != 0)
			return false;
	return true;
}

void
generation_drain(struct generation *g)
{
	g->phase = GEN_DRAINING;
	for (size_t i = 0; i < g->seat_count; i++)
		seat_drain(&g->seats[i]);
	close_tls_channel(g); /* its processes end with the last worker that has the sending end */
	watch_start_once(
	    &g->limit, rules_seconds(g->snap->rules, P_gatehouse_drain_time_limit) * 1000);
	if (all_gone(g))
		g->at->events->gone(g->at->arg, g);
}

void
generation_ready(struct generation *g)
{
	if (g->phase != GEN_BEGUN)
		return;
	for (size_t i = 0; i < g->seat_count; i++)
		if (!g->seats[i].is_ready)
			return;
	g->phase = GEN_SERVING;
	g->at->events->serves(g->at->arg, g);
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
	const struct workplace *at = g->at;

	log_death(seat, status);
	at->events->lost(at->arg, g, seat->slot, status);
	seat_empty(seat);
	if (g->phase == GEN_SERVING)
		restart_later(&seat->restart);
	else if (g->phase == GEN_BEGUN)
		at->events->failed(at->arg, g);
	else if (all_gone(g))
		at->events->gone(at->arg, g);
}

bool
generation_bury(struct generation *g, pid_t pid, int status)
{
	for (size_t i = 0; g != NULL && i < g->seat_count; i++)
		if (g->seats[i].pid == pid) {
			bury(&g->seats[i], status);
			return true;
		}
	return false;
}

size_t
generation_view(const struct generation *g, enum seat_role role, struct seat_view *out, size_t max)
{
	static const char *const roles[] = { "screen", "tlsproxy" };
	static const char *const phases[] = { "starting", "serving", "draining" };
	size_t n = 0;

	for (size_t i = 0; g != NULL && i < g->seat_count && n < max; i++) {
		const struct seat *s = &g->seats[i];
		if (s->role != role || (s->pid == 0 && g->phase == GEN_DRAINING))
			continue;
		out[n++] = (struct seat_view){ roles[s->role], phases[g->phase], s->number, s->pid,
			s->is_ready, s->restart.started_us, s->channel, s->slot, g->snap };
	}
	return n;
}
