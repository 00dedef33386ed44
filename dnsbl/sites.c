#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/signals.h"
#include "dnsbl/sites.h"

#define SEPARATORS ", \t\r\n"
#define LABEL_MAX 63

/* A site as written: its options hold for the whole domain, whichever of its lines gives them. */
struct site {
	struct span text; /* all of it, for diagnostics */
	struct span domain, filter, weight;
	bool has_filter, has_weight;
	uint8_t families;
	bool no_truth, no_probe, alive;
};

#define PUT(span) (int)(span).len, (span).p

static void
fault(const struct place *at, enum diag_level level, const char *problem, struct span what,
    struct span site)
{
	diag_add(at->diag, level, at->file, at->line, "%s \"%.*s\" in \"%.*s\"", problem, PUT(what),
	    PUT(site));
}

/* The part before the first `mark`, and the part after it; false if there is no mark. */
static bool
split(struct span whole, char mark, struct span *before, struct span *after)
{
	const char *p = memchr(whole.p, mark, whole.len);

	if (p == NULL)
		return false;
	*before = (struct span){ whole.p, (size_t)(p - whole.p) };
	*after = (struct span){ p + 1, whole.len - before->len - 1 };
	return true;
}

/* Why a label cannot stand in a name, or null. */
static const char *
label_fault(struct span label)
{
	if (label.len == 0)
		return "empty label (two dots together, or a dot at the start or end)";
	if (label.len > LABEL_MAX)
		return "label longer than 63 characters";
	if (label.p[0] == '-' || label.p[label.len - 1] == '-')
		return "label begins or ends with a hyphen";
	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.p[i];
		if (c >= 128 || (!isalnum(c) && c != '_' && c != '-'))
			return "only letters, digits, \"-\" and \"_\" may stand in a label";
	}
	return NULL;
}

const char *
name_wire(struct span name, uint8_t wire[DNS_NAME_MAX], size_t *wire_len)
{
	bool numeric = true;
	struct span rest = name, label;
	bool more = true;

	*wire_len = 0;
	if (name.len == 0)
		return "empty name";
	if (name.len > DNS_NAME_MAX - 2)
		return "name longer than 253 characters";
	while (more) {
		more = split(rest, '.', &label, &rest);
		if (!more)
			label = rest;
		const char *why = label_fault(label);
		if (why != NULL)
			return why;
		for (size_t i = 0; i < label.len; i++)
			numeric = numeric && isdigit((unsigned char)label.p[i]);
		wire[(*wire_len)++] = (uint8_t)label.len;
		memcpy(wire + *wire_len, label.p, label.len);
		*wire_len += label.len;
	}
	wire[(*wire_len)++] = 0;
	return numeric ? "a name of digits only is an address" : NULL;
}

struct option {
	const char *name, *value;
	void (*apply)(struct site *);
};

static void
only_v4(struct site *s)
{
	s->families = FAMILY_V4;
}

static void
only_v6(struct site *s)
{
	s->families = FAMILY_V6;
}

static void
both_families(struct site *s)
{
	s->families = FAMILY_V4 | FAMILY_V6;
}

static void
no_truth(struct site *s)
{
	s->no_truth = true;
}

static void
no_probe(struct site *s)
{
	s->no_probe = true;
}

static void
alive(struct site *s)
{
	s->alive = true;
}

static void
as_usual(struct site *s)
{
	(void)s;
}

/* `{ DOMAIN=FILTER*WEIGHT, NAME=VALUE ... }`: what may stand after the site. */
static const struct option options[] = {
	{ "family", "ipv4", only_v4 },
	{ "family", "ipv6", only_v6 },
	{ "family", "any", both_families },
	{ "truth", "no", no_truth },
	{ "truth", "yes", as_usual },
	{ "probe", "no", no_probe },
	{ "probe", "yes", as_usual },
	{ "alive", "yes", alive },
	{ "alive", "no", as_usual },
};

