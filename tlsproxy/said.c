#include "config.h"

#include <string.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "tlsproxy/crypto.h"

#define LOG_PROGRAM "tlsproxy"

void
tls_said_errors(struct log_limit *limit, int64_t now_us)
{
	const char *file, *function, *data;
	int line, flags;
	unsigned long code;
	unsigned held = 0;
	bool allowed = ERR_peek_error() != 0 && log_allowed(limit, now_us, &held);

	while ((code = ERR_get_error_all(&file, &line, &function, &data, &flags)) != 0) {
		char error[256], array[200];
		struct buf text = BUF(array);
		if (!allowed)
			continue;
		ERR_error_string_n(code, error, sizeof error);
		if (flags & ERR_TXT_STRING)
			buf_escape(&text, span_of(data), 150);
		log_warning("TLS library problem: %s:%s:%d:%s:", error, file, line, text.p);
	}
}

/* Names of persons and companies in certificates: only printable ASCII leaves the room. */
static void
name_entry(X509_NAME *name, int nid, char *out, size_t size)
{
	struct buf text = buf_over(out, size);
	int at = X509_NAME_get_index_by_NID(name, nid, -1);
	unsigned char *utf8 = NULL;

	if (at < 0)
		return;
	int len =
	    ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (len > 0)
		buf_printable(&text, (struct span){ (char *)utf8, (size_t)len });
	OPENSSL_free(utf8);
}

static void
hex_colons(const unsigned char *digest, unsigned len, char *out, size_t size)
{
	struct buf text = buf_over(out, size);

	for (unsigned i = 0; i < len; i++)
		buf_printf(&text, "%s%02X", i > 0 ? ":" : "", digest[i]);
}

static void
fingerprints(X509 *cert, const char *digest_name, struct tls_facts *out)
{
	const EVP_MD *digest_type = EVP_get_digestbyname(digest_name);
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned len = 0;

	if (digest_type == NULL)
		return;
	if (X509_digest(cert, digest_type, digest, &len) == 1)
		hex_colons(digest, len, out->fingerprint, sizeof out->fingerprint);
	int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	if (der_len > 0 && EVP_Digest(der, (size_t)der_len, digest, &len, digest_type, NULL) == 1)
		hex_colons(digest, len, out->key_fingerprint, sizeof out->key_fingerprint);
	OPENSSL_free(der);
}

static void
cert_facts(SSL *ssl, const struct tlsproxy_conf *conf, struct tls_facts *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (cert == NULL)
		return;
	out->client_cert =
	    SSL_get_verify_result(ssl) == X509_V_OK ? TLS_CERT_TRUSTED : TLS_CERT_UNTRUSTED;
	name_entry(
	    X509_get_subject_name(cert), NID_commonName, out->client_cn, sizeof out->client_cn);
	name_entry(
	    X509_get_issuer_name(cert), NID_commonName, out->issuer_cn, sizeof out->issuer_cn);
	if (out->issuer_cn[0] == '\0')
		name_entry(X509_get_issuer_name(cert), NID_organizationName, out->issuer_cn,
		    sizeof out->issuer_cn);
	fingerprints(cert, conf->digest, out);
}

static void
put_text(char *out, size_t size, const char *text)
{
	struct buf b = buf_over(out, size);

	buf_printable(&b, span_of(text));
}

void
tls_said_facts(SSL *ssl, const struct bridge_view *view, struct tls_facts *out)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	int bits_max = 0;

	memset(out, 0, sizeof *out);
	out->outcome = TLS_OK;
	out->resumed = SSL_session_reused(ssl) == 1;
	put_text(out->protocol, sizeof out->protocol, SSL_get_version(ssl));
	put_text(out->cipher, sizeof out->cipher, SSL_CIPHER_get_name(cipher));
	out->bits = (uint16_t)SSL_CIPHER_get_bits(cipher, &bits_max);
	out->bits_max = (uint16_t)bits_max;
	put_text(out->sni, sizeof out->sni, view->sni);
	out->sni_matched = view->sni_matched;
	cert_facts(ssl, view->contexts->conf, out);
}

