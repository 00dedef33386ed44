#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "policy/store.h"

#define LOG_PROGRAM "postscreen"

#define BATCH 200	 /* updates that are committed at once */
#define UPDATES_MAX 1024 /* kept while the store cannot be written */
#define COMMIT_MS 500
#define RETRY_MS 2000 /* a store that is not open, or a commit that failed */
#define TICK_MS 5000  /* is the file still ours, has a reader died */
#define FEED_BURST 64 /* messages of one worker in one turn */
#define GUESTS_MAX 16
#define CLAIM_RETRY_MS 200
#define CLAIM_PATIENCE_US (3 * 1000000LL) /* one writer follows another without a word */
#define EXAMINE_AGAIN_US (60 * 1000000LL)
#define SAY_AGAIN_US (60 * 1000000LL)

struct update {
	struct addr client;
	struct record record;
	bool forget;
};

struct feed {
	struct watch watch;
	struct store_writer *writer;
	struct feed *next;
	int fd;
	bool guest;    /* came in by the door: may also delete, and asks for answers */
	uint64_t lost; /* updates since its last answer */
};

struct store_writer {
	struct loop *loop;
	char *path;
	struct policy_rules rules;
	int64_t sweep_s;
	store_news_fn *news;
	void *news_arg;
	struct store_env db;
	int claim, door;	/* -1: not ours, closed */
	int64_t claim_since_us; /* somebody else has it; 0: nobody */
	struct watch knock;
	struct watch commit_timer, tick, sweep_timer;
	struct feed *feeds;
	unsigned guests;
	struct update updates[UPDATES_MAX];
	size_t update_count;
	uint64_t updates_lost;
	struct store_sweep sweep, slice; /* slice: as it will be once committed */
	struct {
		bool on;
		int64_t next_us;
		char text[256];
	} trouble;
	bool sound;   /* the file need not be examined */
	bool suspect; /* a reader has met damage */
	int64_t next_examine_us;
	struct log_limit lost_limit;
};

static void
tell(struct store_writer *w, enum store_news news)
{
	if (w->news != NULL)
		w->news(w->news_arg, news, w->db.file);
}

/* Says it once, and again every minute while it lasts. */
static void
trouble(struct store_writer *w, const char *what, const char *why)
{
	char text[sizeof w->trouble.text];
	struct buf out = BUF(text);
	int64_t now_us = clock_now_us();

	buf_printf(&out, "%s: %s", what, why);
	if (!w->trouble.on || now_us >= w->trouble.next_us || strcmp(text, w->trouble.text) != 0) {
		log_warning("cache lmdb:%s: %s -- screening goes on without memory", w->path, text);
		w->trouble.next_us = now_us + SAY_AGAIN_US;
		memcpy(w->trouble.text, text, sizeof text);
	}
	if (!w->trouble.on)
		tell(w, STORE_FAILS);
	w->trouble.on = true; /* fail open */
}

static void
trouble_over(struct store_writer *w)
{
	if (!w->trouble.on)
		return;
	log_info("cache lmdb:%s: works again", w->path);
	tell(w, STORE_WORKS);
	w->trouble.on = false;
}

/* Opening. */

static void sweep_schedule(struct store_writer *w);

static bool
examined(struct store_writer *w)
{
	switch (store_examine(w->path)) {
	case STORE_GOOD:
		return true;
	case STORE_UNKNOWN:
		trouble(w, "cannot be examined", "no answer about its state");
		return false;
	case STORE_DAMAGED:
		break;
	}
	if (!store_set_aside(w->path)) {
		trouble(w, "is damaged, and cannot be set aside", strerror(errno));
		return false;
	}
	log_warning("cache lmdb:%s: was damaged: set aside as data.mdb.damaged, a new one is begun",
	    w->path);
	return true;
}

static void on_knock(int, short, void *);

/* Ours until close_store(). The next that writes may be a moment late to go: that is no trouble yet. */
static bool
claim(struct store_writer *w)
{
	int64_t now_us = clock_now_us();

	w->claim = store_claim(w->path);
	if (w->claim >= 0) {
		w->claim_since_us = 0;
		return true;
	}
	if (errno != EWOULDBLOCK)
		trouble(w, "cannot open", strerror(errno));
	else if (w->claim_since_us == 0)
		w->claim_since_us = now_us;
	else if (now_us - w->claim_since_us > CLAIM_PATIENCE_US)
		trouble(w, "cannot write", "another program does");
	return false;
}

