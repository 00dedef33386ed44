/*
 * screen/master.h: the process that owns what must outlive a worker: listening sockets, the store's writer,
 * the snapshot in force. It never sees a client.
 */
#ifndef SCREEN_MASTER_H
#define SCREEN_MASTER_H

#include <stdbool.h>
#include "screen/snapshot.h"

struct master_start {
	const char *config_dir; /* null: embedded defaults */
	const struct rules_override *overrides;
	size_t override_count;
	bool foreground;       /* log to standard error unless gatehouse_log is set */
	struct snapshot *snap; /* taken over */
	int ready_fd;          /* closed after one byte when all workers serve; -1: nobody waits */
};

/* Serves until SIGTERM. Returns the exit status: 0, or 1 after a logged reason. */
int master_main(const struct master_start *);

/* Opens the log that this configuration names. False after a message on standard error. */
bool master_open_log(const struct snapshot *, bool foreground);

#endif
