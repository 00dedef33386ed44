/*
 * The SMTP engine: processor time a command (the client's part not counted), memory of a session, and what many idle
 * sessions cost while a few bytes drip in.
 *
 * usage: engine_bench [SESSIONS]: held at once (10000)
 */
#include "config.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/engine.h"
#include "tests/helpers/fake_worker.h"

#define COMMANDS 200000
#define DRIPS 200000

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double
turn(struct worker *w)
{
	double begun = cpu_us();

	loop_turn(w->loop, false);
	return cpu_us() - begun;
}

static struct worker *
worker_for(const char *sessions)
{
	const struct rules_override rules[] = { { "gatehouse_session_limit", sessions },
		{ "postscreen_pipelining_enable", "yes" },
		{ "postscreen_non_smtp_command_enable", "yes" },
		{ "postscreen_command_count_limit", "100000000" },
		{ "postscreen_pre_queue_limit", "100000" },
		{ "postscreen_client_connection_count_limit", "0" },
		{ "postscreen_greet_banner", "" } };

	return fake_worker_new(rules, sizeof rules / sizeof rules[0]);
}

static void
drain(int sock)
{
	char bytes[8192];

	while (recv(sock, bytes, sizeof bytes, 0) > 0)
		;
}

static void
bench_command(struct worker *w, int sock, const char *text)
{
	double sum = 0;

	for (int i = 0; i < COMMANDS; i++) {
		if (send(sock, text, strlen(text), MSG_NOSIGNAL) < 0)
			abort();
		sum += turn(w);
		drain(sock);
	}
	printf("%-40.*s %8.2f us CPU\n", (int)strcspn(text, "\r"), text, sum / COMMANDS);
}

static size_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long total = 0, pages = 0;
	char line[128];

	if (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *rest;
		total = strtoul(line, &rest, 10);
		pages = strtoul(rest, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return total == 0 ? 0 : pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void
bench_drip(struct worker *w, const int *socks, int count)
{
	double sum = 0;

	for (int i = 0; i < DRIPS; i++) {
		bool end = i / count % 1000 == 999; /* not to reach the length limit */
		if (send(socks[i % count], end ? "\n" : "x", 1, MSG_NOSIGNAL) < 0)
			abort();
		sum += turn(w);
		if (end)
			drain(socks[i % count]);
	}
	printf("one byte, %6d sessions held             %8.2f us CPU\n", count, sum / DRIPS);
}

int
main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "10000";
	int count = (int)strtol(text, NULL, 10), *socks = calloc((size_t)count, sizeof *socks);
	struct rlimit files = { (rlim_t)count * 2 + 100, (rlim_t)count * 2 + 100 };
	struct worker *w;

	log_open("/dev/null", "bench", 0);
	if (count < 100 || socks == NULL || setrlimit(RLIMIT_NOFILE, &files) != 0) {
		fprintf(stderr, "usage: engine_bench [SESSIONS], at least 100; needs two "
				"descriptors for each\n");
		return 2;
	}
	w = worker_for(text);
	socks[0] = fake_client(w, "192.0.2.1", false);
	turn(w);
	drain(socks[0]);
	bench_command(w, socks[0], "NOOP\r\n");
	bench_command(w, socks[0], "EHLO client.example.test\r\n");
	bench_command(w, socks[0], "WHAT is this\r\n");
	(void)!send(socks[0], "MAIL FROM:<a@b.example>\r\n", 25, MSG_NOSIGNAL);
	turn(w);
	bench_command(w, socks[0], "RCPT TO:<somebody@example.test>\r\n");
	bench_drip(w, socks, 1);
	size_t before = resident(), heap = mallinfo2().uordblks;
	for (int i = 1; i < count; i++) {
		char address[32];
		snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, (i >> 8) & 255, i & 255);
		socks[i] = fake_client(w, address, false);
		turn(w);
	}
	printf("a session in the engine: %zu + %zu bytes; resident for each of %d: %zu, heap %zu\n",
	    sizeof(struct session), engine_size(w->snap), count - 1,
	    (resident() - before) / (size_t)(count - 1),
	    (mallinfo2().uordblks - heap) / (size_t)(count - 1));
	bench_drip(w, socks, count);
	return 0;
}
