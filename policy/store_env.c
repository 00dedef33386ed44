#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/store.h"

#define READERS_MAX 512
#define LOCKS_SIZE (READERS_MAX * 64 + 4096) /* at least what LMDB makes of READERS_MAX */
#define MAP_MAX ((size_t)64 << 30)
#define EXAMINE_LIMIT_S 10
#define PATH_ROOM 4096

static const char *const files[] = { "data.mdb", "lock.mdb" };

static const char *
file_in(const char *path, const char *file, const char *suffix, char room[PATH_ROOM])
{
	struct buf name = buf_over(room, PATH_ROOM);

	buf_printf(&name, "%s/%s%s", path, file, suffix);
	return room;
}

/*
 * LMDB makes its lock file sparse and writes to it through a mapping, so that on a full disk the
 * first write is a SIGBUS. Its blocks are asked for here, where the answer is an error. Must come
 * before this process opens the file for good: closing ours drops all its locks on it.
 */
static int
reserve_locks(const char *path, unsigned flags)
{
	char room[PATH_ROOM];
	struct stat st;
	/* Who only reads may be root and make a file that the writer, who is not, could not open. */
	int create = (flags & MDB_RDONLY) ? 0 : O_CREAT;
	int fd = open(file_in(path, files[1], "", room), O_RDWR | create | O_CLOEXEC, 0600);
	int code = fd == -1 ? errno : 0;

	if (fd == -1)
		return code;
	if (fstat(fd, &st) != 0 || st.st_blocks * 512 < LOCKS_SIZE)
		code = posix_fallocate(fd, 0, LOCKS_SIZE);
	close(fd);
	return code;
}

static int
set_up(MDB_env *env, const char *path, unsigned flags)
{
	int code = mdb_env_set_maxreaders(env, READERS_MAX);

	/* The map is as big as the file says: LMDB begins with a megabyte. */
	/* A power failure may undo the last commit, never more; that is worth half the waiting. */
	if (code == 0)
		code = mdb_env_open(env, path, flags | MDB_NOTLS | MDB_NOMETASYNC, 0600);
	return code;
}

/* A deleted file's inode is soon another's: the time of its birth tells them apart. */
static int
identify(struct store_env *e)
{
	struct statx born = { 0 };
	struct stat st;
	int fd, code = mdb_env_get_fd(e->env, &fd);

	if (code == 0 && fstat(fd, &st) != 0)
		code = errno;
	if (code != 0)
		return code;
	(void)statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &born);
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	e->file = ((uint64_t)st.st_dev * 1000003 + st.st_ino) * 1000003 +
		  (uint64_t)born.stx_btime.tv_sec * 1000000000 + born.stx_btime.tv_nsec;
	return 0;
}

static int
open_database(struct store_env *e)
{
	MDB_txn *txn;
	int code = identify(e);

	if (code != 0)
		return code;
	code = store_begin(e, MDB_RDONLY, &txn); /* the writer may have grown it since */
	if (code == 0) {
		code = mdb_dbi_open(txn, NULL, 0, &e->dbi);
		mdb_txn_abort(txn);
	}
	return code;
}

int
store_env_open(struct store_env *e, const char *path, unsigned flags)
{
	int code = mdb_env_create(&e->env);

	if (code != 0)
		return code;
	code = reserve_locks(path, flags);
	if (code == 0)
		code = set_up(e->env, path, flags);
	if (code == 0)
		code = open_database(e);
	if (code != 0)
		store_env_close(e);
	return code;
}

void
store_env_close(struct store_env *e)
{
	if (e->env != NULL)
		mdb_env_close(e->env);
	e->env = NULL;
}

bool
store_env_is_current(const struct store_env *e, const char *path)
{
	char room[PATH_ROOM];
	struct stat st;

	return stat(file_in(path, files[0], "", room), &st) == 0 && st.st_dev == e->dev &&
	       st.st_ino == e->ino;
}

int
store_begin(struct store_env *e, unsigned flags, MDB_txn **txn)
{
	int code = mdb_txn_begin(e->env, NULL, flags, txn);

	if (code == MDB_MAP_RESIZED) {
		code = mdb_env_set_mapsize(e->env, 0);
		if (code == 0)
			code = mdb_txn_begin(e->env, NULL, flags, txn);
	}
	return code;
}

bool
store_is_damage(int code)
{
	return code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
	       code == MDB_VERSION_MISMATCH || code == MDB_CURSOR_FULL || code == MDB_BAD_TXN ||
	       code == MDB_INCOMPATIBLE;
}

int
store_grow(struct store_env *e)
{
	MDB_envinfo info;
	int code = mdb_env_info(e->env, &info);

	if (code != 0)
		return code;
	if (info.me_mapsize >= MAP_MAX)
		return MDB_MAP_FULL;
	return mdb_env_set_mapsize(e->env, info.me_mapsize * 2);
}

