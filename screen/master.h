/*
 * screen/master.h: the process that owns what must outlive a worker: listening sockets, the store's writer,
 * the snapshot in force. It never sees a client.
 */
#ifndef SCREEN_MASTER_H
#define SCREEN_MASTER_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/text.h"
#include "screen/generation.h"
#include "screen/snapshot.h"

struct master;

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

/* For who looks on and who commands (screen/console.h). */
#define SEATS_VIEW_MAX 256
size_t master_seats(const struct master *, struct seat_view *out, size_t max);
struct loop *master_loop(const struct master *);
const struct shared *master_shared(const struct master *);
/* The snapshot in force, or the last that was; null before the first worker serves. */
const struct snapshot *master_snapshot(const struct master *);
struct keeper_view master_keeper(const struct master *);
const struct pools_board *master_pools(const struct master *); /* null: none */
bool master_stopping(const struct master *);

/* As SIGHUP. False if it is refused, with the reason; else console_settled() tells how it ended. */
bool master_reload(struct master *, struct buf *why);
void master_drain(struct master *); /* no new clients; the process ends with the last one */
/*
 * The process ends at once, the workers with the last client: they drain without us. They can no more start a
 * command for a client nor reach our own sink: with such a backend this is master_drain().
 */
void master_leave(struct master *);
void master_stop(struct master *);  /* as SIGTERM */

/* Opens the log that this configuration names. False after a message on standard error. */
bool master_open_log(const struct snapshot *, bool foreground);

#endif
