#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "dnsbl/health.h"
#include "dnsbl/name.h"
#include "dnsbl/resolver.h"
#include "dnsbl/signals.h"
#include "dnsbl/sites.h"

#define LOG_PROGRAM "dnsblog"

#define REMEMBERED_MAX 4096 /* clients whose answers are kept after their last session */
#define MEMORY_TTL_MAX_S 3600
#define ON_THE_WIRE 250 /* all workers together, to a server that answers from memory */
#define ON_THE_WIRE_MIN 32

/* A ring of records; its head is a link too. */
struct link {
	struct link *prev, *next; /* null when in no ring */
};

/* The question to one list about one client. Its lane is the index of the domain. */
struct slot {
	struct query query;
	int64_t at_us;	    /* asked; once answered, answered */
	int64_t expires_us; /* the answer may be used again until then; 0: never */
	/* A listing whose list is being probed is held: pending until that is over. */
	struct slot **held_in, *held_next;
};

/* The client's name: asked once, whatever the number of rules that look at it. */
struct reverse {
	struct client_name name;
	struct record *record;
};

/* Everything known of one client. Lives while sessions hold it, then a while in memory. */
struct record {
	struct map_node node;
	struct link link; /* among the ready, or, without refs, among the remembered */
	struct dnsbl *dnsbl;
	struct addr client;
	unsigned refs;
	bool delivering;
	bool delivered;		/* a session has its verdict from this score: it stays as it is */
	struct dnsbl_ask *asks; /* those not yet called */
	struct deadline deadline;
	struct dnsbl_score score;
	struct dnsbl_answer *answers; /* behind the slots */
	struct reverse *reverse;      /* behind the answers; null if no rule needs it */
	struct slot slots[];
};

struct dnsbl_ask {
	struct record *record;
	struct dnsbl_ask **in, *next; /* in record->asks; in is null once called */
	dnsbl_done_fn *done;
	void *arg;
};

struct dnsbl {
	struct loop *loop;
	const struct dnsbl_sites *sites;
	struct resolver *resolver;
	struct health *health;
	struct pool *records, *asks;
	struct map by_client;
	struct link ready, remembered;
	struct slot *held;
	size_t remembered_count, remembered_max;
	struct deadline_queue deadlines;
	struct watch kick;
	struct log_limit lookup_limit, timeout_limit;
};

static void
link_add(struct link *head, struct link *l)
{
	l->prev = head->prev;
	l->next = head;
	l->prev->next = l;
	head->prev = l;
}

