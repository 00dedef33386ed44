/*
 * Slow replies for clients already refused: each waits gatehouse_tarpit_delay, then leaves at
 * gatehouse_tarpit_rate bytes a second. Nothing more is read meanwhile.
 */
#include "config.h"

#include "screen/verbs.h"
#include "screen/worker.h"

static bool
deserves(const struct session *s)
{
	const struct engine_rules *rules = s->worker->snap->engine;

	return rules->tarpit_delay_us > 0 && s->sc.refusal != REFUSE_NONE &&
	       shared_tarpit(s->worker->shared) < rules->tarpit_sessions;
}

bool
tarpit_holds(struct session *s)
{
	struct engine *e = s->engine;

	if (!e->slow && deserves(s)) {
		e->slow = true;
		atomic_fetch_add_explicit(&s->worker->slot->tarpit, 1, memory_order_relaxed);
	}
	return e->slow;
}

void
tarpit_leave(struct session *s)
{
	if (s->engine->slow)
		atomic_fetch_sub_explicit(&s->worker->slot->tarpit, 1, memory_order_relaxed);
	s->engine->slow = false;
}

enum state
tarpit_over(struct session *s)
{
	(void)s;
	return S_DRIP;
}

enum state
drip_enter(struct session *s)
{
	reply_drip(s, s->worker->snap->engine->tarpit_rate);
	return s->engine->out_len == 0 ? S_TALK : S_STAY;
}

enum state
drip_time(struct session *s)
{
	return drip_enter(s) == S_TALK ? S_TALK : S_AGAIN;
}
