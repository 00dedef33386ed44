#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "dnsbl/health.h"

#define LOG_PROGRAM "dnsblog"

#define PROBE_MS 3000 /* a probe without an answer by then has failed */
#define HOLD_MS 300   /* how long a listing waits for the outcome of an alarm */
#define RECHECK_MIN_MS 5000
#define RECHECK_MAX_MS 60000
#define RECHECK_SILENT_MS \
	10000		  /* a list that was merely silent is missed as soon as it is back \
				 */
#define FAILURES_ALARM 20 /* failures in a row, then the list is probed */
#define RUN_ALARM 8	  /* listings in a row, then the list is probed */
#define RUN_ALARM_ALL 16  /* the same, all workers together */
#define PASSED_KEPT 64
#define PASSED_ASKED 4
#define PASSED_GUILTY 3 /* so many of them listed: it lists everyone */

enum probe_id {
	PROBE_LISTED,	/* 127.0.0.2: must be listed */
	PROBE_UNLISTED, /* 127.0.0.1: must not be */
	PROBE_NAME,	/* a random label: cannot be */
	PROBE_ADDRESS,	/* a random address of a reserved net: cannot be */
	PROBE_PASSED,	/* clients that passed lately: should not be */
	PROBES = PROBE_PASSED + PASSED_ASKED
};

struct probe {
	struct query query;
	struct list *list;
	bool asked;
	enum dnsbl_state result;
	const char *error;
	struct addr client;
	char label[17]; /* instead of client if not empty */
};

/* The health of one list. */
struct list {
	struct health *health;
	size_t domain;
	struct dnsbl_health public;
	struct probe probes[PROBES];
	unsigned outstanding;
	bool alarm, unlisted_before; /* PROBE_UNLISTED was well last time no alarm rang */
	bool quarantined;
	bool heard; /* some probe of the last round was answered */
	unsigned run, failures;
	int64_t next_at_us, deadline_us, hold_until_us, recheck_ms;
};

struct health {
	struct loop *loop;
	struct resolver *resolver;
	const struct dnsbl_sites *sites;
	health_changed_fn *changed;
	void *arg;
	struct list *lists;
	struct watch timer;
	struct addr passed[PASSED_KEPT];
	size_t passed_count;
	unsigned run_alarm;
};

static uint32_t
random_u32(void)
{
	uint32_t value = 0;

	(void)!getrandom(&value, sizeof value, 0);
	return value;
}

/* What a list is asked. */

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* IPv6 lists have their test points at ::FFFF:7F00:1 and ::FFFF:7F00:2. */
static struct addr
test_point(const struct domain *d, uint8_t last)
{
	struct addr a = { .family = 4, .ip = { 127, 0, 0, last } };

	if ((d->families & FAMILY_V4) != 0)
		return a;
	memmove(a.ip + 12, a.ip, 4);
	memcpy(a.ip, mapped_prefix, sizeof mapped_prefix);
	a.family = 6;
	return a;
}

/* 240/4 is reserved (RFC 1112 §4), 100::/64 discarded (RFC 6666): no client has one. */
static struct addr
impossible_address(const struct domain *d)
{
	uint32_t r = random_u32();
	struct addr a = { .family = 4,
		.ip = { (uint8_t)(240 + r % 15), (uint8_t)(r >> 8), (uint8_t)(r >> 16),
		    (uint8_t)(1 + (r >> 24) % 254) } };

	if ((d->families & FAMILY_V4) != 0)
		return a;
	a = (struct addr){ .family = 6, .ip = { [0] = 1 } };
	memcpy(a.ip + 12, &r, sizeof r);
	return a;
}

static void
write_question(const struct query *q, struct question *out)
{
	const struct probe *p = container_of(q, const struct probe, query);
	const struct domain *d = &p->list->health->sites->domains[p->list->domain];

	if (p->label[0] == '\0')
		(void)question_reversed(out, &p->client, d->wire, d->wire_len, DNS_A);
	else if (!question_label(out, span_of(p->label), d->wire, d->wire_len, DNS_A))
		(void)question_label(out, SPAN("x"), d->wire, d->wire_len, DNS_A);
}

static void on_probe(struct query *, int status, const struct answer *);
static const struct query_kind probe_query = { write_question, on_probe };

static void
send_probe(struct list *l, struct probe *p, const struct addr *client)
{
	if (client != NULL)
		p->client = *client;
	p->query.kind = &probe_query;
	p->query.lane = (uint16_t)l->domain;
	p->list = l;
	p->asked = true;
	p->result = DNSBL_PENDING;
	p->error = NULL;
	l->outstanding++;
	resolver_ask(l->health->resolver, &p->query, true);
}

