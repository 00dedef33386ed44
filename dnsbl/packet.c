#include "config.h"

#include <ctype.h>
#include <string.h>
#include "base/bytes.h"
#include "dnsbl/packet.h"

#define CNAMES_MAX 10
#define TTL_MAX INT32_MAX /* RFC 2181 §8: a set top bit means 0 */

static bool
question_end(struct question *q, const uint8_t *suffix, size_t suffix_len, uint16_t type)
{
	if (q->len + suffix_len > DNS_NAME_MAX)
		return false;
	memcpy(q->bytes + q->len, suffix, suffix_len);
	q->len += suffix_len;
	put_be16(q->bytes + q->len, type);
	put_be16(q->bytes + q->len + 2, 1); /* class IN */
	q->len += 4;
	return true;
}

static void
put_octet_label(struct question *q, uint8_t v)
{
	uint8_t *length = &q->bytes[q->len++];

	if (v >= 100)
		q->bytes[q->len++] = (uint8_t)('0' + v / 100);
	if (v >= 10)
		q->bytes[q->len++] = (uint8_t)('0' + v / 10 % 10);
	q->bytes[q->len++] = (uint8_t)('0' + v % 10);
	*length = (uint8_t)(&q->bytes[q->len] - length - 1);
}

static void
put_nibble_label(struct question *q, unsigned v)
{
	q->bytes[q->len++] = 1;
	q->bytes[q->len++] = (uint8_t) "0123456789abcdef"[v & 15];
}

bool
question_reversed(struct question *q, const struct addr *a, const uint8_t *suffix,
    size_t suffix_len, uint16_t type)
{
	q->len = 0;
	if (a->family == 4) {
		for (int i = 3; i >= 0; i--)
			put_octet_label(q, a->ip[i]);
	} else {
		for (int i = 15; i >= 0; i--) {
			put_nibble_label(q, a->ip[i]);
			put_nibble_label(q, a->ip[i] >> 4);
		}
	}
	return question_end(q, suffix, suffix_len, type);
}

bool
question_label(
    struct question *q, struct span label, const uint8_t *suffix, size_t suffix_len, uint16_t type)
{
	q->len = 0;
	if (label.len > 63)
		return false;
	if (label.len > 0) {
		q->bytes[q->len++] = (uint8_t)label.len;
		memcpy(q->bytes + q->len, label.p, label.len);
		q->len += label.len;
	}
	return question_end(q, suffix, suffix_len, type);
}

size_t
query_write(uint8_t *out, uint16_t id, const struct question *q)
{
	static const uint8_t header[PACKET_HEADER] = { 0, 0, 1 /* RD */, 0, 0, 1 };

	memcpy(out, header, sizeof header);
	put_be16(out, id);
	memcpy(out + sizeof header, q->bytes, q->len);
	return sizeof header + q->len;
}

/* Steps over a name without following it; false at the end of the packet. */
static bool
skip_name(const uint8_t *packet, size_t len, size_t *pos)
{
	while (*pos < len) {
		unsigned c = packet[*pos];

		if ((c & 0xc0) == 0xc0) {
			*pos += 2;
			return *pos <= len;
		}
		if ((c & 0xc0) != 0)
			return false;
		*pos += 1 + c;
		if (c == 0)
			return *pos <= len;
	}
	return false;
}

/*
 * A name in text form, pointers followed; each must point before the last, so there is an end.
 * Bytes that no host name has become '?'.
 */
static bool
read_name(const uint8_t *packet, size_t len, size_t pos, char out[DNS_NAME_MAX + 1])
{
	struct buf text = buf_over(out, DNS_NAME_MAX + 1);
	size_t limit = pos + 1;

	while (pos < len && packet[pos] != 0) {
		unsigned c = packet[pos];

		if ((c & 0xc0) == 0xc0) {
			if (pos + 1 >= len || (get_be16(packet + pos) & 0x3fff) >= limit - 1)
				return false;
			pos = get_be16(packet + pos) & 0x3fff;
			limit = pos + 1;
			continue;
		}
		if ((c & 0xc0) != 0 || pos + 1 + c > len)
			return false;
		if (text.len > 0)
			buf_putc(&text, '.');
		for (unsigned i = 1; i <= c; i++) {
			int ch = packet[pos + i];
			bool good =
			    ch < 128 && (isalnum(ch) || ch == '-' || ch == '_' || ch == '/');
			buf_putc(&text, good ? (char)tolower(ch) : '?');
		}
		pos += 1 + c;
	}
	return pos < len && !text.cut;
}

struct rr {
	unsigned type, class;
	int32_t ttl;
	size_t data, data_len;
};

