#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/backend.h"
#include "screen/engine.h"
#include "screen/relay.h"
#include "screen/worker.h"

/* One direction. */
struct flow {
	size_t from, to; /* bytes[from..to) wait for the receiver */
	bool eof;        /* the sender will send no more */
	bool shut;       /* and the receiver was told */
	char bytes[RELAY_BUFFER];
};

enum replay_step { AWAIT_GREETING, AWAIT_XCLIENT, AWAIT_HELO, AWAIT_MAIL, AWAIT_RCPT };

struct relay {
	struct watch client_in, client_out, backend_in, backend_out;
	enum replay_step step;
	struct flow up, down;
};

size_t
relay_size(void)
{
	return sizeof(struct relay);
}

static void
on_client(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	session_event(arg, ON_READ);
}

static void
on_backend(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	session_event(arg, ON_OTHER);
}

static bool
begin(struct session *s)
{
	struct loop *loop = s->worker->loop;

	s->relay = pool_take(s->worker->relays);
	if (s->relay == NULL)
		return false;
	watch_init(&s->relay->client_in, loop, s->fd, WATCH_READ, on_client, s);
	watch_init(&s->relay->client_out, loop, s->fd, WATCH_WRITE, on_client, s);
	watch_init(&s->relay->backend_in, loop, s->link.fd, WATCH_READ, on_backend, s);
	watch_init(&s->relay->backend_out, loop, s->link.fd, WATCH_WRITE, on_backend, s);
	return true;
}

void
relay_free(struct session *s)
{
	if (s->relay == NULL)
		return;
	watch_stop(&s->relay->client_in);
	watch_stop(&s->relay->client_out);
	watch_stop(&s->relay->backend_in);
	watch_stop(&s->relay->backend_out);
	pool_give(s->worker->relays, s->relay);
	s->relay = NULL;
}

static void
want(struct watch *w, bool on)
{
	if (on == watch_active(w))
		return;
	if (on)
		watch_start(w);
	else
		watch_stop(w);
}

/*
 * The backend cannot be had. The client passed: what it earned is stored on the way out, and its next visit is
 * direct. A greeting that was begun is finished first (see handoff.c).
 */
static enum state
unavailable(struct session *s, const char *why)
{
	static struct log_limit limit;
	unsigned held;

	if (log_allowed(&limit, loop_now_us(s->worker->loop), &held))
		log_warning("backend %s: %s", s->worker->snap->backend.name, why);
	s->verdict = V_ERROR;
	if (s->engine == NULL && s->teased)
		return handoff_failed(s, R_PORTS_BUSY, HANDOFF_NO_CONNECT);
	tally_add(s->worker->slot, CELL_HANDOFFS + HANDOFF_NO_CONNECT, 1);
	return session_finish(s, R_PORTS_BUSY, V_ERROR);
}

static struct backend_client
client_of(const struct session *s)
{
	struct backend_client c = { .peer = s->peer, .local = s->local };

	if (s->tls && s->engine != NULL) {
		c.tls_version = s->engine->tls_version;
		c.tls_cipher = s->engine->tls_cipher;
	}
	return c;
}

/* Tries the servers in turn, each once. */
static enum state
dial(struct session *s)
{
	size_t tries = s->worker->snap->backend.server_count;
	const struct backend_client client = client_of(s);

	relay_free(s);
	while (!backend_open(s->worker, &client, &s->link))
		if (++s->dials >= tries)
			return unavailable(s, strerror(errno));
	s->dials++;
	if (!begin(s))
		return unavailable(s, "no room for another relayed session");
	if (!s->link.connecting)
		return S_REPLAY;
	want(&s->relay->backend_out, true);
	return S_STAY;
}

enum state
dial_enter(struct session *s)
{
	s->dials = 0;
	return dial(s);
}

