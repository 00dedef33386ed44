/* The pure parts of the console: requests, counters, offenders, messages. */
#include "config.h"

#include <atf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "screen/console_inner.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

ATF_TC_WITHOUT_HEAD(requests);
ATF_TC_BODY(requests, tc)
{
	static const struct {
		const char *line;
		bool good, json;
		enum request_id id;
		uint32_t limit;
	} cases[] = {
		{ "status\n", true, false, REQUEST_STATUS, 0 },
		{ "status json\n", true, true, REQUEST_STATUS, 0 },
		{ "  sessions\t20\r\n", true, false, REQUEST_SESSIONS, 20 },
		{ "sessions 20 json\n", true, true, REQUEST_SESSIONS, 20 },
		{ "sessions json 20\n", false, false, 0, 0 },
		{ "sessions 20 20\n", false, false, 0, 0 },
		{ "sessions -1\n", false, false, 0, 0 },
		{ "sessions 2001\n", false, false, 0, 0 },
		{ "status 1\n", false, false, 0, 0 },
		{ "pools json\n", true, true, REQUEST_POOLS, 0 },
		{ "pool 2001:db8::1\n", true, false, REQUEST_POOL, 0 },
		{ "pool\n", false, false, 0, 0 },
		{ "pool 20\n", false, false, 0, 0 },
		{ "pool 192.0.2.1 192.0.2.1\n", false, false, 0, 0 },
		{ "Status\n", false, false, 0, 0 },
		{ "statu\n", false, false, 0, 0 },
		{ "\n", false, false, 0, 0 },
	};
	struct request r;
	const char *why;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span line = span_of(cases[i].line);
		ATF_CHECK_EQ(line.len, request_whole(line));
		ATF_CHECK_EQ_MSG(cases[i].good, request_parse(line, &r, &why), "case %zu", i);
		if (!cases[i].good)
			continue;
		ATF_CHECK_EQ_MSG(cases[i].id, r.id, "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].json, r.json, "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].limit, r.limit, "case %zu", i);
	}
	ATF_CHECK_EQ(0, request_whole(SPAN("status")));
	ATF_CHECK_EQ(7, request_whole(SPAN("status\nstop\n")));
}

ATF_TC_WITHOUT_HEAD(http_requests);
ATF_TC_BODY(http_requests, tc)
{
	static const struct {
		const char *text;
		bool good;
		enum http_method method;
		const char *path;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", true, HTTP_GET, "/" },
		{ "GET /metrics?a=b HTTP/1.0\r\n\r\n", true, HTTP_GET, "/metrics" },
		{ "HEAD /a#b HTTP/1.1\n\n", true, HTTP_HEAD, "/a" },
		{ "POST / HTTP/1.1\r\n\r\n", true, HTTP_OTHER, "/" },
		{ "get / HTTP/1.1\r\n\r\n", true, HTTP_OTHER, "/" },
		{ "GET http://x/ HTTP/1.1\r\n\r\n", false, 0, "" },
		{ "GET  / HTTP/1.1\r\n\r\n", false, 0, "" },
		{ "GET / HTTP/1.1 \r\n\r\n", false, 0, "" },
		{ "GET / HTTP/2.0\r\n\r\n", false, 0, "" },
		{ "GET /\r\n\r\n", false, 0, "" },
		{ "\r\n\r\n", false, 0, "" },
	};
	struct http_request r;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span text = span_of(cases[i].text);
		ATF_CHECK_EQ_MSG(
		    i == COUNT(cases) - 1 ? 4 : text.len, http_whole(text), "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].good, http_parse(text, &r), "case %zu", i);
		if (!cases[i].good)
			continue;
		ATF_CHECK_EQ_MSG(cases[i].method, r.method, "case %zu", i);
		ATF_CHECK_MSG(span_is(r.path, cases[i].path), "case %zu", i);
	}
	ATF_CHECK_EQ(0, http_whole(SPAN("GET / HTTP/1.1\r\nHost: x\r\n")));
	ATF_CHECK_EQ(0, http_whole(SPAN("")));
}

