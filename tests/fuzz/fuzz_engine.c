/*
 * A whole session, driven through a socket pair, without waiting: whatever a client sends and however it is
 * split, it hears only well-formed reply lines, the session ends, and nothing of it is left.
 *
 * The first byte chooses the configuration. Of the others, some stand for events and all else is what the
 * client sends: FE ends a packet, FD the time limit of the state is reached, FC the client closes its sending
 * direction, FB the session has lasted too long, FA the client stops reading.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/helpers/fake_worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { PACKET = 0xfe, TIME = 0xfd, HALF = 0xfc, EXPIRE = 0xfb, DEAF = 0xfa };
#define LINE_MAX_LEN 2100
#define TURNS_MAX 4000

#define DEEP(action)                                          \
	{ "postscreen_pipelining_enable", "yes" },            \
	    { "postscreen_non_smtp_command_enable", "yes" },  \
	    { "postscreen_bare_newline_enable", "yes" },      \
	    { "postscreen_pipelining_action", action },       \
	    { "postscreen_non_smtp_command_action", action }, \
	    { "postscreen_bare_newline_action", action },     \
	{                                                     \
		"postscreen_greet_action", action             \
	}

static const struct rules_override configs[][12] = {
	{ DEEP("ignore") },
	{ DEEP("enforce") },
	{ DEEP("drop") },
	{ DEEP("enforce"), { "postscreen_reject_footer", "a\\n$client_address ${localtime}\\n" },
	    { "soft_bounce", "yes" },
	    { "postscreen_reject_footer_maps",
		"inline:{{500 Syntax: ETRN domain=\\\\c, x $client_port}}" },
	    { "smtputf8_enable", "yes" } },
	{ DEEP("enforce"), { "postscreen_command_filter", "static:{NOOP x}" },
	    { "line_length_limit", "512" }, { "postscreen_helo_required", "yes" },
	    { "postscreen_command_count_limit", "6" } },
	{ { "postscreen_access_list", "static:reject" },
	    { "postscreen_denylist_action", "enforce" }, { "gatehouse_tarpit_delay", "1s" },
	    { "gatehouse_tarpit_rate", "7" } },
	{ { "postscreen_greet_banner", "" } },
	{ DEEP("enforce"), { "postscreen_upstream_proxy_protocol", "haproxy" } },
};
#define CONFIGS (sizeof configs / sizeof configs[0])

static struct worker *
worker_of(unsigned config)
{
	static struct worker *workers[CONFIGS];
	size_t n = 0;

	if (workers[config] == NULL) {
		log_open("/dev/null", "fuzz", 0);
		while (n < 12 && configs[config][n].name != NULL)
			n++;
		workers[config] = fake_worker_new(configs[config], n);
	}
	return workers[config];
}

struct stranger {
	struct worker *worker;
	int sock;
	bool deaf;
	char line[LINE_MAX_LEN];
	size_t len;
};

/* A reply line: code, separator, printable text, CR LF. */
static void
hear(struct stranger *c, char b)
{
	if (b != '\n') {
		if (c->len == sizeof c->line)
			abort();
		c->line[c->len++] = b;
		return;
	}
	if (c->len < 5 || c->line[c->len - 1] != '\r' || (c->line[3] != ' ' && c->line[3] != '-'))
		abort();
	for (size_t i = 0; i < c->len - 1; i++)
		if ((unsigned char)c->line[i] < 32 || c->line[i] == 127 ||
		    (i < 3 && !isdigit((unsigned char)c->line[i])))
			abort();
	c->len = 0;
}

static void
turn(struct stranger *c)
{
	char bytes[4096];
	ssize_t n;

	loop_turn(c->worker->loop, false);
	while (!c->deaf && (n = recv(c->sock, bytes, sizeof bytes, 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			hear(c, bytes[i]);
}

static void
play(struct stranger *c, const uint8_t *p, size_t size)
{
	struct session *s;

	for (size_t i = 0, start = 0; i <= size; i++) {
		if (i < size && p[i] < DEAF)
			continue;
		if (i == size || p[i] != 0xff) {
			if (i > start)
				(void)!send(c->sock, p + start, i - start, MSG_NOSIGNAL);
			turn(c);
			start = i + 1;
		}
		s = fake_session(c->worker);
		if (i == size || s == NULL)
			return;
		if (p[i] == TIME)
			session_event(s, ON_TIME);
		else if (p[i] == HALF)
			shutdown(c->sock, SHUT_WR);
		else if (p[i] == EXPIRE && s->engine != NULL && s->state != S_PROXY)
			session_expire(s);
		else if (p[i] == DEAF)
			c->deaf = true;
	}
}

/* The client is gone; what only time ends is ended by it. */
static void
finish(struct stranger *c)
{
	struct worker *w = c->worker;

	close(c->sock);
	for (int i = 0; fake_session(w) != NULL; i++) {
		if (i == TURNS_MAX)
			abort();
		if (!loop_turn(w->loop, false) || i > 4)
			if (fake_session(w) != NULL)
				session_event(fake_session(w), ON_TIME);
	}
	if (pool_used(w->sessions) + pool_used(w->clients) + pool_used(w->engines) +
		    pool_used(w->crowds) >
		0 ||
	    shared_check_queue(w->shared) + shared_proxy_queue(w->shared) +
		    shared_tarpit(w->shared) >
		0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stranger c;

	if (size < 1)
		return 0;
	unsigned config = data[0] % CONFIGS;
	c = (struct stranger){ .worker = worker_of(config) };
	c.sock = fake_client(c.worker, "192.0.2.7", config == CONFIGS - 1);
	turn(&c);
	play(&c, data + 1, size - 1);
	finish(&c);
	return 0;
}
