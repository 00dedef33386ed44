/*
 * screen/namewatch.h: names in gatehouse_backend are looked up again every gatehouse_backend_refresh, in a process of
 * its own, since looking up may take its time; when a name stands for other addresses, new workers are started with
 * them. What is in force stays in force while a look-up fails.
 */
#ifndef SCREEN_NAMEWATCH_H
#define SCREEN_NAMEWATCH_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/loop.h"
#include "screen/snapshot.h"

struct namewatch;
/* changed: called from the loop. Never null. */
struct namewatch *namewatch_new(struct loop *, void (*changed)(void *arg), void *arg);
void namewatch_free(struct namewatch **);
/* This snapshot is in force from now on, and outlives the next call. */
void namewatch_follow(struct namewatch *, const struct snapshot *);
/* True if the process was ours. */
bool namewatch_child_died(struct namewatch *, pid_t, int status);

#endif
