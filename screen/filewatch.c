#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "screen/filewatch.h"

#define LOOK_MS 2000

struct filewatch {
	struct loop *loop;
	const struct rules *rules;
	void (*changed)(void *arg);
	void *arg;
	struct watch look;
	uint64_t in_force, last; /* what the files looked like */
};

/* Whatever tells one state of a file from another: replaced, written to, gone. */
static uint64_t
look_at(uint64_t sum, struct span name)
{
	struct stat st;
	char *path = mem_strndup(name.p, name.len);
	uint64_t facts[6] = { sum };

	if (path[0] == '/' && stat(path, &st) == 0) {
		facts[1] = (uint64_t)st.st_dev;
		facts[2] = (uint64_t)st.st_ino;
		facts[3] = (uint64_t)st.st_size;
		facts[4] = (uint64_t)st.st_mtim.tv_sec;
		facts[5] = (uint64_t)st.st_mtim.tv_nsec;
	}
	free(path);
	return hash_bytes(facts, sizeof facts);
}

/* "cidr:FILE*3", "ptr:pcre:FILE*2": from the first slash to the weight. */
static struct span
file_of_rule(struct span rule)
{
	const char *slash = memchr(rule.p, '/', rule.len);
	struct span file = { rule.p, 0 };

	if (slash == NULL)
		return file;
	file = (struct span){ slash, rule.len - (size_t)(slash - rule.p) };
	const char *star = memrchr(file.p, '*', file.len);
	if (star != NULL)
		file.len = (size_t)(star - file.p);
	return file;
}

static uint64_t
look_at_all(const struct rules *rules)
{
	struct span feeds = span_of(rules_text(rules, P_gatehouse_score_rules));
	struct span geo = span_of(rules_text(rules, P_gatehouse_geo_files)), part;
	uint64_t sum = 0;

	while ((part = span_token(&feeds, ", \t\r\n")).len > 0)
		sum = look_at(sum, file_of_rule(part));
	while ((part = span_token(&geo, ", \t\r\n")).len > 0)
		sum = look_at(sum, part);
	return sum;
}

static void
on_look(int fd, short what, void *arg)
{
	struct filewatch *fw = arg;
	uint64_t now = look_at_all(fw->rules);
	bool settled = now == fw->last;

	(void)fd, (void)what;
	fw->last = now;
	watch_start_once(&fw->look, LOOK_MS);
	if (now == fw->in_force || !settled)
		return;
	fw->in_force = now; /* also if they are refused: once is enough to say so */
	fw->changed(fw->arg);
}

struct filewatch *
filewatch_new(struct loop *loop, void (*changed)(void *arg), void *arg)
{
	struct filewatch *fw = mem_alloc(sizeof *fw);

	fw->loop = loop;
	fw->changed = changed;
	fw->arg = arg;
	watch_init_timer(&fw->look, loop, on_look, fw);
	return fw;
}

void
filewatch_free(struct filewatch **fw)
{
	if (*fw == NULL)
		return;
	watch_stop(&(*fw)->look);
	free(*fw);
	*fw = NULL;
}

void
filewatch_follow(struct filewatch *fw, const struct rules *rules)
{
	fw->rules = rules;
	fw->in_force = fw->last = look_at_all(rules);
	if (fw->in_force != 0)
		watch_start_once(&fw->look, LOOK_MS);
	else
		watch_stop(&fw->look);
}