static void
open_door(struct store_writer *w)
{
	w->door = store_door_open(w->claim);
	if (w->door < 0) {
		log_warning("cache lmdb:%s: gatehousectl cannot change it while we run: %s",
		    w->path, strerror(errno));
		return;
	}
	watch_init(&w->knock, w->loop, w->door, WATCH_READ, on_knock, w);
	watch_start(&w->knock);
}

static void
close_door(struct store_writer *w)
{
	if (w->door >= 0) {
		watch_stop(&w->knock);
		close(w->door);
	}
	if (w->claim >= 0)
		close(w->claim);
	w->door = w->claim = -1;
}

static bool
try_open(struct store_writer *w)
{
	char text[200];
	struct buf why = BUF(text);

	if (!store_prepare(w->path, NULL, &why)) {
		trouble(w, "cannot open", text);
		return false;
	}
	if (!claim(w) || (!w->sound && !examined(w)))
		return false;
	w->sound = false; /* whatever comes now, it is looked at before it is opened again */
	int code = store_env_open(&w->db, w->path, 0);
	if (code != 0)
		trouble(w, "cannot open", mdb_strerror(code));
	return code == 0;
}

static bool
open_store(struct store_writer *w)
{
	if (!try_open(w)) {
		close_door(w);
		if (w->claim_since_us == 0 || w->trouble.on)
			tell(w, STORE_BLIND);
		return false;
	}
	open_door(w);
	tell(w, STORE_OPEN);
	sweep_schedule(w);
	return true;
}

static int64_t
next_try_ms(const struct store_writer *w)
{
	return w->db.env != NULL ? TICK_MS : w->claim_since_us != 0 ? CLAIM_RETRY_MS : RETRY_MS;
}

static void
sweep_stopped(struct store_writer *w)
{
	if (w->sweep.on && (w->sweep.retained > 0 || w->sweep.dropped > 0))
		log_info("cache lmdb:%s partial cleanup: retained=%d dropped=%d entries", w->path,
		    w->sweep.retained, w->sweep.dropped);
	w->sweep.on = false;
}

static void
close_store(struct store_writer *w)
{
	sweep_stopped(w);
	watch_stop(&w->sweep_timer);
	store_env_close(&w->db);
	close_door(w);
	watch_start_once(&w->tick, RETRY_MS);
}

/* A code that no waiting mends: look at the file, or at least open it anew. */
static bool
is_lost(int code)
{
	return store_is_damage(code) || code == MDB_PANIC;
}

static void
failed(struct store_writer *w, const char *what, int code)
{
	trouble(w, what, mdb_strerror(code));
	if (is_lost(code))
		close_store(w);
}

/* Updates. */

static int
put_all(struct store_writer *w, MDB_txn *txn)
{
	char key_text[ADDR_TEXT_SIZE], value_text[RECORD_TEXT_SIZE];

	for (size_t i = 0; i < w->update_count; i++) {
		const struct update *u = &w->updates[i];
		MDB_val key = store_key(&u->client, key_text);
		MDB_val value = store_value(&u->record, value_text);
		int code = u->forget ? mdb_del(txn, w->db.dbi, &key, NULL)
				     : mdb_put(txn, w->db.dbi, &key, &value, 0);
		if (code != 0 && code != MDB_NOTFOUND)
			return code;
	}
	return 0;
}

/* Runs fn in one transaction; when the map is full, again in a bigger one. */
static int
transact(struct store_writer *w, int (*fn)(struct store_writer *, MDB_txn *))
{
	MDB_txn *txn;

	for (;;) {
		int code = store_begin(&w->db, 0, &txn);
		if (code != 0)
			return code;
		code = fn(w, txn);
		if (code == 0)
			code = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
		if (code != MDB_MAP_FULL)
			return code;
		code = store_grow(&w->db);
		if (code != 0)
			return code;
	}
}

static void
commit(struct store_writer *w)
{
	if (w->update_count == 0 || w->db.env == NULL)
		return;
	int code = transact(w, put_all);
	if (code != 0) {
		failed(w, "cannot write", code);
		watch_start_once(&w->commit_timer, RETRY_MS);
		return;
	}
	trouble_over(w);
	w->update_count = 0;
	watch_stop(&w->commit_timer);
}

static void
on_commit_timer(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	commit(arg);
}

static void
update_lost(struct store_writer *w)
{
	unsigned held;

	w->updates_lost++;
	if (log_allowed(&w->lost_limit, loop_now_us(w->loop), &held))
		log_warning(
		    "cache lmdb:%s: %llu updates lost since start: the store cannot be written",
		    w->path, (unsigned long long)w->updates_lost); /* fail open */
}