enum state
dial_ready(struct session *s)
{
	int error = 0;
	socklen_t len = sizeof error;

	want(&s->relay->backend_out, false);
	if (getsockopt(s->link.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return S_REPLAY;
	backend_failed(s->worker, &s->link);
	relay_free(s);
	backend_close(s->worker, &s->link);
	return s->dials < s->worker->snap->backend.server_count ? dial(s) : unavailable(s, strerror(error));
}

enum state
dial_time(struct session *s)
{
	backend_failed(s->worker, &s->link);
	return unavailable(s, "time limit exceeded");
}

static bool
say(const struct session *s, struct span text)
{
	return send(s->link.fd, text.p, text.len, MSG_NOSIGNAL) == (ssize_t)text.len;
}

/* One command: a word, its argument as the client gave it, and the line end it should have had. */
static bool
command(const struct session *s, const char *word, struct span argument)
{
	char line[4096];
	struct buf b = BUF(line);

	buf_puts(&b, word);
	buf_putspan(&b, argument);
	buf_puts(&b, "\r\n");
	return !b.cut && say(s, (struct span){ line, b.len });
}

/* Spoke again before it had our answer: the pipelining check is not over until the switch. */
static bool
spoke_early(const struct session *s)
{
	char byte;

	return screening_deep_due(&s->sc, CHECK_PIPELINING) &&
	    recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The wires are joined: from now on the session is the backend's. */
static enum state
join(struct session *s)
{
	struct slot *slot = s->worker->slot;

	session_conclude(s);
	s->handed = true;
	s->relayed = true;
	atomic_fetch_add_explicit(&slot->relayed, 1, memory_order_relaxed);
	tally_add(slot, CELL_HANDOFFS + HANDOFF_OK, 1);
	return S_RELAY;
}

/* The backend's word on RCPT, or its refusal of MAIL, is the client's reply. */
static enum state
answered(struct session *s)
{
	if (!spoke_early(s))
		return join(s);
	relay_free(s);
	backend_close(s->worker, &s->link);
	return S_TALK;
}

static bool
say_xclient(const struct session *s)
{
	char text[256];
	struct buf b = BUF(text);
	const struct backend_client client = client_of(s);

	backend_xclient(&s->worker->snap->backend, &client, &b);
	return b.len > 0 && say(s, (struct span){ text, b.len });
}

/* The next line of the replay, after a reply in the 200s. False if the backend takes nothing. */
static bool
step_on(struct session *s)
{
	struct relay *r = s->relay;
	struct relay_words words;

	if (r->step == AWAIT_GREETING && s->worker->snap->backend.kind == BACKEND_XCLIENT) {
		r->step = AWAIT_XCLIENT;
		return say_xclient(s);
	}
	engine_words(s, &words);
	switch (r->step) {
	case AWAIT_GREETING:
	case AWAIT_XCLIENT:
		r->step = AWAIT_HELO;
		return command(s, words.esmtp ? "EHLO " : "HELO ", words.helo);
	case AWAIT_HELO:
		r->step = AWAIT_MAIL;
		return command(s, "MAIL ", words.mail);
	case AWAIT_MAIL:
		r->step = AWAIT_RCPT;
		return command(s, "RCPT ", words.rcpt);
	case AWAIT_RCPT:
		break;
	}
	return false;
}

static enum state
heard(struct session *s, int code)
{
	struct relay *r = s->relay;

	if (r->step == AWAIT_RCPT || (r->step == AWAIT_MAIL && code / 100 != 2))
		return answered(s);
	if (s->engine == NULL && r->step == AWAIT_XCLIENT)
		return join(s); /* its second greeting is the client's */
	r->down.from = r->down.to = 0; /* that was for us, not for the client */
	if (code / 100 != 2)
		return unavailable(s, "refuses us");
	return step_on(s) ? S_STAY : unavailable(s, "takes no command");
}

enum state
replay_enter(struct session *s)
{
	char header[600];
	struct buf b = BUF(header);
	const struct backend_client client = client_of(s);

	backend_header(&s->worker->snap->backend, &client, &b);
	if (b.len > 0 && !say(s, (struct span){ header, b.len }))
		return unavailable(s, "takes no PROXY header");
	s->relay->step = AWAIT_GREETING;
	if (s->engine == NULL && s->worker->snap->backend.kind != BACKEND_XCLIENT)
		return join(s); /* nothing to replay: its greeting is the client's */
	want(&s->relay->backend_in, true);
	return S_STAY;
}

enum state
replay_read(struct session *s)
{
	struct flow *f = &s->relay->down;
	ssize_t n = recv(s->link.fd, f->bytes + f->to, sizeof f->bytes - f->to, MSG_DONTWAIT);
	int code;

	if (n < 0 && errno == EAGAIN)
		return S_STAY;
	if (n <= 0)
		return unavailable(s, "closed the connection");
	f->to += (size_t)n;
	if (backend_reply(f->bytes, f->to, &code) == 0)
		return code < 0 || f->to == sizeof f->bytes ? unavailable(s, "does not speak SMTP") : S_STAY;
	return heard(s, code);
}

enum state
replay_time(struct session *s)
{
	return unavailable(s, "time limit exceeded");
}

/* Moves what can be moved one way. False when that way is broken. */
static bool
move_bytes(struct flow *f, int from, int to, bool *moved)
{
	if (f->to > f->from) {
		ssize_t n = send(to, f->bytes + f->from, f->to - f->from, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			f->from += (size_t)n;
			*moved = true;
		}
		if (f->from < f->to)
			return true;
		f->from = f->to = 0;
	}
	if (f->eof)
		return true;
	ssize_t n = recv(from, f->bytes, sizeof f->bytes, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN;
	*moved = true;
	f->eof = n == 0;
	f->to = (size_t)n;
	return true;
}

/* Up to so many rounds a turn: others want their share. */
#define ROUNDS 16

static bool
pump(struct flow *f, int from, int to)
{
	for (int i = 0; i < ROUNDS; i++) {
		bool moved = false;
		if (!move_bytes(f, from, to, &moved))
			return false;
		if (!moved)
			break;
	}
	if (f->eof && f->from == f->to && !f->shut) {
		shutdown(to, SHUT_WR);
		f->shut = true;
	}
	return true;
}

enum state
relay_pump(struct session *s)
{
	struct relay *r = s->relay;

	if (!pump(&r->up, s->fd, s->link.fd) || !pump(&r->down, s->link.fd, s->fd))
		return S_END;
	/* Once the backend has said its last, nothing more can come of it. */
	if (r->down.shut)
		return S_END;
	want(&r->client_in, !r->up.eof && r->up.from == r->up.to);
	want(&r->client_out, r->down.from < r->down.to);
	want(&r->backend_in, !r->down.eof && r->down.from == r->down.to);
	want(&r->backend_out, r->up.from < r->up.to);
	return S_AGAIN;
}

enum state
relay_enter(struct session *s)
{
	return relay_pump(s);
}

enum state
relay_time(struct session *s)
{
	(void)s;
	return S_END;
}
