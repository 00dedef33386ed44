/* What strangers may say at the master's desks: the control line and the HTTP request. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "screen/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *copy = malloc(size + 1); /* exactly so many bytes, so that a read too far is seen */
	struct span all = { copy, size };
	struct http_request http;
	struct request line;
	const char *why;

	if (copy == NULL)
		return 0;
	memcpy(copy, bytes, size);
	size_t n = request_whole(all);
	assert(n <= size && (n == 0 || copy[n - 1] == '\n'));
	if (n > 0 && request_parse((struct span){ copy, n }, &line, &why))
		assert(line.id < REQUESTS);
	n = http_whole(all);
	assert(n <= size);
	if (n > 0 && http_parse((struct span){ copy, n }, &http))
		assert(http.path.len > 0 && http.path.p[0] == '/' &&
		       http.path.p + http.path.len <= copy + n);
	free(copy);
	return 0;
}
