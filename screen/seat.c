#include "config.h"

#define LOG_PROGRAM "gatehouse"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/generation.h"
#include "screen/worker.h"
#include "tlsproxy/tlsproxy.h"

/* The child's side of a fork. */
static _Noreturn void
become_worker(const struct seat *seat, int channel, int store_fd)
{
	const struct generation *g = seat->generation;
	struct workplace *at = g->at;
	struct worker_start start = { .snap = g->snap,
		.number = seat->number,
		.shared = at->shared,
		.slot = seat->slot,
		.orders_fd = channel,
		.store_fd = store_fd,
		.pools = g->pools,
		.journal_fd = g->journal_fd,
		.tls_fd = g->tls_channel[0] };

	start.mail_in = g->mail[seat->number][1];
	for (size_t i = 0; i < start.snap->workers; i++)
		start.mail_out[i] = g->mail[i][0];
	loop_abandon(&at->loop);
	for (size_t i = 0; i < start.snap->listener_count; i++) {
		const struct listen_group *group =
		    listen_set_find(&at->listening, &start.snap->listeners[i].at);
		assert(group != NULL && seat->number < group->count);
		start.listen_fds[i] = group->fds[seat->number];
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
		.tickets = tlscare_tickets(g->at->care),
		.channels = &g->tls_channel[1],
		.channel_count = 1,
		.user = g->snap->tls_user,
		.session_limit = tls_sessions(g->snap) };

	loop_abandon(&g->at->loop);
	close(g->tls_channel[0]); /* or we would wait for ourselves at the end */
	int status = tlsproxy_main(&process);
	log_flush();
	_exit(status);
}

/* Nobody sits down now; another try follows. */
static void
fail(struct seat *seat, const char *why)
{
	log_error("cannot start %s %u: %s", seat->role == SEAT_TLS ? "tlsproxy" : "worker",
	    seat->number, why);
	if (seat->slot != NULL)
		shared_give(seat->generation->at->shared, seat->slot);
	seat->slot = NULL;
	seat->pid = 0;
	restart_later(&seat->restart);
}

static void
fill_tlsproxy(struct seat *seat)
{
	const struct generation *g = seat->generation;

	log_flush();
	seat->pid = tlsproxy_fork(g->snap->tls, tlscare_tickets(g->at->care));
	if (seat->pid == 0)
		become_tlsproxy(seat);
	if (seat->pid < 0) {
		fail(seat, strerror(errno));
		return;
	}
	atomic_fetch_add(&g->at->shared->tls_processes, 1);
	restart_started(&seat->restart);
	seat->is_ready = true;
}

static void
on_word(int fd, short what, void *arg)
{
	static struct order order;
	struct seat *seat = arg;
	const struct workplace *at = seat->generation->at;
	int passed;

	(void)what;
	if (!order_recv_fd(fd, &order, &passed)) {
		if (errno != EAGAIN)
			watch_stop(&seat->word); /* its end is closed: the signal will tell */
	} else if (order.kind != ORDER_READY) {
		at->events->word(at->arg, seat->generation, &order, passed);
	} else {
		if (passed >= 0)
			close(passed);
		seat->is_ready = true;
		generation_ready(seat->generation);
	}
}

/* The new process inherits its end of the channel and a way to the store. */
static void
fork_worker(struct seat *seat, int channel)
{
	const struct generation *g = seat->generation;
	int store_fd = keeper_feed(g->at->keeper, g->snap);

	log_flush();
	seat->pid = fork();
	if (seat->pid == 0)
		become_worker(seat, channel, store_fd);
	if (seat->pid < 0)
		fail(seat, strerror(errno));
}

static void
fill_screen(struct seat *seat)
{
	struct workplace *at = seat->generation->at;
	int pair[2];

	seat->slot = shared_take(at->shared);
	if (seat->slot == NULL) {
		fail(seat, "too many are draining");
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		fail(seat, strerror(errno));
		return;
	}
	fork_worker(seat, pair[1]);
	close(pair[1]);
	if (seat->pid == 0) {
		close(pair[0]);
		return;
	}
	seat->channel = pair[0];
	seat->is_ready = false;
	restart_started(&seat->restart);
	watch_init(&seat->word, at->loop, seat->channel, WATCH_READ, on_word, seat);
	watch_start(&seat->word);
}

void
seat_fill(struct seat *seat)
{
	if (seat->role == SEAT_TLS)
		fill_tlsproxy(seat);
	else
		fill_screen(seat);
}

static void
on_again(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	seat_fill(arg);
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

/* The channel stays open, so that what the worker still holds can be seen. */
void
seat_drain(struct seat *seat)
{
	static const struct order order = { .kind = ORDER_DRAIN };

	restart_stop(&seat->restart);
	if (seat->channel >= 0 && !order_send(seat->channel, &order))
		close_channel(seat); /* says the same */
}

void
seat_empty(struct seat *seat)
{
	struct shared *shared = seat->generation->at->shared;

	close_channel(seat);
	if (seat->slot != NULL)
		shared_give(shared, seat->slot);
	if (seat->role == SEAT_TLS)
		atomic_fetch_sub(&shared->tls_processes, 1);
	seat->slot = NULL;
	seat->pid = 0;
	restart_ended(&seat->restart);
}

void
seat_init(struct seat *seat, struct generation *g, enum seat_role role, unsigned number)
{
	seat->generation = g;
	seat->role = role;
	seat->number = number;
	seat->channel = -1;
	restart_init(&seat->restart, g->at->loop, on_again, seat);
}
