#include "config.h"
#include "rules/table.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"
#include "rules/intern.h"

/*
 * Tables of fixed keys: texthash, inline, lmdb, and what postmap makes.
 */
struct fixed {
	struct intern keys, values;
	uint32_t *value; /* by key */
	uint32_t room;
	struct diag *diag; /* while reading */
};

/* False if the key is there already; then the first value stays. */
static bool
fixed_put(struct fixed *f, struct span key, struct span value)
{
	char *folded = mem_strndup(key.p, key.len);
	uint32_t k;
	bool is_new;

	for (size_t i = 0; i < key.len; i++)
		folded[i] = (char)tolower((unsigned char)folded[i]);
	k = intern_add(&f->keys, (struct span){ folded, key.len }, &is_new);
	free(folded);
	if (!is_new)
		return false;
	if (k >= f->room) {
		f->room = f->room == 0 ? 16 : f->room + f->room / 2;
		f->value = mem_grow(f->value, f->room, sizeof(*f->value));
	}
	f->value[k] = intern_add(&f->values, value, NULL);
	return true;
}

static enum table_result
fixed_find(const struct table *t, struct span key, struct buf *value)
{
	const struct fixed *f = t->state;
	uint32_t k = intern_find(&f->keys, key);

	if (k == INTERN_NONE)
		return TABLE_MISSING;
	buf_puts(value, intern_text(&f->values, f->value[k]));
	return TABLE_FOUND;
}

static void
fixed_each(const struct table *t, table_each_fn *fn, void *arg)
{
	const struct fixed *f = t->state;

	for (uint32_t k = 0; k < f->keys.count; k++)
		fn(arg, span_of(intern_text(&f->keys, k)),
		    span_of(intern_text(&f->values, f->value[k])));
}

static void
fixed_free(struct table *t)
{
	struct fixed *f = t->state;

	intern_fini(&f->keys);
	intern_fini(&f->values);
	free(f->value);
	free(f);
}

static const struct table_kind fixed_kind = {
	.find = fixed_find, .each = fixed_each, .free = fixed_free, .folded = true
};

static struct fixed *
fixed_new(struct table *t, struct diag *diag)
{
	struct fixed *f = mem_alloc(sizeof(*f));

	f->diag = diag;
	t->state = f;
	t->kind = &fixed_kind;
	return f;
}

static void
read_pair(void *arg, struct span text, const char *file, unsigned line)
{
	struct fixed *f = arg;
	size_t n = 0;
	struct span key, value;

	while (n < text.len && !isspace((unsigned char)text.p[n]))
		n++;
	key = (struct span){ text.p, n };
	value = span_trim((struct span){ text.p + n, text.len - n });
	if (value.len == 0) {
		diag_add(f->diag, DIAG_WARNING, file, line,
		    "no value after \"%.60s\"; write KEY VALUE: "
		    "skipping this line",
		    text.p);
		return;
	}
	if (key.p[n - 1] == ':')
		diag_add(f->diag, DIAG_WARNING, file, line,
		    "the key \"%.*s\" ends in a colon; write KEY VALUE "
		    "without it, this is no alias file",
		    n > 60 ? 60 : (int)n, text.p);
	if (!fixed_put(f, key, value))
		diag_add(f->diag, DIAG_WARNING, file, line,
		    "duplicate entry \"%.*s\"; the first one counts, "
		    "remove this one",
		    n > 60 ? 60 : (int)n, text.p);
}

bool
texthash_open(struct table *t, const char *name, struct diag *diag)
{
	struct fixed *f = fixed_new(t, diag);

	if (table_each_rule(t, name, read_pair, f, diag))
		return true;
	fixed_free(t);
	return false;
}

bool
postmap_open(struct table *t, const char *name, struct diag *diag)
{
	if (!texthash_open(t, name, diag)) {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s is unavailable: its database format is not read, "
		    "and the text %s it is made from is not there; write texthash:FILE, or make an "
		    "LMDB file "
		    "with postmap lmdb:FILE",
		    t->name, name);
		return false;
	}
	diag_add(diag, DIAG_NOTICE, NULL, 0,
	    "%s is read from the text file %s itself, not from the database "
	    "beside it; write texthash:%s to say so",
	    t->name, name, name);
	return true;
}

