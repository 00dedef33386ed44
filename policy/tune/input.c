/*
 * policy/tune/input.c: files into lines.
 *
 * Read, not mapped: a log that is truncated under us by its rotation ends early, and that is all.
 * The block fits the processor's cache, so a line is read from there and not from memory.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif
#include "base/mem.h"
#include "policy/tune/scan.h"

#define BLOCK ((size_t)256 * 1024)
#define RAW_SIZE ((size_t)64 * 1024)

enum packing { PLAIN, GZIP, ZSTD };
struct source {
	int fd;
	enum packing packing;
	const char *trouble; /* static text; null: none */
	bool ended;
	uint64_t taken; /* bytes read from the file */
	size_t raw_at, raw_len;
	char raw[RAW_SIZE];
#ifdef HAVE_ZLIB
	z_stream z;
#endif
#ifdef HAVE_ZSTD
	ZSTD_DStream *zstd;
#endif
};

static ssize_t
read_full(struct source *s, char *to, size_t size)
{
	ssize_t n;

	do
		n = read(s->fd, to, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		s->trouble = strerror(errno);
	if (n > 0)
		s->taken += (uint64_t)n;
	return n;
}

static void
source_open(struct source *s, int fd)
{
	ssize_t n;

	s->fd = fd;
	while (s->raw_len < 4 && (n = read_full(s, s->raw + s->raw_len, RAW_SIZE - s->raw_len)) > 0)
		s->raw_len += (size_t)n;
	if (s->raw_len >= 2 && memcmp(s->raw, "\x1f\x8b", 2) == 0) {
		s->packing = GZIP;
#ifdef HAVE_ZLIB
		if (inflateInit2(&s->z, 15 + 16) != Z_OK)
			s->trouble = "zlib cannot be started";
#else
		s->trouble = "is gzip, and this program was built without zlib; use zcat FILE | "
			     "gatehouse-tune -";
#endif
	} else if (s->raw_len >= 4 && memcmp(s->raw, "\x28\xb5\x2f\xfd", 4) == 0) {
		s->packing = ZSTD;
#ifdef HAVE_ZSTD
		s->zstd = ZSTD_createDStream();
#else
		s->trouble = "is zstd, and this program was built without libzstd; use zstdcat "
			     "FILE | gatehouse-tune -";
#endif
	}
}

static void
source_close(struct source *s)
{
#ifdef HAVE_ZLIB
	if (s->packing == GZIP)
		inflateEnd(&s->z);
#endif
#ifdef HAVE_ZSTD
	ZSTD_freeDStream(s->zstd);
#endif
}

static bool
raw_fill(struct source *s)
{
	ssize_t n;

	if (s->raw_at < s->raw_len)
		return true;
	n = read_full(s, s->raw, RAW_SIZE);
	s->raw_at = 0;
	s->raw_len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static size_t
plain_read(struct source *s, char *to, size_t size)
{
	size_t n = s->raw_len - s->raw_at;
	ssize_t got;

	if (n > 0) {
		n = n < size ? n : size;
		memcpy(to, s->raw + s->raw_at, n);
		s->raw_at += n;
		return n;
	}
	got = read_full(s, to, size);
	return got > 0 ? (size_t)got : 0;
}

#ifdef HAVE_ZLIB
/* Several gzip members in a row are one text, as gzip(1) has it. */
static size_t
gzip_read(struct source *s, char *to, size_t size)
{
	s->z.next_out = (Bytef *)to;
	s->z.avail_out = (uInt)size;
	while (s->z.avail_out == size) {
		int status;

		if (!raw_fill(s)) {
			if (!s->ended && s->trouble == NULL)
				s->trouble = "gzip data end too early";
			return 0;
		}
		if (s->ended) {
			if (inflateReset(&s->z) != Z_OK)
				return 0;
			s->ended = false;
		}
		s->z.next_in = (Bytef *)(s->raw + s->raw_at);
		s->z.avail_in = (uInt)(s->raw_len - s->raw_at);
		status = inflate(&s->z, Z_NO_FLUSH);
		s->raw_at = s->raw_len - s->z.avail_in;
		if (status == Z_STREAM_END) {
			s->ended = true;
		} else if (status != Z_OK && status != Z_BUF_ERROR) {
			s->trouble = "gzip data are damaged";
			break;
		}
	}
	return size - s->z.avail_out;
}
#endif

#ifdef HAVE_ZSTD
static size_t
zstd_read(struct source *s, char *to, size_t size)
{
	ZSTD_outBuffer out = { to, size, 0 };

	while (out.pos == 0) {
		ZSTD_inBuffer in;
		size_t left;

		if (!raw_fill(s)) {
			if (!s->ended && s->trouble == NULL)
				s->trouble = "zstd data end too early";
			return 0;
		}
		in = (ZSTD_inBuffer){ s->raw, s->raw_len, s->raw_at };
		left = ZSTD_decompressStream(s->zstd, &out, &in);
		s->raw_at = in.pos;
		if (ZSTD_isError(left)) {
			s->trouble = "zstd data are damaged";
			break;
		}
		s->ended = left == 0;
	}
	return out.pos;
}
#endif

static size_t
source_read(struct source *s, char *to, size_t size)
{
	if (s->trouble != NULL)
		return 0;
	switch (s->packing) {
#ifdef HAVE_ZLIB
	case GZIP:
		return gzip_read(s, to, size);
#endif
#ifdef HAVE_ZSTD
	case ZSTD:
		return zstd_read(s, to, size);
#endif
	default:
		return plain_read(s, to, size);
	}
}

/* A line in the making: what is left of a block, and whether it is longer than any line may be. */
struct lines {
	struct tune *tune;
	char *block; /* LINE_BYTES_MAX + BLOCK + LINE_SLACK */
	size_t held;
	bool skipping;
};

static void
lines_take(struct lines *l, size_t fresh)
{
	char *p = l->block, *end = l->block + l->held + fresh, *from = p + l->held;
	char *newline;

	while ((newline = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		if (l->skipping)
			l->skipping = false;
		else if (newline - p > LINE_BYTES_MAX)
			l->tune->lines++, l->tune->odd++;
		else
			scan_line(l->tune, p, (size_t)(newline - p));
		p = from = newline + 1;
	}
	l->held = l->skipping ? 0 : (size_t)(end - p);
	if (l->held > LINE_BYTES_MAX) {
		l->tune->lines++, l->tune->odd++;
		l->skipping = true;
		l->held = 0;
	}
	memmove(l->block, p, l->held);
}

static void
lines_end(struct lines *l)
{
	if (l->held > 0)
		scan_line(l->tune, l->block, l->held);
	l->held = 0;
}

void
tune_feed(struct tune *t, const char *bytes, size_t len, int64_t now_s)
{
	struct lines l = { .tune = t, .block = mem_alloc(LINE_BYTES_MAX + BLOCK + LINE_SLACK) };

	scan_restart(t, now_s);
	while (len > 0) {
		size_t n = len < BLOCK ? len : BLOCK;

		memcpy(l.block + l.held, bytes, n);
		lines_take(&l, n);
		bytes += n;
		len -= n;
	}
	lines_end(&l);
	free(l.block);
}

/* One file of a set. */
struct input {
	const char *path;
	char *stem;
	int64_t order;	  /* within its stem: the oldest is least */
	int64_t first_us; /* INT64_MAX: no time found */
	int64_t mtime_s;
	uint64_t size;
	bool records;
};

static bool
all_digits(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return len > 0;
}

/*
 * mail.log, mail.log.1, mail.log.2.gz: the higher the older. mail.log-20261101.gz: the date. The
 * stem is what the set has in common.
 */
static void
input_name(struct input *in)
{
	size_t len = strlen(in->path), tail;
	uint64_t n;

	if (len > 3 && strcmp(in->path + len - 3, ".gz") == 0)
		len -= 3;
	else if (len > 4 && strcmp(in->path + len - 4, ".zst") == 0)
		len -= 4;
	for (tail = len; tail > 0 && in->path[tail - 1] >= '0' && in->path[tail - 1] <= '9'; tail--)
		;
	if (tail > 1 && tail < len && (in->path[tail - 1] == '.' || in->path[tail - 1] == '-') &&
	    all_digits(in->path + tail, len - tail) &&
	    span_uint((struct span){ in->path + tail, len - tail }, INT32_MAX, &n)) {
		in->order =
		    in->path[tail - 1] == '.' ? -(int64_t)n : (int64_t)n - INT64_C(0x7fffffff);
		len = tail - 1;
	}
	in->stem = mem_strndup(in->path, len);
}

/* When the first line was written, and whether it is a record. */
static void
input_peek(struct input *in, const struct stat *st)
{
	struct source *s = mem_alloc(sizeof *s);
	struct tune *t = mem_alloc(sizeof *t);
	char head[4096];
	size_t n = 0;
	int fd = open(in->path, O_RDONLY | O_CLOEXEC);

	in->first_us = INT64_MAX;
	if (fd >= 0) {
		source_open(s, fd);
		n = source_read(s, head, sizeof head);
		source_close(s);
		close(fd);
	}
	t->now_s = (int64_t)st->st_mtime;
	for (size_t at = 0; at < n && in->first_us == INT64_MAX;) {
		const char *newline = memchr(head + at, '\n', n - at);
		size_t end = newline == NULL ? n : (size_t)(newline - head);
		struct cursor c = { head + at, head + end };

		in->records = in->records || (end > at && head[at] == '{');
		if (end > at && head[at] == '<' && find_char(&c, '>')) {
			c.p++;
			(void)TAKE(&c, "1 ");
		}
		if (scan_stamp(t, &c) == SCAN_FINE)
			in->first_us = t->stamp.us;
		at = end + 1;
	}
	free(t);
	free(s);
}

static int
order_by_name(const void *a, const void *b)
{
	const struct input *x = a, *y = b;
	int by_stem = strcmp(x->stem, y->stem);

	if (by_stem != 0)
		return by_stem;
	return (x->order > y->order) - (x->order < y->order);
}

static int
order_by_group(const void *a, const void *b)
{
	const struct input *x = a, *y = b;

	if (x->records != y->records)
		return x->records ? -1 : 1;
	if (x->first_us != y->first_us)
		return x->first_us < y->first_us ? -1 : 1;
	return order_by_name(a, b);
}

/* A set takes the time of its oldest file, so that it stays together and in order. */
static void
inputs_sort(struct input *in, size_t count)
{
	qsort(in, count, sizeof *in, order_by_name);
	for (size_t i = 1; i < count; i++)
		if (strcmp(in[i].stem, in[i - 1].stem) == 0) {
			in[i].first_us = in[i - 1].first_us;
			in[i].records = in[i - 1].records;
		}
	qsort(in, count, sizeof *in, order_by_group);
}

struct reading {
	struct tune *tune;
	struct lines lines;
	tune_progress_fn *progress;
	void *arg;
	uint64_t done, total;
	struct diag *diag;
};

static bool
read_one(struct reading *r, const struct input *in)
{
	bool std = strcmp(in->path, "-") == 0;
	int fd = std ? STDIN_FILENO : open(in->path, O_RDONLY | O_CLOEXEC);
	struct source *s;
	size_t n;
	bool fine;

	if (fd < 0) {
		diag_add(r->diag, DIAG_ERROR, in->path, 0, "%s", strerror(errno));
		return false;
	}
	s = mem_alloc(sizeof *s);
	source_open(s, fd);
	scan_restart(r->tune, in->mtime_s);
	while ((n = source_read(s, r->lines.block + r->lines.held, BLOCK)) > 0) {
		lines_take(&r->lines, n);
		if (r->progress != NULL)
			r->progress(r->arg, r->done + s->taken, r->total);
	}
	lines_end(&r->lines);
	r->lines.skipping = false;
	r->done += s->taken;
	fine = s->trouble == NULL;
	if (!fine)
		diag_add(r->diag, DIAG_ERROR, in->path, 0, "%s", s->trouble);
	source_close(s);
	free(s);
	if (!std)
		close(fd);
	return fine;
}

bool
tune_read(struct tune *t, char *const *paths, size_t count, int64_t now_s,
    tune_progress_fn *progress, void *arg, struct diag *diag)
{
	struct reading r = { .tune = t, .progress = progress, .arg = arg, .diag = diag };
	struct input *in = mem_array(count + 1, sizeof *in);
	bool fine = true;

	for (size_t i = 0; i < count; i++) {
		struct stat st;

		in[i].path = paths[i];
		in[i].mtime_s = now_s;
		in[i].first_us = INT64_MAX;
		input_name(&in[i]);
		if (strcmp(paths[i], "-") == 0 || stat(paths[i], &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		in[i].mtime_s = (int64_t)st.st_mtime;
		r.total += (uint64_t)st.st_size;
		if (count > 1)
			input_peek(&in[i], &st);
	}
	inputs_sort(in, count);
	r.lines =
	    (struct lines){ .tune = t, .block = mem_alloc(LINE_BYTES_MAX + BLOCK + LINE_SLACK) };
	for (size_t i = 0; i < count; i++)
		fine = read_one(&r, &in[i]) && fine;
	free(r.lines.block);
	for (size_t i = 0; i < count; i++)
		free(in[i].stem);
	free(in);
	return fine;
}

struct tune *
tune_new(void)
{
	struct tune *t = mem_alloc(sizeof *t);

	t->history = history_new();
	t->queue = mem_array((size_t)QUEUE_SETS * QUEUE_WAYS, sizeof *t->queue);
	return t;
}

void
tune_free(struct tune **tp)
{
	if (*tp == NULL)
		return;
	history_free(&(*tp)->history);
	free((*tp)->queue);
	free(*tp);
	*tp = NULL;
}

void
tune_finish(struct tune *t)
{
	history_finish(t->history);
}

uint64_t
tune_lines(const struct tune *t)
{
	return t->lines;
}

uint64_t
tune_odd_lines(const struct tune *t)
{
	return t->odd;
}

uint64_t
tune_sessions(const struct tune *t)
{
	return t->history->sessions;
}

uint64_t
tune_clients(const struct tune *t)
{
	return t->history->client_count;
}

size_t
tune_bytes(const struct tune *t)
{
	return history_bytes(t->history);
}
