#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/backend.h"
#include "screen/engine.h"
#include "screen/relay.h"
#include "screen/worker.h"

/* One direction. What its receiver does not take yet stays in the sender's socket, or in a pipe. */
struct flow {
	bool full;     /* the receiver takes no more for now */
	bool over;     /* the sender has ended, or the receiver is gone */
	bool bulk;     /* the last round moved much: splice(2) pays */
	bool has_pipe; /* that still holds something */
	int pipe[2];
	size_t piped;
};

enum replay_step { AWAIT_GREETING, AWAIT_XCLIENT, AWAIT_HELO, AWAIT_MAIL, AWAIT_RCPT };

struct relay {
	struct watch client_in, client_out, backend_in, backend_out;
	enum replay_step step;
	struct flow up, down;
	size_t len; /* of the backend's reply to what was replayed */
	char reply[RELAY_REPLY_MAX];
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

static void
close_pipe(int pipe[2])
{
	close(pipe[0]);
	close(pipe[1]);
}

void
relay_free(struct session *s)
{
	if (s->relay == NULL)
		return;
	if (s->relay->up.has_pipe)
		close_pipe(s->relay->up.pipe);
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

static void
hang_up(struct session *s)
{
	relay_free(s);
	backend_close(s->worker, &s->link);
}

/*
 * The backend cannot be had. The client passed: what it earned is stored on the way out, and its
 * next visit is direct. A greeting that was begun is finished first (see handoff.c).
 */
static enum state
unavailable(struct session *s, const char *why)
{
	static struct log_limit limit;
	unsigned held;

	if (log_allowed(&limit, loop_now_us(s->worker->loop), &held))
		log_warning("backend %s: %s", s->worker->snap->backend.name, why);
	hang_up(s);
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

/* This server is no good before it has greeted: the next one, if there is one not tried yet. */
static enum state
next_server(struct session *s, const char *why)
{
	if (s->dials >= s->worker->snap->backend.server_count)
		return unavailable(s, why);
	hang_up(s);
	return S_DIAL;
}

static enum state
server_failed(struct session *s, const char *why)
{
	backend_failed(s->worker, &s->link);
	return next_server(s, why);
}

/*
 * The client while the backend is not joined yet: gone, or ahead of us. What it says stays in the socket, and we look
 * no further: only silence ends by a word.
 */
enum state
relay_client(struct session *s)
{
	char byte;
	ssize_t n = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return S_STAY;
	if (n > 0) {
		want(&s->relay->client_in, false);
		return S_STAY;
	}
	session_conclude(s); /* it has passed, and that is kept; there is nobody to hear us */
	s->hangup = true;
	return session_finish(s, R_NONE, V_HANGUP);
}

enum state
dial_enter(struct session *s)
{
	const struct backend_client client = client_of(s);

	s->dials++;
	if (!backend_open(s->worker, &client, &s->link))
		return next_server(s, strerror(errno));
	if (!begin(s))
		return unavailable(s, "no room for another relayed session");
	want(&s->relay->client_in, true);
	if (!s->link.connecting)
		return S_REPLAY;
	want(&s->relay->backend_out, true);
	return S_STAY;
}

enum state
dial_ready(struct session *s)
{
	int error = 0;
	socklen_t len = sizeof error;

	want(&s->relay->backend_out, false);
	if (getsockopt(s->link.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return S_REPLAY;
	return server_failed(s, strerror(error));
}

enum state
dial_time(struct session *s)
{
	return server_failed(s, "time limit exceeded");
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
	session_handed(s);
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
	hang_up(s);
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

/*
 * No welcome. A refusal for good is for the client to hear, unless it was teased: 220- and then 554
 * would be no reply. One that is busy may have a neighbour that is not.
 */
static enum state
not_greeted(struct session *s, int code)
{
	if (code / 100 == 5 && s->engine == NULL && !s->teased)
		return join(s);
	return code / 100 == 4 ? server_failed(s, "is busy") : unavailable(s, "refuses us");
}

static bool
last_step_before_client(const struct session *s)
{
	bool xclient = s->worker->snap->backend.kind == BACKEND_XCLIENT;

	return s->engine == NULL && s->relay->step == (xclient ? AWAIT_XCLIENT : AWAIT_GREETING);
}

static enum state
heard(struct session *s, int code)
{
	struct relay *r = s->relay;

	if (r->step == AWAIT_RCPT || (r->step == AWAIT_MAIL && code / 100 != 2))
		return answered(s);
	if (r->step == AWAIT_GREETING && code / 100 != 2)
		return not_greeted(s, code);
	backend_works(s->worker, &s->link);
	if (code / 100 != 2)
		return unavailable(s, "refuses us");
	if (last_step_before_client(s))
		return join(s); /* this greeting is the client's */
	r->len = 0;		/* that was for us */
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
		return server_failed(s, "takes no PROXY header");
	s->relay->step = AWAIT_GREETING;
	want(&s->relay->backend_in, true);
	return S_STAY;
}

static enum state
broke_off(struct session *s, const char *why)
{
	return s->relay->step == AWAIT_GREETING ? server_failed(s, why) : unavailable(s, why);
}

enum state
replay_read(struct session *s)
{
	struct relay *r = s->relay;
	ssize_t n = recv(s->link.fd, r->reply + r->len, sizeof r->reply - r->len, MSG_DONTWAIT);
	int code;

	if (n < 0 && errno == EAGAIN)
		return S_STAY;
	if (n <= 0)
		return broke_off(s, "closed the connection");
	r->len += (size_t)n;
	if (backend_reply(r->reply, r->len, &code) == 0)
		return code < 0 || r->len == sizeof r->reply ? unavailable(s, "does not speak SMTP")
							     : S_STAY;
	return heard(s, code);
}

enum state
replay_time(struct session *s)
{
	return broke_off(s, "time limit exceeded");
}

/* Takes from the socket what was already looked at. A stream of the kernel's own (TLS, pass) knows
 * no MSG_TRUNC. */
static bool
discard(int fd, char *bytes, size_t len, bool tcp)
{
	while (len > 0) {
		ssize_t n = recv(fd, bytes, len, MSG_DONTWAIT | (tcp ? MSG_TRUNC : 0));
		if (n <= 0)
			return false;
		len -= (size_t)n;
	}
	return true;
}

struct end {
	int fd;
	bool tcp;    /* knows MSG_TRUNC */
	bool splice; /* what it brings may be spliced */
};

enum moved { MOVED, NOTHING, SENDER_ENDED, SENDER_BROKE, RECEIVER_BROKE };

/*
 * One round one way. Bytes are looked at, sent, and only then taken: no session needs a buffer of
 * its own, and a slow reader holds back its sender without a byte of ours.
 */
static enum moved
copy_bytes(struct flow *f, struct end from, struct end to)
{
	static char bytes[RELAY_CHUNK];
	ssize_t n = recv(from.fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

	f->full = false;
	if (n == 0)
		return SENDER_ENDED;
	if (n < 0)
		return errno == EAGAIN ? NOTHING : SENDER_BROKE;
	ssize_t sent = send(to.fd, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
		return RECEIVER_BROKE;
	f->full = sent < n;
	f->bulk = !f->full && from.splice && n >= RELAY_BULK;
	if (sent > 0 && !discard(from.fd, bytes, (size_t)sent, from.tcp))
		return SENDER_BROKE;
	return f->full ? NOTHING : MOVED;
}

static bool
fill_pipe(struct flow *f, int from, enum moved *why)
{
	if (!f->has_pipe && pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
		f->bulk = false;
		*why = MOVED;
		return false;
	}
	f->has_pipe = true;
	ssize_t n =
	    splice(from, NULL, f->pipe[1], NULL, RELAY_SPLICE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	*why = n == 0 ? SENDER_ENDED : errno == EAGAIN ? NOTHING : SENDER_BROKE;
	if (n > 0)
		f->bulk = n >= RELAY_BULK;
	f->piped = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* The same through a pipe, where the kernel moves pages instead of bytes. Both ends do not block,
 * nor does SIGPIPE kill. */
static enum moved
splice_bytes(struct flow *f, struct end from, struct end to)
{
	enum moved why;

	if (f->piped == 0 && !fill_pipe(f, from.fd, &why))
		return why;
	ssize_t n =
	    splice(f->pipe[0], NULL, to.fd, NULL, f->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return RECEIVER_BROKE;
	f->piped -= n > 0 ? (size_t)n : 0;
	f->full = f->piped > 0;
	return f->full ? NOTHING : MOVED;
}

static enum moved
move_bytes(struct flow *f, struct end from, struct end to)
{
	if (f->piped > 0 || f->bulk)
		return splice_bytes(f, from, to);
	if (f->has_pipe)
		close_pipe(f->pipe);
	f->has_pipe = false;
	return copy_bytes(f, from, to);
}

/* Up to so many rounds a turn: others want their share. */
#define ROUNDS 4

static enum moved
pump(struct flow *f, struct end from, struct end to)
{
	enum moved moved = f->over ? NOTHING : MOVED;

	for (int i = 0; i < ROUNDS && moved == MOVED; i++)
		moved = move_bytes(f, from, to);
	f->over = f->over || moved >= SENDER_ENDED;
	return moved;
}

enum state
relay_pump(struct session *s)
{
	struct relay *r = s->relay;
	/* Only mail is spliced: what a client leaves unread is not to fill pipes as well as
	 * sockets. */
	const struct end client = { s->fd, !s->tls, !s->tls };
	const struct end backend = { s->link.fd, !backend_takes_sockets(&s->worker->snap->backend),
		false };

	/* Once the backend has said its last, nothing more can come of it. */
	if (pump(&r->down, backend, client) >= SENDER_ENDED)
		return S_END;
	switch (pump(&r->up, client, backend)) {
	case SENDER_BROKE:
		return S_END;
	case SENDER_ENDED:
		shutdown(backend.fd, SHUT_WR);
		break;
	default: /* a backend that takes no more may still have said why */
		break;
	}
	want(&r->client_in, !r->up.over && !r->up.full);
	want(&r->client_out, r->down.full);
	want(&r->backend_in, !r->down.full);
	want(&r->backend_out, r->up.full && !r->up.over);
	return S_AGAIN;
}

/* The reply that joined the wires goes first. A client whose socket has no room for it has never
 * read a reply. */
enum state
relay_enter(struct session *s)
{
	const struct relay *r = s->relay;

	if (send(s->fd, r->reply, r->len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)r->len)
		return S_END;
	return relay_pump(s);
}

enum state
relay_time(struct session *s)
{
	(void)s;
	return S_END;
}