/* Names, kinds and cells: each cell belongs to one metric, each name is used once. */
ATF_TC_WITHOUT_HEAD(metrics_table);
ATF_TC_BODY(metrics_table, tc)
{
	uint32_t next = 0;

	for (size_t i = 0; i < tally_metrics_count; i++) {
		const struct metric *m = &tally_metrics[i];
		size_t len = strlen(m->name);
		bool total = len > 6 && strcmp(m->name + len - 6, "_total") == 0;
		ATF_CHECK_EQ_MSG(next, m->first, "%s", m->name);
		next += m->count * metric_cells(m);
		ATF_CHECK_EQ_MSG(m->kind == METRIC_COUNTER, total, "%s", m->name);
		ATF_CHECK_MSG(strncmp(m->name, "gatehouse_", 10) == 0, "%s", m->name);
		ATF_CHECK_MSG(m->help[strlen(m->help) - 1] == '.', "%s", m->name);
		for (size_t k = 0; k < i; k++)
			ATF_CHECK_MSG(strcmp(m->name, tally_metrics[k].name) != 0, "%s", m->name);
	}
	ATF_CHECK_EQ((uint32_t)CELLS, next);
}

ATF_TC_WITHOUT_HEAD(labels);
ATF_TC_BODY(labels, tc)
{
	static struct totals t = { .lists = { "a\"b\\c" } };
	static const struct {
		unsigned cell; /* from the first of its metric */
		enum cell metric;
		const char *text;
	} cases[] = {
		{ V_REJECT * REASONS + REASON_DNSBL, CELL_ENDED,
		    "verdict=\"reject\",reason=\"dnsbl\"" },
		{ CHECK_BARE_NEWLINE * RESULTS + RESULT_SHADOW, CELL_TESTS,
		    "test=\"bare-newline\",result=\"shadow\"" },
		{ EV_PASS_NEW, CELL_EVENTS, "event=\"pass_new\"" },
		{ 0, CELL_ACCEPTED, "" },
		{ HANDOFF_TIMEOUT, CELL_HANDOFFS, "outcome=\"timeout\"" },
		{ LIST_LATE, CELL_LIST_RESULTS, "list=\"a\\\"b\\\\c\",result=\"late\"" },
		{ DNSBL_DEAD, CELL_LIST_HEALTH, "list=\"a\\\"b\\\\c\",state=\"dead\"" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		for (size_t k = 0; k < tally_metrics_count; k++) {
			char text[256];
			struct buf b = BUF(text);
			if (tally_metrics[k].first != (uint32_t)cases[i].metric)
				continue;
			ATF_CHECK(metric_labels(&tally_metrics[k], &t, cases[i].cell, &b));
			ATF_CHECK_STREQ(cases[i].text, text);
		}
}

ATF_TC_WITHOUT_HEAD(histograms);
ATF_TC_BODY(histograms, tc)
{
	struct shared *sh = shared_new();
	struct slot *slot = shared_take(sh);
	static const int64_t times[] = { 0, 1000, 1001, 999999, 400000000 };
	static struct totals t;

	for (size_t i = 0; i < COUNT(times); i++)
		tally_time(slot, CELL_WAIT_TIME, 0, times[i]);
	ATF_CHECK_EQ(2, slot->cells[CELL_WAIT_TIME]);
	ATF_CHECK_EQ(1, slot->cells[CELL_WAIT_TIME + 1]);
	ATF_CHECK_EQ(1, slot->cells[CELL_WAIT_TIME + BUCKETS]);
	ATF_CHECK_EQ(401002000, slot->cells[CELL_WAIT_TIME + BUCKETS + 1]);
	for (unsigned i = 0; i < CELLS; i++)
		t.cells[i] = slot->cells[i];
	ATF_CHECK_EQ(5, totals_time_count(&t, CELL_WAIT_TIME, 0));
	/* Half a session into the second bucket, which ends at 2500; beyond the last there is no telling. */
	ATF_CHECK_EQ(1750, view_quantile(&t, CELL_WAIT_TIME, 0, 500));
	ATF_CHECK_EQ(300000000, view_quantile(&t, CELL_WAIT_TIME, 0, 950));
	ATF_CHECK_EQ(-1, view_quantile(&t, CELL_TOTAL_TIME, 0, 500));
	ATF_CHECK_EQ(80200400, view_mean(&t, CELL_WAIT_TIME));
	ATF_CHECK_EQ(-1, view_mean(&t, CELL_TOTAL_TIME));
	shared_give(sh, slot);
	ATF_CHECK_EQ(0, slot->cells[CELL_WAIT_TIME]);
	shared_free(&sh);
}

static struct session_row
row(const char *address, enum reason reason)
{
	struct session_row r = { .verdict = V_REJECT, .reason = (uint8_t)reason };

	ATF_REQUIRE(addr_parse(&r.client.addr, address, strlen(address)));
	return r;
}

ATF_TC_WITHOUT_HEAD(offenders);
ATF_TC_BODY(offenders, tc)
{
	static struct offenders o = { .max = 4 };
	static const char *const addresses[] = { "192.0.2.1", "192.0.2.99", "192.0.2.1",
		"198.51.100.1", "2001:db8:1:2::1", "2001:db8:1:ffff::2", "203.0.113.7",
		"203.0.114.7" };
	const struct offender *top[8];

	for (size_t i = 0; i < COUNT(addresses); i++) {
		struct session_row r = row(addresses[i], REASON_DNSBL);
		offenders_note(&o, &r, 24, 48, (int64_t)i);
	}
	/* Four places: the newest took that of one who had one refusal, and says so. */
	ATF_REQUIRE_EQ(4, offenders_top(&o, top, 8));
	char text[ADDR_TEXT_SIZE];
	ATF_CHECK_STREQ("192.0.2.0", addr_format(&top[0]->net, text));
	ATF_CHECK_EQ(3, top[0]->count);
	ATF_CHECK_EQ(24, top[0]->bits);
	uint64_t sure = 0;
	for (size_t i = 0; i < 4; i++)
		sure += top[i]->count - top[i]->over;
	ATF_CHECK_EQ(7, sure); /* one was forgotten, none invented */
	ATF_CHECK_EQ(1, offenders_top(&o, top, 1));
}

ATF_TC_WITHOUT_HEAD(offenders_are_forgiven);
ATF_TC_BODY(offenders_are_forgiven, tc)
{
	static struct offenders o = { .max = 2 };
	struct session_row first = row("192.0.2.1", REASON_DNSBL),
			   second = row("192.0.2.2", REASON_DNSBL);
	struct session_row six = row("2001:db8::1", REASON_DNSBL),
			   neighbour = row("2001:db8::2", REASON_DNSBL);
	const struct offender *top[2];

	offenders_note(&o, &first, 32, 64, 1);
	offenders_note(&o, &first, 32, 64, 2);
	offenders_note(&o, &second, 32, 64, 3);
	offenders_forgive(&o, &first.client.addr, 32, 64);
	ATF_REQUIRE_EQ(1, offenders_top(&o, top, 2));
	ATF_CHECK(addr_equal(&second.client.addr, &top[0]->net));
	/* His place is free: whoever takes it inherits nothing. */
	offenders_note(&o, &six, 32, 64, 4);
	ATF_REQUIRE_EQ(2, offenders_top(&o, top, 2));
	ATF_CHECK_EQ(1, top[0]->count);
	ATF_CHECK_EQ(1, top[1]->count);
	offenders_forgive(&o, &neighbour.client.addr, 32, 64);
	ATF_CHECK_EQ(1, offenders_top(&o, top, 2));
	offenders_forgive(&o, &six.client.addr, 32, 64); /* unknown by now */
	ATF_CHECK_EQ(1, offenders_top(&o, top, 2));
}

/* A worker in a stranger's hands. */
ATF_TC_WITHOUT_HEAD(wild_rows);
ATF_TC_BODY(wild_rows, tc)
{
	struct session_row r;
	char text[2048];

	for (int byte = 0; byte < 256; byte++)
		for (int ended = 0; ended < 2; ended++) {
			struct buf b = BUF(text), j = BUF(text);
			memset(&r, byte, sizeof r);
			r.ended = (uint8_t)ended;
			row_tame(&r);
			row_line(&r, &b);
			ATF_CHECK(!b.cut);
			row_json(&r, &j);
			ATF_CHECK(!j.cut && j.len > 0 && text[j.len - 1] == '}');
		}
}

static void
show(struct slot *slot, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		slot->ended[slot->shown % ENDED_MAX].id = slot->shown;
		slot->shown++;
	}
}

ATF_TC_WITHOUT_HEAD(ended_sessions);
ATF_TC_BODY(ended_sessions, tc)
{
	static struct session_row rows[ENDED_MAX];
	struct shared *sh = shared_new();
	struct slot *slot = shared_take(sh);
	uint64_t seen = 0;

	ATF_CHECK_EQ(0, shared_ended(slot, &seen, rows, ENDED_MAX));
	show(slot, 3);
	ATF_CHECK_EQ(2, shared_ended(slot, &seen, rows, 2));
	ATF_CHECK_EQ(0, rows[0].id);
	ATF_CHECK_EQ(1, shared_ended(slot, &seen, rows, ENDED_MAX));
	ATF_CHECK_EQ(2, rows[0].id);
	show(slot, 2 * ENDED_MAX);
	size_t n = shared_ended(slot, &seen, rows, ENDED_MAX);
	ATF_CHECK_EQ(ENDED_MAX - 1, n);
	ATF_CHECK_EQ(slot->shown - 1, rows[n - 1].id);
	ATF_CHECK_EQ(slot->shown, seen);
	shared_free(&sh);
}

ATF_TC_WITHOUT_HEAD(orders);
ATF_TC_BODY(orders, tc)
{
	static struct order order = { .kind = ORDER_ROWS, .count = 2, .last = 1, .tag = 7 }, got;
	int pair[2];

	ATF_REQUIRE_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair));
	order.rows[1].id = 9;
	ATF_CHECK(order_send(pair[0], &order));
	ATF_CHECK(order_recv(pair[1], &got));
	ATF_CHECK_EQ(9, got.rows[1].id);
	ATF_CHECK(!order_recv(pair[1], &got)); /* nothing there */
	ATF_CHECK_EQ(1, write(pair[0], "R", 1));
	ATF_CHECK(!order_recv(pair[1], &got)); /* no message of ours */
	order.count = ORDER_ROWS_MAX + 1;
	ATF_CHECK_EQ(0, order_size(&order));
	close(pair[0]);
	ATF_CHECK(!order_recv(pair[1], &got));
	close(pair[1]);
}

