/* The door and the greeting pause: limits, permanent lists, memory, teaser, early checks. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "screen/memory.h"
#include "screen/session.h"
#include "screen/worker.h"

static enum state
refuse_busy(struct session *s, enum event_id event, enum reply reply)
{
	log_plain(s, event);
	return session_finish(s, reply, V_BUSY);
}

/* S_STAY: go on. */
static enum state
check_limits(struct session *s)
{
	const struct snapshot *snap = s->worker->snap;

	unsigned open = s->client->crowd != NULL ? s->client->crowd->sessions : s->client->sessions;

	if (snap->client_limit > 0 && open > snap->client_limit)
		return refuse_busy(s, EV_TOO_MANY, R_TOO_MANY);
	if (shared_post_queue(s->worker->shared) >= snap->post_queue_limit)
		return refuse_busy(s, EV_PORTS_BUSY, R_PORTS_BUSY);
	return S_STAY;
}

static enum state
check_access(struct session *s)
{
	s->access = (uint8_t)access_list_find(s->worker->snap->access, &s->peer.addr);
	if (s->access == ACCESS_PERMIT) {
		log_plain(s, EV_ALLOWLISTED);
		s->verdict = V_ALLOW;
		return S_GATE;
	}
	if (s->access == ACCESS_REJECT) {
		log_plain(s, EV_DENYLISTED);
		if (screening_deny(&s->sc, memory_policy(s)) == STEP_DROP)
			return session_finish(s, R_DROP_DENYLIST, V_DROP);
	}
	return S_STAY;
}

static enum state
check_memory(struct session *s)
{
	struct worker *w = s->worker;
	struct client *c = s->client;
	struct record stored;

	s->known = memory_get(s, &stored);
	if (!screening_begin(&s->sc, memory_policy(s), &c->stamps, s->known ? &stored : NULL,
		c->screened > 1, loop_wall_s(w->loop)))
		return S_STAY;
	log_plain(s, EV_PASS_OLD);
	s->verdict = V_PASS_OLD;
	return S_GATE;
}

static enum state
check_origin(struct session *s)
{
	const struct snapshot *snap = s->worker->snap;

	if (match_list_addr(snap->interfaces, &s->local.addr) == TABLE_FOUND)
		return S_STAY;
	log_plain(s, EV_VETO); /* fail closed: an error vetoes too */
	screening_veto(&s->sc, memory_policy(s));
	return S_STAY;
}

static enum state
check_room(struct session *s)
{
	const struct worker *w = s->worker;
	size_t open = shared_check_queue(w->shared);
	size_t passed = shared_post_queue(w->shared) + shared_relayed(w->shared);

	if (open - (passed < open ? passed : open) >= w->snap->pre_queue_limit)
		return refuse_busy(s, EV_SCREEN_BUSY, R_SCREEN_BUSY);
	return (s->sc.todo & CHECKS_EARLY) != 0 ? S_WAIT
	       : screening_may_forward(&s->sc)	? S_GATE
						: S_TALK;
}

enum state
door_enter(struct session *s)
{
	/* The order is postscreen's, which its log shows: limits before lists. */
	static state_fn *const steps[] = { check_limits, check_access, check_memory, check_origin,
		check_room };
	enum state next = S_STAY;

	log_plain(s, EV_CONNECT);
	if (!worker_admit(s->worker, s))
		return session_finish(s, R_SCREEN_BUSY, V_BUSY);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0] && next == S_STAY; i++)
		next = steps[i](s);
	return next;
}

static bool
due(const struct session *s, enum check check)
{
	return (s->sc.todo & CHECK_BIT(check)) != 0;
}

static bool
tease(struct session *s)
{
	char line[512];
	int n = snprintf(line, sizeof line, "220-%s\r\n", s->worker->snap->greet_banner);

	if (n >= (int)sizeof line)
		n = (int)sizeof line - 1;
	s->teased = true;
	return send(s->fd, line, (size_t)n, MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

static void
on_answers(void *arg)
{
	struct session *s = arg;

	/* What comes after the pause is only for the record. */
	if (s->state == S_WAIT)
		session_event(s, ON_OTHER);
}

enum state
wait_enter(struct session *s)
{
	s->phase_us = loop_now_us(s->worker->loop);
	if (due(s, CHECK_PREGREET)) {
		if (!tease(s))
			return session_hangup(s);
		session_listen(s, true);
	}
	if (due(s, CHECK_DNSBL)) /* null: no room to ask; fail open after the pause */
		s->ask = dnsbl_ask(s->worker->dnsbl, &s->peer.addr, on_answers, s);
	memory_ask(s);
	return S_STAY;
}

static void
collect_score(struct session *s)
{
	static const struct dnsbl_score nothing;
	const struct dnsbl_score *score = s->ask == NULL ? &nothing : dnsbl_ask_score(s->ask);

	if (due(s, CHECK_DNSBL) && !s->sc.scored)
		screening_score(&s->sc, memory_policy(s), &s->client->stamps, score->total,
		    score->ttl_s, loop_wall_s(s->worker->loop));
}

enum state
wait_over(struct session *s)
{
	bool ranked = false;
	char rank[16];

	collect_score(s);
	s->wait_us = loop_now_us(s->worker->loop) - s->phase_us;
	enum step step = screening_wait_over(
	    &s->sc, memory_policy(s), &s->client->stamps, loop_wall_s(s->worker->loop), &ranked);
	if (ranked) {
		snprintf(rank, sizeof rank, "%d", s->sc.score);
		log_event(s, EV_RANK, rank);
	}
	if (step == STEP_DROP)
		return session_finish(s, R_DROP_DNSBL, V_DROP);
	return step == STEP_PASS ? S_GATE : S_TALK;
}

/* Another host has passed this client. */
static enum state
recall(struct session *s, bool known)
{
	s->known = true;
	if (!known)
		return screening_early_done(&s->sc) ? wait_over(s) : S_STAY;
	s->wait_us = loop_now_us(s->worker->loop) - s->phase_us;
	log_plain(s, EV_PASS_OLD);
	s->verdict = V_PASS_OLD;
	return S_GATE;
}

/* The lists have answered, or another host. */
enum state
wait_other(struct session *s)
{
	bool known;

	if (memory_answered(s, &known))
		return recall(s, known);
	collect_score(s);
	return screening_early_done(&s->sc) ? wait_over(s) : S_STAY;
}

static void
log_pregreet(struct session *s, const char *bytes, size_t len)
{
	char count[24], after[24], text[101];
	struct buf b = BUF(text);
	int64_t elapsed_us = loop_now_us(s->worker->loop) - s->phase_us;

	snprintf(count, sizeof count, "%zu", len);
	buf_escape(&b, (struct span){ bytes, len }, sizeof text - 1);
	log_event(s, EV_PREGREET, count,
	    elapsed_text(elapsed_us, s->worker->snap->log_decimals, after), text);
	s->pregreet_bytes = (uint16_t)len;
	s->pregreet_ms = (uint32_t)(elapsed_us / 1000);
}

/* The client spoke before its turn, or went away. What it said stays in the socket. */
enum state
wait_read(struct session *s)
{
	char bytes[1023];
	ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return S_STAY;
	if (n <= 0)
		return session_hangup(s);
	log_pregreet(s, bytes, (size_t)n);
	session_listen(s, false);
	if (screening_pregreet(&s->sc, memory_policy(s)) == ACTION_DROP)
		return session_finish(s, R_DROP_PROTOCOL, V_DROP);
	return screening_early_done(&s->sc) ? wait_over(s) : S_STAY;
}
