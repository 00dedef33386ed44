#include "config.h"
#include "screen/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "dnsbl/dnsbl.h"

/*
 * match
 */
static bool
parse_ipv4(const char *text, struct addr *out)
{
	return addr_parse(out, text, strlen(text)) && out->family == 4;
}

static void
print_match(const struct ctl *ctl, const char *address, bool yes)
{
	if (!ctl->json) {
		printf("%s %s\n", address, yes ? "yes" : "no");
		return;
	}
	fputs("{\"address\":", stdout);
	ctl_json_string(span_of(address));
	printf(",\"match\":%s}\n", yes ? "true" : "false");
}

static enum ctl_exit
match_all(const struct ctl *ctl, const struct dnsbl_filter *filter, char **addresses, int count)
{
	enum ctl_exit result = CTL_NO;

	for (int i = 0; i < count; i++) {
		struct addr a;
		bool yes;

		if (!parse_ipv4(addresses[i], &a))
			return ctl_usage(ctl, "\"%s\" is not an IPv4 address", addresses[i]);
		yes = dnsbl_filter_match(filter, a.ip);
		print_match(ctl, addresses[i], yes);
		if (yes)
			result = CTL_OK;
	}
	return result;
}

enum ctl_exit
ctl_match(struct ctl *ctl, int argc, char **argv)
{
	char text[512];
	struct buf err = BUF(text);
	struct dnsbl_filter *filter;
	enum ctl_exit result;

	if (argc < 3)
		return ctl_usage(ctl, NULL);
	filter = dnsbl_filter_parse(span_of(argv[1]), &err);
	if (filter == NULL) {
		fprintf(stderr, "gatehousectl: bad DNSBL filter syntax: %s\n", text);
		return CTL_USAGE;
	}
	result = match_all(ctl, filter, argv + 2, argc - 2);
	dnsbl_filter_free(&filter);
	return result;
}

/*
 * score
 */
#define REPLIES_MAX 256

struct score_options {
	const char *sites, *threshold;
	const char *replies[REPLIES_MAX];
	size_t reply_count;
	struct addr client;
};

static bool
take_options(struct score_options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "sites", required_argument, NULL, 's' },
		{ "threshold", required_argument, NULL, 't' },
		{ "reply", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (c == 's')
			o->sites = optarg;
		else if (c == 't')
			o->threshold = optarg;
		else if (c == 'r' && o->reply_count < REPLIES_MAX)
			o->replies[o->reply_count++] = optarg;
		else
			return false;
	}
	return optind == argc - 1 && addr_parse(&o->client, argv[optind], strlen(argv[optind]));
}

/* The command line's words are overrides like those of -o. */
static const struct rules *
rules_with(struct ctl *ctl, const struct score_options *o, const char *probe_interval)
{
	struct rules_override *all = mem_array(ctl->overrides + 3, sizeof *all);
	size_t count = ctl->overrides;
	const struct rules *rules;

	for (size_t i = 0; i < count; i++)
		all[i] = ctl->override[i];
	if (o->sites != NULL)
		all[count++] = (struct rules_override){ "postscreen_dnsbl_sites", o->sites };
	if (o->threshold != NULL)
		all[count++] =
		    (struct rules_override){ "postscreen_dnsbl_threshold", o->threshold };
	if (probe_interval != NULL)
		all[count++] =
		    (struct rules_override){ "gatehouse_dnsbl_probe_interval", probe_interval };
	ctl->override = all;
	ctl->overrides = count;
	rules = ctl_rules(ctl);
	ctl->overrides = 0;
	ctl->override = NULL;
	free(all);
	return rules;
}

static struct dnsbl_sites *
load_sites(const struct rules *rules)
{
	struct diag *diag = diag_new();
	struct dnsbl_sites *s = dnsbl_sites_load(rules, diag);

	if (ctl_report(diag, DIAG_WARNING))
		dnsbl_sites_free(&s);
	diag_free(&diag);
	return s;
}

/* "DOMAIN TTL ADDR...": an answer as if from DNS. Null, or what is wrong with it. */
static const char *
take_reply(const struct dnsbl_sites *s, struct dnsbl_score *score, const char *text)
{
	struct span rest = span_of(text), name = span_token(&rest, " \t"),
		    word = span_token(&rest, " \t");
	size_t domain = dnsbl_domain_find(s, name);
	struct dnsbl_answer *a;
	int64_t ttl;

	if (domain == dnsbl_domain_count(s))
		return "no such domain among the sites";
	if (!span_int(word, -1, INT32_MAX, &ttl))
		return "the second word must be a number of seconds";
	a = &score->answers[domain];
	if (a->state != DNSBL_PENDING)
		return "a second reply for the same domain";
	a->ttl = (int32_t)ttl;
	while ((word = span_token(&rest, " \t")).len > 0) {
		struct addr ip;

		if (!addr_parse(&ip, word.p, word.len) || ip.family != 4)
			return "an address is not an IPv4 address";
		if (a->count == DNSBL_ANSWERS_MAX)
			return "more than 16 addresses";
		memcpy(a->ip[a->count++], ip.ip, 4);
	}
	a->state = a->count > 0 ? DNSBL_LISTED : DNSBL_NOT_LISTED;
	dnsbl_judge(s, domain, a);
	dnsbl_score_add(s, score, domain);
	return NULL;
}

