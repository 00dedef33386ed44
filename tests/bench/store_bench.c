/*
 * tests/bench/store_bench.c: the allowlist store at a million records, one in five of an IPv6 client. Prints a
 * table beside what is asked for; asserts nothing.
 *
 *	store_bench DIR [RECORDS]
 *
 * DIR is made and left behind. Each part runs in a process of its own, as LMDB wants it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "policy/policy.h"

static const char *path;
static uint32_t records = 1000000;
static const struct policy_rules rules = { .enabled = CHECKS_EARLY | CHECKS_DEEP,
	.retention_s = 7 * 86400 };

/* The n-th client: all different (each step can be undone), in no order. */
static struct addr
client(uint32_t n)
{
	uint32_t bits = n;

	bits = (bits ^ (bits >> 16)) * 0x85ebca6bu;
	bits = (bits ^ (bits >> 13)) * 0xc2b2ae35u;
	bits ^= bits >> 16;
	struct addr a = { .family = n % 5 == 0 ? 6 : 4 };
	if (a.family == 6)
		memcpy(a.ip,
		    (const uint8_t[]){
			0x20, 0x01, 0x0d, 0xb8, 0xaa, 0x55, 0x17, 0x88, 0x99, 0x12, 0x34, 0x56 },
		    12);
	memcpy(a.ip + (a.family == 6 ? 12 : 0), &bits, sizeof bits);
	return a;
}

static double
seconds_since(int64_t start_us)
{
	return (double)(clock_now_us() - start_us) / 1e6;
}

/* asked: what is wanted of it, or "". */
static void
say(const char *what, double value, const char *unit, const char *asked)
{
	printf("%-52s %12.2f %-6s %s\n", what, value, unit, asked);
	fflush(stdout);
}

/* Every second record expired long ago. */
static void
fill(void)
{
	char text[200];
	struct buf err = BUF(text);
	struct store_tool *t = store_tool_open(path, NULL, true, &err);
	int64_t start = clock_now_us(), now_s = time(NULL);
	struct store_stats stats;

	if (t == NULL)
		exit(EXIT_FAILURE);
	for (uint32_t i = 0; i < records; i++) {
		struct addr a = client(i);
		int64_t at = i % 2 ? now_s + 86400 : now_s - 30 * 86400;
		struct record r = { { at, at + 1, at + 2, at + 3, at + 4 } };
		if (!store_tool_put(t, &a, &r))
			exit(EXIT_FAILURE);
	}
	store_tool_commit(t);
	say("records written a second (batches of 200)", records / seconds_since(start), "/s", "");
	if (store_tool_stats(t, &stats))
		say("disk a record", (double)stats.file_bytes / records, "bytes", "at most 130");
	say("of it in use", (double)stats.used_bytes / records, "bytes", "");
	store_tool_free(&t);
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* One by one, each among other work: what a returning client waits longer. */
static void
look_up_one_by_one(struct store_reader *r)
{
	enum { TIMES = 20000, MIDDLE = 10000, NEARLY_ALL = 19000, ELSEWHERE = 1 << 18 };
	static int64_t took_ns[TIMES];
	static volatile uint8_t elsewhere[ELSEWHERE];
	struct timespec from, to;
	struct record out;
	uint32_t n = 7;

	for (int i = 0; i < TIMES; i++) {
		n = n * 1664525u + 1013904223u;
		struct addr a = client(n % records);
		for (int k = 0; k < ELSEWHERE; k += 64)
			elsewhere[k]++;
		clock_gettime(CLOCK_MONOTONIC, &from);
		store_get(r, &a, &out, 0);
		clock_gettime(CLOCK_MONOTONIC, &to);
		took_ns[i] = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
	}
	qsort(took_ns, TIMES, sizeof took_ns[0], by_value);
	say("a look-up adds to a returning client: median", (double)took_ns[MIDDLE] / 1e3, "us",
	    "at most 3");
	say("  95 in 100", (double)took_ns[NEARLY_ALL] / 1e3, "us", "");
}

static void
look_up(void)
{
	struct store_reader *r = store_reader_open(path, -1);
	struct record out;
	uint32_t found = 0, n = 1, looked_up = 1000000;
	int64_t start = clock_now_us();

	for (uint32_t i = 0; i < looked_up; i++) {
		n = n * 1664525u + 1013904223u;
		struct addr a = client(n % records);
		found += store_get(r, &a, &out, 0);
	}
	double s = seconds_since(start);
	say("look-ups a second on one core, random, all found", looked_up / s, "/s",
	    "at least 500000");
	say("  one of them", s / looked_up * 1e6, "us", "");
	if (found != looked_up)
		printf("only %u found\n", found);
	start = clock_now_us();
	for (uint32_t i = 0; i < looked_up; i++) {
		struct addr a = client(records + i);
		store_get(r, &a, &out, 0);
	}
	say("  one of a stranger", seconds_since(start) / looked_up * 1e6, "us", "");
	look_up_one_by_one(r);
	store_reader_free(&r);
}

static void
sweep(void)
{
	struct loop *loop = loop_new();
	struct store_writer *w = store_writer_open(loop, path, &rules, 3600, false, NULL, NULL);
	int64_t start = clock_now_us(), longest = 0, last_busy = start;

	/* A turn that found nothing to do ends the sweep. */
	for (int idle = 0; idle < 20;) {
		int64_t turn = clock_now_us();
		loop_turn(loop, false);
		int64_t took = clock_now_us() - turn;
		if (took > longest)
			longest = took;
		idle = took > 100 ? 0 : idle + 1;
		if (took > 100)
			last_busy = clock_now_us();
	}
	log_flush();
	say("sweep, half of the records dropped", (double)(last_busy - start) / 1e6, "s",
	    "below 1");
	say("  its longest slice", (double)longest / 1e3, "ms", "at most 10");
	store_writer_free(&w);
	loop_free(&loop);
}

static void
apart(void (*fn)(void))
{
	fflush(NULL);
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		exit(EXIT_SUCCESS);
	}
	waitpid(pid, NULL, 0);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: store_bench DIR [RECORDS]\n", stderr);
		return 2;
	}
	path = argv[1];
	if (argc > 2)
		records = (uint32_t)strtoul(argv[2], NULL, 10);
	apart(fill);
	apart(look_up);
	apart(sweep);
	return 0;
}
