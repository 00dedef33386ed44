/*
 * A CIDR table of many rules: how long it takes to load, how much memory it holds and needs at its
 * peak, how much processor time a look-up takes.
 *
 * usage: cidr_bench [RULES [FILE]]: RULES rules (1000000), a quarter of them IPv6, are written to
 * FILE (a temporary file), unless FILE is there already.
 */
#include "config.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "rules/rules.h"

#define LOOKUPS 2000000u

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static double
seconds_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* An address like those that feeds hold: all of IPv4, IPv6 crowded into a few /24s. */
static void
random_addr(uint64_t *state, struct addr *a)
{
	uint64_t n = next_random(state), m = next_random(state);

	*a = (struct addr){ .family = n % 4 == 0 ? 6 : 4 };
	for (int i = 0; i < (a->family == 4 ? 4 : 8); i++)
		a->ip[i] = (uint8_t)(m >> 8 * i);
	if (a->family == 6) {
		a->ip[0] = 0x20 + (n >> 8 & 0xa);
		a->ip[1] &= 0x0f;
	}
}

static void
write_rules(const char *path, unsigned count)
{
	static const uint8_t lengths4[] = { 16, 20, 22, 24, 24, 24, 29, 32, 32, 32 };
	static const uint8_t lengths6[] = { 29, 32, 40, 48, 48, 56, 64, 64 };
	uint64_t state = 88172645463325252u;
	FILE *f = fopen(path, "w");
	char text[ADDR_TEXT_SIZE];

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	for (unsigned i = 0; i < count; i++) {
		struct addr a;
		unsigned bits, pick = (unsigned)(next_random(&state) >> 20);

		random_addr(&state, &a);
		bits = a.family == 4 ? lengths4[pick % sizeof(lengths4)]
				     : lengths6[pick % sizeof(lengths6)];
		addr_mask(&a, bits);
		fprintf(
		    f, "%s/%u %s\n", addr_format(&a, text), bits, i % 3 == 0 ? "permit" : "reject");
	}
	fclose(f);
}

static double
megabytes_held(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd) / 1048576;
}

static double
megabytes_peak(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1024;
}

static void
measure_lookups(const struct table *table)
{
	struct addr *asked = calloc(LOOKUPS, sizeof(*asked));
	uint64_t state = 2463534242u;
	unsigned found = 0;
	double start;

	if (asked == NULL)
		return;
	for (unsigned i = 0; i < LOOKUPS; i++)
		random_addr(&state, &asked[i]);
	start = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		char bytes[64];
		struct buf value = BUF(bytes);

		found += table_find_addr(table, &asked[i], &value) == TABLE_FOUND;
	}
	printf("cidr_lookup_ns %.0f\ncidr_lookups_found %.1f%%\n",
	    (seconds_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / LOOKUPS,
	    100.0 * found / LOOKUPS);
	free(asked);
}

int
main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
	char made[] = "/tmp/cidr_bench.XXXXXX", name[300];
	const char *path = argc > 2 ? argv[2] : made;
	struct diag *diag = diag_new();
	struct table *table;
	double held, peak, start, cpu;

	if (argc <= 2)
		close(mkstemp(made));
	if (argc <= 2 || access(path, R_OK) != 0)
		write_rules(path, count);
	snprintf(name, sizeof(name), "cidr:%s", path);
	held = megabytes_held();
	peak = megabytes_peak();
	start = seconds_now(CLOCK_MONOTONIC);
	cpu = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
	table = table_open(name, diag);
	printf("cidr_rules %u\ncidr_load_seconds %.2f\ncidr_load_cpu_seconds %.2f\n", count,
	    seconds_now(CLOCK_MONOTONIC) - start, seconds_now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	printf("cidr_megabytes_held %.1f\ncidr_megabytes_peak %.1f\n", megabytes_held() - held,
	    megabytes_peak() - peak);
	measure_lookups(table);
	printf("cidr_warnings %u\ncidr_shadowed %u\n", diag_count(diag, DIAG_WARNING),
	    diag_count(diag, DIAG_NOTICE));
	table_free(&table);
	diag_free(&diag);
	if (argc <= 2)
		unlink(made);
	return 0;
}
