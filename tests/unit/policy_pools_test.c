/* policy/spf.c, pools.c, dns.c: from SPF records to address sets, against a real authoritative server. */
#include "config.h"

#include <atf-c.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "policy/pools.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

ATF_TC_WITHOUT_HEAD(terms);
ATF_TC_BODY(terms, tc)
{
	static const struct {
		const char *text;
		enum spf_result result;
		enum spf_kind kind;
		char qualifier;
		const char *domain;
		unsigned len4, len6;
	} cases[] = {
		{ "all", SPF_TERM, SPF_ALL, '+', "", 0, 0 },
		{ "-ALL", SPF_TERM, SPF_ALL, '-', "", 0, 0 },
		{ "  ?a", SPF_TERM, SPF_A, '?', "", 32, 128 },
		{ "a/24", SPF_TERM, SPF_A, '+', "", 24, 128 },
		{ "a//64", SPF_TERM, SPF_A, '+', "", 32, 64 },
		{ "a/24//64", SPF_TERM, SPF_A, '+', "", 24, 64 },
		{ "mx:example.com/28", SPF_TERM, SPF_MX, '+', "example.com", 28, 128 },
		{ "a:host1", SPF_TERM, SPF_A, '+', "host1", 32, 128 },
		{ "include:_spf.example.com", SPF_TERM, SPF_INCLUDE, '+', "_spf.example.com", 32,
		    128 },
		{ "redirect=_spf.example.com", SPF_TERM, SPF_REDIRECT, '+', "_spf.example.com", 0,
		    0 },
		{ "ip4:192.0.2.0/24", SPF_TERM, SPF_IP4, '+', "", 24, 0 },
		{ "~ip4:192.0.2.1", SPF_TERM, SPF_IP4, '~', "", 32, 0 },
		{ "ip6:2001:db8::/32", SPF_TERM, SPF_IP6, '+', "", 0, 32 },
		{ "exists:%{i}.x.example", SPF_TERM, SPF_ASKS, '+', "%{i}.x.example", 32, 128 },
		{ "ptr", SPF_TERM, SPF_ASKS, '+', "", 32, 128 },
		{ "exp=explain.example", SPF_TERM, SPF_NOTHING, '+', "", 0, 0 },
		{ "unknown=x/y:z", SPF_TERM, SPF_NOTHING, '+', "", 0, 0 },
		{ "", SPF_END, 0, 0, "", 0, 0 },
		{ "   ", SPF_END, 0, 0, "", 0, 0 },
		{ "include:", SPF_BAD, 0, 0, "", 0, 0 },
		{ "include", SPF_BAD, 0, 0, "", 0, 0 },
		{ "redirect=", SPF_BAD, 0, 0, "", 0, 0 },
		{ "=x", SPF_BAD, 0, 0, "", 0, 0 },
		{ "all/8", SPF_BAD, 0, 0, "", 0, 0 },
		{ "a/33", SPF_BAD, 0, 0, "", 0, 0 },
		{ "a//129", SPF_BAD, 0, 0, "", 0, 0 },
		{ "a/", SPF_BAD, 0, 0, "", 0, 0 },
		{ "a:", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip4:192.0.2.0/33", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip4:192.0.2", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip4:2001:db8::1", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip6:192.0.2.1", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip6:::ffff:192.0.2.1", SPF_BAD, 0, 0, "", 0, 0 },
		{ "ip4", SPF_BAD, 0, 0, "", 0, 0 },
		{ "-", SPF_BAD, 0, 0, "", 0, 0 },
		{ "v=spf1", SPF_TERM, SPF_NOTHING, '+', "", 0, 0 },
		{ "nonsense", SPF_BAD, 0, 0, "", 0, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span rest = span_of(cases[i].text);
		struct spf_term t = { 0 };
		enum spf_result result = spf_next(&rest, &t);
		ATF_CHECK_EQ_MSG(result, cases[i].result, "%s: %d", cases[i].text, result);
		if (result != SPF_TERM || cases[i].result != SPF_TERM)
			continue;
		ATF_CHECK_EQ_MSG(t.kind, cases[i].kind, "%s", cases[i].text);
		ATF_CHECK_EQ_MSG(t.qualifier, cases[i].qualifier, "%s", cases[i].text);
		ATF_CHECK_MSG(t.domain.len == strlen(cases[i].domain) &&
				  (t.domain.len == 0 || span_is(t.domain, cases[i].domain)),
		    "%s", cases[i].text);
		ATF_CHECK_EQ_MSG(t.len4, cases[i].len4, "%s: /%u", cases[i].text, t.len4);
		ATF_CHECK_EQ_MSG(t.len6, cases[i].len6, "%s: //%u", cases[i].text, t.len6);
	}
	struct span record = SPAN("v=spf10 a"), good = SPAN("V=SPF1 a"), bare = SPAN("v=spf1");
	ATF_CHECK(!spf_begin(&record));
	ATF_CHECK(spf_begin(&good) && span_is(good, " a"));
	ATF_CHECK(spf_begin(&bare) && bare.len == 0);
}

/*
 * A private nsd with this zone. A domain a line: what it is expected to become stands beside it below.
 */
static const char zone[] =
    "$ORIGIN t.\n$TTL 600\n"
    "@ SOA ns.t. me.t. 1 3600 600 86400 60\n@ NS ns.t.\nns A 127.0.0.1\n"
    "plain TXT \"v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.7 ip6:2001:db8::/32 -all\"\n"
    "plain TXT \"something else\"\n"
    "split TXT \"v=spf1 ip4:192.0\" \".2.0/25 -all\"\n"
    "hosts TXT \"v=spf1 a mx:mail.t/28 a:two.t//64 ~all\"\n"
    "hosts A 203.0.113.1\n"
    "mail MX 10 mx1.t.\nmail MX 20 mx2.t.\n"
    "mx1 A 203.0.113.33\nmx1 AAAA 2001:db8:1::25\nmx2 A 203.0.113.66\n"
    "two A 198.51.100.1\ntwo A 198.51.100.2\ntwo AAAA 2001:db8:2::1\n"
    "tree TXT \"v=spf1 include:plain.t include:alias.t redirect=more.t\"\n"
    "alias CNAME split.t.\n"
    "more TXT \"v=spf1 ip4:203.0.113.0/24 -ip4:203.0.113.7 ?all\"\n"
    "skips TXT \"v=spf1 ptr exists:%{i}.t include:%{d}.t -include:plain.t ip4:10.0.0.1 "
    "ip4:192.0.2.1 -all\"\n"
    "loop TXT \"v=spf1 include:loop.t -all\"\n"
    "ring TXT \"v=spf1 include:ring2.t -all\"\nring2 TXT \"v=spf1 redirect=ring.t\"\n"
    "everybody TXT \"v=spf1 +all\"\n"
    "wide TXT \"v=spf1 ip4:0.0.0.0/1 -all\"\nwide6 TXT \"v=spf1 ip6:2000::/3 -all\"\n"
    "inherits TXT \"v=spf1 include:everybody.t -all\"\n"
    "twice TXT \"v=spf1 -all\"\ntwice TXT \"v=spf1 a -all\"\n"
    "broken TXT \"v=spf1 ip4:300.1.1.1 -all\"\n"
    "none A 192.0.2.1\n"
    "absent TXT \"v=spf1 include:nowhere.t -all\"\n"
    "voids TXT \"v=spf1 a:v1.t a:v2.t a:v3.t -all\"\n"
    "twovoids TXT \"v=spf1 a:v1.t mx:v2.t ip4:192.0.2.1 -all\"\n"
    "ten TXT \"v=spf1 a:two.t a:two.t a:two.t a:two.t a:two.t a:two.t a:two.t a:two.t a:two.t "
    "a:two.t -all\"\n"
    "eleven TXT \"v=spf1 include:plain.t include:plain.t include:plain.t include:plain.t "
    "include:plain.t "
    "include:plain.t include:plain.t include:plain.t\" \" include:plain.t include:plain.t "
    "include:plain.t -all\"\n"
    "manymx TXT \"v=spf1 mx -all\"\n";

/* The one record that changes. */
static const char *short_net = "192.0.2.9";

static void
write_zone(void)
{
	FILE *f = fopen("t.zone", "w");

	ATF_REQUIRE(f != NULL);
	fputs(zone, f);
	fprintf(f, "short 60 TXT \"v=spf1 ip4:%s -all\"\n", short_net);
	for (int i = 0; i < 11; i++)
		fprintf(f, "manymx MX %d mx1.t.\n", i);
	/* 900 networks in one record of many strings: 20 kB, over TCP only, and more than we take. */
	fprintf(f, "huge TXT \"v=spf1\"");
	for (int i = 0; i < 900; i++)
		fprintf(f, " \" ip4:198.51.%d.%d/32\"", 100 + i / 250, i % 250);
	fprintf(f, "\nbig TXT \"v=spf1\"");
	for (int i = 0; i < 500; i++)
		fprintf(f, " \" ip4:198.51.%d.%d\"", 100 + i / 250, i % 250);
	fprintf(f, " \" -all\"\n");
	fclose(f);
}

static uint16_t
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ATF_REQUIRE(bind(fd, (struct sockaddr *)&in, len) == 0);
	ATF_REQUIRE(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
	close(fd);
	return ntohs(in.sin_port);
}

static pid_t
start_nsd(uint16_t port)
{
	char dir[1024];
	FILE *f = fopen("nsd.conf", "w");

	write_zone();
	ATF_REQUIRE(f != NULL && getcwd(dir, sizeof dir) != NULL);
	fprintf(f,
	    "server:\n ip-address: 127.0.0.1@%u\n username: \"\"\n zonesdir: \"%s\"\n pidfile: "
	    "\"%s/nsd.pid\"\n"
	    " xfrdfile: \"%s/xfrd.state\"\n zonelistfile: \"%s/zone.list\"\n database: \"\"\n "
	    "server-count: 1\n"
	    " rrl-ratelimit: 0\nremote-control:\n control-enable: no\nzone:\n name: t\n zonefile: "
	    "t.zone\n",
	    port, dir, dir, dir, dir);
	fclose(f);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/usr/sbin/nsd", "nsd", "-d", "-c", "nsd.conf", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void
stop_nsd(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

struct host {
	struct loop *loop;
	struct rules *rules;
	struct diag *diag;
	struct pools_rules *pools_rules;
	struct pools_board *board;
	struct pools *pools;
};

/* Of pool i; good until it is asked for again. */
static const struct pool_info *
look(const struct host *h, size_t i)
{
	static struct pool_info *looked[POOLS_MAX];

	free(looked[i]);
	looked[i] = pools_look(h->board, i, clock_now_us());
	return looked[i];
}

static struct host
host_open(uint16_t port, const char *prefixes, const char *domains)
{
	struct host h = { .loop = loop_new(), .diag = diag_new() };
	char *servers = mem_printf("127.0.0.1:%u", port);
	const struct rules_override o[] = { { "gatehouse_pool_prefixes", prefixes },
		{ "gatehouse_pool_domains", domains }, { "gatehouse_dns_servers", servers } };

	ATF_REQUIRE(log_open("log", "postfix", LOG_MAIL));
	h.rules = rules_load(NULL, o, 3, h.diag);
	h.pools_rules = pools_rules_load(h.rules, h.diag);
	ATF_REQUIRE(h.pools_rules != NULL);
	h.board = pools_board_new(h.pools_rules);
	ATF_REQUIRE(h.board != NULL);
	h.pools = pools_walk(h.loop, h.board);
	free(servers);
	return h;
}

static void
host_close(struct host *h)
{
	pools_free(&h->pools);
	pools_board_free(&h->board);
	pools_rules_free(&h->pools_rules);
	rules_free(&h->rules);
	diag_free(&h->diag);
	loop_free(&h->loop);
}

/* Until every domain has been walked once. */
static void
walk(struct host *h)
{
	int64_t until = clock_now_us() + 20000000;

	for (size_t i = 0; i < pools_count(h->board) && clock_now_us() < until;)
		if (look(h, i)->is_domain && look(h, i)->next_s < 0)
			loop_turn(h->loop, true);
		else
			i++;
}

static void
settle(pid_t nsd, uint16_t port)
{
	(void)nsd;
	for (int i = 0; i < 50; i++) {
		struct host h = host_open(port, "", "plain.t");
		walk(&h);
		bool good = look(&h, 0)->error[0] == '\0';
		host_close(&h);
		if (good)
			return;
		usleep(50000);
	}
	atf_tc_fail("nsd does not answer");
}

static bool
finds(struct host *h, const char *text)
{
	struct addr client, key;
	bool listed_only;

	ATF_REQUIRE(addr_parse(&client, text, strlen(text)));
	return pools_find(h->board, &client, &key, &listed_only);
}

#define NSD_CASE(name)                                                   \
	ATF_TC(name);                                                    \
	ATF_TC_HEAD(name, tc)                                            \
	{                                                                \
		atf_tc_set_md_var(tc, "require.progs", "/usr/sbin/nsd"); \
	}                                                                \
	ATF_TC_BODY(name, tc)

NSD_CASE(records_become_sets)
{
	static const struct {
		const char *domain;
		size_t networks;
		unsigned skipped;
		const char *in, *out, *error; /* blank-separated addresses */
	} cases[] = {
		{ "plain.t", 3, 0, "192.0.2.0 192.0.2.255 198.51.100.7 2001:db8:ffff::1",
		    "192.0.3.0 198.51.100.6 2001:db9::1", NULL },
		{ "split.t", 1, 0, "192.0.2.127", "192.0.2.128", NULL },
		{ "hosts.t", 7, 0,
		    "203.0.113.1 203.0.113.32 203.0.113.47 2001:db8:1::25 203.0.113.64 "
		    "198.51.100.1 198.51.100.2 2001:db8:2::ffff",
		    "203.0.113.2 203.0.113.48 2001:db8:1::26 2001:db8:2:1::1", NULL },
		{ "tree.t", 6, 0, "192.0.2.200 203.0.113.6 203.0.113.8", "203.0.113.7", NULL },
		{ "skips.t", 1, 5, "192.0.2.1", "10.0.0.1 192.0.2.2", NULL },
		{ "twovoids.t", 1, 0, "192.0.2.1", "", NULL },
		{ "ten.t", 30, 0, "198.51.100.2", "", NULL },
		{ "big.t", 500, 0, "198.51.100.0 198.51.101.249", "198.51.101.250", NULL },
		{ "loop.t", 0, 0, "", "", "loop.t: more than 10 look-ups" },
		{ "ring.t", 0, 0, "", "", "more than 10 look-ups" },
		{ "eleven.t", 0, 0, "", "192.0.2.1", "eleven.t: more than 10 look-ups" },
		{ "everybody.t", 0, 0, "", "192.0.2.1", "everybody.t: allows everybody" },
		{ "inherits.t", 0, 0, "", "192.0.2.1", "everybody.t: allows everybody" },
		{ "wide.t", 0, 0, "", "1.2.3.4", "wide.t: 0.0.0.0/1 is too much of the Internet" },
		{ "wide6.t", 0, 0, "", "2001:db8::1", "2000::/3 is too much of the Internet" },
		{ "twice.t", 0, 0, "", "", "more than one SPF record" },
		{ "broken.t", 0, 0, "", "", "broken.t: the SPF record has a syntax error" },
		{ "none.t", 0, 0, "", "192.0.2.1", "none.t: no SPF record" },
		{ "absent.t", 0, 0, "", "", "nowhere.t: no SPF record" },
		{ "voids.t", 0, 0, "", "", "v3.t: more than 2 void look-ups" },
		{ "manymx.t", 0, 0, "", "", "manymx.t: more than 10 mail servers" },
		{ "huge.t", 0, 0, "", "", "more than one SPF record, or one too long" },
	};
	uint16_t port = free_port();
	pid_t nsd = start_nsd(port);
	settle(nsd, port);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct host h = host_open(port, "", cases[i].domain);
		walk(&h);
		const struct pool_info *info = look(&h, 0);
		ATF_CHECK_EQ_MSG(info->net_count, cases[i].networks, "%s: %zu networks, %s",
		    cases[i].domain, info->net_count, info->error);
		ATF_CHECK_EQ_MSG(info->skipped, cases[i].skipped, "%s: %u skipped", cases[i].domain,
		    info->skipped);
		ATF_CHECK_MSG(cases[i].error == NULL ? info->error[0] == '\0'
						     : strstr(info->error, cases[i].error) != NULL,
		    "%s: \"%s\"", cases[i].domain, info->error);
		for (int in = 0; in < 2; in++) {
			char *list = mem_strdup(in ? cases[i].in : cases[i].out), *save = NULL;
			for (char *a = strtok_r(list, " ", &save); a != NULL;
			     a = strtok_r(NULL, " ", &save))
				ATF_CHECK_EQ_MSG(finds(&h, a), in, "%s: %s", cases[i].domain, a);
			free(list);
		}
		host_close(&h);
	}
	stop_nsd(nsd);
}

NSD_CASE(sets_live_as_long_as_their_records)
{
	uint16_t port = free_port();
	pid_t nsd = start_nsd(port);
	settle(nsd, port);
	struct host h = host_open(port, "", "plain.t, short.t, broken.t");
	walk(&h);
	const struct pool_info *plain = look(&h, 0), *brief = look(&h, 1), *broken = look(&h, 2);
	ATF_CHECK_MSG(
	    plain->next_s > 590 && plain->next_s <= 600, "%lld", (long long)plain->next_s);
	ATF_CHECK_MSG(
	    brief->next_s > 290 && brief->next_s <= 300, "%lld", (long long)brief->next_s);
	ATF_CHECK_MSG(
	    broken->next_s > 50 && broken->next_s <= 60, "%lld", (long long)broken->next_s);
	ATF_CHECK(plain->age_s >= 0 && plain->age_s < 10);
	ATF_CHECK_EQ(broken->age_s, -1);
	host_close(&h);
	stop_nsd(nsd);
}

/* Where each network comes from, the way there, and how long that is good. */
NSD_CASE(networks_know_their_source)
{
	static const struct {
		const char *term;
		unsigned parent, ttl_s, nets;
	} sources[] = {
		{ "tree.t", 0, 600, 0 },
		{ "include:plain.t", 0, 600, 3 },
		{ "include:alias.t", 0, 600, 1 },
		{ "redirect=more.t", 0, 600, 2 },
	};
	uint16_t port = free_port();
	pid_t nsd = start_nsd(port);
	settle(nsd, port);
	struct host h = host_open(port, "", "tree.t, hosts.t, ring.t");
	walk(&h);
	const struct pool_info *tree = look(&h, 0), *hosts = look(&h, 1);
	ATF_REQUIRE_EQ(tree->source_count, COUNT(sources));
	for (size_t i = 0; i < COUNT(sources); i++) {
		unsigned nets = 0;
		for (size_t k = 0; k < tree->net_count; k++)
			nets += tree->nets[k].source == i;
		ATF_CHECK_STREQ(tree->sources[i].term, sources[i].term);
		ATF_CHECK_EQ(tree->sources[i].parent, sources[i].parent);
		ATF_CHECK_EQ(tree->sources[i].ttl_s, sources[i].ttl_s);
		ATF_CHECK_EQ_MSG(nets, sources[i].nets, "%s: %u", sources[i].term, nets);
	}
	ATF_CHECK_EQ(hosts->source_count, 4);
	ATF_CHECK_STREQ(hosts->sources[2].term, "mx:mail.t/28");
	host_close(&h);
	stop_nsd(nsd);
}

/* When its time comes a set is walked again, and what the domain says by then is in force. */
NSD_CASE(sets_are_walked_again)
{
	uint16_t port = free_port();
	pid_t nsd = start_nsd(port);
	settle(nsd, port);
	struct host h = host_open(port, "", "short.t");
	walk(&h);
	ATF_REQUIRE(finds(&h, "192.0.2.9"));
	stop_nsd(nsd);
	short_net = "192.0.2.10";
	nsd = start_nsd(port);
	settle(nsd, port);

	struct pool_slot *slot = &h.board->slots[0];
	pools_free(&h.pools);
	slot->sets[slot->version % 2].next_us = clock_now_us() + 300000;
	h.pools = pools_walk(h.loop, h.board);
	loop_turn(h.loop, false);
	ATF_CHECK_MSG(finds(&h, "192.0.2.9"), "in force until then");
	for (int i = 0; i < 500 && finds(&h, "192.0.2.9"); i++) {
		loop_turn(h.loop, false);
		usleep(10000);
	}
	ATF_CHECK(!finds(&h, "192.0.2.9") && finds(&h, "192.0.2.10"));
	ATF_CHECK(look(&h, 0)->age_s == 0 && look(&h, 0)->next_s >= 299);
	host_close(&h);
	stop_nsd(nsd);
}

/* The last good set stays in force: when its servers are gone, when a reload makes a new board, and when the
 * process that walks dies in the middle of writing. */
NSD_CASE(good_sets_are_kept)
{
	uint16_t port = free_port();
	pid_t nsd = start_nsd(port);
	settle(nsd, port);
	struct host h = host_open(port, "", "plain.t");
	walk(&h);
	ATF_REQUIRE(finds(&h, "192.0.2.7"));
	stop_nsd(nsd);

	struct host next = host_open(free_port(), "", "other.t, plain.t");
	pools_free(&next.pools);
	pools_board_inherit(next.board, h.board);
	host_close(&h);
	ATF_CHECK(finds(&next, "192.0.2.7"));
	ATF_CHECK(look(&next, 1)->age_s >= 0 && look(&next, 1)->next_s > 500);
	/* Its time has come, and nobody answers. */
	struct pool_slot *slot = &next.board->slots[1];
	slot->sets[slot->version % 2].next_us = 1;
	next.pools = pools_walk(next.loop, next.board);
	for (int i = 0; i < 200 && look(&next, 1)->error[0] == '\0'; i++)
		loop_turn(next.loop, true);
	ATF_CHECK_STREQ(look(&next, 1)->error, "plain.t: no answer from DNS");
	ATF_CHECK_EQ(look(&next, 1)->net_count, 3);
	ATF_CHECK(look(&next, 1)->age_s >= 0 && look(&next, 1)->next_s <= 60);
	ATF_CHECK(finds(&next, "192.0.2.7"));
	/* Half written is not in force. */
	struct pool_set *half = pool_to_fill(slot);
	memset(half, 0xff, sizeof *half);
	ATF_CHECK(finds(&next, "192.0.2.7") && !finds(&next, "203.0.113.5"));
	/* And what a process gone mad has published does no harm. */
	pool_publish(slot);
	ATF_CHECK(!finds(&next, "192.0.2.7"));
	ATF_CHECK(look(&next, 1)->net_count <= POOL_NETS_MAX);
	host_close(&next);
}

/* One process writes while another reads: never a mixture. */
ATF_TC_WITHOUT_HEAD(a_set_is_read_whole);
ATF_TC_BODY(a_set_is_read_whole, tc)
{
	struct host h = host_open(9, "", "plain.t");
	struct pool_slot *slot = &h.board->slots[0];
	pid_t pid;

	pools_free(&h.pools);
	pid = fork();
	if (pid == 0) {
		for (unsigned round = 1;; round++) {
			struct pool_set *set = pool_to_fill(slot);
			memset(set, 0, offsetof(struct pool_set, ranges));
			set->net_count = 2000;
			for (unsigned i = 0; i < 2000; i++)
				set->nets[i] =
				    (struct pool_net){ .net = { .family = 4,
							   .ip = { 11, (uint8_t)round,
							       (uint8_t)(i >> 8), (uint8_t)i } },
					    .len = 32 };
			pool_set_sort(set);
			pool_publish(slot);
			usleep(200);
		}
	}
	unsigned changes = 0;
	uint8_t last = 0;
	for (int64_t until = clock_now_us() + 700000; clock_now_us() < until;) {
		const struct pool_info *info = look(&h, 0);
		for (size_t i = 0; i < info->net_count; i++)
			ATF_REQUIRE_EQ(info->nets[i].net.ip[1], info->nets[0].net.ip[1]);
		changes += info->net_count > 0 && info->nets[0].net.ip[1] != last;
		last = info->nets[0].net.ip[1];
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ATF_CHECK_MSG(changes > 20, "only %u sets were seen", changes);
	host_close(&h);
}

/* Nobody answers: the walk ends by itself, and may be ended before. */
ATF_TC_WITHOUT_HEAD(dead_servers);
ATF_TC_BODY(dead_servers, tc)
{
	struct host h = host_open(free_port(), "192.0.2.0/24", "plain.t, other.t");
	loop_turn(h.loop, true);
	ATF_CHECK(finds(&h, "192.0.2.1"));
	host_close(&h);
	h = host_open(free_port(), "", "plain.t");
	walk(&h);
	ATF_CHECK_STREQ(look(&h, 0)->error, "plain.t: no answer from DNS");
	ATF_CHECK(!finds(&h, "192.0.2.1"));
	host_close(&h);
}

ATF_TC_WITHOUT_HEAD(prefixes_and_keys);
ATF_TC_BODY(prefixes_and_keys, tc)
{
	struct host h = host_open(9, "40.92.0.0/15, 2a01:111::/32", "Outlook.com");
	struct addr client, key;
	char text[ADDR_TEXT_SIZE];
	bool listed_only;

	ATF_REQUIRE(addr_parse(&client, "40.93.255.255", 13));
	ATF_CHECK(pools_find(h.board, &client, &key, &listed_only));
	ATF_CHECK_STREQ(addr_format(&key, text), "40.92.0.0");
	ATF_CHECK(!listed_only);
	ATF_REQUIRE(addr_parse(&client, "2a01:111:f400::1", 16));
	ATF_CHECK(pools_find(h.board, &client, &key, &listed_only));
	ATF_CHECK_STREQ(addr_format(&key, text), "2a01:111::");
	ATF_CHECK(!finds(&h, "40.94.0.0"));
	/* The same on every host and for ever: the records of others depend on it. */
	ATF_CHECK_STREQ(look(&h, 2)->name, "outlook.com");
	key = look(&h, 2)->key;
	ATF_CHECK_STREQ(addr_format(&key, text), "100::55d0:1408:bc0b:686f");
	host_close(&h);
}

ATF_TC_WITHOUT_HEAD(configuration);
ATF_TC_BODY(configuration, tc)
{
	static const struct {
		const char *prefixes, *domains;
		bool pools, good;
	} cases[] = {
		{ "", "", false, true },
		{ "192.0.2.0/24", "", true, true },
		{ "192.0.2.1/24", "", false, false },
		{ "192.0.2.0", "", false, false },
		{ "0.0.0.0/0", "", false, false },
		{ "2001:db8::/129", "", false, false },
		{ "", "example.com _spf.example.org", true, true },
		{ "", "localhost", false, false },
		{ "", "exa!mple.com", false, false },
		{ "", "include:example.com", false, false },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct rules_override o[] = { { "gatehouse_pool_prefixes",
							cases[i].prefixes },
			{ "gatehouse_pool_domains", cases[i].domains } };
		struct diag *diag = diag_new();
		struct rules *rules = rules_load(NULL, o, 2, diag);
		struct pools_rules *p = pools_rules_load(rules, diag);
		ATF_CHECK_EQ_MSG(p != NULL, cases[i].pools, "case %zu", i);
		ATF_CHECK_EQ_MSG(diag_count(diag, DIAG_ERROR) == 0, cases[i].good, "case %zu", i);
		pools_rules_free(&p);
		rules_free(&rules);
		diag_free(&diag);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, terms);
	ATF_TP_ADD_TC(tp, records_become_sets);
	ATF_TP_ADD_TC(tp, sets_live_as_long_as_their_records);
	ATF_TP_ADD_TC(tp, networks_know_their_source);
	ATF_TP_ADD_TC(tp, sets_are_walked_again);
	ATF_TP_ADD_TC(tp, good_sets_are_kept);
	ATF_TP_ADD_TC(tp, a_set_is_read_whole);
	ATF_TP_ADD_TC(tp, dead_servers);
	ATF_TP_ADD_TC(tp, prefixes_and_keys);
	ATF_TP_ADD_TC(tp, configuration);
	return atf_no_error();
}
