#include "config.h"

#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/log.h"
#include "base/mem.h"
#include "dnsbl/resolver.h"

#define LOG_PROGRAM "dnsblog"

#define CHANNELS 4	   /* UDP channels a server: a source port each */
#define CHANNEL_WINDOW 200 /* more than 250 on one socket overrun its buffer */
#define TCP_WINDOW 32
#define SOCKET_BUFFER (1 << 20)
#define TICK_MS 100
#define TRY_MS 1200 /* then the question is sent once more, to the next server if there is one */
#define TRY_DOUBLINGS 2 /* the second try waits twice as long, the third four times */
#define FLIGHT_MS 5000	/* an earlier try may still answer until then */
#define TRIES_MAX 8
#define FAST_US 20000  /* an answer faster than this comes from the server's memory */
#define REST_US 250000 /* a server that refuses packets gets no more for so long */
#define DEAD_AFTER 4   /* failures in a row */
#define DEAD_US_MIN 2000000
#define DEAD_US_MAX 60000000
#define CHANNEL_LIFE_US 60000000 /* a source port is used no longer than this off loopback */
#define CHANNEL_LIFE_SENT 5000

struct channel {
	ares_channel ares;
	struct server *server;
	struct channel *next_retired;
	struct watch watch;
	int fd; /* -1: no watch */
	short what;
	unsigned in_flight, sent;
	int64_t born_us;
	bool tcp;
};

struct server {
	struct resolver *resolver;
	struct endpoint at;
	struct channel *udp[CHANNELS], *tcp;
	unsigned index, in_flight, window, failures, credit;
	int64_t rtt_us; /* smoothed */
	int64_t answered_at_us;
	int64_t dead_until_us, dead_us, rest_until_us, shrunk_at_us;
};

struct flight {
	struct query *query; /* null: forgotten */
	struct flight *next; /* of the same query */
	struct flight *ring_prev, *ring_next;
	struct channel *channel;
	int64_t sent_at_us, late_at_us; /* late_at_us: 0 once it was */
	uint16_t lane;
	struct question question;
};

struct lane {
	unsigned in_flight;
	bool answers;	     /* its last outcome was an answer */
	struct query parked; /* head of a ring */
};

struct resolver {
	struct loop *loop;
	struct server servers[DNS_SERVERS_MAX];
	size_t server_count;
	struct lane *lanes;
	size_t lane_count;
	unsigned window;
	struct query waiting; /* head of a ring */
	unsigned waiting_count, in_flight;
	struct pool *flights;
	struct flight flying; /* head of a ring */
	struct channel *retired;
	struct watch tick, kick;
	bool busy;	/* inside c-ares or a batch: no pumping */
	bool completed; /* some query was done since the last batch ended */
	void (*after)(void *arg);
	void *after_arg;
	uint16_t ids[256];
	size_t ids_left;
	struct resolver_stats stats;
	struct log_limit limit;
};

static void pump(struct resolver *);

static void
ring_init(struct query *head)
{
	head->prev = head->next = head;
}

static void
ring_insert(struct query *after, struct query *q)
{
	q->prev = after;
	q->next = after->next;
	after->next->prev = q;
	after->next = q;
}

static void
ring_remove(struct query *q)
{
	q->prev->next = q->next;
	q->next->prev = q->prev;
	q->prev = q->next = NULL;
}

static uint16_t
next_id(struct resolver *r)
{
	if (r->ids_left == 0) {
		ssize_t got = getrandom(r->ids, sizeof r->ids, 0);
		assert(got == sizeof r->ids);
		(void)got;
		r->ids_left = sizeof r->ids / sizeof r->ids[0];
	}
	return r->ids[--r->ids_left];
}

/* Channels. */

static void
wake(struct resolver *r)
{
	if (!r->busy && !watch_active(&r->kick))
		watch_kick(&r->kick);
}

static void
end_batch(struct resolver *r)
{
	r->completed = false;
	if (r->after != NULL)
		r->after(r->after_arg);
	r->busy = false;
	pump(r);
}

static void
on_socket(int fd, short what, void *arg)
{
	struct channel *c = arg;
	struct resolver *r = c->server->resolver;

	r->busy = true;
	ares_process_fd(c->ares, what & WATCH_READ ? fd : ARES_SOCKET_BAD,
	    what & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
	end_batch(r);
}

/* A channel has one socket: of its server, by UDP or by TCP. */
static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = arg;
	short what = (short)((readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));

	if (c->fd == fd && c->what == what)
		return;
	if (c->fd >= 0)
		watch_stop(&c->watch);
	c->fd = what != 0 ? fd : -1;
	c->what = what;
	if (what == 0)
		return;
	watch_init(&c->watch, c->server->resolver->loop, fd, what, on_socket, c);
	watch_start(&c->watch);
}

