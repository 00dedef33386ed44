/* screen/backend.c, screen/promise.c: replies read, headers written, promises kept. */
#include "config.h"

#include <atf-c.h>
#include <stdio.h>
#include <string.h>

#include "screen/backend.h"
#include "screen/engine.h"
#include "screen/promise.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

ATF_TC_WITHOUT_HEAD(replies);
ATF_TC_BODY(replies, tc)
{
	static const struct {
		const char *bytes;
		int code;
		size_t len;
	} cases[] = {
		{ "", 0, 0 },
		{ "2", 0, 0 },
		{ "220 x", 0, 0 },
		{ "220 x\r\n", 220, 7 },
		{ "220\r\n", 220, 5 },
		{ "220-x\r\n", 0, 0 },
		{ "220-x\r\n220 y\r\n", 220, 14 },
		{ "220-x\r\n220 y\r\n250 z\r\n", 220, 14 },
		{ "250-a\n250 b\n", 250, 12 },
		{ "554 no\r\nmore", 554, 8 },
		{ "hello\r\n", -1, 0 },
		{ "22\r\n", -1, 0 },
		{ "120 x\r\n", -1, 0 },
		{ "620 x\r\n", -1, 0 },
		{ "2a0 x\r\n", -1, 0 },
		{ "\r\n", -1, 0 },
		{ "220-x\r\nbad\r\n", -1, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		int code = 77;
		size_t len = backend_reply(cases[i].bytes, strlen(cases[i].bytes), &code);
		ATF_CHECK_EQ_MSG(len, cases[i].len, "%s: %zu", cases[i].bytes, len);
		ATF_CHECK_EQ_MSG(code, cases[i].code, "%s: %d", cases[i].bytes, code);
	}
}

static struct backend_client
client(const char *peer, const char *local)
{
	struct backend_client c = { 0 };

	ATF_REQUIRE(endpoint_parse(&c.peer, peer, strlen(peer), -1));
	ATF_REQUIRE(endpoint_parse(&c.local, local, strlen(local), -1));
	return c;
}

ATF_TC_WITHOUT_HEAD(headers);
ATF_TC_BODY(headers, tc)
{
	static const char v2[] =
	    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\0\x19";
	const struct backend one = { .kind = BACKEND_PROXY1 }, two = { .kind = BACKEND_PROXY2 },
			     plain = { .kind = BACKEND_TCP }, xclient = { .kind = BACKEND_XCLIENT };
	struct backend_client v4 = client("192.0.2.1:4711", "198.51.100.2:25");
	const struct backend_client v6 = client("[2001:db8::1]:4711", "[2001:db8::2]:25"),
				    mixed = client("192.0.2.1:4711", "[2001:db8::2]:25");
	char text[600];
	struct buf b = BUF(text);

	backend_header(&one, &v4, &b);
	ATF_CHECK_STREQ(text, "PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n");
	b = BUF(text);
	backend_header(&one, &v6, &b);
	ATF_CHECK_STREQ(text, "PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n");
	b = BUF(text);
	backend_header(&one, &mixed, &b);
	ATF_CHECK_STREQ(text, "PROXY UNKNOWN\r\n");
	b = BUF(text);
	backend_header(&two, &v4, &b);
	ATF_CHECK_EQ(b.len, sizeof v2 - 1);
	ATF_CHECK(memcmp(text, v2, sizeof v2 - 1) == 0);
	b = BUF(text);
	backend_header(&two, &v6, &b);
	ATF_CHECK_EQ(b.len, 16 + 36);
	v4.tls_version = "TLSv1.3";
	v4.tls_cipher = "TLS_AES_256_GCM_SHA384";
	b = BUF(text);
	backend_header(&two, &v4, &b);
	ATF_CHECK_EQ(b.len, 16 + 12 + 3 + 5 + 3 + 7 + 3 + 22);
	ATF_CHECK_EQ(text[28], 0x20);
	ATF_CHECK(memcmp(text + 28 + 3 + 5 + 3, "TLSv1.3", 7) == 0);
	b = BUF(text);
	backend_header(&plain, &v4, &b);
	ATF_CHECK_EQ(b.len, 0);
	backend_xclient(&plain, &v4, &b);
	ATF_CHECK_EQ(b.len, 0);
	backend_xclient(&xclient, &v6, &b);
	ATF_CHECK_STREQ(text,
	    "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=4711 DESTADDR=IPV6:2001:db8::2 DESTPORT=25\r\n");
}

ATF_TC_WITHOUT_HEAD(promises);
ATF_TC_BODY(promises, tc)
{
	static const struct {
		const char *reply;
		uint32_t keywords;
		int64_t size;
	} cases[] = {
		{ "250 mx\r\n", 0, -1 },
		{ "250-mx\r\n250-SIZE 1000\r\n250 8BITMIME\r\n",
		    KW_BIT(KW_SIZE) | KW_BIT(KW_8BITMIME), 1000 },
		{ "250-mx\r\n250-size\r\n250-dsn\r\n250 X-OWN a b\r\n",
		    KW_BIT(KW_SIZE) | KW_BIT(KW_DSN), 0 },
		{ "250-mx\r\n250 SIZE 99999999999999999999\r\n", KW_BIT(KW_SIZE), 0 },
		{ "250-mx SIZE\r\n250 CHUNKING", KW_BIT(KW_CHUNKING), -1 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t keywords;
		int64_t size;
		promise_parse(cases[i].reply, strlen(cases[i].reply), &keywords, &size);
		ATF_CHECK_EQ_MSG(keywords, cases[i].keywords, "%s: %x", cases[i].reply, keywords);
		ATF_CHECK_EQ_MSG(size, cases[i].size, "%s: %lld", cases[i].reply, (long long)size);
	}
}

ATF_TC_WITHOUT_HEAD(same_servers);
ATF_TC_BODY(same_servers, tc)
{
	const struct endpoint a = client("192.0.2.1:25", "192.0.2.2:25").peer,
			      b = client("192.0.2.1:25", "192.0.2.2:25").local,
			      other_port = client("192.0.2.1:26", "192.0.2.2:25").peer;
	const struct backend ab = { .servers = { a, b }, .server_count = 2 },
			     ba = { .servers = { b, a }, .server_count = 2 },
			     just_a = { .servers = { a }, .server_count = 1 },
			     ported = { .servers = { other_port, b }, .server_count = 2 };

	ATF_CHECK(backend_same_servers(&ab, &ba));
	ATF_CHECK(!backend_same_servers(&ab, &just_a));
	ATF_CHECK(!backend_same_servers(&just_a, &ab));
	ATF_CHECK(!backend_same_servers(&ab, &ported));
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, same_servers);
	ATF_TP_ADD_TC(tp, replies);
	ATF_TP_ADD_TC(tp, headers);
	ATF_TP_ADD_TC(tp, promises);
	return atf_no_error();
}
