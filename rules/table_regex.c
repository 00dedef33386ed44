#include "config.h"
#include "rules/table.h"

#ifndef HAVE_PCRE2

static bool
not_built(const struct table *t, struct diag *diag)
{
	diag_add(diag, DIAG_UNAVAILABLE, NULL, 0,
	    "%s is unavailable: this gatehouse was built without PCRE2; "
	    "build it with PCRE2, or use cidr or texthash tables",
	    t->name);
	return false;
}

bool
regexp_open(struct table *t, const char *name, struct diag *diag)
{
	(void)name;
	return not_built(t, diag);
}

bool
pcre_open(struct table *t, const char *name, struct diag *diag)
{
	(void)name;
	return not_built(t, diag);
}

#else

#define PCRE2_CODE_UNIT_WIDTH 8
#define LOG_PROGRAM "postscreen"

#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"
#include "base/mem.h"
#include "rules/dyn.h"

/*
 * A pattern is tried on what strangers send; these bound the work of the worst pattern to a
 * fraction of a millisecond. Decent patterns need a few hundred steps.
 */
#define MATCH_LIMIT 10000
#define DEPTH_LIMIT 2000

enum rule_kind { RULE_RESULT, RULE_IF, RULE_ENDIF };
struct rule {
	enum rule_kind kind;
	bool negated;
	pcre2_code *code;
	char *result; /* with its $1, checked */
	size_t next;  /* RULE_IF that does not hold: where to go on */
	unsigned line;
};

struct regex {
	struct rule *rule;
	size_t count, room;
	pcre2_match_context *limits;
	pcre2_match_data *match;
	unsigned given_up; /* times a limit was hit */
	/* while reading */
	const char *name;
	struct diag *diag;
	size_t *open; /* IFs without their ENDIF yet */
	size_t depth;
	bool posix;
};

/*
 * Options after the second delimiter: the ones on at first, and what each letter switches.
 */
struct option {
	char letter;
	uint32_t toggles;
};
static const struct option pcre_options[] = {
	{ 'i', PCRE2_CASELESS },
	{ 'm', PCRE2_MULTILINE },
	{ 's', PCRE2_DOTALL },
	{ 'x', PCRE2_EXTENDED },
	{ 'A', PCRE2_ANCHORED },
	{ 'E', PCRE2_DOLLAR_ENDONLY },
	{ 'U', PCRE2_UNGREEDY },
	{ 'X', 0 },
	{ 0, PCRE2_CASELESS | PCRE2_DOTALL },
};
static const struct option posix_options[] = {
	{ 'i', PCRE2_CASELESS },
	{ 'm', PCRE2_MULTILINE | PCRE2_DOTALL },
	{ 0, PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY },
};

static bool
read_options(const struct option *table, struct span letters, uint32_t *options, struct buf *why)
{
	const struct option *o = table;

	while (o->letter != 0)
		o++;
	*options = o->toggles;
	for (size_t i = 0; i < letters.len; i++) {
		for (o = table; o->letter != 0 && o->letter != letters.p[i]; o++)
			;
		if (o->letter == 0) {
			buf_printf(why,
			    "unknown option \"%c\" after the pattern; write white space before the "
			    "result",
			    isprint((unsigned char)letters.p[i]) ? letters.p[i] : '?');
			return false;
		}
		*options ^= o->toggles;
	}
	return true;
}

/*
 * POSIX and Perl patterns differ where it matters here: in a bracket expression a POSIX backslash
 * is itself, and \< and \> are the ends of a word.
 */