static bool
set_server(ares_channel channel, const struct endpoint *at)
{
	struct ares_addr_port_node node = { .udp_port = at->port, .tcp_port = at->port };

	if (at->addr.family == 4) {
		node.family = AF_INET;
		memcpy(&node.addr.addr4, at->addr.ip, 4);
	} else {
		node.family = AF_INET6;
		memcpy(&node.addr.addr6, at->addr.ip, 16);
	}
	return ares_set_servers_ports(channel, &node) == ARES_SUCCESS;
}

/*
 * Everything is said here, so that c-ares reads no file: channels are also made inside the jail.
 * Its own ids are not used (they are weak), nor its retries (they know one server only).
 */
static bool
channel_init(struct channel *c)
{
	static char lookups[] = "b";
	struct in_addr nowhere = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct ares_options o = {
		.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
			 ARES_FLAG_STAYOPEN | (c->tcp ? ARES_FLAG_USEVC : ARES_FLAG_IGNTC),
		.timeout = FLIGHT_MS,
		.tries = 1,
		.ndots = 1,
		.servers = &nowhere,
		.nservers = 1,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c,
		.socket_send_buffer_size = SOCKET_BUFFER,
		.socket_receive_buffer_size = SOCKET_BUFFER,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		   ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_SOCK_SNDBUF | ARES_OPT_SOCK_RCVBUF;

	if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS)
		return false;
	return set_server(c->ares, &c->server->at);
}

static struct channel *
channel_new(struct server *s, bool tcp)
{
	struct channel *c = mem_alloc(sizeof *c);
	bool good;

	c->server = s;
	c->tcp = tcp;
	c->fd = -1;
	c->born_us = loop_now_us(s->resolver->loop);
	good = channel_init(c);
	assert(good); /* only memory can lack */
	(void)good;
	return c;
}

/* Never from inside one of its callbacks. */
static void
channel_free(struct channel *c)
{
	if (c == NULL)
		return;
	ares_destroy(c->ares);
	if (c->fd >= 0)
		watch_stop(&c->watch);
	free(c);
}

/* Off loopback a guesser can try at one source port only so long. */
static bool
channel_is_old(const struct channel *c, int64_t now_us)
{
	if (addr_is_loopback(&c->server->at.addr) || c->tcp)
		return false;
	return c->sent >= CHANNEL_LIFE_SENT ||
	       (c->sent > 0 && now_us - c->born_us >= CHANNEL_LIFE_US);
}

static struct channel *
channel_get(struct server *s, bool tcp)
{
	struct resolver *r = s->resolver;
	struct channel *best = NULL;

	if (tcp) {
		if (s->tcp == NULL)
			s->tcp = channel_new(s, true);
		return s->tcp->in_flight < TCP_WINDOW ? s->tcp : NULL;
	}
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct channel **slot = &s->udp[i];

		if (*slot != NULL && channel_is_old(*slot, loop_now_us(r->loop))) {
			(*slot)->next_retired = r->retired;
			r->retired = *slot;
			*slot = NULL;
		}
		if (*slot == NULL)
			*slot = channel_new(s, false);
		if ((*slot)->in_flight < CHANNEL_WINDOW) {
			best = *slot;
			break;
		}
	}
	return best;
}

static void
free_retired(struct resolver *r)
{
	struct channel **p = &r->retired;

	while (*p != NULL) {
		struct channel *c = *p;

		if (c->in_flight > 0) {
			p = &c->next_retired;
			continue;
		}
		*p = c->next_retired;
		channel_free(c);
	}
}

/* Servers. */

/*
 * A server that answers from memory is kept busy by few questions, and more overrun its socket. One
 * that must ask others is slow for each question but not for all together: more, by one a round
 * trip.
 */
static void
window_adapt(struct server *s)
{
	struct resolver *r = s->resolver;

	if (s->rtt_us <= FAST_US) {
		s->credit = 0;
		s->window += s->window < r->window ? 1 : 0;
		s->window -= s->window > r->window ? 1 : 0;
	} else if (r->waiting_count > 0 && ++s->credit >= s->window &&
		   s->window < CHANNELS * CHANNEL_WINDOW) {
		s->credit = 0;
		s->window++;
	}
}

