/* However a stream is split into packets, the same lines come out of it, and nothing is kept beyond the limit. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "screen/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define LIMIT_MAX 600

struct trace {
	char bytes[65536];
	size_t len;
};

static void
note(struct trace *t, enum line_end end, struct span line)
{
	if (t->len + line.len + 2 > sizeof t->bytes)
		return;
	t->bytes[t->len++] = (char)end;
	if (end == LINE_LONG)
		return;
	memcpy(t->bytes + t->len, line.p, line.len);
	t->len += line.len;
}

static void
run(struct trace *t, const uint8_t *data, size_t size, uint32_t limit, size_t packet)
{
	char kept[LIMIT_MAX];
	struct line l = { .kept = kept, .limit = limit };

	t->len = 0;
	for (size_t at = 0; at < size; at += packet) {
		struct span in = { (const char *)data + at,
			size - at < packet ? size - at : packet },
			    line = { NULL, 0 };
		while (in.len > 0) {
			enum line_end end = line_take(&l, &in, &line);
			if (l.len > limit)
				abort();
			if (end == LINE_MORE)
				continue;
			note(t, end, line);
			if (end == LINE_LONG)
				return;
		}
	}
	note(t, LINE_MORE, (struct span){ kept, l.len });
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace whole, split;

	if (size < 2)
		return 0;
	uint32_t limit = 1 + data[0] * 2u;
	run(&whole, data + 2, size - 2, limit, size);
	run(&split, data + 2, size - 2, limit, 1 + data[1] % 16);
	if (whole.len != split.len || memcmp(whole.bytes, split.bytes, whole.len) != 0)
		abort();
	return 0;
}
