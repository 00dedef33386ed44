/*
 * The bridge: a real TLS client on one side, a screen on the other, and a script of what both do.
 * After a handshake every byte must arrive in order, and whatever happens no bridge may be left at
 * the end.
 *
 * The script, a byte each: what, how much. Sizes are 1 << (low bits) and up.
 */
#include "config.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/err.h>

#include "base/fd.h"
#include "tlsproxy/crypto.h"

#define STEPS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
	uint32_t sent, received; /* each byte is a function of its place */
};

struct play {
	SSL *ssl;
	int client, screen;
	bool ready, facts_seen, client_closed, screen_closed, screen_shut, raw;
	struct side in, out; /* client to screen, screen to client */
	struct tls_facts facts;
	char head[TLS_FACTS_MAX];
	size_t head_len;
};

static struct loop *loop;
static struct bridges *bridges;
static SSL_CTX *client_ctx;

static void
never(void *arg)
{
	(void)arg;
}

static void
silent(void *arg, enum diag_level level, const char *file, const char *text)
{
	(void)arg, (void)level, (void)file, (void)text;
}

/* Anonymous TLS 1.2: no keys are needed, and a handshake is quick. */
static void
prepare(void)
{
	static char ciphers[] = "AECDH-AES128-SHA", groups[] = "X25519", none[] = "none",
		    empty[] = "";
	static struct tlsproxy_conf conf = { .level = TLSPROXY_MAY,
		.ready = true,
		.protocols = TLS_V_1_2,
		.cipher_list = ciphers,
		.groups = groups,
		.ticket_cipher = empty,
		.config_file = none,
		.config_name = empty,
		.digest = none,
		.handshake_us = { 300000000, 300000000 },
		.stall_us = 300000000,
		.dh_auto = true };

	(void)signal(SIGPIPE, SIG_IGN);
	log_threshold(LOG_LEVEL_FATAL);
	loop = loop_new();
	bridges = mem_alloc(sizeof *bridges);
	bridges_init(bridges, loop, tls_contexts_new(&conf, NULL, loop, silent, NULL), 4);
	bridges->on_end = never;
	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(client_ctx, 0);
	SSL_CTX_set_max_proto_version(client_ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(client_ctx, "AECDH-AES128-SHA");
	SSL_CTX_set_mode(
	    client_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void
turn(void)
{
	for (int i = 0; i < 4; i++)
		(void)loop_turn(loop, false);
}

static uint8_t
byte_at(uint32_t place)
{
	return (uint8_t)(place * 2654435761u >> 24);
}

static void
check(struct side *side, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert(bytes[i] == byte_at(side->received++));
	assert(side->received <= side->sent);
}

static size_t
fill(const struct side *side, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = byte_at(side->sent + (uint32_t)i);
	return len;
}

static void
handshake(struct play *p)
{
	for (int i = 0; i < 20 && !p->ready; i++) {
		ERR_clear_error();
		p->ready = SSL_do_handshake(p->ssl) == 1;
		turn();
	}
	assert(p->ready || p->screen_shut || p->screen_closed);
}

static void
client_writes(struct play *p, size_t len)
{
	uint8_t bytes[65536];

	if (p->client_closed || !p->ready || p->raw)
		return;
	ERR_clear_error();
	/* In whole records of which each was taken or not: what is retried must be the same. */
	int n = SSL_write(p->ssl, bytes, (int)fill(&p->in, bytes, len > 16384 ? 16384 : len));
	if (n > 0)
		p->in.sent += (uint32_t)n;
	else if (SSL_get_error(p->ssl, n) == SSL_ERROR_WANT_WRITE)
		p->client_closed = true; /* half a record is out: stop here */
}

static void
client_reads(struct play *p, size_t len)
{
	uint8_t bytes[65536];

	if (!p->ready || p->raw)
		return;
	ERR_clear_error();
	int n = SSL_read(p->ssl, bytes, (int)len);
	if (n > 0)
		check(&p->out, bytes, (size_t)n);
}

static void
screen_writes(struct play *p, size_t len)
{
	uint8_t bytes[65536];

	if (p->screen_closed || !p->facts_seen)
		return;
	ssize_t n = send(p->screen, bytes, fill(&p->out, bytes, len), MSG_NOSIGNAL);
	if (n > 0)
		p->out.sent += (uint32_t)n;
}

static void
screen_reads(struct play *p, size_t len)
{
	uint8_t bytes[65536];
	size_t used = 0;

	if (p->screen_closed)
		return;
	if (p->facts_seen) {
		ssize_t n = read(p->screen, bytes, len);
		if (n > 0)
			check(&p->in, bytes, (size_t)n);
		return;
	}
	size_t room = sizeof p->head - p->head_len;
	ssize_t n = read(p->screen, p->head + p->head_len, len < room ? len : room);
	p->head_len += n > 0 ? (size_t)n : 0;
	enum tls_facts_result result =
	    tls_facts_parse((struct span){ p->head, p->head_len }, &used, &p->facts);
	assert(result != TLS_FACTS_BAD);
	if (result == TLS_FACTS_DONE) {
		p->facts_seen = true;
		if (p->facts.outcome == TLS_OK)
			check(&p->in, (uint8_t *)p->head + used, p->head_len - used);
	}
}

static void
close_client(struct play *p, bool gently)
{
	if (p->client < 0)
		return;
	if (gently && p->ready && !p->raw)
		(void)SSL_shutdown(p->ssl);
	p->client_closed = true;
	if (gently) {
		shutdown(p->client, SHUT_WR);
		return;
	}
	close(p->client);
	p->client = -1;
	p->ready = false;
}

static void
raw_bytes(struct play *p, size_t len)
{
	uint8_t bytes[65536];

	if (p->client < 0 || p->client_closed)
		return;
	p->raw = true; /* from now on the stream is broken: nothing more is checked there */
	(void)send(p->client, bytes, fill(&p->in, bytes, len), MSG_NOSIGNAL);
}

static void
step(struct play *p, uint8_t what)
{
	size_t len = (size_t)1 << (what >> 4);

	switch (what & 15) {
	case 0:
	case 1:
		client_writes(p, len);
		break;
	case 2:
	case 3:
		client_reads(p, len);
		break;
	case 4:
	case 5:
		screen_writes(p, len);
		break;
	case 6:
	case 7:
		screen_reads(p, len);
		break;
	case 8:
		if (!p->raw && p->client >= 0 && !p->client_closed && !p->ready)
			handshake(p);
		break;
	case 9:
		close_client(p, what & 16);
		break;
	case 10:
		if (!p->screen_closed && (what & 16))
			p->screen_shut = shutdown(p->screen, SHUT_WR) == 0;
		p->screen_closed = p->screen_closed || !(what & 16);
		break;
	case 11:
		raw_bytes(p, len);
		break;
	default:
		turn();
	}
}

/* Everything sent arrives, if both sides only read. */
static void
settle(struct play *p)
{
	if (!p->ready || p->raw || p->client_closed || p->screen_closed || p->screen_shut ||
	    p->client < 0)
		return;
	for (int i = 0; i < 2000 && (p->in.received < p->in.sent || p->out.received < p->out.sent);
	     i++) {
		screen_reads(p, 65536);
		client_reads(p, 65536);
		turn();
	}
	assert(p->in.received == p->in.sent && p->out.received == p->out.sent);
}

static void
finish(struct play *p)
{
	SSL_free(p->ssl);
	if (p->client >= 0)
		close(p->client);
	turn();
	close(p->screen);
	for (int i = 0; i < 50 && bridges_used(bridges) > 0; i++)
		turn();
	assert(bridges_used(bridges) == 0);
	assert(pool_used(bridges->pieces) == 0);
	ERR_clear_error();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlsproxy_request request = { .peer.addr.family = 4 };
	struct play p = { .client = -1 };
	int outside[2], inside[2];

	if (loop == NULL)
		prepare();
	if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, outside) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, inside) != 0)
		return 0;
	(void)setsockopt(outside[1], SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int));
	(void)setsockopt(inside[1], SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int));
	p.client = outside[0];
	p.screen = inside[0];
	p.ssl = SSL_new(client_ctx);
	SSL_set_fd(p.ssl, p.client);
	SSL_set_connect_state(p.ssl);
	bridge_start(bridges, &request, outside[1], inside[1]);
	if (data[0] & 1)
		handshake(&p);
	for (size_t i = 1; i < size && i < STEPS_MAX; i++)
		step(&p, data[i]);
	settle(&p);
	finish(&p);
	return 0;
}
