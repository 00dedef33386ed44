/* The file grammar and expansion: main.cf and gatehouse.cf, apart at the first NUL byte. */
#include "config.h"

#include <string.h>
#include <sys/stat.h>
#include "rules/rules.h"
#include "tests/fuzz/rules_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char directory[] = "/tmp/fuzz_maincf.XXXXXX";

static void
clean_up(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/main.cf", directory);
	(void)unlink(path);
	(void)rmdir(directory);
}

/* A directory in which main.cf leads to the input. */
static const char *
directory_for(const char *file)
{
	static bool made;
	char path[80];

	if (!made) {
		snprintf(path, sizeof(path), "%s/main.cf", mkdtemp(directory));
		if (symlink(file, path) != 0 || atexit(clean_up) != 0)
			abort();
		made = true;
	}
	return directory;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct diag *diag = diag_new();
	struct rules *rules = rules_load(directory_for(input_file(bytes, len)), NULL, 0, diag);

	if (rules == NULL)
		abort();
	for (unsigned p = 0; p < PARAMS; p++) {
		const struct param_row *row = &param_rows[p];

		if (rules_expanded_text(rules, (enum param)p) == NULL)
			abort();
		if (row->type == PT_NUMBER && (rules_number(rules, (enum param)p) < row->min ||
						  rules_number(rules, (enum param)p) > row->max))
			abort();
		if (row->type == PT_TIME &&
		    (rules_seconds(rules, (enum param)p) < row->min ||
			rules_seconds_stress(rules, (enum param)p, true) < row->min))
			abort();
	}
	rules_free(&rules);
	diag_free(&diag);
	return 0;
}
