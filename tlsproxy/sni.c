#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "tlsproxy/inner.h"

/*
 * The processes can open no file, so every chain is read now, which asks for tables whose keys can be
 * listed. A database may hold private keys themselves: it is read in a child, and what it says goes from a
 * pipe straight into the vault. A record of the pipe is its kind, then texts that end in NUL: of a complaint
 * the text; of an entry name, source and value. The last byte says that the child got to its end.
 */
#define RECORD_FILES 'f'
#define RECORD_PEM 'p'
#define RECORD_COMPLAINT 'd' /* the next byte is its level */
#define RECORD_END '.'
#define RECORDS_MAX ((size_t)32 << 20)
#define VALUE_MAX (1 << 18)

/* The child. */
struct lister {
	FILE *out;
	struct table **tables;
	size_t count;
	const char *table; /* whose entries these are */
	char *pem;	   /* VALUE_MAX bytes */
};

static void
put(struct lister *l, struct span text)
{
	fwrite(text.p, 1, text.len, l->out);
	putc('\0', l->out);
}

static void
put_complaint(void *arg, enum diag_level level, const char *text)
{
	struct lister *l = arg;

	putc(RECORD_COMPLAINT, l->out);
	/* A name whose chain is not there would be served with another one's. */
	putc('0' + (level == DIAG_UNAVAILABLE ? DIAG_ERROR : level), l->out);
	put(l, span_of(text));
}

