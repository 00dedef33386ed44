#include "config.h"

#include <ares.h>
#include <string.h>

#include "base/bytes.h"
#include "policy/spf.h"

#define HEADER 12
#define CLASS_IN 1

/* Past a name, whose pointers are not followed. False if it leaves the packet. */
static bool
skip_name(struct dns_reader *r)
{
	while (r->at < r->len) {
		uint8_t c = r->packet[r->at];
		if (c >= 0xc0) {
			r->at += 2;
			return r->at <= r->len;
		}
		if (c >= 0x40)
			return false;
		r->at += 1u + c;
		if (c == 0)
			return r->at <= r->len;
	}
	return false;
}

enum dns_state
dns_read(struct dns_reader *r, const uint8_t *packet, size_t len, uint16_t type)
{
	*r = (struct dns_reader){ packet, len, HEADER, 0, type };
	if (packet == NULL || len < HEADER || !(packet[2] & 0x80) || (packet[2] & 0x02))
		return DNS_FAILED;
	unsigned code = packet[3] & 0x0f;
	if (code == 3)
		return DNS_VOID;
	if (code != 0)
		return DNS_FAILED;
	for (unsigned questions = get_be16(packet + 4); questions > 0; questions--) {
		if (!skip_name(r) || r->len - r->at < 4)
			return DNS_FAILED;
		r->at += 4;
	}
	r->left = get_be16(packet + 6);

	struct dns_reader probe = *r;
	struct dns_rr rr;
	return dns_next(&probe, &rr) ? DNS_FOUND : DNS_VOID;
}

bool
dns_next(struct dns_reader *r, struct dns_rr *rr)
{
	while (r->left > 0) {
		r->left--;
		if (!skip_name(r) || r->len - r->at < 10)
			return false;
		const uint8_t *fixed = r->packet + r->at;
		*rr = (struct dns_rr){ get_be32(fixed + 4), r->at + 10, get_be16(fixed + 8) };
		if (r->len - rr->at < rr->len)
			return false;
		r->at = rr->at + rr->len;
		if (rr->ttl > INT32_MAX)
			rr->ttl = 0; /* RFC 2181 section 8 */
		if (get_be16(fixed) == r->type && get_be16(fixed + 2) == CLASS_IN)
			return true;
	}
	return false;
}

bool
dns_name(const struct dns_reader *r, size_t at, struct buf *out)
{
	char *name = NULL;
	long used;

	if (at >= r->len ||
	    ares_expand_name(r->packet + at, r->packet, (int)r->len, &name, &used) != ARES_SUCCESS)
		return false;
	buf_puts(out, name);
	ares_free_string(name);
	return !out->cut && out->len > 0;
}
