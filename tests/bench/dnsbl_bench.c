/*
 * How fast the lists are asked. Prints questions a second, our CPU a question, and how many were lost.
 * usage: dnsbl_bench ADDR:PORT CLIENTS CLIENTS-AT-ONCE DOMAIN...
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/log.h"
#include "tests/helpers/dnsbl_sites.h"

static struct bench {
	struct loop *loop;
	struct dnsbl *dnsbl;
	uint64_t clients, started, done, failed, listed;
} bench;

struct client {
	struct dnsbl_ask *ask;
};

static void start(struct client *);

static void
on_done(void *arg)
{
	struct client *c = arg;
	const struct dnsbl_score *score = dnsbl_ask_score(c->ask);

	for (size_t i = 0; i < score->count; i++) {
		bench.failed += score->answers[i].state == DNSBL_FAILED;
		bench.listed += score->answers[i].state == DNSBL_LISTED;
	}
	dnsbl_release(&c->ask);
	if (++bench.done == bench.clients)
		loop_stop(bench.loop);
	start(c);
}

static void
start(struct client *c)
{
	struct addr a = { .family = 4,
		.ip = { 11, (uint8_t)(bench.started >> 16), (uint8_t)(bench.started >> 8),
		    (uint8_t)bench.started } };

	if (bench.started == bench.clients)
		return;
	bench.started++;
	c->ask = dnsbl_ask(bench.dnsbl, &a, on_done, c);
}

static double
cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int
main(int argc, char **argv)
{
	char text[4096];
	struct buf names = BUF(text);
	struct dnsbl_sites *s;
	struct client *clients;
	size_t at_once;
	double questions, wall, cpu;

	if (argc < 5) {
		fprintf(stderr, "usage: %s ADDR:PORT CLIENTS CLIENTS-AT-ONCE DOMAIN...\n", argv[0]);
		return 2;
	}
	for (int i = 4; i < argc; i++)
		buf_printf(&names, "%s ", argv[i]);
	s = sites_of(text, NULL);
	s->server_count = endpoint_parse(&s->servers[0], argv[1], strlen(argv[1]), 53);
	if (s->server_count == 0 || s->count == 0)
		return 2;
	bench.clients = strtoull(argv[2], NULL, 10);
	at_once = strtoull(argv[3], NULL, 10);
	log_threshold(LOG_LEVEL_WARNING);
	bench.loop = loop_new();
	bench.dnsbl = dnsbl_new(bench.loop, s, at_once, NULL);
	clients = mem_array(at_once, sizeof *clients);
	wall = (double)clock_now_us();
	cpu = cpu_us();
	for (size_t i = 0; i < at_once; i++)
		start(&clients[i]);
	loop_run(bench.loop);
	wall = (double)clock_now_us() - wall;
	cpu = cpu_us() - cpu;
	questions = (double)bench.done * (double)s->count;
	printf("%.0f questions in %.2f s: %.0f/s, %.2f us CPU each, %llu listed, %llu lost\n",
	    questions, wall / 1e6, questions / wall * 1e6, cpu / questions,
	    (unsigned long long)bench.listed, (unsigned long long)bench.failed);
	dnsbl_free(&bench.dnsbl);
	dnsbl_sites_free(&s);
	loop_free(&bench.loop);
	free(clients);
	return 0;
}
