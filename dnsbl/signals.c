#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/signals.h"

#define SEPARATORS ", \t\r\n"
#define WEIGHT_MAX 1000000
#define PUT(span) (int)(span).len, (span).p

static bool
is_separator(char c)
{
	return c != '\0' && strchr(SEPARATORS, c) != NULL;
}

/* A country list has commas too, so a rule ends with its weight. False at the end of the text. */
static bool
next_rule(struct span *rest, struct span *rule, struct span *weight)
{
	const char *star;

	while (rest->len > 0 && is_separator(rest->p[0])) {
		rest->p++;
		rest->len--;
	}
	if (rest->len == 0)
		return false;
	star = memchr(rest->p, '*', rest->len);
	if (star == NULL) {
		*rule = *rest;
		*weight = (struct span){ rest->p + rest->len, 0 };
		rest->len = 0;
		return true;
	}
	*rule = (struct span){ rest->p, (size_t)(star - rest->p) };
	*weight = (struct span){ star + 1, 0 };
	rest->len -= rule->len + 1;
	while (weight->len < rest->len && !is_separator(weight->p[weight->len]))
		weight->len++;
	rest->p = weight->p + weight->len;
	rest->len -= weight->len;
	return true;
}

static bool
words_are(struct span words, bool (*good)(struct span))
{
	struct span word;
	size_t count = 0;

	while ((word = span_token(&words, SEPARATORS)).len > 0) {
		if (!good(word))
			return false;
		count++;
	}
	return count > 0;
}

static bool
is_country(struct span word)
{
	return word.len == 2 && word.p[0] >= 'A' && word.p[0] <= 'Z' && word.p[1] >= 'A' &&
	       word.p[1] <= 'Z';
}

static bool
is_asn(struct span word)
{
	uint64_t number;

	return span_uint(word, UINT32_MAX, &number);
}

static char *
shown_file(const char *kind, struct span path)
{
	const char *slash = memrchr(path.p, '/', path.len);
	size_t skip = slash != NULL ? (size_t)(slash - path.p) + 1 : 0;

	return mem_printf("%s:%.*s", kind, (int)(path.len - skip), path.p + skip);
}

static bool
load_cidr(struct signal *sig, struct span what, const struct dnsbl_sites *s, const struct place *at)
{
	char *path = mem_strndup(what.p, what.len);

	(void)s;
	sig->feed = feed_load(path, at);
	sig->shown = shown_file("cidr", what);
	free(path);
	return sig->feed != NULL;
}

static bool
needs_geo(const struct dnsbl_sites *s, const struct place *at)
{
	if (s->geo != NULL)
		return true;
	diag_add(at->diag, DIAG_ERROR, at->file, at->line,
	    "gatehouse_score_rules asks for a country or network: name an MMDB file in "
	    "gatehouse_geo_files");
	return false;
}

static bool
load_words(struct signal *sig, struct span what, const char *kind, bool (*good)(struct span),
    const struct place *at)
{
	if (!words_are(what, good)) {
		diag_add(at->diag, DIAG_ERROR, at->file, at->line,
		    "bad %s in gatehouse_score_rules: \"%.*s\"", kind, PUT(what));
		return false;
	}
	sig->text = mem_strndup(what.p, what.len);
	sig->words = span_of(sig->text);
	sig->shown = mem_printf("%s:%s", kind, sig->text);
	return true;
}

static bool
load_country(
    struct signal *sig, struct span what, const struct dnsbl_sites *s, const struct place *at)
{
	return needs_geo(s, at) && load_words(sig, what, "country", is_country, at);
}

static bool
load_asn(struct signal *sig, struct span what, const struct dnsbl_sites *s, const struct place *at)
{
	return needs_geo(s, at) && load_words(sig, what, "asn", is_asn, at);
}

static bool
load_ptr(struct signal *sig, struct span what, const struct dnsbl_sites *s, const struct place *at)
{
	char *table;

	(void)s;
	sig->shown = mem_printf("ptr:%.*s", PUT(what));
	if (span_is(what, "missing")) {
		sig->kind = SIGNAL_PTR_MISSING;
		return true;
	}
	if (span_is(what, "unconfirmed"))
		return true;
	sig->kind = SIGNAL_PTR_TABLE;
	if (memchr(what.p, ':', what.len) == NULL) {
		diag_add(at->diag, DIAG_ERROR, at->file, at->line,
		    "bad gatehouse_score_rules word \"ptr:%.*s\": write ptr:missing, "
		    "ptr:unconfirmed or "
		    "ptr:pcre:FILE",
		    PUT(what));
		return false;
	}
	table = mem_strndup(what.p, what.len);
	sig->names = table_list_open(table, at->diag);
	free(table);
	return true;
}

