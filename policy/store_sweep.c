/* The sweep: what is long expired goes, a slice at a time. */
#include "config.h"

#include <string.h>

#include "base/loop.h"
#include "policy/store.h"

#define SLICE_RECORDS 3000 /* a slice is half looking, half waiting for the disk */
#define SLICE_US 3000	   /* of looking; the commit comes on top */

static MDB_val
swept_key(void)
{
	return (MDB_val){ sizeof STORE_SWEPT_KEY - 1, (void *)(uintptr_t)STORE_SWEPT_KEY };
}

int64_t
store_swept_at(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_val key = swept_key(), value;
	uint64_t at_s = 0;

	if (mdb_get(txn, dbi, &key, &value) == 0)
		(void)span_uint((struct span){ value.mv_data, value.mv_size }, INT32_MAX, &at_s);
	return (int64_t)at_s;
}

static int
put_swept_at(MDB_txn *txn, MDB_dbi dbi, int64_t now_s)
{
	char text[32];
	struct buf out = BUF(text);

	buf_printf(&out, "%lld", (long long)now_s);
	MDB_val key = swept_key(), value = { out.len, text };
	return mdb_put(txn, dbi, &key, &value, 0);
}

static bool
is_client(const MDB_val *key)
{
	MDB_val swept = swept_key();

	return key->mv_size != swept.mv_size ||
	       memcmp(key->mv_data, swept.mv_data, swept.mv_size) != 0;
}

static int
sweep_one(MDB_cursor *cursor, const MDB_val *value, const struct policy_rules *rules, int64_t now_s,
    struct store_sweep *sweep)
{
	struct record record;

	record_parse(&record, (struct span){ value->mv_data, value->mv_size });
	if (record_keep(&record, rules, now_s)) {
		sweep->retained++;
		return 0;
	}
	sweep->dropped++;
	return mdb_cursor_del(cursor, 0);
}

/* MDB_NOTFOUND: that was the last record. 0: the next stands in sweep->key. */
static int
sweep_some(
    MDB_cursor *cursor, const struct policy_rules *rules, int64_t now_s, struct store_sweep *sweep)
{
	MDB_val key = { sweep->key_len, sweep->key }, value;
	int64_t until_us = clock_now_us() + SLICE_US;
	int code = mdb_cursor_get(cursor, &key, &value, sweep->key_len ? MDB_SET_RANGE : MDB_FIRST);

	for (int i = 1; code == 0; i++) {
		if (i == SLICE_RECORDS || (i % 64 == 0 && clock_now_us() >= until_us)) {
			memcpy(sweep->key, key.mv_data, key.mv_size);
			sweep->key_len = key.mv_size;
			return 0;
		}
		if (is_client(&key))
			code = sweep_one(cursor, &value, rules, now_s, sweep);
		if (code == 0)
			code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	return code;
}

int
store_sweep(MDB_txn *txn, MDB_dbi dbi, const struct policy_rules *rules, int64_t now_s,
    struct store_sweep *sweep)
{
	MDB_cursor *cursor;
	int code = mdb_cursor_open(txn, dbi, &cursor);

	if (code != 0)
		return code;
	code = sweep_some(cursor, rules, now_s, sweep);
	mdb_cursor_close(cursor);
	if (code != MDB_NOTFOUND)
		return code;
	sweep->on = false;
	return put_swept_at(txn, dbi, now_s);
}
