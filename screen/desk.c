#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "screen/desk.h"

#define BREATH_MS 100		  /* after an accept that failed for lack of something */
#define STALL_US INT64_C(1000000) /* who takes this long to read an answer may lose his place */

enum phase { DESK_FREE, DESK_HEARS, DESK_WAITS, DESK_SAYS };

struct desk_client {
	struct desk *desk;
	enum phase phase;
	int fd, why;
	unsigned note;
	struct watch io, limit;
	int64_t since_us;
	char *in, *out;
	size_t in_len, out_len, out_sent;
};

struct desk {
	struct loop *loop;
	struct desk_rules rules;
	void *arg;
	int fd;
	struct watch accept, pause;
	int64_t due_us; /* when the next may be heard, had they come evenly */
	struct desk_client clients[];
};

static void
leave(struct desk_client *c)
{
	watch_stop(&c->io);
	watch_stop(&c->limit);
	close(c->fd);
	free(c->out);
	c->out = NULL;
	c->phase = DESK_FREE;
}

static void
on_limit(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	leave(arg);
}

static void
on_takes(int fd, short what, void *arg)
{
	struct desk_client *c = arg;

	(void)what;
	ssize_t n =
	    send(fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->out_sent += (size_t)n;
		c->since_us = loop_now_us(c->desk->loop);
	}
	if (n > 0 && c->out_sent < c->out_len)
		return;
	if (n > 0)
		shutdown(fd, SHUT_WR);
	leave(c);
}

/* While the answer waits, the client can only leave; what else it says is thrown away. */
static void
on_impatience(int fd, short what, void *arg)
{
	char junk[512];
	ssize_t n = recv(fd, junk, sizeof junk, MSG_DONTWAIT);

	(void)what;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		leave(arg);
}

static void
watch_anew(struct desk_client *c, short what, watch_fn *fn)
{
	watch_stop(&c->io);
	watch_init(&c->io, c->desk->loop, c->fd, what, fn, c);
	watch_start(&c->io);
}

void
desk_answer(struct desk_client *c, struct span head, struct span body)
{
	struct desk *d = c->desk;

	c->out = mem_array(1, head.len + body.len + 1);
	memcpy(c->out, head.p, head.len);
	if (body.len > 0)
		memcpy(c->out + head.len, body.p, body.len);
	c->out_len = head.len + body.len;
	c->out_sent = 0;
	c->phase = DESK_SAYS;
	c->since_us = loop_now_us(d->loop);
	watch_start_once(&c->limit, d->rules.time_ms);
	watch_anew(c, WATCH_WRITE, on_takes);
}

void
desk_wait(struct desk_client *c, int why, int64_t wait_ms)
{
	c->phase = DESK_WAITS;
	c->why = why;
	watch_start_once(&c->limit, wait_ms);
	watch_anew(c, WATCH_READ, on_impatience);
}

void
desk_answer_waiting(struct desk *d, int why, void (*fn)(void *arg, struct desk_client *), void *arg)
{
	for (size_t i = 0; i < d->rules.clients_max; i++)
		if (d->clients[i].phase == DESK_WAITS && d->clients[i].why == why)
			fn(arg, &d->clients[i]);
}

unsigned *
desk_note(struct desk_client *c)
{
	return &c->note;
}

static void
hear(struct desk_client *c)
{
	struct desk *d = c->desk;
	size_t n = d->rules.whole((struct span){ c->in, c->in_len });

	if (n > 0) {
		watch_stop(&c->io);
		d->rules.ask(d->arg, c, (struct span){ c->in, n });
	} else if (c->in_len == d->rules.request_max) {
		const char *words = d->rules.too_long;
		if (words == NULL)
			leave(c);
		else
			desk_answer(c, span_of(words), (struct span){ "", 0 });
	}
}

static void
on_said(int fd, short what, void *arg)
{
	struct desk_client *c = arg;
	ssize_t n =
	    recv(fd, c->in + c->in_len, c->desk->rules.request_max - c->in_len, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(c);
		return;
	}
	c->in_len += (size_t)n;
	hear(c);
}

static bool
may_lose_place(const struct desk_client *c)
{
	return c->phase == DESK_HEARS ||
	       (c->phase == DESK_SAYS && loop_now_us(c->desk->loop) - c->since_us > STALL_US);
}

/* A free place, or that of whoever keeps us waiting longest; null if all are being served. */
static struct desk_client *
place(struct desk *d)
{
	struct desk_client *oldest = NULL;

	for (size_t i = 0; i < d->rules.clients_max; i++) {
		struct desk_client *c = &d->clients[i];
		if (c->phase == DESK_FREE)
			return c;
		if (may_lose_place(c) && (oldest == NULL || c->since_us < oldest->since_us))
			oldest = c;
	}
	if (oldest != NULL)
		leave(oldest);
	return oldest;
}

static void
pause_accepting(struct desk *d, int64_t ms)
{
	watch_stop(&d->accept);
	watch_start_once(&d->pause, ms);
}

static void
on_pause(int fd, short what, void *arg)
{
	struct desk *d = arg;

	(void)fd, (void)what;
	watch_start(&d->accept);
}

/* False: not now; the pause ends when it is time. */
static bool
is_time(struct desk *d)
{
	int64_t now_us = loop_now_us(d->loop), each_us = 1000000 / d->rules.rate;
	int64_t ahead_us = each_us * (int64_t)d->rules.clients_max;

	if (d->due_us - now_us > ahead_us) {
		pause_accepting(d, (d->due_us - now_us - ahead_us) / 1000 + 1);
		return false;
	}
	d->due_us = (d->due_us > now_us ? d->due_us : now_us) + each_us;
	return true;
}

static void
on_accept(int listen_fd, short what, void *arg)
{
	struct desk *d = arg;

	(void)what;
	if (!is_time(d))
		return;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(d, BREATH_MS); /* it would be called again at once */
		return;
	}
	struct desk_client *c = place(d);
	if (c == NULL) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->phase = DESK_HEARS;
	c->since_us = loop_now_us(d->loop);
	c->in_len = 0;
	c->note = 0;
	watch_init(&c->io, d->loop, fd, WATCH_READ, on_said, c);
	watch_start(&c->io);
	watch_init_timer(&c->limit, d->loop, on_limit, c);
	watch_start_once(&c->limit, d->rules.time_ms);
}

struct desk *
desk_new(struct loop *loop, int listen_fd, const struct desk_rules *rules, void *arg)
{
	struct desk *d = mem_alloc(sizeof *d + rules->clients_max * sizeof d->clients[0]);

	d->loop = loop;
	d->rules = *rules;
	d->arg = arg;
	d->fd = listen_fd;
	for (size_t i = 0; i < rules->clients_max; i++) {
		d->clients[i].desk = d;
		d->clients[i].in = mem_alloc(rules->request_max);
	}
	watch_init(&d->accept, loop, listen_fd, WATCH_READ, on_accept, d);
	watch_start(&d->accept);
	watch_init_timer(&d->pause, loop, on_pause, d);
	return d;
}

void
desk_free(struct desk **desk)
{
	struct desk *d = *desk;

	if (d == NULL)
		return;
	for (size_t i = 0; i < d->rules.clients_max; i++) {
		if (d->clients[i].phase != DESK_FREE)
			leave(&d->clients[i]);
		free(d->clients[i].in);
	}
	watch_stop(&d->accept);
	watch_stop(&d->pause);
	close(d->fd);
	free(d);
	*desk = NULL;
}
