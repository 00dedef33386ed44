/*
 * tlsproxy/tlsproxy.h: the private keys, and nothing else.
 *
 * For: reading the TLS parameters, certificates and keys; a process that turns a TLS socket into a
 * plaintext one; the few calls a screen worker needs to use that process. Not for: SMTP. The process
 * never looks at what it carries.
 *
 * Who calls what:
 *   master         tlsproxy_conf_load() at start and reload, tlsproxy_tickets_*(), tlsproxy_channel(),
 *                  tlsproxy_fork() + tlsproxy_main() for each process of the pool
 *   screen worker  tlsproxy_conf_level(), tlsproxy_conf_ready(), tlsproxy_start(), tls_facts_parse()
 *
 * Where the keys are: in one mapping that fork() does not copy, so no other child of the master ever
 * has them; only tlsproxy_fork() hands them down. The master reads the files (as root) and keeps the
 * bytes, it never decodes a key: the checks run in a short-lived child of tlsproxy_conf_load().
 *
 * Without OpenSSL (configure --without-openssl) every call exists and TLS is off; a security level
 * that asks for it is an error in diag.
 */
#ifndef TLSPROXY_TLSPROXY_H
#define TLSPROXY_TLSPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/addr.h"
#include "base/text.h"
#include "rules/rules.h"

/*
 * Configuration: the TLS parameters of postscreen, tlsproxy and smtpd, and tls_*. A postscreen_tls_X that
 * is set wins over a tlsproxy_tls_X that is set, and both over smtpd_tls_X.
 */
enum tlsproxy_level {
	TLSPROXY_OFF,
	TLSPROXY_MAY,     /* announce STARTTLS */
	TLSPROXY_ENCRYPT, /* and accept no mail without it */
};
struct tlsproxy_conf;

/*
 * Never null. Errors are in diag (at start: fatal; at reload: keep the old one); each names the file
 * or parameter. now_s: Unix seconds, for "expires in N days". The result borrows nothing from the
 * rules.
 */
struct tlsproxy_conf *tlsproxy_conf_load(const struct rules *, int64_t now_s, struct diag *);
void tlsproxy_conf_free(struct tlsproxy_conf **);

enum tlsproxy_level tlsproxy_conf_level(const struct tlsproxy_conf *);

/*
 * True if a handshake can be served: start processes, announce STARTTLS. With a level other than off
 * it can still be false (no certificate: a warning); then STARTTLS is not announced and gets 502.
 */
bool tlsproxy_conf_ready(const struct tlsproxy_conf *);

/*
 * True once for each change of a certificate, key, CA or SNI file since the load, as soon as two calls
 * in a row have seen the same new state (so that half-written files settle). For
 * gatehouse_tls_watch: call it every few seconds, and reload when it says true. Only stat(2).
 */
bool tlsproxy_conf_changed(struct tlsproxy_conf *);

/* What the configuration allows, in lines for people (doctor). */
void tlsproxy_conf_describe(
    const struct tlsproxy_conf *, void (*fn)(void *arg, const char *line), void *arg);

/* The certificates in use, leaves (depth 0) and the issuers sent with them. */
#define TLSPROXY_DIGEST_SIZE 65
struct tlsproxy_cert {
	const char *file;     /* where it was read */
	const char *name;     /* the SNI name it is used for, or "" for the default chain */
	const char *subject;  /* RFC 2253 text, escaped */
	const char *key;      /* "RSA 2048", "EC P-256", ... */
	unsigned depth;       /* 0: the server's own */
	int64_t expires_at;   /* Unix seconds */
	char sha256_key[TLSPROXY_DIGEST_SIZE]; /* lower-case hex of SHA-256 of the SubjectPublicKeyInfo */
};
void tlsproxy_conf_certs(
    const struct tlsproxy_conf *, void (*fn)(void *arg, const struct tlsproxy_cert *), void *arg);

/* Logs a warning for each certificate that expires within 14 days or has expired. Call it daily. */
void tlsproxy_conf_warn_expiry(const struct tlsproxy_conf *, int64_t now_s);
/* The earliest expiry of all, for the metric; 0 if there is no certificate. */
int64_t tlsproxy_conf_expires_at(const struct tlsproxy_conf *);

/*
 * Session ticket keys: one object for the life of the master, shared (read-only) by every process it
 * forks with tlsproxy_fork(), so that a client may resume at any of them and across a reload. A key
 * encrypts for half the ticket lifetime and decrypts for another half.
 */
struct tlsproxy_tickets;
struct tlsproxy_tickets *tlsproxy_tickets_new(void); /* never null */
void tlsproxy_tickets_free(struct tlsproxy_tickets **);

/*
 * Makes a fresh key if the one in force is past its half time under this configuration. Call it before
 * the first fork and then whenever the returned number of seconds has gone by; every running process
 * uses the new key at once.
 */
int64_t tlsproxy_tickets_turn(
    struct tlsproxy_tickets *, const struct tlsproxy_conf *, int64_t now_s);

