/*
 * base/fd.h: descriptors: passing them between processes, and keeping a child's table small.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Sends `len` bytes (at least one) with `count` descriptors (at most FD_PASS_MAX) in one message. Never
 * blocks on a non-blocking socket. Returns the bytes sent, or -1 with errno. The descriptors stay open here.
 */
#define FD_PASS_MAX 4
ssize_t fd_send(int sock, const void *bytes, size_t len, const int *fds, size_t count);

/*
 * Receives into `bytes`, and up to *count descriptors into fds (close-on-exec). *count is set to the
 * number received; descriptors beyond it, or of a cut control message, are closed, and EMSGSIZE is the error.
 */
ssize_t fd_recv(int sock, void *bytes, size_t size, int *fds, size_t *count);

/*
 * One zero byte with a descriptor, then `len` bytes, as two messages in one call. True if both went whole;
 * otherwise errno says why. The descriptor stays open here.
 */
bool fd_hand_over(int sock, int fd, const void *bytes, size_t len);

bool fd_nonblock(int fd, bool on);
bool fd_cloexec(int fd, bool on);

/* How many are open here, 0, 1 and 2 included. One poll(2) for every 256: no /proc, so a jailed process can. */
size_t fd_count(void);

/* Closes every descriptor except 0, 1, 2 and the `count` listed (negative entries are skipped). */
void fd_close_others(const int *keep, size_t count);

#endif