/* The summary line, word for word as Postfix writes it. */
static void
put_exchange(struct buf *line, SSL *ssl)
{
	EVP_PKEY *key = NULL;
	char group[80] = "";

	if (SSL_get_peer_tmp_key(ssl, &key) != 1)
		return;
	if (EVP_PKEY_is_a(key, "EC")) {
		(void)EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
		buf_printf(line, " key-exchange ECDHE (%s)", group);
	} else if (EVP_PKEY_is_a(key, "DH")) {
		buf_printf(line, " key-exchange DHE (%d bits)", EVP_PKEY_get_bits(key));
	} else {
		buf_printf(line, " key-exchange %s", EVP_PKEY_get0_type_name(key));
	}
	EVP_PKEY_free(key);
}

static void
put_signature(struct buf *line, const char *whose, EVP_PKEY *key, int type_nid, int digest_nid)
{
	char group[80] = "";

	if (key == NULL)
		return;
	if (EVP_PKEY_is_a(key, "EC")) {
		(void)EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
		buf_printf(line, " %s-signature ECDSA (%s)", whose, group);
	} else if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
		buf_printf(line, " %s-signature %s (%d bits)", whose,
		    type_nid == NID_rsassaPss || type_nid == EVP_PKEY_RSA_PSS ? "RSA-PSS" : "RSA",
		    EVP_PKEY_get_bits(key));
	} else {
		buf_printf(line, " %s-signature %s", whose, EVP_PKEY_get0_type_name(key));
	}
	if (digest_nid != NID_undef)
		buf_printf(line, " %s-digest %s", whose, OBJ_nid2sn(digest_nid));
}

static void
put_details(struct buf *line, SSL *ssl)
{
	int type = NID_undef, digest = NID_undef;
	X509 *peer = SSL_get0_peer_certificate(ssl);

	put_exchange(line, ssl);
	if (SSL_session_reused(ssl))
		return;
	if (SSL_get_signature_type_nid(ssl, &type) == 1) {
		(void)SSL_get_signature_nid(ssl, &digest);
		put_signature(line, "server", SSL_get_privatekey(ssl), type, digest);
	}
	type = digest = NID_undef;
	if (peer != NULL && SSL_get_peer_signature_type_nid(ssl, &type) == 1) {
		(void)SSL_get_peer_signature_nid(ssl, &digest);
		put_signature(line, "client", X509_get0_pubkey(peer), type, digest);
	}
}

static void
say_summary(SSL *ssl, const struct bridge_view *view, const struct tls_facts *facts)
{
	static const char *const words[] = { [TLS_CERT_NONE] = "Anonymous",
		[TLS_CERT_UNTRUSTED] = "Untrusted",
		[TLS_CERT_TRUSTED] = "Trusted" };
	char array[900];
	struct buf line = BUF(array);

	buf_printf(&line,
	    "%s TLS connection established from %s%s%s: %s with cipher %s (%d/%d bits)",
	    words[facts->client_cert], view->peer, facts->sni_matched ? " to " : "",
	    facts->sni_matched ? facts->sni : "", facts->protocol, facts->cipher, facts->bits,
	    facts->bits_max);
	if (SSL_version(ssl) >= TLS1_3_VERSION)
		put_details(&line, ssl);
	log_info("%s", line.p);
}

static void
say_name(const char *label, X509_NAME *name)
{
	char oneline[400], array[450];
	struct buf text = BUF(array);

	X509_NAME_oneline(name, oneline, sizeof oneline);
	buf_printable(&text, span_of(oneline));
	log_info("%s=%s", label, text.p);
}

