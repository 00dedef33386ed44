/* pcre: and regexp: tables: the input is the file; its lines are looked up. */
#include "config.h"

#include <string.h>
#include "rules/rules.h"
#include "tests/fuzz/rules_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
look_up_lines(const struct table *table, const uint8_t *bytes, size_t len)
{
	char key[200], result[100];
	size_t n = 0;

	for (size_t i = 0; i < len && i < 1000; i++) {
		struct buf value = BUF(result);

		if (bytes[i] != '\n' && bytes[i] != '\0' && n + 1 < sizeof(key)) {
			key[n++] = (char)bytes[i];
			continue;
		}
		key[n] = '\0';
		(void)table_find(table, key, &value);
		n = 0;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const type[] = { "pcre", "regexp" };

	for (int i = 0; i < 2; i++) {
		struct diag *diag = diag_new();
		struct table *table;
		char name[80];

		snprintf(name, sizeof(name), "%s:%s", type[i], input_file(bytes, len));
		table = table_open(name, diag);
		look_up_lines(table, bytes, len);
		table_free(&table);
		diag_free(&diag);
	}
	return 0;
}
