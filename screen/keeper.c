#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jail.h"
#include "base/log.h"
#include "base/mem.h"
#include "screen/keeper.h"
#include "screen/restart.h"

#define LOG_PROGRAM "gatehouse"
#define FIRST_NEWS_MS 15000 /* a big file is examined for ten seconds */
#define LEAVE_MS 5000	    /* for the last commit */
#define SUSPECT_AGAIN_US (60 * INT64_C(1000000))
#define RENEWAL_MIN_US (60 * INT64_C(1000000))
#define RENEWAL_MAX_US (3600 * INT64_C(1000000))

struct keeper {
	struct loop *loop;
	void (*renew)(void *arg);
	void *arg;
	int feed[2]; /* the keeper's end, the workers' end */
	char *path, *user;
	struct policy_rules rules;
	int64_t sweep_s;
	pid_t pid;	   /* 0: none */
	int channel;	   /* its news; closing it tells it to end. -1: none, or it is to end */
	struct watch word; /* of the channel */
	struct restart restart;
	struct watch kill;
	int64_t suspect_again_us;
	bool told, open, works;
	bool sound;   /* the last keeper ended well */
	bool doubted; /* the file: a worker fell */
	unsigned deaths;
	uint64_t file; /* that the workers can see; 0: none yet */
	struct {
		bool wanted;
		int64_t next_us, span_us;
		struct watch timer;
	} renewal;
};

struct word {
	enum store_news news;
	uint64_t file;
};

/* The process. */