static void
send_random_name(struct list *l)
{
	struct probe *p = &l->probes[PROBE_NAME];
	struct buf label = BUF(p->label);

	buf_printf(&label, "x%08x%07x", random_u32(), random_u32() >> 4);
	send_probe(l, p, NULL);
}

/* The same sample is asked again while the list is in quarantine. */
static void
send_passed(struct list *l, const struct domain *d)
{
	struct health *h = l->health;
	size_t known = h->passed_count < PASSED_KEPT ? h->passed_count : PASSED_KEPT;

	if (d->highest <= 0) /* that an allow list knows those who pass is no wonder */
		return;
	for (size_t i = 0; i < PASSED_ASKED && i < known; i++) {
		struct probe *p = &l->probes[PROBE_PASSED + i];
		const struct addr *client = l->quarantined && p->client.family != 0
						? &p->client
						: &h->passed[(random_u32() + i) % known];
		uint8_t family = client->family == 4 ? FAMILY_V4 : FAMILY_V6;

		if ((d->families & family) != 0)
			send_probe(l, p, client);
	}
}

static void set_timer(struct health *);

static void
probe_start(struct list *l)
{
	const struct domain *d = &l->health->sites->domains[l->domain];
	int64_t now_us = loop_now_us(l->health->loop);
	struct addr a;

	if (l->outstanding > 0 || !d->probe)
		return;
	for (size_t i = 0; i < PROBES; i++)
		l->probes[i].asked = false;
	l->deadline_us = now_us + PROBE_MS * 1000;
	l->next_at_us = l->deadline_us;
	a = impossible_address(d);
	send_probe(l, &l->probes[PROBE_ADDRESS], &a);
	send_random_name(l);
	a = test_point(d, 1);
	send_probe(l, &l->probes[PROBE_UNLISTED], &a);
	a = test_point(d, 2);
	send_probe(l, &l->probes[PROBE_LISTED], &a);
	if (l->alarm || l->quarantined)
		send_passed(l, d);
	set_timer(l->health);
}

/* What the answers say. */

struct finding {
	enum dnsbl_health_state state;
	bool quarantine;
	const char *reason, *advice;
};

static bool
listed(const struct list *l, enum probe_id id)
{
	return l->probes[id].asked && l->probes[id].result == DNSBL_LISTED;
}

static size_t
passed_listed(const struct list *l)
{
	size_t count = 0;

	for (size_t i = 0; i < PASSED_ASKED; i++)
		count += listed(l, (enum probe_id)(PROBE_PASSED + i));
	return count;
}

static const struct probe *
distrusted(const struct list *l)
{
	for (size_t i = 0; i < PROBES; i++)
		if (l->probes[i].asked && l->probes[i].result == DNSBL_DISTRUSTED)
			return &l->probes[i];
	return NULL;
}

static bool
all_failed(const struct list *l)
{
	for (size_t i = 0; i < PROBES; i++)
		if (l->probes[i].asked && l->probes[i].result != DNSBL_FAILED)
			return false;
	return true;
}

/*
 * If no list answers, the resolver is out of order and no list is to blame: they are asked as ever,
 * so that clients are screened from the moment it is back.
 */
static bool
another_answers(const struct list *l)
{
	const struct health *h = l->health;

	for (size_t i = 0; i < h->sites->count; i++) {
		const struct list *other = &h->lists[i];

		if (other != l && other->heard)
			return true;
	}
	return false;
}

static struct finding
judge(const struct list *l)
{
	const struct probe *bad = distrusted(l);

	if (listed(l, PROBE_NAME) || listed(l, PROBE_ADDRESS))
		return (struct finding){ DNSBL_DEAD, true, "it lists what cannot be listed",
			"the list has probably ended: remove it from postscreen_dnsbl_sites" };
	if (passed_listed(l) >= PASSED_GUILTY)
		return (struct finding){ DNSBL_DEAD, true, "it lists clients that have just passed",
			NULL };
	if (listed(l, PROBE_UNLISTED) && l->unlisted_before && (l->alarm || l->quarantined))
		return (struct finding){ DNSBL_DEAD, true,
			"it lists 127.0.0.1 since it lists every client", NULL };
	if (bad != NULL)
		return (struct finding){ DNSBL_BLOCKED, false, bad->error,
			"its answers do not count; \"gatehousectl dnsbl health\" says more" };
	if (all_failed(l))
		return (struct finding){ DNSBL_DEAD, another_answers(l), "it does not answer",
			"look whether the resolver can reach it, or remove it" };
	if (listed(l, PROBE_UNLISTED))
		return (struct finding){ DNSBL_SUSPECT, false,
			"it lists 127.0.0.1 (RFC 5782 section 5)", NULL };
	if (l->probes[PROBE_LISTED].result == DNSBL_NOT_LISTED)
		return (struct finding){ DNSBL_SUSPECT, false,
			"it does not list 127.0.0.2 (RFC 5782 section 5)", NULL };
	return (struct finding){ DNSBL_HEALTHY, false, NULL, NULL };
}