static size_t
put_bracket(struct dyn *out, struct span s)
{
	size_t n = 1;

	dyn_puts(out, "[");
	if (n < s.len && s.p[n] == '^')
		dyn_put(out, &s.p[n++], 1);
	if (n < s.len && s.p[n] == ']') {
		dyn_puts(out, "\\]");
		n++;
	}
	while (n < s.len && s.p[n] != ']') {
		size_t from = n;

		if (s.p[n] == '[' && n + 1 < s.len && strchr(":.=", s.p[n + 1]) != NULL) {
			char kind = s.p[n + 1];

			for (n += 2; n + 1 < s.len && (s.p[n] != kind || s.p[n + 1] != ']'); n++)
				;
			n = n + 2 < s.len ? n + 2 : s.len;
			dyn_put(out, s.p + from, n - from);
			continue;
		}
		if (s.p[n] == '\\' || s.p[n] == '[')
			dyn_puts(out, "\\");
		dyn_put(out, &s.p[n++], 1);
	}
	return n;
}

static void
put_posix(struct dyn *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '[') {
			i += put_bracket(out, (struct span){ s.p + i, s.len - i });
			if (i < s.len)
				dyn_puts(out, "]");
		} else if (s.p[i] == '\\' && i + 1 < s.len) {
			char c = s.p[++i];

			if (c == '<' || c == '>')
				dyn_puts(out, c == '<' ? "\\b(?=\\w)" : "\\b(?<=\\w)");
			else
				dyn_put(out, s.p + i - 1, 2);
		} else {
			dyn_put(out, s.p + i, 1);
		}
	}
}

static bool
compile(struct regex *r, struct rule *rule, struct span pattern, uint32_t options, struct buf *why)
{
	struct dyn text = { 0 };
	PCRE2_UCHAR message[120];
	PCRE2_SIZE at;
	int error;

	if (r->posix)
		put_posix(&text, pattern);
	else
		dyn_put(&text, pattern.p, pattern.len);
	rule->code =
	    pcre2_compile((PCRE2_SPTR)dyn_text(&text), text.len, options, &error, &at, NULL);
	if (rule->code == NULL) {
		pcre2_get_error_message(error, message, sizeof(message));
		buf_printf(why, "bad pattern at \"%.40s\": %s", dyn_text(&text) + at,
		    (const char *)message);
	} else {
		(void)pcre2_jit_compile(
		    rule->code, PCRE2_JIT_COMPLETE); /* slower without, but right */
	}
	dyn_fini(&text);
	return rule->code != NULL;
}

/*
 * Takes "!/pattern/options" off *text.
 */
static bool
read_pattern(struct regex *r, struct rule *rule, struct span *text, struct buf *why)
{
	struct span s = span_trim(*text), pattern, letters;
	uint32_t options;
	size_t n = 1;

	for (; s.len > 0 && (s.p[0] == '!' || isspace((unsigned char)s.p[0]));
	     s = (struct span){ s.p + 1, s.len - 1 })
		rule->negated ^= s.p[0] == '!';
	if (s.len == 0 || isalnum((unsigned char)s.p[0])) {
		buf_puts(why, "no pattern; write /PATTERN/ RESULT");
		return false;
	}
	while (n < s.len && s.p[n] != s.p[0])
		n += s.p[n] == '\\' && n + 1 < s.len ? 2 : 1;
	if (n >= s.len) {
		buf_printf(why, "no closing \"%c\" after the pattern",
		    isprint((unsigned char)s.p[0]) ? s.p[0] : '?');
		return false;
	}
	pattern = (struct span){ s.p + 1, n - 1 };
	letters = (struct span){ s.p + n + 1, 0 };
	while (n + 1 + letters.len < s.len && !isspace((unsigned char)letters.p[letters.len]))
		letters.len++;
	*text = span_trim((struct span){ letters.p + letters.len, s.len - n - 1 - letters.len });
	return read_options(r->posix ? posix_options : pcre_options, letters, &options, why) &&
	       compile(r, rule, pattern, options, why);
}

/*
 * The next part of a result: literal text, or the number of a group. False at the end; group -2:
 * not a number after $.
 */