static void
tell_master(void *arg, enum store_news news, uint64_t file)
{
	struct word word = { news, file };

	(void)send(*(const int *)arg, &word, sizeof word, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Nothing is ever said to us: the channel is closed, or its owner gone. */
static void
on_end(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	loop_stop(arg);
}

static void
flush_logs(void *arg)
{
	(void)arg;
	log_flush();
}

static void
keep(struct keeper *k, int channel, struct loop *loop)
{
	struct watch end;
	struct store_writer *w = store_writer_open(
	    loop, k->path, &k->rules, k->sweep_s, k->sound, tell_master, &channel);

	store_writer_feed(w, k->feed[0]);
	watch_init(&end, loop, channel, WATCH_READ, on_end, loop);
	watch_start(&end);
	loop_after_turn(loop, flush_logs, NULL);
	log_flush();
	loop_run(loop);
	watch_stop(&end);
	store_writer_free(&w);
}

static _Noreturn void
become_keeper(struct keeper *k, int channel)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };
	const int descriptors[] = { channel, k->feed[0], log_fd() };
	char err[160];

	loop_abandon(&k->loop);
	fd_close_others(descriptors, sizeof descriptors / sizeof descriptors[0]);
	(void)prctl(PR_SET_NAME, "gatehouse-store", 0, 0, 0);
	/* Meant for the master: the keeper goes last, when the workers have said all. */
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	struct loop *loop = loop_new();
	bool jailed =
	    jail_drop(k->user, err, sizeof err) && jail_seccomp(JAIL_STORE, err, sizeof err);
	if (jailed)
		keep(k, channel, loop);
	else
		log_fatal("the keeper of the allowlist cannot give up its privileges: %s", err);
	loop_free(&loop);
	log_flush();
	_exit(jailed ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Its news. */

static void
renew_if_due(struct keeper *k)
{
	int64_t now_us = loop_now_us(k->loop);

	if (!k->renewal.wanted || !k->open)
		return;
	if (now_us < k->renewal.next_us) {
		watch_start_once(&k->renewal.timer, (k->renewal.next_us - now_us) / 1000 + 1);
		return;
	}
	k->renewal.wanted = false;
	/* Workers that stay blind although the keeper sees must not be replaced for ever. */
	if (now_us > k->renewal.next_us + RENEWAL_MAX_US)
		k->renewal.span_us = RENEWAL_MIN_US;
	k->renewal.next_us = now_us + k->renewal.span_us;
	if (k->renewal.span_us < RENEWAL_MAX_US)
		k->renewal.span_us *= 2;
	k->renew(k->arg);
}

static void
on_renewal_due(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	renew_if_due(arg);
}

/* Makes the folder and gives it away, which only root can. The keeper says what is wrong with it. */
static void
prepare(const struct keeper *k)
{
	char text[200];
	struct buf why = BUF(text);

	(void)store_prepare(k->path, k->user, &why);
}

static void
take_news(struct keeper *k, const struct word *word)
{
	switch (word->news) {
	case STORE_OPEN:
		k->open = k->works = true;
		if (k->told && word->file != k->file)
			k->renewal.wanted = true;
		k->file = word->file;
		break;
	case STORE_BLIND:
		k->open = k->works = false;
		prepare(k);
		break;
	case STORE_UNSEEN:
		k->renewal.wanted = true;
		break;
	case STORE_FAILS:
		k->works = false;
		return; /* whether it is open is still to come */
	case STORE_WORKS:
		k->works = true;
		break;
	}
	k->told = true;
}

static void
on_word(int fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct word word;
	ssize_t n = recv(fd, &word, sizeof word, MSG_DONTWAIT);

	(void)what;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		watch_stop(&k->word); /* the signal will tell */
	if (n != sizeof word)
		return;
	take_news(k, &word);
	renew_if_due(k);
}

/* Its life. */

static void
start(struct keeper *k)
{
	int pair[2];

	if (k->path == NULL)
		return;
	prepare(k);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_error("cannot start the keeper of the allowlist: %s", strerror(errno));
		restart_later(&k->restart);
		return;
	}
	log_flush();
	k->pid = fork();
	if (k->pid == 0)
		become_keeper(k, pair[1]);
	close(pair[1]);
	if (k->pid < 0) {
		log_error("cannot start the keeper of the allowlist: fork: %s", strerror(errno));
		k->pid = 0;
		close(pair[0]);
		restart_later(&k->restart);
		return;
	}
	k->channel = pair[0];
	restart_started(&k->restart);
	k->doubted = false;
	watch_init(&k->word, k->loop, k->channel, WATCH_READ, on_word, k);
	watch_start(&k->word);
}

static void
on_again(int fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd, (void)what;
	if (k->pid == 0)
		start(k);
}

static void
on_kill(int fd, short what, void *arg)
{
	const struct keeper *k = arg;

	(void)fd, (void)what;
	if (k->pid > 0)
		kill(k->pid, SIGKILL);
}

/* It commits and goes; its successor starts when it is gone, for there can be one writer only. */
static void
dismiss(struct keeper *k)
{
	restart_stop(&k->restart);
	if (k->channel < 0)
		return;
	watch_stop(&k->word);
	close(k->channel);
	k->channel = -1;
	watch_start_once(&k->kill, LEAVE_MS);
}

bool
keeper_child_died(struct keeper *k, pid_t pid, int status)
{
	bool dismissed = k->channel < 0;

	if (pid != k->pid)
		return false;
	dismiss(k);
	watch_stop(&k->kill);
	k->pid = 0;
	if (WIFSIGNALED(status))
		log_warning("the keeper of the allowlist (process %ld) was killed by signal %d",
		    (long)pid, WTERMSIG(status));
	else if (!dismissed)
		log_warning("the keeper of the allowlist (process %ld) ended with status %d",
		    (long)pid, WEXITSTATUS(status));
	restart_ended(&k->restart);
	k->deaths += !dismissed;
	k->sound = dismissed && k->open && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (k->doubted)
		k->sound = k->doubted = false;
	if (dismissed)
		start(k);
	else
		restart_later(&k->restart);
	return true;
}

struct keeper_view
keeper_look(const struct keeper *k)
{
	return (struct keeper_view){ k->path, k->pid, k->pid > 0 && k->works, k->deaths };
}

static void
learn(struct keeper *k, const struct snapshot *snap)
{
	k->doubted = k->doubted || k->path == NULL || snap->store_path == NULL ||
		     strcmp(k->path, snap->store_path) != 0; /* another file */
	free(k->path);
	free(k->user);
	k->path = snap->store_path != NULL ? mem_strdup(snap->store_path) : NULL;
	k->user = mem_strdup(snap->user);
	k->rules = snap->policy;
	k->sweep_s = rules_seconds(snap->rules, P_postscreen_cache_cleanup_interval);
}

void
keeper_follow(struct keeper *k, const struct snapshot *snap)
{
	learn(k, snap);
	if (k->pid > 0)
		dismiss(k);
	else
		start(k);
}

void
keeper_suspect(struct keeper *k)
{
	int64_t now_us = loop_now_us(k->loop);

	if (k->pid <= 0 || now_us < k->suspect_again_us)
		return;
	k->suspect_again_us = now_us + SUSPECT_AGAIN_US;
	k->doubted = true;
	dismiss(k); /* its successor looks at the file before it trusts it */
}

int
keeper_feed(const struct keeper *k, const struct snapshot *snap)
{
	return snap->store_path != NULL ? k->feed[1] : -1;
}

struct keeper *
keeper_new(struct loop *loop, const struct snapshot *snap, void (*renew)(void *arg), void *arg)
{
	struct keeper *k = mem_alloc(sizeof *k);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, k->feed) != 0) {
		log_fatal("no way to the keeper of the allowlist: %s", strerror(errno));
		free(k);
		return NULL;
	}
	k->loop = loop;
	k->renew = renew;
	k->arg = arg;
	k->channel = -1;
	k->renewal.span_us = RENEWAL_MIN_US;
	restart_init(&k->restart, loop, on_again, k);
	watch_init_timer(&k->kill, loop, on_kill, k);
	watch_init_timer(&k->renewal.timer, loop, on_renewal_due, k);
	learn(k, snap);
	start(k);
	/* The first workers are to find a store. */
	struct pollfd news = { .fd = k->channel, .events = POLLIN };
	while (k->channel >= 0 && !k->told && poll(&news, 1, FIRST_NEWS_MS) > 0 &&
	       !(news.revents & POLLHUP))
		on_word(k->channel, WATCH_READ, k);
	return k;
}

static void
wait_for_end(pid_t pid)
{
	for (int i = 0; i < LEAVE_MS / 10; i++) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

void
keeper_free(struct keeper **keeper)
{
	struct keeper *k = *keeper;

	if (k == NULL)
		return;
	dismiss(k);
	watch_stop(&k->kill);
	watch_stop(&k->renewal.timer);
	if (k->pid > 0)
		wait_for_end(k->pid);
	close(k->feed[0]);
	close(k->feed[1]);
	free(k->path);
	free(k->user);
	free(k);
	*keeper = NULL;
}
