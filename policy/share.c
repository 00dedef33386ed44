/*
 * The protocol's parser and printer are hiredis's; the connection is ours. Its asynchronous context
 * has no deadlines, may resolve names, and asserts that a server never says more than it was asked.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "policy/share.h"
#include "policy/store.h"

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>

#define LOG_PROGRAM "postscreen"

#define ASKS_MAX 1024
#define WAITING_MAX 4096 /* commands whose reply is still out */
#define OUT_MAX 65536
#define IN_MAX 4096 /* of one reply; ours have a hundred bytes */
#define SETUP_MS 1000
#define SILENCE_MS 1000 /* a command is out and nothing comes */
#define LATE_MAX 5	/* asks in a row without an answer in time */
#define REST_MIN_MS 500
#define REST_MAX_MS 30000
#define SAY_AGAIN_US (60 * 1000000LL)

struct share_ask {
	struct share *share;
	share_done_fn *done;
	void *arg;
	struct deadline deadline; /* armed while the owner waits */
	bool released, waiting;	  /* waiting: the reply is still out, share->waiting points here */
};

enum link_state { LINK_RESTING, LINK_CONNECTING, LINK_GREETING, LINK_UP };

struct reply {
	int type;
	size_t len;
	char text[RECORD_TEXT_SIZE];
};

struct share {
	struct loop *loop;
	const struct share_rules *rules;
	enum link_state state;
	int fd;
	struct watch readable, writable, timer; /* timer: rest, set-up or silence */
	struct deadline_queue budget;
	redisReader *reader;
	struct reply reply; /* the one being read: nothing is allocated for replies */
	struct pool *asks;
	struct share_ask
	    *waiting[WAITING_MAX]; /* a ring; null: a put or a greeting, nobody waits */
	unsigned first, count, greetings;
	char out[OUT_MAX];
	size_t out_len;
	unsigned late_in_a_row;
	int64_t rest_ms, say_next_us;
	bool in_trouble;
	struct log_limit refused;
	struct share_stats stats;
};

/* Replies, as hiredis finds them. Only what is no array can be an answer to us. */

static struct reply *
make_reply(const redisReadTask *task, const char *text, size_t len)
{
	struct reply *r = task->privdata;

	r->type = task->type;
	r->len = len < sizeof r->text ? len : sizeof r->text;
	memcpy(r->text, text, r->len);
	return r;
}

static void *
make_string(const redisReadTask *task, char *text, size_t len)
{
	return make_reply(task, text, len);
}

static void *
make_integer(const redisReadTask *task, long long value)
{
	(void)value;
	return make_reply(task, "", 0);
}

static void *
make_nil(const redisReadTask *task)
{
	return make_reply(task, "", 0);
}

static void
free_nothing(void *reply)
{
	(void)reply;
}

/* No arrays: null makes the parser give up, before it has counted to a billion. */
static redisReplyObjectFunctions reply_functions = {
	.createString = make_string,
	.createInteger = make_integer,
	.createNil = make_nil,
	.freeObject = free_nothing,
	.createArray = NULL,
};

#if HIREDIS_MAJOR >= 1
static void *
make_array(const redisReadTask *task, size_t count)
#else
static void *
make_array(const redisReadTask *task, int count)
#endif
{
	(void)task, (void)count;
	return NULL;
}

/* Trouble and rest. */

static void
say_trouble(struct share *s, const char *why)
{
	int64_t now_us = loop_now_us(s->loop);

	if (s->in_trouble && now_us < s->say_next_us)
		return;
	s->in_trouble = true;
	s->say_next_us = now_us + SAY_AGAIN_US;
	log_warning(
	    "cache %s: %s -- records are not shared for now", s->rules->shown, why); /* fail open */
}

static void
settle(struct share_ask *ask, const struct record *found)
{
	deadline_disarm(&ask->deadline);
	if (!ask->released)
		ask->done(ask->arg, found);
}

/* Nobody holds it any more: not its owner, not the ring. */
static void
give_back_if_idle(struct share_ask *ask)
{
	if (ask->released && !ask->waiting)
		pool_give(ask->share->asks, ask);
}

