#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/crowd.h"

double
crowd_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
crowd_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
crowd_connect(const struct sockaddr_in *to, unsigned from, int poller, void *ptr)
{
	struct sockaddr_in own = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl((127u << 24) + from) };
	struct epoll_event watch = { .events = EPOLLIN, .data.ptr = ptr };
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (bind(sock, (struct sockaddr *)&own, sizeof own) == 0 &&
	    (connect(sock, (const struct sockaddr *)to, sizeof *to) == 0 || errno == EINPROGRESS) &&
	    epoll_ctl(poller, EPOLL_CTL_ADD, sock, &watch) == 0)
		return sock;
	perror("connect");
	if (sock >= 0)
		close(sock);
	return -1;
}