static bool
parse_option(struct site *s, struct span text, const struct place *at)
{
	struct span name, value;

	if (split(text, '=', &name, &value))
		for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
			if (span_is(name, options[i].name) && span_is(value, options[i].value)) {
				options[i].apply(s);
				return true;
			}
	fault(at, DIAG_ERROR,
	    "bad DNSBL site option (family=ipv4|ipv6|any, truth=no, probe=no, alive=yes)", text,
	    s->text);
	return false;
}

/* Takes the braces off and applies the options; *rest is then the plain site. */
static bool
open_braces(struct site *s, struct span *plain, const struct place *at)
{
	struct span rest = s->text, option;

	*plain = s->text;
	if (s->text.p[0] != '{')
		return true;
	if (s->text.p[s->text.len - 1] != '}' || s->text.len < 2) {
		diag_add(at->diag, DIAG_ERROR, at->file, at->line, "missing \"}\" in \"%.*s\"",
		    PUT(s->text));
		return false;
	}
	rest = (struct span){ s->text.p + 1, s->text.len - 2 };
	*plain = span_token(&rest, SEPARATORS);
	while ((option = span_token(&rest, SEPARATORS)).len > 0)
		if (!parse_option(s, option, at))
			return false;
	return true;
}

static bool
parse_weight(const struct site *s, int *weight, const struct place *at)
{
	int64_t value = 1;

	if (s->has_weight && !span_int(s->weight, INT_MIN / 1024, INT_MAX / 1024, &value)) {
		fault(at, DIAG_ERROR, "bad DNSBL weight factor", s->weight, s->text);
		return false;
	}
	*weight = (int)value;
	return true;
}

static bool
parse_filter(const struct site *s, struct pair *pair, const struct place *at)
{
	char text[256];
	struct buf err = BUF(text);

	pair->any = !s->has_filter;
	if (pair->any || filter_parse(&pair->filter, s->filter, &err))
		return true;
	diag_add(at->diag, DIAG_ERROR, at->file, at->line, "bad DNSBL filter syntax: %s", text);
	return false;
}

/* Domains are told apart as written: `A.example` and `a.example` are two. */
static struct domain *
domain_get(struct dnsbl_sites *s, struct span name)
{
	struct domain *d;

	for (size_t i = 0; i < s->count; i++)
		if (span_is(name, s->domains[i].name))
			return &s->domains[i];
	s->domains = mem_grow(s->domains, s->count + 1, sizeof *s->domains);
	d = &s->domains[s->count++];
	memset(d, 0, sizeof *d);
	(void)name_wire(name, d->wire, &d->wire_len);
	d->name = mem_strndup(name.p, name.len);
	d->families = FAMILY_V4 | FAMILY_V6;
	d->truth = d->probe = true;
	return d;
}

static void
domain_add(struct dnsbl_sites *s, const struct site *site, const struct pair *pair)
{
	struct domain *d = domain_get(s, site->domain);

	d->pairs = mem_grow(d->pairs, d->pair_count + 1, sizeof *d->pairs);
	d->pairs[d->pair_count++] = *pair;
	if (pair->weight > 0)
		d->highest += pair->weight;
	else
		d->lowest += pair->weight;
	if (site->families != 0)
		d->families = site->families;
	d->truth = d->truth && !site->no_truth;
	d->probe = d->probe && !site->no_probe;
}

static bool
check_domain(const struct site *s, const struct place *at)
{
	struct domain scratch;
	const char *why = name_wire(s->domain, scratch.wire, &scratch.wire_len);
	char name[DNS_NAME_MAX + 1];
	struct buf out = BUF(name);

	if (why != NULL) {
		diag_add(at->diag, DIAG_WARNING, at->file, at->line, "\"%.*s\": %s", PUT(s->domain),
		    why);
		fault(at, DIAG_ERROR, "bad DNSBL domain name", s->domain, s->text);
		return false;
	}
	buf_putspan(&out, s->domain);
	why = dead_zone_find(name);
	if (why == NULL || s->alive)
		return true;
	diag_add(at->diag, DIAG_ERROR, at->file, at->line,
	    "DNSBL domain \"%s\" is dead: %s; remove it (or write \"{ %s, alive=yes }\" to ask it "
	    "all the same)",
	    name, why, name);
	return false;
}