const char *
dnsbl_health_word(enum dnsbl_health_state state)
{
	static const char *const words[] = {
		[DNSBL_UNKNOWN] = "unknown",
		[DNSBL_HEALTHY] = "healthy",
		[DNSBL_SUSPECT] = "suspect",
		[DNSBL_BLOCKED] = "blocked",
		[DNSBL_DEAD] = "dead",
	};

	return words[state];
}

/* One line a change of state. A list without test points is common and still of use: no warning. */
static void
log_state(const struct list *l, const struct finding *f)
{
	const char *name = l->health->sites->domains[l->domain].shown;
	enum log_level level = f->state == DNSBL_BLOCKED || f->state == DNSBL_DEAD
				   ? LOG_LEVEL_WARNING
				   : LOG_LEVEL_INFO;

	if (f->reason == NULL && l->public.state == DNSBL_UNKNOWN)
		return;
	log_line(level, LOG_PROGRAM, "DNSBL %s is %s%s%s%s%s%s", name, dnsbl_health_word(f->state),
	    f->quarantine ? " and not obeyed" : "", f->reason != NULL ? ": " : "",
	    f->reason != NULL ? f->reason : "", f->advice != NULL ? "; " : "",
	    f->advice != NULL ? f->advice : "");
}

static void
set_state(struct list *l, const struct finding *f)
{
	if (l->public.state != f->state || l->public.reason != f->reason)
		log_state(l, f);
	l->public.state = f->state;
	l->public.reason = f->reason;
	l->public.advice = f->advice;
	l->quarantined = l->public.quarantined = f->quarantine;
}

/* Half to one and a half of the interval, so that no two hosts keep step. */
static int64_t
with_jitter(int64_t ms)
{
	return ms / 2 + (int64_t)(random_u32() % (uint32_t)(ms < INT32_MAX ? ms : INT32_MAX));
}

static void
schedule(struct list *l)
{
	int64_t now_us = loop_now_us(l->health->loop),
		ms = l->health->sites->probe_interval_s * 1000;

	if (l->public.state != DNSBL_DEAD && l->public.state != DNSBL_BLOCKED) {
		l->recheck_ms = 0;
	} else {
		l->recheck_ms = l->recheck_ms == 0 ? RECHECK_MIN_MS : l->recheck_ms * 2;
		if (l->recheck_ms > (l->heard ? RECHECK_MAX_MS : RECHECK_SILENT_MS))
			l->recheck_ms = l->heard ? RECHECK_MAX_MS : RECHECK_SILENT_MS;
		ms = l->recheck_ms;
	}
	l->next_at_us = now_us + with_jitter(ms) * 1000;
}

static void
probe_end(struct list *l)
{
	struct finding f;

	l->heard = !all_failed(l);
	f = judge(l);
	set_state(l, &f);
	if (!l->alarm && !f.quarantine)
		l->unlisted_before = l->probes[PROBE_UNLISTED].result == DNSBL_NOT_LISTED;
	l->alarm = false;
	l->run = l->failures = 0;
	l->hold_until_us = 0;
	schedule(l);
	set_timer(l->health);
	l->health->changed(l->health->arg, l->domain);
}

static void
on_probe(struct query *q, int status, const struct answer *answer)
{
	struct probe *p = container_of(q, struct probe, query);
	struct list *l = p->list;
	struct dnsbl_answer a = { .state = DNSBL_FAILED };

	if (status == ANSWER_FOUND) {
		a.state = DNSBL_LISTED;
		a.count = answer->count;
		for (uint8_t i = 0; i < answer->count; i++)
			memcpy(a.ip[i], answer->ip[i], 4);
		dnsbl_judge(l->health->sites, l->domain, &a);
	} else if (status == ANSWER_NONE) {
		a.state = DNSBL_NOT_LISTED;
	}
	p->result = a.state;
	p->error = a.error;
	if (--l->outstanding == 0)
		probe_end(l);
}

/* Time. */

static void
give_up(struct list *l)
{
	for (size_t i = 0; i < PROBES; i++) {
		struct probe *p = &l->probes[i];

		if (!p->asked || p->result != DNSBL_PENDING)
			continue;
		resolver_cancel(l->health->resolver, &p->query);
		p->result = DNSBL_FAILED;
	}
	l->outstanding = 0;
	probe_end(l);
}

