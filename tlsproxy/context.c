#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "tlsproxy/crypto.h"

static void say(struct tls_contexts *c, enum diag_level level, const char *file, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

static void
say(struct tls_contexts *c, enum diag_level level, const char *file, const char *format, ...)
{
	char array[900];
	struct buf text = BUF(array);
	va_list ap;

	va_start(ap, format);
	buf_vprintf(&text, format, ap);
	va_end(ap);
	if (level == DIAG_ERROR)
		c->failed = true;
	c->say(c->say_arg, level, file, text.p);
}

static void
say_library(struct tls_contexts *c, const char *file, const char *what)
{
	char array[300];
	struct buf text = BUF(array);

	tls_library_text(&text);
	say(c, DIAG_ERROR, file, "%s: %s", what, text.p);
}

/* Session tickets, RFC 5077: the key's name, then what it encrypts, under HMAC-SHA256. */
static bool
ticket_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
		    OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, sizeof key->hmac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "sha256" }, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static void
say_ticket(const struct bridge_view *view, const char *what, const struct tls_ticket_key *key,
    int64_t half_s)
{
	if (view->features & TLS_LOG_CACHE)
		log_line(LOG_LEVEL_INFO, "tlsproxy", "%s: %s session ticket, key expiration: %ld",
		    view->peer, what, (long)(key->made_at + 2 * half_s));
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int encrypt)
{
	const struct bridge_view *view = SSL_get_app_data(ssl);
	struct tls_contexts *c = view->contexts;
	int64_t now_s = loop_wall_s(c->loop), half_s = c->conf->ticket_half_s;
	const struct tls_ticket_key *current = tls_ticket_current(c->tickets, now_s, half_s);

	if (encrypt) {
		if (current == NULL ||
		    RAND_bytes(iv, EVP_CIPHER_get_iv_length(c->ticket_cipher)) != 1)
			return 0;
		memcpy(name, current->name, sizeof current->name);
		say_ticket(view, "Issuing", current, half_s);
		return EVP_EncryptInit_ex2(cipher, c->ticket_cipher, current->aes, iv, NULL) == 1 &&
			       ticket_mac(mac, current)
			   ? 1
			   : -1;
	}
	const struct tls_ticket_key *key = tls_ticket_find(c->tickets, name, now_s, half_s);
	if (key == NULL)
		return 0; /* a full handshake */
	say_ticket(view, "Decrypting", key, half_s);
	if (!ticket_mac(mac, key) ||
	    EVP_DecryptInit_ex2(cipher, c->ticket_cipher, key->aes, iv, NULL) != 1)
		return -1;
	return key == current ? 1 : 2; /* 2: and send a new one */
}

/* Server name indication, RFC 6066 section 3. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_contexts *c = arg;
	struct bridge_view *view = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char valid[256];

	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	if (!tls_name_valid(span_of(name), valid)) {
		char array[300];
		struct buf text = BUF(array);
		buf_escape(&text, span_of(name), 256);
		log_line(LOG_LEVEL_WARNING, "tlsproxy", "TLS SNI from %s is invalid: %s",
		    view->peer, text.p);
		return SSL_TLSEXT_ERR_NOACK;
	}
	if (view->sni[0] != '\0' && strcmp(view->sni, valid) != 0) {
		log_line(LOG_LEVEL_WARNING, "tlsproxy",
		    "TLS SNI changed from %s initially %s, %s after hello retry", view->peer,
		    view->sni, valid);
		*alert = SSL_AD_ILLEGAL_PARAMETER;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	memcpy(view->sni, valid, strlen(valid) + 1);
	SSL_CTX *ctx = tls_contexts_find(c, view->sni);
	view->sni_matched = ctx != NULL;
	if (ctx != NULL) {
		SSL_set_SSL_CTX(ssl, ctx);
		return SSL_TLSEXT_ERR_OK;
	}
	if (c->count > 0 && (view->features & TLS_LOG_VERBOSE))
		log_line(LOG_LEVEL_INFO, "tlsproxy",
		    "TLS SNI %s from %s not matched, using default chain", view->sni, view->peer);
	return SSL_TLSEXT_ERR_NOACK;
}

/*
 * Any certificate will do unless one is required: what the chain is worth is a fact to report, not
 * a reason to end the session. fail open
 */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct bridge_view *view = SSL_get_app_data(ssl);

	if (!ok && (view->features & TLS_LOG_UNTRUSTED))
		log_line(LOG_LEVEL_INFO, "tlsproxy",
		    "certificate verification failed for %s: num=%d:%s", view->peer,
		    X509_STORE_CTX_get_error(store),
		    X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
	return view->contexts->conf->require_cert ? ok : 1; /* fail closed if required */
}

