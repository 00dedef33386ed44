#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "policy/store.h"

#define LOG_PROGRAM "postscreen"

/*
 * What this process has put lately, by address: the writer commits within a second, and the client
 * may be back before that. Steering sends a client always to the same worker, so nobody knows
 * better.
 */
#define RECENT_SLOTS 4096
#define RECENT_S 5
#define OUTBOX 1024 /* updates that wait for a writer that is busy committing */
#define NOTE_EVERY_US (60 * 1000000LL)

struct recent {
	struct addr client;
	int64_t put_at_s;
	struct record record;
};

struct store_reader {
	struct store_env db;
	MDB_txn *txn; /* between look-ups: reset; null: blind */
	char *path;
	int feed_fd;
	int64_t next_note_us;
	uint64_t lost;
	struct log_limit get_limit, put_limit;
	struct recent *recent;
	struct feed_message *outbox;
	size_t waiting;
};

static void
note(struct store_reader *r, enum feed_kind kind)
{
	struct feed_message m = { .kind = (uint8_t)kind };
	int64_t now_us = clock_now_us();

	if (r->feed_fd < 0 || now_us < r->next_note_us)
		return;
	r->next_note_us = now_us + NOTE_EVERY_US;
	(void)send(
	    r->feed_fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL); /* told again in a minute */
}

/*
 * The file is mapped: one that is cut short under us is a SIGBUS, and damage may lead LMDB anywhere. A
 * worker has sessions to lose, and reading leaves nothing half done, so it gets out and goes on blind.
 */
static const int faults[] = { SIGBUS, SIGSEGV };
#define FAULTS (sizeof faults / sizeof faults[0])
static struct sigaction before[FAULTS];
static sigjmp_buf way_out;
static volatile sig_atomic_t guarded;

static void
on_fault(int signo)
{
	if (guarded)
		siglongjmp(way_out, 1);
	for (size_t i = 0; i < FAULTS; i++)
		if (faults[i] == signo) /* it faults again, as if we were not here */
			(void)sigaction(signo, &before[i], NULL);
}

static void
on_assert(MDB_env *env, const char *text)
{
	(void)env, (void)text;
	if (guarded)
		siglongjmp(way_out, 1);
}

static void
watch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	for (size_t i = 0; i < FAULTS; i++)
		(void)sigaction(faults[i], &action, &before[i]);
}

static void
leave_faults(void)
{
	for (size_t i = 0; i < FAULTS; i++)
		(void)sigaction(faults[i], &before[i], NULL);
}

struct call {
	struct store_reader *reader;
	const struct addr *client;
	struct record *out;
};

/* A fault in fn is MDB_CORRUPTED; then the environment is left as it is, for nobody knows its state. */
static int
call_guarded(int (*fn)(struct call *), struct call *call)
{
	if (sigsetjmp(way_out, 0) != 0) {
		guarded = 0;
		call->reader->txn = NULL;
		call->reader->db.env = NULL;
		return MDB_CORRUPTED;
	}
	guarded = 1;
	int code = fn(call);
	guarded = 0;
	return code;
}

/* Takes the reader slot and the locks now: later there is no opening, and no waiting. */
static int
prepare(struct call *call)
{
	struct store_reader *r = call->reader;
	int code = store_env_open(&r->db, r->path, MDB_RDONLY);

	if (code == 0)
		code = mdb_env_set_assert(r->db.env, on_assert);
	if (code == 0)
		code = store_begin(&r->db, MDB_RDONLY, &r->txn);
	if (code == 0)
		mdb_txn_reset(r->txn);
	else
		r->txn = NULL;
	return code;
}

struct store_reader *
store_reader_open(const char *path, int feed_fd)
{
	struct store_reader *r = mem_alloc(sizeof *r);

	r->path = mem_strdup(path);
	r->feed_fd = feed_fd;
	r->recent = mem_array(RECENT_SLOTS, sizeof *r->recent);
	r->outbox = mem_array(OUTBOX, sizeof *r->outbox);
	watch_faults();
	int code = call_guarded(prepare, &(struct call){ .reader = r });
	if (code != 0) {
		store_env_close(&r->db);
		log_warning("cache lmdb:%s: cannot open: %s -- screening goes on without memory",
		    path, mdb_strerror(code)); /* fail open */
		note(r, FEED_BLIND);
	}
	return r;
}

