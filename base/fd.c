#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "base/fd.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
};

static void
attach(struct msghdr *msg, union control *control, const int *fds, size_t count)
{
	memset(control, 0, sizeof *control);
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	struct cmsghdr *h = CMSG_FIRSTHDR(msg);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(h), fds, sizeof(int) * count);
}

bool
fd_hand_over(int sock, int fd, const void *bytes, size_t len)
{
	char zero = 0;
	union control control;
	struct iovec parts[] = { { &zero, 1 }, { (void *)(uintptr_t)bytes, len } };
	struct mmsghdr messages[] = {
		{ .msg_hdr = { .msg_iov = &parts[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &parts[1], .msg_iovlen = 1 } },
	};

	attach(&messages[0].msg_hdr, &control, &fd, 1);
	int n = sendmmsg(sock, messages, 2, MSG_NOSIGNAL);
	if (n == 2 && messages[1].msg_len == len)
		return true;
	if (n >= 0)
		errno = EAGAIN;
	return false;
}

ssize_t
fd_send(int sock, const void *bytes, size_t len, const int *fds, size_t count)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert(len > 0 && count <= FD_PASS_MAX);
	if (count > 0)
		attach(&msg, &control, fds, count);
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* Keeps up to max descriptors of one control message, closes the others. */
static size_t
take_fds(struct cmsghdr *h, int *fds, size_t have, size_t max, bool *excess)
{
	size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
		if (have < max) {
			fds[have++] = fd;
		} else {
			close(fd);
			*excess = true;
		}
	}
	return have;
}

ssize_t
fd_recv(int sock, void *bytes, size_t size, int *fds, size_t *count)
{
	union control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control };
	size_t have = 0;
	bool excess = false;
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h != NULL; h = CMSG_NXTHDR(&msg, h))
			if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
				have = take_fds(h, fds, have, *count, &excess);
	*count = have;
	if (n >= 0 && (excess || (msg.msg_flags & MSG_CTRUNC))) {
		while (have > 0)
			close(fds[--have]);
		*count = 0;
		errno = EMSGSIZE;
		return -1;
	}
	return n;
}

bool
fd_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0;
}

bool
fd_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == 0;
}

static int
by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void
fd_close_others(const int *keep, size_t count)
{
	int sorted[256];
	unsigned next = 3;

	assert(count <= sizeof sorted / sizeof sorted[0]);
	if (count > 0)
		memcpy(sorted, keep, count * sizeof *keep);
	qsort(sorted, count, sizeof sorted[0], by_number);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i] < (int)next)
			continue;
		if ((unsigned)sorted[i] > next)
			close_range(next, (unsigned)sorted[i] - 1, 0);
		next = (unsigned)sorted[i] + 1;
	}
	close_range(next, ~0u, 0);
}

#define COUNT_AT_ONCE 256

size_t
fd_count(void)
{
	struct pollfd at[COUNT_AT_ONCE];
	size_t all = 0, found = 1;

	/* The lowest free number is given out first, so behind a block of free ones there are none. */
	for (int next = 0; found > 0; next += COUNT_AT_ONCE) {
		for (int i = 0; i < COUNT_AT_ONCE; i++)
			at[i] = (struct pollfd){ .fd = next + i };
		found = 0;
		if (poll(at, COUNT_AT_ONCE, 0) >= 0)
			for (int i = 0; i < COUNT_AT_ONCE; i++)
				found += (at[i].revents & POLLNVAL) == 0;
		all += found;
	}
	return all;
}