static struct share_ask *
next_waiting(struct share *s)
{
	struct share_ask *ask = s->waiting[s->first];

	assert(s->count > 0);
	s->first = (s->first + 1) % WAITING_MAX;
	s->count--;
	if (ask != NULL)
		ask->waiting = false;
	return ask;
}

/* Lets the connection go; whoever waits has his answer from his deadline, at the latest. */
static void
hang_up(struct share *s)
{
	if (s->fd >= 0) {
		watch_stop(&s->readable);
		watch_stop(&s->writable);
		close(s->fd);
		s->fd = -1;
	}
	if (s->reader != NULL)
		redisReaderFree(s->reader);
	s->reader = NULL;
	s->out_len = 0;
	s->greetings = 0;
	while (s->count > 0) {
		struct share_ask *ask = next_waiting(s);
		if (ask != NULL)
			give_back_if_idle(ask);
	}
	s->state = LINK_RESTING;
}

static void
rest(struct share *s, const char *why)
{
	say_trouble(s, why);
	hang_up(s);
	s->stats.broken++;
	watch_start_once(&s->timer, s->rest_ms);
	s->rest_ms = s->rest_ms * 2 < REST_MAX_MS ? s->rest_ms * 2 : REST_MAX_MS;
}

/* Sending. */

static void
flush_out(struct share *s)
{
	while (s->out_len > 0) {
		ssize_t n = send(s->fd, s->out, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch_start(&s->writable);
			return;
		}
		if (n < 0) {
			rest(s, strerror(errno));
			return;
		}
		s->out_len -= (size_t)n;
		memmove(s->out, s->out + n, s->out_len);
	}
	watch_stop(&s->writable);
}

/* False if there is no room, or no connection any more. */
static bool
command(struct share *s, struct share_ask *ask, int argc, const char **argv, const size_t *lens)
{
	char *text = NULL;
	long long len;

	if (s->count == WAITING_MAX)
		return false;
	len = redisFormatCommandArgv(&text, argc, argv, lens);
	bool fits = len > 0 && (size_t)len <= sizeof s->out - s->out_len;
	if (fits) {
		memcpy(s->out + s->out_len, text, (size_t)len);
		s->out_len += (size_t)len;
		s->waiting[(s->first + s->count++) % WAITING_MAX] = ask;
		if (ask != NULL)
			ask->waiting = true;
		if (s->count == 1 && s->state == LINK_UP)
			watch_start_once(&s->timer, SILENCE_MS);
	}
	redisFreeCommand(text);
	return fits;
}

static void
greet(struct share *s)
{
	char number[16];
	struct buf out = BUF(number);
	const char *auth[] = { "AUTH", s->rules->password }, *select[] = { "SELECT", number },
		   *ping[] = { "PING" };

	buf_printf(&out, "%u", s->rules->database);
	s->state = LINK_GREETING;
	if (s->rules->password != NULL)
		s->greetings += command(s, NULL, 2, auth, NULL);
	if (s->rules->database != 0)
		s->greetings += command(s, NULL, 2, select, NULL);
	s->greetings += command(s, NULL, 1, ping, NULL);
	flush_out(s);
}

/* Receiving. */

static void
greeted(struct share *s)
{
	char text[RECORD_TEXT_SIZE * 2];
	struct buf why = BUF(text);

	if (s->reply.type != REDIS_REPLY_STATUS) {
		buf_puts(&why, "refuses us: ");
		buf_printable(&why, (struct span){ s->reply.text, s->reply.len });
		rest(s, text);
		return;
	}
	if (--s->greetings > 0)
		return;
	s->state = LINK_UP;
	s->late_in_a_row = 0;
	watch_stop(&s->timer);
	if (s->in_trouble)
		log_info("cache %s: records are shared again", s->rules->shown);
	s->in_trouble = false;
}

static void
answered(struct share *s, struct share_ask *ask)
{
	struct record found;
	struct span text = { s->reply.text, s->reply.len };
	bool known = s->reply.type == REDIS_REPLY_STRING && record_is_text(text);

	s->late_in_a_row = 0;
	s->rest_ms = REST_MIN_MS;
	if (known) {
		record_parse(&found, text);
		s->stats.found++;
	}
	ask->waiting = true; /* ours until done() is over, which may release it */
	if (ask->deadline.next != NULL)
		settle(ask, known ? &found : NULL);
	ask->waiting = false;
	give_back_if_idle(ask);
}

