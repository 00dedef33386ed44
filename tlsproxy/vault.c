#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tlsproxy/inner.h"

/* Address space only: pages come with their first use. */
#define VAULT_SIZE ((size_t)64 << 20)

struct tls_vault {
	char *base;
	size_t kept, read; /* [0, kept) is kept, [kept, kept + read) was read last */
	pid_t owner;
};

static void *
secret_mapping(size_t size, int sharing)
{
	void *p = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(p != MAP_FAILED);
	(void)madvise(p, size, MADV_DONTDUMP);
	return p;
}

static void
lend(void *base, size_t size, bool on)
{
	int r = madvise(base, size, on ? MADV_DOFORK : MADV_DONTFORK);

	assert(r == 0);
	(void)r;
}

struct tls_vault *
tls_vault_new(void)
{
	struct tls_vault *v = mem_alloc(sizeof *v);

	v->base = secret_mapping(VAULT_SIZE, MAP_PRIVATE);
	v->owner = getpid();
	lend(v->base, VAULT_SIZE, false);
	return v;
}

void
tls_vault_free(struct tls_vault **v)
{
	if (*v == NULL)
		return;
	/* In a child that was not lent it, something else may live at the address by now. */
	if ((*v)->owner == getpid())
		munmap((*v)->base, VAULT_SIZE);
	free(*v);
	*v = NULL;
}

static bool
read_all(int fd, char *to, size_t room, size_t *len)
{
	ssize_t n = 1;

	for (*len = 0; n > 0 && *len < room; *len += (size_t)n)
		while ((n = read(fd, to + *len, room - *len)) < 0)
			if (errno != EINTR)
				return false;
	return true;
}

bool
tls_vault_read_fd(struct tls_vault *v, int fd, size_t limit, struct span *out)
{
	size_t room = VAULT_SIZE - v->kept;

	tls_vault_wipe(v);
	bool ok = read_all(fd, v->base + v->kept, room > limit ? limit + 1 : room, &v->read);
	int error = errno;
	*out = (struct span){ v->base + v->kept, v->read };
	if (ok && (v->read > limit || v->read == room)) {
		error = v->read > limit ? EFBIG : ENOSPC;
		ok = false;
	}
	if (!ok)
		tls_vault_wipe(v);
	errno = error;
	return ok;
}

bool
tls_vault_read(struct tls_vault *v, const char *path, struct span *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return false;
	bool ok = tls_vault_read_fd(v, fd, TLS_FILE_MAX, out);
	int error = errno;
	close(fd);
	errno = error;
	return ok;
}

struct span
tls_vault_keep(struct tls_vault *v, struct span bytes)
{
	char *to = v->base + v->kept;

	assert(bytes.p >= to && bytes.len <= (size_t)(to + v->read - bytes.p));
	memmove(to, bytes.p, bytes.len);
	v->kept += bytes.len;
	v->read -= bytes.len;
	return (struct span){ to, bytes.len };
}

void
tls_vault_wipe(struct tls_vault *v)
{
	explicit_bzero(v->base + v->kept, v->read);
	v->read = 0;
}

void
tls_vault_lend(const struct tls_vault *v, bool on)
{
	lend(v->base, VAULT_SIZE, on);
}

void
tls_vault_drop(const struct tls_vault *v)
{
	explicit_bzero(v->base, v->kept);
	munmap(v->base, VAULT_SIZE);
}

/*
 * Ticket keys: written by the master only, read by processes at any moment. A slot is written
 * before `current` names it and not again until KEYS turns later, when nobody has used it for long.
 */
#define KEYS 4
struct shared_keys {
	_Atomic unsigned current;
	struct tls_ticket_key keys[KEYS];
};
struct tlsproxy_tickets {
	struct shared_keys *shared;
	pid_t owner;
};

struct tlsproxy_tickets *
tlsproxy_tickets_new(void)
{
	struct tlsproxy_tickets *t = mem_alloc(sizeof *t);

	t->shared = secret_mapping(sizeof *t->shared, MAP_SHARED);
	t->owner = getpid();
	lend(t->shared, sizeof *t->shared, false);
	return t;
}

void
tlsproxy_tickets_free(struct tlsproxy_tickets **t)
{
	if (*t == NULL)
		return;
	if ((*t)->owner == getpid())
		munmap((*t)->shared, sizeof *(*t)->shared);
	free(*t);
	*t = NULL;
}

void
tls_tickets_lend(const struct tlsproxy_tickets *t, bool on)
{
	lend(t->shared, sizeof *t->shared, on);
}

int64_t
tlsproxy_tickets_turn(struct tlsproxy_tickets *t, const struct tlsproxy_conf *conf, int64_t now_s)
{
	unsigned current = atomic_load(&t->shared->current);
	int64_t half_s = conf->ticket_half_s > 0 ? conf->ticket_half_s : 1800;
	int64_t made_at = t->shared->keys[current].made_at;

	if (made_at != 0 && now_s >= made_at && now_s < made_at + half_s)
		return made_at + half_s - now_s;
	current = (current + 1) % KEYS;
	struct tls_ticket_key *key = &t->shared->keys[current];
	size_t random = offsetof(struct tls_ticket_key, made_at);
	if (getrandom(key, random, 0) != (ssize_t)random)
		return 1; /* never seen for so few bytes; the old key goes on */
	key->made_at = now_s;
	atomic_store(&t->shared->current, current);
	return half_s;
}

const struct tls_ticket_key *
tls_ticket_current(const struct tlsproxy_tickets *t, int64_t now_s, int64_t half_s)
{
	const struct tls_ticket_key *key = &t->shared->keys[atomic_load(&t->shared->current)];

	/* A late master is no reason to refuse tickets: twice the time, then stop. */
	return key->made_at != 0 && now_s < key->made_at + 2 * half_s ? key : NULL;
}

const struct tls_ticket_key *
tls_ticket_find(
    const struct tlsproxy_tickets *t, const uint8_t name[16], int64_t now_s, int64_t half_s)
{
	for (size_t i = 0; i < KEYS; i++) {
		const struct tls_ticket_key *key = &t->shared->keys[i];
		if (key->made_at != 0 && now_s < key->made_at + 2 * half_s &&
		    memcmp(key->name, name, sizeof key->name) == 0)
			return key;
	}
	return NULL;
}

pid_t
tlsproxy_fork(const struct tlsproxy_conf *conf, const struct tlsproxy_tickets *tickets)
{
	tls_vault_lend(conf->vault, true);
	if (tickets != NULL)
		tls_tickets_lend(tickets, true);
	pid_t pid = fork();
	tls_vault_lend(conf->vault, false);
	if (tickets != NULL)
		tls_tickets_lend(tickets, false);
	return pid;
}
