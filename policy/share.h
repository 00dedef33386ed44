/* policy/share.h: what share.c and share_rules.c have in common. Inside the policy room only. */
#ifndef POLICY_SHARE_H
#define POLICY_SHARE_H

#include "policy/policy.h"

#define SHARE_PREFIX_MAX 64

struct share_rules {
	struct endpoint server;
	unsigned database;
	char *password; /* null: none */
	char *prefix;
	char *shown; /* "redis://ADDRESS:PORT/DATABASE" for logs */
};

#endif
