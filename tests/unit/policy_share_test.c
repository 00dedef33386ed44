/* policy/share.c: sharing records through a real Redis server, and through servers that misbehave. */
#include "config.h"

#include <atf-c.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "policy/policy.h"

#define ALL (CHECKS_EARLY | CHECKS_DEEP)
enum { NOW = 1000000 };

static struct addr
client(unsigned n)
{
	return (struct addr){ .family = 4, .ip = { 192, 0, 2, (uint8_t)n } };
}

/* A listening socket on a port nobody has; closed again unless somebody wants it. */
static int
listen_somewhere(uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ATF_REQUIRE(bind(fd, (struct sockaddr *)&in, len) == 0 && listen(fd, 8) == 0);
	ATF_REQUIRE(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static pid_t
start_redis(uint16_t port, const char *password)
{
	char text[8];
	pid_t pid;

	snprintf(text, sizeof text, "%u", port);
	pid = fork();
	if (pid == 0) {
		ATF_REQUIRE(freopen("redis.log", "a", stdout) != NULL);
		execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1",
		    "--save", "", "--appendonly", "no", "--requirepass", password, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

struct host {
	struct loop *loop;
	struct rules *rules;
	struct diag *diag;
	struct share_rules *share_rules;
	struct share *share;
};

static struct host
host_open(uint16_t port, const char *database, const char *password_file)
{
	struct host h = { .loop = loop_new(), .diag = diag_new() };
	char *url = mem_printf("redis://127.0.0.1:%u%s", port, database);
	const struct rules_override o[] = { { "gatehouse_cache_server", url },
		{ "gatehouse_cache_prefix", "test:" },
		{ "gatehouse_cache_password_file", password_file } };

	ATF_REQUIRE(log_open("log", "postfix", LOG_MAIL));
	h.rules = rules_load(NULL, o, 3, h.diag);
	h.share_rules = share_rules_load(h.rules, h.diag);
	ATF_REQUIRE(h.share_rules != NULL);
	h.share = share_new(h.loop, h.share_rules);
	free(url);
	return h;
}

static void
host_close(struct host *h)
{
	share_free(&h->share);
	share_rules_free(&h->share_rules);
	rules_free(&h->rules);
	diag_free(&h->diag);
	loop_free(&h->loop);
	log_flush();
}

static void
turn_for(struct host *h, int ms)
{
	int64_t until = clock_now_us() + ms * 1000;

	while (clock_now_us() < until) {
		loop_turn(h->loop, false);
		usleep(500);
	}
}

/* At most five seconds. */
static void
wait_until(struct host *h, bool up)
{
	for (int i = 0; i < 500 && share_stats(h->share).up != up; i++)
		turn_for(h, 10);
	ATF_REQUIRE_EQ(share_stats(h->share).up, up);
}

struct answer {
	int calls;
	bool known;
	struct record record;
};

static void
keep(void *arg, const struct record *found)
{
	struct answer *a = arg;

	a->calls++;
	a->known = found != NULL;
	if (found != NULL)
		a->record = *found;
}

/* Asks and waits; no answer takes longer than the budget. */
static struct answer
ask(struct host *h, unsigned n)
{
	struct answer a = { 0 };
	struct addr c = client(n);
	int64_t start = clock_now_us();
	struct share_ask *handle = share_get(h->share, &c, keep, &a);

	ATF_CHECK_EQ_MSG(a.calls, 0, "only from the loop");
	while (handle != NULL && a.calls == 0 && clock_now_us() - start < 1000000)
		turn_for(h, 1);
	if (handle != NULL) {
		ATF_CHECK_EQ(a.calls, 1);
		ATF_CHECK_MSG(clock_now_us() - start < 500000, "waited %lld us",
		    (long long)(clock_now_us() - start));
	}
	share_release(&handle);
	ATF_CHECK(handle == NULL);
	return a;
}

static void
put(struct host *h, unsigned n)
{
	struct addr c = client(n);
	struct record r = { { NOW + n, NOW + 60, 0, 0, 0 } };

	share_put(h->share, &c, &r, CHECKS_EARLY, NOW);
}

static bool
log_has(const char *text)
{
	static char all[65536];
	FILE *f = fopen("log", "r");

	log_flush();
	ATF_REQUIRE(f != NULL);
	all[fread(all, 1, sizeof all - 1, f)] = '\0';
	fclose(f);
	return strstr(all, text) != NULL;
}

#define REDIS_CASE(name)                                                \
	ATF_TC(name);                                                   \
	ATF_TC_HEAD(name, tc)                                           \
	{                                                               \
		atf_tc_set_md_var(tc, "require.progs", "redis-server"); \
	}                                                               \
	ATF_TC_BODY(name, tc)

REDIS_CASE(two_hosts_share_records)
{
	uint16_t port;
	close(listen_somewhere(&port));
	FILE *f = fopen("password", "w");
	ATF_REQUIRE(f != NULL);
	fputs("a secret\nrest\n", f);
	fclose(f);
	pid_t redis = start_redis(port, "a secret");
	struct host one = host_open(port, "/3", "password"),
		    two = host_open(port, "/3", "password");
	struct host other = host_open(port, "", "password");

	wait_until(&one, true);
	wait_until(&two, true);
	wait_until(&other, true);
	ATF_CHECK(!ask(&two, 1).known);
	put(&one, 1);
	ask(&one, 1);
	struct answer a = ask(&two, 1);
	ATF_CHECK(a.known);
	ATF_CHECK_EQ(a.record.expires_at[CHECK_PREGREET], NOW + 1);
	ATF_CHECK_EQ_MSG(
	    a.record.expires_at[CHECK_PIPELINING], STAMP_DISABLED, "a disabled check is not new");
	ATF_CHECK_MSG(!ask(&other, 1).known, "another database");

	/* What has expired is not sent; what will, is forgotten by then. */
	struct addr c = client(9);
	struct record old = { { NOW - 1, 1, 1, 1, 1 } }, soon = { { NOW + 1, 1, 1, 1, 1 } };
	share_put(one.share, &c, &old, ALL, NOW);
	ask(&one, 9);
	ATF_CHECK(!ask(&two, 9).known);
	share_put(one.share, &c, &soon, ALL, NOW);
	ask(&one, 9);
	ATF_CHECK(ask(&two, 9).known);
	turn_for(&one, 1300);
	turn_for(&two, 1);
	ATF_CHECK(!ask(&two, 9).known);
	host_close(&one);
	host_close(&two);
	host_close(&other);
	end(redis);
}

REDIS_CASE(a_wrong_password_is_said)
{
	uint16_t port;
	close(listen_somewhere(&port));
	pid_t redis = start_redis(port, "right");
	struct host h = host_open(port, "", "");

	turn_for(&h, 1200);
	ATF_CHECK(!share_stats(h.share).up);
	ATF_CHECK_MSG(log_has("refuses us: NOAUTH") || log_has("Connection refused"), "no warning");
	struct addr c = client(1);
	ATF_CHECK(share_get(h.share, &c, keep, NULL) == NULL);
	host_close(&h);
	end(redis);
}

REDIS_CASE(a_stopped_server_costs_the_budget_and_then_nothing)
{
	uint16_t port;
	close(listen_somewhere(&port));
	pid_t redis = start_redis(port, "");
	struct host h = host_open(port, "", "");
	struct addr c = client(1);

	wait_until(&h, true);
	put(&h, 1);
	ATF_CHECK(ask(&h, 1).known);
	kill(redis, SIGSTOP);
	for (int i = 0; i < 5; i++)
		ATF_CHECK(!ask(&h, 1).known);
	ATF_CHECK_MSG(!share_stats(h.share).up, "five late answers open the breaker");
	ATF_CHECK(share_get(h.share, &c, keep, NULL) == NULL);
	ATF_CHECK(log_has("answers too late -- records are not shared for now"));
	kill(redis, SIGCONT);
	wait_until(&h, true);
	ATF_CHECK(ask(&h, 1).known);
	ATF_CHECK(log_has("records are shared again"));
	host_close(&h);
	end(redis);
}

REDIS_CASE(a_killed_flushed_and_restarted_server)
{
	uint16_t port;
	close(listen_somewhere(&port));
	pid_t redis = start_redis(port, "");
	struct host h = host_open(port, "", "");
	struct answer pending = { 0 };
	struct addr c = client(1);

	wait_until(&h, true);
	put(&h, 1);
	ATF_CHECK(ask(&h, 1).known);
	kill(redis, SIGSTOP);
	struct share_ask *handle = share_get(h.share, &c, keep, &pending);
	ATF_CHECK(handle != NULL);
	end(redis);
	turn_for(&h, 100);
	ATF_CHECK_EQ_MSG(pending.calls, 1, "asked before the end, answered by the budget");
	ATF_CHECK(!pending.known);
	share_release(&handle);
	ATF_CHECK(!share_stats(h.share).up);
	put(&h, 2); /* lost, not blocked */
	redis = start_redis(port, "");
	wait_until(&h, true);
	ATF_CHECK_MSG(!ask(&h, 1).known, "it has forgotten");
	put(&h, 1);
	ATF_CHECK(ask(&h, 1).known);
	host_close(&h);
	end(redis);
}

/* Cancelled in every state: before the answer, inside done(), after it. */
static struct share_ask *to_release;
static int released_calls;

static void
release_inside(void *arg, const struct record *found)
{
	(void)arg, (void)found;
	released_calls++;
	share_release(&to_release);
}

REDIS_CASE(asks_may_be_released_at_any_time)
{
	uint16_t port;
	close(listen_somewhere(&port));
	pid_t redis = start_redis(port, "");
	struct host h = host_open(port, "", "");
	struct addr c = client(1);
	struct answer never = { 0 };

	wait_until(&h, true);
	for (int i = 0; i < 200; i++) {
		struct share_ask *handle = share_get(h.share, &c, keep, &never);
		ATF_REQUIRE(handle != NULL);
		share_release(&handle);
		if (i % 3 == 0)
			turn_for(&h, 1);
	}
	ATF_CHECK_EQ(never.calls, 0);
	to_release = share_get(h.share, &c, release_inside, NULL);
	turn_for(&h, 20);
	ATF_CHECK_EQ(released_calls, 1);
	ATF_CHECK(to_release == NULL);
	kill(redis, SIGSTOP);
	to_release = share_get(h.share, &c, release_inside, NULL);
	turn_for(&h, 80);
	ATF_CHECK_EQ(released_calls, 2);
	struct share_ask *left = share_get(h.share, &c, keep, &never);
	share_release(&left);
	host_close(&h);
	end(redis);
}

/* A server that accepts, reads a little and says its piece; in a process of its own. */
static pid_t
start_liar(uint16_t *port, const char *piece, size_t len, bool greets)
{
	int listener = listen_somewhere(port);
	pid_t pid = fork();

	if (pid == 0) {
		char input[512];
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int fd = accept(listener, NULL, NULL);
			if (greets && read(fd, input, sizeof input) > 0)
				(void)!write(fd, "+PONG\r\n", 7);
			if (read(fd, input, sizeof input) > 0)
				(void)!write(fd, piece, len);
			while (read(fd, input, sizeof input) > 0)
				;
			close(fd);
		}
	}
	close(listener);
	return pid;
}

ATF_TC_WITHOUT_HEAD(lies_make_nobody_known);
ATF_TC_BODY(lies_make_nobody_known, tc)
{
	static const struct {
		const char *piece;
		bool greets;
	} cases[] = {
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", false },
		{ "+PONG\r\n+PONG\r\n+PONG\r\n", false },
		{ "-NOAUTH Authentication required.\r\n", false },
		{ ":1\r\n", true },
		{ "$-1\r\n", true },
		{ "-LOADING Redis is loading the dataset in memory\r\n", true },
		{ "$7\r\ngarbage\r\n", true },
		{ "*1000000000\r\n", true },
		{ "*-1\r\n", true },
		{ "$2000000000\r\nxxx", true },
		{ "$5\r\n1;2;3\r\n+extra\r\n", true },
		{ "$99999999999999999999\r\n", true },
		{ "\r\n\r\n\r\n", true },
		{ "", true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint16_t port;
		pid_t liar =
		    start_liar(&port, cases[i].piece, strlen(cases[i].piece), cases[i].greets);
		struct host h = host_open(port, "", "");
		if (cases[i].greets)
			wait_until(&h, true);
		else
			turn_for(&h, 50);
		struct answer a = ask(&h, 1);
		/* The record of three fields is a record; what follows it ends the connection. */
		ATF_CHECK_EQ_MSG(a.known, strncmp(cases[i].piece, "$5", 2) == 0, "case %zu", i);
		turn_for(&h, 5);
		host_close(&h);
		end(liar);
	}
}

ATF_TC_WITHOUT_HEAD(endless_talk_ends_the_connection);
ATF_TC_BODY(endless_talk_ends_the_connection, tc)
{
	static char talk[200000];
	uint16_t port;

	memset(talk, 'x', sizeof talk);
	memcpy(talk, "+", 1);
	pid_t liar = start_liar(&port, talk, sizeof talk, true);
	struct host h = host_open(port, "", "");
	wait_until(&h, true);
	ATF_CHECK(!ask(&h, 1).known);
	turn_for(&h, 20);
	ATF_CHECK(!share_stats(h.share).up);
	ATF_CHECK_EQ(share_stats(h.share).broken, 1);
	host_close(&h);
	end(liar);
}

ATF_TC_WITHOUT_HEAD(configuration);
ATF_TC_BODY(configuration, tc)
{
	static const struct {
		const char *url, *password_file;
		bool good;
	} cases[] = {
		{ "redis://127.0.0.1:6379/0", "", true },
		{ "redis://127.0.0.1", "", true },
		{ "redis://[::1]:6380/7", "", true },
		{ "redis://localhost:6379/0", "", false },
		{ "redis://:pw@127.0.0.1/0", "", false },
		{ "rediss://127.0.0.1/0", "", false },
		{ "memcache:/etc/x", "", false },
		{ "redis://127.0.0.1:6379/x", "", false },
		{ "redis://127.0.0.1:6379/0", "/no/such/file", false },
		{ "redis://127.0.0.1:6379/0", "/dev/null", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct rules_override o[] = { { "gatehouse_cache_server", cases[i].url },
			{ "gatehouse_cache_password_file", cases[i].password_file } };
		struct diag *diag = diag_new();
		struct rules *rules = rules_load(NULL, o, 2, diag);
		struct share_rules *s = share_rules_load(rules, diag);
		ATF_CHECK_EQ_MSG(s != NULL, cases[i].good, "%s", cases[i].url);
		ATF_CHECK_EQ_MSG(
		    diag_count(diag, DIAG_ERROR) == 0, cases[i].good, "%s", cases[i].url);
		share_rules_free(&s);
		rules_free(&rules);
		diag_free(&diag);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, two_hosts_share_records);
	ATF_TP_ADD_TC(tp, a_wrong_password_is_said);
	ATF_TP_ADD_TC(tp, a_stopped_server_costs_the_budget_and_then_nothing);
	ATF_TP_ADD_TC(tp, a_killed_flushed_and_restarted_server);
	ATF_TP_ADD_TC(tp, asks_may_be_released_at_any_time);
	ATF_TP_ADD_TC(tp, lies_make_nobody_known);
	ATF_TP_ADD_TC(tp, endless_talk_ends_the_connection);
	ATF_TP_ADD_TC(tp, configuration);
	return atf_no_error();
}
