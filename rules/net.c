#include "config.h"
#include "rules/net.h"

#include <assert.h>
#include <libcidr.h>
#include <stdio.h>
#include <string.h>

/*
 * libcidr compares the end of the text with ".ip6.int" and the like without looking at its length,
 * so the text must have something readable before it.
 */
#define CIDR_MARGIN 64

/* text is ours and canonical: anything but success is our mistake. */
static CIDR *
cidr_of(const struct addr *addr, unsigned bits)
{
	char padded[CIDR_MARGIN + NET_TEXT_SIZE] = { 0 };
	CIDR *cidr;

	addr_format(addr, padded + CIDR_MARGIN);
	snprintf(padded + CIDR_MARGIN + strlen(padded + CIDR_MARGIN), 5, "/%u", bits);
	cidr = cidr_from_str(padded + CIDR_MARGIN);
	assert(cidr != NULL);
	return cidr;
}

/* Sets out to the network that addr lies in: what the operator should have written. */
static void
network_of(struct net *out, const struct addr *addr, unsigned bits)
{
	CIDR *whole = cidr_of(addr, bits), *net = cidr_addr_network(whole);

	assert(net != NULL && cidr_get_pflen(net) == (int)bits && cidr_contains(net, whole) == 0);
	*out = (struct net){ { .family = addr->family }, (uint8_t)bits };
	memcpy(out->addr.ip, net->addr + (addr->family == 4 ? 12 : 0), addr->family == 4 ? 4 : 16);
	cidr_free(whole);
	cidr_free(net);
}

static bool
has_host_bits(const struct addr *addr, unsigned bits)
{
	unsigned bytes = addr_bits(addr) / 8, whole = bits / 8;

	if (bits % 8 != 0 && (addr->ip[whole++] & (0xff >> bits % 8)) != 0)
		return true;
	for (unsigned i = whole; i < bytes; i++)
		if (addr->ip[i] != 0)
			return true;
	return false;
}

/* A decimal number of any length; more than the longest prefix comes out as just that. */
static bool
read_length(struct span s, unsigned *length)
{
	*length = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (*length <= 128)
			*length = *length * 10 + (unsigned)(s.p[i] - '0');
	}
	return s.len > 0;
}

/* Takes the address out of its brackets; what follows them is left in *rest. */
static bool
take_brackets(struct span *text, struct span *rest, struct buf *why)
{
	const char *close = memchr(text->p, ']', text->len);
	struct span inside;

	if (close == NULL) {
		buf_puts(why, "missing ']' character after \"");
		buf_escape(why, *text, 60);
		buf_puts(why, "\"");
		return false;
	}
	inside = (struct span){ text->p + 1, (size_t)(close - text->p) - 1 };
	*rest = (struct span){ close + 1, text->len - inside.len - 2 };
	if (rest->len > 0 && rest->p[0] != '/') {
		buf_puts(why, "garbage after \"[");
		buf_escape(why, inside, 60);
		buf_puts(why, "]\"");
		return false;
	}
	*text = inside;
	return true;
}

static bool
complain(struct buf *why, const char *what, struct span addr, struct span len)
{
	buf_printf(why, "%s in \"", what);
	buf_escape(why, addr, 60);
	buf_putc(why, '/');
	buf_escape(why, len, 20);
	buf_putc(why, '"');
	return false;
}

static bool
parse_parts(struct net *net, struct span addr, struct span len, struct buf *why)
{
	unsigned bits;
	char text[NET_TEXT_SIZE];
	bool colon = memchr(addr.p, ':', addr.len) != NULL;
	struct net right;

	if (!read_length(len, &bits))
		return complain(why, "bad mask value", addr, len);
	if (bits > (colon ? 128 : 32))
		return complain(why, "bad mask length", addr, len);
	if (!addr_parse(&net->addr, addr.p, addr.len))
		return complain(why, "bad network value", addr, len);
	if (net->addr.family == 4 && colon) {
		if (bits < 96) {
			buf_puts(
			    why, "an IPv4-mapped network is never looked up; use the IPv4 form");
			return false;
		}
		bits -= 96;
	}
	net->bits = (uint8_t)bits;
	if (!has_host_bits(&net->addr, bits))
		return true;
	network_of(&right, &net->addr, bits);
	complain(why, "non-null host address bits", addr, len);
	buf_printf(why, ", perhaps you should use \"%s/%u\" instead",
	    addr_format(&right.addr, text), bits);
	return false;
}

bool
net_parse(struct net *out, struct span text, struct buf *why)
{
	struct span all = text, rest = { "", 0 };
	const char *slash;
	struct net net;

	if (text.len > 0 && text.p[0] == '[' && !take_brackets(&text, &rest, why))
		return false;
	slash = memchr(text.p, '/', text.len);
	if (slash != NULL && rest.len == 0) {
		rest = (struct span){ slash, text.len - (size_t)(slash - text.p) };
		text.len = (size_t)(slash - text.p);
	}
	if (rest.len > 0) {
		rest = (struct span){ rest.p + 1, rest.len - 1 };
		if (!parse_parts(&net, text, rest, why))
			return false;
		*out = net;
		return true;
	}
	if (!addr_parse(&net.addr, text.p, text.len)) {
		buf_puts(why, "bad address pattern: \"");
		buf_escape(why, all, 60);
		buf_putc(why, '"');
		return false;
	}
	net.bits = (uint8_t)addr_bits(&net.addr);
	*out = net;
	return true;
}

char *
net_format(const struct net *net, char *out)
{
	addr_format(&net->addr, out);
	if (net->bits < addr_bits(&net->addr))
		snprintf(out + strlen(out), 5, "/%u", (unsigned)net->bits);
	return out;
}
