/* Reply filters: any text parses or is explained; what parses can be asked. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "dnsbl/dnsbl.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char text[128];
	struct buf err = BUF(text);
	struct dnsbl_filter *f =
	    dnsbl_filter_parse((struct span){ (const char *)bytes, len }, &err);
	unsigned matched = 0;

	if ((f == NULL) != (err.len > 0))
		abort();
	for (unsigned v = 0; f != NULL && v < 256; v++)
		matched += dnsbl_filter_match(f, (const uint8_t[4]){ 127, 0, 0, (uint8_t)v });
	dnsbl_filter_free(&f);
	return matched > 256;
}
