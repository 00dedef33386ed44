/*
 * screen/sinkhole.h: the demo backend (gatehouse_backend = sink:DIR): the master makes its socket, starts
 * gatehouse-sink on it and starts it again when it dies.
 */
#ifndef SCREEN_SINKHOLE_H
#define SCREEN_SINKHOLE_H

#include <sys/types.h>
#include "base/loop.h"
#include "screen/snapshot.h"

struct sinkhole;
/* Null after a logged reason. */
struct sinkhole *sinkhole_open(struct loop *, const struct snapshot *);
void sinkhole_close(struct sinkhole **); /* ends the program */
void sinkhole_child_died(struct sinkhole *, pid_t, int status);

#endif
