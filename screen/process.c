/* What the kernel knows of our processes, for the metrics: /proc, read when asked. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "screen/console_inner.h"

/* Linux 6.2 and later say it without a walk. */
static uint64_t
count_descriptors(const char *path)
{
	struct stat st;
	uint64_t n = 0;

	if (stat(path, &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	DIR *dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n > 2 ? n - 2 : 0; /* without . and .. */
}

static uint64_t
resident_pages(const char *path)
{
	char text[128];
	uint64_t pages = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

	if (fd >= 0)
		close(fd);
	struct span rest = { text, n > 0 ? (size_t)n : 0 };
	(void)span_token(&rest, " \n"); /* the whole size */
	return span_uint(span_token(&rest, " \n"), UINT64_MAX, &pages) ? pages : 0;
}

struct process_view
process_look(pid_t pid)
{
	char path[64];
	struct process_view p = { 0 };

	if (pid <= 0)
		return p;
	snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
	p.descriptors = count_descriptors(path);
	snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
	p.resident_bytes = resident_pages(path) * (uint64_t)sysconf(_SC_PAGESIZE);
	return p;
}

struct process_view
seat_look(const struct seat_view *seat)
{
	struct process_view p = process_look(seat->pid);

	if (seat->slot != NULL)
		p.descriptors = seat->slot->descriptors;
	return p;
}