/* A server may be up and yet not serve: read-only, loading, out of memory. */
static void
refused(struct share *s)
{
	char text[RECORD_TEXT_SIZE];
	struct buf why = BUF(text);
	unsigned held;

	s->stats.lost++;
	if (!log_allowed(&s->refused, loop_now_us(s->loop), &held))
		return;
	buf_printable(&why, (struct span){ s->reply.text, s->reply.len });
	log_warning("cache %s: refuses: %s", s->rules->shown, text);
}

/* False if the connection was given up. */
static bool
take_reply(struct share *s)
{
	if (s->count == 0) {
		rest(s, "says more than it was asked");
		return false;
	}
	struct share_ask *ask = next_waiting(s);
	if (s->state == LINK_GREETING) {
		greeted(s);
		return s->state != LINK_RESTING;
	}
	if (s->reply.type == REDIS_REPLY_ERROR)
		refused(s);
	if (ask != NULL)
		answered(s, ask);
	return s->state != LINK_RESTING;
}

static void
take_replies(struct share *s)
{
	void *reply = NULL;

	for (;;) {
		if (redisReaderGetReply(s->reader, &reply) != REDIS_OK) {
			rest(s, "does not speak its protocol");
			return;
		}
		if (reply == NULL)
			break;
		if (!take_reply(s))
			return;
	}
	if (s->reader->len - s->reader->pos > IN_MAX) {
		rest(s, "says more than it was asked");
		return;
	}
	if (s->state == LINK_UP && s->count > 0)
		watch_start_once(&s->timer, SILENCE_MS);
	else if (s->state == LINK_UP)
		watch_stop(&s->timer);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct share *s = arg;
	char bytes[16384];
	ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		rest(s, n == 0 ? "closed the connection" : strerror(errno));
		return;
	}
	if (redisReaderFeed(s->reader, bytes, (size_t)n) != REDIS_OK)
		rest(s, "does not speak its protocol");
	else
		take_replies(s);
}

/* Connecting. */

static void
on_writable(int fd, short what, void *arg)
{
	struct share *s = arg;
	int error = 0;
	socklen_t len = sizeof error;

	(void)what;
	if (s->state != LINK_CONNECTING) {
		flush_out(s);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		rest(s, strerror(error));
		return;
	}
	watch_stop(&s->writable);
	watch_start(&s->readable);
	greet(s);
}

