#include "config.h"
#include "rules/expand.h"

#include <ctype.h>

#define DEPTH_MAX 100
#define STEPS_MAX 20000

static bool
fail(struct expand *x, const char *what, struct span at)
{
	buf_puts(&x->err, what);
	if (at.len > 0) {
		buf_puts(&x->err, " at \"");
		buf_escape(&x->err, at, 60);
		buf_putc(&x->err, '"');
	}
	return false;
}

static struct span
span_from(struct span s, size_t n)
{
	return (struct span){ s.p + n, s.len - n };
}

static struct span
skip_space(struct span s)
{
	while (s.len > 0 && isspace((unsigned char)s.p[0]))
		s = span_from(s, 1);
	return s;
}

static size_t
name_length(struct span s)
{
	size_t n = 0;

	while (n < s.len && (isalnum((unsigned char)s.p[n]) || s.p[n] == '_'))
		n++;
	return n;
}

/* s begins with `open`: the number of bytes up to and with the matching `close`, or 0. */
static size_t
balanced(struct span s, char open, char close)
{
	size_t level = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == open)
			level++;
		else if (s.p[i] == close && --level == 0)
			return i + 1;
	}
	return 0;
}

/*
 * Takes the text of a branch off *rest: what stands between braces, or all that is left.
 */
static bool
take_payload(struct expand *x, struct span *rest, struct span *out)
{
	struct span s = skip_space(*rest);
	size_t n;

	if (s.len == 0 || s.p[0] != '{') {
		*out = *rest;
		*rest = span_from(*rest, rest->len);
		return true;
	}
	n = balanced(s, '{', '}');
	if (n == 0)
		return fail(x, "missing } for the {", s);
	*out = span_trim((struct span){ s.p + 1, n - 2 });
	*rest = skip_space(span_from(s, n));
	return true;
}

static bool
value_of(struct expand *x, struct span name, bool test, struct dyn *out)
{
	char text[256];
	struct buf b = BUF(text);

	buf_putspan(&b, name);
	if (b.cut)
		return fail(x, "name too long", name);
	if (++x->steps > STEPS_MAX)
		return fail(x, "the value refers to too many others; write it shorter", name);
	if (!x->value(x, text, test, out))
		return false;
	if (out->len > EXPAND_SIZE_MAX)
		return fail(x, "the value grows beyond 16 megabytes", name);
	return true;
}

/* "? {yes} : {no}", "?yes", ": {no}" or nothing after a condition that turned out as `holds`. */
static bool
choose(struct expand *x, bool holds, struct span rest, struct dyn *out)
{
	struct span yes = { "", 0 }, no = { "", 0 };

	if (rest.len > 0 && rest.p[0] == '?') {
		rest = span_from(rest, 1);
		if (!take_payload(x, &rest, &yes))
			return false;
	}
	if (rest.len > 0 && rest.p[0] == ':') {
		rest = span_from(rest, 1);
		if (!take_payload(x, &rest, &no))
			return false;
	}
	if (rest.len > 0)
		return fail(x, "need ? or : or } here", rest);
	return expand_text(x, holds ? yes : no, out);
}

static bool
is_number(struct span s, int64_t *n)
{
	return span_int(s, INT64_MIN + 1, INT64_MAX, n);
}

static int64_t
version_field(struct span *s)
{
	size_t n = 0;
	uint64_t value = 0;

	while (n < s->len && isdigit((unsigned char)s->p[n]))
		n++;
	if (!span_uint((struct span){ s->p, n }, UINT32_MAX, &value))
		value = 0;
	if (n < s->len && s->p[n] == '.')
		n++;
	*s = span_from(*s, n);
	return (int64_t)value;
}

static int
compare_levels(struct span a, struct span b)
{
	for (int i = 0; i < 3; i++) {
		int64_t left = version_field(&a), right = version_field(&b);

		if (left != right)
			return left < right ? -1 : 1;
	}
	return 0;
}

static int
compare_values(struct span a, struct span b)
{
	int64_t left, right;
	size_t n = a.len < b.len ? a.len : b.len;
	int order;

	if (is_number(a, &left) && is_number(b, &right))
		return left < right ? -1 : left > right;
	order = memcmp(a.p, b.p, n);
	return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

enum { LESS = 1, EQUAL = 2, MORE = 4 };
static const struct operator
{
	const char *word;
	unsigned accepts;
}
operators[] = {
	/* longest first */
	{ "==", EQUAL },
	{ "!=", LESS | MORE },
	{ "<=", LESS | EQUAL },
	{ ">=", MORE | EQUAL },
	{ "<", LESS },
	{ ">", MORE },
};

static const struct operator* take_operator(struct span *rest, bool *level)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		size_t n = strlen(operators[i].word);

		if (rest->len < n || memcmp(rest->p, operators[i].word, n) != 0)
			continue;
		*rest = span_from(*rest, n);
		*level = rest->len >= 5 && memcmp(rest->p, "level", 5) == 0;
		*rest = skip_space(span_from(*rest, *level ? 5 : 0));
		return &operators[i];
	}
	return NULL;
}

