#include "config.h"
#include "rules/rules.h"

#include <string.h>

const struct param_row param_rows[PARAMS] = {
#define PARAM(name, type, value, min, max, flags, doc) { #name, value, type, min, max, flags, doc },
#include "rules/params.tbl"
#undef PARAM
};

static const unsigned char name_length[PARAMS] = {
#define PARAM(name, type, value, min, max, flags, doc) sizeof(#name) - 1,
#include "rules/params.tbl"
#undef PARAM
};

enum param
param_find(const char *name)
{
	size_t length = strlen(name);
	unsigned p = 0;

	while (p < PARAMS &&
	       (name_length[p] != length || memcmp(param_rows[p].name, name, length) != 0))
		p++;
	return (enum param)p;
}

#define NAME_MAX_NEAR 64

/* Edits (insert, delete, replace) from a to b; names longer than the row count as far. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_NEAR + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > NAME_MAX_NEAR || m > NAME_MAX_NEAR)
		return NAME_MAX_NEAR;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

enum param
param_nearest(const char *name)
{
	size_t length = strlen(name);
	unsigned best = PARAMS, least = (unsigned)length / 4 + 1;

	for (unsigned p = 0; p < PARAMS; p++) {
		size_t apart =
		    name_length[p] > length ? name_length[p] - length : length - name_length[p];
		unsigned d = apart <= least ? distance(name, param_rows[p].name) : NAME_MAX_NEAR;

		if (d < least || (d == least && best == PARAMS)) {
			least = d;
			best = p;
		}
	}
	return (enum param)best;
}