static bool
open_socket(struct share *s)
{
	struct sockaddr_storage to;
	socklen_t len = endpoint_to_sockaddr(&s->rules->server, &to);
	const int on = 1;

	s->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return false;
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only slower without */
	if (connect(s->fd, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS)
		return true;
	int error = errno;
	close(s->fd);
	s->fd = -1;
	errno = error;
	return false;
}

static void
start_connecting(struct share *s)
{
	if (!open_socket(s)) {
		rest(s, strerror(errno));
		return;
	}
	s->reader = redisReaderCreateWithFunctions(&reply_functions);
	assert(s->reader != NULL);
	/* Tasks nested in others take it over from the first. */
	s->reader->privdata = &s->reply;
	s->state = LINK_CONNECTING;
	watch_init(&s->readable, s->loop, s->fd, WATCH_READ, on_readable, s);
	watch_init(&s->writable, s->loop, s->fd, WATCH_WRITE, on_writable, s);
	watch_start(&s->writable);
	watch_start_once(&s->timer, SETUP_MS);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct share *s = arg;

	(void)fd, (void)what;
	if (s->state == LINK_RESTING)
		start_connecting(s);
	else
		rest(s, s->state == LINK_UP ? "does not answer" : "does not answer the greeting");
}

/* The owner has waited long enough. The reply, when it comes, is thrown away. */
static void
on_late(struct deadline *d)
{
	struct share_ask *ask = container_of(d, struct share_ask, deadline);
	struct share *s = ask->share;

	s->stats.late++;
	s->late_in_a_row++;
	settle(ask, NULL);
	if (s->late_in_a_row >= LATE_MAX && s->state == LINK_UP)
		rest(s, "answers too late");
}

struct share *
share_new(struct loop *loop, const struct share_rules *rules)
{
	struct share *s = mem_alloc(sizeof *s);

	reply_functions.createArray = make_array;
	s->loop = loop;
	s->rules = rules;
	s->fd = -1;
	s->rest_ms = REST_MIN_MS;
	s->asks = pool_new(ASKS_MAX, sizeof(struct share_ask));
	deadline_queue_init(&s->budget, loop, SHARE_BUDGET_MS * 1000, on_late);
	watch_init_timer(&s->timer, loop, on_timer, s);
	watch_start_once(&s->timer, 0);
	return s;
}

void
share_free(struct share **share)
{
	struct share *s = *share;

	if (s == NULL)
		return;
	hang_up(s);
	watch_stop(&s->timer);
	deadline_queue_fini(&s->budget);
	pool_free(&s->asks);
	free(s);
	*share = NULL;
}

static size_t
make_key(const struct share *s, const struct addr *client, char *room, size_t size)
{
	char text[ADDR_TEXT_SIZE];
	struct buf key = buf_over(room, size);

	buf_printf(&key, "%s%s", s->rules->prefix, addr_format(client, text));
	return key.len;
}

struct share_ask *
share_get(struct share *s, const struct addr *client, share_done_fn *done, void *arg)
{
	char key[SHARE_PREFIX_MAX + ADDR_TEXT_SIZE];
	const char *argv[] = { "GET", key };
	size_t lens[] = { 3, make_key(s, client, key, sizeof key) };
	struct share_ask *ask;

	if (s->state != LINK_UP || (ask = pool_take(s->asks)) == NULL)
		return NULL; /* fail open */
	ask->share = s;
	ask->done = done;
	ask->arg = arg;
	if (!command(s, ask, 2, argv, lens)) {
		pool_give(s->asks, ask);
		return NULL; /* fail open */
	}
	s->stats.asked++;
	deadline_arm(&s->budget, &ask->deadline);
	flush_out(s);
	return ask;
}

void
share_release(struct share_ask **handle)
{
	struct share_ask *ask = *handle;

	if (ask == NULL)
		return;
	*handle = NULL;
	deadline_disarm(&ask->deadline);
	ask->released = true;
	give_back_if_idle(ask);
}

void
share_put(struct share *s, const struct addr *client, const struct record *record, uint8_t enabled,
    int64_t now_s)
{
	char key[SHARE_PREFIX_MAX + ADDR_TEXT_SIZE], value[RECORD_TEXT_SIZE], seconds[24];
	struct record settled = record_settled(record, enabled);
	struct buf out = BUF(seconds);
	int64_t last = 0;

	for (int i = 0; i < CHECKS; i++)
		if (settled.expires_at[i] > last)
			last = settled.expires_at[i];
	if (last <= now_s)
		return;
	buf_printf(&out, "%lld", (long long)(last - now_s));
	MDB_val text = store_value(&settled, value);
	const char *argv[] = { "SET", key, value, "EX", seconds };
	size_t lens[] = { 3, make_key(s, client, key, sizeof key), text.mv_size, 2, out.len };
	if (s->state != LINK_UP || !command(s, NULL, 5, argv, lens)) {
		s->stats.lost++; /* fail open */
		return;
	}
	s->stats.put++;
	flush_out(s);
}

struct share_stats
share_stats(const struct share *s)
{
	struct share_stats stats = s->stats;

	stats.up = s->state == LINK_UP;
	return stats;
}

#else /* share_rules_load() has refused the configuration */

struct share *
share_new(struct loop *loop, const struct share_rules *rules)
{
	(void)loop, (void)rules;
	return NULL;
}

void
share_free(struct share **share)
{
	(void)share;
}

struct share_ask *
share_get(struct share *s, const struct addr *client, share_done_fn *done, void *arg)
{
	(void)s, (void)client, (void)done, (void)arg;
	return NULL;
}

void
share_release(struct share_ask **ask)
{
	(void)ask;
}

void
share_put(struct share *s, const struct addr *client, const struct record *record, uint8_t enabled,
    int64_t now_s)
{
	(void)s, (void)client, (void)record, (void)enabled, (void)now_s;
}

struct share_stats
share_stats(const struct share *s)
{
	(void)s;
	return (struct share_stats){ 0 };
}
#endif
