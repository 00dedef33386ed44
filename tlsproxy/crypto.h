/*
 * tlsproxy/crypto.h: what the files that use OpenSSL share.
 */
#ifndef TLSPROXY_CRYPTO_H
#define TLSPROXY_CRYPTO_H

#include <openssl/ssl.h>
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "tlsproxy/inner.h"

/* Before any other call into the library: nothing is read from disk until tls_library_config(). */
void tls_library_init(void);
/* Applies tls_config_file and tls_config_name. False with a reason. */
bool tls_library_config(const struct tlsproxy_conf *, struct buf *why);
/* The last error of the library as text, and its queue empty. */
void tls_library_text(struct buf *);

/*
 * blocks.c. Hook: once, before the library is used. Open: in the process that serves. Trim: now and then;
 * gives memory back that was not used since the last call. True if there is some to look at next time.
 */
void tls_blocks_hook(void);
void tls_blocks_open(void);
bool tls_blocks_trim(void);

/* certs.c. The certificates of a PEM text, in order; never null; *bad is set if one is broken. */
STACK_OF(X509) *tls_certs_parse(const struct tls_blob *, bool *bad);
/* "RSA 2048", "EC prime256v1", "ED25519". */
void tls_key_text(EVP_PKEY *, struct buf *);

/* context.c. Complaints: file may be null. */
typedef void tls_say(void *arg, enum diag_level, const char *file, const char *text);

struct tls_named {
	const char *name; /* borrowed from the configuration */
	SSL_CTX *ctx;
};
struct tls_contexts {
	const struct tlsproxy_conf *conf;
	const struct tlsproxy_tickets *tickets; /* null: no tickets are issued */
	struct loop *loop;                      /* for the time */
	SSL_CTX *base;
	struct tls_named *named;                /* sorted by name */
	size_t count;
	EVP_CIPHER *ticket_cipher;
	X509_STORE *store;
	bool failed;
	tls_say *say;
	void *say_arg;
};
/* Null if it cannot be done, after saying why. The keys are needed until it returns, not after. */
struct tls_contexts *tls_contexts_new(const struct tlsproxy_conf *, const struct tlsproxy_tickets *,
    struct loop *, tls_say *, void *arg);
void tls_contexts_free(struct tls_contexts **);
/* The context for a valid lower-case name, or null: its own entry first, then ".parent" from near to far. */
SSL_CTX *tls_contexts_find(const struct tls_contexts *, const char *name);

/* What the callbacks of the library find under SSL_get_app_data(). */
struct bridge_view {
	char peer[ADDR_TEXT_SIZE + 8]; /* "[addr]:port" */
	unsigned features;             /* TLS_LOG_ */
	struct tls_contexts *contexts;
	char sni[256];                 /* valid and lower case, or "" */
	bool sni_matched, dumped;
};

/* bridge.c: clients. */
#define BRIDGE_PIECE 16384 /* the largest TLS record */
struct bridge;
struct bridges {
	struct loop *loop;
	struct tls_contexts *contexts;
	BIO_METHOD *socket_method;
	struct pool *pool, *pieces;
	struct bridge *first; /* of those alive */
	struct deadline_queue handshake[2], stall, closing;
	struct log_limit library_limit, timeout_limit, stall_limit;
	void (*on_end)(void *arg); /* there is one less */
	void *arg;
	uint8_t scratch[BRIDGE_PIECE];
};
void bridges_init(struct bridges *, struct loop *, struct tls_contexts *, size_t limit);
void bridges_fini(struct bridges *); /* ends those alive */
/* Takes both descriptors, also when there is no place (they are closed then). */
void bridge_start(struct bridges *, const struct tlsproxy_request *, int cipher_fd, int plain_fd);
size_t bridges_used(const struct bridges *);
bool bridges_full(const struct bridges *);

/* said.c. */
void tls_said_hooks(SSL *, struct bridge_view *);              /* level 2 and up */
void tls_said_facts(SSL *, const struct bridge_view *, struct tls_facts *out);
void tls_said_handshake(SSL *, const struct bridge_view *, const struct tls_facts *); /* level 1 and up */
/* "TLS library problem" lines for what is in the error queue; empties it. */
void tls_said_errors(struct log_limit *, int64_t now_us);

#endif
