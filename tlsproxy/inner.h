/*
 * tlsproxy/inner.h: what the files of the room share and nobody else sees. No OpenSSL here; what
 * needs it is in crypto.h.
 *
 *   wire.c      the two messages: request (screen to process) and facts (process to screen)
 *   client.c    tlsproxy_channel(), tlsproxy_start()
 *   lists.c     protocol lists, cipher grades and exclusions, log levels: text to numbers
 *   pem.c       where the blocks of a PEM file begin and end
 *   vault.c     the mappings that only tlsproxy_fork() hands down; ticket keys
 *   sni.c       reading the tables of server names
 *   files.c     reading certificate, key, CA and SNI files into a configuration
 *   conf.c      parameters to configuration
 *   crypto.h    below this line OpenSSL begins
 *   blocks.c    where the library's large buffers live
 *   certs.c     what certificates say: chain order, expiry, digests
 *   context.c   configuration to SSL_CTX, and the check of it at load
 *   said.c      what is known after a handshake, in log lines and facts
 *   bridge.c    one client: handshake, pump, end
 *   process.c   tlsproxy_main()
 *   none.c      instead of all from crypto.h on, without OpenSSL
 */
#ifndef TLSPROXY_INNER_H
#define TLSPROXY_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "tlsproxy/tlsproxy.h"

#define TLS_SERVICE "smtp" /* the service in log lines and in the session id context */

/* wire.c. The request: TLS_REQUEST_SIZE bytes and two descriptors, {client, plaintext end}. */
#define TLS_REQUEST_SIZE 43
void tls_request_format(const struct tlsproxy_request *, uint8_t *out);
bool tls_request_parse(struct span, struct tlsproxy_request *out);

/* lists.c. Protocol versions as on the wire (0x0301: TLSv1), a bit each from SSLv3 up. */
enum { TLS_V_SSL3 = 1, TLS_V_1_0 = 2, TLS_V_1_1 = 4, TLS_V_1_2 = 8, TLS_V_1_3 = 16, TLS_V_ALL = 31 };
/*
 * smtpd_tls_protocols: names that are wanted, or "!name" for those that are not, ">=name", "<=name"; name
 * may be a hexadecimal version (0303). Names are case-insensitive. On failure, false and in `why` a
 * sentence for diag.
 */
bool tls_protocols_parse(const char *text, unsigned *out, struct buf *why);
const char *tls_version_name(unsigned bit);

enum tls_grade { TLS_GRADE_HIGH, TLS_GRADE_MEDIUM, TLS_GRADE_NULL };
/* export and low are the obsolete words for medium: *obsolete is set. */
bool tls_grade_parse(const char *text, enum tls_grade *out, bool *obsolete);
/* Appends ":!NAME" for each name of an exclusion list. False and `why` if a name has a bad character. */
bool tls_exclude(struct buf *cipher_list, const char *exclusions, struct buf *why);

/* Log features, smtpd_tls_loglevel; the numbers 0 to 4 (5 to 9 are 4) are sets of them. */
enum {
	TLS_LOG_SUMMARY = 1,
	TLS_LOG_UNTRUSTED = 2,
	TLS_LOG_PEERCERT = 4,
	TLS_LOG_CERTMATCH = 8,
	TLS_LOG_VERBOSE = 16,
	TLS_LOG_CACHE = 32,
	TLS_LOG_STATE = 64,
	TLS_LOG_HANDSHAKE_DUMP = 128,
	TLS_LOG_SESSION_DUMP = 256,
	TLS_LOG_TRACE = 512, /* accepted, without effect but a notice: the process cannot write files */
};
bool tls_loglevel_parse(const char *text, unsigned *out, struct buf *why);

/* A host name as SNI may carry it: letters, digits, '-', '_', dots between labels; out is lower case. */
bool tls_name_valid(struct span name, char out[256]);

/* pem.c: the next block, with its BEGIN and END lines, or false. Text between blocks is skipped. */
struct tls_pem {
	struct span label, block;
};
bool tls_pem_next(struct span *rest, struct tls_pem *out);
enum tls_pem_kind { TLS_PEM_OTHER, TLS_PEM_CERT, TLS_PEM_KEY, TLS_PEM_LOCKED_KEY, TLS_PEM_DH };
enum tls_pem_kind tls_pem_kind(const struct tls_pem *);

/*
 * vault.c. Bytes that must not be in other processes: one mapping, skipped by fork() unless lent, left
 * out of core dumps. Append only.
 */
struct tls_vault;
struct tls_vault *tls_vault_new(void);
void tls_vault_free(struct tls_vault **);
/*
 * Reads a whole file behind what is kept. It stays until the next tls_vault_read(), except what
 * tls_vault_keep() moves down. False with errno (EFBIG above TLS_FILE_MAX, ENOSPC: the vault is full).
 */
#define TLS_FILE_MAX (1 << 20)
bool tls_vault_read(struct tls_vault *, const char *path, struct span *out);
bool tls_vault_read_fd(struct tls_vault *, int fd, size_t limit, struct span *out); /* the same, to its end */
struct span tls_vault_keep(struct tls_vault *, struct span);
void tls_vault_wipe(struct tls_vault *); /* forgets what was read and not kept */
void tls_vault_lend(const struct tls_vault *, bool on);
void tls_vault_drop(const struct tls_vault *); /* in a child it was lent to: gone from there */

