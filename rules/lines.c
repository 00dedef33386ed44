#include "config.h"
#include "rules/lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "rules/dyn.h"

struct lines {
	FILE *file;
	const char *name;
	enum diag_level level; /* of a file that cannot be read */
	struct diag *diag;
	char *held; /* the physical line that ended the last logical one */
	size_t held_size;
	ssize_t held_len; /* -1: none held */
	unsigned line;
	struct dyn text;
	bool failed, nul_seen;
};

static struct lines *
lines_new(FILE *file, const char *name, enum diag_level level, struct diag *diag)
{
	struct lines *l = mem_alloc(sizeof(*l));

	*l = (struct lines){
		.file = file, .name = name, .level = level, .diag = diag, .held_len = -1
	};
	return l;
}

struct lines *
lines_open(const char *path, enum diag_level level, struct diag *diag)
{
	struct stat st;
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		diag_add(diag, level, path, 0, "cannot be opened: %s", strerror(errno));
		return NULL;
	}
	if (fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode)) {
		diag_add(diag, level, path, 0, "is a directory; a file is needed here");
		fclose(file);
		return NULL;
	}
	return lines_new(file, path, level, diag);
}

void
lines_close(struct lines **lp)
{
	struct lines *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	fclose(l->file);
	free(l->held);
	dyn_fini(&l->text);
	free(l);
}

static size_t
drop_nul(char *p, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
		if (p[i] != '\0')
			p[out++] = p[i];
	p[out] = '\0';
	return out;
}

/* The next physical line that counts into l->held, without its line end. */
static bool
read_physical(struct lines *l)
{
	for (;;) {
		ssize_t len = getline(&l->held, &l->held_size, l->file);
		size_t n = len > 0 ? (size_t)len : 0, blank = 0;

		if (len < 0)
			break;
		l->line++;
		if (memchr(l->held, '\0', n) != NULL) {
			if (!l->nul_seen)
				diag_add(l->diag, DIAG_WARNING, l->name, l->line,
				    "NUL bytes are ignored; save the file as plain text (UTF-8)");
			l->nul_seen = true;
			n = drop_nul(l->held, n);
		}
		while (n > 0 && (l->held[n - 1] == '\n' || l->held[n - 1] == '\r'))
			n--;
		while (blank < n && isspace((unsigned char)l->held[blank]))
			blank++;
		if (blank == n || l->held[blank] == '#')
			continue;
		l->held[n] = '\0';
		l->held_len = (ssize_t)n;
		return true;
	}
	if (ferror(l->file) && !l->failed) {
		l->failed = true;
		diag_add(l->diag, l->level, l->name, 0, "cannot be read: %s", strerror(errno));
	}
	return false;
}

static struct span
trim_end(char *p, size_t len)
{
	while (len > 0 && isspace((unsigned char)p[len - 1]))
		len--;
	p[len] = '\0';
	return (struct span){ p, len };
}

/*
 * A line that certainly stands alone is not copied: what follows it begins neither with white space
 * nor with #, which could hide a continuation.
 */
static bool
stands_alone(const struct lines *l)
{
	int c = getc_unlocked(l->file);

	if (c != EOF)
		ungetc(c, l->file);
	return c != EOF && c != '#' && !isspace(c) && !isspace((unsigned char)l->held[0]);
}

bool
lines_next(struct lines *l, struct span *text, unsigned *first)
{
	dyn_clear(&l->text);
	for (;;) {
		bool begins;

		if (l->held_len < 0 && !read_physical(l))
			break;
		begins = !isspace((unsigned char)l->held[0]);
		if (begins && l->text.len > 0)
			break;
		if (begins)
			*first = l->line;
		if (begins && stands_alone(l)) {
			*text = trim_end(l->held, (size_t)l->held_len);
			l->held_len = -1;
			return true;
		}
		if (!begins && l->text.len == 0)
			diag_add(l->diag, DIAG_WARNING, l->name, l->line,
			    "line continues nothing and is skipped: \"%.30s%s\"; remove the white "
			    "space at its start",
			    l->held, l->held_len > 30 ? "..." : "");
		else
			dyn_put(&l->text, l->held, (size_t)l->held_len);
		l->held_len = -1;
	}
	*text = l->text.len > 0 ? trim_end(l->text.p, l->text.len) : SPAN("");
	return l->text.len > 0;
}

bool
lines_failed(const struct lines *l)
{
	return l->failed;
}
