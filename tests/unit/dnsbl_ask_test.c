/* One process's resolver against a server in the same loop: joint questions, cancelling, memory, guards. */
#include "config.h"

#include <arpa/inet.h>
#include <atf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "tests/helpers/dnsbl_sites.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The server lists a client if its last octet is below `below`; `world` lists every name. */
static struct server {
	struct watch watch;
	int fd;
	unsigned questions, below;
	bool world, mute, mute_w; /* mute_w: for w.example only */
	unsigned ttl;
} server;

static void
on_question(int fd, short what, void *arg)
{
	static const uint8_t head[] = "\xc0\x0c\0\1\0\1";
	uint8_t p[512];
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t n = recvfrom(fd, p, sizeof p - 32, 0, (struct sockaddr *)&from, &from_len);

	(void)what, (void)arg;
	if (n < 20)
		return;
	bool test_point = memcmp(p + 12, "\0012\0010\0010\003127", 10) == 0;
	bool address = p[12] <= 3;
	uint64_t octet = 256;
	(void)span_uint((struct span){ (char *)p + 13, p[12] }, 255, &octet);
	bool reserved = address && memcmp(p + 12, "\0011\0010\0010\003127", 10) == 0;
	for (ssize_t i = 12; i + 4 < n && address;
	     i++) /* the first octet stands last, before a zone of one letter */
		reserved =
		    reserved || (p[i] == 3 && p[i + 1] == '2' && p[i + 2] >= '4' && p[i + 4] == 1);
	bool yes = server.world || test_point || (address && !reserved && octet < server.below);
	server.questions++;
	if (server.mute || (server.mute_w && memmem(p, (size_t)n, "\1w\7example", 10) != NULL))
		return;
	p[2] = 0x81;
	p[3] = yes ? 0x80 : 0x83;
	p[7] = yes;
	if (yes) {
		memcpy(p + n, head, 6);
		memcpy(p + n + 6,
		    (uint8_t[]){
			0, 0, (uint8_t)(server.ttl >> 8), (uint8_t)server.ttl, 0, 4, 127, 0, 0, 2 },
		    10);
		n += 16;
	}
	(void)sendto(fd, p, (size_t)n, 0, (struct sockaddr *)&from, from_len);
}

static struct fixture {
	struct loop *loop;
	struct dnsbl_sites *sites;
	struct dnsbl *dnsbl;
} f;

static void
set_up(const char *sites, size_t clients, int64_t probe_s)
{
	struct sockaddr_storage ss;
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof ss;

	log_threshold(LOG_LEVEL_FATAL);
	f.loop = loop_new();
	f.sites = sites_of(sites, NULL);
	f.sites->probe_interval_s = probe_s;
	server = (struct server){
		.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), .below = 10, .ttl = 300
	};
	ATF_REQUIRE(bind(server.fd, (struct sockaddr *)&at, sizeof at) == 0);
	ATF_REQUIRE(getsockname(server.fd, (struct sockaddr *)&ss, &len) == 0);
	ATF_REQUIRE(endpoint_from_sockaddr(&f.sites->servers[0], &ss));
	f.sites->server_count = 1;
	watch_init(&server.watch, f.loop, server.fd, WATCH_READ, on_question, NULL);
	watch_start(&server.watch);
	f.dnsbl = dnsbl_new(f.loop, f.sites, clients, NULL);
}

static void
tear_down(void)
{
	dnsbl_free(&f.dnsbl);
	ATF_CHECK(f.dnsbl == NULL);
	watch_stop(&server.watch);
	close(server.fd);
	dnsbl_sites_free(&f.sites);
	loop_free(&f.loop);
}

static struct addr
client(unsigned last)
{
	return (struct addr){ .family = 4, .ip = { 192, 0, 2, (uint8_t)last } };
}

struct asker {
	struct dnsbl_ask *ask;
	unsigned done;
	bool release;	    /* from inside done */
	struct asker *also; /* that one too */
	int total;
};

static void
on_done(void *arg)
{
	struct asker *a = arg;

	a->done++;
	a->total = dnsbl_ask_score(a->ask)->total;
	if (a->also != NULL)
		dnsbl_release(&a->also->ask);
	if (a->release)
		dnsbl_release(&a->ask);
}

