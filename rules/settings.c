#include "config.h"
#include "rules/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"
#include "rules/lines.h"

void
settings_init(struct settings *s)
{
	*s = (struct settings){ 0 };
	map_init(&s->by_name, 256);
	s->last = &s->first;
}

void
settings_fini(struct settings *s)
{
	struct setting *next;

	for (struct setting *i = s->first; i != NULL; i = next) {
		next = i->next;
		free(i->name);
		free(i->value);
		free(i);
	}
	map_fini(&s->by_name);
	free(s->files[0]);
	free(s->files[1]);
}

static bool
same_name(const struct map_node *node, const void *key)
{
	const struct span *name = key;

	return span_is(*name, container_of(node, struct setting, node)->name);
}

static struct setting *
find_span(const struct settings *s, struct span name)
{
	struct map_node *node =
	    map_find(&s->by_name, hash_bytes(name.p, name.len), same_name, &name);

	return node != NULL ? container_of(node, struct setting, node) : NULL;
}

struct setting *
settings_find(const struct settings *s, const char *name)
{
	return find_span(s, span_of(name));
}

void
settings_put(
    struct settings *s, struct span name, struct span value, const char *file, unsigned line)
{
	struct setting *i = find_span(s, name);

	if (i == NULL) {
		i = mem_alloc(sizeof(*i));
		i->name = mem_strndup(name.p, name.len);
		map_add(&s->by_name, &i->node, hash_bytes(name.p, name.len));
		*s->last = i;
		s->last = &i->next;
	}
	free(i->value);
	i->value = mem_strndup(value.p, value.len);
	i->file = file;
	i->line = line;
}

static bool
name_is_good(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!isgraph((unsigned char)name.p[i]) || name.p[i] == '$' || name.p[i] == '{')
			return false;
	return name.len > 0;
}

static void
read_line(struct settings *s, struct span text, const char *file, unsigned line, struct diag *diag)
{
	const char *equals = memchr(text.p, '=', text.len);
	struct span name, value;
	int shown = text.len > 40 ? 40 : (int)text.len;

	if (equals == NULL) {
		diag_add(diag, DIAG_ERROR, file, line,
		    "missing '=' after \"%.*s%s\"; write NAME = VALUE, "
		    "or begin the line with white space if it continues the one before",
		    shown, text.p, text.len > 40 ? "..." : "");
		return;
	}
	name = span_trim((struct span){ text.p, (size_t)(equals - text.p) });
	value = span_trim((struct span){ equals + 1, text.len - (size_t)(equals + 1 - text.p) });
	if (!name_is_good(name)) {
		diag_add(diag, DIAG_ERROR, file, line,
		    "bad parameter name in \"%.*s%s\"; write "
		    "NAME = VALUE with a name of letters, digits and _",
		    shown, text.p, text.len > 40 ? "..." : "");
		return;
	}
	settings_put(s, name, value, file, line);
}

static bool
read_file(struct settings *s, const char *file, struct diag *diag)
{
	struct lines *lines = lines_open(file, DIAG_ERROR, diag);
	struct span text;
	unsigned line;
	bool ok;

	if (lines == NULL)
		return false;
	while (lines_next(lines, &text, &line))
		read_line(s, text, file, line, diag);
	ok = !lines_failed(lines);
	lines_close(&lines);
	return ok;
}

bool
settings_read_dir(struct settings *s, const char *dir, struct diag *diag)
{
	static const char *const names[2] = { "main.cf", "gatehouse.cf" };
	bool any = false, missing = true;

	for (int i = 0; i < 2; i++) {
		s->files[i] = mem_printf("%s/%s", dir, names[i]);
		if (access(s->files[i], F_OK) != 0 && errno == ENOENT)
			continue;
		missing = false;
		if (read_file(s, s->files[i], diag))
			any = true;
	}
	if (missing)
		diag_add(diag, DIAG_ERROR, dir, 0,
		    "holds neither main.cf nor gatehouse.cf; name the "
		    "directory of one with -c");
	return any;
}