static void
parse_site(struct dnsbl_sites *s, struct span text, const struct place *at)
{
	struct site site = { .text = text };
	struct pair pair = { .weight = 1 };
	struct span left;

	if (!open_braces(&site, &left, at))
		return;
	site.has_weight = split(left, '*', &left, &site.weight);
	site.domain = left;
	site.has_filter = split(left, '=', &site.domain, &site.filter);
	if (parse_weight(&site, &pair.weight, at) && parse_filter(&site, &pair, at) &&
	    check_domain(&site, at))
		domain_add(s, &site, &pair);
}

void
sites_parse(struct dnsbl_sites *s, struct span text, const struct place *at)
{
	struct span token;

	while ((token = span_token(&text, SEPARATORS)).len > 0)
		parse_site(s, token, at);
}

/*
 * A label of twenty or more letters and digits mixed is a customer's key (Spamhaus DQS: 26);
 * nothing a person would name a zone.
 */
static bool
looks_secret(struct span label)
{
	size_t digits = 0, letters = 0;

	for (size_t i = 0; i < label.len; i++) {
		digits += isdigit((unsigned char)label.p[i]) != 0;
		letters += isalpha((unsigned char)label.p[i]) != 0;
	}
	return label.len >= 20 && digits > 0 && letters > 0 && digits + letters == label.len;
}

char *
name_masked(const char *name)
{
	char text[DNS_NAME_MAX + 1];
	struct buf out = BUF(text);
	struct span rest = span_of(name), label;

	while (split(rest, '.', &label, &rest)) {
		if (looks_secret(label))
			buf_puts(&out, "****");
		else
			buf_putspan(&out, label);
		buf_putc(&out, '.');
	}
	buf_putspan(&out, rest);
	return mem_strdup(text);
}

bool
zone_is_below(const char *name, const char *zone)
{
	size_t name_len = strlen(name), zone_len = strlen(zone);

	if (zone_len == 0)
		return true;
	if (name_len < zone_len || strcasecmp(name + name_len - zone_len, zone) != 0)
		return false;
	return name_len == zone_len || name[name_len - zone_len - 1] == '.';
}

void
dnsbl_sites_free(struct dnsbl_sites **sites)
{
	struct dnsbl_sites *s = *sites;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++) {
		free(s->domains[i].name);
		free(s->domains[i].shown);
		free(s->domains[i].pairs);
		free(s->domains[i].codes);
	}
	for (size_t i = 0; i < s->code_count; i++)
		free(s->codes[i].zone);
	signals_free(s);
	free(s->domains);
	free(s->codes);
	free(s);
	*sites = NULL;
}

size_t
dnsbl_domain_count(const struct dnsbl_sites *s)
{
	return s->count + s->signal_count;
}

size_t
dnsbl_list_count(const struct dnsbl_sites *s)
{
	return s->count;
}

const char *
dnsbl_domain_shown(const struct dnsbl_sites *s, size_t domain)
{
	return domain < s->count ? s->domains[domain].shown : s->signals[domain - s->count].shown;
}

size_t
dnsbl_domain_find(const struct dnsbl_sites *s, struct span name)
{
	size_t i = 0;

	while (i < s->count && !span_is(name, s->domains[i].name))
		i++;
	return i < s->count ? i : dnsbl_domain_count(s);
}

const char *
dnsbl_domain_name(const struct dnsbl_sites *s, size_t domain)
{
	assert(domain < s->count);
	return s->domains[domain].name;
}