static void
server_good(struct server *s, int64_t rtt_us)
{
	if (s->dead_us != 0)
		log_info("name server %s answers again",
		    addr_format(&s->at.addr, (char[ADDR_TEXT_SIZE]){ 0 }));
	s->failures = 0;
	s->dead_us = s->dead_until_us = 0;
	s->answered_at_us = loop_now_us(s->resolver->loop);
	s->rtt_us += (rtt_us - s->rtt_us) / 8;
	window_adapt(s);
}

static void
server_bad(struct server *s)
{
	struct resolver *r = s->resolver;
	int64_t now_us = loop_now_us(r->loop);

	if (++s->failures < DEAD_AFTER || now_us < s->dead_until_us ||
	    now_us - s->answered_at_us < TRY_MS * 1000)
		return;
	if (s->dead_us == 0) {
		r->stats.server_deaths++;
		log_warning("name server %s does not answer",
		    addr_format(&s->at.addr, (char[ADDR_TEXT_SIZE]){ 0 }));
	}
	s->dead_us = s->dead_us == 0 ? DEAD_US_MIN : s->dead_us * 2;
	if (s->dead_us > DEAD_US_MAX)
		s->dead_us = DEAD_US_MAX;
	s->dead_until_us = now_us + s->dead_us;
}

/* A packet got lost on the way to or from a server that is awake: fewer at once. */
static void
server_lost(struct server *s)
{
	int64_t now_us = loop_now_us(s->resolver->loop);

	if (s->rtt_us > FAST_US || now_us - s->shrunk_at_us < TRY_MS * 1000)
		return;
	s->shrunk_at_us = now_us;
	s->window = s->window / 2 > 32 ? s->window / 2 : 32;
}

/* The first that lives and has not failed this question; else the first that lives; else the one
 * dead longest. */
static struct server *
server_pick(struct resolver *r, const struct query *q)
{
	int64_t now_us = loop_now_us(r->loop);
	struct server *living = NULL, *dead = NULL;

	for (size_t i = 0; i < r->server_count; i++) {
		struct server *s = &r->servers[i];

		if (now_us < s->dead_until_us) {
			if (dead == NULL || s->dead_until_us < dead->dead_until_us)
				dead = s;
			continue;
		}
		/* One question is enough to see whether it is back. */
		if (r->server_count > 1 &&
		    ((s->dead_us != 0 && s->in_flight > 0) || now_us < s->rest_until_us))
			continue;
		if (living == NULL)
			living = s;
		if ((q->failed_servers >> i & 1) == 0)
			return s;
	}
	return living != NULL ? living : dead;
}

/* Flights. */

static void
lane_release(struct resolver *r, struct lane *l)
{
	l->in_flight--;
	if (l->parked.next == &l->parked)
		return;
	struct query *q = l->parked.next;
	ring_remove(q);
	ring_insert(&r->waiting, q);
}

static bool
other_server_left(const struct resolver *r, const struct query *q)
{
	return q->failed_servers != (1u << r->server_count) - 1;
}

static void
wait_again(struct resolver *r, struct query *q)
{
	if (q->next != NULL)
		return;
	ring_insert(&r->waiting, q);
	r->waiting_count++;
}

/* True if the question goes out once more. */
static bool
again(struct resolver *r, struct query *q, int status, const struct server *s)
{
	q->tries++;
	q->failed_servers |= (uint8_t)(1u << s->index);
	if (q->tries >= TRIES_MAX)
		return false;
	if (status == ANSWER_TRUNCATED && !q->tcp) {
		q->tcp = true;
		q->failed_servers = 0;
		return true;
	}
	if (status == QUERY_TIMEOUT) {
		if (!other_server_left(r, q))
			q->failed_servers = 0;
		return true;
	}
	return other_server_left(r, q);
}

static void
flight_detach(struct flight *f)
{
	struct flight **p;

	if (f->query == NULL)
		return;
	for (p = &f->query->flight; *p != f; p = &(*p)->next)
		continue;
	*p = f->next;
	f->query = NULL;
}

/* One flight of a question has landed. A failure says nothing while another is in the air or to
 * come. */
static void
finish(struct resolver *r, struct query *q, int status, const struct answer *answer,
    const struct server *s)
{
	bool final = status == ANSWER_FOUND || status == ANSWER_NONE;

	if (!final && status != ANSWER_TRUNCATED && query_is_out(q))
		return;
	if (!final && again(r, q, status, s)) {
		wait_again(r, q);
		return;
	}
	resolver_cancel(r, q);
	r->completed = true;
	q->kind->done(q, status, answer);
}

static void
lane_failed(struct server *s, struct lane *lane)
{
	if (lane->answers)
		server_lost(s);
	lane->answers = false;
}

