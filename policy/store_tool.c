#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "policy/store.h"

#define BATCH 200 /* the daemon's writer waits for us that long */

struct store_tool {
	struct store_env db;
	MDB_txn *txn; /* writing; null: none open */
	unsigned changes;
	char *path, *user;
	char error[200];
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
fail(struct store_tool *t, int code)
{
	struct buf out = BUF(t->error);

	buf_printf(&out, "lmdb:%s: %s", t->path, mdb_strerror(code));
	return false;
}

struct store_tool *
store_tool_open(const char *path, const char *user, bool write, struct buf *err)
{
	struct store_tool *t = mem_alloc(sizeof *t);
	char text[200];
	struct buf why = BUF(text);
	bool ready = !write || store_prepare(path, user, &why);

	t->path = mem_strdup(path);
	t->user = user != NULL ? mem_strdup(user) : NULL;
	if (!ready)
		buf_printf(err, "lmdb:%s: %s", path, text);
	int code = ready ? store_env_open(&t->db, path, write ? 0 : MDB_RDONLY) : 0;
	if (code != 0) {
		fail(t, code);
		buf_puts(err, t->error);
	}
	if (!ready || code != 0)
		store_tool_free(&t);
	else if (write)
		store_chown(path, user);
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
	if (code != 0 && code != MDB_NOTFOUND)
		fail(t, code);
	return code == 0 ? STORE_FOUND : code == MDB_NOTFOUND ? STORE_MISSING : STORE_ERROR;
}

bool
store_tool_commit(struct store_tool *t)
{
	int code = t->txn != NULL ? mdb_txn_commit(t->txn) : 0;

	t->txn = NULL;
	t->changes = 0;
	return code == 0 || fail(t, code);
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
	if (t->changes == BATCH && !store_tool_commit(t))
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
	int code = ready_to_change(t);

	if (code == 0)
		code = mdb_put(t->txn, t->db.dbi, &key, &value, 0);
	t->changes++;
	return code == 0 || fail(t, code);
}

enum store_result
store_tool_delete(struct store_tool *t, const struct addr *client)
{
	char text[ADDR_TEXT_SIZE];
	MDB_val key = store_key(client, text);
	int code = ready_to_change(t);

	if (code == 0)
		code = mdb_del(t->txn, t->db.dbi, &key, NULL);
	t->changes++;
	if (code != 0 && code != MDB_NOTFOUND)
		fail(t, code);
	return code == 0 ? STORE_FOUND : code == MDB_NOTFOUND ? STORE_MISSING : STORE_ERROR;
}

bool
store_tool_each(struct store_tool *t, store_each_fn *fn, void *arg)
{
	struct addr client;
	struct record record;
	MDB_val key, value;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int code = store_begin(&t->db, MDB_RDONLY, &txn);

	if (code != 0)
		return fail(t, code);
	code = mdb_cursor_open(txn, t->db.dbi, &cursor);
	bool more = code == 0;
	while (more && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		if (!addr_parse(&client, key.mv_data, key.mv_size))
			continue;
		record_parse(&record, (struct span){ value.mv_data, value.mv_size });
		more = fn(arg, &client, &record);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor); /* LMDB leaves cursors of reading transactions to us */
	mdb_txn_abort(txn);
	return code == 0 || code == MDB_NOTFOUND || fail(t, code);
}

static int64_t
swept_at(struct store_tool *t, MDB_txn *txn)
{
	MDB_val key = { sizeof STORE_SWEPT_KEY - 1, (void *)(uintptr_t)STORE_SWEPT_KEY }, value;
	uint64_t at = 0;

	if (mdb_get(txn, t->db.dbi, &key, &value) == 0)
		(void)span_uint((struct span){ value.mv_data, value.mv_size }, INT32_MAX, &at);
	return (int64_t)at;
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
	out->swept_at = swept_at(t, txn);
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
