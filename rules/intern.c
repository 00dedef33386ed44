#include "config.h"
#include "rules/intern.h"

#include "base/map.h"

/* The slot that holds text, or the empty one where it belongs. */
static uint32_t
find_slot(const struct intern *n, struct span text)
{
	uint32_t i = (uint32_t)hash_bytes(text.p, text.len) & (n->slots - 1);

	while (n->slot[i] != 0 && !span_is(text, intern_text(n, n->slot[i] - 1)))
		i = (i + 1) & (n->slots - 1);
	return i;
}

static void
grow_slots(struct intern *n)
{
	free(n->slot);
	n->slots = n->slots == 0 ? 16 : n->slots * 2;
	n->slot = mem_array(n->slots, sizeof(*n->slot));
	for (uint32_t i = 0; i < n->count; i++)
		n->slot[find_slot(n, span_of(intern_text(n, i)))] = i + 1;
}

uint32_t
intern_add(struct intern *n, struct span text, bool *is_new)
{
	uint32_t slot;

	if (n->count >= n->slots / 2)
		grow_slots(n);
	slot = find_slot(n, text);
	if (is_new != NULL)
		*is_new = n->slot[slot] == 0;
	if (n->slot[slot] != 0)
		return n->slot[slot] - 1;
	if (n->count == n->room) {
		n->room = n->room == 0 ? 8 : n->room + n->room / 2;
		n->at = mem_grow(n->at, n->room, sizeof(*n->at));
	}
	n->at[n->count] = n->bytes.len;
	dyn_put(&n->bytes, text.p, text.len);
	dyn_put(&n->bytes, "", 1);
	n->slot[slot] = ++n->count;
	return n->count - 1;
}

uint32_t
intern_find(const struct intern *n, struct span text)
{
	uint32_t slot = n->slots > 0 ? find_slot(n, text) : 0;

	return n->slots > 0 && n->slot[slot] != 0 ? n->slot[slot] - 1 : INTERN_NONE;
}

const char *
intern_text(const struct intern *n, uint32_t number)
{
	return n->bytes.p + n->at[number];
}

void
intern_fini(struct intern *n)
{
	dyn_fini(&n->bytes);
	free(n->at);
	free(n->slot);
	*n = (struct intern){ 0 };
}
