/*
 * rules/expand.h: $name and its conditional forms in parameter values (postconf(5)).
 *
 *	$name  ${name}  $(name)  $$
 *	${name?text} ${name?{text}} ${name?{text}:{text}} ${name:{text}}
 *	${{left} OP {right} ? {text} : {text}}
 *
 * OP is ==, !=, <, <=, > or >=; both sides are compared as numbers if both are, else as text. With
 * `level` after it (<level) they are compared as versions, field by field.
 */
#ifndef RULES_EXPAND_H
#define RULES_EXPAND_H

#include <stdbool.h>
#include "base/text.h"
#include "rules/dyn.h"

#define EXPAND_SIZE_MAX ((size_t)1 << 24)

struct expand {
	/*
	 * Appends the expanded value of name to out. test: only asked whether there is one. False stops the
	 * expansion; the callee has put the reason into err.
	 */
	bool (*value)(struct expand *, const char *name, bool test, struct dyn *out);
	void *arg;
	struct buf err; /* the reason when expand_text() is false */
	unsigned depth; /* of nested braces and values; bounded */
	unsigned steps; /* names looked up; bounded */
};

bool expand_text(struct expand *, struct span text, struct dyn *out);

/* The name if the text is exactly one $name, ${name} or $(name), else a span of length 0. */
struct span expand_only_name(struct span text);

#endif
