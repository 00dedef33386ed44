#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jail.h"
#include "tlsproxy/crypto.h"

#define LOG_PROGRAM "tlsproxy"
#define TAKE_AT_ONCE 8 /* clients from one channel in one turn: leave some to the other processes */
#define SPARE_FDS 32   /* for everything that is not a client */
#define TRIM_MS 1000

struct process {
	struct loop *loop;
	struct tls_contexts *contexts;
	struct bridges bridges;
	struct watch term, trim, watchdog;
	size_t channel_count, open_count;
	struct channel {
		struct watch watch;
		int fd;
		bool open;
		struct process *process;
	} channels[TLSPROXY_CHANNELS_MAX];
	struct log_limit bad_limit;
	bool draining, paused, trimming;
};

static void
watch_channels(struct process *p)
{
	bool wanted = !p->draining && !bridges_full(&p->bridges);

	if (wanted != p->paused)
		return;
	p->paused = !wanted;
	for (size_t i = 0; i < p->channel_count; i++)
		if (p->channels[i].open && wanted)
			watch_start(&p->channels[i].watch);
		else
			watch_stop(&p->channels[i].watch);
}

static void
end_if_done(struct process *p)
{
	if ((p->draining || p->open_count == 0) && bridges_used(&p->bridges) == 0)
		loop_stop(p->loop);
}

static void
on_trim(int fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd, (void)what;
	p->trimming = tls_blocks_trim();
	if (p->trimming)
		watch_start_once(&p->trim, TRIM_MS);
}

/* Every client leaves blocks behind, most of them at the end of its handshake. */
static void
trim_later(struct process *p)
{
	if (p->trimming)
		return;
	p->trimming = true;
	watch_start_once(&p->trim, TRIM_MS);
}

static void
on_bridge_end(void *arg)
{
	struct process *p = arg;

	trim_later(p);
	watch_channels(p);
	end_if_done(p);
}

static void
on_term(int signo, short what, void *arg)
{
	struct process *p = arg;

	(void)signo, (void)what;
	if (p->draining)
		loop_stop(p->loop);
	p->draining = true;
	watch_channels(p);
	end_if_done(p);
}

static void
say_bad(struct process *p, const char *what)
{
	unsigned held = 0;

	if (log_allowed(&p->bad_limit, loop_now_us(p->loop), &held))
		log_warning("a request from a screen worker is refused: %s", what);
}

/* A worker that has been taken over may send anything; what is no socket fails by itself. */
static void
take_request(struct process *p, struct span message, const int *fds, size_t count)
{
	struct tlsproxy_request request;

	if (count == 2 && tls_request_parse(message, &request)) {
		trim_later(p);
		bridge_start(&p->bridges, &request, fds[0], fds[1]);
		return;
	}
	say_bad(p, "not a request with two descriptors");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* Zero bytes are also what an empty message looks like. */
static bool
hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR)) != 0;
}

static void
close_channel(struct channel *c)
{
	watch_stop(&c->watch);
	c->open = false;
	c->process->open_count--;
	end_if_done(c->process);
}

static void
on_channel(int fd, short what, void *arg)
{
	struct channel *c = arg;
	struct process *p = c->process;

	(void)what;
	for (int i = 0; i < TAKE_AT_ONCE && c->open && !bridges_full(&p->bridges); i++) {
		char message[TLS_REQUEST_SIZE + 1];
		int fds[2];
		size_t count = 2;
		ssize_t n = fd_recv(fd, message, sizeof message, fds, &count);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0 && errno == EMSGSIZE)
			say_bad(p, "more descriptors than two");
		else if (n < 0 || (n == 0 && count == 0 && hung_up(fd)))
			close_channel(c);
		else
			take_request(p, (struct span){ message, (size_t)n }, fds, count);
	}
	watch_channels(p);
}

/* Signals as the master has them set up lead into its loop. */
static void
reset_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		(void)signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
close_others(const struct tlsproxy_process *given)
{
	int keep[TLSPROXY_CHANNELS_MAX + 1];
	size_t n = given->channel_count < TLSPROXY_CHANNELS_MAX ? given->channel_count
								: TLSPROXY_CHANNELS_MAX;

	memcpy(keep, given->channels, n * sizeof keep[0]);
	keep[n] = log_fd();
	fd_close_others(keep, n + 1);
}

