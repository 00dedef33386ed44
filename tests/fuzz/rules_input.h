/*
 * tests/fuzz/rules_input.h: fuzz input as the contents of a file that has a name.
 */
#ifndef TESTS_FUZZ_RULES_INPUT_H
#define TESTS_FUZZ_RULES_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One memory file for the process; its name, "/proc/self/fd/N", can be opened again and again. */
static inline const char *
input_file(const uint8_t *bytes, size_t len)
{
	static char name[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("input", 0);
		if (fd < 0)
			abort();
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) != 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	return name;
}

#endif
