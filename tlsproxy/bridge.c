#include "config.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/err.h>

#include "base/map.h"
#include "tlsproxy/crypto.h"

#define LOG_PROGRAM "tlsproxy"
#define CLOSE_US (10 * INT64_C(1000000)) /* for the client's close_notify, where it is waited for */
#define ROUNDS 8		/* pieces carried in one direction in one turn */

/* What could not be written yet. */
struct piece {
	uint8_t *bytes;
	size_t start, len;
};

enum phase { PHASE_HANDSHAKE, PHASE_OPEN, PHASE_CLOSING };

struct bridge {
	struct deadline deadline;
	struct watch cipher_watch, plain_watch;
	struct bridges *owner;
	struct bridge *prev, *next;
	SSL *ssl;
	int cipher_fd, plain_fd;
	short cipher_on, plain_on; /* what the watches wait for now */
	enum phase phase;
	enum tls_outcome outcome;
	bool cipher_eof;  /* the client sends no more */
	bool cipher_dead; /* and takes no more */
	bool plain_eof;	  /* the screen sends no more */
	bool plain_shut;  /* the screen has been told of cipher_eof */
	bool plain_mute;  /* wrote before its time: not looked at until the handshake is done */
	bool read_wants_write, write_wants_read;
	bool
	    drained; /* the client's socket gave less than asked for: nothing more before an event */
	bool corked;	   /* what is written now leaves with the end of the connection */
	bool more_to_read; /* in the library's buffer, where no event will come from */
	int64_t started_us;
	struct piece to_plain, to_cipher;
	struct bridge_view view;
};

static void on_cipher(int fd, short what, void *arg);
static void on_plain(int fd, short what, void *arg);

/* Pieces. */
static bool
piece_keep(struct bridge *b, struct piece *piece, const uint8_t *bytes, size_t len)
{
	if (piece->bytes == NULL && (piece->bytes = pool_take(b->owner->pieces)) == NULL)
		return false;
	memcpy(piece->bytes, bytes, len);
	piece->start = 0;
	piece->len = len;
	return true;
}

static void
piece_done(struct bridge *b, struct piece *piece, size_t n)
{
	piece->start += n;
	piece->len -= n;
	if (piece->len == 0 && piece->bytes != NULL) {
		pool_give(b->owner->pieces, piece->bytes);
		piece->bytes = NULL;
	}
}

/* Watches. */
static void
wait_for(struct watch *watch, short *on, short what, struct bridge *b, int fd, watch_fn *fn)
{
	if (*on == what)
		return;
	if (*on != 0)
		watch_stop(watch);
	*on = what;
	if (what == 0)
		return;
	watch_init(watch, b->owner->loop, fd, what, fn, b);
	watch_start(watch);
}

static short
cipher_interest(const struct bridge *b)
{
	bool read = b->write_wants_read, write = b->read_wants_write;

	if (b->phase == PHASE_OPEN && !b->cipher_eof && b->to_plain.len == 0 &&
	    !b->read_wants_write)
		read = true;
	if (b->to_cipher.len > 0 && !b->write_wants_read)
		write = true;
	/* The socket can nearly always be written to: a way to be called again in the next turn. */
	if (b->more_to_read && b->to_plain.len == 0)
		write = true;
	return (short)((read ? WATCH_READ : 0) | (write ? WATCH_WRITE : 0));
}

static short
plain_interest(const struct bridge *b)
{
	bool read = b->phase == PHASE_HANDSHAKE
			? !b->plain_mute
			: b->phase == PHASE_OPEN && !b->plain_eof && b->to_cipher.len == 0;

	return (short)((read ? WATCH_READ : 0) | (b->to_plain.len > 0 ? WATCH_WRITE : 0));
}

static void
wait_more(struct bridge *b)
{
	wait_for(&b->cipher_watch, &b->cipher_on, cipher_interest(b), b, b->cipher_fd, on_cipher);
	wait_for(&b->plain_watch, &b->plain_on, plain_interest(b), b, b->plain_fd, on_plain);
}

