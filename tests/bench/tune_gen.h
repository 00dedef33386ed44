/*
 * tests/bench/tune_gen.h: a mail server's log with a planted truth: who is a bot, and how good each list
 * is at knowing it. The same seed gives the same log.
 */
#ifndef TESTS_BENCH_TUNE_GEN_H
#define TESTS_BENCH_TUNE_GEN_H

#include <stdint.h>
#include <stdio.h>

#define GEN_LISTS_MAX 16
enum gen_format { GEN_SYSLOG, GEN_RFC5424, GEN_ISO, GEN_RECORD };
struct gen_list {
	const char *name;
	const char *code;
	double bots, good;   /* share of each that it lists */
	int copies;          /* number + 1 of an earlier list; 0: none */
	double copied;       /* share of clients on which it repeats that list's answer */
	int weight;          /* in force */
};
struct gen {
	uint64_t seed, lines;     /* stops after the session that reaches this many lines */
	unsigned clients;
	double bot_share;
	double pregreet;          /* share of bots that talk early */
	int threshold;            /* in force */
	int recipients;           /* of a message */
	int64_t start_s, span_s;
	enum gen_format format;
	struct gen_list lists[GEN_LISTS_MAX];
	int list_count;
};

/* A site that has seven lists of different worth, one of them an echo of another, one a list of friends. */
extern const struct gen gen_default;
void gen_write(const struct gen *, FILE *out);
/* The truth: whether client number i (0..clients-1) is a bot, and its address. */
int gen_is_bot(const struct gen *, unsigned client);
uint32_t gen_address(const struct gen *, unsigned client);
int gen_listed(const struct gen *, unsigned client, int list);

#endif