/*
 * A desk with clients that say one line, or nothing, or never read.
 */
#define DESK_CLIENTS 4
#define DESK_RATE 20
static const char desk_path[] = "desk";

static void
desk_ask(void *arg, struct desk_client *c, struct span request)
{
	struct span *body = arg;

	(void)request;
	desk_answer(c, SPAN("OK\n"), *body);
}

static struct desk *
open_desk(struct loop *loop, struct span *body)
{
	static const struct desk_rules rules = { DESK_CLIENTS, 16, DESK_RATE, 5000, request_whole,
		desk_ask, "long\n" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(un.sun_path, desk_path, sizeof desk_path);
	unlink(desk_path);
	ATF_REQUIRE_EQ(0, bind(fd, (struct sockaddr *)&un, sizeof un));
	ATF_REQUIRE_EQ(0, listen(fd, 64));
	return desk_new(loop, fd, &rules, body);
}

static int
visit(const char *words)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(un.sun_path, desk_path, sizeof desk_path);
	ATF_REQUIRE_EQ(0, connect(fd, (struct sockaddr *)&un, sizeof un));
	ATF_REQUIRE_EQ((ssize_t)strlen(words), write(fd, words, strlen(words)));
	return fd;
}

/* Turns for so long; returns how many of the descriptors were answered so far. */
static unsigned
turn(struct loop *loop, int64_t us, int *fds, unsigned count)
{
	int64_t end_us = clock_now_us() + us;
	unsigned answered = 0;
	char text[8];

	do {
		loop_turn(loop, false);
		usleep(1000);
	} while (clock_now_us() < end_us);
	for (unsigned i = 0; i < count; i++)
		if (fds[i] < 0 || recv(fds[i], text, sizeof text, MSG_DONTWAIT) >= 3) {
			if (fds[i] >= 0)
				close(fds[i]);
			fds[i] = -1;
			answered++;
		}
	return answered;
}

