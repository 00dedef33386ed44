#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/memory.h"
#include "screen/relay.h"
#include "screen/session.h"
#include "screen/worker.h"

struct state_row {
	const char *phase;
	enum limit limit;
	bool reads;
	state_fn *on[SESSION_EVENTS];
};

#define NONE NULL
static const struct state_row states[STATES] = {
#define STATE(id, phase, limit, reads, enter, read, time, other) \
	[S_##id] = { phase, limit, reads, { enter, read, time, other } },
#include "screen/states.tbl"
#undef STATE
};
#undef NONE

static void
on_io(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	session_event(arg, ON_READ);
}

static void
unwatch(struct session *s)
{
	if (s->io_ready)
		watch_stop(&s->io);
	s->io_ready = false;
}

void
session_listen(struct session *s, bool on)
{
	unwatch(s);
	if (!on)
		return;
	watch_init(&s->io, s->worker->loop, s->fd, WATCH_READ, on_io, s);
	watch_start(&s->io);
	s->io_ready = true;
}

static void
arm(struct session *s)
{
	enum limit limit = states[s->state].limit;

	if (limit != LIMIT_NONE)
		deadline_arm(&s->worker->limits[limit][s->worker->shared->stressed], &s->limit);
}

static void
move(struct session *s, enum state next)
{
	unwatch(s);
	deadline_disarm(&s->limit);
	s->state = (uint8_t)next;
	arm(s);
	if (states[next].reads)
		session_listen(s, true);
}

/* The one death. */
static void
end(struct session *s)
{
	struct worker *w = s->worker;
	bool announced = s->state != S_PROXY;

	unwatch(s);
	deadline_disarm(&s->limit);
	if (announced)
		session_conclude(s);
	if (s->verdict == V_NONE)
		s->verdict = V_HANGUP; /* it left, and nothing was decided */
	if (!s->handed) {
		if (s->final != R_NONE && !s->hangup)
			reply_send(s, s->final);
		if (announced)
			log_plain(s, EV_DISCONNECT);
	}
	if (announced) {
		journal_session(s, loop_now_us(w->loop));
		tally_session(s, loop_now_us(w->loop));
	}
	dnsbl_release(&s->ask);
	memory_release(s);
	engine_free(s);
	proxy_leave(s);
	relay_free(s);
	backend_close(w, &s->link);
	if (s->fd >= 0)
		close(s->fd);
	worker_dismiss(w, s);
	pool_give(w->sessions, s);
}

void
session_event(struct session *s, enum session_event event)
{
	state_fn *handler = states[s->state].on[event];

	assert(handler != NULL);
	for (enum state next = handler(s); next != S_STAY;) {
		if (next == S_END) {
			end(s);
			return;
		}
		if (next == S_AGAIN) {
			arm(s);
			return;
		}
		move(s, next);
		handler = states[next].on[ON_ENTER];
		next = handler == NULL ? S_STAY : handler(s);
	}
}

void
session_birth(struct worker *w, int fd, const struct endpoint *peer, const struct endpoint *local,
    bool proxied)
{
	struct session *s = pool_take(w->sessions);

	if (s == NULL) { /* load: 421 to the newest */
		static const char busy[] = "421 4.3.2 All screening ports are busy\r\n";
		tally_add(w->slot, CELL_TURNED_AWAY + LACK_SESSIONS, 1);
		(void)!send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	s->worker = w;
	s->fd = fd;
	s->link.fd = -1;
	s->peer = *peer;
	s->local = *local;
	s->id = w->next_id++;
	s->born_us = s->phase_us = loop_now_us(w->loop);
	s->state = S_DOOR;
	if (proxied)
		move(s, S_PROXY);
	session_event(s, ON_ENTER);
}

void
session_stop(struct session *s)
{
	/* Between 220- and 220 a 421 would be read as part of the greeting, and mail would bounce. */
	bool mute = s->state == S_PROXY || (s->state == S_WAIT && s->teased);

	session_finish(s, mute ? R_NONE : R_UNAVAILABLE, V_ERROR);
	end(s);
}

void
session_expire(struct session *s)
{
	engine_expire(s);
	end(s);
}

enum state
session_finish(struct session *s, enum reply final, enum verdict verdict)
{
	s->final = (uint8_t) final;
	s->sc.noforward = true;
	if (s->verdict == V_NONE)
		s->verdict = (uint8_t)verdict;
	return S_END;
}

enum state
session_hangup(struct session *s)
{
	char text[24];

	log_event(s, EV_HANGUP,
	    elapsed_text(
		loop_now_us(s->worker->loop) - s->phase_us, s->worker->snap->log_decimals, text),
	    states[s->state].phase);
	s->hangup = true;
	return session_finish(s, R_NONE, V_HANGUP);
}

void
session_conclude(struct session *s)
{
	if (s->concluded || s->client == NULL)
		return;
	s->concluded = true;
	struct conclusion c = screening_conclude(&s->sc, &s->client->passes);
	if (c.pass != PASS_NONE)
		log_plain(s, c.pass == PASS_NEW ? EV_PASS_NEW : EV_PASS_OLD);
	if (c.store)
		memory_put(s);
	if (!s->sc.noforward && s->worker->dnsbl != NULL)
		dnsbl_client_passed(s->worker->dnsbl, &s->peer.addr);
	if (s->verdict == V_NONE && (c.pass != PASS_NONE || !s->sc.noforward))
		s->verdict = c.pass == PASS_NEW || (c.pass == PASS_NONE && s->sc.is_new)
				 ? V_PASS_NEW
				 : V_PASS_OLD;
}

void
session_handed(struct session *s)
{
	s->handed = true;
	s->client->screened--;
}

const char *
elapsed_text(int64_t us, unsigned decimals_max, char out[24])
{
	struct buf b = buf_over(out, 24);
	int64_t unit = 1000000; /* of the last digit shown, in microseconds */
	unsigned decimals = 0;

	if (us < 0)
		us = 0;
	while (decimals < decimals_max && us < 10 * unit)
		decimals++, unit /= 10;
	int64_t shown = (us + unit / 2) / unit;
	while (decimals > 0 && shown % 10 == 0)
		decimals--, shown /= 10;
	int64_t whole = shown;
	for (unsigned i = 0; i < decimals; i++)
		whole /= 10;
	buf_uint(&b, (uint64_t)whole);
	if (decimals > 0)
		buf_putc(&b, '.');
	for (; decimals > 0; decimals--) {
		int64_t place = 1;
		for (unsigned i = 1; i < decimals; i++)
			place *= 10;
		buf_putc(&b, (char)('0' + shown / place % 10));
	}
	return out;
}
