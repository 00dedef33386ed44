/* The facts record, as a screen worker reads it; and that what is accepted is written back the
 * same. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "tlsproxy/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = { (const char *)data, size };
	struct tls_facts facts;
	uint8_t again[TLS_FACTS_MAX];
	size_t used = 0;

	if (tls_facts_parse(bytes, &used, &facts) != TLS_FACTS_DONE)
		return 0;
	assert(used <= size && used <= TLS_FACTS_MAX);
	assert(tls_facts_format(&facts, again) == used && memcmp(again, data, used) == 0);
	/* Any part of it is "more", never "bad". */
	for (size_t n = 0; n < used; n++)
		assert(
		    tls_facts_parse((struct span){ bytes.p, n }, &used, &facts) == TLS_FACTS_MORE);
	return 0;
}