/* What c-ares has to say about a question, judged for the server and the lane it went by. */
static int
flight_judge(
    struct flight *f, int ares_status, const unsigned char *packet, int len, struct answer *answer)
{
	struct server *s = f->channel->server;
	struct resolver *r = s->resolver;

	if (ares_status == ARES_SUCCESS && packet != NULL && len > 0) {
		r->stats.answered++;
		r->lanes[f->lane].answers = true;
		server_good(s, loop_now_us(r->loop) - f->sent_at_us);
		return answer_parse(answer, packet, (size_t)len, &f->question);
	}
	r->stats.timeouts++;
	if (ares_status != ARES_ETIMEOUT) {
		s->rest_until_us = loop_now_us(r->loop) + REST_US;
		if (!f->channel->tcp)
			server_bad(s);
	}
	return QUERY_TIMEOUT;
}

static void
flight_free(struct resolver *r, struct flight *f)
{
	flight_detach(f);
	f->ring_prev->ring_next = f->ring_next;
	f->ring_next->ring_prev = f->ring_prev;
	lane_release(r, &r->lanes[f->lane]);
	pool_give(r->flights, f);
}

static void
on_answer(void *arg, int ares_status, int timeouts, unsigned char *packet, int len)
{
	struct flight *f = arg;
	struct channel *c = f->channel;
	struct server *s = c->server;
	struct resolver *r = s->resolver;
	struct query *q = f->query;
	struct answer answer;
	int status;

	(void)timeouts;
	c->in_flight--;
	s->in_flight--;
	r->in_flight--;
	if (ares_status == ARES_EDESTRUCTION)
		return;
	answer.count = 0;
	answer.ttl = answer.memory_ttl = -1;
	answer.name[0] = '\0';
	status = flight_judge(f, ares_status, packet, len, &answer);
	flight_free(r, f);
	if (q != NULL)
		finish(r, q, status, &answer, s);
}

/* Not given up: what was sent may still be answered. But it is asked once more. */
static void
flight_late(struct resolver *r, struct flight *f)
{
	struct query *q = f->query;

	f->late_at_us = 0;
	server_bad(f->channel->server);
	lane_failed(f->channel->server, &r->lanes[f->lane]);
	if (q != NULL && again(r, q, QUERY_TIMEOUT, f->channel->server))
		wait_again(r, q);
}

static void
find_late(struct resolver *r)
{
	int64_t now_us = loop_now_us(r->loop);

	for (struct flight *f = r->flying.ring_next; f != &r->flying; f = f->ring_next)
		if (f->late_at_us != 0 && f->late_at_us <= now_us)
			flight_late(r, f);
}

static int64_t
try_us(const struct query *q)
{
	return (int64_t)TRY_MS * 1000 << (q->tries < TRY_DOUBLINGS ? q->tries : TRY_DOUBLINGS);
}

static struct flight *
flight_new(struct resolver *r, struct query *q, struct channel *c)
{
	struct flight *f = pool_take(r->flights);

	assert(f != NULL);
	f->query = q;
	f->next = q->flight;
	q->flight = f;
	f->channel = c;
	f->lane = q->lane;
	f->sent_at_us = loop_now_us(r->loop);
	f->late_at_us = f->sent_at_us + try_us(q);
	f->ring_prev = r->flying.ring_prev;
	f->ring_next = &r->flying;
	f->ring_prev->ring_next = f->ring_next->ring_prev = f;
	return f;
}

static void
launch(struct resolver *r, struct query *q, struct channel *c)
{
	struct flight *f = flight_new(r, q, c);
	uint8_t packet[QUERY_MAX];
	size_t len;

	q->kind->question(q, &f->question);
	len = query_write(packet, next_id(r), &f->question);
	c->in_flight++;
	c->sent++;
	c->server->in_flight++;
	r->in_flight++;
	r->lanes[q->lane].in_flight++;
	r->stats.sent++;
	ares_send(c->ares, packet, (int)len, on_answer, f);
}

static bool
lane_is_full(const struct resolver *r, const struct query *q, const struct server *s)
{
	return r->lane_count > 1 && r->lanes[q->lane].in_flight >= s->window / 2;
}

static void
unqueue(struct resolver *r, struct query *q)
{
	ring_remove(q);
	r->waiting_count--;
}

static void
start_tick(struct resolver *r)
{
	if (!watch_active(&r->tick))
		watch_start_once(&r->tick, TICK_MS);
}

/*
 * Sends what the windows allow. A send that fails at once calls back from here: the question then
 * waits again, and a bound on the turns keeps a dead network from turning this into a loop.
 */