static bool
read_rr(const uint8_t *packet, size_t len, size_t *pos, struct rr *rr)
{
	uint32_t ttl;

	if (!skip_name(packet, len, pos) || len - *pos < 10)
		return false;
	rr->type = get_be16(packet + *pos);
	rr->class = get_be16(packet + *pos + 2);
	ttl = get_be32(packet + *pos + 4);
	rr->ttl = ttl > TTL_MAX ? 0 : (int32_t)ttl;
	rr->data_len = get_be16(packet + *pos + 8);
	rr->data = *pos + 10;
	if (len - rr->data < rr->data_len)
		return false;
	*pos = rr->data + rr->data_len;
	return true;
}

static int32_t
lower(int32_t old, int32_t ttl)
{
	return old < 0 || ttl < old ? ttl : old;
}

/* A record of the type asked for. */
static bool
take_record(struct answer *out, const uint8_t *packet, size_t len, const struct rr *rr)
{
	size_t want = rr->type == DNS_A ? 4 : 16;

	if (rr->type == DNS_PTR) {
		if (out->count == 0 && !read_name(packet, len, rr->data, out->name))
			return false;
	} else {
		if (rr->data_len != want || out->count == DNSBL_ANSWERS_MAX)
			return false;
		memcpy(out->ip[out->count], packet + rr->data, want);
	}
	if (out->count < DNSBL_ANSWERS_MAX)
		out->count++;
	out->ttl = lower(out->ttl, rr->ttl);
	return true;
}

static bool
read_answers(struct answer *out, const uint8_t *packet, size_t len, size_t *pos, unsigned type)
{
	unsigned count = get_be16(packet + 6), cnames = 0;
	struct rr rr;

	while (count-- > 0) {
		if (!read_rr(packet, len, pos, &rr))
			return false;
		if (rr.class != 1)
			continue;
		if (rr.type == DNS_CNAME && ++cnames > CNAMES_MAX)
			return false;
		if (rr.type == type && !take_record(out, packet, len, &rr))
			return false;
		if (rr.type == type || rr.type == DNS_CNAME)
			out->memory_ttl = lower(out->memory_ttl, rr.ttl);
	}
	return true;
}

/* What is kept of "no": the SOA's own time to live is the result's, MINIMUM bounds our memory. */
static bool
read_soa(struct answer *out, const uint8_t *packet, size_t len, size_t *pos)
{
	unsigned count = get_be16(packet + 8);
	struct rr rr;

	while (count-- > 0) {
		if (!read_rr(packet, len, pos, &rr))
			return false;
		if (rr.type != DNS_SOA || rr.class != 1 || rr.data_len < 22)
			continue;
		uint32_t minimum = get_be32(packet + *pos - 4);
		out->ttl = lower(out->ttl, rr.ttl);
		out->memory_ttl = lower(out->memory_ttl, rr.ttl);
		if (minimum < (uint32_t)out->memory_ttl)
			out->memory_ttl = (int32_t)minimum;
	}
	return true;
}

static bool
same_question(const uint8_t *packet, size_t len, const struct question *q)
{
	if (len < PACKET_HEADER + q->len || get_be16(packet + 4) != 1)
		return false;
	for (size_t i = 0; i < q->len; i++)
		if (tolower(packet[PACKET_HEADER + i]) != tolower(q->bytes[i]))
			return false;
	return true;
}

enum answer_status
answer_parse(struct answer *out, const uint8_t *packet, size_t len, const struct question *q)
{
	size_t pos = PACKET_HEADER + q->len;
	unsigned rcode;

	out->count = 0;
	out->ttl = out->memory_ttl = -1;
	out->name[0] = '\0';
	if (!same_question(packet, len, q) || (packet[2] & 0xf8) != 0x80) /* QR, opcode QUERY */
		return ANSWER_MALFORMED;
	rcode = packet[3] & 15;
	if (packet[2] & 0x02)
		return ANSWER_TRUNCATED;
	if (rcode == 2)
		return ANSWER_SERVFAIL;
	if (rcode == 5)
		return ANSWER_REFUSED;
	if (rcode != 0 && rcode != 3)
		return ANSWER_RCODE;
	if (!read_answers(out, packet, len, &pos, get_be16(q->bytes + q->len - 4)))
		return ANSWER_MALFORMED;
	if (out->count > 0 && rcode == 0)
		return ANSWER_FOUND;
	out->count = 0;
	out->ttl = -1;
	return read_soa(out, packet, len, &pos) ? ANSWER_NONE : ANSWER_MALFORMED;
}

const char *
answer_status_text(enum answer_status status)
{
	static const char *const texts[] = {
		[ANSWER_FOUND] = "found",
		[ANSWER_NONE] = "not found",
		[ANSWER_SERVFAIL] = "server failure",
		[ANSWER_REFUSED] = "refused by the server",
		[ANSWER_RCODE] = "error response",
		[ANSWER_TRUNCATED] = "truncated answer",
		[ANSWER_MALFORMED] = "malformed answer",
	};

	return texts[status];
}