static bool
next_part(struct span *rest, struct span *literal, int *group)
{
	struct span s = *rest;
	const char *dollar;
	uint64_t number;
	size_t n = 0, skip;
	bool braced;

	*group = -1;
	if (s.len == 0)
		return false;
	dollar = memchr(s.p, '$', s.len);
	if (dollar != s.p) {
		literal->p = s.p;
		literal->len = dollar != NULL ? (size_t)(dollar - s.p) : s.len;
		*rest = (struct span){ s.p + literal->len, s.len - literal->len };
		return true;
	}
	if (s.len > 1 && s.p[1] == '$') {
		*literal = (struct span){ s.p, 1 };
		*rest = (struct span){ s.p + 2, s.len - 2 };
		return true;
	}
	braced = s.len > 1 && (s.p[1] == '{' || s.p[1] == '(');
	skip = braced ? 2 : 1;
	while (skip + n < s.len && isdigit((unsigned char)s.p[skip + n]))
		n++;
	*group = span_uint((struct span){ s.p + skip, n }, 99, &number) ? (int)number : -2;
	n += skip;
	if (braced && (n >= s.len || s.p[n++] != (s.p[1] == '{' ? '}' : ')')))
		*group = -2;
	*rest = n > s.len ? (struct span){ s.p + s.len, 0 } : (struct span){ s.p + n, s.len - n };
	return true;
}

static bool
check_result(const struct rule *rule, struct span result, struct buf *why)
{
	struct span literal = { "", 0 };
	uint32_t groups = 0;
	int group;

	pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	while (next_part(&result, &literal, &group)) {
		if (group == -2)
			buf_puts(why, "no number after $ in the result; write $1, ${1}, or $$ for "
				      "a dollar sign");
		else if (group >= 0 && rule->negated)
			buf_puts(
			    why, "$number in the result of a negated pattern, which has no groups");
		else if (group == 0 || group > (int)groups)
			buf_printf(
			    why, "$%d in the result, but the pattern has %u groups", group, groups);
		if (why->len > 0)
			return false;
	}
	return true;
}

static struct rule *
add_rule(struct regex *r)
{
	if (r->count == r->room) {
		r->room = r->room == 0 ? 16 : r->room * 2;
		r->rule = mem_grow(r->rule, r->room, sizeof(*r->rule));
	}
	return &r->rule[r->count++];
}

static bool
is_keyword(struct span text, const char *word)
{
	size_t n = strlen(word);

	return text.len >= n && strncasecmp(text.p, word, n) == 0 &&
	       (text.len == n || !isalnum((unsigned char)text.p[n]));
}

static bool
read_if(struct regex *r, struct rule *rule, struct span text, struct buf *why)
{
	struct span rest = { text.p + 2, text.len - 2 };

	rule->kind = RULE_IF;
	if (!read_pattern(r, rule, &rest, why))
		return false;
	if (rest.len > 0) {
		buf_puts(why, "text after the pattern of IF");
		return false;
	}
	r->open = mem_grow(r->open, r->depth + 1, sizeof(*r->open));
	r->open[r->depth++] = r->count;
	return true;
}

static bool
read_endif(struct regex *r, struct rule *rule, struct span text, struct buf *why)
{
	rule->kind = RULE_ENDIF;
	if (text.len > 5)
		buf_puts(why, "garbage after ENDIF");
	else if (r->depth == 0)
		buf_puts(why, "ENDIF without IF");
	else
		r->rule[r->open[--r->depth]].next = r->count;
	return why->len == 0;
}

static bool
read_result(struct regex *r, struct rule *rule, struct span text, struct buf *why)
{
	if (!read_pattern(r, rule, &text, why))
		return false;
	if (text.len == 0) {
		buf_puts(why, "no lookup result; write /PATTERN/ RESULT");
		return false;
	}
	if (!check_result(rule, text, why))
		return false;
	rule->result = mem_strndup(text.p, text.len);
	return true;
}

static void
read_rule(void *arg, struct span text, const char *file, unsigned line)
{
	struct regex *r = arg;
	struct rule rule = { .kind = RULE_RESULT, .line = line };
	char bytes[300];
	struct buf why = BUF(bytes);
	bool ok;

	if (is_keyword(text, "if"))
		ok = read_if(r, &rule, text, &why);
	else if (is_keyword(text, "endif"))
		ok = read_endif(r, &rule, text, &why);
	else
		ok = read_result(r, &rule, text, &why);
	if (ok) {
		*add_rule(r) = rule;
		return;
	}
	if (rule.code != NULL)
		pcre2_code_free(rule.code);
	diag_add(r->diag, DIAG_WARNING, file, line, "%s: skipping this rule", bytes);
}