static const struct loader {
	const char *prefix;
	enum signal_kind kind;
	bool (*load)(
	    struct signal *, struct span, const struct dnsbl_sites *, const struct place *);
} loaders[] = {
	{ "cidr:", SIGNAL_CIDR, load_cidr },
	{ "country:", SIGNAL_COUNTRY, load_country },
	{ "asn:", SIGNAL_ASN, load_asn },
	{ "ptr:", SIGNAL_PTR_UNCONFIRMED, load_ptr },
};

static void
signal_fini(struct signal *sig)
{
	free(sig->shown);
	free(sig->text);
	feed_free(&sig->feed);
	if (sig->names != NULL)
		table_list_free(&sig->names);
}

static void
parse_rule(struct dnsbl_sites *s, struct span rule, int weight, const struct place *at)
{
	for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++) {
		size_t len = strlen(loaders[i].prefix);
		struct signal sig = { .kind = loaders[i].kind, .weight = weight };

		if (rule.len <= len || memcmp(rule.p, loaders[i].prefix, len) != 0)
			continue;
		if (!loaders[i].load(&sig, (struct span){ rule.p + len, rule.len - len }, s, at)) {
			signal_fini(&sig);
			return;
		}
		s->signals = mem_grow(s->signals, s->signal_count + 1, sizeof *s->signals);
		s->signals[s->signal_count++] = sig;
		return;
	}
	diag_add(at->diag, DIAG_ERROR, at->file, at->line,
	    "bad gatehouse_score_rules word \"%.*s\": write cidr:FILE*N, country:CC*N, "
	    "asn:NUMBER*N or "
	    "ptr:missing*N",
	    PUT(rule));
}

void
signals_parse(
    struct dnsbl_sites *s, struct span text, const char *geo_files, const struct place *at)
{
	struct span rule, weight;
	int64_t number;

	s->geo = geo_open(geo_files, at);
	while (next_rule(&text, &rule, &weight)) {
		if (span_int(weight, -WEIGHT_MAX, WEIGHT_MAX, &number))
			parse_rule(s, rule, (int)number, at);
		else
			diag_add(at->diag, DIAG_ERROR, at->file, at->line,
			    "bad weight \"%.*s\" of \"%.*s\" in gatehouse_score_rules: write *N "
			    "behind the rule",
			    PUT(weight), PUT(rule));
	}
}

void
signals_free(struct dnsbl_sites *s)
{
	for (size_t i = 0; i < s->signal_count; i++)
		signal_fini(&s->signals[i]);
	free(s->signals);
	geo_close(&s->geo);
}

bool
dnsbl_country(const struct dnsbl_sites *s, const struct addr *client, char out[3])
{
	return geo_country(s->geo, client, out);
}

bool
dnsbl_asn(const struct dnsbl_sites *s, const struct addr *client, uint32_t *out)
{
	return geo_asn(s->geo, client, out);
}

bool
signal_needs_ptr(const struct signal *sig)
{
	return sig->kind >= SIGNAL_PTR_MISSING;
}

bool
signals_need_ptr(const struct dnsbl_sites *s)
{
	for (size_t i = 0; i < s->signal_count; i++)
		if (signal_needs_ptr(&s->signals[i]))
			return true;
	return false;
}

static bool
has_country(const struct dnsbl_sites *s, const struct signal *sig, const struct addr *client)
{
	struct span rest = sig->words, word;
	char country[3];

	if (!geo_country(s->geo, client, country))
		return false;
	while ((word = span_token(&rest, SEPARATORS)).len > 0)
		if (span_is(word, country))
			return true;
	return false;
}

static bool
has_asn(const struct dnsbl_sites *s, const struct signal *sig, const struct addr *client)
{
	struct span rest = sig->words, word;
	uint32_t asn;
	uint64_t number;

	if (!geo_asn(s->geo, client, &asn))
		return false;
	while ((word = span_token(&rest, SEPARATORS)).len > 0)
		if (span_uint(word, UINT32_MAX, &number) && number == asn)
			return true;
	return false;
}

bool
signal_matches_client(
    const struct dnsbl_sites *s, const struct signal *sig, const struct addr *client)
{
	switch (sig->kind) {
	case SIGNAL_CIDR:
		return feed_has(sig->feed, client);
	case SIGNAL_COUNTRY:
		return has_country(s, sig, client);
	case SIGNAL_ASN:
		return has_asn(s, sig, client);
	default:
		return false;
	}
}

bool
signal_matches_name(const struct signal *sig, const char *name, bool confirmed)
{
	char text[256];
	struct buf value = BUF(text);

	switch (sig->kind) {
	case SIGNAL_PTR_MISSING:
		return name == NULL;
	case SIGNAL_PTR_UNCONFIRMED:
		return name != NULL && !confirmed;
	case SIGNAL_PTR_TABLE: /* fail open: a table in trouble matches nothing */
		return name != NULL && table_list_find(sig->names, name, &value) == TABLE_FOUND;
	default:
		return false;
	}
}
