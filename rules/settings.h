/*
 * rules/settings.h: what the files and the command line say, before it means anything: name → value and
 * where it stands.
 */
#ifndef RULES_SETTINGS_H
#define RULES_SETTINGS_H

#include "base/map.h"
#include "rules/rules.h"

struct setting {
	struct map_node node;
	struct setting *next; /* in order of first appearance */
	char *name, *value;
	const char *file; /* owned by the settings */
	unsigned line;
	bool reported, warned; /* an error, a warning about it is in the diag already */
};

struct settings {
	struct map by_name;
	struct setting *first, **last;
	char *files[2];
};

void settings_init(struct settings *);
void settings_fini(struct settings *);
struct setting *settings_find(const struct settings *, const char *name);

/* Later definitions win. file must outlive the settings. */
void settings_put(struct settings *, struct span name, struct span value, const char *file, unsigned line);

/* Reads DIR/main.cf and DIR/gatehouse.cf. False if neither could be read. */
bool settings_read_dir(struct settings *, const char *dir, struct diag *);

#endif