static void
link_del(struct link *l)
{
	if (l->next == NULL)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

static struct record *
record_of(struct slot *slot)
{
	return container_of(slot - slot->query.lane, struct record, slots[0]);
}

static void
hold(struct dnsbl *d, struct slot *slot)
{
	slot->held_in = &d->held;
	slot->held_next = d->held;
	if (d->held != NULL)
		d->held->held_in = &slot->held_next;
	d->held = slot;
}

static void
unhold(struct slot *slot)
{
	if (slot->held_in == NULL)
		return;
	*slot->held_in = slot->held_next;
	if (slot->held_next != NULL)
		slot->held_next->held_in = slot->held_in;
	slot->held_in = NULL;
}

/* Completion. */

static bool
is_settled(const struct record *rec)
{
	const struct dnsbl_sites *s = rec->dnsbl->sites;
	enum dnsbl_outlook outlook;

	if (rec->score.pending == 0)
		return true;
	if (s->early == EARLY_NEVER)
		return false;
	outlook = dnsbl_score_outlook(s, &rec->score);
	/* That someone will merely pass shortens no pause, so the rest may as well come in. */
	return outlook == DNSBL_WILL_ALLOW ||
	       (outlook == DNSBL_WILL_FAIL && s->early == EARLY_BOTH);
}

static void
settle(struct record *rec)
{
	if (!is_settled(rec))
		return;
	if (rec->score.pending == 0)
		deadline_disarm(&rec->deadline);
	if (rec->asks != NULL && rec->link.next == NULL)
		link_add(&rec->dnsbl->ready, &rec->link);
}

static void
ask_unlink(struct dnsbl_ask *ask)
{
	if (ask->in == NULL)
		return;
	*ask->in = ask->next;
	if (ask->next != NULL)
		ask->next->in = ask->in;
	ask->in = NULL;
}

static void record_retire(struct record *);

/* The callbacks may release any handle, this record's included. */
static void
deliver(void *arg)
{
	struct dnsbl *d = arg;

	while (d->ready.next != &d->ready) {
		struct record *rec = container_of(d->ready.next, struct record, link);

		link_del(&rec->link);
		rec->delivering = rec->delivered = true;
		while (rec->asks != NULL) {
			struct dnsbl_ask *ask = rec->asks;

			ask_unlink(ask);
			ask->done(ask->arg);
		}
		rec->delivering = false;
		if (rec->refs == 0)
			record_retire(rec);
	}
}

static void
on_kick(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	deliver(arg);
}

/* Answers. */

static void
log_listings(const struct record *rec, size_t domain)
{
	const struct dnsbl_answer *a = &rec->answers[domain];
	char client[ADDR_TEXT_SIZE];

	addr_format(&rec->client, client);
	for (uint8_t i = 0; i < a->count; i++)
		log_info("addr %s listed by domain %s as %u.%u.%u.%u", client,
		    rec->dnsbl->sites->domains[domain].shown, a->ip[i][0], a->ip[i][1], a->ip[i][2],
		    a->ip[i][3]);
}

/* The name asked for, as far as it may be shown. */
static void
put_query_name(struct buf *out, const struct addr *client, const char *domain)
{
	if (client->family == 4)
		buf_printf(out, "%u.%u.%u.%u.", client->ip[3], client->ip[2], client->ip[1],
		    client->ip[0]);
	for (int i = 15; client->family == 6 && i >= 0; i--)
		buf_printf(out, "%x.%x.", client->ip[i] & 15u, client->ip[i] >> 4);
	buf_puts(out, domain);
}

static void
log_failure(struct record *rec, size_t domain, const char *why)
{
	struct dnsbl *d = rec->dnsbl;
	char text[512];
	struct buf name = BUF(text);
	unsigned held;

	if (!log_allowed(&d->lookup_limit, loop_now_us(d->loop), &held))
		return;
	put_query_name(&name, &rec->client, d->sites->domains[domain].shown);
	if (held > 0)
		log_warning("dnsblog_query: lookup error for DNS query %s: %s (and %u more)", text,
		    why, held);
	else
		log_warning("dnsblog_query: lookup error for DNS query %s: %s", text, why);
}

static void
take_answer(struct dnsbl_answer *a, int status, const struct answer *answer)
{
	a->ttl = answer->ttl;
	if (status == ANSWER_FOUND) {
		a->state = DNSBL_LISTED;
		a->count = answer->count;
		for (uint8_t i = 0; i < answer->count; i++)
			memcpy(a->ip[i], answer->ip[i], 4);
	} else if (status == ANSWER_NONE) {
		a->state = DNSBL_NOT_LISTED;
	} else {
		a->state = DNSBL_FAILED; /* fail open */
		a->error = query_status_text(status);
	}
}

/* Only what the list really said is worth keeping. */
static int64_t
memory_until(const struct dnsbl_answer *a, const struct answer *answer, int64_t now_us)
{
	int64_t ttl_s = answer->memory_ttl;

	if ((a->state != DNSBL_LISTED && a->state != DNSBL_NOT_LISTED) || ttl_s <= 0)
		return 0;
	return now_us + (ttl_s < MEMORY_TTL_MAX_S ? ttl_s : MEMORY_TTL_MAX_S) * 1000000;
}

/* A list out of favour loses the votes it has given. */
static bool
disown(struct record *rec, size_t domain)
{
	struct dnsbl_answer *a = &rec->answers[domain];
	const char *why = health_quarantined(rec->dnsbl->health, domain);

	if (why == NULL || a->state != DNSBL_LISTED)
		return false;
	rec->slots[domain].expires_us = 0;
	a->state = DNSBL_DISTRUSTED; /* fail open */
	a->error = why;
	a->count = 0;
	a->ttl = -1;
	return true;
}

/* An answer has its final form: it is logged and counts. */
static void
admit(struct record *rec, size_t domain)
{
	const struct dnsbl_answer *a = &rec->answers[domain];

	if (!disown(rec, domain) && a->state == DNSBL_LISTED)
		log_listings(rec, domain);
	else if (a->state == DNSBL_FAILED || a->state == DNSBL_DISTRUSTED)
		log_failure(rec, domain, a->error);
	dnsbl_score_add(rec->dnsbl->sites, &rec->score, domain);
	settle(rec);
}

static void
on_answer(struct query *q, int status, const struct answer *answer)
{
	struct slot *slot = container_of(q, struct slot, query);
	struct record *rec = record_of(slot);
	struct dnsbl *d = rec->dnsbl;
	struct dnsbl_answer *a = &rec->answers[q->lane];
	int64_t now_us = loop_now_us(d->loop);

	a->us = (uint32_t)(now_us - slot->at_us);
	slot->at_us = now_us;
	take_answer(a, status, answer);
	dnsbl_judge(d->sites, q->lane, a);
	slot->expires_us = memory_until(a, answer, now_us);
	if (health_note(d->health, q->lane, a)) {
		hold(d, slot);
		a->state = DNSBL_PENDING;
		return;
	}
	admit(rec, q->lane);
}

static void
rescore(struct record *rec)
{
	const struct dnsbl_sites *s = rec->dnsbl->sites;

	score_reset(s, &rec->score, rec->answers);
	for (size_t i = 0; i < dnsbl_domain_count(s); i++)
		if (rec->answers[i].state != DNSBL_PENDING)
			dnsbl_score_add(s, &rec->score, i);
}

struct change {
	struct dnsbl *dnsbl;
	size_t domain;
};

static void
apply_quarantine(struct map_node *node, void *arg)
{
	const struct change *change = arg;
	struct record *rec = container_of(node, struct record, node);

	rec->slots[change->domain].expires_us = 0; /* not to be used again */
	if (rec->refs == 0 || rec->delivered || !disown(rec, change->domain))
		return;
	rescore(rec);
	settle(rec);
}

static void
decide_held(struct dnsbl *d, size_t domain)
{
	for (struct slot *slot = d->held, *next; slot != NULL; slot = next) {
		struct record *rec = record_of(slot);

		next = slot->held_next;
		if (slot->query.lane != domain)
			continue;
		unhold(slot);
		rec->answers[domain].state = DNSBL_LISTED;
		admit(rec, domain);
	}
}

/* Called from a batch or from the health's timer; only the latter has nobody to deliver after it.
 */
static void
on_health(void *arg, size_t domain)
{
	struct change change = { arg, domain };
	struct dnsbl *d = arg;

	decide_held(d, domain);
	if (health_quarantined(d->health, domain) != NULL)
		map_each(&d->by_client, apply_quarantine, &change);
	if (d->ready.next != &d->ready)
		watch_kick(&d->kick);
}

static void
write_question(const struct query *q, struct question *out)
{
	const struct slot *slot = container_of(q, const struct slot, query);
	const struct record *rec = record_of((struct slot *)(uintptr_t)slot);
	const struct domain *domain = &rec->dnsbl->sites->domains[q->lane];
	bool fits = question_reversed(out, &rec->client, domain->wire, domain->wire_len, DNS_A);

	assert(fits); /* a domain too long for a family does not have it among its families */
	(void)fits;
}

static const struct query_kind list_query = { write_question, on_answer };

static void
log_timeout(struct record *rec, size_t domain)
{
	struct dnsbl *d = rec->dnsbl;
	unsigned held;

	if (log_allowed(&d->timeout_limit, loop_now_us(d->loop), &held))
		log_warning("dnsblog reply timeout %llds for %s",
		    (long long)(d->sites->timeout_ms / 1000), d->sites->domains[domain].shown);
}

/* Local signals. */

static void
decide_signal(struct record *rec, size_t i, enum dnsbl_state state)
{
	struct dnsbl *d = rec->dnsbl;
	size_t at = d->sites->count + i;
	char client[ADDR_TEXT_SIZE];

	rec->answers[at] = (struct dnsbl_answer){ .state = state, .ttl = -1 };
	if (state == DNSBL_LISTED)
		log_info("addr %s has signal %s", addr_format(&rec->client, client),
		    d->sites->signals[i].shown);
	else if (state == DNSBL_FAILED)
		rec->answers[at].error = "the client's name could not be looked up";
	dnsbl_score_add(d->sites, &rec->score, at);
}

static enum dnsbl_state
judge_name(const struct signal *sig, const struct client_name *n, enum name_state state)
{
	const char *text = state == NAME_MISSING ? NULL : n->text;

	if (state == NAME_FAILED)
		return DNSBL_FAILED; /* fail open */
	return signal_matches_name(sig, text, state == NAME_CONFIRMED) ? DNSBL_LISTED
								       : DNSBL_NOT_LISTED;
}

static void
decide_names(struct record *rec, enum name_state state)
{
	const struct dnsbl_sites *s = rec->dnsbl->sites;

	for (size_t i = 0; i < s->signal_count; i++)
		if (signal_needs_ptr(&s->signals[i]))
			decide_signal(
			    rec, i, judge_name(&s->signals[i], &rec->reverse->name, state));
	settle(rec);
}

static void
on_name(struct client_name *n)
{
	decide_names(container_of(n, struct reverse, name)->record, n->state);
}

static void
ask_signals(struct record *rec)
{
	struct dnsbl *d = rec->dnsbl;
	bool foreign = !addr_is_private(&rec->client) || addr_is_loopback(&rec->client);

	for (size_t i = 0; i < d->sites->signal_count; i++) {
		const struct signal *sig = &d->sites->signals[i];

		rec->answers[d->sites->count + i] = (struct dnsbl_answer){ .ttl = -1 };
		if (!signal_needs_ptr(sig))
			decide_signal(rec, i,
			    signal_matches_client(d->sites, sig, &rec->client) ? DNSBL_LISTED
									       : DNSBL_NOT_LISTED);
		else if (!foreign)
			decide_signal(rec, i, DNSBL_SKIPPED);
	}
	if (rec->reverse != NULL && foreign)
		client_name_ask(&rec->reverse->name);
}

/* The lists that have not answered by now have lost their vote. */
static void
on_deadline(struct deadline *deadline)
{
	struct record *rec = container_of(deadline, struct record, deadline);
	struct dnsbl *d = rec->dnsbl;

	for (size_t i = 0; i < d->sites->count; i++) {
		struct dnsbl_answer *a = &rec->answers[i];

		if (a->state != DNSBL_PENDING)
			continue;
		unhold(&rec->slots[i]);
		resolver_cancel(d->resolver, &rec->slots[i].query);
		log_timeout(rec, i);
		a->us = (uint32_t)(loop_now_us(d->loop) - rec->slots[i].at_us);
		a->state = DNSBL_FAILED; /* fail open */
		a->error = query_status_text(QUERY_TIMEOUT);
		a->count = 0;
		(void)health_note(d->health, i, a);
		dnsbl_score_add(d->sites, &rec->score, i);
	}
	if (rec->reverse != NULL && rec->score.pending > 0) {
		client_name_cancel(&rec->reverse->name);
		decide_names(rec, NAME_FAILED);
	}
	settle(rec);
	deliver(d);
}

/* Records. */

static bool
same_client(const struct map_node *node, const void *key)
{
	return addr_equal(&container_of(node, const struct record, node)->client, key);
}

static struct record *
record_find(struct dnsbl *d, const struct addr *client, uint64_t hash)
{
	struct map_node *node = map_find(&d->by_client, hash, same_client, client);

	return node != NULL ? container_of(node, struct record, node) : NULL;
}

static void
record_drop(struct record *rec)
{
	struct dnsbl *d = rec->dnsbl;

	map_del(&d->by_client, &rec->node);
	pool_give(d->records, rec);
}

static void
forget_oldest(struct dnsbl *d)
{
	struct record *rec = container_of(d->remembered.next, struct record, link);

	link_del(&rec->link);
	d->remembered_count--;
	record_drop(rec);
}

/* Cancels what is out; true if an answer is left that memory can use. */
static bool
record_stop(struct record *rec)
{
	struct dnsbl *d = rec->dnsbl;
	bool worth = false;

	deadline_disarm(&rec->deadline);
	if (rec->reverse != NULL)
		client_name_cancel(&rec->reverse->name);
	for (size_t i = 0; i < d->sites->count; i++) {
		resolver_cancel(d->resolver, &rec->slots[i].query);
		if (rec->slots[i].held_in != NULL)
			rec->slots[i].expires_us = 0;
		unhold(&rec->slots[i]);
		worth = worth || rec->slots[i].expires_us != 0;
	}
	return worth;
}

/* The last session let go. */
static void
record_retire(struct record *rec)
{
	struct dnsbl *d = rec->dnsbl;

	link_del(&rec->link);
	if (!record_stop(rec)) {
		record_drop(rec);
		return;
	}
	if (d->remembered_count == d->remembered_max)
		forget_oldest(d);
	link_add(&d->remembered, &rec->link);
	d->remembered_count++;
}

static struct record *
record_new(struct dnsbl *d, const struct addr *client, uint64_t hash)
{
	struct record *rec = pool_take(d->records);

	if (rec == NULL && d->remembered_count > 0) {
		forget_oldest(d);
		rec = pool_take(d->records);
	}
	if (rec == NULL)
		return NULL;
	rec->dnsbl = d;
	rec->client = *client;
	rec->answers = (struct dnsbl_answer *)&rec->slots[d->sites->count];
	for (size_t i = 0; i < d->sites->count; i++) {
		rec->slots[i].query.kind = &list_query;
		rec->slots[i].query.lane = (uint16_t)i;
	}
	if (signals_need_ptr(d->sites)) {
		rec->reverse = (struct reverse *)(rec->answers + dnsbl_domain_count(d->sites));
		rec->reverse->record = rec;
		client_name_init(&rec->reverse->name, d->resolver, &rec->client,
		    (uint16_t)d->sites->count, on_name);
	}
	map_add(&d->by_client, &rec->node, hash);
	return rec;
}

/* No public list knows a private address. Loopback is asked about: nobody else's host can have it.
 */
static const char *
why_not_ask(const struct dnsbl *d, size_t index, const struct addr *client)
{
	const struct domain *domain = &d->sites->domains[index];

	if (addr_is_private(client) && !addr_is_loopback(client))
		return "private client";
	if ((domain->families & (client->family == 4 ? FAMILY_V4 : FAMILY_V6)) == 0)
		return "list has no addresses of this family";
	return health_quarantined(d->health, index);
}

static bool
answer_from_memory(struct record *rec, size_t domain, int64_t now_us)
{
	struct slot *slot = &rec->slots[domain];
	struct dnsbl_answer *a = &rec->answers[domain];
	int64_t age_s = (now_us - slot->at_us) / 1000000;

	if (slot->expires_us <= now_us)
		return false;
	a->us = 0;
	if (a->ttl > 0)
		a->ttl = a->ttl > age_s ? a->ttl - (int32_t)age_s : 0;
	slot->at_us += age_s * 1000000;
	if (a->state == DNSBL_LISTED)
		log_listings(rec, domain);
	return true;
}

static void
ask_domain(struct record *rec, size_t domain)
{
	struct dnsbl *d = rec->dnsbl;
	struct slot *slot = &rec->slots[domain];
	struct dnsbl_answer *a = &rec->answers[domain];
	const char *why_not = why_not_ask(d, domain, &rec->client);
	int64_t now_us = loop_now_us(d->loop);

	if (why_not != NULL) {
		*a = (struct dnsbl_answer){ .state = DNSBL_SKIPPED, .ttl = -1, .error = why_not };
	} else if (!answer_from_memory(rec, domain, now_us)) {
		*a = (struct dnsbl_answer){ .ttl = -1 };
		slot->expires_us = 0;
		slot->at_us = now_us;
		resolver_ask(d->resolver, &slot->query, false);
		return;
	}
	dnsbl_score_add(d->sites, &rec->score, domain);
}

static void
record_start(struct record *rec)
{
	struct dnsbl *d = rec->dnsbl;

	rec->delivered = false;
	score_reset(d->sites, &rec->score, rec->answers);
	for (size_t i = 0; i < d->sites->count; i++)
		ask_domain(rec, i);
	ask_signals(rec);
	if (rec->score.pending > 0)
		deadline_arm(&d->deadlines, &rec->deadline);
}

/* The door. */

static struct record *
record_get(struct dnsbl *d, const struct addr *client)
{
	uint64_t hash = addr_hash(client);
	struct record *rec = record_find(d, client, hash);

	if (rec != NULL && rec->refs > 0)
		return rec;
	if (rec != NULL && rec->delivering)
		return rec;
	if (rec != NULL) {
		link_del(&rec->link);
		d->remembered_count--;
	} else if ((rec = record_new(d, client, hash)) == NULL) {
		return NULL;
	}
	record_start(rec);
	return rec;
}

struct dnsbl_ask *
dnsbl_ask(struct dnsbl *d, const struct addr *client, dnsbl_done_fn *done, void *arg)
{
	struct dnsbl_ask *ask = pool_take(d->asks);
	struct record *rec;

	if (ask == NULL)
		return NULL; /* fail open */
	rec = record_get(d, client);
	if (rec == NULL) {
		pool_give(d->asks, ask);
		return NULL; /* fail open */
	}
	rec->refs++;
	*ask = (struct dnsbl_ask){
		.record = rec, .in = &rec->asks, .next = rec->asks, .done = done, .arg = arg
	};
	if (ask->next != NULL)
		ask->next->in = &ask->next;
	rec->asks = ask;
	settle(rec);
	if (rec->link.next != NULL)
		watch_kick(&d->kick);
	return ask;
}

void
dnsbl_release(struct dnsbl_ask **handle)
{
	struct dnsbl_ask *ask = *handle;
	struct record *rec;

	if (ask == NULL)
		return;
	*handle = NULL;
	rec = ask->record;
	ask_unlink(ask);
	pool_give(rec->dnsbl->asks, ask);
	if (--rec->refs == 0 && !rec->delivering)
		record_retire(rec);
}

const struct dnsbl_score *
dnsbl_ask_score(struct dnsbl_ask *ask)
{
	struct record *rec = ask->record;

	dnsbl_score_end(rec->dnsbl->sites, &rec->score);
	return &rec->score;
}

const char *
dnsbl_ask_ptr(const struct dnsbl_ask *ask)
{
	const struct reverse *rev = ask->record->reverse;

	return rev == NULL || rev->name.text[0] == '\0' ? NULL : rev->name.text;
}

static unsigned
window_of(const struct dnsbl_sites *s)
{
	unsigned window = ON_THE_WIRE / (s->workers > 0 ? s->workers : 1);

	return window > ON_THE_WIRE_MIN ? window : ON_THE_WIRE_MIN;
}

struct dnsbl *
dnsbl_new(struct loop *loop, const struct dnsbl_sites *s, size_t clients_max, struct diag *diag)
{
	struct dnsbl *d = mem_alloc(sizeof *d);
	size_t record_size = sizeof(struct record) + s->count * sizeof(struct slot) +
			     dnsbl_domain_count(s) * sizeof(struct dnsbl_answer) +
			     (signals_need_ptr(s) ? sizeof(struct reverse) : 0);

	(void)diag;
	d->loop = loop;
	d->sites = s;
	d->resolver = resolver_new(loop, s->servers, s->server_count, s->count + 1, window_of(s));
	d->remembered_max = clients_max < REMEMBERED_MAX ? clients_max : REMEMBERED_MAX;
	d->records = pool_new(clients_max + d->remembered_max, record_size);
	d->asks = pool_new(clients_max, sizeof(struct dnsbl_ask));
	map_init(&d->by_client, 64);
	d->ready.prev = d->ready.next = &d->ready;
	d->remembered.prev = d->remembered.next = &d->remembered;
	deadline_queue_init(&d->deadlines, loop, s->timeout_ms * 1000, on_deadline);
	watch_init_timer(&d->kick, loop, on_kick, d);
	resolver_after_batch(d->resolver, deliver, d);
	d->health = health_new(loop, d->resolver, s, on_health, d);
	return d;
}

void
dnsbl_free(struct dnsbl **handle)
{
	struct dnsbl *d = *handle;

	if (d == NULL)
		return;
	watch_stop(&d->kick);
	deadline_queue_fini(&d->deadlines);
	health_free(&d->health);
	resolver_free(&d->resolver);
	map_fini(&d->by_client);
	pool_free(&d->records);
	pool_free(&d->asks);
	free(d);
	*handle = NULL;
}

void
dnsbl_client_passed(struct dnsbl *d, const struct addr *client)
{
	health_passed(d->health, client);
}

const struct dnsbl_health *
dnsbl_health(const struct dnsbl *d, size_t domain)
{
	static const struct dnsbl_health of_a_signal = { .state = DNSBL_HEALTHY };

	assert(domain < dnsbl_domain_count(d->sites));
	return domain < d->sites->count ? health_get(d->health, domain) : &of_a_signal;
}

bool
dnsbl_probing(const struct dnsbl *d)
{
	return health_probing(d->health);
}
