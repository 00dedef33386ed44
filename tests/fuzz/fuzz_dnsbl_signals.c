/* gatehouse_score_rules, or (first byte odd) a feed of prefixes, as an operator may have them. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "dnsbl/signals.h"
#include "tests/helpers/dnsbl_sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
load_feed(const uint8_t *bytes, size_t len, const struct place *at)
{
	char path[64];
	int fd = memfd_create("feed", 0);
	struct feed *f = NULL;

	if (fd < 0)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (write(fd, bytes, len) == (ssize_t)len)
		f = feed_load(path, at);
	close(fd);
	for (unsigned i = 0; f != NULL && i < 256; i++)
		(void)feed_has(
		    f, &(struct addr){ .family = i & 1 ? 4 : 6, .ip = { (uint8_t)i, (uint8_t)i } });
	feed_free(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 1, diag };

	if (len > 0 && (bytes[0] & 1) != 0) {
		load_feed(bytes + 1, len - 1, &at);
	} else if (len > 0 && memmem(bytes, len, "cidr:", 5) == NULL) { /* names no file of ours */
		struct dnsbl_sites *s = mem_alloc(sizeof *s);
		signals_parse(s, (struct span){ (const char *)bytes + 1, len - 1 }, "", &at);
		dnsbl_sites_free(&s);
	}
	diag_free(&diag);
	return 0;
}
