/*
 * base/addr.h: network addresses as values.
 *
 * One 17-byte value holds an IPv4 or IPv6 address. IPv4-mapped IPv6 (::ffff:a.b.c.d) is folded to
 * IPv4 wherever an address enters, so one client has one spelling: the text of addr_format() is what
 * logs, tables and the allowlist store use as their key (RFC 5952 form, lower case, no brackets).
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_TEXT_SIZE 46 /* longest text of an address, with its NUL (INET6_ADDRSTRLEN) */

struct addr {
	uint8_t family;  /* 4, 6, or 0 for "no address" */
	uint8_t ip[16];  /* network byte order; IPv4 in the first four bytes, the rest zero */
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host byte order */
};

/*
 * Strict: dotted quad with four decimal fields without leading zeros, or an RFC 4291 IPv6 text; no
 * brackets, zone, prefix length or spaces. text need not be NUL-terminated. False, and *out
 * untouched, for anything else.
 */
bool addr_parse(struct addr *out, const char *text, size_t len);

/* Writes the canonical text and returns out, a buffer of at least ADDR_TEXT_SIZE bytes. */
char *addr_format(const struct addr *, char *out);

bool addr_equal(const struct addr *, const struct addr *);

/* 127/8, ::1. */
bool addr_is_loopback(const struct addr *);

/* Loopback, RFC 1918, RFC 6598, link-local, RFC 4193: addresses no public list can know. */
bool addr_is_private(const struct addr *);

/* The number of bits in an address of this family: 32 or 128. */
unsigned addr_bits(const struct addr *);

/* Clears every bit after the first prefix_len. prefix_len <= addr_bits(). */
void addr_mask(struct addr *, unsigned prefix_len);

/* True if both are of one family and agree in the first prefix_len bits. */
bool addr_in_prefix(const struct addr *, const struct addr *net, unsigned prefix_len);

/* Well-mixed hash, keyed per process so that strangers cannot choose collisions. */
uint64_t addr_hash(const struct addr *);

/* From and to the socket API. False if the family is neither AF_INET nor AF_INET6. */
bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr_storage *);
socklen_t endpoint_to_sockaddr(const struct endpoint *, struct sockaddr_storage *out);

/*
 * "ADDR:PORT", "[ADDR6]:PORT", and, if default_port >= 0, a bare address. Port is decimal, 0..65535,
 * without leading zeros. text need not be NUL-terminated.
 */
bool endpoint_parse(struct endpoint *out, const char *text, size_t len, int default_port);

#endif
