#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "screen/listen.h"

#define BACKLOG 4096
#define FIRST_PASSED_FD 3 /* sd_listen_fds(3) */

/*
 * The index of the worker: for IPv4 the source address, for IPv6 its /64 folded, times the golden ratio,
 * its upper half modulo the number of workers. Offsets are from the network header: at a SYN the data
 * begins behind the payload.
 */
static bool
steer(int fd, size_t workers)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 2, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
		BPF_STMT(BPF_JMP | BPF_JA, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 8),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { .len = sizeof code / sizeof code[0], .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}

/* The same sum as the program above. */
unsigned
listen_owner(const struct addr *client, size_t workers)
{
	uint32_t key = get_be32(client->ip);

	if (client->family == 6)
		key ^= get_be32(client->ip + 4);
	return (unsigned)((key * 0x9e3779b1u >> 16) % workers);
}

/* Options the accepted sockets inherit, and those of the listener itself. */
static bool
set_options(int fd, int family)
{
	static const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0 &&
	       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
	       (family != AF_INET6 ||
		   setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
}

static int
open_one(const struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(at, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (set_options(fd, ss.ss_family) && bind(fd, (struct sockaddr *)&ss, len) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool
fail(struct listen_group *g, const char *what, struct buf *err)
{
	char addr[ADDR_TEXT_SIZE];

	buf_printf(err, "%s [%s]:%u: %s", what, addr_format(&g->at.addr, addr), g->at.port,
	    strerror(errno));
	listen_close(g);
	return false;
}

/* Fills the group up to one socket a worker. Port 0: the first socket chooses for all. */
static bool
complete(struct listen_group *g, size_t workers, struct buf *err)
{
	while (g->count < workers) {
		int fd = open_one(&g->at);
		if (fd < 0)
			return fail(g, "cannot listen on", err);
		g->fds[g->count++] = fd;
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		if (g->at.port == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
			endpoint_from_sockaddr(&g->at, &ss);
	}
	if (workers > 1 && !steer(g->fds[0], workers))
		return fail(g, "cannot steer clients to workers on", err);
	return true;
}

bool
listen_open(struct listen_group *g, const struct endpoint *at, size_t workers, struct buf *err)
{
	memset(g, 0, sizeof *g);
	g->at = *at;
	return complete(g, workers, err);
}

void
listen_close(struct listen_group *g)
{
	while (g->count > 0)
		close(g->fds[--g->count]);
}

static bool
is_at(int fd, const struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct endpoint e;
	int listening = 0;
	socklen_t size = sizeof listening;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
	       getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	       endpoint_from_sockaddr(&e, &ss) && addr_equal(&e.addr, &at->addr) &&
	       e.port == at->port;
}

/* How many descriptors the service manager passed to this process. */
static uint64_t
passed_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t n;

	if (pid == NULL || count == NULL || !span_uint(span_of(pid), INT32_MAX, &n) ||
	    n != (uint64_t)getpid())
		return 0;
	return span_uint(span_of(count), 256, &n) ? n : 0;
}

bool
listen_inherit(struct listen_group *g, const struct endpoint *at, size_t workers, struct buf *err)
{
	int shared = 0;
	socklen_t size = sizeof shared;
	uint64_t passed = passed_count();

	memset(g, 0, sizeof *g);
	g->at = *at;
	for (int fd = FIRST_PASSED_FD; fd < FIRST_PASSED_FD + (int)passed && g->count < workers;
	     fd++)
		if (is_at(fd, at) && fd_nonblock(fd, true) && fd_cloexec(fd, true))
			g->fds[g->count++] = fd;
	if (g->count == 0)
		return false;
	if (g->count < workers &&
	    (getsockopt(g->fds[0], SOL_SOCKET, SO_REUSEPORT, &shared, &size) != 0 || !shared)) {
		/* One socket without ReusePort=yes cannot be steered: all workers share it. */
		while (g->count < workers)
			g->fds[g->count++] = dup(g->fds[0]);
		return true;
	}
	return complete(g, workers, err);
}

const struct listen_group *
listen_set_find(const struct listen_set *set, const struct endpoint *at)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->groups[i].at.port == at->port &&
		    addr_equal(&set->groups[i].at.addr, &at->addr))
			return &set->groups[i];
	return NULL;
}

bool
listen_set_open(struct listen_set *set, struct listener *listeners, size_t count, size_t workers,
    struct buf *err)
{
	size_t before = set->count;

	for (size_t i = 0; i < count; i++) {
		struct endpoint *at = &listeners[i].at;
		if (listen_set_find(set, at) != NULL)
			continue;
		struct listen_group *g = &set->groups[set->count];
		if (!listen_inherit(g, at, workers, err) &&
		    (err->len > 0 || !listen_open(g, at, workers, err))) {
			while (set->count > before)
				listen_close(&set->groups[--set->count]);
			return false;
		}
		*at = g->at;
		set->count++;
	}
	return true;
}

static bool
needed(const struct listen_group *g, const struct listener *listeners, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (g->at.port == listeners[i].at.port &&
		    addr_equal(&g->at.addr, &listeners[i].at.addr))
			return true;
	return false;
}

void
listen_set_trim(struct listen_set *set, const struct listener *listeners, size_t count)
{
	for (size_t i = set->count; i-- > 0;) {
		if (needed(&set->groups[i], listeners, count))
			continue;
		listen_close(&set->groups[i]);
		set->groups[i] = set->groups[--set->count];
	}
}
