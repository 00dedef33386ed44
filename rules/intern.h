/*
 * rules/intern.h: each different text once, with a number: 0, 1, 2 ... in order of appearance.
 */
#ifndef RULES_INTERN_H
#define RULES_INTERN_H

#include "rules/dyn.h"

#define INTERN_NONE UINT32_MAX

struct intern {
	struct dyn bytes;  /* the texts, each with its NUL */
	size_t *at;        /* where text i begins */
	uint32_t *slot;    /* open addressing: number + 1, or 0 */
	uint32_t count, room, slots;
};

/* All-zero is an empty intern. */
uint32_t intern_add(struct intern *, struct span text, bool *is_new); /* is_new may be null */
uint32_t intern_find(const struct intern *, struct span text);       /* or INTERN_NONE */
const char *intern_text(const struct intern *, uint32_t number);
void intern_fini(struct intern *);

#endif