/* Everything at once is answered bit by bit. */
ATF_TC_WITHOUT_HEAD(desk_rate);
ATF_TC_BODY(desk_rate, tc)
{
	struct loop *loop = loop_new();
	struct span nothing = SPAN("");
	struct desk *desk = open_desk(loop, &nothing);
	int fds[16];
	int64_t began_us = clock_now_us();

	for (unsigned i = 0; i < COUNT(fds); i++)
		fds[i] = visit("ask\n");
	unsigned answered = turn(loop, 100000, fds, COUNT(fds));
	int64_t allowed = DESK_CLIENTS + 1 + (clock_now_us() - began_us) * DESK_RATE / 1000000;
	ATF_CHECK_MSG(answered > DESK_CLIENTS && answered <= allowed, "%u answers", answered);
	for (int i = 0; i < 100 && answered < COUNT(fds); i++)
		answered = turn(loop, 50000, fds, COUNT(fds));
	ATF_CHECK_EQ(COUNT(fds), answered);
	desk_free(&desk);
	loop_free(&loop);
}

/* Silent ones lose their places at once, those who do not read theirs after a moment. */
ATF_TC_WITHOUT_HEAD(desk_places);
ATF_TC_BODY(desk_places, tc)
{
	struct loop *loop = loop_new();
	struct span much = { mem_alloc(8 << 20), 8 << 20 };
	struct desk *desk = open_desk(loop, &much);
	int silent[DESK_CLIENTS], stuck[DESK_CLIENTS], fd;

	for (unsigned i = 0; i < DESK_CLIENTS; i++)
		silent[i] = visit("as");
	turn(loop, 20000, NULL, 0);
	for (unsigned i = 0; i < DESK_CLIENTS; i++)
		stuck[i] = visit("ask\n");
	turn(loop, 500000, NULL, 0);
	for (unsigned i = 0; i < DESK_CLIENTS; i++) {
		char byte;
		ATF_CHECK_EQ(0, recv(silent[i], &byte, 1, MSG_DONTWAIT));
		close(silent[i]);
	}
	turn(loop, 1200000, NULL, 0);
	fd = visit("ask\n");
	ATF_CHECK_EQ(1, turn(loop, 200000, &fd, 1));
	for (unsigned i = 0; i < DESK_CLIENTS; i++)
		close(stuck[i]);
	desk_free(&desk);
	loop_free(&loop);
	free((void *)(uintptr_t)much.p);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, requests);
	ATF_TP_ADD_TC(tp, http_requests);
	ATF_TP_ADD_TC(tp, metrics_table);
	ATF_TP_ADD_TC(tp, labels);
	ATF_TP_ADD_TC(tp, histograms);
	ATF_TP_ADD_TC(tp, offenders);
	ATF_TP_ADD_TC(tp, offenders_are_forgiven);
	ATF_TP_ADD_TC(tp, wild_rows);
	ATF_TP_ADD_TC(tp, ended_sessions);
	ATF_TP_ADD_TC(tp, orders);
	ATF_TP_ADD_TC(tp, desk_rate);
	ATF_TP_ADD_TC(tp, desk_places);
	return atf_no_error();
}