static void
ask(struct asker *a, unsigned last)
{
	struct addr c = client(last);

	a->ask = dnsbl_ask(f.dnsbl, &c, on_done, a);
	ATF_REQUIRE(a->ask != NULL);
	ATF_REQUIRE_EQ_MSG(0, a->done, "called back from inside dnsbl_ask");
}

static void
turn_until(const unsigned *done, unsigned want)
{
	int64_t end_us = clock_now_us() + 8000000;

	while (*done < want && clock_now_us() < end_us)
		loop_turn(f.loop, true);
	ATF_REQUIRE_EQ(want, *done);
}

static void
idle(int64_t ms)
{
	for (int64_t end_us = clock_now_us() + ms * 1000; clock_now_us() < end_us; usleep(500))
		loop_turn(f.loop, false);
}

ATF_TC_WITHOUT_HEAD(sessions_of_one_client_ask_once);
ATF_TC_BODY(sessions_of_one_client_ask_once, tc)
{
	struct asker a = { 0 }, b = { 0 }, c = { 0 };

	set_up("a.example*2 b.example", 8, 0);
	ask(&a, 1);
	ask(&b, 1);
	turn_until(&b.done, 1);
	ATF_CHECK_EQ(1, a.done);
	ATF_CHECK_EQ(2, server.questions);
	ATF_CHECK_EQ(3, a.total);
	ATF_CHECK_EQ(3, b.total);
	ask(&c, 1); /* joins what is known already */
	turn_until(&c.done, 1);
	ATF_CHECK_EQ(2, server.questions);
	dnsbl_release(&a.ask);
	dnsbl_release(&b.ask);
	dnsbl_release(&c.ask);
	ATF_CHECK(a.ask == NULL);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(release_at_any_time);
ATF_TC_BODY(release_at_any_time, tc)
{
	struct asker a = { 0 }, b = { .release = true }, c = { .release = true };

	set_up("a.example b.example", 8, 0);
	ask(&a, 1);
	dnsbl_release(&a.ask); /* before anything was sent */
	ask(&a, 2);
	loop_turn(f.loop, false);
	dnsbl_release(&a.ask); /* on the wire */
	idle(20);
	ATF_CHECK_EQ(0, a.done);
	ask(&b, 3);
	turn_until(&b.done, 1); /* from inside done */
	ask(&a, 4);
	ask(&c, 4);
	c.also = &a; /* another session of the same client, perhaps not yet called */
	turn_until(&c.done, 1);
	idle(20);
	ATF_CHECK(a.ask == NULL && c.ask == NULL);
	ATF_CHECK_EQ(1, c.done);
	c.done = 0;
	ask(&c, 5); /* left pending when all ends */
	loop_turn(f.loop, false);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(answers_are_kept_for_their_time);
ATF_TC_BODY(answers_are_kept_for_their_time, tc)
{
	struct asker a = { .release = true };

	set_up("a.example", 8, 0);
	ask(&a, 1);
	turn_until(&a.done, 1);
	a.done = 0;
	ask(&a, 1);
	turn_until(&a.done, 1);
	ATF_CHECK_EQ(1, a.total);
	ATF_CHECK_EQ_MSG(1, server.questions, "asked again: %u", server.questions);
	server.ttl = 1;
	a.done = 0;
	ask(&a, 2);
	turn_until(&a.done, 1);
	idle(1100);
	a.done = 0;
	ask(&a, 2);
	turn_until(&a.done, 1);
	ATF_CHECK_EQ(3, server.questions);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(no_more_than_the_pool);
ATF_TC_BODY(no_more_than_the_pool, tc)
{
	struct asker a[3] = { { .release = true }, { .release = true }, { .release = true } };
	struct addr one_too_many = client(9);

	set_up("a.example", 3, 0);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 3; i++) {
			a[i].done = 0;
			ask(&a[i], round * 4 + i);
		}
		ATF_CHECK(dnsbl_ask(f.dnsbl, &one_too_many, on_done, NULL) == NULL);
		for (unsigned i = 0; i < 3; i++)
			turn_until(&a[i].done, 1);
	}
	tear_down();
}

ATF_TC_WITHOUT_HEAD(silence_ends_at_the_deadline);
ATF_TC_BODY(silence_ends_at_the_deadline, tc)
{
	struct asker a = { 0 };

	set_up("a.example", 8, 0);
	dnsbl_free(&f.dnsbl);
	f.sites->timeout_ms = 300;
	f.dnsbl = dnsbl_new(f.loop, f.sites, 8, NULL);
	server.mute = true;
	ask(&a, 1);
	turn_until(&a.done, 1);
	ATF_CHECK_EQ(0, a.total);
	ATF_CHECK_EQ(DNSBL_FAILED, dnsbl_ask_score(a.ask)->answers[0].state);
	ATF_CHECK_EQ(0, dnsbl_ask_score(a.ask)->pending);
	dnsbl_release(&a.ask);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(private_clients_are_not_asked_about);
ATF_TC_BODY(private_clients_are_not_asked_about, tc)
{
	static const char *const privates[] = { "10.0.0.1", "192.168.3.4", "fd00::1" };

	set_up("a.example", 8, 0);
	for (size_t i = 0; i < COUNT(privates); i++) {
		struct asker a = { .release = true };
		struct addr c;
		ATF_REQUIRE(addr_parse(&c, privates[i], strlen(privates[i])));
		a.ask = dnsbl_ask(f.dnsbl, &c, on_done, &a);
		ATF_CHECK_EQ(0, a.done);
		turn_until(&a.done, 1);
	}
	ATF_CHECK_EQ(0, server.questions);
	tear_down();
}

/* Clients 1, 2, 3 ... are asked about one after the other: how many does the list get refused? */
static unsigned
refused(unsigned clients)
{
	unsigned count = 0;

	for (unsigned i = 0; i < clients; i++) {
		struct asker a = { .release = true };
		ask(&a, 50 + i);
		turn_until(&a.done, 1);
		count += a.total > 0;
	}
	return count;
}

ATF_TC_WITHOUT_HEAD(a_list_that_turns_on_everyone_is_stopped);
ATF_TC_BODY(a_list_that_turns_on_everyone_is_stopped, tc)
{
	unsigned n;

	set_up("a.example", 8, 600);
	idle(50);
	ATF_REQUIRE_EQ(DNSBL_HEALTHY, dnsbl_health(f.dnsbl, 0)->state);
	ATF_CHECK_EQ(0, refused(30));
	server.world = true; /* names and reserved addresses too */
	n = refused(100);
	ATF_CHECK_MSG(n <= 20, "%u clients refused", n);
	ATF_CHECK(dnsbl_health(f.dnsbl, 0)->quarantined);
	server.world = false; /* and comes back by itself */
	for (int i = 0; i < 90 && dnsbl_health(f.dnsbl, 0)->quarantined; i++)
		idle(100);
	ATF_CHECK_EQ(DNSBL_HEALTHY, dnsbl_health(f.dnsbl, 0)->state);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(clients_that_passed_bear_witness);
ATF_TC_BODY(clients_that_passed_bear_witness, tc)
{
	unsigned n;

	set_up("a.example", 8, 600);
	idle(50);
	for (unsigned i = 0; i < 10; i++) {
		struct addr c = client(200 + i);
		dnsbl_client_passed(f.dnsbl, &c);
	}
	server.below = 256; /* every client, but no impossible name and no test point */
	n = refused(100);
	ATF_CHECK_MSG(n <= 20, "%u clients refused", n);
	ATF_CHECK_EQ(DNSBL_DEAD, dnsbl_health(f.dnsbl, 0)->state);
	ATF_CHECK_STREQ("it lists clients that have just passed", dnsbl_health(f.dnsbl, 0)->reason);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(many_bad_clients_do_not_make_a_bad_list);
ATF_TC_BODY(many_bad_clients_do_not_make_a_bad_list, tc)
{
	set_up("a.example", 8, 600);
	idle(50);
	for (unsigned i = 0; i < 10; i++) {
		struct addr c = client(200 + i);
		dnsbl_client_passed(f.dnsbl, &c);
	}
	server.below = 190; /* those that passed are not on it */
	ATF_CHECK_EQ(100, refused(100));
	ATF_CHECK_EQ(DNSBL_HEALTHY, dnsbl_health(f.dnsbl, 0)->state);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(a_silent_resolver_is_not_a_dead_list);
ATF_TC_BODY(a_silent_resolver_is_not_a_dead_list, tc)
{
	struct asker a = { .release = true };

	set_up("a.example w.example", 8, 600);
	server.mute = true; /* before the first probe is read: all lists are silent */
	idle(3400);
	ATF_CHECK_EQ(DNSBL_DEAD, dnsbl_health(f.dnsbl, 0)->state);
	server.mute = false; /* the resolver is back: clients are screened from now on */
	ask(&a, 1);
	turn_until(&a.done, 1);
	ATF_CHECK_EQ(2, a.total);
	tear_down();
}

ATF_TC_WITHOUT_HEAD(one_silent_list_is_left_out);
ATF_TC_BODY(one_silent_list_is_left_out, tc)
{
	struct asker a = { .release = true };

	set_up("a.example w.example", 8, 600);
	server.mute_w = true;
	idle(3400);
	ATF_CHECK(dnsbl_health(f.dnsbl, 1)->quarantined);
	int64_t start_us = clock_now_us();
	ask(&a, 1);
	turn_until(&a.done, 1);
	ATF_CHECK_EQ(1, a.total);
	ATF_CHECK_MSG(clock_now_us() - start_us < 1000000, "waited for a list known to be silent");
	tear_down();
}

ATF_TC_WITHOUT_HEAD(decided_clients_go_early);
ATF_TC_BODY(decided_clients_go_early, tc)
{
	static const struct {
		const char *sites; /* w.example never answers */
		int allow_threshold;
		enum early early;
		unsigned done;
	} cases[] = {
		{ "a.example*3 w.example*-1", 0, EARLY_NEVER, 0 },
		{ "a.example*3 w.example*-1", 0, EARLY_ALLOW,
		    0 }, /* sure to fail, but only allowing is early */
		{ "a.example*3 w.example*-1", 0, EARLY_BOTH, 1 },
		{ "a.example*3 w.example*-3", 0, EARLY_BOTH, 0 }, /* may still be saved */
		{ "a.example*-3 w.example*-1", -2, EARLY_ALLOW, 1 },
		{ "a.example*-3 w.example*-1", -2, EARLY_NEVER, 0 },
		{ "a.example*-3 w.example*2", -2, EARLY_ALLOW, 0 }, /* may still be spoiled */
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct asker a = { 0 };
		set_up(cases[i].sites, 8, 0);
		f.sites->early = cases[i].early;
		f.sites->allow_threshold = cases[i].allow_threshold;
		server.mute_w = true;
		ask(&a, 1);
		idle(30);
		ATF_CHECK_EQ_MSG(1, dnsbl_ask_score(a.ask)->pending, "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].done, a.done, "case %zu: done %u", i, a.done);
		dnsbl_release(&a.ask);
		tear_down();
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, sessions_of_one_client_ask_once);
	ATF_TP_ADD_TC(tp, release_at_any_time);
	ATF_TP_ADD_TC(tp, answers_are_kept_for_their_time);
	ATF_TP_ADD_TC(tp, no_more_than_the_pool);
	ATF_TP_ADD_TC(tp, silence_ends_at_the_deadline);
	ATF_TP_ADD_TC(tp, private_clients_are_not_asked_about);
	ATF_TP_ADD_TC(tp, a_list_that_turns_on_everyone_is_stopped);
	ATF_TP_ADD_TC(tp, clients_that_passed_bear_witness);
	ATF_TP_ADD_TC(tp, many_bad_clients_do_not_make_a_bad_list);
	ATF_TP_ADD_TC(tp, a_silent_resolver_is_not_a_dead_list);
	ATF_TP_ADD_TC(tp, one_silent_list_is_left_out);
	ATF_TP_ADD_TC(tp, decided_clients_go_early);
	return atf_no_error();
}
