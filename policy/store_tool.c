#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/store.h"

#define BATCH 200
#define CLAIM_TRIES 30 /* a daemon that restarts has the claim, and no door, for a moment */
#define CLAIM_TRY_US 100000
#define ANSWER_S 30
#define PAGE_ROWS 1000

struct store_tool {
	struct store_env db;
	int claim;			       /* we are the writer; or -1 */
	int door;			       /* the daemon is, and takes our changes; or -1 */
	MDB_txn *txn;			       /* writing; null: none open */
	struct feed_message batch[FEED_BATCH]; /* for the door */
	unsigned changes;
	char *path, *user;
	char error[400];
};

char *
store_path_of(const struct rules *rules)
{
	const char *map = rules_text(rules, P_postscreen_cache_map);
	const char *colon = strchr(map, ':');

	if (*map == '\0' || strcmp(map, "lmdb:") == 0)
		return NULL;
	if (strncmp(map, "lmdb:", 5) == 0)
		return mem_strdup(map + 5);
	return mem_printf("%s.lmdb", colon != NULL ? colon + 1 : map);
}

static bool
fail_with(struct store_tool *t, const char *why)
{
	struct buf out = BUF(t->error);

	buf_printf(&out, "lmdb:%s: %s", t->path, why);
	return false;
}

static bool
fail(struct store_tool *t, int code)
{
	return fail_with(t, mdb_strerror(code));
}

/* Either the right to write, or the ear of who has it. */
static bool
claim_or_enter(struct store_tool *t)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };

	for (int i = 0; i < CLAIM_TRIES; i++) {
		t->claim = store_claim(t->path);
		if (t->claim >= 0)
			return true;
		if (errno != EWOULDBLOCK)
			return fail_with(t, strerror(errno));
		t->door = store_door_enter(t->path);
		if (t->door >= 0)
			return (setsockopt(
				    t->door, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
				   setsockopt(t->door, SOL_SOCKET, SO_SNDTIMEO, &limit,
				       sizeof limit) == 0) ||
			       fail_with(t, strerror(errno));
		usleep(CLAIM_TRY_US);
	}
	return fail_with(t, "another program writes it, and takes no changes from us");
}

static bool
open_tool(struct store_tool *t, bool write)
{
	char text[200];
	struct buf why = BUF(text);

	if (write && !store_prepare(t->path, t->user, &why))
		return fail_with(t, text);
	if (write && !claim_or_enter(t))
		return false;
	int code = store_env_open(&t->db, t->path, t->claim >= 0 ? 0 : MDB_RDONLY);
	if (code != 0)
		return fail(t, code);
	if (t->claim >= 0)
		store_chown(t->path, t->user);
	return true;
}

struct store_tool *
store_tool_open(const char *path, const char *user, bool write, struct buf *err)
{
	struct store_tool *t = mem_alloc(sizeof *t);

	t->path = mem_strdup(path);
	t->user = user != NULL ? mem_strdup(user) : NULL;
	t->claim = t->door = -1;
	if (!open_tool(t, write)) {
		buf_puts(err, t->error);
		store_tool_free(&t);
	}
	return t;
}

void
store_tool_free(struct store_tool **tool)
{
	struct store_tool *t = *tool;

	if (t == NULL)
		return;
	if (t->txn != NULL)
		mdb_txn_abort(t->txn);
	store_env_close(&t->db);
	if (t->claim >= 0)
		close(t->claim);
	if (t->door >= 0)
		close(t->door);
	free(t->path);
	free(t->user);
	free(t);
	*tool = NULL;
}

const char *
store_tool_error(const struct store_tool *t)
{
	return t->error;
}

static enum store_result
result_of(struct store_tool *t, int code)
{
	if (code != 0 && code != MDB_NOTFOUND)
		fail(t, code);
	return code == 0 ? STORE_FOUND : code == MDB_NOTFOUND ? STORE_MISSING : STORE_ERROR;
}

