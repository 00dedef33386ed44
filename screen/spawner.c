#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "screen/spawner.h"

#define LOG_PROGRAM "gatehouse"

struct spawner {
	size_t limit, count;
	pid_t pids[];
};

struct spawner *
spawner_new(size_t limit)
{
	struct spawner *sp = mem_alloc(sizeof *sp + limit * sizeof sp->pids[0]);

	sp->limit = limit;
	return sp;
}

void
spawner_free(struct spawner **sp)
{
	free(*sp);
	*sp = NULL;
}

static void
set_endpoint(const char *ip_name, const char *port_name, const struct endpoint *e)
{
	char addr[ADDR_TEXT_SIZE], port[8];
	struct buf b = BUF(port);

	buf_uint(&b, e->port);
	setenv(ip_name, addr_format(&e->addr, addr), 1);
	setenv(port_name, port, 1);
}

/* Signals as a program expects to find them. */
static void
reset_signals(void)
{
	static const int ours[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGCHLD };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		signal(ours[i], SIG_DFL);
}

static _Noreturn void
become_command(
    const struct backend *b, const struct endpoint *peer, const struct endpoint *local, int fd)
{
	reset_signals();
	setsid(); /* Ctrl-C at our terminal is not meant for mail in transit */
	fd_nonblock(fd, false);
	dup2(fd, 0);
	dup2(fd, 1);
	fd_close_others(NULL, 0);
	setenv("PROTO", "TCP", 1);
	set_endpoint("TCPREMOTEIP", "TCPREMOTEPORT", peer);
	set_endpoint("TCPLOCALIP", "TCPLOCALPORT", local);
	unsetenv("NOTIFY_SOCKET");
	char *text = mem_printf("exec %s", b->command);
	execl("/bin/sh", "sh", "-c", text, (char *)NULL);
	_exit(127);
}

void
spawner_start(struct spawner *sp, const struct backend *b, const struct endpoint *peer,
    const struct endpoint *local, bool teased, int fd)
{
	static const char busy[] = "421 4.3.2 All server ports are busy\r\n";
	pid_t pid = -1;

	if (sp->count == sp->limit) {
		log_warning("gatehouse_spawn_limit: %zu commands are running: a client gets 421",
		    sp->limit);
	} else {
		pid = fork();
		if (pid == 0)
			become_command(b, peer, local, fd);
		if (pid < 0)
			log_warning("cannot start %s: fork: %s", b->command, strerror(errno));
	}
	if (pid > 0)
		sp->pids[sp->count++] = pid;
	else if (!teased)
		(void)!send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool
spawner_child_died(struct spawner *sp, pid_t pid)
{
	for (size_t i = 0; i < sp->count; i++)
		if (sp->pids[i] == pid) {
			sp->pids[i] = sp->pids[--sp->count];
			return true;
		}
	return false;
}