void
store_reader_free(struct store_reader **reader)
{
	struct store_reader *r = *reader;

	if (r == NULL)
		return;
	store_reader_flush(r);
	leave_faults();
	if (r->txn != NULL)
		mdb_txn_abort(r->txn);
	store_env_close(&r->db);
	free(r->recent);
	free(r->outbox);
	free(r->path);
	free(r);
	*reader = NULL;
}

static struct recent *
recent_slot(struct store_reader *r, const struct addr *client)
{
	return &r->recent[addr_hash(client) % RECENT_SLOTS];
}

static int
renew(struct store_reader *r)
{
	int code = mdb_txn_renew(r->txn);

	if (code == MDB_MAP_RESIZED) {
		code = mdb_env_set_mapsize(r->db.env, 0);
		if (code == 0)
			code = mdb_txn_renew(r->txn);
	}
	return code;
}

static int
look_up(struct call *call)
{
	struct store_reader *r = call->reader;
	char text[ADDR_TEXT_SIZE];
	MDB_val key = store_key(call->client, text), value;
	int code = renew(r);

	if (code != 0)
		return code;
	code = mdb_get(r->txn, r->db.dbi, &key, &value);
	if (code == 0)
		record_parse(call->out, (struct span){ value.mv_data, value.mv_size });
	mdb_txn_reset(r->txn);
	return code;
}

static void
look_up_failed(struct store_reader *r, const struct addr *client, int code)
{
	char text[ADDR_TEXT_SIZE];
	unsigned held;

	if (log_allowed(&r->get_limit, clock_now_us(), &held))
		log_warning(
		    "lmdb:%s: cache lookup for '%s' failed due to error: %s (%u more held back)",
		    r->path, addr_format(client, text), mdb_strerror(code), held);
	note(r, FEED_DAMAGE);
}

bool
store_get(struct store_reader *r, const struct addr *client, struct record *out, int64_t now_s)
{
	struct recent *recent = recent_slot(r, client);
	bool mine = addr_equal(&recent->client, client);

	if (mine && now_s - recent->put_at_s > RECENT_S) {
		recent->client.family = 0;
		mine = false;
	}
	if (mine) {
		*out = recent->record;
		return true;
	}
	if (r->txn == NULL) {
		note(r, FEED_BLIND);
		return false; /* fail open */
	}
	int code = call_guarded(look_up, &(struct call){ r, client, out });
	if (code != 0 && code != MDB_NOTFOUND)
		look_up_failed(r, client, code); /* fail open */
	return code == 0;
}

static void
update_lost(struct store_reader *r)
{
	unsigned held;

	r->lost++;
	if (log_allowed(&r->put_limit, clock_now_us(), &held))
		log_warning("lmdb:%s: %llu updates lost since start: the writer does not take them",
		    r->path, (unsigned long long)r->lost);
}

void
store_reader_flush(struct store_reader *r)
{
	size_t sent = 0;

	while (sent < r->waiting) {
		size_t n = r->waiting - sent < FEED_BATCH ? r->waiting - sent : FEED_BATCH;
		if (send(r->feed_fd, r->outbox + sent, n * sizeof *r->outbox,
			MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break; /* next turn */
		sent += n;
	}
	r->waiting -= sent;
	memmove(r->outbox, r->outbox + sent, r->waiting * sizeof *r->outbox);
}

void
store_put(struct store_reader *r, const struct addr *client, const struct record *record,
    uint8_t enabled, int64_t now_s)
{
	struct record settled = record_settled(record, enabled);
	*recent_slot(r, client) = (struct recent){ *client, now_s, settled };
	if (r->feed_fd < 0)
		return;
	if (r->waiting == OUTBOX) {
		update_lost(r); /* fail open */
		return;
	}
	struct feed_message *m = &r->outbox[r->waiting++];
	memset(m, 0, sizeof *m); /* the padding leaves the process */
	m->kind = FEED_PUT;
	m->client = *client;
	m->record = settled;
}
