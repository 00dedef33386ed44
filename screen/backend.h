/*
 * screen/backend.h: what stands behind: a pass service, a command, or servers reached over TCP.
 */
#ifndef SCREEN_BACKEND_H
#define SCREEN_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/text.h"
#include "rules/rules.h"

#define BACKEND_SERVERS_MAX 16

struct worker;

enum backend_kind {
	BACKEND_PASS,    /* pass:PATH      descriptor passing to a Postfix `pass` service */
	BACKEND_SINK,    /* sink:DIR       our own demo backend, by the same protocol */
	BACKEND_SPAWN,   /* spawn:COMMAND  started by the master, the socket as standard input and output */
	BACKEND_TCP,     /* tcp:HOST:PORT */
	BACKEND_PROXY1,  /* proxy1:HOST:PORT  with a PROXY protocol header, version 1 */
	BACKEND_PROXY2,  /* proxy2:HOST:PORT  version 2 */
	BACKEND_XCLIENT, /* xclient:HOST:PORT Postfix's XCLIENT command */
};

struct backend {
	enum backend_kind kind;
	char *name;    /* as logged */
	char *path;    /* PASS, SINK: unix socket */
	char *dir;     /* SINK */
	char *command; /* SPAWN: for the shell */
	struct endpoint servers[BACKEND_SERVERS_MAX];
	size_t server_count;
	bool named; /* at least one was given by name */
};

/* From gatehouse_backend; errors go to diag at that parameter's place. */
void backend_load(struct backend *, const struct rules *, struct diag *);
void backend_fini(struct backend *);
/* The same addresses, in whatever order. */
bool backend_same_servers(const struct backend *, const struct backend *);

/*
 * How many descriptors a worker needs for one session at most: the client and its way to the backend, and for what is
 * relayed a pipe. Passed sockets are relayed, too, where tests after the greeting are on.
 */
unsigned backend_descriptors(const struct backend *, const struct rules *);

/* Takes the client's own socket; the others are relayed to. */
bool backend_takes_sockets(const struct backend *);

/* Who the backend is told it talks to. */
struct backend_client {
	struct endpoint peer, local;
	const char *tls_version, *tls_cipher; /* null: no TLS, or not to be told */
	bool teased; /* had its 220-: no 421 may follow */
};

/*
 * A connection to a pass service; -1 with errno. backend_give() sends a descriptor and the client's addresses over it;
 * the service closes it when it has taken them.
 */
int backend_dial(const struct backend *);
bool backend_give(int to, const struct backend_client *, int fd);

/* Has the master start the command for this client. False with errno. */
bool backend_spawn(const struct worker *, const struct backend_client *, int fd);

/* One connection to the backend to talk SMTP over. */
struct backend_link {
	int fd;          /* non-blocking */
	bool connecting; /* wait until it is writable, then look at SO_ERROR */
	bool counted;    /* backend_close() is owed */
	uint8_t server;
};
/* What a worker knows of each server. */
struct backend_server {
	unsigned links;
	int64_t down_until_us; /* 0: it greeted when last asked */
};

/* False with errno, and link->fd -1. */
bool backend_open(struct worker *, const struct backend_client *, struct backend_link *);
/* The same, to the server of that number, where there are several to choose from. */
bool backend_open_at(struct worker *, const struct backend_client *, uint8_t server, struct backend_link *);
/* The connection was not made, or broke before the backend spoke: others are preferred for a while. */
void backend_failed(struct worker *, const struct backend_link *);
/* It greeted. */
void backend_works(struct worker *, const struct backend_link *);
void backend_close(struct worker *, struct backend_link *); /* harmless if not open */

/* Bytes to send before the backend speaks: a PROXY protocol header, or nothing. */
void backend_header(const struct backend *, const struct backend_client *, struct buf *out);
/*
 * The length of one complete SMTP reply at the start of the bytes (RFC 5321 §4.2: lines with '-' after the code, then
 * one without), and its code. 0: not complete yet, *code 0; or no reply at all, *code -1.
 */
size_t backend_reply(const char *bytes, size_t len, int *code);

/* The XCLIENT command to give after its greeting; nothing for other kinds. */
void backend_xclient(const struct backend *, const struct backend_client *, struct buf *out);

#endif
