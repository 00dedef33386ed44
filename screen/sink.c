#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jail.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "screen/sink.h"

#define GUESTS_MAX 1000
#define IDLE_US (300 * INT64_C(1000000))
#define LIFE_US (3600 * INT64_C(1000000))
#define PAUSE_MS 100

static void guest_ready(int fd, short what, void *arg);

static void
guest_end(struct guest *g)
{
	watch_stop(&g->io);
	deadline_disarm(&g->idle);
	deadline_disarm(&g->life);
	mail_abort(g->sink->maildir, &g->mail);
	close(g->fd);
	if (g->client_fd != -1)
		close(g->client_fd);
	pool_give(g->sink->guests, g);
}

static void
guest_watch(struct guest *g, short what)
{
	watch_stop(&g->io);
	watch_init(&g->io, g->sink->loop, g->fd, what, guest_ready, g);
	watch_start(&g->io);
}

/* Writes what there is. False if the client is gone. */
static bool
flush_out(struct guest *g)
{
	ssize_t sent = g->out.len > 0 ? send(g->fd, g->out.p, g->out.len, MSG_NOSIGNAL) : 0;

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	g->out.len -= (size_t)sent;
	memmove(g->out.p, g->out.p + sent, g->out.len);
	return true;
}

/* After every step: write, end if all is said, else wait for what is needed next. */
static void
guest_settle(struct guest *g)
{
	if (!flush_out(g) || (g->closing && g->out.len == 0)) {
		guest_end(g);
		return;
	}
	guest_watch(g, g->out.len > 0 ? WATCH_WRITE : WATCH_READ);
}

/* The client's socket and its attributes have come: the guest turns from the screen to the client. */
static void
guest_welcome(struct guest *g)
{
	if (!sink_attributes((struct span){ g->in.p, g->in.len }, &g->client, &g->server)) {
		log_warning("bad attributes of a passed connection");
		guest_end(g);
		return;
	}
	watch_stop(&g->io);
	close(g->fd);
	g->fd = g->client_fd;
	g->client_fd = -1;
	g->receiving = false;
	g->in.len = 0;
	if (!fd_nonblock(g->fd, true)) {
		guest_end(g);
		return;
	}
	dialogue_greet(g);
	guest_settle(g);
}

/* From the screen: one byte with the socket, then the list (Postfix's pass protocol). */
static void
guest_receive(struct guest *g)
{
	size_t count = 1;
	ssize_t n;

	if (g->client_fd == -1) {
		char byte;
		n = fd_recv(g->fd, &byte, 1, &g->client_fd, &count);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n != 1 || count != 1) {
			g->client_fd = -1;
			guest_end(g);
		}
		return;
	}
	n = recv(g->fd, g->in.p + g->in.len, g->in.size - g->in.len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		guest_end(g);
		return;
	}
	g->in.len += (size_t)n;
	if (sink_attributes_complete((struct span){ g->in.p, g->in.len }))
		guest_welcome(g);
	else if (g->in.len == g->in.size)
		guest_end(g);
}

static void
guest_talk(struct guest *g, short what)
{
	if (what & WATCH_READ) {
		ssize_t n = recv(g->fd, g->in.p + g->in.len, g->in.size - g->in.len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			guest_end(g);
			return;
		}
		if (n > 0) {
			g->in.len += (size_t)n;
			deadline_arm(&g->sink->idle, &g->idle);
		}
	}
	if (!flush_out(g)) {
		guest_end(g);
		return;
	}
	dialogue_input(g);
	guest_settle(g);
}

static void
guest_ready(int fd, short what, void *arg)
{
	struct guest *g = arg;

	(void)fd;
	if (g->receiving)
		guest_receive(g);
	else
		guest_talk(g, what);
}

static void
guest_idle(struct deadline *d)
{
	struct guest *g = container_of(d, struct guest, idle);

	if (!g->receiving) {
		dialogue_close(g, "421 4.4.2 Timeout");
		(void)flush_out(g);
	}
	guest_end(g);
}

static void
guest_over(struct deadline *d)
{
	guest_end(container_of(d, struct guest, life));
}

static void
door_open(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct sink *sink = arg;

	watch_start(&sink->door);
}