static void
add_update(struct store_writer *w, struct feed *feed, const struct feed_message *m)
{
	if (m->client.family != 4 && m->client.family != 6)
		return;
	/* While nothing can be written, the room is for what workers have learned: a guest is told. */
	if (w->update_count >= (feed->guest ? BATCH : UPDATES_MAX)) {
		feed->lost++;
		if (!feed->guest)
			update_lost(w);
		return;
	}
	w->updates[w->update_count++] =
	    (struct update){ m->client, m->record, m->kind == FEED_DELETE };
	if (w->update_count == BATCH)
		commit(w);
	else if (!watch_active(&w->commit_timer))
		watch_start_once(&w->commit_timer, COMMIT_MS);
}

/* Feeds. The workers are jailed because they may fall: nothing they send is taken on trust. */

static void
answer(struct store_writer *w, struct feed *feed)
{
	struct feed_answer a = { "" };
	struct buf why = BUF(a.why);

	commit(w);
	if (w->update_count > 0)
		buf_puts(&why, w->trouble.text);
	else if (feed->lost > 0)
		buf_printf(&why, "%llu changes were lost, the store could not be written",
		    (unsigned long long)feed->lost);
	feed->lost = 0;
	(void)send(
	    feed->fd, &a, sizeof a, MSG_DONTWAIT | MSG_NOSIGNAL); /* it waits for it, or is gone */
}

static void
suspect(struct store_writer *w)
{
	int64_t now_us = loop_now_us(w->loop);

	if (now_us < w->next_examine_us)
		return;
	w->next_examine_us = now_us + EXAMINE_AGAIN_US;
	w->suspect = true;
	watch_start_once(&w->tick, 0);
}

static void
take_message(struct store_writer *w, struct feed *feed, const struct feed_message *m)
{
	switch (m->kind) {
	case FEED_PUT:
		add_update(w, feed, m);
		break;
	case FEED_BLIND:
		if (w->db.env != NULL)
			tell(w, STORE_UNSEEN);
		break;
	case FEED_DAMAGE:
		suspect(w);
		break;
	case FEED_DELETE:
		if (feed->guest)
			add_update(w, feed, m);
		break;
	case FEED_COMMIT:
		if (feed->guest)
			answer(w, feed);
		break;
	default:
		break;
	}
}

static void
feed_close(struct store_writer *w, struct feed *feed)
{
	struct feed **at = &w->feeds;

	while (*at != feed)
		at = &(*at)->next;
	*at = feed->next;
	w->guests -= feed->guest;
	watch_stop(&feed->watch);
	close(feed->fd);
	free(feed);
}

enum feed_state { FEED_MORE, FEED_EMPTY, FEED_OVER };