void tls_tickets_lend(const struct tlsproxy_tickets *, bool on);
struct tls_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
	int64_t made_at;
};
/* The key to encrypt with, or null (none, or older than half_s). */
const struct tls_ticket_key *tls_ticket_current(
    const struct tlsproxy_tickets *, int64_t now_s, int64_t half_s);
/* The key of that name, if it may still decrypt (not older than twice half_s). */
const struct tls_ticket_key *tls_ticket_find(
    const struct tlsproxy_tickets *, const uint8_t name[16], int64_t now_s, int64_t half_s);

/* The configuration. Immutable after the load but for what tlsproxy_conf_changed() has seen. */
struct tls_blob {
	char *p; /* NUL-terminated for convenience */
	size_t len;
};
struct tls_identity {
	char *name;              /* "", "host.example" or ".example" (its subdomains) */
	char *cert_file, *key_file;
	struct span key;         /* PEM, in the vault */
	struct tls_blob certs;   /* PEM, leaf first */
};
struct tls_file {
	char *path;
	uint64_t stamp; /* hash of what stat(2) says; 0: absent */
};
struct tls_cert_row {
	struct tlsproxy_cert cert;
	char *subject, *key;
};
struct tlsproxy_conf {
	enum tlsproxy_level level;
	bool ready;

	unsigned protocols;
	char *cipher_list, *groups;
	uint64_t options, options_off; /* SSL_OP_ bits to set, then to clear */
	bool anonymous_only, ask_cert, require_cert, session_ids, wait_close;
	int verify_depth;
	char *digest;        /* of fingerprints */
	char *ticket_cipher; /* "": no tickets */
	int64_t ticket_half_s;
	char *config_file, *config_name; /* of the OpenSSL library; "" its defaults */
	bool default_ca, dh_auto, trust_server_certs;
	int64_t expiry_warning_s;

	unsigned log_features;
	struct table_list *log_maps;

	int64_t handshake_us[2]; /* under stress: [1] */
	int64_t stall_us, watchdog_s;

	struct tls_vault *vault;
	struct tls_identity *ids;
	size_t id_count;
	struct tls_blob ca, dh;
	size_t ca_named; /* so much of ca comes from CAfile: the names sent to clients */
	struct tls_file *files;
	size_t file_count;
	uint64_t seen, pending;
	struct tls_cert_row *certs;
	size_t cert_count;
};

/*
 * sni.c: tls_server_sni_maps. Every entry of every table; of a name that is there twice the first. name is
 * valid and lower case, "host" or ".domain". text is a list of files, and source null; or, from a database
 * that holds the chains themselves (postmap -F), PEM in the vault, and source what to call it. All calls
 * come before the return; those with PEM come first and may keep parts of it, the rest is wiped.
 */
struct tls_sni_calls {
	void (*entry)(void *arg, const char *name, const char *source, struct span text);
	void (*file)(void *arg, const char *path); /* what a table is read from */
	void (*complain)(void *arg, enum diag_level, const char *text);
};
void tls_sni_load(struct tls_vault *, const char *maps, const struct tls_sni_calls *, void *arg);
/* The PEM text behind base64, in place of it; false if it is none. Exported for tests. */
bool tls_sni_decode(struct span base64, struct buf *out);

/* files.c. Errors go to diag; the files are remembered for tlsproxy_conf_changed(). */
void tls_files_load(struct tlsproxy_conf *, const struct rules *, struct diag *);
void tls_files_free(struct tlsproxy_conf *);

/*
 * conf.c. Which parameter counts: the screen's if set, else tlsproxy's if set, else smtpd's (the
 * screen's default).
 */
enum tls_setting {
#define SETTING(name) TLS_SET_##name,
#include "tlsproxy/settings.tbl"
#undef SETTING
	TLS_SETTINGS
};
enum param tls_setting_param(const struct rules *, enum tls_setting);
/* diag_add() at the place where the parameter was set, beginning with its name. */
void tls_complain(struct diag *, enum diag_level, const struct rules *, enum param, const char *format,
    ...) __attribute__((format(printf, 5, 6)));

/* "... expires in 3 days", or false if there is time. */
bool tls_expiry_text(const struct tlsproxy_conf *, const struct tlsproxy_cert *, int64_t now_s,
    struct buf *out);

/*
 * Where OpenSSL is needed at load (certs.c, context.c; none.c without it). tls_options_load: the names in
 * tls_ssl_options, tls_disable_workarounds, curves, digest, ticket cipher. tls_certs_load: what the
 * certificates say, with its complaints. tls_contexts_check: builds the contexts in a child, so that
 * keys are decoded there only, and brings its complaints back.
 */
bool tls_available(void);
void tls_default_ca(const char **file, const char **folder);
void tls_options_load(struct tlsproxy_conf *, const struct rules *, struct diag *);
void tls_certs_load(struct tlsproxy_conf *, int64_t now_s, struct diag *);
void tls_contexts_check(const struct tlsproxy_conf *, struct diag *);

#endif
