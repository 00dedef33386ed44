#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "base/jail.h"

static bool
fail(char *err, size_t size, const char *what)
{
	snprintf(err, size, "%s: %s", what, strerror(errno));
	return false;
}

bool
jail_drop(const char *user, char *err, size_t err_size)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(err, err_size, "no-new-privileges");
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam(user);
		if (pw == NULL) {
			snprintf(err, err_size, "user %s is not known to this system", user);
			return false;
		}
		if (initgroups(user, pw->pw_gid) != 0)
			return fail(err, err_size, "initgroups");
		if (setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0)
			return fail(err, err_size, "setresgid");
		if (setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
			return fail(err, err_size, "setresuid");
		if (pw->pw_uid != 0 && setuid(0) == 0) {
			snprintf(err, err_size, "root could be regained");
			return false;
		}
	}
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(err, err_size, "not dumpable");
	return true;
}

#ifdef HAVE_SECCOMP
#define CALL(name) SCMP_SYS(name)

static const int for_all[] = {
	CALL(read),
	CALL(readv),
	CALL(write),
	CALL(writev),
	CALL(close),
	CALL(fstat),
	CALL(newfstatat),
	CALL(lseek),
	CALL(poll),
	CALL(ppoll),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(epoll_ctl),
	CALL(sendto),
	CALL(sendmsg),
	CALL(sendmmsg),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recvmmsg),
	CALL(shutdown),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(getsockname),
	CALL(getpeername),
	CALL(socketpair),
	CALL(connect),
	CALL(fcntl),
	CALL(mmap),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(mprotect),
	CALL(brk),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(gettimeofday),
	CALL(time),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(getrandom),
	CALL(futex),
	CALL(sched_yield),
	CALL(restart_syscall),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(getpid),
	CALL(gettid),
	CALL(getppid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(getrusage),
	CALL(uname),
	CALL(alarm),
	CALL(setitimer),
	CALL(exit),
	CALL(exit_group),
	CALL(tgkill),
	CALL(prlimit64),
	CALL(rseq),
	CALL(membarrier),
	CALL(dup),
	CALL(fdatasync),
	CALL(fsync),
	CALL(sysinfo),
	CALL(splice),
	CALL(pipe2),
	CALL(eventfd2),
};
/* Who opens the store, to read or to write, and takes connections. */
static const int for_store_users[] = {
	CALL(socket),
	CALL(bind),
	CALL(accept4),
	CALL(pread64),
	CALL(pwrite64),
	CALL(flock),
	CALL(ftruncate),
	CALL(msync),
	CALL(set_robust_list),
	CALL(get_robust_list),
	CALL(kill),
};
static const int for_screen[] = {
	CALL(accept),
	CALL(ioctl),
};
static const int for_store[] = {
	CALL(listen),
	CALL(open),
	CALL(openat),
	CALL(stat),
	CALL(lstat),
	CALL(statx),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(fstatfs),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(unlink),
	CALL(unlinkat),
	CALL(umask),
	CALL(fallocate),
	CALL(pwritev),
	CALL(clone),
	CALL(clone3),
	CALL(wait4),
	CALL(dup2),
	CALL(dup3),
	CALL(close_range),
};
/* Libraries try these and can live without them. */
static const int refused[] = {
	CALL(open),
	CALL(openat),
	CALL(openat2),
	CALL(stat),
	CALL(lstat),
	CALL(statx),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(readlink),
	CALL(readlinkat),
	CALL(fork),
	CALL(vfork),
	CALL(clone),
	CALL(clone3),
	CALL(socket),
	CALL(bind),
	CALL(ioctl),
	CALL(prctl),
	CALL(sched_getaffinity),
	CALL(unlink),
	CALL(mkdir),
};
#ifdef WITH_SANITIZERS
/* What the leak check at exit needs: it forks a tracer and reads /proc/self. */
static const int for_sanitizers[] = {
	CALL(clone),
	CALL(openat),
	CALL(readlink),
	CALL(getdents64),
	CALL(ptrace),
	CALL(wait4),
	CALL(prctl),
	CALL(ioctl),
	CALL(stat),
	CALL(sched_getaffinity),
	CALL(process_vm_readv),
	CALL(open),
	CALL(getdents),
};
#endif

static int
add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = seccomp_rule_add(ctx, action, calls[i], 0);
		if (r == -EACCES || r == -EEXIST || r == -EDOM)
			r = 0; /* the same call is in two lists, or unknown on this machine */
	}
	return r;
}

#define ADD(ctx, action, list) add_all((ctx), (action), (list), sizeof(list) / sizeof((list)[0]))

static int
build(scmp_filter_ctx ctx, enum jail_profile profile)
{
	int r = ADD(ctx, SCMP_ACT_ALLOW, for_all);

#ifdef WITH_SANITIZERS
	if (r == 0)
		r = ADD(ctx, SCMP_ACT_ALLOW, for_sanitizers);
#endif
	if (r == 0 && (profile == JAIL_SCREEN || profile == JAIL_STORE))
		r = ADD(ctx, SCMP_ACT_ALLOW, for_store_users);
	if (r == 0 && profile == JAIL_SCREEN)
		r = ADD(ctx, SCMP_ACT_ALLOW, for_screen);
	if (r == 0 && profile == JAIL_STORE)
		r = ADD(ctx, SCMP_ACT_ALLOW, for_store);
	for (size_t i = 0; i < sizeof refused / sizeof refused[0] && r == 0; i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
		if (r == -EACCES || r == -EEXIST || r == -EDOM)
			r = 0; /* allowed above */
	}
	return r;
}

bool
jail_seccomp(enum jail_profile profile, char *err, size_t err_size)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = -ENOMEM;

	if (ctx != NULL) {
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* binary tree */
		r = build(ctx, profile);
		if (r == 0)
			r = seccomp_load(ctx);
		seccomp_release(ctx);
	}
	errno = -r;
	return r == 0 || fail(err, err_size, "seccomp");
}

bool
jail_has_seccomp(void)
{
	return true;
}
#else
bool
jail_seccomp(enum jail_profile profile, char *err, size_t err_size)
{
	(void)profile, (void)err, (void)err_size;
	return true;
}

bool
jail_has_seccomp(void)
{
	return false;
}
#endif
