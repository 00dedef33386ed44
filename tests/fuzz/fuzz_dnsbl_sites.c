/* Site lists, error codes and name servers as an operator may write them. */
#include "config.h"

#include <stdlib.h>
#include "tests/helpers/dnsbl_sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct dnsbl_sites *s = mem_alloc(sizeof *s);
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 1, diag };
	struct span text = { (const char *)bytes, len };

	sites_parse(s, text, &at);
	codes_parse(s, text, &at);
	servers_parse(s, text, &at);
	codes_load_builtin(s);
	codes_assign(s);
	for (size_t i = 0; i < s->count; i++) {
		struct domain *d = &s->domains[i];
		s->domains[i].shown = name_masked(d->name);
		if (d->pair_count == 0 || d->wire_len == 0 || d->highest < 0 || d->lowest > 0)
			abort();
	}
	dnsbl_sites_free(&s);
	diag_free(&diag);
	return 0;
}
