/*
 * usage: tune_log [LINES [CLIENTS [SEED [syslog|rfc5424|iso|record]]]] >FILE
 * A mail server's log with a planted truth; 1.2 million lines if not told otherwise.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/bench/tune_gen.h"

int
main(int argc, char **argv)
{
	static const char *const formats[] = { "syslog", "rfc5424", "iso", "record" };
	struct gen g = gen_default;

	g.recipients = 3;
	if (argc > 1)
		g.lines = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		g.clients = (unsigned)strtoul(argv[2], NULL, 10);
	if (argc > 3)
		g.seed = strtoull(argv[3], NULL, 10);
	for (int i = 0; argc > 4 && i < 4; i++)
		if (strcmp(argv[4], formats[i]) == 0)
			g.format = (enum gen_format)i;
	if (g.lines == 0 || g.clients == 0) {
		fputs("usage: tune_log [LINES [CLIENTS [SEED [syslog|rfc5424|iso|record]]]]\n",
		    stderr);
		return 64;
	}
	gen_write(&g, stdout);
	return ferror(stdout) || fflush(stdout) != 0;
}
