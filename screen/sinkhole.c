#include "config.h"

#include <errno.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jail.h"
#include "base/log.h"
#include "base/mem.h"
#include "screen/sinkhole.h"

#define LOG_PROGRAM "gatehouse"
#define PROGRAM "gatehouse-sink"
#define AGAIN_MS 1000

struct sinkhole {
	char *program, *dir, *user, *host;
	int listen_fd;
	pid_t pid;
	struct watch again;
};

/* Beside our own program first, so that a build tree works. */
static char *
find_program(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n > 0) {
		self[n] = '\0';
		char *path = mem_printf("%s/%s", dirname(self), PROGRAM);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return mem_strdup(GH_SBINDIR "/" PROGRAM);
}

static int
open_socket(const struct snapshot *snap)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const struct passwd *pw = getpwnam(snap->user);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, snap->backend.path, strlen(snap->backend.path) + 1);
	if (mkdir(snap->backend.dir, 0700) != 0 && errno != EEXIST)
		goto failed;
	unlink(un.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) != 0 || listen(fd, 1024) != 0)
		goto failed;
	if (geteuid() == 0 && pw != NULL &&
	    (chown(snap->backend.dir, pw->pw_uid, pw->pw_gid) != 0 ||
		chown(un.sun_path, pw->pw_uid, pw->pw_gid) != 0))
		goto failed;
	return fd;
failed:
	log_fatal("gatehouse_backend: %s: %s", snap->backend.path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static _Noreturn void
become_sink(const struct sinkhole *sh)
{
	char number[16], err[160];
	int keep[] = { sh->listen_fd, log_fd() };

	fd_close_others(keep, 2);
	fd_cloexec(sh->listen_fd, false);
	snprintf(number, sizeof number, "%d", sh->listen_fd);
	signal(SIGINT, SIG_IGN); /* Ctrl-C is the master's business */
	signal(SIGHUP, SIG_IGN);
	if (!jail_drop(sh->user, err, sizeof err)) {
		log_fatal("%s: %s", PROGRAM, err);
	} else {
		/* A master that is killed takes it along. After the drop: that clears it. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(sh->program, PROGRAM, "-n", sh->host, "-l", number, sh->dir, (char *)NULL);
		log_fatal("cannot start %s: %s", sh->program, strerror(errno));
	}
	log_flush();
	_exit(EXIT_FAILURE);
}

static void
start(int fd, short what, void *arg)
{
	struct sinkhole *sh = arg;

	(void)fd, (void)what;
	log_flush();
	sh->pid = fork();
	if (sh->pid == 0)
		become_sink(sh);
	if (sh->pid < 0)
		watch_start_once(&sh->again, AGAIN_MS);
}

struct sinkhole *
sinkhole_open(struct loop *loop, const struct snapshot *snap)
{
	int fd = open_socket(snap);

	if (fd < 0)
		return NULL;
	struct sinkhole *sh = mem_alloc(sizeof *sh);
	sh->listen_fd = fd;
	sh->program = find_program();
	sh->dir = mem_strdup(snap->backend.dir);
	sh->user = mem_strdup(snap->user);
	sh->host = mem_strdup(snap->myhostname);
	watch_init_timer(&sh->again, loop, start, sh);
	start(-1, 0, sh);
	return sh;
}

void
sinkhole_child_died(struct sinkhole *sh, pid_t pid, int status)
{
	if (pid != sh->pid)
		return;
	sh->pid = 0;
	log_warning("%s ended (%s %d); it is started again", PROGRAM,
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	watch_start_once(&sh->again, AGAIN_MS);
}

void
sinkhole_close(struct sinkhole **shp)
{
	struct sinkhole *sh = *shp;

	if (sh == NULL)
		return;
	watch_stop(&sh->again);
	if (sh->pid > 0) {
		kill(sh->pid, SIGTERM);
		waitpid(sh->pid, NULL, 0);
	}
	close(sh->listen_fd);
	free(sh->program);
	free(sh->dir);
	free(sh->user);
	free(sh->host);
	free(sh);
	*shp = NULL;
}
