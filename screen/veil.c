/* STARTTLS: the client's socket goes to a tlsproxy process, and we go on with its plaintext (RFC 3207). */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/tally.h"
#include "screen/verbs.h"
#include "screen/worker.h"
#include "tlsproxy/tlsproxy.h"

/* Everything learned in plaintext may have been said by somebody else (RFC 3207 §4.2). */
static void
forget(struct engine *e)
{
	e->line.len = 0;
	e->out_len = 0;
	e->helo_len = e->mail_len = 0;
	e->has_helo = e->has_mail = e->said_ehlo = e->cut = false;
	e->discard = 0;
}

static enum state
refuse(struct session *s)
{
	static struct log_limit limit;
	unsigned held;

	if (log_allowed(&limit, loop_now_us(s->worker->loop), &held))
		log_warning(
		    "problem sending file handle to tlsproxy: %s (%u more before this line)",
		    strerror(errno), held);
	return reply_send(s, R_TLS_LOCAL) ? S_TALK : session_hangup(s);
}

enum state
veil_enter(struct session *s)
{
	const struct tlsproxy_request request = { s->peer, s->local,
		atomic_load_explicit(&s->worker->shared->stressed, memory_order_relaxed) };
	int plain = -1;

	/* The channel would keep the client until there is a process again: that may be long. */
	if (atomic_load_explicit(&s->worker->shared->tls_processes, memory_order_relaxed) > 0)
		plain = tlsproxy_start(s->worker->tls_fd, &request, s->fd);
	else
		errno = ESRCH;

	if (plain < 0)
		return refuse(s); /* fail closed: the client knows that it goes on in plaintext */
	bool said = reply_send(s, R_TLS_READY) && s->engine->out_len == 0;
	close(s->fd);
	s->fd = plain;
	forget(s->engine);
	if (!said)
		return session_hangup(s);
	session_listen(s, true);
	return S_STAY;
}

static void
take_facts(struct session *s, const struct tls_facts *facts)
{
	struct engine *e = s->engine;
	struct buf version = BUF(e->tls_version), cipher = BUF(e->tls_cipher);
	enum tls_version kind =
	    facts->outcome == TLS_OK ? tally_tls_version(facts->protocol) : TLS_NONE;

	tally_add(s->worker->slot, CELL_TLS + kind, 1);
	if (facts->outcome != TLS_OK)
		return;
	tally_add(s->worker->slot, CELL_CIPHERS + tally_cipher(facts->cipher), 1);
	buf_puts(&version, facts->protocol);
	buf_puts(&cipher, facts->cipher);
	e->tls_resumed = facts->resumed;
	s->tls = true;
}

/* The process has a limit of its own and is late: it hangs. */
enum state
veil_time(struct session *s)
{
	return session_hangup(s);
}

/* The record of the handshake comes before the first plaintext. */
enum state
veil_read(struct session *s)
{
	char bytes[TLS_FACTS_MAX];
	struct tls_facts facts;
	size_t used = 0;
	ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return S_STAY;
	if (n <= 0)
		return session_hangup(s);
	enum tls_facts_result result =
	    tls_facts_parse((struct span){ bytes, (size_t)n }, &used, &facts);
	if (result == TLS_FACTS_MORE)
		return S_STAY;
	if (result == TLS_FACTS_BAD || recv(s->fd, bytes, used, MSG_DONTWAIT) != (ssize_t)used)
		return session_hangup(s);
	take_facts(s, &facts);
	return s->tls ? S_TALK : session_hangup(s);
}
