#include "config.h"

#include "screen/memory.h"
#include "screen/session.h"
#include "screen/worker.h"

void
memory_open(struct worker *w, const struct worker_start *start)
{
	if (w->snap->store_path != NULL)
		w->store = store_reader_open(w->snap->store_path, start->store_fd);
	if (w->snap->share != NULL)
		w->share = share_new(w->loop, w->snap->share);
	w->pools = start->pools;
	if (start->pools != NULL && w->number == 0)
		w->walker = pools_walk(w->loop, start->pools);
}

void
memory_close(struct worker *w)
{
	pools_free(&w->walker);
	share_free(&w->share);
	store_reader_free(&w->store);
}

const struct policy_rules *
memory_policy(const struct session *s)
{
	return s->listed_only ? &s->worker->snap->policy_listed : &s->worker->snap->policy;
}

/* The address its record stands under. */
static struct addr
key_of(const struct session *s)
{
	struct addr key = s->peer.addr;
	bool listed_only;

	if (s->pooled)
		(void)pools_find(s->worker->pools, &s->peer.addr, &key, &listed_only);
	return key;
}

bool
memory_get(struct session *s, struct record *out)
{
	struct worker *w = s->worker;
	struct addr key = s->peer.addr;
	bool listed_only = false;

	s->pooled = w->pools != NULL && pools_find(w->pools, &s->peer.addr, &key, &listed_only);
	s->listed_only = listed_only;
	return !screening_failed(&s->sc) && s->client->screened == 1 && w->store != NULL &&
	       store_get(w->store, &key, out, loop_wall_s(w->loop));
}

static void
on_found(void *arg, const struct record *found)
{
	struct session *s = arg;
	struct worker *w = s->worker;
	struct addr key = key_of(s);
	int64_t now_s = loop_wall_s(w->loop);

	if (found == NULL || s->state != S_WAIT)
		return;
	if (w->store != NULL)
		store_put(w->store, &key, found, memory_policy(s)->enabled, now_s);
	s->recalled = screening_recall(&s->sc, memory_policy(s), &s->client->stamps, found, now_s);
	s->told = true;
	session_event(s, ON_OTHER);
}

void
memory_ask(struct session *s)
{
	struct addr key = key_of(s);

	if (s->worker->share != NULL && !screening_failed(&s->sc))
		s->share_ask = share_get(s->worker->share, &key, on_found, s);
}

bool
memory_answered(struct session *s, bool *known)
{
	bool told = s->told;

	*known = s->recalled;
	s->told = false;
	return told;
}

void
memory_put(struct session *s)
{
	struct worker *w = s->worker;
	struct addr key = key_of(s);
	int64_t now_s = loop_wall_s(w->loop);
	uint8_t enabled = memory_policy(s)->enabled;

	if (w->store != NULL)
		store_put(w->store, &key, &s->client->stamps, enabled, now_s);
	if (w->share != NULL)
		share_put(w->share, &key, &s->client->stamps, enabled, now_s);
}

void
memory_release(struct session *s)
{
	share_release(&s->share_ask);
}
