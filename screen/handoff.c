/*
 * The gate: the client's socket goes to the backend by the `pass` protocol (descriptor, then attributes). The backend
 * closes its connection when it has taken it. Those connections are not watched one by one: a single poll(2) now and
 * then looks at all of them, which costs less than making and removing a watch each.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/session.h"
#include "screen/worker.h"

#define LOOK_FIRST_MS 2
#define LOOK_MOST_MS 100
#define LOOK_AT_ONCE 256

/*
 * A 220- line must not be followed by 421: the client would bounce its mail. After the teaser the engine
 * says 220 first, and 421 to the first command.
 */
enum state
handoff_failed(struct session *s, enum reply reply, unsigned outcome)
{
	tally_add(s->worker->slot, CELL_HANDOFFS + outcome, 1);
	s->verdict = V_ERROR;
	screening_handoff_failed(&s->sc);
	if (!s->teased)
		return session_finish(s, reply, V_ERROR);
	s->no_handoff = true;
	s->final = R_NO_RESOURCES;
	return S_TALK;
}

/* One poll for up to LOOK_AT_ONCE of them, from *at on; *at moves behind them. Returns how many were done. */
static size_t
look_at_some(struct deadline_queue *q, struct deadline **at)
{
	struct session *sessions[LOOK_AT_ONCE];
	struct pollfd fds[LOOK_AT_ONCE];
	size_t count = 0, done = 0;

	for (; *at != &q->head && count < LOOK_AT_ONCE; *at = (*at)->next) {
		sessions[count] = container_of(*at, struct session, limit);
		fds[count] = (struct pollfd){ .fd = sessions[count]->link.fd, .events = POLLIN };
		count++;
	}
	if (poll(fds, count, 0) <= 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (fds[i].revents != 0) {
			session_event(sessions[i], ON_READ); /* ends this session, no other */
			done++;
		}
	return done;
}

static void
look(int fd, short what, void *arg)
{
	struct worker *w = arg;
	size_t done = 0;
	bool more = false;

	(void)fd, (void)what;
	for (int stressed = 0; stressed < 2; stressed++) {
		struct deadline_queue *q = &w->limits[LIMIT_HANDOFF][stressed];
		for (struct deadline *at = q->head.next; at != &q->head;)
			done += look_at_some(q, &at);
		more = more || q->head.next != &q->head;
	}
	w->look_ms = done > 0			     ? LOOK_FIRST_MS
		     : w->look_ms * 2 > LOOK_MOST_MS ? LOOK_MOST_MS
						     : w->look_ms * 2;
	if (more)
		watch_start_once(&w->look, w->look_ms);
}

void
gate_init(struct worker *w)
{
	w->look_ms = LOOK_FIRST_MS;
	watch_init_timer(&w->look, w->loop, look, w);
}

/* A command has no connection to wait for: the socket is its, or it is not. */
static enum state
have_spawned(struct session *s, const struct backend_client *client)
{
	if (!backend_spawn(s->worker, client, s->fd)) {
		log_warning("cannot pass connection to service %s: %s",
		    s->worker->snap->backend.name, strerror(errno));
		return handoff_failed(s, R_PORTS_BUSY, HANDOFF_NO_PASS);
	}
	tally_add(s->worker->slot, CELL_HANDOFFS + HANDOFF_OK, 1);
	session_handed(s);
	return S_END;
}

enum state
gate_enter(struct session *s)
{
	const struct snapshot *snap = s->worker->snap;
	const struct backend_client client = {
		.peer = s->peer, .local = s->local, .teased = s->teased
	};

	if (!backend_takes_sockets(&snap->backend))
		return S_DIAL;
	session_conclude(s);
	s->phase_us = loop_now_us(s->worker->loop);
	if (snap->backend.kind == BACKEND_SPAWN)
		return have_spawned(s, &client);
	s->link.fd = backend_dial(&snap->backend);
	if (s->link.fd < 0) {
		log_warning(
		    "cannot connect to service %s: %s", snap->backend.name, strerror(errno));
		return handoff_failed(s, R_PORTS_BUSY, HANDOFF_NO_CONNECT);
	}
	if (!backend_give(s->link.fd, &client, s->fd)) {
		log_warning("cannot pass connection to service %s: %s", snap->backend.name,
		    strerror(errno));
		backend_close(s->worker, &s->link);
		return handoff_failed(s, R_NO_RESOURCES, HANDOFF_NO_PASS);
	}
	session_handed(s);
	s->post_queued = true;
	atomic_fetch_add_explicit(&s->worker->slot->post_queue, 1, memory_order_relaxed);
	close(s->fd); /* what is in flight keeps the connection open */
	s->fd = -1;
	if (!watch_active(&s->worker->look) || s->worker->look_ms > LOOK_FIRST_MS)
		watch_start_once(&s->worker->look, s->worker->look_ms = LOOK_FIRST_MS);
	return S_STAY;
}

/* The backend closes when it has taken the socket. It never says a word. */
enum state
gate_read(struct session *s)
{
	struct slot *slot = s->worker->slot;

	tally_add(slot, CELL_HANDOFFS + HANDOFF_OK, 1);
	tally_time(slot, CELL_HANDOFF_TIME, 0, loop_now_us(s->worker->loop) - s->phase_us);
	return S_END;
}

enum state
gate_time(struct session *s)
{
	tally_add(s->worker->slot, CELL_HANDOFFS + HANDOFF_TIMEOUT, 1);
	log_warning("timeout sending connection to service %s", s->worker->snap->backend.name);
	return S_END;
}
