/*
 * Names of tables and lists of them, as an operator writes them in main.cf, and match lists; and
 * the same bytes as a texthash file.
 */
#include "config.h"

#include <ctype.h>
#include <string.h>
#include "rules/rules.h"
#include "tests/fuzz/rules_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The text with no path in it: a slash stays only where a prefix length follows. */
static char *
without_paths(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1);

	if (text == NULL)
		abort();
	memcpy(text, bytes, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (text[i] == '/' && !isdigit((unsigned char)text[i + 1]))
			text[i] = '|';
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct diag *diag = diag_new();
	char *text = without_paths(bytes, len), name[80], result[200];
	const struct addr client = { 4, { 10, 0, 0, 1 } };
	struct buf value = BUF(result);
	struct table *table;
	struct table_list *tables = table_list_open(text, diag);
	struct match_list *matches = match_list_open(text, "main.cf", 1, diag);

	(void)table_list_find(tables, "key", &value);
	(void)match_list_addr(matches, &client);
	table_list_free(&tables);
	match_list_free(&matches);
	snprintf(name, sizeof(name), "texthash:%s", input_file(bytes, len));
	table = table_open(name, diag);
	(void)table_find(table, text, &value);
	table_free(&table);
	diag_free(&diag);
	free(text);
	return 0;
}
