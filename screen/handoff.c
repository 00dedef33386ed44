/* The gate: the client's socket goes to the backend by the `pass` protocol (descriptor, then attributes). */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "screen/session.h"
#include "screen/worker.h"

/*
 * A 220- line must not be followed by 421: the client would bounce its mail. After the teaser the engine
 * says 220 first, and 421 to the first command.
 */
static enum state
failed(struct session *s, enum reply reply)
{
	s->verdict = V_ERROR;
	screening_handoff_failed(&s->sc);
	if (!s->teased)
		return session_finish(s, reply, V_ERROR);
	s->no_handoff = true;
	s->final = R_NO_RESOURCES;
	return S_TALK;
}

static int
connect_backend(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	memcpy(un.sun_path, path, strlen(path) + 1); /* length checked at load */
	if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		return fd;
	int saved = errno; /* EAGAIN: its backlog is full */
	close(fd);
	errno = saved;
	return -1;
}

static void
put_attribute(struct buf *b, const char *name, const char *value)
{
	buf_put(b, name, strlen(name) + 1);
	buf_put(b, value, strlen(value) + 1);
}

static void
put_port(struct buf *b, const char *name, uint16_t port)
{
	char text[8];
	struct buf t = BUF(text);

	buf_printf(&t, "%u", port);
	put_attribute(b, name, text);
}

static bool
pass_socket(struct session *s)
{
	char list[256], addr[ADDR_TEXT_SIZE];
	struct buf b = BUF(list);

	if (fd_send(s->backend_fd, "", 1, &s->fd, 1) != 1)
		return false;
	put_attribute(&b, "client_address", addr_format(&s->peer.addr, addr));
	put_port(&b, "client_port", s->peer.port);
	put_attribute(&b, "server_address", addr_format(&s->local.addr, addr));
	put_port(&b, "server_port", s->local.port);
	buf_putc(&b, '\0');
	return send(s->backend_fd, list, b.len, MSG_NOSIGNAL) == (ssize_t)b.len;
}

enum state
gate_enter(struct session *s)
{
	const struct snapshot *snap = s->worker->snap;

	session_conclude(s);
	s->backend_fd = connect_backend(snap->backend_path);
	if (s->backend_fd < 0) {
		log_warning("cannot connect to service %s: %s", snap->backend_name, strerror(errno));
		return failed(s, R_PORTS_BUSY);
	}
	if (!pass_socket(s)) {
		log_warning("cannot pass connection to service %s: %s", snap->backend_name, strerror(errno));
		close(s->backend_fd);
		s->backend_fd = -1;
		return failed(s, R_NO_RESOURCES);
	}
	s->handed = true;
	s->post_queued = true;
	atomic_fetch_add_explicit(&s->worker->slot->post_queue, 1, memory_order_relaxed);
	session_watch_backend(s);
	return S_STAY;
}

/* The backend closes when it has taken the socket. It never says a word. */
enum state
gate_read(struct session *s)
{
	(void)s;
	return S_END;
}

enum state
gate_time(struct session *s)
{
	log_warning("timeout sending connection to service %s", s->worker->snap->backend_name);
	return S_END;
}
