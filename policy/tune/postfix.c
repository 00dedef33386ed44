/*
 * policy/tune/postfix.c: the messages of Postfix's programs (and Gatehouse's, which writes the
 * same).
 */
#include "config.h"

#include <string.h>
#include "policy/tune/scan.h"

/*
 * postscreen. One row a message: its first bytes, how the address is found behind them, what it
 * means.
 */
enum shape {
	AT_ONCE, /* PREFIX[addr]:port */
	NUMBER,	 /* PREFIX number " after " time " from " [addr]:port */
	TIME,	 /* PREFIX time " from " [addr]:port */
	RANK,	 /* PREFIX number " for " [addr]:port */
	CONNECT, /* two endpoints */
	REJECT,	 /* RCPT or CONNECT refused */
	TIMEOUT, /* a list did not answer */
	NOTHING, /* known, and of no interest */
};
struct message {
	const char *text;
	size_t len;
	enum shape shape;
	unsigned flags;
};
#define M(text, shape, flags)                        \
	{                                            \
		text, sizeof(text) - 1, shape, flags \
	}
static const struct message messages[] = {
	/* sorted by their first byte */
	M("<", NOTHING, 0),
	M(">", NOTHING, 0),
	M("ALLOWLISTED ", AT_ONCE, S_ALLOW),
	M("ALLOWLIST VETO ", NOTHING, 0),
	M("BARE NEWLINE from ", AT_ONCE, S_BARE_NEWLINE),
	M("BLACKLISTED ", AT_ONCE, S_DENY),
	M("BDAT without ", NOTHING, 0),
	M("CONNECT from ", CONNECT, S_CONNECT),
	M("COMMAND PIPELINING from ", AT_ONCE, S_PIPELINING),
	M("COMMAND ", NOTHING, 0),
	M("DISCONNECT ", AT_ONCE, S_CLOSED),
	M("DNSBL rank ", RANK, S_RANK),
	M("DENYLISTED ", AT_ONCE, S_DENY),
	M("DATA without ", NOTHING, 0),
	M("DROP ", NOTHING, 0),
	M("ENFORCE ", NOTHING, 0),
	M("FAIL ", NOTHING, 0),
	M("HANGUP after ", TIME, S_HANGUP),
	M("NOQUEUE: reject: ", REJECT, 0),
	M("NON-SMTP COMMAND from ", AT_ONCE, S_NON_SMTP),
	M("PASS OLD ", AT_ONCE, S_PASS_OLD),
	M("PASS NEW ", AT_ONCE, S_PASS_NEW),
	M("PREGREET ", NUMBER, S_PREGREET),
	M("PASS ", NOTHING, 0),
	M("SKIP ", NOTHING, 0),
	M("UNFAIL", NOTHING, 0),
	M("UNPASS", NOTHING, 0),
	M("WHITELISTED ", AT_ONCE, S_ALLOW),
	M("WHITELIST VETO ", NOTHING, 0),
	M("[", NOTHING, 0),
	M("cache ", NOTHING, 0),
	M("close database ", NOTHING, 0),
	M("daemon started", NOTHING, 0),
	M("entering ", NOTHING, 0),
	M("error: ", NOTHING, 0),
	M("fatal: ", NOTHING, 0),
	M("leaving ", NOTHING, 0),
	M("panic: ", NOTHING, 0),
	M("reject: connect from ", AT_ONCE, S_BUSY),
	M("skip ", NOTHING, 0),
	M("table ", NOTHING, 0),
	M("using backwards", NOTHING, 0),
	M("warning: dnsblog reply timeout ", TIMEOUT, 0),
	M("warning: ", NOTHING, 0),
};
#define MESSAGES (sizeof messages / sizeof messages[0])

static const struct message *
message_find(struct cursor *c)
{
	static uint8_t first[256]; /* row + 1 */

	if (first['<'] == 0)
		for (size_t i = MESSAGES; i-- > 0;)
			first[(uint8_t)messages[i].text[0]] = (uint8_t)(i + 1);
	if (c->p == c->end || first[(uint8_t)*c->p] == 0)
		return NULL;
	for (size_t i = first[(uint8_t)*c->p] - 1u; i < MESSAGES && messages[i].text[0] == *c->p;
	     i++)
		if (take_text(c, messages[i].text, messages[i].len))
			return &messages[i];
	return NULL;
}

static bool
take_time(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && ((*c->p >= '0' && *c->p <= '9') || *c->p == '.'))
		c->p++;
	return c->p > from;
}

