#include "config.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "screen/namewatch.h"

enum { SAME = 0, OTHER = 1, FAILED = 2 }; /* what the child found: its exit status */

struct namewatch {
	const struct snapshot *snap;
	void (*changed)(void *arg);
	void *arg;
	struct watch timer;
	pid_t child;
};

static void
wait_again(struct namewatch *nw)
{
	watch_start_once(
	    &nw->timer, 1000 * rules_seconds(nw->snap->rules, P_gatehouse_backend_refresh));
}

static _Noreturn void
look_up(const struct snapshot *snap)
{
	struct diag *diag = diag_new();
	struct backend now;

	backend_load(&now, snap->rules, diag);
	if (diag_count(diag, DIAG_ERROR) > 0)
		_exit(FAILED);
	_exit(backend_same_servers(&now, &snap->backend) ? SAME : OTHER);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct namewatch *nw = arg;

	(void)fd, (void)what;
	nw->child = fork();
	if (nw->child == 0)
		look_up(nw->snap);
	if (nw->child < 0) {
		nw->child = 0;
		wait_again(nw);
	}
}

bool
namewatch_child_died(struct namewatch *nw, pid_t pid, int status)
{
	if (nw == NULL || nw->child != pid)
		return false;
	nw->child = 0;
	wait_again(nw);
	if (WIFEXITED(status) && WEXITSTATUS(status) == OTHER)
		nw->changed(nw->arg);
	return true;
}

struct namewatch *
namewatch_new(struct loop *loop, void (*changed)(void *arg), void *arg)
{
	struct namewatch *nw = mem_alloc(sizeof *nw);

	nw->changed = changed;
	nw->arg = arg;
	watch_init_timer(&nw->timer, loop, on_timer, nw);
	return nw;
}

void
namewatch_free(struct namewatch **nw)
{
	if (*nw == NULL)
		return;
	watch_stop(&(*nw)->timer);
	free(*nw);
	*nw = NULL;
}

void
namewatch_follow(struct namewatch *nw, const struct snapshot *snap)
{
	nw->snap = snap;
	watch_stop(&nw->timer);
	if (snap->backend.named && nw->child == 0)
		wait_again(nw);
}
