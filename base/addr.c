#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/addr.h"
#include "base/map.h"
#include "base/text.h"

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void
set_v4(struct addr *a, const void *bytes)
{
	memset(a, 0, sizeof *a);
	a->family = 4;
	memcpy(a->ip, bytes, 4);
}

static void
set_v6(struct addr *a, const void *bytes)
{
	if (memcmp(bytes, v4_mapped, sizeof v4_mapped) == 0) {
		set_v4(a, (const uint8_t *)bytes + sizeof v4_mapped);
		return;
	}
	a->family = 6;
	memcpy(a->ip, bytes, 16);
}

bool
addr_parse(struct addr *out, const char *text, size_t len)
{
	char copy[ADDR_TEXT_SIZE];
	uint8_t bytes[16];

	if (len == 0 || len >= sizeof copy || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (memchr(copy, ':', len) != NULL) {
		if (inet_pton(AF_INET6, copy, bytes) != 1)
			return false;
		set_v6(out, bytes);
		return true;
	}
	if (inet_pton(AF_INET, copy, bytes) != 1)
		return false;
	set_v4(out, bytes);
	return true;
}

char *
addr_format(const struct addr *a, char *out)
{
	struct buf b = buf_over(out, ADDR_TEXT_SIZE);

	if (a->family == 4) {
		for (int i = 0; i < 4; i++) {
			unsigned v = a->ip[i];
			if (i > 0)
				buf_putc(&b, '.');
			if (v >= 100)
				buf_putc(&b, (char)('0' + v / 100));
			if (v >= 10)
				buf_putc(&b, (char)('0' + v / 10 % 10));
			buf_putc(&b, (char)('0' + v % 10));
		}
	} else if (a->family == 6) {
		inet_ntop(AF_INET6, a->ip, out, ADDR_TEXT_SIZE);
	} else {
		buf_puts(&b, "unknown");
	}
	return out;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

unsigned
addr_bits(const struct addr *a)
{
	return a->family == 4 ? 32 : 128;
}

void
addr_mask(struct addr *a, unsigned prefix_len)
{
	for (unsigned i = 0; i < addr_bits(a) / 8;
	     i++, prefix_len -= prefix_len < 8 ? prefix_len : 8)
		if (prefix_len < 8)
			a->ip[i] &= (uint8_t)(0xff00u >> prefix_len);
}

bool
addr_in_prefix(const struct addr *a, const struct addr *net, unsigned prefix_len)
{
	unsigned whole = prefix_len / 8, rest = prefix_len % 8;

	if (a->family != net->family || memcmp(a->ip, net->ip, whole) != 0)
		return false;
	return rest == 0 || ((a->ip[whole] ^ net->ip[whole]) & (0xff00u >> rest) & 0xffu) == 0;
}

struct prefix {
	uint8_t family, ip[3], len;
};

static bool
in_any(const struct addr *a, const struct prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct addr net = { .family = list[i].family };
		memcpy(net.ip, list[i].ip, sizeof list[i].ip);
		if (addr_in_prefix(a, &net, list[i].len))
			return true;
	}
	return false;
}

bool
addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->family == 4 ? a->ip[0] == 127 : a->family == 6 && memcmp(a->ip, one, 16) == 0;
}

bool
addr_is_private(const struct addr *a)
{
	static const struct prefix list[] = {
		{ 4, { 10 }, 8 },	   /* RFC 1918 */
		{ 4, { 172, 16 }, 12 },	   /* RFC 1918 */
		{ 4, { 192, 168 }, 16 },   /* RFC 1918 */
		{ 4, { 100, 64 }, 10 },	   /* RFC 6598 */
		{ 4, { 169, 254 }, 16 },   /* RFC 3927 */
		{ 6, { 0xfe, 0x80 }, 10 }, /* RFC 4291 link-local */
		{ 6, { 0xfc }, 7 },	   /* RFC 4193 */
	};

	return addr_is_loopback(a) || in_any(a, list, sizeof list / sizeof list[0]);
}

uint64_t
addr_hash(const struct addr *a)
{
	return hash_bytes(a, sizeof *a);
}

bool
endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;
		set_v4(&out->addr, &in->sin_addr);
		out->port = ntohs(in->sin_port);
		return true;
	}
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;
		set_v6(&out->addr, &in6->sin6_addr);
		out->port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}

socklen_t
endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (e->addr.family == 4) {
		struct sockaddr_in *in = (void *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->addr.ip, 4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (void *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->addr.ip, 16);
	return sizeof *in6;
}

static bool
parse_port(struct span text, uint16_t *out)
{
	uint64_t n;

	if (text.len > 1 && text.p[0] == '0')
		return false;
	if (!span_uint(text, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

bool
endpoint_parse(struct endpoint *out, const char *text, size_t len, int default_port)
{
	struct endpoint e = { .port = (uint16_t)(default_port < 0 ? 0 : default_port) };
	struct span addr = { text, len }, port = { NULL, 0 };

	if (len > 0 && text[0] == '[') {
		const char *close = memchr(text, ']', len);
		if (close == NULL)
			return false;
		addr = (struct span){ text + 1, (size_t)(close - text) - 1 };
		port = (struct span){ close + 1, len - (size_t)(close + 1 - text) };
		if (memchr(addr.p, ':', addr.len) == NULL)
			return false;
	} else {
		const char *colon = memchr(text, ':', len);
		if (colon != NULL &&
		    memchr(colon + 1, ':', len - (size_t)(colon + 1 - text)) == NULL) {
			addr.len = (size_t)(colon - text);
			port = (struct span){ colon, len - addr.len };
		}
	}
	if (!addr_parse(&e.addr, addr.p, addr.len))
		return false;
	if (port.len == 0) {
		if (default_port < 0)
			return false;
	} else if (port.p[0] != ':' ||
		   !parse_port((struct span){ port.p + 1, port.len - 1 }, &e.port)) {
		return false;
	}
	*out = e;
	return true;
}