/* Contexts. */
static const struct {
	unsigned bit;
	int version;
	uint64_t off;
} library_versions[] = {
	{ TLS_V_SSL3, SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ TLS_V_1_0, TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ TLS_V_1_1, TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ TLS_V_1_2, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ TLS_V_1_3, TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};

static void
set_protocols(SSL_CTX *ctx, unsigned protocols)
{
	int low = 0, high = 0;

	for (size_t i = 0; i < sizeof library_versions / sizeof library_versions[0]; i++) {
		if ((protocols & library_versions[i].bit) == 0) {
			SSL_CTX_set_options(ctx, library_versions[i].off);
			continue;
		}
		SSL_CTX_clear_options(ctx, library_versions[i].off);
		low = low == 0 ? library_versions[i].version : low;
		high = library_versions[i].version;
	}
	SSL_CTX_set_min_proto_version(ctx, low);
	SSL_CTX_set_max_proto_version(ctx, high);
}

static void
set_options(SSL_CTX *ctx, const struct tlsproxy_conf *conf)
{
	SSL_CTX_set_options(ctx, SSL_OP_ALL);
	SSL_CTX_clear_options(ctx, conf->options_off);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				     SSL_OP_IGNORE_UNEXPECTED_EOF | conf->options);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* The lists of ciphers decide, not the library's idea of a level. */
	SSL_CTX_set_security_level(ctx, 0);
}

static void
set_sessions(SSL_CTX *ctx, struct tls_contexts *c)
{
	static const char label[] = "gatehouse:" TLS_SERVICE;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	EVP_Digest(label, sizeof label - 1, digest, &len, EVP_sha256(), NULL);
	SSL_CTX_set_session_id_context(ctx, digest, len);
	SSL_CTX_set_session_cache_mode(ctx,
	    c->conf->session_ids
		? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR
		: SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, c->conf->ticket_half_s > 0 ? 4 * c->conf->ticket_half_s : 3600);
	/* Where the library is told not to use them it would still send TLS 1.3 clients some that are void. */
	if (c->ticket_cipher == NULL || c->tickets == NULL ||
	    (c->conf->options & SSL_OP_NO_TICKET)) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
		return;
	}
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}

/* RFC 7919. The library's own choice is of RFC 3526, and of 1024 bits where nobody has a certificate. */
static EVP_PKEY *
builtin_dh(void)
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(
				    OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "ffdhe2048" }, 0),
		OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *generator = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *dh = NULL;

	if (generator != NULL && EVP_PKEY_paramgen_init(generator) == 1 &&
	    EVP_PKEY_CTX_set_params(generator, params) == 1)
		(void)EVP_PKEY_generate(generator, &dh);
	EVP_PKEY_CTX_free(generator);
	return dh;
}

static EVP_PKEY *
written_dh(const struct tls_blob *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->len);
	EVP_PKEY *dh = PEM_read_bio_Parameters(bio, NULL);

	BIO_free(bio);
	return dh;
}

static void
set_dh(SSL_CTX *ctx, struct tls_contexts *c)
{
	const struct tlsproxy_conf *conf = c->conf;

	if (!conf->dh_auto && conf->dh.len == 0)
		return; /* none */
	EVP_PKEY *dh = conf->dh_auto ? builtin_dh() : written_dh(&conf->dh);
	if (dh == NULL || SSL_CTX_set0_tmp_dh_pkey(ctx, dh) != 1) {
		EVP_PKEY_free(dh);
		say_library(c, NULL, "smtpd_tls_dh1024_param_file");
	}
}

static void
set_client_certs(SSL_CTX *ctx, struct tls_contexts *c)
{
	const struct tlsproxy_conf *conf = c->conf;
	struct tls_blob named = { conf->ca.p, conf->ca_named };
	bool bad;

	SSL_CTX_set1_cert_store(ctx, c->store);
	if (!conf->ask_cert)
		return;
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE |
		(conf->require_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    on_verify);
	SSL_CTX_set_verify_depth(ctx, conf->verify_depth);
	if (conf->trust_server_certs)
		SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
	STACK_OF(X509) *cas = tls_certs_parse(&named, &bad);
	for (int i = 0; i < sk_X509_num(cas); i++)
		SSL_CTX_add_client_CA(ctx, sk_X509_value(cas, i));
	sk_X509_pop_free(cas, X509_free);
}

static SSL_CTX *
new_context(struct tls_contexts *c)
{
	const struct tlsproxy_conf *conf = c->conf;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		say_library(c, NULL, "cannot allocate server SSL_CTX: disabling TLS support");
		return NULL;
	}
	set_options(ctx, conf);
	set_protocols(ctx, conf->protocols);
	if (SSL_CTX_set_cipher_list(ctx, conf->cipher_list) != 1)
		say_library(c, NULL, "the cipher grade and the exclusions leave no cipher");
	if (conf->groups[0] != '\0' && SSL_CTX_set1_groups_list(ctx, conf->groups) != 1)
		say_library(c, NULL, "key exchange groups");
	set_sessions(ctx, c);
	set_dh(ctx, c);
	set_client_certs(ctx, c);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, c);
	return ctx;
}

