#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "policy/policy.h"

#define LOG_PROGRAM "postscreen"
#define RESULT_SIZE 1024

enum word { WORD_PERMIT, WORD_REJECT, WORD_DUNNO, WORD_MYNETWORKS, WORD_TABLE, WORD_UNKNOWN };

static const struct {
	const char *text;
	enum word word;
} words[] = {
	{ "permit", WORD_PERMIT },
	{ "reject", WORD_REJECT },
	{ "dunno", WORD_DUNNO },
	{ "permit_mynetworks", WORD_MYNETWORKS },
};

struct element {
	enum word word;
	struct table *table; /* WORD_TABLE */
};

struct access_list {
	struct element *elements;
	size_t count;
	struct match_list *mynetworks;
};

/* What a list, or a table's result read as a list, says. OUTER: the outer list goes on. */
enum outcome { SAYS_PERMIT, SAYS_REJECT, SAYS_NOTHING, SAYS_OUTER };

static enum word
word_of(struct span text)
{
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (span_is_nocase(text, words[i].text))
			return words[i].word;
	return memchr(text.p, ':', text.len) ? WORD_TABLE : WORD_UNKNOWN;
}

static void
add_element(
    struct access_list *list, struct span text, const struct rules *rules, struct diag *diag)
{
	struct element element = { word_of(text), NULL };
	char *name = mem_strndup(text.p, text.len);
	unsigned line;
	const char *file = rules_origin(rules, P_postscreen_access_list, &line);

	if (element.word == WORD_TABLE)
		element.table = table_open(name, diag);
	if (element.word == WORD_UNKNOWN)
		diag_add(diag, DIAG_ERROR, file, line,
		    "postscreen_access_list: unknown command: %.100s: write permit, reject, dunno, "
		    "permit_mynetworks or type:table",
		    name);
	free(name);
	list->elements = mem_grow(list->elements, list->count + 1, sizeof *list->elements);
	list->elements[list->count++] = element;
}

struct access_list *
access_list_load(const struct rules *rules, struct diag *diag)
{
	struct access_list *list = mem_alloc(sizeof *list);
	struct span rest = span_of(rules_text(rules, P_postscreen_access_list));
	unsigned line;
	const char *file = rules_origin(rules, P_mynetworks, &line);

	list->mynetworks = match_list_open(rules_text(rules, P_mynetworks), file, line, diag);
	for (struct span text; (text = rules_list_token(&rest)).len > 0;)
		add_element(list, text, rules, diag);
	return list;
}

const struct match_list *
access_list_mynetworks(const struct access_list *list)
{
	return list->mynetworks;
}

void
access_list_free(struct access_list **list)
{
	if (*list == NULL)
		return;
	for (size_t i = 0; i < (*list)->count; i++)
		if ((*list)->elements[i].table != NULL)
			table_free(&(*list)->elements[i].table);
	match_list_free(&(*list)->mynetworks);
	free((*list)->elements);
	free(*list);
	*list = NULL;
}

/* A broken table would otherwise be reported with every client. */
static bool
may_warn(void)
{
	static struct log_limit limit;
	unsigned held;

	if (!log_allowed(&limit, clock_now_us(), &held))
		return false;
	if (held > 0)
		log_warning("access list: %u more warnings were held back", held);
	return true;
}

static enum outcome
ask_mynetworks(const struct access_list *list, const struct addr *client, const char *origin)
{
	switch (match_list_addr(list->mynetworks, client)) {
	case TABLE_FOUND:
		return SAYS_PERMIT;
	case TABLE_MISSING:
		return SAYS_OUTER;
	case TABLE_ERROR:
		break;
	}
	if (may_warn())
		log_warning("%s: permit_mynetworks: mynetworks lookup error -- "
			    "ignoring the remainder of this access list",
		    origin);
	return SAYS_NOTHING; /* fail open */
}

/* One word of a table's result. */
static enum outcome
ask_result_word(
    const struct access_list *list, const struct addr *client, struct span text, const char *table)
{
	char shown[128];
	struct buf safe = BUF(shown);

	switch (word_of(text)) {
	case WORD_PERMIT:
		return SAYS_PERMIT;
	case WORD_REJECT:
		return SAYS_REJECT;
	case WORD_DUNNO:
		return SAYS_OUTER;
	case WORD_MYNETWORKS:
		return ask_mynetworks(list, client, table);
	case WORD_TABLE:
		buf_printable(&safe, text);
		if (may_warn())
			log_warning("table %s: lookup result \"%s\" is not allowed -- "
				    "ignoring remainder of access list",
			    table, shown);
		return SAYS_OUTER;
	case WORD_UNKNOWN:
		break;
	}
	buf_printable(&safe, text);
	if (may_warn())
		log_warning("%s: unknown command: %s -- ignoring the remainder of this access list",
		    table, shown);
	return SAYS_NOTHING; /* fail open */
}

static enum outcome
ask_result(const struct access_list *list, const struct addr *client, struct span result,
    const char *table)
{
	for (struct span text; (text = rules_list_token(&result)).len > 0;) {
		enum outcome outcome = ask_result_word(list, client, text, table);
		/* Only networks that did not match let the next word speak. */
		if (outcome != SAYS_OUTER || word_of(text) != WORD_MYNETWORKS)
			return outcome;
	}
	return SAYS_OUTER;
}

static enum outcome
ask_table(const struct access_list *list, const struct addr *client, const struct table *table)
{
	char result[RESULT_SIZE];
	struct buf value = BUF(result);

	switch (table_find_addr(table, client, &value)) {
	case TABLE_FOUND:
		return ask_result(
		    list, client, (struct span){ value.p, value.len }, table_name(table));
	case TABLE_MISSING:
		return SAYS_OUTER;
	case TABLE_ERROR:
		break;
	}
	if (may_warn())
		log_warning("postscreen_access_list: %s: table lookup error -- "
			    "ignoring the remainder of this access list",
		    table_name(table));
	return SAYS_NOTHING; /* fail open */
}

static enum outcome
ask_element(
    const struct access_list *list, const struct element *element, const struct addr *client)
{
	switch (element->word) {
	case WORD_PERMIT:
		return SAYS_PERMIT;
	case WORD_REJECT:
		return SAYS_REJECT;
	case WORD_MYNETWORKS:
		return ask_mynetworks(list, client, "postscreen_access_list");
	case WORD_TABLE:
		return ask_table(list, client, element->table);
	case WORD_DUNNO:
	case WORD_UNKNOWN: /* reported at load; fail open */
		break;
	}
	return SAYS_NOTHING;
}

enum access_result
access_list_find(const struct access_list *list, const struct addr *client)
{
	for (size_t i = 0; i < list->count; i++) {
		switch (ask_element(list, &list->elements[i], client)) {
		case SAYS_PERMIT:
			return ACCESS_PERMIT;
		case SAYS_REJECT:
			return ACCESS_REJECT;
		case SAYS_NOTHING:
			return ACCESS_DUNNO;
		case SAYS_OUTER:
			break;
		}
	}
	return ACCESS_DUNNO;
}