static enum feed_state
take_datagram(struct feed *feed)
{
	struct feed_message m[FEED_BATCH];
	ssize_t n = recv(feed->fd, m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return FEED_EMPTY;
	if (n <= 0)
		return FEED_OVER;
	for (size_t k = 0; (size_t)n <= sizeof m && k < (size_t)n / sizeof m[0]; k++)
		take_message(feed->writer, feed, &m[k]);
	return FEED_MORE;
}

static void
on_feed(int fd, short what, void *arg)
{
	struct feed *feed = arg;
	enum feed_state state = FEED_MORE;

	(void)fd, (void)what;
	for (int i = 0; i < FEED_BURST && state == FEED_MORE; i++)
		state = take_datagram(feed);
	if (state == FEED_OVER)
		feed_close(feed->writer, feed);
}

static void
add_feed(struct store_writer *w, int fd, bool guest)
{
	struct feed *feed = mem_alloc(sizeof *feed);

	feed->writer = w;
	feed->fd = fd;
	feed->guest = guest;
	feed->next = w->feeds;
	w->feeds = feed;
	w->guests += guest;
	watch_init(&feed->watch, w->loop, fd, WATCH_READ, on_feed, feed);
	watch_start(&feed->watch);
}

void
store_writer_feed(struct store_writer *w, int fd)
{
	add_feed(w, fd, false);
}

/* Somebody at the door. Too many are sent away: they say so to who started them. */
static void
on_knock(int fd, short what, void *arg)
{
	struct store_writer *w = arg;
	int guest = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (guest >= 0 && w->guests < GUESTS_MAX)
		add_feed(w, guest, true);
	else if (guest >= 0)
		close(guest);
}

/* The sweep. */

/* One slice in its transaction, from w->sweep to w->slice: it may have to be done twice. */
static int
sweep_slice(struct store_writer *w, MDB_txn *txn)
{
	w->slice = w->sweep;
	return store_sweep(txn, w->db.dbi, &w->rules, loop_wall_s(w->loop), &w->slice);
}

static void
sweep_end(struct store_writer *w, int code)
{
	if (code == 0) {
		log_info("cache lmdb:%s full cleanup: retained=%d dropped=%d entries", w->path,
		    w->sweep.retained, w->sweep.dropped);
	} else {
		log_warning("lmdb:%s: cache cleanup scan terminated due to error: %s", w->path,
		    mdb_strerror(code));
		sweep_stopped(w);
	}
	if (code != 0 && is_lost(code))
		failed(w, "cannot sweep", code);
	else
		watch_start_once(&w->sweep_timer, w->sweep_s * 1000);
}

static void
on_sweep_timer(int fd, short what, void *arg)
{
	struct store_writer *w = arg;
	int dead;

	(void)fd, (void)what;
	if (!w->sweep.on) {
		memset(&w->sweep, 0, sizeof w->sweep);
		w->sweep.on = true;
		mdb_reader_check(w->db.env, &dead);
	}
	int code = transact(w, sweep_slice);
	if (code == 0)
		w->sweep = w->slice;
	if (code != 0 || !w->sweep.on)
		sweep_end(w, code);
	else
		watch_start_once(&w->sweep_timer, 0);
}

static int64_t
swept_at(struct store_writer *w)
{
	MDB_txn *txn;
	int64_t at_s = 0;

	if (store_begin(&w->db, MDB_RDONLY, &txn) == 0) {
		at_s = store_swept_at(txn, w->db.dbi);
		mdb_txn_abort(txn);
	}
	return at_s;
}

static void
sweep_schedule(struct store_writer *w)
{
	if (w->sweep_s == 0)
		return;
	int64_t wait_s = swept_at(w) + w->sweep_s - loop_wall_s(w->loop);
	if (wait_s > w->sweep_s)
		wait_s = w->sweep_s; /* the clock was set back */
	watch_start_once(&w->sweep_timer, wait_s > 0 ? wait_s * 1000 : 0);
}

/* Keeping house. */

static void
check_file(struct store_writer *w)
{
	int dead = 0;

	if (!store_env_is_current(&w->db, w->path)) {
		trouble(w, "the data file", "was deleted or replaced");
		close_store(w);
		return;
	}
	/* The snapshot of a reader that died pins pages: the file would grow without end. */
	if (mdb_reader_check(w->db.env, &dead) == 0 && dead > 0)
		log_info("cache lmdb:%s: cleared %d dead readers", w->path, dead);
}

static void
on_tick(int fd, short what, void *arg)
{
	struct store_writer *w = arg;

	(void)fd, (void)what;
	if (w->db.env != NULL)
		check_file(w);
	if (w->suspect && w->db.env != NULL)
		close_store(w); /* opening it again examines it */
	w->suspect = false;
	if (w->db.env == NULL && open_store(w)) {
		trouble_over(w);
		commit(w);
	}
	watch_start_once(&w->tick, next_try_ms(w));
}

struct store_writer *
store_writer_open(struct loop *loop, const char *path, const struct policy_rules *rules,
    int64_t sweep_s, bool sound, store_news_fn *news, void *arg)
{
	struct store_writer *w = mem_alloc(sizeof *w);

	w->loop = loop;
	w->path = mem_strdup(path);
	w->rules = *rules;
	w->sweep_s = sweep_s;
	w->sound = sound;
	w->news = news;
	w->news_arg = arg;
	w->claim = w->door = -1;
	watch_init_timer(&w->commit_timer, loop, on_commit_timer, w);
	watch_init_timer(&w->tick, loop, on_tick, w);
	watch_init_timer(&w->sweep_timer, loop, on_sweep_timer, w);
	open_store(w);
	watch_start_once(&w->tick, next_try_ms(w));
	return w;
}

void
store_writer_free(struct store_writer **writer)
{
	struct store_writer *w = *writer;

	if (w == NULL)
		return;
	for (struct feed *feed = w->feeds; feed != NULL; feed = feed->next)
		while (take_datagram(feed) == FEED_MORE)
			;
	commit(w);
	close_store(w);
	watch_stop(&w->tick);
	watch_stop(&w->commit_timer);
	while (w->feeds != NULL)
		feed_close(w, w->feeds);
	free(w->path);
	free(w);
	*writer = NULL;
}
