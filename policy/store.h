/*
 * policy/store.h: what the reader, the writer and the tool of the allowlist store have in common.
 * Inside the policy room only.
 */
#ifndef POLICY_STORE_H
#define POLICY_STORE_H

#include <lmdb.h>
#include <sys/types.h>
#include "policy/policy.h"

/* When the last sweep was complete, decimal Unix seconds. Not a client. */
#define STORE_SWEPT_KEY "_LAST_CACHE_CLEANUP_COMPLETED_"

/* One environment, opened by one process. LMDB forbids a second one of the same file. */
struct store_env {
	MDB_env *env; /* null: not open */
	MDB_dbi dbi;
	dev_t dev; /* which data file this is */
	ino_t ino;
	uint64_t file; /* the same in a number that is not used again */
};

/*
 * flags: MDB_RDONLY or 0. Returns 0 or a code for mdb_strerror(): LMDB's (negative) or errno's. The
 * directory must exist.
 */
int store_env_open(struct store_env *, const char *path, unsigned flags);
void store_env_close(struct store_env *);
/* False if the data file was deleted or replaced since. */
bool store_env_is_current(const struct store_env *, const char *path);
/* Starts a transaction; follows a map that another process has grown. Returns a code. */
int store_begin(struct store_env *, unsigned flags, MDB_txn **);
/* The code says that the file is not, or no longer, a sound environment. */
bool store_is_damage(int code);
/* Doubles the map. No transaction of this process may be open. Returns a code. */
int store_grow(struct store_env *);

MDB_val store_key(const struct addr *, char text[ADDR_TEXT_SIZE]);
MDB_val store_value(const struct record *, char text[RECORD_TEXT_SIZE]); /* of a settled record */

/* Fields of digits between semicolons, as record_format() writes them: text of ours, not of a
 * stranger. */
bool record_is_text(struct span);
/* As the record will read when it has been written and read again. */
struct record record_settled(const struct record *, uint8_t enabled);

/* Gives the files of an open environment to `user`, if we are root. */
void store_chown(const char *path, const char *user);

/*
 * Reads the whole file in a process of its own, which may crash over it. Blocks, at most ten
 * seconds (0.2 s for a million records). No environment may be open in this process.
 */
enum store_health { STORE_GOOD, STORE_DAMAGED, STORE_UNKNOWN };
enum store_health store_examine(const char *path);
/* Renames the files of a damaged environment; what was set aside before is replaced. */
bool store_set_aside(const char *path);

/*
 * Claims the right to write: a descriptor that holds it until it is closed, or -1 with errno;
 * EWOULDBLOCK: another process has it.
 */
int store_claim(const char *path);
/* The socket at which who has the claim takes changes of others (SEQPACKET), or -1 with errno. */
int store_door_open(int claim);
int store_door_enter(const char *path); /* the other end of it, blocking */

/* A sweep under way. */
struct store_sweep {
	bool on;
	int retained, dropped;
	size_t key_len; /* 0: begin */
	char key[512];	/* the next to look at; LMDB's longest is 511 */
};
/* One slice of it; after the last, sweep->on is false and the time is noted. Returns a code. */
int store_sweep(
    MDB_txn *, MDB_dbi, const struct policy_rules *, int64_t now_s, struct store_sweep *);
int64_t store_swept_at(MDB_txn *, MDB_dbi); /* Unix seconds; 0: never */

/* What is sent to the writer: up to FEED_BATCH of these in one datagram. */
#define FEED_BATCH 32
enum feed_kind {
	FEED_PUT = 1,
	FEED_BLIND,  /* this worker could not open the store */
	FEED_DAMAGE, /* this worker met a damaged page */
	/* Through the door only. */
	FEED_DELETE,
	FEED_COMMIT, /* answered by a struct feed_answer when all before it is on disk, or is not */
};
struct feed_answer {
	char why[200]; /* empty: it is */
};
struct feed_message {
	uint8_t kind;
	struct addr client;
	struct record record; /* settled */
};

#endif