enum store_result
store_tool_get(struct store_tool *t, const struct addr *client, struct record *out)
{
	char text[ADDR_TEXT_SIZE];
	MDB_val key = store_key(client, text), value;
	MDB_txn *txn;
	int code = store_begin(&t->db, MDB_RDONLY, &txn);

	if (code == 0) {
		code = mdb_get(txn, t->db.dbi, &key, &value);
		if (code == 0)
			record_parse(out, (struct span){ value.mv_data, value.mv_size });
		mdb_txn_abort(txn);
	}
	return result_of(t, code);
}

/* Changes through the door. */

static bool
send_batch(struct store_tool *t)
{
	size_t size = t->changes * sizeof t->batch[0];
	bool sent = t->changes == 0 || send(t->door, t->batch, size, MSG_NOSIGNAL) == (ssize_t)size;

	t->changes = 0;
	return sent || fail_with(t, "the daemon does not take changes");
}

static bool
say(struct store_tool *t, enum feed_kind kind, const struct addr *client,
    const struct record *record)
{
	struct feed_message *m = &t->batch[t->changes++];

	memset(m, 0, sizeof *m); /* the padding leaves the process */
	m->kind = (uint8_t)kind;
	if (client != NULL)
		m->client = *client;
	if (record != NULL)
		m->record = *record;
	return t->changes < FEED_BATCH || send_batch(t);
}

static bool
commit_by_door(struct store_tool *t)
{
	struct feed_answer answer;

	if (!say(t, FEED_COMMIT, NULL, NULL) || !send_batch(t))
		return false;
	if (recv(t->door, &answer, sizeof answer, 0) != sizeof answer)
		return fail_with(t, "the daemon does not answer");
	answer.why[sizeof answer.why - 1] = '\0';
	return answer.why[0] == '\0' || fail_with(t, answer.why);
}

/* Our own. */

static bool
commit(struct store_tool *t)
{
	int code = t->txn != NULL ? mdb_txn_commit(t->txn) : 0;

	t->txn = NULL;
	t->changes = 0;
	return code == 0 || fail(t, code);
}

bool
store_tool_commit(struct store_tool *t)
{
	return t->door >= 0 ? commit_by_door(t) : commit(t);
}

/* Grown beforehand, a batch need never be done twice. */
static int
make_room(struct store_tool *t)
{
	MDB_envinfo info;
	MDB_stat stat;
	int code = mdb_env_stat(t->db.env, &stat);

	while (code == 0 && (code = mdb_env_info(t->db.env, &info)) == 0 &&
	       info.me_mapsize / stat.ms_psize < info.me_last_pgno + 2 * BATCH)
		code = store_grow(&t->db);
	return code;
}

static int
ready_to_change(struct store_tool *t)
{
	if (t->changes == BATCH && !commit(t))
		return EIO;
	if (t->txn != NULL)
		return 0;
	int code = make_room(t);
	return code == 0 ? store_begin(&t->db, 0, &t->txn) : code;
}

bool
store_tool_put(struct store_tool *t, const struct addr *client, const struct record *record)
{
	char key_text[ADDR_TEXT_SIZE], value_text[RECORD_TEXT_SIZE];
	MDB_val key = store_key(client, key_text), value = store_value(record, value_text);

	if (t->door >= 0)
		return say(t, FEED_PUT, client, record);
	int code = ready_to_change(t);
	if (code == 0)
		code = mdb_put(t->txn, t->db.dbi, &key, &value, 0);
	t->changes++;
	return code == 0 || fail(t, code);
}

static enum store_result delete (struct store_tool *t, const struct addr *client) {
	char text[ADDR_TEXT_SIZE]; MDB_val key = store_key(client, text);
	int code = ready_to_change(t);

	if (code == 0) code = mdb_del(t->txn, t->db.dbi, &key, NULL);
	t->changes++;
	return result_of(t, code);
}

enum store_result
store_tool_delete(struct store_tool *t, const struct addr *client)
{
	struct record record;

	if (t->door < 0)
		return delete (t, client);
	enum store_result known = store_tool_get(t, client, &record);
	return known != STORE_ERROR && say(t, FEED_DELETE, client, NULL) ? known : STORE_ERROR;
}

/*
 * Copied out a page at a time: a snapshot held while somebody reads what we print would keep every page
 * that is changed meanwhile, and the file would grow.
 */