/* Identities. */
static int
no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return -1; /* never ask at the terminal */
}

static EVP_PKEY *
decode_key(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	BIO_free(bio);
	return key;
}

static void
say_mismatch(
    struct tls_contexts *c, const struct tls_identity *id, STACK_OF(X509) * certs, EVP_PKEY *key)
{
	for (int i = 1; i < sk_X509_num(certs); i++)
		if (X509_check_private_key(sk_X509_value(certs, i), key) == 1) {
			say(c, DIAG_ERROR, id->cert_file,
			    "the private key in %s belongs to certificate %d, not to the first "
			    "one: write the "
			    "server's own certificate first",
			    id->key_file, i + 1);
			return;
		}
	say(c, DIAG_ERROR, id->cert_file,
	    "the private key in %s does not belong to this certificate", id->key_file);
}

#define RSA_BITS_MIN 2048
static void
use_identity(struct tls_contexts *c, SSL_CTX *ctx, const struct tls_identity *id,
    STACK_OF(X509) * certs, EVP_PKEY *key)
{
	X509 *leaf = sk_X509_value(certs, 0);
	char array[80];
	struct buf kind = BUF(array);

	if (X509_check_private_key(leaf, key) != 1) {
		say_mismatch(c, id, certs, key);
		return;
	}
	tls_key_text(key, &kind);
	if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
		say(c, DIAG_WARNING, id->cert_file, "a key of %s bits is weak: use 2048 or more",
		    kind.p);
	STACK_OF(X509) *chain = sk_X509_dup(certs);
	(void)sk_X509_shift(chain);
	/* 0: not in place of one of the same type. */
	if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 0) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_NOT_REPLACING_CERTIFICATE)
			say(c, DIAG_ERROR, id->cert_file,
			    "a second certificate of the kind %s%s%s: remove one of them", kind.p,
			    id->name[0] != '\0' ? " for " : "", id->name);
		else
			say_library(c, id->cert_file, "this certificate cannot be used");
	} else if (sk_X509_num(chain) == 0) {
		/* Only now, not in each handshake: what is missing may be among the CAs. */
		(void)SSL_CTX_build_cert_chain(ctx, SSL_BUILD_CHAIN_FLAG_NO_ROOT |
							SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
							SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR);
	}
	sk_X509_free(chain);
}

static void
add_identity(struct tls_contexts *c, SSL_CTX *ctx, const struct tls_identity *id)
{
	bool bad;
	STACK_OF(X509) *certs = tls_certs_parse(&id->certs, &bad);
	EVP_PKEY *key = decode_key(id->key);

	if (key == NULL)
		say_library(c, id->key_file, "the private key cannot be decoded");
	else if (sk_X509_num(certs) > 0)
		use_identity(c, ctx, id, certs, key);
	ERR_clear_error();
	EVP_PKEY_free(key);
	sk_X509_pop_free(certs, X509_free);
}

static SSL_CTX *
context_for(struct tls_contexts *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->named[i].name, name) == 0)
			return c->named[i].ctx;
	SSL_CTX *ctx = new_context(c);
	if (ctx != NULL)
		c->named[c->count++] = (struct tls_named){ name, ctx };
	return ctx;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct tls_named *)a)->name, ((const struct tls_named *)b)->name);
}

static void
add_identities(struct tls_contexts *c)
{
	const struct tlsproxy_conf *conf = c->conf;

	c->named = mem_array(conf->id_count, sizeof *c->named);
	for (size_t i = 0; i < conf->id_count; i++) {
		const struct tls_identity *id = &conf->ids[i];
		if (id->certs.len == 0 || id->key.len == 0)
			continue; /* complained about when it was read */
		SSL_CTX *ctx = id->name[0] == '\0' ? c->base : context_for(c, id->name);
		if (ctx != NULL)
			add_identity(c, ctx, id);
	}
	SSL_CTX_set_mode(c->base, SSL_MODE_NO_AUTO_CHAIN);
	for (size_t i = 0; i < c->count; i++)
		SSL_CTX_set_mode(c->named[i].ctx, SSL_MODE_NO_AUTO_CHAIN);
	qsort(c->named, c->count, sizeof *c->named, by_name);
}

static void
load_store(struct tls_contexts *c)
{
	bool bad;
	STACK_OF(X509) *cas = tls_certs_parse(&c->conf->ca, &bad);

	if (bad)
		say(c, DIAG_ERROR, NULL, "CA certificate %d of CAfile and CApath cannot be decoded",
		    sk_X509_num(cas) + 1);
	c->store = X509_STORE_new();
	for (int i = 0; i < sk_X509_num(cas); i++)
		X509_STORE_add_cert(c->store, sk_X509_value(cas, i));
	sk_X509_pop_free(cas, X509_free);
	ERR_clear_error();
}

