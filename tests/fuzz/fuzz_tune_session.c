/* Session records: the members' values as fuzzed, inside and outside a well-formed record. */
#include "config.h"

#include <assert.h>
#include <string.h>
#include "policy/tune/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char head[] =
	    "{\"time\":\"2026-11-21T01:02:03.456Z\",\"client\":\"192.0.2.1\",";
	struct tune *t = tune_new();
	char line[8192];
	size_t n = size < sizeof line - sizeof head ? size : sizeof line - sizeof head;

	memcpy(line, head, sizeof head - 1);
	memcpy(line + sizeof head - 1, data, n);
	tune_feed(t, line, sizeof head - 1 + n, 1790000000);
	tune_feed(t, (const char *)data, size, 1790000000);
	tune_finish(t);
	assert(tune_odd_lines(t) <= tune_lines(t));
	assert(tune_clients(t) <= tune_sessions(t));
	tune_free(&t);
	return 0;
}
