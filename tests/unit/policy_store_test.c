/* policy/store_*.c: the allowlist store, in one process and in several, in good days and bad. */
#include "config.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "policy/store.h"

#define ALL (CHECKS_EARLY | CHECKS_DEEP)
#define STORE "store"

static const struct policy_rules rules = { .enabled = ALL, .retention_s = 7 * 86400 };

static struct addr
client(uint32_t n)
{
	struct addr a = { .family = 4,
		.ip = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
	return a;
}

static struct record
stamped(int64_t at)
{
	return (struct record){ { at, at, at, at, at } };
}

static int64_t
now_s(void)
{
	return time(NULL);
}

/* A writer and one reader, each in a process of its own as in life: here the writer is the parent. */
struct house {
	struct loop *loop;
	struct store_writer *writer;
	uint64_t file;
	int opened, files, blind, unseen; /* files: different ones that were opened */
};

static void
take_news(void *arg, enum store_news news, uint64_t file)
{
	struct house *h = arg;

	h->opened += news == STORE_OPEN;
	h->blind += news == STORE_BLIND;
	h->unseen += news == STORE_UNSEEN;
	if (news == STORE_OPEN && file != h->file) {
		h->file = file;
		h->files++;
	}
}

static struct house *
house_open(int64_t sweep_s)
{
	struct house *h = mem_alloc(sizeof *h);

	ATF_REQUIRE(log_open("log", "postfix", LOG_MAIL));
	h->loop = loop_new();
	h->writer = store_writer_open(h->loop, STORE, &rules, sweep_s, false, take_news, h);
	return h;
}

/* The worker's end of a feed. */
static int
feed_of(struct house *h)
{
	int pair[2];

	ATF_REQUIRE(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	store_writer_feed(h->writer, pair[0]);
	return pair[1];
}

/* Has the writer look at its file now. */
static void
suspect(struct house *h)
{
	struct feed_message m;
	int feed = feed_of(h);

	memset(&m, 0, sizeof m);
	m.kind = FEED_DAMAGE;
	ATF_REQUIRE(send(feed, &m, sizeof m, MSG_NOSIGNAL) > 0);
	close(feed);
}

static void
house_close(struct house *h)
{
	store_writer_free(&h->writer);
	loop_free(&h->loop);
	free(h);
	log_flush();
}

static void
turn_for(struct house *h, int ms)
{
	int64_t until = clock_now_us() + ms * 1000;

	while (clock_now_us() < until) {
		loop_turn(h->loop, false);
		usleep(1000);
	}
	log_flush();
}

static bool
log_has(const char *text)
{
	static char line[4096];
	FILE *f = fopen("log", "r");
	bool found = false;

	ATF_REQUIRE(f != NULL);
	while (!found && fgets(line, sizeof line, f) != NULL)
		found = strstr(line, text) != NULL;
	fclose(f);
	return found;
}

/* The writer's loop turns until the line is there: busy machines take their time. */
static bool
logged(struct house *h, const char *text)
{
	for (int i = 0; i < 200 && !log_has(text); i++)
		turn_for(h, 50);
	return log_has(text);
}

/*
 * Runs fn in a child that has closed what it inherited but its feed, as a worker does. Returns its exit
 * code; 100 + number for a signal.
 */
static int
in_worker(struct house *h, int (*fn)(struct store_reader *))
{
	int feed = h ? feed_of(h) : -1;
	int status;
	pid_t pid;

	log_flush();
	pid = fork();
	ATF_REQUIRE(pid >= 0);
	if (pid == 0) {
		int keep[] = { feed, log_fd() };
		fd_close_others(keep, 2);
		struct store_reader *r = store_reader_open(STORE, feed);
		int code = fn(r);
		store_reader_free(&r);
		log_flush();
		_exit(code);
	}
	if (feed >= 0)
		close(feed);
	while (waitpid(pid, &status, WNOHANG) == 0)
		if (h != NULL)
			loop_turn(h->loop, false);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static int
put_three(struct store_reader *r)
{
	for (uint32_t i = 1; i <= 3; i++) {
		struct addr a = client(i);
		struct record in = stamped(now_s() + i), out;
		if (store_get(r, &a, &out, now_s()))
			return 1;
		store_put(r, &a, &in, ALL, now_s());
		if (!store_get(r, &a, &out, now_s()) || memcmp(&in, &out, sizeof in) != 0)
			return 2;
	}
	return 0;
}

static int
find_three(struct store_reader *r)
{
	struct record out;

	for (uint32_t i = 1; i <= 3; i++) {
		struct addr a = client(i);
		if (!store_get(r, &a, &out, now_s()) || out.expires_at[0] < now_s() - 60)
			return 1;
	}
	struct addr other = client(4);
	return store_get(r, &other, &out, now_s()) ? 2 : 0;
}

static int
find_none(struct store_reader *r)
{
	struct addr a = client(1);
	struct record out;

	return store_get(r, &a, &out, now_s()) ? 1 : 0;
}

ATF_TC_WITHOUT_HEAD(puts_are_seen_at_once_and_by_others_after_a_second);
ATF_TC_BODY(puts_are_seen_at_once_and_by_others_after_a_second, tc)
{
	struct house *h = house_open(0);

	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	turn_for(h, 1000);
	ATF_CHECK_EQ(in_worker(h, find_three), 0);
	house_close(h);
	ATF_CHECK_EQ_MSG(in_worker(NULL, find_three), 0, "after the writer is gone");
	struct stat st;
	ATF_REQUIRE(stat(STORE, &st) == 0);
	ATF_CHECK_EQ(st.st_mode & 0777, 0700);
}

ATF_TC_WITHOUT_HEAD(a_writer_that_ends_commits_what_it_has);
ATF_TC_BODY(a_writer_that_ends_commits_what_it_has, tc)
{
	struct house *h = house_open(0);

	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	turn_for(h, 5);
	house_close(h);
	ATF_CHECK_EQ(in_worker(NULL, find_three), 0);
}

static int
put_settled(struct store_reader *r)
{
	struct addr a = client(1);
	struct record in = { { now_s(), 0, 0, STAMP_INVALID, 0 } }, out;

	store_put(r, &a, &in, CHECK_BIT(CHECK_PREGREET) | CHECK_BIT(CHECK_DNSBL), now_s());
	return store_get(r, &a, &out, now_s()) && out.expires_at[1] == STAMP_NEW &&
		       out.expires_at[2] == STAMP_DISABLED && out.expires_at[3] == STAMP_DISABLED
		   ? 0
		   : 1;
}

ATF_TC_WITHOUT_HEAD(own_puts_read_as_the_store_will_read);
ATF_TC_BODY(own_puts_read_as_the_store_will_read, tc)
{
	ATF_CHECK_EQ(in_worker(NULL, put_settled), 0);
}

static int
forget_after_a_while(struct store_reader *r)
{
	struct addr a = client(9);
	struct record in = stamped(5), out;

	store_put(r, &a, &in, ALL, 1000);
	if (!store_get(r, &a, &out, 1005))
		return 1;
	/* By now the file knows better: a record deleted by hand is gone. */
	return store_get(r, &a, &out, 1006) ? 2 : 0;
}

ATF_TC_WITHOUT_HEAD(own_puts_do_not_outlive_the_file);
ATF_TC_BODY(own_puts_do_not_outlive_the_file, tc)
{
	struct house *h = house_open(0);

	ATF_CHECK_EQ(in_worker(NULL, forget_after_a_while), 0);
	house_close(h);
}

/* More than a megabyte: the map grows several times under a reader that stays. */
enum { MANY = 20000 };

static int
put_many(struct store_reader *r)
{
	struct record out;

	for (uint32_t i = 0; i < MANY; i++) {
		struct addr a = client(i);
		struct record in = stamped(1000000 + i);
		store_put(r, &a, &in, ALL, 1000);
		if (i % 25 == 0) {
			store_reader_flush(r);
			usleep(2000);
		}
	}
	store_reader_flush(r);
	usleep(800000);
	for (uint32_t i = 0; i < MANY; i++) {
		struct addr a = client(i);
		if (!store_get(r, &a, &out, 9000) || out.expires_at[4] != 1000000 + i)
			return 1;
	}
	return 0;
}

ATF_TC_WITHOUT_HEAD(the_map_grows_under_readers);
ATF_TC_BODY(the_map_grows_under_readers, tc)
{
	struct house *h = house_open(0);

	ATF_CHECK_EQ(in_worker(h, put_many), 0);
	struct stat st;
	ATF_REQUIRE(stat(STORE "/data.mdb", &st) == 0);
	ATF_CHECK(st.st_size > 1 << 20);
	ATF_CHECK(!log_has("updates lost"));
	house_close(h);
}

static int
put_old_and_new(struct store_reader *r)
{
	for (uint32_t i = 0; i < 1000; i++) {
		struct addr a = client(i);
		struct record in = stamped(i % 4 == 0 ? now_s() - 60 : now_s() - 8 * 86400);
		store_put(r, &a, &in, ALL, now_s());
		if (i % 100 == 0) {
			store_reader_flush(r);
			usleep(10000);
		}
	}
	return 0;
}

static int
find_every_fourth(struct store_reader *r)
{
	struct record out;

	for (uint32_t i = 0; i < 1000; i++) {
		struct addr a = client(i);
		if (store_get(r, &a, &out, now_s()) != (i % 4 == 0))
			return 1;
	}
	return 0;
}

ATF_TC_WITHOUT_HEAD(a_sweep_drops_what_is_long_expired);
ATF_TC_BODY(a_sweep_drops_what_is_long_expired, tc)
{
	struct house *h = house_open(0);
	ATF_CHECK_EQ(in_worker(h, put_old_and_new), 0);
	house_close(h);

	h = house_open(3600);
	turn_for(h, 300);
	ATF_CHECK(logged(h, "cache lmdb:" STORE " full cleanup: retained=250 dropped=750 entries"));
	ATF_CHECK_EQ(in_worker(h, find_every_fourth), 0);
	house_close(h);

	/* Not again before its time. */
	unlink("log");
	h = house_open(3600);
	turn_for(h, 100);
	ATF_CHECK(!log_has("cleanup"));
	house_close(h);
	h = house_open(1);
	turn_for(h, 1500);
	ATF_CHECK(logged(h, "retained=250 dropped=0 entries"));
	house_close(h);
}

static void
write_file(const char *path, size_t from, size_t len, int byte)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	char block[512];

	ATF_REQUIRE(fd >= 0);
	memset(block, byte, sizeof block);
	for (size_t at = from; at < from + len; at += sizeof block)
		ATF_REQUIRE_EQ(pwrite(fd, block, sizeof block, (off_t)at), (ssize_t)sizeof block);
	close(fd);
}

static void
fill(void)
{
	struct house *h = house_open(0);

	ATF_REQUIRE_EQ(in_worker(h, put_old_and_new), 0);
	turn_for(h, 600);
	ATF_REQUIRE_EQ(in_worker(h, put_three), 1); /* they are there already */
	house_close(h);
}

/* Whatever is wrong with the file: a warning, a new file, and memory again. */
static void
recovers(void)
{
	struct house *h = house_open(0);

	ATF_CHECK(logged(h, "was damaged: set aside as data.mdb.damaged, a new one is begun"));
	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	turn_for(h, 700);
	ATF_CHECK_EQ(in_worker(h, find_three), 0);
	ATF_CHECK_EQ(access(STORE "/data.mdb.damaged", F_OK), 0);
	house_close(h);
}

ATF_TC_WITHOUT_HEAD(a_foreign_file_is_set_aside);
ATF_TC_BODY(a_foreign_file_is_set_aside, tc)
{
	ATF_REQUIRE(mkdir(STORE, 0700) == 0);
	write_file(STORE "/data.mdb", 0, 8192, 'x');
	recovers();
}

ATF_TC_WITHOUT_HEAD(a_foreign_lock_file_is_set_aside);
ATF_TC_BODY(a_foreign_lock_file_is_set_aside, tc)
{
	fill();
	write_file(STORE "/lock.mdb", 0, 8192, 'x');
	struct house *h = house_open(0);
	ATF_CHECK_EQ(
	    in_worker(h, put_three), 1); /* LMDB writes its lock file anew when it is alone */
	house_close(h);
}

ATF_TC_WITHOUT_HEAD(a_truncated_file_is_set_aside);
ATF_TC_BODY(a_truncated_file_is_set_aside, tc)
{
	fill();
	ATF_REQUIRE(truncate(STORE "/data.mdb", 3 * 4096) == 0);
	recovers();
}

ATF_TC_WITHOUT_HEAD(overwritten_pages_are_found);
ATF_TC_BODY(overwritten_pages_are_found, tc)
{
	struct stat st;

	fill();
	ATF_REQUIRE(stat(STORE "/data.mdb", &st) == 0);
	write_file(STORE "/data.mdb", 8192, (size_t)st.st_size - 8192, 0xaa);
	recovers();
}

ATF_TC_WITHOUT_HEAD(damage_met_while_running_renews_file_and_readers);
ATF_TC_BODY(damage_met_while_running_renews_file_and_readers, tc)
{
	struct stat st;

	fill();
	struct house *h = house_open(0);
	ATF_REQUIRE(stat(STORE "/data.mdb", &st) == 0);
	write_file(STORE "/data.mdb", 8192, (size_t)st.st_size - 8192, 0xaa);
	suspect(h);
	turn_for(h, 300);
	ATF_CHECK(logged(h, "was damaged: set aside"));
	ATF_CHECK_EQ_MSG(h->files, 2, "readers are to look at another file");
	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	turn_for(h, 700);
	ATF_CHECK_EQ(in_worker(h, find_three), 0);
	house_close(h);
}

ATF_TC_WITHOUT_HEAD(a_deleted_store_is_begun_anew);
ATF_TC_BODY(a_deleted_store_is_begun_anew, tc)
{
	fill();
	struct house *h = house_open(0);
	ATF_REQUIRE_EQ(system("rm -rf " STORE), 0);
	suspect(h); /* looks now instead of within ten seconds */
	turn_for(h, 200);
	ATF_CHECK_EQ(h->files, 2);
	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	turn_for(h, 700);
	ATF_CHECK_EQ(in_worker(h, find_three), 0);
	house_close(h);
}

ATF_TC_WITHOUT_HEAD(what_is_in_the_way_is_waited_for);
ATF_TC_BODY(what_is_in_the_way_is_waited_for, tc)
{
	write_file(STORE, 0, 512, 'x');
	struct house *h = house_open(0);
	ATF_CHECK(logged(h, "warning: cache lmdb:" STORE ": cannot open: is not a directory"));
	ATF_CHECK_EQ(in_worker(h, find_none), 0);
	ATF_CHECK(logged(h, "screening goes on without memory"));
	unlink(STORE);
	turn_for(h, 2300);
	ATF_CHECK(logged(h, "works again"));
	ATF_CHECK(h->blind > 0 && h->opened == 1);
	ATF_CHECK_EQ(in_worker(h, put_three), 0);
	house_close(h);
}

ATF_TC(a_directory_of_somebody_else_is_not_used);
ATF_TC_HEAD(a_directory_of_somebody_else_is_not_used, tc)
{
	atf_tc_set_md_var(tc, "require.user", "root");
}
ATF_TC_BODY(a_directory_of_somebody_else_is_not_used, tc)
{
	char text[200];
	struct buf err = BUF(text);
	const struct passwd *nobody = getpwnam("nobody");
	struct stat st;

	ATF_REQUIRE(nobody != NULL);
	ATF_REQUIRE(store_prepare(STORE, "nobody", &err));
	ATF_REQUIRE(stat(STORE, &st) == 0);
	ATF_CHECK_EQ(st.st_uid, nobody->pw_uid);
	ATF_CHECK(!store_prepare(STORE, NULL, &err));
	ATF_CHECK_MSG(strstr(text, "belongs to user id") != NULL, "%s", text);
	err = BUF(text);
	ATF_CHECK(!store_prepare(STORE, "no such user", &err));
	ATF_CHECK_STREQ(text, "there is no user \"no such user\"");
	/* Root's own is adopted. */
	ATF_REQUIRE(mkdir("other", 0700) == 0);
	ATF_CHECK(store_prepare("other", "nobody", &err));
	ATF_REQUIRE(stat("other", &st) == 0);
	ATF_CHECK_EQ(st.st_uid, nobody->pw_uid);
}

/* A file that may not grow is as good as a full disk. */
ATF_TC_WITHOUT_HEAD(a_full_disk_is_survived);
ATF_TC_BODY(a_full_disk_is_survived, tc)
{
	struct rlimit all, small;
	struct house *h = house_open(0);

	signal(SIGXFSZ, SIG_IGN);
	ATF_REQUIRE(getrlimit(RLIMIT_FSIZE, &all) == 0);
	small = (struct rlimit){ 16384, all.rlim_max };
	ATF_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
	ATF_CHECK_EQ(in_worker(h, put_old_and_new), 0);
	turn_for(h, 600);
	ATF_REQUIRE(setrlimit(RLIMIT_FSIZE, &all) == 0);
	ATF_CHECK_MSG(logged(h, "cannot write"), "no warning");
	turn_for(h, 2500);
	ATF_CHECK(logged(h, "works again"));
	ATF_CHECK_EQ(in_worker(h, put_three), 1); /* client 1 is there: nothing was lost but time */
	ATF_CHECK_EQ(h->opened, 1);
	house_close(h);
}

static int
die_inside_a_snapshot(struct store_reader *r)
{
	struct store_env e;
	MDB_txn *txn;

	(void)r;
	if (store_env_open(&e, STORE, MDB_RDONLY) != 0 || store_begin(&e, MDB_RDONLY, &txn) != 0)
		return 1;
	raise(SIGKILL);
	return 0;
}

ATF_TC_WITHOUT_HEAD(dead_readers_are_cleared);
ATF_TC_BODY(dead_readers_are_cleared, tc)
{
	struct house *h = house_open(0);

	ATF_CHECK_EQ(in_worker(h, die_inside_a_snapshot), 100 + SIGKILL);
	suspect(h);
	turn_for(h, 50);
	ATF_CHECK(logged(h, "cleared 2 dead readers") || log_has("cleared 1 dead readers"));
	house_close(h);
}

ATF_TC_WITHOUT_HEAD(a_worker_may_send_rubbish_and_die);
ATF_TC_BODY(a_worker_may_send_rubbish_and_die, tc)
{
	struct house *h = house_open(0);
	int feed = feed_of(h);
	struct feed_message m;
	char big[4096] = { 0 };

	memset(&m, 0xff, sizeof m);
	for (int kind = 0; kind < 256; kind++) {
		m.kind = (uint8_t)kind;
		m.client.family = (uint8_t)(kind == FEED_PUT ? 77 : 4);
		ATF_REQUIRE(send(feed, &m, sizeof m, MSG_NOSIGNAL) > 0);
		loop_turn(h->loop, false);
	}
	ATF_REQUIRE(send(feed, "x", 1, MSG_NOSIGNAL) == 1);
	ATF_REQUIRE(send(feed, big, sizeof big, MSG_NOSIGNAL) > 0);
	/* Any stamps are numbers; they must not make a half record. */
	m.kind = FEED_PUT;
	m.client = client(1);
	m.record = stamped(INT64_MIN);
	ATF_REQUIRE(send(feed, &m, sizeof m, MSG_NOSIGNAL) > 0);
	turn_for(h, 20);
	close(feed);
	turn_for(h, 20);
	ATF_CHECK_EQ(in_worker(h, find_none), 0);
	turn_for(h, 600);
	ATF_CHECK_EQ(in_worker(h, find_none), 1);
	/* Nor can it delete, or have itself answered. */
	feed = feed_of(h);
	m.kind = FEED_DELETE;
	ATF_REQUIRE(send(feed, &m, sizeof m, MSG_NOSIGNAL) > 0);
	m.kind = FEED_COMMIT;
	ATF_REQUIRE(send(feed, &m, sizeof m, MSG_NOSIGNAL) > 0);
	turn_for(h, 600);
	ATF_CHECK_EQ(in_worker(h, find_none), 1);
	ATF_CHECK(recv(feed, big, sizeof big, MSG_DONTWAIT) < 0);
	close(feed);
	house_close(h);
}

static int
flood(struct store_reader *r)
{
	struct record in = stamped(1);

	for (uint32_t i = 0; i < 5000; i++) {
		struct addr a = client(i);
		store_put(r, &a, &in, ALL, 1);
	}
	return 0;
}

ATF_TC_WITHOUT_HEAD(a_stuck_writer_does_not_hold_up_a_worker);
ATF_TC_BODY(a_stuck_writer_does_not_hold_up_a_worker, tc)
{
	struct house *h = house_open(0);
	int feed = feed_of(h), status;
	pid_t pid = fork();

	if (pid == 0) {
		int keep[] = { feed, log_fd() };
		fd_close_others(keep, 2);
		struct store_reader *r = store_reader_open(STORE, feed);
		int code = flood(r);
		log_flush();
		_exit(code);
	}
	close(feed);
	ATF_REQUIRE_EQ(waitpid(pid, &status, 0), pid); /* nobody turns the writer's loop */
	ATF_CHECK_EQ(status, 0);
	ATF_CHECK(log_has("updates lost since start: the writer does not take them"));
	house_close(h);
}

/*
 * kill -9, 40 rounds. The writer's process takes records in order; a reader of ours sees how far they
 * are committed; after the kill nothing of that may be missing, and all five stamps of a record agree.
 */
static void __attribute__((noreturn)) write_until_killed(uint32_t from)
{
	int keep[] = { -1 };

	fd_close_others(keep, 1);
	struct house *h = house_open(0);
	int feed = feed_of(h);
	for (uint32_t i = from;;) {
		for (int k = 0; k < 50; k++, i++) {
			struct feed_message m = {
				.kind = FEED_PUT, .client = client(i), .record = stamped(1000 + i)
			};
			if (send(feed, &m, sizeof m, MSG_NOSIGNAL) < 0)
				_exit(1);
		}
		loop_turn(h->loop, false);
	}
}

static uint32_t
committed(struct store_reader *r, uint32_t from)
{
	struct record out;

	for (;; from++) {
		struct addr a = client(from);
		if (!store_get(r, &a, &out, 0))
			return from;
		for (int c = 0; c < CHECKS; c++)
			ATF_REQUIRE_EQ_MSG(out.expires_at[c], 1000 + from, "record %u", from);
	}
}

/* It may grow between being opened and being read. */
ATF_TC_WITHOUT_HEAD(a_growing_store_can_be_opened);
ATF_TC_BODY(a_growing_store_can_be_opened, tc)
{
	char text[200];
	struct record out;
	struct addr a = client(0);

	house_close(house_open(0));
	pid_t pid = fork();
	if (pid == 0)
		write_until_killed(0);
	for (int64_t until_us = clock_now_us() + 1500000; clock_now_us() < until_us;) {
		struct buf err = BUF(text);
		struct store_tool *t = store_tool_open(STORE, NULL, false, &err);
		ATF_CHECK_MSG(t != NULL, "%s", text);
		if (t == NULL)
			break;
		ATF_CHECK(store_tool_get(t, &a, &out) != STORE_ERROR);
		store_tool_free(&t);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

ATF_TC_WITHOUT_HEAD(nothing_committed_is_lost_to_kill_9);
ATF_TC_BODY(nothing_committed_is_lost_to_kill_9, tc)
{
	uint32_t seen = 0, progress = 0;
	int status;

	house_close(house_open(0));
	struct store_reader *r = store_reader_open(STORE, -1);
	for (int round = 0; round < 40; round++) {
		uint32_t start = seen;
		pid_t pid = fork();
		if (pid == 0)
			write_until_killed(start);
		usleep((useconds_t)(10000 + 1700 * round));
		seen = committed(r, seen);
		kill(pid, SIGKILL);
		ATF_REQUIRE_EQ(waitpid(pid, &status, 0), pid);
		ATF_REQUIRE(WIFSIGNALED(status));
		ATF_REQUIRE(committed(r, start) >= seen);
		seen = committed(r, seen);
		progress += seen > start;
		struct addr beyond = client(seen + 1);
		struct record out;
		ATF_CHECK_MSG(!store_get(r, &beyond, &out, 0), "a gap at %u", seen);
	}
	ATF_CHECK_MSG(progress > 20, "only %u rounds wrote anything", progress);
	store_reader_free(&r);
	ATF_CHECK_EQ(store_examine(STORE), STORE_GOOD);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, puts_are_seen_at_once_and_by_others_after_a_second);
	ATF_TP_ADD_TC(tp, a_writer_that_ends_commits_what_it_has);
	ATF_TP_ADD_TC(tp, own_puts_read_as_the_store_will_read);
	ATF_TP_ADD_TC(tp, own_puts_do_not_outlive_the_file);
	ATF_TP_ADD_TC(tp, the_map_grows_under_readers);
	ATF_TP_ADD_TC(tp, a_sweep_drops_what_is_long_expired);
	ATF_TP_ADD_TC(tp, a_foreign_file_is_set_aside);
	ATF_TP_ADD_TC(tp, a_foreign_lock_file_is_set_aside);
	ATF_TP_ADD_TC(tp, a_truncated_file_is_set_aside);
	ATF_TP_ADD_TC(tp, overwritten_pages_are_found);
	ATF_TP_ADD_TC(tp, damage_met_while_running_renews_file_and_readers);
	ATF_TP_ADD_TC(tp, a_deleted_store_is_begun_anew);
	ATF_TP_ADD_TC(tp, what_is_in_the_way_is_waited_for);
	ATF_TP_ADD_TC(tp, a_directory_of_somebody_else_is_not_used);
	ATF_TP_ADD_TC(tp, a_full_disk_is_survived);
	ATF_TP_ADD_TC(tp, dead_readers_are_cleared);
	ATF_TP_ADD_TC(tp, a_worker_may_send_rubbish_and_die);
	ATF_TP_ADD_TC(tp, a_stuck_writer_does_not_hold_up_a_worker);
	ATF_TP_ADD_TC(tp, a_growing_store_can_be_opened);
	ATF_TP_ADD_TC(tp, nothing_committed_is_lost_to_kill_9);
	return atf_no_error();
}