void
tls_said_handshake(SSL *ssl, const struct bridge_view *view, const struct tls_facts *facts)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (facts->resumed && (view->features & TLS_LOG_CACHE))
		log_info("%s: Reusing old session (RFC 5077 session ticket)", view->peer);
	if (facts->resumed && facts->client_cert == TLS_CERT_UNTRUSTED &&
	    (view->features & TLS_LOG_UNTRUSTED))
		log_info("%s: re-using session with untrusted certificate, look for details "
			 "earlier in the log",
		    view->peer);
	if (cert != NULL && (view->features & TLS_LOG_VERBOSE)) {
		say_name("subject", X509_get_subject_name(cert));
		say_name("issuer", X509_get_issuer_name(cert));
	}
	if (cert != NULL && (view->features & TLS_LOG_PEERCERT))
		log_info("%s: subject_CN=%s, issuer=%s, cert fingerprint=%s, pkey fingerprint=%s",
		    view->peer, facts->client_cn, facts->issuer_cn, facts->fingerprint,
		    facts->key_fingerprint);
	if (view->features & TLS_LOG_SUMMARY)
		say_summary(ssl, view, facts);
}

/* Level 2: states and alerts. */
static void
on_info(const SSL *ssl, int where, int value)
{
	if (where & SSL_CB_ALERT)
		log_info("SSL3 alert %s:%s:%s", where & SSL_CB_READ ? "read" : "write",
		    SSL_alert_type_string_long(value), SSL_alert_desc_string_long(value));
	else if (where & SSL_CB_LOOP)
		log_info("SSL_accept:%s", SSL_state_string_long(ssl));
	else if ((where & SSL_CB_EXIT) && value == 0)
		log_info("SSL_accept:failed in %s", SSL_state_string_long(ssl));
	else if ((where & SSL_CB_EXIT) && value < 0 && SSL_want(ssl) == SSL_NOTHING)
		log_info("SSL_accept:error in %s", SSL_state_string_long(ssl));
}

/* Levels 3 and 4: what goes over the wire, sixteen bytes a line. */
static void
dump(const unsigned char *p, size_t len)
{
	for (size_t at = 0; at < len; at += 16) {
		char array[100];
		struct buf line = BUF(array);
		size_t n = len - at < 16 ? len - at : 16;
		buf_printf(&line, "%04zx ", at);
		for (size_t i = 0; i < 16; i++)
			if (i < n)
				buf_printf(&line, "%02x%s", p[at + i], i == 7 ? "-" : " ");
			else
				buf_puts(&line, "   ");
		for (size_t i = 0; i < n; i++)
			buf_putc(
			    &line, p[at + i] > ' ' && p[at + i] <= '~' ? (char)p[at + i] : '.');
		log_info("%s", line.p);
	}
}

static long
on_bytes(
    BIO *bio, int op, const char *bytes, size_t len, int argi, long argl, int ret, size_t *done)
{
	(void)argi, (void)argl, (void)len;
	if (op != (BIO_CB_READ | BIO_CB_RETURN) && op != (BIO_CB_WRITE | BIO_CB_RETURN))
		return ret;
	if (ret > 0 && done != NULL) {
		log_info("%s %p [%p] (%zu bytes => %d)",
		    op == (BIO_CB_WRITE | BIO_CB_RETURN) ? "write to" : "read from", (void *)bio,
		    (const void *)bytes, len, (int)*done);
		dump((const unsigned char *)bytes, *done);
	}
	return ret;
}

void
tls_said_hooks(SSL *ssl, struct bridge_view *view)
{
	if (view->features & TLS_LOG_VERBOSE) {
		log_info("setting up TLS connection from %s", view->peer);
		log_info(
		    "%s: TLS cipher list \"%s\"", view->peer, view->contexts->conf->cipher_list);
	}
	if (view->features & TLS_LOG_STATE)
		SSL_set_info_callback(ssl, on_info);
	if (view->features & (TLS_LOG_HANDSHAKE_DUMP | TLS_LOG_SESSION_DUMP)) {
		BIO_set_callback_ex(SSL_get_rbio(ssl), on_bytes);
		view->dumped = true;
	}
}