static const char *const state_words[] = {
	[DNSBL_PENDING] = "pending",
	[DNSBL_LISTED] = "listed",
	[DNSBL_NOT_LISTED] = "not-listed",
	[DNSBL_FAILED] = "failed",
	[DNSBL_DISTRUSTED] = "distrusted",
	[DNSBL_SKIPPED] = "skipped",
};

static const char *
verdict_word(const struct dnsbl_sites *s, const struct dnsbl_score *score)
{
	switch (dnsbl_score_outlook(s, score)) {
	case DNSBL_WILL_FAIL:
		return "fail";
	case DNSBL_WILL_ALLOW:
		return "allow";
	case DNSBL_WILL_PASS:
	case DNSBL_OPEN:
		break;
	}
	return "pass";
}

static void
print_site(const char *name, const struct dnsbl_answer *a)
{
	printf("%s %d %s", name, a->score, state_words[a->state]);
	for (uint8_t i = 0; i < a->count; i++)
		printf(" %u.%u.%u.%u", a->ip[i][0], a->ip[i][1], a->ip[i][2], a->ip[i][3]);
	printf("%s%s\n", a->error != NULL ? ": " : "", a->error != NULL ? a->error : "");
}

static void
print_site_json(const char *name, const struct dnsbl_answer *a)
{
	fputs("{\"site\":", stdout);
	ctl_json_string(span_of(name));
	printf(",\"score\":%d,\"state\":\"%s\",\"ttl\":%d,\"answers\":[", a->score,
	    state_words[a->state], a->ttl);
	for (uint8_t i = 0; i < a->count; i++)
		printf("%s\"%u.%u.%u.%u\"", i > 0 ? "," : "", a->ip[i][0], a->ip[i][1], a->ip[i][2],
		    a->ip[i][3]);
	fputs("],\"error\":", stdout);
	if (a->error != NULL)
		ctl_json_string(span_of(a->error));
	else
		fputs("null", stdout);
	putchar('}');
}

static void
print_score(const struct dnsbl_sites *s, const struct dnsbl_score *score)
{
	for (size_t i = 0; i < score->count; i++)
		print_site(dnsbl_domain_shown(s, i), &score->answers[i]);
	printf("total %d\nttl %lld\nname %s\nverdict %s\n", score->total, (long long)score->ttl_s,
	    score->name != NULL ? score->name : "-", verdict_word(s, score));
}

static void
print_score_json(
    const struct dnsbl_sites *s, const struct dnsbl_score *score, const struct addr *client)
{
	char address[ADDR_TEXT_SIZE];

	printf("{\"address\":\"%s\",\"sites\":[", addr_format(client, address));
	for (size_t i = 0; i < score->count; i++) {
		if (i > 0)
			putchar(',');
		print_site_json(dnsbl_domain_shown(s, i), &score->answers[i]);
	}
	printf("],\"total\":%d,\"ttl\":%lld,\"name\":", score->total, (long long)score->ttl_s);
	if (score->name != NULL)
		ctl_json_string(span_of(score->name));
	else
		fputs("null", stdout);
	printf(",\"verdict\":\"%s\"}\n", verdict_word(s, score));
}

static void
report_score(const struct ctl *ctl, const struct dnsbl_sites *s, const struct dnsbl_score *score,
    const struct addr *client)
{
	if (ctl->json)
		print_score_json(s, score, client);
	else
		print_score(s, score);
}

