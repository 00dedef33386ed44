/* CIDR tables: the input is the file; looked up are the addresses that its own bytes make. */
#include "config.h"

#include <string.h>
#include "rules/rules.h"
#include "tests/fuzz/rules_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct diag *diag = diag_new();
	char name[80], result[100];
	struct table *table;

	snprintf(name, sizeof(name), "cidr:%s", input_file(bytes, len));
	table = table_open(name, diag);
	for (size_t i = 0; i + 16 <= len && i < 64; i += 4) {
		struct addr four = { .family = 4 }, six = { .family = 6 };
		struct buf value = BUF(result);

		memcpy(four.ip, bytes + i, 4);
		memcpy(six.ip, bytes + i, 16);
		if (table_find_addr(table, &four, &value) == TABLE_ERROR ||
		    table_find_addr(table, &six, &value) == TABLE_ERROR)
			abort();
	}
	table_free(&table);
	diag_free(&diag);
	return 0;
}
