/*
 * screen/spawner.h: gatehouse_backend = spawn:COMMAND: the master starts one process a client, as inetd did, with
 * the client's socket as standard input and output and its addresses in the environment (TCPREMOTEIP, TCPREMOTEPORT,
 * TCPLOCALIP, TCPLOCALPORT, PROTO: the names ucspi-tcp made known).
 */
#ifndef SCREEN_SPAWNER_H
#define SCREEN_SPAWNER_H

#include <stdbool.h>
#include <sys/types.h>
#include "screen/backend.h"

struct spawner;
struct spawner *spawner_new(size_t limit); /* never null */
void spawner_free(struct spawner **);      /* the processes run on: they are the backend's */

/* Starts the command, or tells the client 421 (unless it was teased: 220- and then 421 would bounce its mail). The descriptor stays the caller's. */
void spawner_start(struct spawner *, const struct backend *, const struct endpoint *peer,
    const struct endpoint *local, bool teased, int fd);
/* True if it was one of ours. */
bool spawner_child_died(struct spawner *, pid_t);

#endif