static size_t
fit_limit(size_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return wanted;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	size_t fits = limit.rlim_cur > SPARE_FDS + TLSPROXY_CHANNELS_MAX + 2
			  ? (limit.rlim_cur - SPARE_FDS - TLSPROXY_CHANNELS_MAX) / 2
			  : 1;
	if (fits >= wanted)
		return wanted;
	log_warning(
	    "only %zu TLS sessions fit into the limit of %lu open files: raise it (LimitNOFILE)",
	    fits, (unsigned long)limit.rlim_cur);
	return fits;
}

static void
say(void *arg, enum diag_level level, const char *file, const char *text)
{
	(void)arg;
	log_line(level == DIAG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, LOG_PROGRAM, "%s%s%s",
	    file != NULL ? file : "", file != NULL ? ": " : "", text);
}

static bool
lock_up(const char *user)
{
	char err[256];

	if (jail_drop(user, err, sizeof err) && jail_seccomp(JAIL_TLSPROXY, err, sizeof err))
		return true;
	log_error("cannot lock the jail: %s", err);
	return false;
}

static void
open_channels(struct process *p, const struct tlsproxy_process *given)
{
	for (size_t i = 0; i < given->channel_count; i++) {
		struct channel *c = &p->channels[p->channel_count++];
		*c = (struct channel){ .fd = given->channels[i], .open = true, .process = p };
		watch_init(&c->watch, p->loop, c->fd, WATCH_READ, on_channel, c);
		watch_start(&c->watch);
	}
	p->open_count = p->channel_count;
}

/*
 * A loop that does not come back in time is ended by SIGALRM, and the master starts another. Three steps a
 * span, so that an idle one is never suspected.
 */
static void
on_watchdog(int fd, short what, void *arg)
{
	struct process *p = arg;
	int64_t span_s = p->contexts->conf->watchdog_s;

	(void)fd, (void)what;
	alarm((unsigned)span_s);
	watch_start_once(&p->watchdog, span_s * 1000 / 3);
}

static void
flush_log(void *arg)
{
	(void)arg;
	log_flush();
}

static void
serve(struct process *p, const struct tlsproxy_process *given)
{
	bridges_init(&p->bridges, p->loop, p->contexts, fit_limit(given->session_limit));
	p->bridges.on_end = on_bridge_end;
	p->bridges.arg = p;
	watch_init_signal(&p->term, p->loop, SIGTERM, on_term, p);
	watch_start(&p->term);
	watch_init_timer(&p->trim, p->loop, on_trim, p);
	watch_init_timer(&p->watchdog, p->loop, on_watchdog, p);
	on_watchdog(-1, 0, p);
	loop_after_turn(p->loop, flush_log, NULL);
	if (p->contexts->conf->log_features & TLS_LOG_VERBOSE)
		log_info("initializing the server-side TLS engine");
	open_channels(p, given);
	loop_run(p->loop);
	for (size_t i = 0; i < p->channel_count; i++)
		watch_stop(&p->channels[i].watch);
	p->draining = true;
	bridges_fini(&p->bridges);
	alarm(0);
	watch_stop(&p->watchdog);
	watch_stop(&p->trim);
	watch_stop(&p->term);
}

int
tlsproxy_main(const struct tlsproxy_process *given)
{
	struct process *p = mem_alloc(sizeof *p);

	assert(given->channel_count <= TLSPROXY_CHANNELS_MAX);
	(void)prctl(PR_SET_NAME, "gatehouse-tls", 0, 0, 0);
	reset_signals();
	close_others(given);
	tls_blocks_open();
	p->loop = loop_new();
	p->contexts = tls_contexts_new(given->conf, given->tickets, p->loop, say, NULL);
	tls_vault_drop(given->conf->vault);
	bool ok = p->contexts != NULL && lock_up(given->user);
	if (ok)
		serve(p, given);
	tls_contexts_free(&p->contexts);
	loop_free(&p->loop);
	free(p);
	log_flush();
	return ok ? 0 : 1;
}
