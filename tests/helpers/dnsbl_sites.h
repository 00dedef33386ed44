/* For tests of the dnsbl room: a site list from text, without a configuration. */
#ifndef TESTS_DNSBL_SITES_H
#define TESTS_DNSBL_SITES_H

#include <stdio.h>
#include "base/mem.h"
#include "dnsbl/sites.h"

static inline void
print_diag(void *arg, enum diag_level level, const char *text)
{
	static const char *const words[] = {
		[DIAG_NOTICE] = "notice: ",
		[DIAG_WARNING] = "warning: ",
		[DIAG_UNAVAILABLE] = "unavailable: ",
		[DIAG_ERROR] = "",
	};

	buf_puts(arg, words[level]);
	buf_puts(arg, text);
	buf_putc(arg, '\n');
}

/* err: what there was to complain about, one line each. */
static inline struct dnsbl_sites *
sites_of(const char *text, struct buf *err)
{
	struct dnsbl_sites *s = mem_alloc(sizeof *s);
	struct diag *diag = diag_new();
	struct place at = { "main.cf", 7, diag };

	s->min_ttl_s = 60;
	s->max_ttl_s = 3600;
	s->timeout_ms = 10000;
	s->threshold = 1;
	s->workers = 1;
	sites_parse(s, span_of(text), &at);
	codes_load_builtin(s);
	codes_assign(s);
	for (size_t i = 0; i < s->count; i++)
		s->domains[i].shown = name_masked(s->domains[i].name);
	if (err != NULL)
		diag_each(diag, print_diag, err);
	diag_free(&diag);
	return s;
}

#endif
