/* Questions and answers on the wire. */
#include "config.h"

#include <atf-c.h>
#include <string.h>
#include "dnsbl/packet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t bl_example[] = "\2bl\7example";

/* The labels of a question as text. */
static const char *
name_of(const struct question *q, char out[DNS_NAME_MAX + 1])
{
	struct buf text = buf_over(out, DNS_NAME_MAX + 1);

	for (size_t i = 0; q->bytes[i] != 0; i += q->bytes[i] + 1u) {
		if (i > 0)
			buf_putc(&text, '.');
		buf_put(&text, q->bytes + i + 1, q->bytes[i]);
	}
	return out;
}

static struct question
ask(const char *client, uint16_t type)
{
	struct question q;
	struct addr a;

	ATF_REQUIRE(addr_parse(&a, client, strlen(client)));
	ATF_REQUIRE(question_reversed(&q, &a, bl_example, sizeof bl_example, type));
	return q;
}

ATF_TC_WITHOUT_HEAD(questions);
ATF_TC_BODY(questions, tc)
{
	static const struct {
		const char *client, *name;
	} cases[] = {
		{ "192.0.2.99", "99.2.0.192.bl.example" },
		{ "0.255.10.100", "100.10.255.0.bl.example" },
		{ "2001:db8::1",
		    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example" },
	};
	uint8_t packet[QUERY_MAX], longest[DNS_NAME_MAX] = { 0 };
	char text[DNS_NAME_MAX + 1];
	struct addr six = { .family = 6 };
	struct question q;

	for (size_t i = 0; i < COUNT(cases); i++) {
		q = ask(cases[i].client, DNS_A);
		ATF_CHECK_STREQ(cases[i].name, name_of(&q, text));
		ATF_CHECK_EQ(0, memcmp(q.bytes + q.len - 5, "\0\0\1\0\1", 5));
		ATF_CHECK_EQ(12 + q.len, query_write(packet, 0xabcd, &q));
		ATF_CHECK_EQ(0, memcmp(packet, "\xab\xcd\1\0\0\1\0\0\0\0\0\0", 12));
		ATF_CHECK_EQ(0, memcmp(packet + 12, q.bytes, q.len));
	}
	ATF_CHECK(question_reversed(&q, &six, longest, DNS_NAME_MAX - 64, DNS_A));
	ATF_CHECK(!question_reversed(&q, &six, longest, DNS_NAME_MAX - 63, DNS_A));
}

/* What stands behind the question: counts, then records. */
struct reply {
	const char *what;
	uint8_t flags[2];
	uint8_t answers, authorities;
	const char *bytes;
	size_t len;
	enum answer_status status;
	uint8_t count;
	int32_t ttl, memory_ttl;
};
#define BYTES(literal) literal, sizeof(literal) - 1
#define OWNER "\xc0\x0c"
#define RR_A(ttl, d) OWNER "\0\1\0\1\0\0" ttl "\0\4\x7f\0\0" d
#define RR_CNAME OWNER "\0\5\0\1\0\0\0\x1e\0\2\xc0\x0c"
#define RR_TXT OWNER "\0\x10\0\1\0\0\0\5\0\2\1x"
#define RR_SOA(ttl, minimum) \
	OWNER "\0\6\0\1\0\0" ttl "\0\x16\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0" minimum
#define FOUR(x) x x x x

ATF_TC_WITHOUT_HEAD(answers);
ATF_TC_BODY(answers, tc)
{
	static const struct reply cases[] = {
		{ "one", { 0x81, 0x80 }, 1, 0, BYTES(RR_A("\1\x2c", "\2")), ANSWER_FOUND, 1, 300,
		    300 },
		{ "three, lowest ttl", { 0x81, 0x80 }, 3, 0,
		    BYTES(RR_A("\1\x2c", "\2") RR_A("\0\x3c", "\4") RR_A("\1\0", "\x0a")),
		    ANSWER_FOUND, 3, 60, 60 },
		{ "behind a cname", { 0x81, 0x80 }, 2, 0, BYTES(RR_CNAME RR_A("\1\x2c", "\2")),
		    ANSWER_FOUND, 1, 300, 30 },
		{ "other types pass by", { 0x81, 0x80 }, 2, 0, BYTES(RR_TXT RR_A("\1\x2c", "\2")),
		    ANSWER_FOUND, 1, 300, 300 },
		{ "eleven cnames", { 0x81, 0x80 }, 11, 0,
		    BYTES(FOUR(RR_CNAME) FOUR(RR_CNAME) RR_CNAME RR_CNAME RR_CNAME),
		    ANSWER_MALFORMED, 0, -1, 30 },
		{ "sixteen", { 0x81, 0x80 }, 16, 0, BYTES(FOUR(FOUR(RR_A("\1\0", "\2")))),
		    ANSWER_FOUND, 16, 256, 256 },
		{ "seventeen", { 0x81, 0x80 }, 17, 0,
		    BYTES(FOUR(FOUR(RR_A("\1\0", "\2"))) RR_A("\1\0", "\2")), ANSWER_MALFORMED, 16,
		    256, 256 },
		{ "nxdomain with soa", { 0x81, 0x83 }, 0, 1, BYTES(RR_SOA("\1\x2c", "\0\x78")),
		    ANSWER_NONE, 0, 300, 120 },
		{ "nodata with soa", { 0x81, 0x80 }, 0, 1, BYTES(RR_SOA("\0\x3c", "\0\x78")),
		    ANSWER_NONE, 0, 60, 60 },
		{ "nxdomain without", { 0x81, 0x83 }, 0, 0, BYTES(""), ANSWER_NONE, 0, -1, -1 },
		{ "nxdomain with an address", { 0x81, 0x83 }, 1, 0, BYTES(RR_A("\1\x2c", "\2")),
		    ANSWER_NONE, 0, -1, 300 },
		{ "servfail", { 0x81, 0x82 }, 0, 0, BYTES(""), ANSWER_SERVFAIL, 0, -1, -1 },
		{ "refused", { 0x81, 0x85 }, 0, 0, BYTES(""), ANSWER_REFUSED, 0, -1, -1 },
		{ "not implemented", { 0x81, 0x84 }, 0, 0, BYTES(""), ANSWER_RCODE, 0, -1, -1 },
		{ "truncated", { 0x83, 0x80 }, 0, 0, BYTES(""), ANSWER_TRUNCATED, 0, -1, -1 },
		{ "a query", { 0x01, 0x00 }, 0, 0, BYTES(""), ANSWER_MALFORMED, 0, -1, -1 },
		{ "cut record", { 0x81, 0x80 }, 2, 0,
		    BYTES(RR_A("\1\x2c", "\2") OWNER "\0\1\0\1\0\0"), ANSWER_MALFORMED, 1, 300,
		    300 },
		{ "length beyond the end", { 0x81, 0x80 }, 1, 0,
		    BYTES(OWNER "\0\1\0\1\0\0\0\1\0\5\x7f\0\0\2"), ANSWER_MALFORMED, 0, -1, -1 },
		{ "five byte address", { 0x81, 0x80 }, 1, 0,
		    BYTES(OWNER "\0\1\0\1\0\0\0\1\0\5\x7f\0\0\2\2"), ANSWER_MALFORMED, 0, -1, -1 },
		{ "ttl with the top bit", { 0x81, 0x80 }, 1, 0,
		    BYTES(OWNER "\0\1\0\1\x80\0\0\1\0\4\x7f\0\0\2"), ANSWER_FOUND, 1, 0, 0 },
		{ "strange label type", { 0x81, 0x80 }, 1, 0,
		    BYTES("\x80\0\1\0\1\0\0\0\1\0\4\x7f\0\0\2"), ANSWER_MALFORMED, 0, -1, -1 },
	};
	struct question q = ask("192.0.2.1", DNS_A);

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct reply *c = &cases[i];
		uint8_t packet[2048];
		size_t len = query_write(packet, 7, &q);
		struct answer a;

		memcpy(packet + 2, c->flags, 2);
		packet[7] = c->answers;
		packet[9] = c->authorities;
		memcpy(packet + len, c->bytes, c->len);
		ATF_CHECK_EQ_MSG(
		    c->status, answer_parse(&a, packet, len + c->len, &q), "%s", c->what);
		ATF_CHECK_EQ_MSG(c->count, a.count, "%s: %u", c->what, a.count);
		ATF_CHECK_EQ_MSG(c->ttl, a.ttl, "%s: ttl %d", c->what, a.ttl);
		ATF_CHECK_EQ_MSG(
		    c->memory_ttl, a.memory_ttl, "%s: memory %d", c->what, a.memory_ttl);
	}
}

