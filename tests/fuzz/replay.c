/*
 * The everyday main() of a fuzz target: each file named on the command line, and each of its
 * prefixes, is given to the target once. The bytes stand in a block of exactly their size, so that
 * AddressSanitizer sees a read beyond them.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX ((size_t)1 << 20)
#define PREFIX_MAX ((size_t)600) /* prefixes cost the square of the length */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#ifndef WITH_FUZZING
static void
replay(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);

	if (exact == NULL)
		abort();
	memcpy(exact, bytes, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static int
replay_file(const char *path, uint8_t *room)
{
	FILE *file = fopen(path, "rb");
	size_t len;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	len = fread(room, 1, INPUT_MAX, file);
	(void)fclose(file);
	for (size_t n = 0; n < len && n < PREFIX_MAX; n++)
		replay(room, n);
	replay(room, len);
	return 0;
}

int
main(int argc, char **argv)
{
	uint8_t *room = malloc(INPUT_MAX);
	int failed = 0;

	if (room == NULL)
		return 1;
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i], room);
	free(room);
	printf("%d inputs\n", argc - 1);
	return failed;
}
#endif