static void complain(struct lister *l, enum diag_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
complain(struct lister *l, enum diag_level level, const char *format, ...)
{
	char array[500];
	struct buf text = BUF(array);
	va_list ap;

	va_start(ap, format);
	buf_vprintf(&text, format, ap);
	va_end(ap);
	put_complaint(l, level, text.p);
}

static int
base64_digit(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

bool
tls_sni_decode(struct span base64, struct buf *out)
{
	struct span rest, text = { out->p + out->len, 0 };
	unsigned bits = 0, count = 0;
	struct tls_pem pem;

	for (size_t i = 0; i < base64.len && base64.p[i] != '='; i++) {
		int digit = base64_digit(base64.p[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (unsigned)digit;
		count += 6;
		if (count >= 8) {
			count -= 8;
			buf_putc(out, (char)(bits >> count));
		}
	}
	text.len = (size_t)(out->p + out->len - text.p);
	rest = text;
	return !out->cut && memchr(text.p, '\0', text.len) == NULL && tls_pem_next(&rest, &pem);
}

static bool
seen_before(const struct lister *l, const char *key)
{
	char array[16];

	for (size_t i = 0; i + 1 < l->count; i++) {
		struct buf value = BUF(array);
		if (table_find(l->tables[i], key, &value) == TABLE_FOUND)
			return true;
	}
	return false;
}

static void
put_entry(void *arg, struct span key, struct span value)
{
	struct lister *l = arg;
	char name[257] = ".", source[400];
	bool parent = key.len > 1 && key.p[0] == '.';
	struct buf pem = buf_over(l->pem, VALUE_MAX), called = BUF(source);

	if (!tls_name_valid(
		parent ? (struct span){ key.p + 1, key.len - 1 } : key, name + (parent ? 1 : 0))) {
		complain(l, DIAG_ERROR, "%s: \"%.*s\" is not a host name, nor \".\" and a domain",
		    l->table, (int)key.len, key.p);
		return;
	}
	if (seen_before(l, name))
		return;
	/* Names of files begin with a slash, and no PEM text does in base64. */
	bool decoded = value.len > 0 && value.p[0] != '/' && tls_sni_decode(value, &pem);
	buf_printf(&called, "%s (%s)", l->table, name);
	putc(decoded ? RECORD_PEM : RECORD_FILES, l->out);
	put(l, span_of(name));
	put(l, span_of(called.p));
	put(l, decoded ? (struct span){ pem.p, pem.len } : value);
}

static void
list_table(struct lister *l, const char *type_name)
{
	struct diag *diag = diag_new();

	l->table = type_name;
	l->tables = mem_grow(l->tables, l->count + 1, sizeof(struct table *));
	struct table *table = l->tables[l->count++] = table_open(type_name, diag);
	bool listed = table_each(table, put_entry, l);
	if (!listed && diag_count(diag, DIAG_UNAVAILABLE) == 0)
		complain(l, DIAG_ERROR,
		    "%s: the keys of such a table cannot be listed, and the chains are all read at "
		    "start: write "
		    "inline:{ NAME=FILE }, texthash:FILE or lmdb:FILE",
		    type_name);
	diag_each(diag, put_complaint, l);
	diag_free(&diag);
}

static void __attribute__((noreturn)) list_in_child(const char *maps, int fd)
{
	struct lister l = { .out = fdopen(fd, "w"), .pem = mem_alloc(VALUE_MAX) };
	struct span rest = span_of(maps), token;

	if (l.out == NULL)
		_exit(1);
	while ((token = rules_list_token(&rest)).len > 0)
		list_table(&l, mem_strndup(token.p, token.len));
	putc(RECORD_END, l.out);
	_exit(fflush(l.out) == 0 ? 0 : 1);
}

/* The parent. */
struct file_entry {
	char *name, *files;
};
struct reader {
	const struct tls_sni_calls *calls;
	void *arg;
	struct file_entry *later; /* a file would be read over what the pipe brought */
	size_t count;
};

static const char *
next_text(struct span *rest)
{
	const char *text = rest->p, *end = memchr(rest->p, '\0', rest->len);

	if (end == NULL)
		return NULL;
	*rest = (struct span){ end + 1, rest->len - (size_t)(end + 1 - rest->p) };
	return text;
}

static bool
take_entry(struct reader *r, char kind, struct span *rest)
{
	/* Copies: keeping a key moves it down over what has been read. */
	const char *name = next_text(rest), *source = name != NULL ? next_text(rest) : NULL;
	const char *value = source != NULL ? next_text(rest) : NULL;

	if (value == NULL)
		return false;
	char *name_copy = mem_strdup(name), *source_copy = mem_strdup(source);
	if (kind == RECORD_PEM) {
		r->calls->entry(r->arg, name_copy, source_copy, span_of(value));
		free(name_copy);
	} else {
		r->later = mem_grow(r->later, r->count + 1, sizeof *r->later);
		r->later[r->count++] = (struct file_entry){ name_copy, mem_strdup(value) };
	}
	free(source_copy);
	return true;
}

static bool
take_complaint(const struct reader *r, struct span *rest)
{
	const char *text = next_text(rest);

	if (text == NULL || text[0] < '0' || text[0] > '0' + DIAG_ERROR)
		return false;
	r->calls->complain(r->arg, (enum diag_level)(text[0] - '0'), text + 1);
	return true;
}

/* False: cut short. */
static bool
take_records(struct reader *r, struct span rest)
{
	bool ok = true;

	while (ok && rest.len > 0) {
		char kind = rest.p[0];
		rest = (struct span){ rest.p + 1, rest.len - 1 };
		if (kind == RECORD_END)
			return rest.len == 0;
		ok = kind == RECORD_COMPLAINT ? take_complaint(r, &rest)
					      : take_entry(r, kind, &rest);
	}
	return false;
}

static void
tell_files(const struct reader *r, const char *maps)
{
	struct span rest = span_of(maps), token;

	while ((token = rules_list_token(&rest)).len > 0) {
		char *type_name = mem_strndup(token.p, token.len), *slash = strchr(type_name, '/');
		if (slash != NULL && slash > type_name && slash[-1] == ':') {
			char *path = mem_printf(
			    "%s%s", slash, strstr(type_name, "lmdb:") != NULL ? ".lmdb" : "");
			r->calls->file(r->arg, path);
			free(path);
		}
		free(type_name);
	}
}

static bool
read_list(struct tls_vault *vault, const char *maps, struct span *out)
{
	int pair[2];

	if (pipe(pair) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		list_in_child(maps, pair[1]);
	}
	int error = errno;
	close(pair[1]);
	bool ok = pid > 0 && tls_vault_read_fd(vault, pair[0], RECORDS_MAX, out);
	error = pid > 0 ? errno : error;
	close(pair[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = error;
	return ok;
}

void
tls_sni_load(
    struct tls_vault *vault, const char *maps, const struct tls_sni_calls *calls, void *arg)
{
	struct reader r = { .calls = calls, .arg = arg };
	struct span records;

	tell_files(&r, maps);
	if (!read_list(vault, maps, &records))
		calls->complain(arg, DIAG_ERROR, strerror(errno));
	else if (!take_records(&r, records))
		calls->complain(arg, DIAG_ERROR, "reading the tables ended early: see the log");
	tls_vault_wipe(vault);
	for (size_t i = 0; i < r.count; i++) {
		calls->entry(arg, r.later[i].name, NULL, span_of(r.later[i].files));
		free(r.later[i].name);
		free(r.later[i].files);
	}
	free(r.later);
}
