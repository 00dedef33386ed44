/*
 * rules/system.h: defaults that are found out from the machine.
 */
#ifndef RULES_SYSTEM_H
#define RULES_SYSTEM_H

#include "rules/dyn.h"

/* The name of this host, with mydomain appended if it has no dot. */
void system_hostname(struct dyn *out, const char *mydomain);

/* What follows the first dot of a host name, or "localdomain". */
const char *system_domain(const char *hostname);

/*
 * The networks of this host's addresses: style is host, subnet or class; interfaces is inet_interfaces and
 * protocols inet_protocols. Items separated by a space, IPv6 in brackets.
 */
void system_networks(struct dyn *out, const char *style, const char *interfaces, const char *protocols);

#endif
