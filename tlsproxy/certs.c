#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tlsproxy/crypto.h"

bool
tls_available(void)
{
	return true;
}

void
tls_default_ca(const char **file, const char **folder)
{
	*file = X509_get_default_cert_file();
	*folder = X509_get_default_cert_dir();
}

void
tls_library_init(void)
{
	tls_blocks_hook();
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

bool
tls_library_config(const struct tlsproxy_conf *conf, struct buf *why)
{
	bool own = conf->config_file[0] == '/';

	if (strcmp(conf->config_file, "none") == 0)
		return true;
	ERR_clear_error();
	if (CONF_modules_load_file(own ? conf->config_file : NULL,
		conf->config_name[0] != '\0' ? conf->config_name : NULL,
		own ? 0 : CONF_MFLAGS_IGNORE_MISSING_FILE | CONF_MFLAGS_DEFAULT_SECTION) > 0)
		return true;
	tls_library_text(why);
	return false;
}

void
tls_library_text(struct buf *out)
{
	char text[256] = "no reason given";
	unsigned long code = ERR_peek_last_error();

	if (code != 0)
		ERR_error_string_n(code, text, sizeof text);
	ERR_clear_error();
	buf_printable(out, span_of(text));
}

/* tls_ssl_options and tls_disable_workarounds: names, or a mask. */
struct bit_name {
	const char *name;
	uint64_t bit;
};
static const struct bit_name options[] = {
	{ "NO_TICKET", SSL_OP_NO_TICKET },
	{ "NO_COMPRESSION", SSL_OP_NO_COMPRESSION },
	{ "NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION },
	{ "NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION },
	{ "PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA },
	{ "ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT },
	{ "NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC },
	{ "NO_EXTENDED_MASTER_SECRET", SSL_OP_NO_EXTENDED_MASTER_SECRET },
	{ "LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT },
	{ "ENABLE_KTLS",
	    0 }, /* the kernel part needs the keys of the socket's owner: without effect */
	{ NULL, 0 },
};
static const struct bit_name workarounds[] = {
	{ "CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG },
	{ "DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS },
	{ "LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT },
	{ "TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING },
	{ "TLS_ROLLBACK_BUG", SSL_OP_TLS_ROLLBACK_BUG },
	/* Gone from the library. */
	{ "CVE-2005-2969", 0 },
	{ "CVE-2010-4180", 0 },
	{ "MICROSOFT_BIG_SSLV3_BUFFER", 0 },
	{ "MICROSOFT_SESS_ID_BUG", 0 },
	{ "MSIE_SSLV2_RSA_PADDING", 0 },
	{ "NETSCAPE_CHALLENGE_BUG", 0 },
	{ "NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0 },
	{ "SSLEAY_080_CLIENT_DH_BUG", 0 },
	{ "SSLREF2_REUSE_CERT_TYPE_BUG", 0 },
	{ "TLS_BLOCK_PADDING_BUG", 0 },
	{ "TLS_D5_BUG", 0 },
	{ NULL, 0 },
};

static bool
hex_mask(struct span token, uint64_t *out)
{
	*out = 0;
	if (token.len < 3 || token.len > 18 || token.p[0] != '0' || (token.p[1] | 32) != 'x')
		return false;
	for (size_t i = 2; i < token.len; i++) {
		int digit = OPENSSL_hexchar2int((unsigned char)token.p[i]);
		if (digit < 0)
			return false;
		*out = *out << 4 | (unsigned)digit;
	}
	return true;
}

static uint64_t
load_bits(
    const struct rules *rules, enum param param, const struct bit_name *names, struct diag *diag)
{
	struct span rest = span_of(rules_text(rules, param)), token;
	uint64_t sum = 0, mask;

	while ((token = span_token(&rest, ", \t\r\n")).len > 0) {
		const struct bit_name *n = names;
		while (n->name != NULL && !span_is_nocase(token, n->name))
			n++;
		if (n->name != NULL)
			sum |= n->bit;
		else if (hex_mask(token, &mask))
			sum |= mask;
		else
			tls_complain(diag, DIAG_ERROR, rules, param,
			    "\"%.*s\" is not known: write names such as %s, or 0x and a mask",
			    (int)token.len, token.p, names[0].name);
	}
	return sum;
}

/* Key exchange groups. */
static const struct {
	const char *word;
	enum param curves;
	bool finite_fields; /* tls_ffdhe_auto_groups too */
} eecdh_grades[] = {
	{ "auto", P_tls_eecdh_auto_curves, true },
	{ "strong", P_tls_eecdh_strong_curve, true },
	{ "ultra", P_tls_eecdh_ultra_curve, true },
	{ "none", PARAMS, true },
};

static void
add_group(SSL_CTX *probe, struct buf *groups, struct span name, const struct rules *rules,
    enum param param, struct diag *diag)
{
	char array[64];
	struct buf text = BUF(array);
	bool optional = name.p[0] == '?';

	if (span_is(name, "DEFAULT"))
		name = SPAN("X25519:X448:prime256v1:secp384r1:secp521r1");
	if (optional)
		name = (struct span){ name.p + 1, name.len - 1 };
	buf_putspan(&text, name);
	if (!text.cut && SSL_CTX_set1_groups_list(probe, text.p) == 1)
		buf_printf(groups, "%s%s", groups->len > 0 ? ":" : "", text.p);
	else if (!optional)
		tls_complain(diag, DIAG_WARNING, rules, param,
		    "\"%s\" is not known to this OpenSSL and left out", text.p);
	ERR_clear_error();
}

static void
add_groups(SSL_CTX *probe, struct buf *groups, const struct rules *rules, enum param param,
    struct diag *diag)
{
	struct span rest = span_of(rules_text(rules, param)), token;

	while ((token = span_token(&rest, ", \t\r\n:/")).len > 0)
		add_group(probe, groups, token, rules, param, diag);
}

static void
load_groups(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	enum param param = tls_setting_param(rules, TLS_SET_eecdh_grade);
	const char *text = rules_text(rules, param);
	size_t i = 0, count = sizeof eecdh_grades / sizeof eecdh_grades[0];
	char array[1024];
	struct buf groups = BUF(array);
	SSL_CTX *probe = SSL_CTX_new(TLS_server_method());

	while (i < count && !span_is_nocase(span_of(text), eecdh_grades[i].word))
		i++;
	if (i == count)
		tls_complain(diag, DIAG_ERROR, rules, param,
		    "\"%s\" is not a grade: write auto, strong, ultra or none", text);
	if (i < count && eecdh_grades[i].curves != PARAMS)
		add_groups(probe, &groups, rules, eecdh_grades[i].curves, diag);
	if (i < count && eecdh_grades[i].finite_fields)
		add_groups(probe, &groups, rules, P_tls_ffdhe_auto_groups, diag);
	SSL_CTX_free(probe);
	conf->groups = mem_strdup(groups.p);
}

static void
load_ticket_cipher(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	const char *text = rules_text(rules, P_tls_session_ticket_cipher);
	EVP_CIPHER *cipher = *text != '\0' ? EVP_CIPHER_fetch(NULL, text, NULL) : NULL;
	bool usable = cipher != NULL && EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CBC_MODE &&
		      EVP_CIPHER_get_iv_length(cipher) == 16 &&
		      EVP_CIPHER_get_key_length(cipher) <= 32;

	ERR_clear_error();
	if (*text != '\0' && !usable)
		tls_complain(diag, DIAG_WARNING, rules, P_tls_session_ticket_cipher,
		    "invalid value: %s; session tickets disabled", text);
	conf->ticket_cipher = mem_strdup(usable && conf->ticket_half_s > 0 ? text : "");
	EVP_CIPHER_free(cipher);
}

static void
load_digest(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	enum param param = tls_setting_param(rules, TLS_SET_fingerprint_digest);
	const char *text = rules_text(rules, param);

	if (EVP_get_digestbyname(text) == NULL)
		tls_complain(diag, DIAG_ERROR, rules, param,
		    "\"%s\" is not a digest: write sha256, or another that `openssl list "
		    "-digest-algorithms`"
		    " knows",
		    text);
	conf->digest = mem_strdup(text);
}

void
tls_options_load(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	tls_library_init();
	conf->config_file = mem_strdup(rules_text(rules, P_tls_config_file));
	conf->config_name = mem_strdup(rules_text(rules, P_tls_config_name));
	if (strcmp(conf->config_file, "none") != 0 && strcmp(conf->config_file, "default") != 0 &&
	    conf->config_file[0] != '/')
		tls_complain(diag, DIAG_ERROR, rules, P_tls_config_file,
		    "\"%s\": write default, none or an absolute path", conf->config_file);
	conf->options = load_bits(rules, P_tls_ssl_options, options, diag);
	conf->options_off = load_bits(rules, P_tls_disable_workarounds, workarounds, diag);
	if (rules_flag(rules, P_tls_preempt_cipherlist))
		conf->options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
	load_groups(conf, rules, diag);
	load_ticket_cipher(conf, rules, diag);
	load_digest(conf, rules, diag);
}

/* Certificates. */
STACK_OF(X509) * tls_certs_parse(const struct tls_blob *blob, bool *bad)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	BIO *bio = BIO_new_mem_buf(blob->p != NULL ? blob->p : "", (int)blob->len);

	*bad = false;
	while (!BIO_eof(bio)) {
		X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (cert == NULL) {
			*bad = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
			break;
		}
		sk_X509_push(certs, cert);
	}
	ERR_clear_error();
	BIO_free(bio);
	return certs;
}

void
tls_key_text(EVP_PKEY *key, struct buf *out)
{
	char group[80] = "";

	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1)
		buf_printf(out, "EC %s", group);
	else if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
		buf_printf(out, "RSA %d", EVP_PKEY_get_bits(key));
	else
		buf_puts(
		    out, EVP_PKEY_get0_type_name(key) != NULL ? EVP_PKEY_get0_type_name(key) : "?");
}

static char *
subject_text(const X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes = NULL, array[400];
	struct buf text = BUF(array);

	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
	long len = BIO_get_mem_data(bio, &bytes);
	if (len > 0)
		buf_printable(&text, (struct span){ bytes, (size_t)len });
	BIO_free(bio);
	return mem_strdup(text.p);
}

static int64_t
expiry_of(const X509 *cert)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return timegm(&tm);
}

static void
key_digest(const X509 *cert, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned len = 0;
	struct buf hex = buf_over(out, TLSPROXY_DIGEST_SIZE);
	int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	if (der_len > 0 && EVP_Digest(der, (size_t)der_len, digest, &len, EVP_sha256(), NULL) == 1)
		for (unsigned i = 0; i < len; i++)
			buf_printf(&hex, "%02x", digest[i]);
	OPENSSL_free(der);
}

static void
add_row(struct tlsproxy_conf *conf, const struct tls_identity *id, X509 *cert, unsigned depth)
{
	char array[80];
	struct buf key = BUF(array);

	conf->certs = mem_grow(conf->certs, conf->cert_count + 1, sizeof *conf->certs);
	struct tls_cert_row *row = &conf->certs[conf->cert_count++];
	tls_key_text(X509_get0_pubkey(cert), &key);
	row->subject = subject_text(cert);
	row->key = mem_strdup(key.p);
	row->cert = (struct tlsproxy_cert){ .file = id->cert_file,
		.name = id->name,
		.subject = row->subject,
		.key = row->key,
		.depth = depth,
		.expires_at = expiry_of(cert) };
	key_digest(cert, row->cert.sha256_key);
}

static bool
issued(X509 *issuer, X509 *cert)
{
	return X509_check_issued(issuer, cert) == X509_V_OK &&
	       X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
}

/* Each certificate must have been issued by the next one. */
static void
check_order(const struct tls_identity *id, STACK_OF(X509) * certs, struct diag *diag)
{
	int count = sk_X509_num(certs);

	for (int i = 0; i + 1 < count; i++) {
		int issuer = 0;
		if (issued(sk_X509_value(certs, i + 1), sk_X509_value(certs, i)))
			continue;
		while (issuer < count && (issuer == i || !issued(sk_X509_value(certs, issuer),
							     sk_X509_value(certs, i))))
			issuer++;
		if (issuer < count)
			diag_add(diag, DIAG_ERROR, id->cert_file, 0,
			    "the chain is out of order: certificate %d was issued by certificate "
			    "%d, which must "
			    "be the next one",
			    i + 1, issuer + 1);
		else
			diag_add(diag, DIAG_ERROR, id->cert_file, 0,
			    "the chain is broken: certificate %d was not issued by certificate %d",
			    i + 1, i + 2);
		ERR_clear_error();
		return;
	}
	ERR_clear_error();
}

static void
load_identity(struct tlsproxy_conf *conf, const struct tls_identity *id, struct diag *diag)
{
	bool bad;
	STACK_OF(X509) *certs = tls_certs_parse(&id->certs, &bad);

	if (bad || sk_X509_num(certs) == 0) {
		diag_add(diag, DIAG_ERROR, id->cert_file, 0,
		    "certificate %d cannot be decoded: is the file cut or mixed up?",
		    sk_X509_num(certs) + 1);
	} else {
		check_order(id, certs, diag);
		for (int i = 0; i < sk_X509_num(certs); i++)
			add_row(conf, id, sk_X509_value(certs, i), (unsigned)i);
	}
	sk_X509_pop_free(certs, X509_free);
}

#define DH_BITS_MIN 2048
static void
check_dh(const struct tlsproxy_conf *conf, struct diag *diag)
{
	if (conf->dh.len == 0)
		return;
	BIO *bio = BIO_new_mem_buf(conf->dh.p, (int)conf->dh.len);
	EVP_PKEY *dh = PEM_read_bio_Parameters(bio, NULL);
	if (dh == NULL || !EVP_PKEY_is_a(dh, "DH"))
		diag_add(diag, DIAG_ERROR, NULL, 0,
		    "smtpd_tls_dh1024_param_file: the parameters cannot be decoded: leave it empty "
		    "for the "
		    "built-in groups");
	else if (EVP_PKEY_get_bits(dh) < DH_BITS_MIN)
		diag_add(diag, DIAG_ERROR, NULL, 0,
		    "smtpd_tls_dh1024_param_file: a group of %d bits is too weak (at least %d): "
		    "leave it empty "
		    "for the built-in groups",
		    EVP_PKEY_get_bits(dh), DH_BITS_MIN);
	EVP_PKEY_free(dh);
	BIO_free(bio);
	ERR_clear_error();
}

void
tls_certs_load(struct tlsproxy_conf *conf, int64_t now_s, struct diag *diag)
{
	for (size_t i = 0; i < conf->id_count; i++)
		if (conf->ids[i].certs.len > 0)
			load_identity(conf, &conf->ids[i], diag);
	check_dh(conf, diag);
	for (size_t i = 0; i < conf->cert_count; i++) {
		char array[700];
		struct buf text = BUF(array);
		if (tls_expiry_text(conf, &conf->certs[i].cert, now_s, &text))
			diag_add(diag, DIAG_WARNING, NULL, 0, "%s", text.p);
	}
}
