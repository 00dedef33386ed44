#include "config.h"
#include "rules/system.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>
#include "base/addr.h"

void
system_hostname(struct dyn *out, const char *mydomain)
{
	char name[256];

	if (gethostname(name, sizeof(name)) != 0 || name[0] == '\0')
		snprintf(name, sizeof(name), "localhost");
	name[sizeof(name) - 1] = '\0';
	dyn_puts(out, name);
	if (strchr(name, '.') == NULL && mydomain[0] != '\0') {
		dyn_puts(out, ".");
		dyn_puts(out, mydomain);
	}
}

const char *
system_domain(const char *hostname)
{
	const char *dot = strchr(hostname, '.');

	return dot != NULL && dot[1] != '\0' ? dot + 1 : "localdomain";
}

static unsigned
netmask_bits(const struct sockaddr *mask, uint8_t family)
{
	struct sockaddr_storage copy = { 0 };
	struct endpoint e;
	unsigned bits = 0, max = family == 4 ? 32 : 128;

	if (mask == NULL)
		return max;
	memcpy(&copy, mask, family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	copy.ss_family = family == 4 ? AF_INET : AF_INET6;
	if (!endpoint_from_sockaddr(&e, &copy))
		return max;
	while (bits < max && (e.addr.ip[bits / 8] & (0x80 >> bits % 8)) != 0)
		bits++;
	return bits;
}

static unsigned
class_bits(const struct addr *a, unsigned subnet)
{
	if (a->family != 4)
		return subnet;
	return a->ip[0] < 128 ? 8 : a->ip[0] < 192 ? 16 : a->ip[0] < 224 ? 24 : 32;
}

/* True if inet_interfaces makes this address one of ours. */
static bool
is_own(const struct addr *a, const char *interfaces)
{
	struct span rest = span_of(interfaces), word;
	char text[ADDR_TEXT_SIZE];

	addr_format(a, text);
	while ((word = span_token(&rest, ", \t\r\n")).len > 0) {
		if (word.p[0] == '[' && word.len > 2)
			word = (struct span){ word.p + 1, word.len - 2 };
		if (span_is_nocase(word, "all") || span_is_nocase(word, text))
			return true;
		if ((span_is_nocase(word, "loopback-only") || span_is_nocase(word, "localhost")) &&
		    addr_is_loopback(a))
			return true;
	}
	return false;
}

static bool
protocol_on(uint8_t family, const char *protocols)
{
	struct span rest = span_of(protocols), word;

	while ((word = span_token(&rest, ", \t\r\n")).len > 0)
		if (span_is_nocase(word, "all") ||
		    span_is_nocase(word, family == 4 ? "ipv4" : "ipv6"))
			return true;
	return false;
}

static void
put_network(struct dyn *out, struct addr *a, unsigned bits)
{
	char text[ADDR_TEXT_SIZE], item[ADDR_TEXT_SIZE + 8];
	const char *hit = out->p;
	size_t len;

	addr_mask(a, bits);
	snprintf(
	    item, sizeof(item), a->family == 4 ? "%s/%u" : "[%s]/%u", addr_format(a, text), bits);
	len = strlen(item);
	while (hit != NULL && (hit = strstr(hit, item)) != NULL) {
		bool begins = hit == out->p || hit[-1] == ' ';

		if (begins && (hit[len] == ' ' || hit[len] == '\0'))
			return;
		hit += len;
	}
	if (out->len > 0)
		dyn_puts(out, " ");
	dyn_puts(out, item);
}

void
system_networks(struct dyn *out, const char *style, const char *interfaces, const char *protocols)
{
	bool subnet = strcmp(style, "subnet") == 0, class = strcmp(style, "class") == 0;
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) != 0)
		return; /* fail closed: nobody is trusted by default */
	for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct sockaddr_storage ss = { 0 };
		struct endpoint e;
		unsigned bits;

		if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0 ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&ss, i->ifa_addr,
		    i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						      : sizeof(struct sockaddr_in6));
		if (!endpoint_from_sockaddr(&e, &ss) || !is_own(&e.addr, interfaces) ||
		    !protocol_on(e.addr.family, protocols))
			continue;
		bits = netmask_bits(i->ifa_netmask, e.addr.family);
		put_network(out, &e.addr,
		    class    ? class_bits(&e.addr, bits)
		    : subnet ? bits
			     : addr_bits(&e.addr));
	}
	freeifaddrs(list);
}