static bool
holds_between(const struct operator* op, bool level, struct span a, struct span b)
{
	int order = level ? compare_levels(a, b) : compare_values(a, b);

	return (op->accepts & (unsigned)(order < 0 ? LESS : order > 0 ? MORE : EQUAL)) != 0;
}

/* "{left} OP {right} ? {yes} : {no}" */
static bool
expand_relation(struct expand *x, struct span rest, struct dyn *out)
{
	struct span left, right, all = rest;
	struct dyn a = { 0 }, b = { 0 };
	const struct operator* op = NULL;
	bool level = false, ok, holds;

	ok = take_payload(x, &rest, &left);
	if (ok && (op = take_operator(&rest, &level)) == NULL)
		ok = fail(x, "need one of == != < <= > >=", rest.len > 0 ? rest : all);
	if (ok && (rest.len == 0 || rest.p[0] != '{'))
		ok = fail(x, "need {text} after the comparison", rest.len > 0 ? rest : all);
	ok = ok && take_payload(x, &rest, &right) && expand_text(x, left, &a) &&
	     expand_text(x, right, &b);
	holds = ok && holds_between(op, level, dyn_span(&a), dyn_span(&b));
	if (ok && rest.len == 0)
		dyn_puts(out, holds ? "bool:true" : "");
	else if (ok)
		ok = choose(x, holds, rest, out);
	dyn_fini(&a);
	dyn_fini(&b);
	return ok;
}

/* What stands inside ${...}. */
static bool
expand_braced(struct expand *x, struct span inside, struct dyn *out)
{
	struct span s = skip_space(inside), name;
	struct dyn value = { 0 };
	bool ok;

	if (s.len > 0 && s.p[0] == '{')
		return expand_relation(x, s, out);
	name = (struct span){ s.p, name_length(s) };
	s = skip_space(span_from(s, name.len));
	if (name.len == 0)
		return fail(x, "no parameter name after ${", inside);
	if (s.len == 0)
		return value_of(x, name, false, out);
	if (s.p[0] != '?' && s.p[0] != ':')
		return fail(x, "need ?, : or } after the name", s);
	ok = value_of(x, name, true, &value) && choose(x, value.len > 0, s, out);
	dyn_fini(&value);
	return ok;
}

/* s stands after a `$`; *used is what belongs to it. */
static bool
expand_dollar(struct expand *x, struct span s, struct dyn *out, size_t *used)
{
	if (s.len > 0 && s.p[0] == '$') {
		*used = 1;
		dyn_puts(out, "$");
		return true;
	}
	if (s.len > 0 && (s.p[0] == '{' || s.p[0] == '(')) {
		*used = balanced(s, s.p[0], s.p[0] == '{' ? '}' : ')');
		if (*used == 0)
			return fail(x,
			    s.p[0] == '{' ? "missing } for the ${" : "missing ) for the $(",
			    (struct span){ s.p - 1, s.len + 1 });
		return expand_braced(x, (struct span){ s.p + 1, *used - 2 }, out);
	}
	*used = name_length(s);
	if (*used == 0)
		return fail(x, "no parameter name after $ (write $$ for a dollar sign)",
		    (struct span){ s.p - 1, s.len + 1 });
	return value_of(x, (struct span){ s.p, *used }, false, out);
}

bool
expand_text(struct expand *x, struct span s, struct dyn *out)
{
	bool ok = true;

	if (x->depth >= DEPTH_MAX)
		return fail(x, "nested too deep", s);
	x->depth++;
	while (ok && s.len > 0) {
		const char *dollar = memchr(s.p, '$', s.len);
		size_t plain = dollar != NULL ? (size_t)(dollar - s.p) : s.len, used = 0;

		dyn_put(out, s.p, plain);
		s = span_from(s, plain);
		if (dollar == NULL)
			break;
		s = span_from(s, 1);
		ok = expand_dollar(x, s, out, &used);
		s = span_from(s, used);
	}
	x->depth--;
	return ok;
}

struct span
expand_only_name(struct span s)
{
	const struct span none = { "", 0 };
	bool braced;

	if (s.len < 2 || s.p[0] != '$')
		return none;
	braced = s.p[1] == '{' || s.p[1] == '(';
	if (braced && s.p[s.len - 1] != (s.p[1] == '{' ? '}' : ')'))
		return none;
	s = braced ? (struct span){ s.p + 2, s.len - 3 } : span_from(s, 1);
	return s.len > 0 && name_length(s) == s.len ? s : none;
}
