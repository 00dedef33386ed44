/* The resolver of the SPF walk: c-ares under our loop, a few questions an hour. */
#include "config.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "policy/spf.h"

#define SOCKETS_MAX 16
#define TICK_MS 200
#define TIMEOUT_MS 2000
#define TRIES 3

struct spf_dns {
	struct loop *loop;
	ares_channel channel;
	struct watch tick;
	unsigned out; /* questions */
	struct {
		struct watch readable, writable;
		ares_socket_t fd; /* ARES_SOCKET_BAD: free */
	} sockets[SOCKETS_MAX];
};

struct question {
	struct spf_dns *dns;
	spf_answer_fn *done;
	void *arg;
};

static void
on_readable(int fd, short what, void *arg)
{
	struct spf_dns *d = arg;

	(void)what;
	ares_process_fd(d->channel, fd, ARES_SOCKET_BAD);
}

static void
on_writable(int fd, short what, void *arg)
{
	struct spf_dns *d = arg;

	(void)what;
	ares_process_fd(d->channel, ARES_SOCKET_BAD, fd);
}

static void
on_tick(int fd, short what, void *arg)
{
	struct spf_dns *d = arg;

	(void)fd, (void)what;
	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (d->out > 0)
		watch_start_once(&d->tick, TICK_MS);
}

static int
socket_index(const struct spf_dns *d, ares_socket_t fd)
{
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (d->sockets[i].fd == fd)
			return i;
	return -1;
}

static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct spf_dns *d = arg;
	int i = socket_index(d, fd);

	if (i >= 0) {
		watch_stop(&d->sockets[i].readable);
		watch_stop(&d->sockets[i].writable);
		d->sockets[i].fd = ARES_SOCKET_BAD;
	} else {
		i = socket_index(d, ARES_SOCKET_BAD);
	}
	if (i < 0 || (!readable && !writable))
		return; /* too many: its questions time out */
	d->sockets[i].fd = fd;
	watch_init(&d->sockets[i].readable, d->loop, fd, WATCH_READ, on_readable, d);
	watch_init(&d->sockets[i].writable, d->loop, fd, WATCH_WRITE, on_writable, d);
	if (readable)
		watch_start(&d->sockets[i].readable);
	if (writable)
		watch_start(&d->sockets[i].writable);
}

static bool
set_servers(struct spf_dns *d, const char *servers)
{
	char text[1024];
	struct buf out = BUF(text);
	struct span rest = span_of(servers), one;

	while ((one = rules_list_token(&rest)).len > 0) {
		if (out.len > 0)
			buf_putc(&out, ',');
		buf_putspan(&out, one);
	}
	return out.len == 0 ||
	       (!out.cut && ares_set_servers_ports_csv(d->channel, text) == ARES_SUCCESS);
}

struct spf_dns *
spf_dns_new(struct loop *loop, const char *servers)
{
	struct spf_dns *d = mem_alloc(sizeof *d);
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP,
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = d,
	};

	d->loop = loop;
	watch_init_timer(&d->tick, loop, on_tick, d);
	for (int i = 0; i < SOCKETS_MAX; i++)
		d->sockets[i].fd = ARES_SOCKET_BAD;
	if (ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS &&
	    ares_init_options(&d->channel, &options,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) ==
		ARES_SUCCESS) {
		if (set_servers(d, servers))
			return d;
		ares_destroy(d->channel);
	}
	free(d);
	return NULL;
}

void
spf_dns_free(struct spf_dns **dns)
{
	struct spf_dns *d = *dns;

	if (d == NULL)
		return;
	ares_destroy(d->channel); /* calls back for all that is out */
	watch_stop(&d->tick);
	free(d);
	*dns = NULL;
}

static void
on_reply(void *arg, int status, int timeouts, unsigned char *packet, int len)
{
	struct question q = *(struct question *)arg;

	(void)timeouts;
	free(arg);
	q.dns->out--;
	q.done(q.arg, status == ARES_SUCCESS ? packet : NULL,
	    status == ARES_SUCCESS ? (size_t)len : 0);
}

static void
ask(void *ctx, const char *name, uint16_t type, spf_answer_fn *done, void *arg)
{
	struct spf_dns *d = ctx;
	unsigned char *packet = NULL;
	unsigned short id = 0;
	int len = 0;

	/* The library's own numbers can be guessed. */
	if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id ||
	    ares_create_query(name, C_IN, type, id, 1, &packet, &len, 0) != ARES_SUCCESS) {
		done(arg, NULL, 0);
		return;
	}
	struct question *q = mem_alloc(sizeof *q);
	*q = (struct question){ d, done, arg };
	if (d->out++ == 0)
		watch_start_once(&d->tick, TICK_MS);
	ares_send(d->channel, packet, len, on_reply, q);
	ares_free_string(packet);
}

struct spf_resolver
spf_dns_resolver(struct spf_dns *d)
{
	return (struct spf_resolver){ ask, d };
}
