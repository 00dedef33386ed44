/* What a backend says: replies, and the answer to EHLO. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "screen/backend.h"
#include "screen/promise.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* In a block of its own, so that a read behind its end is seen. */
	char *bytes = malloc(size > 0 ? size : 1);
	uint32_t keywords;
	int64_t limit;
	int code;

	if (size > 0)
		memcpy(bytes, data, size);
	size_t len = backend_reply(bytes, size, &code);
	assert(len <= size && (len > 0) == (code > 0));
	if (len > 0)
		promise_parse(bytes, len, &keywords, &limit);
	promise_parse(bytes, size, &keywords, &limit);
	free(bytes);
	return 0;
}
