/*
 * The demo backend's parsers. The first byte is the size of the pieces the content comes in: whatever
 * the pieces, the outcome is that of the whole.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "screen/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t
feed(const char *in, size_t len, size_t step, char *out, enum content_result *result)
{
	enum content_state state = CONTENT_AT_START;
	size_t total = 0, used, written;

	*result = CONTENT_MORE;
	for (size_t at = 0; at < len && *result == CONTENT_MORE; at += used) {
		size_t n = len - at < step ? len - at : step;
		*result = content_feed(&state, in + at, n, &used, out + total, &written);
		assert(used <= n && written <= used);
		total += written;
	}
	return total;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct endpoint client, server;
	enum content_result whole, pieces;
	const char *in = (const char *)bytes + 1;
	char *a, *b;
	size_t n;

	if (size < 1)
		return 0;
	a = malloc(size);
	b = malloc(size);
	assert(a != NULL && b != NULL);
	n = feed(in, size - 1, size, a, &whole);
	assert(feed(in, size - 1, (size_t)bytes[0] + 1, b, &pieces) == n);
	assert(whole == pieces && memcmp(a, b, n) == 0 && memchr(a, '\r', n) == NULL);
	free(a);
	free(b);
	if (sink_attributes_complete((struct span){ in, size - 1 }))
		(void)sink_attributes((struct span){ in, size - 1 }, &client, &server);
	return 0;
}
