/*
 * screen/keeper.h: the keeper of the temporary allowlist: the process that alone writes the store, as
 * gatehouse_user. It is no part of the master, who is root and must not wait: for a slow disk, nor fall with a
 * damaged file. When it dies it is started again, at growing intervals; a reload replaces it.
 */
#ifndef SCREEN_KEEPER_H
#define SCREEN_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/loop.h"
#include "screen/snapshot.h"

struct keeper;

/*
 * Waits until the store is open or cannot be opened, a few seconds at most. renew is called from the loop when
 * workers cannot see the store's file and others would; at most once a minute. Null, logged: no descriptors.
 */
struct keeper *keeper_new(struct loop *, const struct snapshot *, void (*renew)(void *arg), void *arg);
void keeper_free(struct keeper **); /* what the workers have sent is committed */
/* The workers' end of the feed, borrowed; -1: this snapshot wants no memory. Stays while keepers come and go. */
int keeper_feed(const struct keeper *, const struct snapshot *);
/* New rules, a new path, a new log. */
void keeper_follow(struct keeper *, const struct snapshot *);
/* A worker died by SIGBUS or SIGSEGV: the file is examined. */
void keeper_suspect(struct keeper *);
/* For who looks on. */
struct keeper_view {
	const char *path; /* null: no memory is wanted */
	pid_t pid;        /* 0: dead, to be started again */
	bool works;
	unsigned deaths;
};
struct keeper_view keeper_look(const struct keeper *);
/* False if it was none of ours. */
bool keeper_child_died(struct keeper *, pid_t, int status);

#endif
