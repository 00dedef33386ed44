#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/sink.h"

struct maildir {
	int dir; /* -1: everything is thrown away */
	const char *host;
	unsigned long count;
};

static bool
make_folder(int at, const char *path, const struct passwd *owner)
{
	if (mkdirat(at, path, 0700) != 0 && errno != EEXIST)
		return false;
	return owner == NULL || fchownat(at, path, owner->pw_uid, owner->pw_gid, 0) == 0;
}

struct maildir *
maildir_open(const char *path, const char *host, const char *owner)
{
	const struct passwd *user = owner != NULL && geteuid() == 0 ? getpwnam(owner) : NULL;
	struct maildir *m = mem_alloc(sizeof *m);

	m->host = host;
	m->dir = -1;
	if (strcmp(path, "-") == 0)
		return m;
	if (make_folder(AT_FDCWD, path, user))
		m->dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (m->dir == -1 || !make_folder(m->dir, "tmp", user) ||
	    !make_folder(m->dir, "new", user) || !make_folder(m->dir, "cur", user)) {
		log_fatal("Maildir %s: %s", path, strerror(errno));
		maildir_free(&m);
	}
	return m;
}

void
maildir_free(struct maildir **m)
{
	if (*m != NULL && (*m)->dir != -1)
		close((*m)->dir);
	free(*m);
	*m = NULL;
}

static const char *
mail_path(const struct mail *mail, const char *folder, char out[static 128])
{
	snprintf(out, 128, "%s/%s", folder, mail->name);
	return out;
}

void
mail_begin(struct maildir *m, struct mail *mail, int64_t wall_s)
{
	char path[128];

	memset(mail, 0, sizeof *mail);
	mail->open = true;
	mail->fd = -1;
	if (m->dir == -1)
		return;
	snprintf(mail->name, sizeof mail->name, "%lld.P%ldQ%lu.%.40s", (long long)wall_s,
	    (long)getpid(), m->count++, m->host);
	mail->fd = openat(
	    m->dir, mail_path(mail, "tmp", path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (mail->fd == -1) {
		log_warning("cannot create %s: %s", path, strerror(errno));
		mail->failed = true;
	}
}

void
mail_write(struct mail *mail, const char *bytes, size_t len)
{
	mail->size += len;
	if (mail->fd == -1 || mail->failed || len == 0)
		return;
	if (write(mail->fd, bytes, len) != (ssize_t)len) {
		log_warning("cannot write %s: %s", mail->name, strerror(errno));
		mail->failed = true;
	}
}

static void
mail_close(struct mail *mail)
{
	if (mail->fd != -1)
		close(mail->fd);
	mail->fd = -1;
	mail->open = false;
}

bool
mail_commit(struct maildir *m, struct mail *mail)
{
	char from[128], to[128];
	bool stored = !mail->failed;

	if (mail->fd != -1) {
		stored = stored && fdatasync(mail->fd) == 0 &&
			 renameat(m->dir, mail_path(mail, "tmp", from), m->dir,
			     mail_path(mail, "new", to)) == 0;
		if (!stored)
			(void)unlinkat(m->dir, mail_path(mail, "tmp", from), 0);
	}
	mail_close(mail);
	return stored;
}

void
mail_abort(struct maildir *m, struct mail *mail)
{
	char path[128];

	if (!mail->open)
		return;
	if (mail->fd != -1)
		(void)unlinkat(m->dir, mail_path(mail, "tmp", path), 0);
	mail_close(mail);
}

/* What a byte does in each state: the next state, or the verdict. */
static enum content_result
content_byte(enum content_state *state, char c, char *out, size_t *out_len)
{
	bool held_cr = *state == CONTENT_CR || *state == CONTENT_DOT_CR;

	if (held_cr != (c == '\n'))
		return CONTENT_BARE;
	if (*state == CONTENT_DOT_CR)
		return CONTENT_END;
	if (c == '\r') {
		*state = *state == CONTENT_DOT ? CONTENT_DOT_CR : CONTENT_CR;
		return CONTENT_MORE;
	}
	if (c == '.' && *state == CONTENT_AT_START) {
		*state = CONTENT_DOT;
		return CONTENT_MORE;
	}
	*state = c == '\n' ? CONTENT_AT_START : CONTENT_TEXT;
	out[(*out_len)++] = c;
	return CONTENT_MORE;
}

enum content_result
content_feed(
    enum content_state *state, const char *in, size_t len, size_t *used, char *out, size_t *out_len)
{
	enum content_result result = CONTENT_MORE;

	*used = *out_len = 0;
	while (*used < len && result == CONTENT_MORE)
		result = content_byte(state, in[(*used)++], out, out_len);
	return result;
}

static struct span
next_string(struct span *rest)
{
	const char *end = memchr(rest->p, '\0', rest->len);
	struct span s = { rest->p, 0 };

	if (end == NULL) {
		rest->len = 0;
		return (struct span){ NULL, 0 };
	}
	s.len = (size_t)(end - rest->p);
	rest->p = end + 1;
	rest->len -= s.len + 1;
	return s;
}

bool
sink_attributes_complete(struct span list)
{
	while (list.len > 0) {
		struct span name = next_string(&list);
		if (name.p != NULL && name.len == 0)
			return true;
		(void)next_string(&list);
	}
	return false;
}

bool
sink_attributes(struct span list, struct endpoint *client, struct endpoint *server)
{
	static const char *const names[] = { "client_address", "client_port", "server_address",
		"server_port" };
	struct span found[4] = { { NULL, 0 } };
	struct endpoint *ends[2] = { client, server };
	struct span name;

	while ((name = next_string(&list)).len > 0) {
		struct span value = next_string(&list);
		for (size_t i = 0; i < 4; i++)
			if (found[i].p == NULL && span_is(name, names[i]))
				found[i] = value;
	}
	for (size_t i = 0; i < 2; i++) {
		struct span address = found[2 * i], port = found[2 * i + 1];
		uint64_t number;
		if (address.p == NULL || !addr_parse(&ends[i]->addr, address.p, address.len) ||
		    port.p == NULL || !span_uint(port, 65535, &number))
			return false;
		ends[i]->port = (uint16_t)number;
	}
	return true;
}