ATF_TC_WITHOUT_HEAD(another_question);
ATF_TC_BODY(another_question, tc)
{
	struct question q = ask("192.0.2.1", DNS_A), other = ask("192.0.2.2", DNS_A),
			txt = ask("192.0.2.1", 16);
	uint8_t packet[QUERY_MAX];
	struct answer a;
	size_t len = query_write(packet, 7, &q);

	packet[2] = 0x81;
	ATF_CHECK_EQ(ANSWER_NONE, answer_parse(&a, packet, len, &q));
	ATF_CHECK_EQ(ANSWER_MALFORMED, answer_parse(&a, packet, len, &other));
	ATF_CHECK_EQ(ANSWER_MALFORMED, answer_parse(&a, packet, len, &txt));
	ATF_CHECK_EQ(ANSWER_MALFORMED, answer_parse(&a, packet, len - 1, &q));
	packet[12 + 11] = 'B'; /* case of a name is no difference */
	ATF_CHECK_EQ(ANSWER_NONE, answer_parse(&a, packet, len, &q));
	packet[5] = 2; /* two questions */
	ATF_CHECK_EQ(ANSWER_MALFORMED, answer_parse(&a, packet, len, &q));
}

ATF_TC_WITHOUT_HEAD(names);
ATF_TC_BODY(names, tc)
{
	static const struct {
		const char *what, *data;
		size_t len;
		enum answer_status status;
		const char *name;
	} cases[] = {
		{ "plain", BYTES("\4mail\7Example\0"), ANSWER_FOUND, "mail.example" },
		{ "pointer into the question", BYTES("\4mail\xc0\x19"), ANSWER_FOUND,
		    "mail.example" },
		{ "strange bytes", BYTES("\4m\nil\0"), ANSWER_FOUND, "m?il" },
		{ "pointer to itself", BYTES("\xc0\x34"), ANSWER_MALFORMED, "" },
		{ "forward pointer", BYTES("\xc0\xff"), ANSWER_MALFORMED, "" },
		{ "no end", BYTES("\4mail"), ANSWER_MALFORMED, NULL },
	};
	struct question q = ask("192.0.2.1", DNS_PTR);

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t packet[512];
		size_t len = query_write(packet, 7, &q);
		struct answer a;

		packet[2] = 0x81;
		packet[7] = 1;
		memcpy(packet + len, "\xc0\x0c\0\x0c\0\1\0\0\1\0\0", 11);
		packet[len + 11] = (uint8_t)cases[i].len;
		memcpy(packet + len + 12, cases[i].data, cases[i].len);
		ATF_CHECK_EQ_MSG(cases[i].status,
		    answer_parse(&a, packet, len + 12 + cases[i].len, &q), "%s", cases[i].what);
		if (cases[i].status == ANSWER_FOUND)
			ATF_CHECK_STREQ(cases[i].name, a.name);
	}
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, questions);
	ATF_TP_ADD_TC(tp, answers);
	ATF_TP_ADD_TC(tp, another_question);
	ATF_TP_ADD_TC(tp, names);
	return atf_no_error();
}
