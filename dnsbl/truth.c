#include "config.h"

#include <assert.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/sites.h"

struct truth_row {
	const char *zone, *codes, *meaning, *advice;
};
static const struct truth_row truth_rows[] = {
#define TRUTH_VERSION(date)
#define TRUTH(zone, codes, meaning, advice) { zone, codes, meaning, advice },
#include "dnsbl/truth.tbl"
#undef TRUTH
#undef TRUTH_VERSION
};

static const struct dead_row {
	const char *zone, *why;
} dead_rows[] = {
#define DEAD(zone, since, what) { zone, what " (" since ")" },
#include "dnsbl/deadzones.tbl"
#undef DEAD
};

const char *
dnsbl_truth_version(void)
{
#define TRUTH_VERSION(date) return date;
#define TRUTH(zone, codes, meaning, advice)
#include "dnsbl/truth.tbl"
#undef TRUTH
#undef TRUTH_VERSION
}

static struct error_code *
code_add(struct dnsbl_sites *s, struct span zone)
{
	struct error_code *c;

	s->codes = mem_grow(s->codes, s->code_count + 1, sizeof *s->codes);
	c = &s->codes[s->code_count++];
	memset(c, 0, sizeof *c);
	c->zone = mem_strndup(zone.p, zone.len);
	return c;
}

void
codes_load_builtin(struct dnsbl_sites *s)
{
	for (size_t i = 0; i < sizeof truth_rows / sizeof truth_rows[0]; i++) {
		const struct truth_row *row = &truth_rows[i];
		struct error_code *c = code_add(s, span_of(row->zone));
		bool good = filter_parse(&c->filter, span_of(row->codes), NULL);

		assert(good);
		(void)good;
		c->meaning = row->meaning;
		c->advice = row->advice;
	}
}

static void
parse_code(struct dnsbl_sites *s, struct span token, const struct place *at)
{
	char text[256];
	struct buf err = BUF(text);
	const char *mark = memchr(token.p, '=', token.len);
	struct dnsbl_filter filter;
	struct span zone, pattern;

	if (mark == NULL || mark == token.p) {
		diag_add(at->diag, DIAG_ERROR, at->file, at->line,
		    "bad error code \"%.*s\": write ZONE=PATTERN, as in list.example=127.0.0.255",
		    (int)token.len, token.p);
		return;
	}
	zone = (struct span){ token.p, (size_t)(mark - token.p) };
	pattern = (struct span){ mark + 1, token.len - zone.len - 1 };
	if (!filter_parse(&filter, pattern, &err)) {
		diag_add(
		    at->diag, DIAG_ERROR, at->file, at->line, "bad DNSBL filter syntax: %s", text);
		return;
	}
	struct error_code *c = code_add(s, span_is(zone, "*") ? SPAN("") : zone);
	c->filter = filter;
	c->meaning = "an error code by gatehouse_dnsbl_error_codes";
}

void
codes_parse(struct dnsbl_sites *s, struct span text, const struct place *at)
{
	struct span token;

	while ((token = span_token(&text, ", \t\r\n")).len > 0)
		parse_code(s, token, at);
}

void
codes_assign(struct dnsbl_sites *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct domain *d = &s->domains[i];

		d->codes = mem_array(s->code_count, sizeof *d->codes);
		for (size_t k = 0; k < s->code_count; k++)
			if (zone_is_below(d->name, s->codes[k].zone))
				d->codes[d->code_count++] = k;
	}
}

const struct error_code *
code_find(const struct dnsbl_sites *s, const struct domain *d, const uint8_t ip[4])
{
	for (size_t i = 0; i < d->code_count; i++) {
		const struct error_code *c = &s->codes[d->codes[i]];

		if (filter_match_any(&c->filter, (const uint8_t(*)[4])ip, 1))
			return c;
	}
	return NULL;
}

const char *
dead_zone_find(const char *name)
{
	for (size_t i = 0; i < sizeof dead_rows / sizeof dead_rows[0]; i++)
		if (zone_is_below(name, dead_rows[i].zone))
			return dead_rows[i].why;
	return NULL;
}