static bool
holds(struct regex *r, const struct rule *rule, struct span key, const char *table)
{
	int rc = pcre2_match(rule->code, (PCRE2_SPTR)key.p, key.len, 0, 0, r->match, r->limits);

	if (rc < PCRE2_ERROR_NOMATCH) {
		r->given_up++;
		if ((r->given_up & (r->given_up - 1)) == 0) /* 1, 2, 4, 8 ... */
			log_warning("%s: line %u: the pattern takes too long (error %d, %u times); "
				    "make it simpler: "
				    "taken as no match",
			    table, rule->line, rc, r->given_up);
		return false;
	}
	return (rc >= 0) != rule->negated;
}

static void
put_result(const struct regex *r, const struct rule *rule, struct span key, struct buf *value)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->match);
	uint32_t pairs = pcre2_get_ovector_count(r->match);
	struct span rest = span_of(rule->result), literal = { "", 0 };
	int group;

	while (next_part(&rest, &literal, &group)) {
		if (group < 0)
			buf_putspan(value, literal);
		else if ((uint32_t)group < pairs && at[2 * group] != PCRE2_UNSET)
			buf_putspan(value, (struct span){ key.p + at[2 * group],
					       at[2 * group + 1] - at[2 * group] });
	}
}

static enum table_result
regex_find(const struct table *t, struct span key, struct buf *value)
{
	struct regex *r = t->state;

	for (size_t i = 0; i < r->count;) {
		const struct rule *rule = &r->rule[i];
		bool yes = rule->kind == RULE_ENDIF || holds(r, rule, key, t->name);

		if (yes && rule->kind == RULE_RESULT) {
			put_result(r, rule, key, value);
			return TABLE_FOUND;
		}
		i = !yes && rule->kind == RULE_IF ? rule->next : i + 1;
	}
	return TABLE_MISSING;
}

static void
regex_free(struct table *t)
{
	struct regex *r = t->state;

	for (size_t i = 0; i < r->count; i++) {
		if (r->rule[i].code != NULL)
			pcre2_code_free(r->rule[i].code);
		free(r->rule[i].result);
	}
	free(r->rule);
	pcre2_match_context_free(r->limits);
	pcre2_match_data_free(r->match);
	free(r);
}

static const struct table_kind regex_kind = { .find = regex_find, .free = regex_free };

static void
close_ifs(struct regex *r)
{
	while (r->depth > 0) {
		struct rule *rule = &r->rule[r->open[--r->depth]];

		diag_add(r->diag, DIAG_WARNING, r->name, rule->line, "IF has no matching ENDIF");
		rule->next = r->count;
	}
	free(r->open);
	r->open = NULL;
}

static bool
regex_open(struct table *t, const char *name, struct diag *diag, bool posix)
{
	struct regex *r = mem_alloc(sizeof(*r));
	bool ok;

	r->name = name[0] == '{' ? t->name : name;
	r->diag = diag;
	r->posix = posix;
	r->limits = pcre2_match_context_create(NULL);
	r->match = pcre2_match_data_create(100, NULL);
	if (r->limits == NULL || r->match == NULL)
		abort(); /* no memory at load: as everywhere */
	pcre2_set_match_limit(r->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
	t->state = r;
	ok = table_each_rule(t, name, read_rule, r, diag);
	close_ifs(r);
	if (!ok)
		regex_free(t);
	t->kind = &regex_kind;
	return ok;
}

bool
regexp_open(struct table *t, const char *name, struct diag *diag)
{
	return regex_open(t, name, diag, true);
}

bool
pcre_open(struct table *t, const char *name, struct diag *diag)
{
	return regex_open(t, name, diag, false);
}

#endif