/* "key = value", or the same in braces */
static bool
read_assignment(struct fixed *f, struct span element, const char *table, struct diag *diag)
{
	const char *equals;
	struct span key, value;

	strip_braces(element, &element);
	equals = memchr(element.p, '=', element.len);
	if (equals == NULL || equals == element.p) {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s: missing '=' in \"%.*s\"; write inline:{ KEY=VALUE, "
		    "{ KEY = VALUE WITH SPACES } }",
		    table, (int)element.len, element.p);
		return false;
	}
	key = span_trim((struct span){ element.p, (size_t)(equals - element.p) });
	value =
	    span_trim((struct span){ equals + 1, element.len - (size_t)(equals + 1 - element.p) });
	if (!fixed_put(f, key, value))
		diag_add(diag, DIAG_WARNING, NULL, 0,
		    "%s: duplicate entry \"%.*s\"; the first one counts", table, (int)key.len,
		    key.p);
	return true;
}

bool
inline_open(struct table *t, const char *name, struct diag *diag)
{
	struct fixed *f;
	struct span rest, element;
	bool ok = true;

	if (!strip_braces(span_of(name), &rest)) {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s: unbalanced braces; write inline:{ KEY=VALUE, "
		    "{ KEY = VALUE WITH SPACES } }",
		    t->name);
		return false;
	}
	f = fixed_new(t, diag);
	while (ok && (element = rules_list_token(&rest)).len > 0)
		ok = read_assignment(f, element, t->name, diag);
	if (!ok)
		fixed_free(t);
	return ok;
}

/*
 * LMDB files as postmap makes them: one unnamed database, keys and values with or without a NUL at
 * their end. All of it is read at once: a file that is rewritten under an open map would give torn
 * answers.
 */
static struct span
without_nul(const MDB_val *v)
{
	struct span s = { v->mv_data, v->mv_size };

	if (s.len > 0 && s.p[s.len - 1] == '\0')
		s.len--;
	return s;
}

static int
lmdb_read(struct fixed *f, MDB_env *env)
{
	MDB_txn *txn = NULL;
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (rc == 0)
		rc = mdb_cursor_open(txn, dbi, &cursor);
	while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		fixed_put(f, without_nul(&key), without_nul(&value));
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

bool
lmdb_open(struct table *t, const char *name, struct diag *diag)
{
	char *path = mem_printf("%s.lmdb", name);
	struct fixed *f = fixed_new(t, diag);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? errno : 0;
	MDB_env *env = NULL;

	if (rc == 0 && fcntl(fd, F_SETLKW, &lock) != 0) /* postmap writes under an exclusive lock */
		rc = errno;
	if (rc == 0)
		rc = mdb_env_create(&env);
	if (rc == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0);
	if (rc == 0)
		rc = lmdb_read(f, env);
	if (env != NULL)
		mdb_env_close(env);
	if (fd >= 0)
		close(fd);
	if (rc != 0) {
		diag_add(diag, DIAG_UNAVAILABLE, path, 0,
		    "cannot be read: %s; make it with postmap lmdb:%s", mdb_strerror(rc), name);
		fixed_free(t);
	}
	free(path);
	return rc == 0;
}

/*
 * static: and fail:
 */
static enum table_result
static_find(const struct table *t, struct span key, struct buf *value)
{
	(void)key;
	buf_puts(value, t->state);
	return TABLE_FOUND;
}

static void
static_free(struct table *t)
{
	free(t->state);
}

static const struct table_kind static_kind = { .find = static_find, .free = static_free };

bool
static_open(struct table *t, const char *name, struct diag *diag)
{
	struct span text = span_of(name);

	if (name[0] == '{' && !strip_braces(text, &text)) {
		diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
		    "%s: unbalanced braces; write static:{ RESULT }", t->name);
		return false;
	}
	t->state = mem_strndup(text.p, text.len);
	t->kind = &static_kind;
	return true;
}

static enum table_result
fail_find(const struct table *t, struct span key, struct buf *value)
{
	(void)t;
	(void)key;
	(void)value;
	return TABLE_ERROR;
}

static const struct table_kind fail_kind = { .find = fail_find };

bool
fail_open(struct table *t, const char *name, struct diag *diag)
{
	(void)name;
	(void)diag;
	t->kind = &fail_kind;
	return true;
}
