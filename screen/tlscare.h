/*
 * screen/tlscare.h: what the master does for TLS while it serves: turns the ticket keys, notices certificates that
 * were replaced (gatehouse_tls_watch) and says once a day which are about to expire.
 */
#ifndef SCREEN_TLSCARE_H
#define SCREEN_TLSCARE_H

#include "base/loop.h"
#include "screen/snapshot.h"
#include "tlsproxy/tlsproxy.h"

struct tlscare;
/* changed: called from the loop when the files of the configuration in force are new ones. Never null. */
struct tlscare *tlscare_new(struct loop *, void (*changed)(void *arg), void *arg);
void tlscare_free(struct tlscare **);
/* This snapshot is in force from now on, and outlives the next call. */
void tlscare_serve(struct tlscare *, const struct snapshot *);
const struct tlsproxy_tickets *tlscare_tickets(const struct tlscare *);

#endif