/* The end. */
static void
send_facts(struct bridge *b, const struct tls_facts *facts)
{
	uint8_t record[TLS_FACTS_MAX];
	size_t len = tls_facts_format(facts, record);

	/* The first bytes on an empty stream: they fit, or nobody is there. */
	if (send(b->plain_fd, record, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		b->plain_eof = true;
}

static uint32_t
elapsed_ms(const struct bridge *b)
{
	return (uint32_t)((loop_now_us(b->owner->loop) - b->started_us) / 1000);
}

static void
say_failed(struct bridge *b)
{
	struct tls_facts facts = { .outcome = b->outcome, .handshake_ms = elapsed_ms(b) };

	send_facts(b, &facts);
	log_info("TLS handshake failed for service=" TLS_SERVICE " peer=%s", b->view.peer);
}

static void
unlink_bridge(struct bridge *b)
{
	if (b->prev != NULL)
		b->prev->next = b->next;
	else
		b->owner->first = b->next;
	if (b->next != NULL)
		b->next->prev = b->prev;
}

/* Unread bytes would turn the close into a reset, which could overtake our last words. */
static void
swallow(struct bridge *b)
{
	ssize_t n = BRIDGE_PIECE;

	for (int i = 0; i < 4 && n == BRIDGE_PIECE; i++)
		n = recv(b->cipher_fd, b->owner->scratch, BRIDGE_PIECE, MSG_DONTWAIT);
}

static void
bridge_end(struct bridge *b)
{
	struct bridges *owner = b->owner;

	if (b->phase == PHASE_HANDSHAKE)
		say_failed(b);
	log_info("DISCONNECT %s", b->view.peer);
	deadline_disarm(&b->deadline);
	wait_for(&b->cipher_watch, &b->cipher_on, 0, b, b->cipher_fd, on_cipher);
	wait_for(&b->plain_watch, &b->plain_on, 0, b, b->plain_fd, on_plain);
	SSL_free(b->ssl);
	ERR_clear_error();
	swallow(b);
	close(b->cipher_fd);
	close(b->plain_fd);
	piece_done(b, &b->to_plain, b->to_plain.len);
	piece_done(b, &b->to_cipher, b->to_cipher.len);
	unlink_bridge(b);
	pool_give(owner->pool, b);
	owner->on_end(owner->arg);
}

/* The handshake. True: go on. */
static void
opened(struct bridge *b)
{
	struct tls_facts facts;

	deadline_disarm(&b->deadline);
	b->phase = PHASE_OPEN;
	b->plain_mute = b->read_wants_write = b->write_wants_read = false;
	tls_said_facts(b->ssl, &b->view, &facts);
	facts.handshake_ms = elapsed_ms(b);
	tls_said_handshake(b->ssl, &b->view, &facts);
	send_facts(b, &facts);
	b->more_to_read = SSL_has_pending(b->ssl);
	if (b->view.dumped && !(b->view.features & TLS_LOG_SESSION_DUMP))
		BIO_set_callback_ex(SSL_get_rbio(b->ssl), NULL);
}

static bool
handshake(struct bridge *b)
{
	ERR_clear_error();
	int result = SSL_accept(b->ssl);
	int error = SSL_get_error(b->ssl, result);

	b->write_wants_read = error == SSL_ERROR_WANT_READ;
	b->read_wants_write = error == SSL_ERROR_WANT_WRITE;
	if (result == 1) {
		opened(b);
		return !b->plain_eof;
	}
	if (b->write_wants_read || b->read_wants_write)
		return true;
	b->outcome = error == SSL_ERROR_SSL ? TLS_FAILED : TLS_HANGUP;
	tls_said_errors(&b->owner->library_limit, loop_now_us(b->owner->loop));
	return false;
}

/* Client to screen. */
static bool
write_plain(struct bridge *b, const uint8_t *bytes, size_t len)
{
	ssize_t n = send(b->plain_fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* Nobody wants more; what the screen wrote before is still sent. */
		b->cipher_eof = b->plain_shut = true;
		return true;
	}
	size_t sent = n > 0 ? (size_t)n : 0;
	return sent == len || piece_keep(b, &b->to_plain, bytes + sent, len - sent);
}

static void
flush_plain(struct bridge *b)
{
	ssize_t n = send(b->plain_fd, b->to_plain.bytes + b->to_plain.start, b->to_plain.len,
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		piece_done(b, &b->to_plain, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		piece_done(b, &b->to_plain, b->to_plain.len);
		b->cipher_eof = b->plain_shut = true;
	}
}

/* What SSL_read() said when it gave nothing. */
static void
read_ended(struct bridge *b, int result)
{
	switch (SSL_get_error(b->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return;
	case SSL_ERROR_WANT_WRITE:
		b->read_wants_write = true;
		return;
	case SSL_ERROR_ZERO_RETURN:
		b->cipher_eof = true;
		return;
	default:
		tls_said_errors(&b->owner->library_limit, loop_now_us(b->owner->loop));
		b->cipher_eof = b->cipher_dead = true;
	}
}

static bool
carry_in(struct bridge *b)
{
	uint8_t *scratch = b->owner->scratch;

	b->read_wants_write = false;
	for (int round = 0; round < ROUNDS; round++) {
		if (b->to_plain.len > 0)
			flush_plain(b);
		if (b->to_plain.len > 0 || b->cipher_eof)
			break;
		ERR_clear_error();
		int n = SSL_read(b->ssl, scratch, BRIDGE_PIECE);
		if (n <= 0) {
			read_ended(b, n);
			break;
		}
		if (!write_plain(b, scratch, (size_t)n))
			return false;
		if (!SSL_has_pending(b->ssl))
			break;
	}
	b->more_to_read = !b->cipher_eof && SSL_has_pending(b->ssl);
	if (b->cipher_eof && b->to_plain.len == 0 && !b->plain_shut) {
		shutdown(b->plain_fd, SHUT_WR);
		b->plain_shut = true;
	}
	return !(b->cipher_dead && b->to_plain.len == 0);
}

/* Screen to client. */
static bool
write_cipher(struct bridge *b, const uint8_t *bytes, size_t len, size_t *written)
{
	ERR_clear_error();
	int n = SSL_write(b->ssl, bytes, (int)len);

	*written = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return true;
	switch (SSL_get_error(b->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		b->write_wants_read = true;
		return true;
	case SSL_ERROR_WANT_WRITE:
		return true;
	default:
		tls_said_errors(&b->owner->library_limit, loop_now_us(b->owner->loop));
		return false; /* the client is gone */
	}
}

static bool
flush_cipher(struct bridge *b)
{
	size_t n;

	if (!write_cipher(b, b->to_cipher.bytes + b->to_cipher.start, b->to_cipher.len, &n))
		return false;
	piece_done(b, &b->to_cipher, n);
	if (b->to_cipher.len == 0)
		deadline_disarm(&b->deadline);
	else if (n > 0)
		deadline_arm(&b->owner->stall, &b->deadline);
	return true;
}

static bool
send_cipher(struct bridge *b, const uint8_t *bytes, size_t len)
{
	size_t n;

	while (len > 0) {
		if (!write_cipher(b, bytes, len, &n))
			return false;
		if (n == 0)
			break;
		bytes += n;
		len -= n;
	}
	if (len == 0)
		return true;
	deadline_arm(&b->owner->stall, &b->deadline);
	return piece_keep(b, &b->to_cipher, bytes, len);
}

static bool
waits_for_close(const struct bridge *b)
{
	return b->owner->contexts->conf->wait_close && !b->cipher_eof;
}

/* close_notify out, and in if it is waited for. False: all is done. */
static bool
closing(struct bridge *b)
{
	bool wait = waits_for_close(b);

	if (b->phase != PHASE_CLOSING) {
		b->phase = PHASE_CLOSING;
		deadline_arm(&b->owner->closing, &b->deadline);
	}
	b->corked = !wait;
	ERR_clear_error();
	int result = SSL_shutdown(b->ssl);
	if (result == 1 || (result == 0 && !wait))
		return false;
	int error = result < 0 ? SSL_get_error(b->ssl, result) : SSL_ERROR_WANT_READ;
	b->write_wants_read = error == SSL_ERROR_WANT_READ && wait;
	b->read_wants_write = error == SSL_ERROR_WANT_WRITE;
	return b->write_wants_read || b->read_wants_write;
}

/* All that the screen has said so far, up to a piece: its last reply and its end leave together. */
static size_t
hear_screen(struct bridge *b)
{
	size_t len = 0;
	ssize_t n = 1;

	while (len < BRIDGE_PIECE && n > 0) {
		n = recv(b->plain_fd, b->owner->scratch + len, BRIDGE_PIECE - len, MSG_DONTWAIT);
		if (n > 0)
			len += (size_t)n;
		else
			b->plain_eof = n == 0 || (errno != EAGAIN && errno != EINTR);
	}
	b->corked = b->plain_eof && !waits_for_close(b);
	return len;
}

static bool
carry_out(struct bridge *b)
{
	size_t len = BRIDGE_PIECE;

	b->write_wants_read = false;
	for (int round = 0; round < ROUNDS && len == BRIDGE_PIECE; round++) {
		if (b->to_cipher.len > 0 && !flush_cipher(b))
			return false;
		if (b->to_cipher.len > 0 || b->plain_eof)
			break;
		len = hear_screen(b);
		if (!send_cipher(b, b->owner->scratch, len))
			return false;
	}
	return !(b->plain_eof && b->to_cipher.len == 0) || closing(b);
}

/* Events. */
static void
go_on(struct bridge *b, bool alive)
{
	if (alive)
		wait_more(b);
	else
		bridge_end(b);
}

static void
on_cipher(int fd, short what, void *arg)
{
	struct bridge *b = arg;
	bool alive = true;

	(void)fd;
	b->drained = false;
	switch (b->phase) {
	case PHASE_HANDSHAKE:
		alive = handshake(b);
		break;
	case PHASE_OPEN:
		if ((what & WATCH_READ) || b->read_wants_write || b->more_to_read)
			alive = carry_in(b);
		if (alive && ((what & WATCH_WRITE) || b->write_wants_read))
			alive = carry_out(b);
		break;
	case PHASE_CLOSING:
		alive = closing(b);
		break;
	}
	go_on(b, alive);
}

/* During the handshake the screen has nothing to say but that it is leaving. */
static bool
screen_waits(struct bridge *b)
{
	char byte;
	ssize_t n = recv(b->plain_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	b->plain_mute = n > 0;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void
on_plain(int fd, short what, void *arg)
{
	struct bridge *b = arg;
	bool alive = true;

	(void)fd;
	if (b->phase == PHASE_HANDSHAKE) {
		b->outcome = TLS_HANGUP;
		alive = screen_waits(b);
	} else if (b->phase == PHASE_OPEN) {
		if (what & WATCH_WRITE)
			alive = carry_in(b);
		if (alive && (what & WATCH_READ))
			alive = carry_out(b);
	} else if (b->to_plain.len > 0) {
		piece_done(b, &b->to_plain, b->to_plain.len);
	}
	go_on(b, alive);
}

static struct bridge *
bridge_of(struct deadline *d)
{
	return container_of(d, struct bridge, deadline);
}

static void
on_handshake_late(struct deadline *d)
{
	struct bridge *b = bridge_of(d);
	unsigned held = 0;

	b->outcome = TLS_TIMEOUT;
	if (log_allowed(&b->owner->timeout_limit, loop_now_us(b->owner->loop), &held))
		log_warning("ciphertext read/write timeout for %s", b->view.peer);
	bridge_end(b);
}

static void
on_stall(struct deadline *d)
{
	struct bridge *b = bridge_of(d);
	unsigned held = 0;

	if (log_allowed(&b->owner->stall_limit, loop_now_us(b->owner->loop), &held))
		log_warning("deadlock on ciphertext stream for %s", b->view.peer);
	bridge_end(b);
}

static void
on_close_late(struct deadline *d)
{
	bridge_end(bridge_of(d));
}

/*
 * The library's view of the client's socket. Not its own: that one needs the socket to be set
 * non-blocking, which costs two calls each and a worker that has been taken over could undo.
 */
static int
socket_read(BIO *bio, char *out, int size)
{
	struct bridge *b = BIO_get_data(bio);
	ssize_t n = b->drained ? -1 : recv(b->cipher_fd, out, (size_t)size, MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	if (b->drained || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		BIO_set_retry_read(bio);
	else if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	b->drained = n != 0 && n < size;
	return (int)n;
}

static int
socket_write(BIO *bio, const char *bytes, int len)
{
	struct bridge *b = BIO_get_data(bio);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (b->corked ? MSG_MORE : 0);
	ssize_t n = send(b->cipher_fd, bytes, (size_t)len, flags);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)n;
}

static long
socket_ctrl(BIO *bio, int command, long number, void *arg)
{
	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *
socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client");

	assert(method != NULL);
	BIO_meth_set_read(method, socket_read);
	BIO_meth_set_write(method, socket_write);
	BIO_meth_set_ctrl(method, socket_ctrl);
	return method;
}

/* The start. */
static unsigned
features_for(const struct tlsproxy_conf *conf, const struct addr *peer)
{
	char key[ADDR_TEXT_SIZE], array[200], why_array[200];
	struct buf value = BUF(array), why = BUF(why_array);
	unsigned features;

	if (conf->log_maps == NULL ||
	    table_list_find(conf->log_maps, addr_format(peer, key), &value) != TABLE_FOUND ||
	    !tls_loglevel_parse(value.p, &features, &why))
		return conf->log_features;
	return features;
}

static void
view_init(
    struct bridge_view *view, struct tls_contexts *contexts, const struct tlsproxy_request *request)
{
	char text[ADDR_TEXT_SIZE];
	struct buf peer = BUF(view->peer);

	buf_printf(&peer, "[%s]:%u", addr_format(&request->peer.addr, text), request->peer.port);
	view->contexts = contexts;
	view->features = features_for(contexts->conf, &request->peer.addr);
}

static bool
ssl_init(struct bridge *b)
{
	b->ssl = SSL_new(b->owner->contexts->base);
	BIO *bio = b->ssl != NULL ? BIO_new(b->owner->socket_method) : NULL;
	if (bio == NULL || SSL_set_app_data(b->ssl, &b->view) != 1)
		return false;
	BIO_set_data(bio, b);
	BIO_set_init(bio, 1);
	SSL_set_bio(b->ssl, bio, bio);
	SSL_set_accept_state(b->ssl);
	tls_said_hooks(b->ssl, &b->view);
	return true;
}

void
bridge_start(
    struct bridges *owner, const struct tlsproxy_request *request, int cipher_fd, int plain_fd)
{
	struct bridge *b = pool_take(owner->pool);

	if (b == NULL) {
		close(cipher_fd);
		close(plain_fd);
		return;
	}
	b->owner = owner;
	b->cipher_fd = cipher_fd;
	b->plain_fd = plain_fd;
	b->started_us = loop_now_us(owner->loop);
	b->next = owner->first;
	if (b->next != NULL)
		b->next->prev = b;
	owner->first = b;
	view_init(&b->view, owner->contexts, request);
	log_info("CONNECT from %s", b->view.peer);
	/* A ticket and a greeting are two small writes: without it they wait for each other. */
	(void)setsockopt(cipher_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	deadline_arm(&owner->handshake[request->stress], &b->deadline);
	b->outcome = TLS_FAILED;
	b->write_wants_read = true;
	go_on(b, ssl_init(b));
}

void
bridges_init(struct bridges *owner, struct loop *loop, struct tls_contexts *contexts, size_t limit)
{
	const struct tlsproxy_conf *conf = contexts->conf;

	owner->loop = loop;
	owner->socket_method = socket_method();
	owner->contexts = contexts;
	owner->pool = pool_new(limit, sizeof(struct bridge));
	owner->pieces = pool_new(2 * limit, BRIDGE_PIECE);
	for (int i = 0; i < 2; i++)
		deadline_queue_init(
		    &owner->handshake[i], loop, conf->handshake_us[i], on_handshake_late);
	deadline_queue_init(&owner->stall, loop, conf->stall_us, on_stall);
	deadline_queue_init(&owner->closing, loop, CLOSE_US, on_close_late);
}

void
bridges_fini(struct bridges *owner)
{
	while (owner->first != NULL)
		bridge_end(owner->first);
	for (int i = 0; i < 2; i++)
		deadline_queue_fini(&owner->handshake[i]);
	deadline_queue_fini(&owner->stall);
	deadline_queue_fini(&owner->closing);
	pool_free(&owner->pieces);
	pool_free(&owner->pool);
	BIO_meth_free(owner->socket_method);
}

size_t
bridges_used(const struct bridges *owner)
{
	return pool_used(owner->pool);
}

bool
bridges_full(const struct bridges *owner)
{
	return pool_used(owner->pool) == pool_count(owner->pool);
}
