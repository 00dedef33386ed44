/*
 * Who may write, and how to ask who does. The writer of a store holds the lock of its folder for as long
 * as it lives, so that nobody ever waits for LMDB's own: whoever was stopped inside of a change would
 * stop all others with him. It listens at a socket in that folder, where others hand it their changes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "policy/store.h"

#define DOOR "writer"
#define QUEUE 8

int
store_claim(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* By way of the open folder: its path may be longer than a socket's address. */
static struct sockaddr_un
door_at(int folder)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct buf path = BUF(un.sun_path);

	buf_printf(&path, "/proc/self/fd/%d/" DOOR, folder);
	return un;
}

static int
door_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static int
give_up(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

int
store_door_open(int claim)
{
	struct sockaddr_un un = door_at(claim);
	int fd = door_socket();
	mode_t mask;

	if (fd < 0 || (unlinkat(claim, DOOR, 0) != 0 && errno != ENOENT))
		return give_up(fd);
	mask = umask(0177);
	bool bound = bind(fd, (const struct sockaddr *)&un, sizeof un) == 0;
	umask(mask);
	if (!bound || listen(fd, QUEUE) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		return give_up(fd);
	return fd;
}

int
store_door_enter(const char *path)
{
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = door_socket();
	struct sockaddr_un un = door_at(folder);
	bool entered =
	    folder >= 0 && fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0;
	int saved = errno;

	if (folder >= 0)
		close(folder);
	errno = saved;
	return entered ? fd : give_up(fd);
}
