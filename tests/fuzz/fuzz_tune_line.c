/* Whole logs in every form: syslog, RFC 5424, ISO stamps, records. */
#include "config.h"

#include <assert.h>
#include "policy/tune/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tune *t = tune_new();

	tune_feed(t, (const char *)data, size, 1790000000);
	tune_finish(t);
	assert(tune_odd_lines(t) <= tune_lines(t));
	assert(tune_clients(t) <= tune_sessions(t));
	tune_free(&t);
	return 0;
}