static bool
take_rank(struct cursor *c, int64_t *rank)
{
	bool minus = TAKE(c, "-");
	uint32_t n;

	if (!take_uint(c, 1000000, &n))
		return false;
	*rank = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* "RCPT from [a]:p: 450 4.3.2 ..." or "CONNECT from [a]:p: too many connections" */
static enum scan_result
scan_reject(struct tune *t, struct cursor *c)
{
	struct peer peer;
	uint16_t port;
	uint32_t code;

	if (TAKE(c, "CONNECT from ")) {
		if (!take_endpoint(t->history, c, &peer, &port) || !TAKE(c, ": "))
			return SCAN_ODD;
		history_event(t->history, &peer, port, S_BUSY, t->stamp.us);
		return SCAN_FINE;
	}
	if (!TAKE(c, "RCPT from ") || !take_endpoint(t->history, c, &peer, &port) ||
	    !TAKE(c, ": ") || !take_uint(c, 599, &code) || code < 400)
		return SCAN_ODD;
	history_event(t->history, &peer, port, code < 500 ? S_SOFT : S_HARD, t->stamp.us);
	return SCAN_FINE;
}

/* "10s for bl.example" */
static enum scan_result
scan_timeout(struct tune *t, struct cursor *c)
{
	uint32_t seconds;
	int list;

	if (!take_uint(c, UINT32_MAX, &seconds) || !TAKE(c, "s for "))
		return SCAN_ODD;
	list = history_list(t->history, c->p, (size_t)(c->end - c->p));
	if (list < 0)
		return SCAN_ODD;
	t->history->lists[list].timeouts++;
	return SCAN_FINE;
}

static bool
take_lead(struct cursor *c, enum shape shape, int64_t *rank)
{
	uint32_t count;

	switch (shape) {
	case NUMBER:
		return take_uint(c, 1000000, &count) && TAKE(c, " after ") && take_time(c) &&
		       TAKE(c, " from ");
	case TIME:
		return take_time(c) && TAKE(c, " from ");
	case RANK:
		return take_rank(c, rank) && TAKE(c, " for ");
	default:
		return true;
	}
}

static enum scan_result
scan_postscreen(struct tune *t, struct cursor *c)
{
	const struct message *m = message_find(c);
	struct peer peer;
	uint16_t port;
	int64_t rank = 0;

	if (m == NULL)
		return SCAN_ODD;
	if (m->shape == NOTHING)
		return SCAN_FINE;
	if (m->shape == REJECT)
		return scan_reject(t, c);
	if (m->shape == TIMEOUT)
		return scan_timeout(t, c);
	if (!take_lead(c, m->shape, &rank) || !take_endpoint(t->history, c, &peer, &port))
		return SCAN_ODD;
	if (m->shape == CONNECT) {
		if (!TAKE(c, " to ["))
			return SCAN_ODD;
		history_connect(t->history, &peer, port, t->stamp.us);
		return SCAN_FINE;
	}
	if ((m->flags & (S_PASS_OLD | S_PASS_NEW | S_ALLOW | S_DENY | S_RANK | S_CLOSED)) &&
	    c->p != c->end)
		return SCAN_ODD;
	if (m->shape == RANK)
		history_rank(t->history, rank);
	if (m->flags == S_CLOSED)
		history_disconnect(t->history, &peer, port, t->stamp.us);
	else
		history_event(t->history, &peer, port, m->flags, t->stamp.us);
	return SCAN_FINE;
}

/* The list's name in "9.2.0.192.bl.example" or 32 nibbles and "bl.example". */
static bool
skip_reversed(struct cursor *c)
{
	struct cursor from = *c;
	uint32_t octet;
	int fields = 0;

	while (fields < 4 && take_uint(c, 255, &octet) && TAKE(c, "."))
		fields++;
	if (c->end - from.p > 64 && from.p[1] == '.' && from.p[3] == '.' && from.p[61] == '.' &&
	    from.p[63] == '.') {
		c->p = from.p + 64;
		return true;
	}
	return fields == 4;
}

static enum scan_result
scan_lookup_error(struct tune *t, struct cursor *c)
{
	const char *name;
	int list;

	if (!skip_reversed(c))
		return SCAN_ODD;
	name = c->p;
	if (!find_char(c, ':'))
		return SCAN_ODD;
	list = history_list(t->history, name, (size_t)(c->p - name));
	if (list < 0)
		return SCAN_ODD;
	t->history->lists[list].errors++;
	return SCAN_FINE;
}

/* "bl.example as 127.0.0.2", to the end of the line. */
static bool
read_tail(struct tune *t, struct cursor *c, struct tail *out)
{
	const char *name = c->p, *end;
	uint32_t code;

	if (!find_char(c, ' '))
		return false;
	end = c->p;
	if (!TAKE(c, " as ") || !take_ip4(c, &code) || c->p != c->end)
		return false;
	out->list = history_list(t->history, name, (size_t)(end - name));
	for (int i = 0; i < 4; i++)
		out->code[i] = (uint8_t)(code >> (24 - 8 * i));
	return out->list >= 0;
}

static const struct tail *
take_tail(struct tune *t, struct cursor *c, struct tail *own)
{
	size_t len = (size_t)(c->end - c->p);
	const char *text = c->p;
	uint64_t first, last;
	struct tail *tail;

	if (len < 16 || len > sizeof own->text)
		return read_tail(t, c, own) ? own : NULL;
	memcpy(&first, text, 8);
	memcpy(&last, c->end - 8, 8);
	tail = &t->tail[((first ^ last * 3) * 0x9e3779b97f4a7c15ull) >> 56];
	if (tail->len == len && same_text(tail->text, text, len))
		return tail;
	if (!read_tail(t, c, own))
		return NULL;
	*tail = *own;
	tail->len = (uint8_t)len;
	memcpy(tail->text, text, len);
	return tail;
}

/* "addr 192.0.2.9 listed by domain bl.example as 127.0.0.2" */
static enum scan_result
scan_dnsblog(struct tune *t, struct cursor *c)
{
	const struct tail *tail;
	struct tail own;
	struct peer peer;

	if (!TAKE(c, "addr ")) {
		if (TAKE(c, "warning: dnsblog_query: lookup error for DNS query "))
			return scan_lookup_error(t, c);
		return TAKE(c, "warning: ") || TAKE(c, "fatal: ") || TAKE(c, "dnsblog_query: ")
			   ? SCAN_FINE
			   : SCAN_ODD;
	}
	if (!take_peer(t->history, c, ' ', &peer))
		return SCAN_ODD;
	if (TAKE(c, " has signal ")) /* no list said so */
		return SCAN_FINE;
	if (!TAKE(c, " listed by domain ") || (tail = take_tail(t, c, &own)) == NULL)
		return SCAN_ODD;
	history_answer(t->history, &peer, tail->list, tail->code, t->stamp.us);
	return SCAN_FINE;
}

/*
 * Queue ids. 64 bits of a hash stand for the name: two names that share them are not to be expected
 * in a log that fits a disk.
 */
static uint64_t
queue_hash(struct span name)
{
	const char *id = name.p;
	size_t len = name.len;
	uint64_t hash = len * 0x9e3779b97f4a7c15ull, word;

	for (; len > 8; id += 8, len -= 8) {
		memcpy(&word, id, 8);
		hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, id, len);
	hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
	return (hash ^ hash >> 32) | 1;
}

static struct queue_entry *
queue_find(struct tune *t, struct span name)
{
	uint64_t id = queue_hash(name);
	struct queue_entry *set = &t->queue[(id >> 20) % QUEUE_SETS * QUEUE_WAYS];

	for (int i = 0; i < QUEUE_WAYS; i++)
		if (set[i].id == id)
			return &set[i];
	return NULL;
}

static void
queue_put(struct tune *t, struct span name, uint32_t client)
{
	uint64_t id = queue_hash(name);
	struct queue_entry *set = &t->queue[(id >> 20) % QUEUE_SETS * QUEUE_WAYS], *best = set;

	for (int i = 0; i < QUEUE_WAYS; i++) {
		if (set[i].id == id || set[i].id == 0) {
			best = &set[i];
			break;
		}
		if ((int32_t)(set[i].at - best->at) < 0)
			best = &set[i];
	}
	*best = (struct queue_entry){ id, client + 1, ++t->queue_clock };
}

/* "4bXyZ: " or "3F2A91C0: "; what follows decides whether it is worth hashing. */
static bool
take_queue_id(struct cursor *c, struct span *id)
{
	const char *p = c->p, *end = c->end - p > 21 ? p + 21 : c->end;

	while (p < end && *p != ':' && *p != ' ')
		p++;
	if (p - c->p < 5 || c->end - p < 2 || p[0] != ':' || p[1] != ' ')
		return false;
	*id = (struct span){ c->p, (size_t)(p - c->p) };
	c->p = p + 2;
	return true;
}

/* "host.example[192.0.2.1]": a host name has no bracket. */
static bool
take_host_peer(struct tune *t, struct cursor *c, struct peer *peer)
{
	return find_char(c, '[') && TAKE(c, "[") && take_peer(t->history, c, ']', peer) &&
	       TAKE(c, "]");
}

static bool
has(const struct cursor *c, const char *word)
{
	return memmem(c->p, (size_t)(c->end - c->p), word, strlen(word)) != NULL;
}

static void
backend_deferred(struct tune *t, struct client *c)
{
	c->soft_s = (uint32_t)(t->stamp.us / 1000000);
	c->flags |= CLIENT_WAITED;
}

/*
 * "450 4.7.1 <who>: Recipient address rejected: Greylisted; from=<..": the backend refused. What a
 * list made it say is no evidence about lists.
 */
static void
backend_refused(struct tune *t, struct client *c, struct cursor text)
{
	uint32_t code;

	if (!take_uint(&text, 599, &code) || code < 400)
		return;
	if (code < 500)
		backend_deferred(t, c);
	else if (TAKE(&text, " 5.1.1 ") || TAKE(&text, " 5.1.6 "))
		bump16(&c->unknown);
	else if (!has(&text, " blocked using "))
		bump16(&c->refused);
}

static enum scan_result
scan_refusal(struct tune *t, struct cursor *c)
{
	uint32_t client;
	struct peer peer;

	if (!find_char(c, ' ') || !TAKE(c, " from "))
		return SCAN_FINE; /* "NOQUEUE: reject: ..." of other kinds */
	if (!take_host_peer(t, c, &peer) || !TAKE(c, ": "))
		return SCAN_FINE;
	client = history_client_index(t->history, &peer);
	if (client != UINT32_MAX)
		backend_refused(t, client_at(t->history, client), *c);
	return SCAN_FINE;
}

static enum scan_result
scan_smtpd(struct tune *t, struct cursor *c)
{
	struct peer peer;
	struct span id;
	uint32_t client;

	if (TAKE(c, "NOQUEUE: reject: "))
		return scan_refusal(t, c);
	if (*c->p == 'c' || *c->p == 'd' || !take_queue_id(c, &id))
		return SCAN_FINE; /* connect, disconnect, warnings */
	if (TAKE(c, "reject: "))
		return scan_refusal(t, c);
	if (!TAKE(c, "client=") || !take_host_peer(t, c, &peer) ||
	    (c->p < c->end && has(c, "sasl_username=")))
		return SCAN_FINE;
	client = history_client_index(t->history, &peer);
	if (client != UINT32_MAX)
		queue_put(t, id, client);
	return SCAN_FINE;
}

/* A milter or a header check turned the message down: whatever else it was, it was not wanted. */
static enum scan_result
scan_cleanup(struct tune *t, struct cursor *c)
{
	struct queue_entry *e;
	struct cursor at;
	struct span id;
	uint32_t code = 0;

	if (!take_queue_id(c, &id) || !(TAKE(c, "milter-reject: ") || TAKE(c, "reject: ") ||
					  TAKE(c, "milter-discard: ") || TAKE(c, "discard: ")))
		return SCAN_FINE;
	e = queue_find(t, id);
	if (e == NULL)
		return SCAN_FINE;
	at = *c;
	if (find_char(&at, ']') && TAKE(&at, "]: "))
		(void)take_uint(&at, 599, &code);
	if (code >= 400 && code < 500)
		backend_deferred(t, client_at(t->history, e->client1 - 1));
	else
		bump16(&client_at(t->history, e->client1 - 1)->spam);
	*e = (struct queue_entry){ 0, 0, 0 };
	return SCAN_FINE;
}

/* "4bXyZ: from=<a@b>, size=1, nrcpt=1 (queue active)": the backend has taken the message. */
static enum scan_result
scan_qmgr(struct tune *t, struct cursor *c)
{
	struct queue_entry *e;
	struct client *client;
	struct span id;

	if (!take_queue_id(c, &id) || !TAKE(c, "from=<"))
		return SCAN_FINE;
	e = queue_find(t, id);
	if (e == NULL)
		return SCAN_FINE;
	client = client_at(t->history, e->client1 - 1);
	bump16(&client->delivered);
	*e = (struct queue_entry){ 0, 0, 0 };
	return SCAN_FINE;
}

enum scan_result
scan_message(struct tune *t, enum program program, struct cursor *c)
{
	static enum scan_result (*const scan[])(struct tune *, struct cursor *) = {
		[PROGRAM_POSTSCREEN] = scan_postscreen,
		[PROGRAM_DNSBLOG] = scan_dnsblog,
		[PROGRAM_SMTPD] = scan_smtpd,
		[PROGRAM_CLEANUP] = scan_cleanup,
		[PROGRAM_QMGR] = scan_qmgr,
	};

	if (c->p == c->end)
		return SCAN_ODD;
	if (program <= PROGRAM_DNSBLOG && t->stamp.us >= t->records_from_us &&
	    t->stamp.us <= t->records_to_us) {
		t->repeated++; /* a record has told this session already, and more of it */
		return SCAN_FINE;
	}
	return scan[program](t, c);
}