/* No room for more: those in the queue wait there, and the screen with them. */
static void
door_pause(struct sink *sink)
{
	watch_stop(&sink->door);
	watch_start_once(&sink->pause, PAUSE_MS);
}

static void
door_ready(int door, short what, void *arg)
{
	struct sink *sink = arg;
	struct guest *g = pool_take(sink->guests);
	int fd;

	(void)what;
	if (g == NULL) {
		door_pause(sink);
		return;
	}
	fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1) {
		pool_give(sink->guests, g);
		if (errno == EMFILE || errno == ENFILE)
			door_pause(sink);
		return;
	}
	g->sink = sink;
	g->fd = fd;
	g->client_fd = -1;
	g->receiving = true;
	g->in = BUF(g->in_bytes);
	g->out = BUF(g->out_bytes);
	deadline_arm(&sink->idle, &g->idle);
	deadline_arm(&sink->life, &g->life);
	guest_watch(g, WATCH_READ);
}

static void
stop(int signo, short what, void *arg)
{
	(void)signo, (void)what;
	loop_stop(arg);
}

/* Two descriptors a guest at most: its socket and its message's file. */
static size_t
guests_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 100;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 2 * GUESTS_MAX + 64 ? GUESTS_MAX
						    : (size_t)(limit.rlim_cur - 64) / 2;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path));
	(void)unlink(path);
	if (fd == -1 || bind(fd, (struct sockaddr *)&un, sizeof un) != 0 ||
	    chmod(path, 0666) != 0 || listen(fd, 1024) != 0)
		return -1;
	return fd;
}

static void
after_turn(void *arg)
{
	(void)arg;
	log_flush();
}

static int
serve(struct sink *sink, int door)
{
	sink->loop = loop_new();
	sink->guests = pool_new(guests_allowed(), sizeof(struct guest));
	deadline_queue_init(&sink->idle, sink->loop, IDLE_US, guest_idle);
	deadline_queue_init(&sink->life, sink->loop, LIFE_US, guest_over);
	watch_init_timer(&sink->pause, sink->loop, door_open, sink);
	watch_init_signal(&sink->stop[0], sink->loop, SIGTERM, stop, sink->loop);
	watch_init_signal(&sink->stop[1], sink->loop, SIGINT, stop, sink->loop);
	watch_start(&sink->stop[0]);
	watch_start(&sink->stop[1]);
	watch_init(&sink->door, sink->loop, door, WATCH_READ, door_ready, sink);
	watch_start(&sink->door);
	loop_after_turn(sink->loop, after_turn, NULL);
	loop_run(sink->loop);
	return 0;
}

static int
usage(FILE *to)
{
	fputs("usage: gatehouse-sink [-n HOSTNAME] [-u USER] -l DESCRIPTOR|SOCKET MAILDIR|-\n", to);
	return to == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
	static const struct option words[] = { { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	static struct sink sink;
	static char name[64];
	const char *user = NULL, *host = NULL;
	char err[200];
	int64_t door = -1;
	int option;

	while ((option = getopt_long(argc, argv, "l:n:u:h", words, NULL)) != -1) {
		if (option == 'n')
			host = optarg;
		else if (option == 'u')
			user = optarg;
		else if (option == 'h')
			return usage(stdout);
		else if (option != 'l' || !span_int(span_of(optarg), 0, 1 << 20, &door))
			return usage(stderr);
	}
	if (argc - optind != (door == -1 ? 2 : 1))
		return usage(stderr);
	if (host == NULL && gethostname(name, sizeof name - 1) == 0)
		host = name;
	sink.host = host != NULL && host[0] != '\0' ? host : "localhost";
	(void)log_open("stderr", "gatehouse", LOG_MAIL);
	if (door == -1 && (door = listen_at(argv[optind++])) == -1) {
		log_fatal("%s: %s", argv[optind - 1], strerror(errno));
		return 1;
	}
	sink.maildir = maildir_open(argv[optind], sink.host, user);
	if (sink.maildir == NULL)
		return 1;
	if (user != NULL && !jail_drop(user, err, sizeof err)) {
		log_fatal("%s", err);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fd_nonblock((int)door, true);
	return serve(&sink, (int)door);
}
