/* Who is refused again and again: kept in bounded space, and told to firewalls. */
#include "config.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "screen/console_inner.h"
#include "screen/snapshot.h"

typedef unsigned long long ull;

static struct offender *
least(struct offenders *o)
{
	struct offender *least = &o->row[0];

	for (size_t i = 1; i < o->count; i++)
		if (o->row[i].count < least->count)
			least = &o->row[i];
	return least;
}

static struct offender *
find(struct offenders *o, const struct addr *net)
{
	for (size_t i = 0; i < o->count; i++)
		if (addr_equal(&o->row[i].net, net))
			return &o->row[i];
	return NULL;
}

static struct offender *
place(struct offenders *o, const struct addr *net, unsigned bits, int64_t now_s)
{
	struct offender *p = find(o, net);

	if (p != NULL)
		return p;
	p = o->count < o->max ? &o->row[o->count++] : least(o);
	uint64_t before = p->count;
	*p = (struct offender){ .net = *net,
		.bits = (uint8_t)bits,
		.count = before,
		.over = before,
		.first_s = now_s };
	return p;
}

void
offenders_note(
    struct offenders *o, const struct session_row *r, unsigned bits4, unsigned bits6, int64_t now_s)
{
	struct addr net = r->client.addr;
	unsigned bits = net.family == 4 ? bits4 : bits6;

	addr_mask(&net, bits);
	struct offender *p = place(o, &net, bits, now_s);
	p->count++;
	p->last_s = now_s;
	p->reason = r->reason != REASON_NONE ? r->reason : r->would;
}

void
offenders_forgive(struct offenders *o, const struct addr *client, unsigned bits4, unsigned bits6)
{
	struct addr net = *client;

	addr_mask(&net, net.family == 4 ? bits4 : bits6);
	struct offender *p = find(o, &net);
	if (p != NULL)
		p->count = p->over = 0;
}

static int
by_count(const void *a, const void *b)
{
	const struct offender *const *left = a, *const *right = b;

	return (*left)->count < (*right)->count ? 1 : (*left)->count > (*right)->count ? -1 : 0;
}

size_t
offenders_top(const struct offenders *o, const struct offender **out, size_t max)
{
	static const struct offender *sorted[OFFENDERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < o->count; i++)
		if (o->row[i].count > 0)
			sorted[n++] = &o->row[i];
	qsort(sorted, n, sizeof sorted[0], by_count);
	if (n > max)
		n = max;
	memcpy(out, sorted, n * sizeof out[0]);
	return n;
}

void
offenders_halve(struct offenders *o)
{
	for (size_t i = 0; i < o->count; i++) {
		o->row[i].count /= 2;
		o->row[i].over /= 2;
	}
}

/*
 * Offenders: for other tools, so never a private address, nor one of our own, nor anybody we let in
 * by name. A network is left out whole if one of these is in it.
 */
static bool
is_interface(const struct ifaddrs *list, const struct offender *o)
{
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct sockaddr_storage at = { 0 };
		struct endpoint e;
		if (i->ifa_addr == NULL)
			continue;
		bool six = i->ifa_addr->sa_family == AF_INET6;
		if (!six && i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&at, i->ifa_addr,
		    six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		if (endpoint_from_sockaddr(&e, &at) && addr_in_prefix(&e.addr, &o->net, o->bits))
			return true;
	}
	return false;
}

static bool
is_ours(const struct snapshot *snap, const struct offender *o)
{
	if (addr_is_private(&o->net))
		return true;
	if (snap == NULL)
		return false;
	for (size_t i = 0; i < snap->listener_count; i++)
		if (addr_in_prefix(&snap->listeners[i].at.addr, &o->net, o->bits))
			return true;
	return match_list_meets(snap->proxy_networks, &o->net, o->bits) ||
	       match_list_meets(access_list_mynetworks(snap->access), &o->net, o->bits) ||
	       access_list_find(snap->access, &o->net) == ACCESS_PERMIT;
}

static void
each_offender(const struct view *v, uint64_t least, struct buf *b,
    void (*put)(const struct offender *, struct buf *))
{
	static const struct offender *top[OFFENDERS_MAX];
	size_t n = offenders_top(&v->console->hosts, top, OFFENDERS_MAX);
	struct ifaddrs *interfaces = NULL;

	(void)getifaddrs(&interfaces); /* a listener may stand for all of them */
	for (size_t i = 0; i < n; i++)
		if (top[i]->count - top[i]->over >= least && !is_ours(v->snap, top[i]) &&
		    !is_interface(interfaces, top[i]))
			put(top[i], b);
	if (interfaces != NULL)
		freeifaddrs(interfaces);
}

static void
put_net(const struct offender *o, struct buf *b)
{
	char addr[ADDR_TEXT_SIZE];

	buf_puts(b, addr_format(&o->net, addr));
	if (o->bits < addr_bits(&o->net))
		buf_printf(b, "/%u", o->bits);
}

static void
offender_json(const struct offender *o, struct buf *b)
{
	buf_puts(b, "{\"address\":\"");
	put_net(o, b);
	buf_printf(b, "\",\"count\":%llu,\"first\":%lld,\"last\":%lld,\"reason\":\"%s\"}\n",
	    (ull)(o->count - o->over), (long long)o->first_s, (long long)o->last_s,
	    reason_word((enum reason)o->reason));
}

static void
offender_text(const struct offender *o, struct buf *b)
{
	put_net(o, b);
	buf_printf(b, "\t%llu\t%lld\t%s\n", (ull)(o->count - o->over), (long long)o->last_s,
	    reason_word((enum reason)o->reason));
}

void
offenders_json(const struct view *v, uint64_t least, struct buf *b)
{
	each_offender(v, least, b, offender_json);
}

void
offenders_text(const struct view *v, uint64_t least, struct buf *b)
{
	each_offender(v, least, b, offender_text);
}