/* The hold is over before the probe is: what was held counts (the list has been good so far). */
static void
end_hold(struct list *l)
{
	l->hold_until_us = 0;
	l->health->changed(l->health->arg, l->domain);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct health *h = arg;
	int64_t now_us = loop_now_us(h->loop);

	(void)fd, (void)what;
	for (size_t i = 0; i < h->sites->count; i++) {
		struct list *l = &h->lists[i];

		if (l->hold_until_us != 0 && l->hold_until_us <= now_us)
			end_hold(l);
		if (l->next_at_us > now_us)
			continue;
		if (l->outstanding > 0)
			give_up(l);
		else
			probe_start(l);
	}
	set_timer(h);
}

static void
set_timer(struct health *h)
{
	int64_t now_us = loop_now_us(h->loop), next_us = INT64_MAX;

	for (size_t i = 0; i < h->sites->count; i++) {
		const struct list *l = &h->lists[i];

		if (!h->sites->domains[i].probe)
			continue;
		if (l->next_at_us < next_us)
			next_us = l->next_at_us;
		if (l->hold_until_us != 0 && l->hold_until_us < next_us)
			next_us = l->hold_until_us;
	}
	if (next_us != INT64_MAX)
		watch_start_once(&h->timer, next_us > now_us ? (next_us - now_us + 999) / 1000 : 0);
}

/* What clients' answers say. */

static void
count(struct dnsbl_health *p, const struct dnsbl_answer *a)
{
	p->answers++;
	p->listed += a->state == DNSBL_LISTED;
	p->failed += a->state == DNSBL_FAILED;
	p->distrusted += a->state == DNSBL_DISTRUSTED;
	p->us_total += a->us;
	if (a->us > p->us_max)
		p->us_max = a->us;
}

static void
alarm_start(struct list *l)
{
	l->alarm = true;
	l->hold_until_us = loop_now_us(l->health->loop) + HOLD_MS * 1000;
	probe_start(l);
}

bool
health_note(struct health *h, size_t domain, const struct dnsbl_answer *a)
{
	struct list *l = &h->lists[domain];

	count(&l->public, a);
	if (a->state == DNSBL_DISTRUSTED && l->public.state != DNSBL_BLOCKED &&
	    l->public.state != DNSBL_DEAD)
		set_state(
		    l, &(struct finding){ DNSBL_BLOCKED, false, a->error,
			   "its answers do not count; \"gatehousectl dnsbl health\" says more" });
	if (h->sites->probe_interval_s == 0 || !h->sites->domains[domain].probe)
		return false;
	l->run = a->state == DNSBL_LISTED ? l->run + 1 : 0;
	l->failures = a->state == DNSBL_FAILED ? l->failures + 1 : 0;
	if (l->run >= h->run_alarm || l->failures >= FAILURES_ALARM) {
		l->run = l->failures = 0;
		alarm_start(l);
	}
	return a->state == DNSBL_LISTED && loop_now_us(h->loop) < l->hold_until_us;
}

void
health_passed(struct health *h, const struct addr *client)
{
	h->passed[h->passed_count++ % PASSED_KEPT] = *client;
}

/* The door. */

struct health *
health_new(struct loop *loop, struct resolver *r, const struct dnsbl_sites *s,
    health_changed_fn *changed, void *arg)
{
	struct health *h = mem_alloc(sizeof *h);
	unsigned share = RUN_ALARM_ALL / (s->workers > 0 ? s->workers : 1);

	h->loop = loop;
	h->resolver = r;
	h->sites = s;
	h->changed = changed;
	h->arg = arg;
	h->run_alarm = share > RUN_ALARM ? RUN_ALARM : share > 2 ? share : 2;
	h->lists = mem_array(s->count, sizeof *h->lists);
	watch_init_timer(&h->timer, loop, on_timer, h);
	for (size_t i = 0; i < s->count; i++) {
		struct list *l = &h->lists[i];

		l->health = h;
		l->domain = i;
		if (s->probe_interval_s == 0 || !s->domains[i].probe)
			continue;
		l->hold_until_us = loop_now_us(loop) + HOLD_MS * 1000;
		probe_start(l);
	}
	return h;
}

void
health_free(struct health **handle)
{
	struct health *h = *handle;

	if (h == NULL)
		return;
	watch_stop(&h->timer);
	free(h->lists);
	free(h);
	*handle = NULL;
}

const char *
health_quarantined(const struct health *h, size_t domain)
{
	return h->lists[domain].quarantined ? h->lists[domain].public.reason : NULL;
}

const struct dnsbl_health *
health_get(const struct health *h, size_t domain)
{
	return &h->lists[domain].public;
}

bool
health_probing(const struct health *h)
{
	for (size_t i = 0; i < h->sites->count; i++)
		if (h->lists[i].outstanding > 0)
			return true;
	return false;
}