MDB_val
store_key(const struct addr *client, char text[ADDR_TEXT_SIZE])
{
	addr_format(client, text);
	return (MDB_val){ strlen(text), text };
}

MDB_val
store_value(const struct record *record, char text[RECORD_TEXT_SIZE])
{
	struct buf out = buf_over(text, RECORD_TEXT_SIZE);

	record_format(record, CHECKS_EARLY | CHECKS_DEEP, &out);
	return (MDB_val){ out.len, text };
}

/* Who the files belong to. False if there is no such user. */
static bool
owner(const char *user, uid_t *uid, gid_t *gid)
{
	*uid = geteuid();
	*gid = getegid();
	if (*uid != 0 || user == NULL)
		return true;
	const struct passwd *pw = getpwnam(user);
	if (pw == NULL)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

bool
store_prepare(const char *path, const char *user, struct buf *err)
{
	struct stat st;
	uid_t uid;
	gid_t gid;

	if (!owner(user, &uid, &gid)) {
		buf_printf(err, "there is no user \"%s\"", user);
		return false;
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		buf_printf(err, "cannot make the directory: %s", strerror(errno));
		return false;
	}
	if (stat(path, &st) != 0) {
		buf_puts(err, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		buf_puts(err, "is not a directory");
		return false;
	}
	/* A directory of root's is as good as ours: it was made for us. */
	if (st.st_uid != uid && st.st_uid != 0) {
		buf_printf(err, "belongs to user id %lu, not %lu", (unsigned long)st.st_uid,
		    (unsigned long)uid);
		return false;
	}
	if (st.st_uid != uid && chown(path, uid, gid) != 0) {
		buf_printf(err, "cannot give the directory to user id %lu: %s", (unsigned long)uid,
		    strerror(errno));
		return false;
	}
	store_chown(path, user);
	return true;
}

void
store_chown(const char *path, const char *user)
{
	char room[PATH_ROOM];
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0 || user == NULL || !owner(user, &uid, &gid))
		return;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		(void)lchown(
		    file_in(path, files[i], "", room), uid, gid); /* fail open: the reader tells */
}

/* Every page of one table is visited; the number of entries must be what its root says. */
static int
walk(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_stat stat;
	size_t count = 0;
	int code = mdb_stat(txn, dbi, &stat);

	if (code == 0)
		code = mdb_cursor_open(txn, dbi, &cursor);
	if (code != 0)
		return code;
	volatile unsigned char sum = 0;
	while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		for (size_t i = 0; i < value.mv_size; i += 512)
			sum = (unsigned char)(sum + ((const unsigned char *)value.mv_data)[i]);
		count++;
	}
	mdb_cursor_close(cursor);
	if (code != MDB_NOTFOUND)
		return code;
	return count == stat.ms_entries ? 0 : MDB_CORRUPTED;
}

/* In the sacrificial process. */
static int
examine(const char *path)
{
	struct store_env e;
	MDB_txn *txn;
	int code = reserve_locks(path, 0);

	if (code == 0)
		code = store_env_open(&e, path, MDB_RDONLY);
	if (code == 0)
		code = store_begin(&e, MDB_RDONLY, &txn);
	if (code == 0)
		code = walk(txn, 0); /* the free pages */
	if (code == 0)
		code = walk(txn, e.dbi);
	return code;
}

static void __attribute__((noreturn)) examine_and_exit(const char *path)
{
	static const int signals[] = { SIGALRM, SIGTERM, SIGINT, SIGHUP, SIGBUS, SIGSEGV, SIGABRT };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* LMDB and the sanitizers speak to standard error when they give up. */
	if (null >= 0)
		dup2(null, 2);
	fd_close_others(NULL, 0); /* the claim, should we outlive who has it */
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		signal(signals[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	alarm(EXAMINE_LIMIT_S);
	int code = examine(path);
	_exit(code == 0 ? STORE_GOOD : store_is_damage(code) ? STORE_DAMAGED : STORE_UNKNOWN);
}

enum store_health
store_examine(const char *path)
{
	char room[PATH_ROOM];
	int status;
	pid_t pid;

	if (access(file_in(path, files[0], "", room), F_OK) != 0)
		return STORE_GOOD; /* nothing there is no damage */
	pid = fork();
	if (pid == 0)
		examine_and_exit(path);
	if (pid < 0)
		return STORE_UNKNOWN;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return STORE_UNKNOWN;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return STORE_GOOD; /* big, and sound as far as we came */
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM))
		return STORE_UNKNOWN;
	if (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == STORE_GOOD || WEXITSTATUS(status) == STORE_UNKNOWN))
		return WEXITSTATUS(status);
	return STORE_DAMAGED;
}

bool
store_set_aside(const char *path)
{
	char from[PATH_ROOM], to[PATH_ROOM];
	bool done = true;

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		if (rename(file_in(path, files[i], "", from),
			file_in(path, files[i], ".damaged", to)) != 0 &&
		    errno != ENOENT)
			done = false;
	return done;
}
