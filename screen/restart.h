/*
 * screen/restart.h: when a process that died is started again: soon at first, then after twice the time each time,
 * from 0.1 to 30 seconds. One that lived for ten seconds begins a new count.
 */
#ifndef SCREEN_RESTART_H
#define SCREEN_RESTART_H

#include <stdint.h>
#include "base/loop.h"

/* Part of its owner's struct. */
struct restart {
	struct watch again;
	int64_t started_us; /* the last process */
	int64_t wait_ms;    /* before the last start; 0: it was the first of its count */
};

/* again: called when it is time. */
void restart_init(struct restart *, struct loop *, watch_fn *again, void *arg);
void restart_started(struct restart *); /* a process lives */
void restart_ended(struct restart *);   /* it lives no more */
void restart_later(struct restart *);   /* have us called */
void restart_stop(struct restart *);    /* no longer */

#endif