struct page {
	size_t count;
	struct {
		struct addr client;
		struct record record;
	} row[PAGE_ROWS];
	size_t key_len; /* 0: begin */
	char key[512];	/* the next to look at; LMDB's longest is 511 */
};

static void
take_row(struct page *p, const MDB_val *key, const MDB_val *value)
{
	if (!addr_parse(&p->row[p->count].client, key->mv_data, key->mv_size))
		return;
	record_parse(&p->row[p->count++].record, (struct span){ value->mv_data, value->mv_size });
}

/* MDB_NOTFOUND: that was the last. 0: next stands in p->key. */
static int
fill_page(struct page *p, MDB_cursor *cursor)
{
	MDB_val key = { p->key_len, p->key }, value;
	int code = mdb_cursor_get(cursor, &key, &value, p->key_len > 0 ? MDB_SET_RANGE : MDB_FIRST);

	for (; code == 0 && p->count < PAGE_ROWS;
	     code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))
		take_row(p, &key, &value);
	if (code == 0) {
		memcpy(p->key, key.mv_data, key.mv_size);
		p->key_len = key.mv_size;
	}
	return code;
}

static int
read_page(struct store_tool *t, struct page *p)
{
	MDB_cursor *cursor;
	MDB_txn *txn;
	int code = store_begin(&t->db, MDB_RDONLY, &txn);

	p->count = 0;
	if (code != 0)
		return code;
	code = mdb_cursor_open(txn, t->db.dbi, &cursor);
	if (code == 0) {
		code = fill_page(p, cursor);
		mdb_cursor_close(cursor); /* LMDB leaves cursors of reading transactions to us */
	}
	mdb_txn_abort(txn);
	return code;
}

bool
store_tool_each(struct store_tool *t, store_each_fn *fn, void *arg)
{
	struct page *p = mem_alloc(sizeof *p);
	bool more = true;
	int code = 0;

	while (more && code == 0) {
		code = read_page(t, p);
		for (size_t i = 0; more && i < p->count; i++)
			more = fn(arg, &p->row[i].client, &p->row[i].record);
	}
	free(p);
	return code == 0 || code == MDB_NOTFOUND || fail(t, code);
}

bool
store_tool_stats(struct store_tool *t, struct store_stats *out)
{
	MDB_envinfo info;
	MDB_stat db;
	struct stat st;
	MDB_txn *txn;
	int fd, code = mdb_env_info(t->db.env, &info);

	if (code == 0)
		code = store_begin(&t->db, MDB_RDONLY, &txn);
	if (code != 0)
		return fail(t, code);
	code = mdb_stat(txn, t->db.dbi, &db);
	out->swept_at = store_swept_at(txn, t->db.dbi);
	mdb_txn_abort(txn);
	if (code == 0)
		code = mdb_env_get_fd(t->db.env, &fd);
	if (code == 0 && fstat(fd, &st) != 0)
		code = errno;
	if (code != 0)
		return fail(t, code);
	out->records = db.ms_entries - (out->swept_at != 0);
	out->used_bytes =
	    (db.ms_branch_pages + db.ms_leaf_pages + db.ms_overflow_pages) * db.ms_psize;
	out->file_bytes = (uint64_t)st.st_size;
	out->map_bytes = info.me_mapsize;
	out->readers = info.me_numreaders;
	return true;
}

enum store_line
store_line_parse(struct span line, struct addr *client, struct record *record, const char **why)
{
	struct span rest = span_trim(line);
	struct span key = span_token(&rest, " \t\r\n");
	struct span value = span_trim(rest);

	if (key.len == 0 || span_is_nocase(key, STORE_SWEPT_KEY))
		return STORE_LINE_SKIPPED;
	if (!addr_parse(client, key.p, key.len)) {
		*why = "not an address";
		return STORE_LINE_BAD;
	}
	if (!record_is_text(value)) {
		*why = "not a record (five times in Unix seconds, separated by semicolons)";
		return STORE_LINE_BAD;
	}
	record_parse(record, value);
	return STORE_LINE;
}
