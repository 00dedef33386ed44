/* Messages of each program, behind a left part that is always right. The first byte says which
 * program. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "policy/tune/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const left[] = { "Nov 21 01:02:03 mx postfix/postscreen[1]: ",
		"Nov 21 01:02:03 mx postfix/dnsblog[1]: ",
		"2026-11-21T01:02:03.4+01:00 mx postfix/smtpd[1]: ",
		"<22>1 2026-11-21T01:02:03Z mx postfix/cleanup 1 - - ",
		"Nov 21 01:02:03 mx postfix/qmgr[1]: " };
	struct tune *t = tune_new();

	while (size > 1) {
		const uint8_t *newline = memchr(data, '\n', size);
		size_t len = newline == NULL ? size : (size_t)(newline - data);
		const char *prefix = left[len == 0 ? 0 : data[0] % 5];
		char line[4096];
		size_t at = (size_t)snprintf(line, sizeof line, "%s", prefix);
		size_t n = len == 0 ? 0 : len - 1;

		n = n < sizeof line - at ? n : sizeof line - at;
		memcpy(line + at, data + (len > 0), n);
		tune_feed(t, line, at + n, 1790000000);
		data += len;
		size -= len;
		if (size > 0) {
			data++;
			size--;
		}
	}
	tune_finish(t);
	assert(tune_odd_lines(t) <= tune_lines(t));
	tune_free(&t);
	return 0;
}