static void
pump(struct resolver *r)
{
	unsigned turns = r->waiting_count;

	if (r->busy)
		return;
	r->busy = true;
	while (r->waiting.next != &r->waiting && turns-- > 0) {
		struct query *q = r->waiting.next;
		struct server *s = server_pick(r, q);
		struct channel *c;

		if (s == NULL || s->in_flight >= s->window ||
		    loop_now_us(r->loop) < s->rest_until_us || (c = channel_get(s, q->tcp)) == NULL)
			break;
		if (lane_is_full(r, q, s)) {
			ring_remove(q);
			ring_insert(r->lanes[q->lane].parked.prev, q);
			continue;
		}
		unqueue(r, q);
		launch(r, q, c);
	}
	r->busy = false;
	if (r->completed)
		wake(r);
	if (r->in_flight > 0 || r->waiting_count > 0)
		start_tick(r);
}

static void
process_timeouts(struct channel *c)
{
	if (c != NULL && c->in_flight > 0)
		ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* c-ares looks at its clock only when called; asking it for the next deadline costs a walk over
 * all. */
static void
on_tick(int fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd, (void)what;
	r->busy = true;
	for (size_t i = 0; i < r->server_count; i++) {
		for (unsigned k = 0; k < CHANNELS; k++)
			process_timeouts(r->servers[i].udp[k]);
		process_timeouts(r->servers[i].tcp);
	}
	for (struct channel *c = r->retired; c != NULL; c = c->next_retired)
		process_timeouts(c);
	free_retired(r);
	find_late(r);
	end_batch(r);
}

static void
on_kick(int fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd, (void)what;
	r->busy = true;
	end_batch(r);
}

/* The door. */

struct resolver *
resolver_new(
    struct loop *loop, const struct endpoint *servers, size_t count, size_t lanes, unsigned window)
{
	struct resolver *r = mem_alloc(sizeof *r);

	assert(count > 0 && count <= DNS_SERVERS_MAX && lanes > 0);
	r->loop = loop;
	r->server_count = count;
	r->window = window;
	r->lane_count = lanes;
	r->lanes = mem_array(lanes, sizeof *r->lanes);
	ring_init(&r->waiting);
	r->flying.ring_prev = r->flying.ring_next = &r->flying;
	for (size_t i = 0; i < lanes; i++)
		ring_init(&r->lanes[i].parked);
	r->flights =
	    pool_new(count * (CHANNELS * CHANNEL_WINDOW + TCP_WINDOW), sizeof(struct flight));
	watch_init_timer(&r->tick, loop, on_tick, r);
	watch_init_timer(&r->kick, loop, on_kick, r);
	for (size_t i = 0; i < count; i++) {
		struct server *s = &r->servers[i];

		s->resolver = r;
		s->index = (unsigned)i;
		s->at = servers[i];
		s->window = window;
	}
	return r;
}

void
resolver_free(struct resolver **resolver)
{
	struct resolver *r = *resolver;

	if (r == NULL)
		return;
	watch_stop(&r->tick);
	watch_stop(&r->kick);
	for (size_t i = 0; i < r->server_count; i++) {
		for (unsigned k = 0; k < CHANNELS; k++)
			channel_free(r->servers[i].udp[k]);
		channel_free(r->servers[i].tcp);
	}
	while (r->retired != NULL) {
		struct channel *c = r->retired;

		r->retired = c->next_retired;
		channel_free(c);
	}
	pool_free(&r->flights);
	free(r->lanes);
	free(r);
	*resolver = NULL;
}

void
resolver_ask(struct resolver *r, struct query *q, bool urgent)
{
	assert(!query_is_out(q));
	q->tries = q->failed_servers = 0;
	q->tcp = false;
	ring_insert(urgent ? &r->waiting : r->waiting.prev, q);
	r->waiting_count++;
	wake(r);
}

void
resolver_cancel(struct resolver *r, struct query *q)
{
	while (q->flight != NULL)
		flight_detach(q->flight);
	if (q->next != NULL)
		unqueue(r, q);
}

bool
query_is_out(const struct query *q)
{
	return q->flight != NULL || q->next != NULL;
}

void
resolver_after_batch(struct resolver *r, void (*fn)(void *arg), void *arg)
{
	r->after = fn;
	r->after_arg = arg;
}

void
resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
	*out = r->stats;
	out->in_flight = r->in_flight;
	out->waiting = r->waiting_count;
}

const char *
query_status_text(int status)
{
	return status == QUERY_TIMEOUT ? "no answer in time"
				       : answer_status_text((enum answer_status)status);
}
