/* base/: addresses, text, pools, maps, deadlines, descriptor passing. */
#include "config.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

ATF_TC_WITHOUT_HEAD(addresses_parse_strictly_and_print_canonically);
ATF_TC_BODY(addresses_parse_strictly_and_print_canonically, tc)
{
	static const struct {
		const char *text, *canonical; /* null: refused */
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "2001:DB8::1", "2001:db8::1" },
		{ "::", "::" },
		{ "::ffff:192.0.2.9", "192.0.2.9" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "010.1.1.1", NULL },
		{ "127.1", NULL },
		{ "1.2.3", NULL },
		{ "1.2.3.4 ", NULL },
		{ "[::1]", NULL },
		{ "fe80::1%eth0", NULL },
		{ "1:1:1:1:1:1:1:1::1", NULL },
		{ "", NULL },
		{ "256.1.1.1", NULL },
		{ "1.2.3.4/32", NULL },
		{ "0x7f.0.0.1", NULL },
		{ "1..2.3", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "1::2::3", NULL },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr a;
		char text[ADDR_TEXT_SIZE];
		bool ok = addr_parse(&a, cases[i].text, strlen(cases[i].text));
		ATF_CHECK_EQ_MSG(ok, cases[i].canonical != NULL, "%s", cases[i].text);
		if (ok)
			ATF_CHECK_STREQ(addr_format(&a, text), cases[i].canonical);
	}
}

static struct addr
addr(const char *text)
{
	struct addr a;

	ATF_REQUIRE(addr_parse(&a, text, strlen(text)));
	return a;
}

ATF_TC_WITHOUT_HEAD(prefixes);
ATF_TC_BODY(prefixes, tc)
{
	static const struct {
		const char *addr, *net;
		unsigned len;
		bool in;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.0", 24, true },
		{ "192.0.3.1", "192.0.2.0", 24, false },
		{ "192.0.3.1", "192.0.2.0", 23, true },
		{ "10.0.0.1", "0.0.0.0", 0, true },
		{ "2001:db8::1", "0.0.0.0", 0, false },
		{ "2001:db8:8000::", "2001:db8::", 33, false },
		{ "2001:db8:7fff::", "2001:db8::", 33, true },
		{ "::1", "::1", 128, true },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr a = addr(cases[i].addr), net = addr(cases[i].net);
		ATF_CHECK_EQ_MSG(
		    addr_in_prefix(&a, &net, cases[i].len), cases[i].in, "%s", cases[i].addr);
	}
	struct addr m = addr("192.0.2.255"), want = addr("192.0.2.224");
	addr_mask(&m, 27);
	ATF_CHECK(addr_equal(&m, &want));
	struct addr m6 = addr("2001:db8:ffff:ffff::1"), want6 = addr("2001:db8:ffff:8000::");
	addr_mask(&m6, 49);
	ATF_CHECK(addr_equal(&m6, &want6));
	struct addr private = addr("172.31.0.1"), public = addr("172.32.0.1");
	ATF_CHECK(addr_is_private(&private));
	ATF_CHECK(!addr_is_private(&public));
}