/* The answers given alone: a domain without one has no vote. */
static enum ctl_exit
score_replies(const struct ctl *ctl, const struct dnsbl_sites *s, const struct score_options *o)
{
	struct dnsbl_answer *answers = mem_array(dnsbl_domain_count(s), sizeof *answers);
	struct dnsbl_score score;
	enum ctl_exit result = CTL_OK;

	dnsbl_score_begin(s, &score, answers);
	for (size_t i = 0; i < o->reply_count && result == CTL_OK; i++) {
		const char *why = take_reply(s, &score, o->replies[i]);

		if (why != NULL)
			result = ctl_usage(ctl, "--reply '%s': %s", o->replies[i], why);
	}
	for (size_t i = 0; i < score.count; i++)
		if (answers[i].state == DNSBL_PENDING) {
			answers[i].state = DNSBL_SKIPPED;
			dnsbl_score_add(s, &score, i);
		}
	dnsbl_score_end(s, &score);
	if (result == CTL_OK)
		report_score(ctl, s, &score, &o->client);
	free(answers);
	return result;
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

static enum ctl_exit
score_by_dns(const struct ctl *ctl, const struct dnsbl_sites *s, const struct score_options *o)
{
	struct loop *loop = loop_new();
	struct diag *diag = diag_new();
	struct dnsbl *dnsbl = dnsbl_new(loop, s, 1, diag);
	struct dnsbl_ask *ask;

	log_threshold(LOG_LEVEL_WARNING);
	ask = dnsbl_ask(dnsbl, &o->client, stop_loop, loop);
	if (ask != NULL) {
		loop_run(loop);
		report_score(ctl, s, dnsbl_ask_score(ask), &o->client);
		dnsbl_release(&ask);
	}
	log_flush();
	dnsbl_free(&dnsbl);
	diag_free(&diag);
	loop_free(&loop);
	return CTL_OK;
}

enum ctl_exit
ctl_score(struct ctl *ctl, int argc, char **argv)
{
	struct score_options o = { 0 };
	const struct rules *rules;
	struct dnsbl_sites *s;
	enum ctl_exit result;

	if (!take_options(&o, argc, argv))
		return ctl_usage(ctl, NULL);
	rules = rules_with(ctl, &o, NULL);
	s = rules != NULL ? load_sites(rules) : NULL;
	if (s == NULL)
		return CTL_CONFIG;
	result = o.reply_count > 0 ? score_replies(ctl, s, &o) : score_by_dns(ctl, s, &o);
	dnsbl_sites_free(&s);
	return result;
}

/*
 * dnsbl health: asks every list its test points now, with or without a daemon.
 */
static void
print_health(const struct ctl *ctl, const char *name, const struct dnsbl_health *h)
{
	const char *word = dnsbl_health_word(h->state),
		   *reason = h->reason != NULL ? h->reason : "";
	const char *advice = h->advice != NULL ? h->advice : "";

	if (!ctl->json) {
		printf("%s %s%s%s%s%s\n", name, word, reason[0] != '\0' ? ": " : "", reason,
		    advice[0] != '\0' ? "; " : "", advice);
		return;
	}
	fputs("{\"site\":", stdout);
	ctl_json_string(span_of(name));
	printf(
	    ",\"state\":\"%s\",\"obeyed\":%s,\"reason\":", word, h->quarantined ? "false" : "true");
	ctl_json_string(span_of(reason));
	fputs(",\"advice\":", stdout);
	ctl_json_string(span_of(advice));
	printf(",\"codes\":\"%s\"}\n", dnsbl_truth_version());
}

static enum ctl_exit
probe_all(const struct ctl *ctl, const struct dnsbl_sites *s)
{
	struct loop *loop = loop_new();
	struct diag *diag = diag_new();
	struct dnsbl *dnsbl = dnsbl_new(loop, s, 1, diag);
	enum ctl_exit result = CTL_OK;

	log_threshold(LOG_LEVEL_ERROR);
	while (dnsbl_probing(dnsbl))
		loop_turn(loop, true);
	for (size_t i = 0; i < dnsbl_list_count(s); i++) {
		const struct dnsbl_health *h = dnsbl_health(dnsbl, i);

		print_health(ctl, dnsbl_domain_shown(s, i), h);
		if (h->state == DNSBL_BLOCKED || h->state == DNSBL_DEAD)
			result = CTL_NO;
	}
	if (!ctl->json)
		printf("error codes of lists: as known on %s\n", dnsbl_truth_version());
	dnsbl_free(&dnsbl);
	diag_free(&diag);
	loop_free(&loop);
	return result;
}

enum ctl_exit
ctl_dnsbl(struct ctl *ctl, int argc, char **argv)
{
	struct score_options none = { 0 };
	const struct rules *rules;
	struct dnsbl_sites *s;
	enum ctl_exit result;

	if (argc != 2 || strcmp(argv[1], "health") != 0)
		return ctl_usage(ctl, NULL);
	rules = rules_with(ctl, &none, "10m");
	s = rules != NULL ? load_sites(rules) : NULL;
	if (s == NULL)
		return CTL_CONFIG;
	result = probe_all(ctl, s);
	dnsbl_sites_free(&s);
	return result;
}
