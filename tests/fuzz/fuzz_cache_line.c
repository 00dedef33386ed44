/* A line of an export: what is understood prints as a line that is understood the same. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr client, again;
	struct record first, second;
	const char *why = NULL;
	char text[ADDR_TEXT_SIZE], line[ADDR_TEXT_SIZE + RECORD_TEXT_SIZE];
	struct buf out = BUF(line);

	switch (
	    store_line_parse((struct span){ (const char *)data, size }, &client, &first, &why)) {
	case STORE_LINE:
		break;
	case STORE_LINE_BAD:
		if (why == NULL)
			abort();
		return 0;
	case STORE_LINE_SKIPPED:
		return 0;
	}
	buf_printf(&out, "%s\t", addr_format(&client, text));
	record_format(&first, CHECKS_EARLY | CHECKS_DEEP, &out);
	if (store_line_parse((struct span){ out.p, out.len }, &again, &second, &why) !=
		STORE_LINE ||
	    !addr_equal(&client, &again) || memcmp(&first, &second, sizeof first) != 0)
		abort();
	return 0;
}
