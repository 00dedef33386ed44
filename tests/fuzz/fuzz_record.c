/* A record read from foreign bytes is never negative, and what we write of it reads back the same.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record first, second;
	char text[RECORD_TEXT_SIZE];
	struct buf buf = BUF(text);

	record_parse(&first, (struct span){ (const char *)data, size });
	for (int i = 0; i < CHECKS; i++)
		if (first.expires_at[i] < 0)
			abort();
	record_format(&first, CHECKS_EARLY | CHECKS_DEEP, &buf);
	record_parse(&second, (struct span){ buf.p, buf.len });
	if (buf.cut || memcmp(&first, &second, sizeof first) != 0)
		abort();
	return 0;
}
