/*
 * tests/bench/store_bench.c: the allowlist store at a million records. Prints a table; asserts
 *nothing.
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
	struct addr a = { .family = 4 };

	memcpy(a.ip, &bits, sizeof bits);
	return a;
}

static double
seconds_since(int64_t start_us)
{
	return (double)(clock_now_us() - start_us) / 1e6;
}

static void
say(const char *what, double value, const char *unit)
{
	printf("%-44s %12.2f %s\n", what, value, unit);
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
	say("records written a second (batches of 200)", records / seconds_since(start), "/s");
	if (store_tool_stats(t, &stats))
		say("disk a record", (double)stats.file_bytes / records, "bytes");
	say("of it in use", (double)stats.used_bytes / records, "bytes");
	store_tool_free(&t);
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
	say("look-ups a second, random, all found", looked_up / s, "/s");
	say("one look-up", s / looked_up * 1e6, "us");
	if (found != looked_up)
		printf("only %u found\n", found);
	start = clock_now_us();
	for (uint32_t i = 0; i < looked_up; i++) {
		struct addr a = client(records + i);
		store_get(r, &a, &out, 0);
	}
	say("one look-up of a stranger", seconds_since(start) / looked_up * 1e6, "us");
	store_reader_free(&r);
}

static void
sweep(void)
{
	struct loop *loop = loop_new();
	struct store_writer *w = store_writer_open(loop, path, &rules, 3600, NULL, NULL);
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
	say("sweep, half of the records dropped", (double)(last_busy - start) / 1e6, "s");
	say("longest slice", (double)longest / 1e3, "ms");
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
