/*
 * screen/console.h: the master's eyes and ears: sums of what the workers count, the last hours by minute,
 * who is refused again and again, and the two desks where people and programs ask (the control socket
 * and the HTTP port). Nothing here is on a client's way: if it fails, mail goes on.
 */
#ifndef SCREEN_CONSOLE_H
#define SCREEN_CONSOLE_H

#include <stdbool.h>
#include "screen/master.h"
#include "screen/orders.h"
#include "screen/snapshot.h"

struct console;
struct slot;

struct console *console_new(struct master *);
void console_free(struct console **);

/* This snapshot is in force: opens its control socket and HTTP port, closes others. */
void console_follow(struct console *, const struct snapshot *);
/* The worker of this slot is gone: its counts are kept. Before shared_give(). */
void console_fold(struct console *, const struct slot *, const struct snapshot *);
void console_died(struct console *, bool unexpected);
/* How a reload ended. */
void console_settled(struct console *, bool in_force);
/* A worker's answer to ORDER_LIST. */
void console_rows(struct console *, const struct order *);

#endif
