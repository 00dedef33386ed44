#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/signals.h"

#define FAULTS_SHOWN 5

struct range {
	uint8_t first[16], last[16];
};

struct family {
	struct range *ranges;
	size_t count, room;
};

struct feed {
	struct family v4, v6;
};

static struct family *
family_of(const struct feed *f, const struct addr *a)
{
	struct feed *mine = (struct feed *)(uintptr_t)f;

	return a->family == 4 ? &mine->v4 : &mine->v6;
}

static void
add_prefix(struct feed *f, const struct addr *net, unsigned prefix_len)
{
	struct family *family = family_of(f, net);
	struct range *r;

	if (family->count == family->room) {
		family->room = family->room == 0 ? 256 : family->room * 2;
		family->ranges = mem_grow(family->ranges, family->room, sizeof *family->ranges);
	}
	r = &family->ranges[family->count++];
	memcpy(r->first, net->ip, 16);
	memcpy(r->last, net->ip, 16);
	for (unsigned bit = prefix_len; bit < addr_bits(net); bit++)
		r->last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

/* ADDR[/LENGTH]; bits behind the length are cleared, as feeds write them either way. */
static bool
take_prefix(struct feed *f, struct span text)
{
	const char *slash = memchr(text.p, '/', text.len);
	size_t address_len = slash != NULL ? (size_t)(slash - text.p) : text.len;
	struct addr net;
	uint64_t len;

	if (!addr_parse(&net, text.p, address_len))
		return false;
	len = addr_bits(&net);
	if (slash != NULL && !span_uint((struct span){ slash + 1, text.len - address_len - 1 },
				 addr_bits(&net), &len))
		return false;
	addr_mask(&net, (unsigned)len);
	add_prefix(f, &net, (unsigned)len);
	return true;
}

static bool
take_line(struct feed *f, struct span line)
{
	size_t end = 0;

	line = span_trim(line);
	while (end < line.len && strchr(" \t;#", line.p[end]) == NULL)
		end++;
	return end == 0 || take_prefix(f, (struct span){ line.p, end });
}

static int
by_first(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return memcmp(left->first, right->first, sizeof left->first);
}

/* Afterwards no two ranges overlap. */
static void
settle(struct family *family)
{
	size_t kept = 0;

	if (family->count == 0)
		return;
	qsort(family->ranges, family->count, sizeof *family->ranges, by_first);
	for (size_t i = 1; i < family->count; i++) {
		struct range *last = &family->ranges[kept], *next = &family->ranges[i];

		if (memcmp(next->first, last->last, 16) > 0)
			family->ranges[++kept] = *next;
		else if (memcmp(next->last, last->last, 16) > 0)
			memcpy(last->last, next->last, 16);
	}
	family->count = kept + 1;
}

static unsigned
read_lines(struct feed *f, FILE *file, const char *path, struct diag *diag)
{
	char line[512];
	unsigned number = 0, faults = 0;

	while (fgets(line, sizeof line, file) != NULL) {
		number++;
		if (take_line(f, span_of(line)) || ++faults > FAULTS_SHOWN)
			continue;
		diag_add(diag, DIAG_ERROR, path, number, "not an address or prefix: \"%.*s\"",
		    (int)strcspn(line, "\r\n"), line);
	}
	return faults;
}

struct feed *
feed_load(const char *path, const struct place *at)
{
	FILE *file = fopen(path, "re");
	struct feed *f;
	unsigned faults;

	if (file == NULL) {
		diag_add(at->diag, DIAG_ERROR, at->file, at->line, "cannot open %s: %s", path,
		    strerror(errno));
		return NULL;
	}
	f = mem_alloc(sizeof *f);
	faults = read_lines(f, file, path, at->diag);
	fclose(file);
	settle(&f->v4);
	settle(&f->v6);
	if (faults > 0)
		feed_free(&f);
	return f;
}

void
feed_free(struct feed **f)
{
	if (*f == NULL)
		return;
	free((*f)->v4.ranges);
	free((*f)->v6.ranges);
	free(*f);
	*f = NULL;
}

bool
feed_has(const struct feed *f, const struct addr *a)
{
	const struct family *family = family_of(f, a);
	size_t low = 0, high = family->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(family->ranges[middle].first, a->ip, 16) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && memcmp(a->ip, family->ranges[low - 1].last, 16) <= 0;
}

size_t
feed_ranges(const struct feed *f)
{
	return f->v4.count + f->v6.count;
}