ATF_TC_WITHOUT_HEAD(endpoints);
ATF_TC_BODY(endpoints, tc)
{
	static const struct {
		const char *text;
		int def, port; /* port -1: refused */
	} cases[] = {
		{ "127.0.0.1:25", -1, 25 },
		{ "127.0.0.1", -1, -1 },
		{ "127.0.0.1", 53, 53 },
		{ "[::1]:2525", -1, 2525 },
		{ "::1", 25, 25 },
		{ "[::1]", 25, 25 },
		{ "[::1", 25, -1 },
		{ "127.0.0.1:", 25, -1 },
		{ "127.0.0.1:65536", 25, -1 },
		{ "127.0.0.1:025", 25, -1 },
		{ "[127.0.0.1]:25", 25, -1 },
		{ ":25", 25, -1 },
		{ "127.0.0.1:0", -1, 0 },
		{ "[::1]25", 25, -1 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct endpoint e;
		bool ok = endpoint_parse(&e, cases[i].text, strlen(cases[i].text), cases[i].def);
		ATF_CHECK_EQ_MSG(ok ? e.port : -1, cases[i].port, "%s", cases[i].text);
	}
}

ATF_TC_WITHOUT_HEAD(escapes);
ATF_TC_BODY(escapes, tc)
{
	char out[64];
	struct buf b = BUF(out);
	buf_escape(&b, SPAN("a\\\r\n\t\a\x80\0z"), 100);
	ATF_CHECK_STREQ(out, "a\\\\\\r\\n\\t\\a\\200\\000z");
	b = BUF(out);
	buf_escape(&b, SPAN("ab\x01"), 4);
	ATF_CHECK_STREQ(out, "ab\\0");
	b = BUF(out);
	buf_json(&b, SPAN("\"\\\n\x01 \xc3\xa9 \xff \xed\xa0"));
	ATF_CHECK_STREQ(out, "\\\"\\\\\\n\\u0001 \xc3\xa9 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
	b = BUF(out);
	buf_putc(&b, '{');
	buf_json_member(&b, "a", SPAN("x\""));
	buf_json_member(&b, "b", SPAN("{"));
	buf_puts(&b, ",");
	buf_json_member(&b, "c", SPAN(""));
	ATF_CHECK_STREQ(out, "{\"a\":\"x\\\"\",\"b\":\"{\",\"c\":\"\"");
	ATF_CHECK(span_is_utf8(SPAN("\xf0\x9f\x98\x80")));
	ATF_CHECK(!span_is_utf8(SPAN("\xc0\xaf")));
	ATF_CHECK(!span_is_utf8(SPAN("\xf4\x90\x80\x80")));
	ATF_CHECK(!span_is_utf8(SPAN("\xe2\x82")));
}

ATF_TC_WITHOUT_HEAD(buffers_cut_and_say_so);
ATF_TC_BODY(buffers_cut_and_say_so, tc)
{
	char out[8];
	struct buf b = BUF(out);
	buf_puts(&b, "1234567");
	ATF_CHECK(!b.cut);
	buf_putc(&b, '8');
	ATF_CHECK(b.cut);
	ATF_CHECK_STREQ(out, "1234567");
	b = BUF(out);
	buf_printf(&b, "%s", "123456789");
	ATF_CHECK(b.cut);
	ATF_CHECK_STREQ(out, "1234567");
}

ATF_TC_WITHOUT_HEAD(tokens_and_numbers);
ATF_TC_BODY(tokens_and_numbers, tc)
{
	struct span rest = SPAN(" a, {b c}d , e");
	ATF_CHECK(span_is(span_token(&rest, ", "), "a"));
	ATF_CHECK(span_is(span_token(&rest, ", "), "{b c}d"));
	ATF_CHECK(span_is(span_token(&rest, ", "), "e"));
	ATF_CHECK_EQ(span_token(&rest, ", ").len, 0);
	uint64_t u;
	int64_t i;
	ATF_CHECK(span_uint(SPAN("18446744073709551615"), UINT64_MAX, &u) && u == UINT64_MAX);
	ATF_CHECK(!span_uint(SPAN("18446744073709551616"), UINT64_MAX, &u));
	ATF_CHECK(!span_uint(SPAN(""), 9, &u));
	ATF_CHECK(!span_uint(SPAN("1x"), 99, &u));
	ATF_CHECK(!span_uint(SPAN("10"), 9, &u));
	ATF_CHECK(span_int(SPAN("-7"), -9, 9, &i) && i == -7);
	ATF_CHECK(!span_int(SPAN("-"), -9, 9, &i));
	ATF_CHECK(!span_int(SPAN("-10"), -9, 9, &i));
}

ATF_TC_WITHOUT_HEAD(pools_end_and_reuse);
ATF_TC_BODY(pools_end_and_reuse, tc)
{
	struct pool *p = pool_new(3, 40);
	char *a = pool_take(p), *b = pool_take(p), *c = pool_take(p);
	ATF_REQUIRE(a && b && c);
	ATF_CHECK(pool_take(p) == NULL);
	memset(b, 0xff, 40);
	pool_give(p, b);
	char *again = pool_take(p);
	ATF_CHECK_EQ(again, b);
	ATF_CHECK_EQ(again[0], 0);
	ATF_CHECK_EQ(again[39], 0);
	ATF_CHECK_EQ(pool_used(p), 3);
	pool_free(&p);
}

struct item {
	struct map_node node;
	int key;
};

static bool
same_key(const struct map_node *n, const void *key)
{
	return container_of(n, const struct item, node)->key == *(const int *)key;
}

ATF_TC_WITHOUT_HEAD(maps_hold_what_was_added);
ATF_TC_BODY(maps_hold_what_was_added, tc)
{
	enum { N = 1000 };
	static struct item items[N];
	struct map m;
	map_init(&m, 4);
	for (int i = 0; i < N; i++) {
		items[i].key = i;
		map_add(&m, &items[i].node, hash_bytes(&i, sizeof i));
	}
	for (int i = 0; i < N; i += 2)
		map_del(&m, &items[i].node);
	for (int i = 0; i < N; i++) {
		struct map_node *n = map_find(&m, hash_bytes(&i, sizeof i), same_key, &i);
		ATF_CHECK_EQ(n, i % 2 ? &items[i].node : NULL);
	}
	ATF_CHECK_EQ(m.count, N / 2);
	map_fini(&m);
}

static int fired[4], fired_count;
static struct deadline times[4];

static void
on_deadline(struct deadline *d)
{
	fired[fired_count++] = (int)(d - times);
	if (d == &times[0])
		deadline_disarm(&times[1]); /* a handler may take others off */
}

ATF_TC_WITHOUT_HEAD(deadlines_fire_in_order);
ATF_TC_BODY(deadlines_fire_in_order, tc)
{
	struct loop *l = loop_new();
	struct deadline_queue q;
	deadline_queue_init(&q, l, 20000, on_deadline);
	for (int i = 0; i < 4; i++)
		deadline_arm(&q, &times[i]);
	deadline_disarm(&times[2]);
	deadline_disarm(&times[2]);
	int64_t start = clock_now_us();
	while (fired_count < 2 && loop_turn(l, true))
		;
	ATF_CHECK(clock_now_us() - start >= 19000);
	ATF_CHECK_EQ(fired_count, 2);
	ATF_CHECK_EQ(fired[0], 0);
	ATF_CHECK_EQ(fired[1], 3);
	deadline_queue_fini(&q);
	loop_free(&l);
}

ATF_TC_WITHOUT_HEAD(descriptors_pass);
ATF_TC_BODY(descriptors_pass, tc)
{
	int pair[2], got[2] = { -1, -1 };
	size_t n = 2;
	char byte = 1;
	ATF_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	size_t before = fd_count();
	int sent[3] = { dup(0), dup(0), dup(0) };
	ATF_CHECK_EQ(fd_count(), before + 3);
	ATF_CHECK_EQ(fd_send(pair[0], "x", 1, sent, 2), 1);
	ATF_CHECK_EQ(fd_recv(pair[1], &byte, 1, got, &n), 1);
	ATF_CHECK_EQ(n, 2);
	ATF_CHECK(got[0] > 2 && got[1] > 2 && byte == 'x');
	close(got[0]);
	close(got[1]);
	ATF_CHECK_EQ(fd_send(pair[0], "y", 1, sent, 3), 1);
	n = 1;
	ATF_CHECK_EQ(fd_recv(pair[1], &byte, 1, got, &n), -1);
	ATF_CHECK_EQ(errno, EMSGSIZE);
	ATF_CHECK_EQ(n, 0);
	for (int i = 0; i < 3; i++)
		close(sent[i]);
	close(pair[0]);
	close(pair[1]);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, addresses_parse_strictly_and_print_canonically);
	ATF_TP_ADD_TC(tp, prefixes);
	ATF_TP_ADD_TC(tp, endpoints);
	ATF_TP_ADD_TC(tp, escapes);
	ATF_TP_ADD_TC(tp, buffers_cut_and_say_so);
	ATF_TP_ADD_TC(tp, tokens_and_numbers);
	ATF_TP_ADD_TC(tp, pools_end_and_reuse);
	ATF_TP_ADD_TC(tp, maps_hold_what_was_added);
	ATF_TP_ADD_TC(tp, deadlines_fire_in_order);
	ATF_TP_ADD_TC(tp, descriptors_pass);
	return atf_no_error();
}