/*
 * A channel from screen workers to the pool: pair[0] sends, pair[1] receives; both non-blocking and
 * close-on-exec. Any number of workers may share a sending end and any number of processes a receiving
 * end: whoever is free takes the next client. If the master keeps pair[1] open for as long as the pool
 * is wanted, clients wait in the channel while a dead process is replaced; when the channel is full,
 * or nobody has the receiving end, tlsproxy_start() fails and the client gets 454. False with errno.
 */
bool tlsproxy_channel(int pair[2]);

/* fork(2), with the keys handed down to the child. Both may be used by later forks too. */
pid_t tlsproxy_fork(const struct tlsproxy_conf *, const struct tlsproxy_tickets *);

struct tlsproxy_process {
	const struct tlsproxy_conf *conf;
	const struct tlsproxy_tickets *tickets;
	const int *channels;  /* receiving ends */
	size_t channel_count; /* at most TLSPROXY_CHANNELS_MAX */
	const char *user;     /* for jail_drop() */
	/*
	 * At most this many clients at once, two descriptors each; shrunk to RLIMIT_NOFILE with one
	 * warning. At the limit nothing is taken from the channels until a client ends.
	 */
	size_t session_limit;
};
#define TLSPROXY_CHANNELS_MAX 256

/*
 * The life of a process of the pool, to be called in the child of tlsproxy_fork(): makes its own loop,
 * closes every descriptor but the channels and the log, builds the contexts, drops to the user, locks
 * the jail, then serves. Drains (takes no new clients, finishes what it holds, returns) after SIGTERM,
 * or when every sending end of every channel is closed. A second SIGTERM ends it at once. Returns the
 * exit status: 0, or 1 after a logged reason.
 */
int tlsproxy_main(const struct tlsproxy_process *);

/*
 * For a screen worker: hands a client over. The caller
 *   1. stops its watch on client_fd (base/loop.h says why),
 *   2. calls tlsproxy_start(),
 *   3. on success writes "220 2.0.0 Ready to start TLS" to client_fd, closes it, throws away everything
 *      it has read from the client, and goes on with the returned descriptor (non-blocking,
 *      close-on-exec, a stream). On failure it starts its watch again and answers 454.
 *
 * Returns -1 with errno: EAGAIN the channel is full, ECONNRESET or EPIPE nobody receives, or what
 * socketpair(2) says. Fail closed: never go on in plaintext as if STARTTLS had worked.
 *
 * What comes out of the descriptor: one facts record (below), then the client's plaintext, then EOF. If
 * the handshake fails the record says how and EOF follows. EOF without a record: the process died.
 * A client that closes its sending direction only is seen as EOF; what is written afterwards still
 * reaches it. Closing the descriptor flushes what was written (for at most the command time limit),
 * sends close_notify and closes the connection. The process sets no idle limit: the caller's own
 * limits decide, and closing is how they act.
 */
struct tlsproxy_request {
	struct endpoint peer, server;
	bool stress; /* the stressed postscreen_starttls_timeout applies */
};
int tlsproxy_start(int channel, const struct tlsproxy_request *, int client_fd);

/* What is known after the handshake. All text is printable ASCII. */
enum tls_outcome {
	TLS_OK,
	TLS_FAILED,  /* the library refused, or the client did */
	TLS_TIMEOUT, /* postscreen_starttls_timeout went by */
	TLS_HANGUP,  /* the client closed during the handshake */
};
enum tls_client_cert { TLS_CERT_NONE, TLS_CERT_UNTRUSTED, TLS_CERT_TRUSTED };
struct tls_facts {
	enum tls_outcome outcome;
	enum tls_client_cert client_cert;
	bool resumed;
	bool sni_matched;             /* a chain was found for sni; false: the default chain was used */
	uint16_t bits, bits_max;      /* secret bits in use, and of the algorithm */
	uint32_t handshake_ms;
	char protocol[16];            /* "TLSv1.3" */
	char cipher[64];              /* "TLS_AES_256_GCM_SHA384" */
	char sni[256];                /* lower case; "" if none or not valid */
	char client_cn[128];          /* "" without a certificate */
	char issuer_cn[128];
	char fingerprint[192];        /* of the certificate, hex with colons, under fingerprint_digest */
	char key_fingerprint[192];    /* of its public key */
};

/*
 * The facts record: at most TLS_FACTS_MAX bytes, self-delimiting. Pure: give it all bytes read so far.
 * TLS_FACTS_DONE: *out is filled and *used bytes belong to the record, the rest is plaintext.
 * TLS_FACTS_MORE: read on. TLS_FACTS_BAD: close the descriptor (ours is broken or somebody else's).
 */
#define TLS_FACTS_MAX 1024
enum tls_facts_result { TLS_FACTS_MORE, TLS_FACTS_DONE, TLS_FACTS_BAD };
enum tls_facts_result tls_facts_parse(struct span bytes, size_t *used, struct tls_facts *out);
/* Writes the record into out, an array of TLS_FACTS_MAX bytes, and returns its length. */
size_t tls_facts_format(const struct tls_facts *, uint8_t *out);
const char *tls_outcome_word(enum tls_outcome); /* "ok", "failed", "timeout", "hangup" */

#endif