struct tls_contexts *
tls_contexts_new(const struct tlsproxy_conf *conf, const struct tlsproxy_tickets *tickets,
    struct loop *loop, tls_say *say_fn, void *say_arg)
{
	struct tls_contexts *c = mem_alloc(sizeof *c);
	char array[300];
	struct buf why = BUF(array);

	c->conf = conf;
	c->tickets = tickets;
	c->loop = loop;
	c->say = say_fn;
	c->say_arg = say_arg;
	tls_library_init();
	if (!tls_library_config(conf, &why))
		say(c, DIAG_ERROR, NULL, "tls_config_file %s: %s", conf->config_file, why.p);
	if (conf->ticket_cipher[0] != '\0')
		c->ticket_cipher = EVP_CIPHER_fetch(NULL, conf->ticket_cipher, NULL);
	load_store(c);
	c->base = new_context(c);
	if (c->base != NULL)
		add_identities(c);
	if (c->failed)
		tls_contexts_free(&c);
	return c;
}

void
tls_contexts_free(struct tls_contexts **cp)
{
	struct tls_contexts *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < c->count; i++)
		SSL_CTX_free(c->named[i].ctx);
	free(c->named);
	SSL_CTX_free(c->base);
	X509_STORE_free(c->store);
	EVP_CIPHER_free(c->ticket_cipher);
	free(c);
	*cp = NULL;
}

SSL_CTX *
tls_contexts_find(const struct tls_contexts *c, const char *name)
{
	for (const char *p = name; p != NULL && c->count > 0; p = strchr(p + 1, '.')) {
		struct tls_named key = { p, NULL };
		const struct tls_named *found =
		    bsearch(&key, c->named, c->count, sizeof key, by_name);
		if (found != NULL)
			return found->ctx;
	}
	return NULL;
}

/*
 * The check at load. Keys are decoded in a child only: each complaint comes back as level, file,
 * NUL, text, NUL; the last byte says that the child got to its end.
 */
#define CHECK_DONE '.'
#define REPORT_MAX (1 << 20)

static void
send_complaint(void *arg, enum diag_level level, const char *file, const char *text)
{
	char array[1600];
	struct buf report = BUF(array);
	const int *fd = arg;

	buf_putc(&report, (char)('0' + level));
	buf_puts(&report, file != NULL ? file : "");
	buf_putc(&report, '\0');
	buf_puts(&report, text);
	buf_putc(&report, '\0');
	ssize_t written = write(*fd, report.p, report.len);
	(void)written;
}

static void __attribute__((noreturn)) check_in_child(const struct tlsproxy_conf *conf, int fd)
{
	struct tls_contexts *c = tls_contexts_new(conf, NULL, NULL, send_complaint, &fd);

	tls_contexts_free(&c);
	tls_vault_drop(conf->vault);
	_exit(write(fd, (char[]){ CHECK_DONE }, 1) == 1 ? 0 : 1);
}

static void
take_report(const char *p, size_t len, struct diag *diag)
{
	const char *end = p + len;

	while (p < end && *p != CHECK_DONE) {
		enum diag_level level = (enum diag_level)(*p++ - '0');
		size_t file = strnlen(p, (size_t)(end - p));
		if (p + file == end)
			break;
		const char *text = p + file + 1;
		size_t text_len = strnlen(text, (size_t)(end - text));
		diag_add(diag, level, file > 0 ? p : NULL, 0, "%.*s", (int)text_len, text);
		p = text + text_len + (text + text_len < end);
	}
	if (p >= end)
		diag_add(diag, DIAG_ERROR, NULL, 0,
		    "the check of certificates and keys ended early: see the log");
}

static size_t
read_report(int fd, char *out)
{
	size_t len = 0;
	ssize_t n;

	while (len < REPORT_MAX &&
	       ((n = read(fd, out + len, REPORT_MAX - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	return len;
}

void
tls_contexts_check(const struct tlsproxy_conf *conf, struct diag *diag)
{
	int pair[2];

	if (pipe(pair) != 0) {
		diag_add(diag, DIAG_ERROR, NULL, 0, "pipe: %s", strerror(errno));
		return;
	}
	pid_t pid = tlsproxy_fork(conf, NULL);
	if (pid == 0) {
		close(pair[0]);
		check_in_child(conf, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		diag_add(diag, DIAG_ERROR, NULL, 0, "fork: %s", strerror(errno));
	} else {
		char *report = mem_alloc(REPORT_MAX);
		take_report(report, read_report(pair[0], report), diag);
		free(report);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
}
