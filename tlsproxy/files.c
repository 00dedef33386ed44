#include "config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "tlsproxy/inner.h"

#define LIST_SEPARATORS ", \t\r\n"

/* What every step of a load needs. `param`: the parameter that named the file, for complaints. */
struct load {
	struct tlsproxy_conf *conf;
	const struct rules *rules;
	struct diag *diag;
	enum param param;
};

static uint64_t
mix(uint64_t hash, uint64_t n)
{
	hash ^= n;
	hash *= 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static uint64_t
stamp_of(const char *path)
{
	struct stat st;
	uint64_t hash = 1;

	if (stat(path, &st) != 0)
		return 0;
	hash = mix(hash, st.st_dev);
	hash = mix(hash, st.st_ino);
	hash = mix(hash, (uint64_t)st.st_size);
	hash = mix(hash, (uint64_t)st.st_mtim.tv_sec);
	hash = mix(hash, (uint64_t)st.st_mtim.tv_nsec);
	hash = mix(hash, (uint64_t)st.st_ctim.tv_sec);
	return mix(hash, (uint64_t)st.st_ctim.tv_nsec);
}

static void
remember(struct tlsproxy_conf *conf, const char *path)
{
	for (size_t i = 0; i < conf->file_count; i++)
		if (strcmp(conf->files[i].path, path) == 0)
			return;
	conf->files = mem_grow(conf->files, conf->file_count + 1, sizeof *conf->files);
	/* Before it is read: a change in between is then seen as one. */
	conf->files[conf->file_count++] =
	    (struct tls_file){ .path = mem_strdup(path), .stamp = stamp_of(path) };
}

bool
tlsproxy_conf_changed(struct tlsproxy_conf *conf)
{
	uint64_t was = 1, is = 1;

	for (size_t i = 0; i < conf->file_count; i++) {
		was = mix(was, conf->files[i].stamp);
		is = mix(is, stamp_of(conf->files[i].path));
	}
	if (conf->seen == 0)
		conf->seen = was;
	if (is == conf->seen || is != conf->pending) {
		conf->pending = is;
		return false;
	}
	conf->seen = is;
	return true;
}

static void
blob_add(struct tls_blob *blob, struct span bytes)
{
	blob->p = mem_grow(blob->p, blob->len + bytes.len + 1, 1);
	memcpy(blob->p + blob->len, bytes.p, bytes.len);
	blob->len += bytes.len;
	blob->p[blob->len] = '\0';
}

static const char *
setting_text(const struct load *load, enum tls_setting setting)
{
	return rules_text(load->rules, tls_setting_param(load->rules, setting));
}

#define complain(load, level, ...) \
	tls_complain((load)->diag, (level), (load)->rules, (load)->param, __VA_ARGS__)

static bool
read_file(struct load *load, const char *path, struct span *out)
{
	remember(load->conf, path);
	if (tls_vault_read(load->conf->vault, path, out))
		return true;
	complain(load, DIAG_ERROR, "%s: %s", path,
	    errno == EFBIG ? "larger than 1 MB" : strerror(errno));
	return false;
}

/* Identities. */
static struct tls_identity *
add_identity(struct load *load, const char *name, const char *key_file, const char *cert_file)
{
	struct tlsproxy_conf *conf = load->conf;

	conf->ids = mem_grow(conf->ids, conf->id_count + 1, sizeof *conf->ids);
	struct tls_identity *id = &conf->ids[conf->id_count++];
	*id = (struct tls_identity){ .name = mem_strdup(name),
		.key_file = mem_strdup(key_file),
		.cert_file = mem_strdup(cert_file) };
	return id;
}

static bool
refuse_locked(struct load *load, const char *path)
{
	complain(load, DIAG_ERROR,
	    "%s: the private key is protected by a password: write it without (openssl pkey -in "
	    "... -out ...)",
	    path);
	return false;
}

/* One block of a chain file: a key opens an identity, certificates belong to the last one opened.
 */
static bool
take_block(
    struct load *load, const char *name, const char *path, const struct tls_pem *pem, bool *open)
{
	struct tlsproxy_conf *conf = load->conf;
	struct tls_identity *id = *open ? &conf->ids[conf->id_count - 1] : NULL;

	switch (tls_pem_kind(pem)) {
	case TLS_PEM_LOCKED_KEY:
		return refuse_locked(load, path);
	case TLS_PEM_KEY:
		if (id != NULL && id->certs.len == 0) {
			complain(load, DIAG_ERROR,
			    "%s: a second private key before any certificate for the one in %s: "
			    "write each "
			    "key directly before its certificates",
			    path, id->key_file);
			return false;
		}
		id = add_identity(load, name, path, path);
		id->key = tls_vault_keep(conf->vault, pem->block);
		*open = true;
		return true;
	case TLS_PEM_CERT:
		if (id == NULL) {
			complain(load, DIAG_ERROR,
			    "%s: a certificate before its private key: write the key first", path);
			return false;
		}
		if (id->certs.len == 0 && strcmp(id->cert_file, path) != 0) {
			free(id->cert_file);
			id->cert_file = mem_strdup(path);
		}
		blob_add(&id->certs, pem->block);
		return true;
	default:
		return true;
	}
}

/* Keys and certificates in the order of the text, which is in the vault; path is what complaints call it. */
static bool
take_chain(struct load *load, const char *name, const char *path, struct span rest, bool *open)
{
	struct tls_pem pem;
	unsigned blocks = 0;

	while (tls_pem_next(&rest, &pem)) {
		blocks++;
		if (!take_block(load, name, path, &pem, open))
			return false;
	}
	if (blocks == 0)
		complain(load, DIAG_ERROR,
		    "%s: no PEM data: it should hold private keys and certificates", path);
	return blocks > 0;
}

static bool
take_chain_file(struct load *load, const char *name, const char *path, bool *open)
{
	struct span text;

	if (!read_file(load, path, &text))
		return false;
	bool ok = take_chain(load, name, path, text, open);
	tls_vault_wipe(load->conf->vault);
	return ok;
}

static void
end_of_chains(struct load *load, bool open)
{
	const struct tlsproxy_conf *conf = load->conf;

	if (open && conf->ids[conf->id_count - 1].certs.len == 0)
		complain(load, DIAG_ERROR, "%s: no certificate after the private key",
		    conf->ids[conf->id_count - 1].key_file);
}

/* Keys and certificates of one name, from a list of files. */
static void
take_chain_files(struct load *load, const char *name, struct span list)
{
	struct span token;
	bool open = false;

	while ((token = span_token(&list, LIST_SEPARATORS)).len > 0) {
		char *path = mem_strndup(token.p, token.len);
		bool ok = take_chain_file(load, name, path, &open);
		free(path);
		if (!ok)
			return;
	}
	end_of_chains(load, open);
}

/* The pairs of parameters from before chain files. */
static bool
take_certs(struct load *load, struct tls_identity *id)
{
	struct span rest;
	struct tls_pem pem;

	if (!read_file(load, id->cert_file, &rest))
		return false;
	while (tls_pem_next(&rest, &pem))
		if (tls_pem_kind(&pem) == TLS_PEM_CERT)
			blob_add(&id->certs, pem.block);
	tls_vault_wipe(load->conf->vault);
	if (id->certs.len == 0)
		complain(load, DIAG_ERROR, "%s: no certificate in it (PEM format is expected)",
		    id->cert_file);
	return id->certs.len > 0;
}

static bool
take_key(struct load *load, struct tls_identity *id)
{
	struct span rest;
	struct tls_pem pem;

	if (!read_file(load, id->key_file, &rest))
		return false;
	while (id->key.len == 0 && tls_pem_next(&rest, &pem))
		if (tls_pem_kind(&pem) == TLS_PEM_LOCKED_KEY)
			return refuse_locked(load, id->key_file);
		else if (tls_pem_kind(&pem) == TLS_PEM_KEY)
			id->key = tls_vault_keep(load->conf->vault, pem.block);
	tls_vault_wipe(load->conf->vault);
	if (id->key.len == 0)
		complain(load, DIAG_ERROR, "%s: no private key in it (PEM format is expected)",
		    id->key_file);
	return id->key.len > 0;
}

static bool
is_none(const char *text)
{
	return span_is_nocase(span_of(text), "none");
}

static void
take_pair(struct load *load, enum tls_setting cert, enum tls_setting key)
{
	const char *cert_file = setting_text(load, cert), *key_file = setting_text(load, key);

	if (*cert_file == '\0' || is_none(cert_file))
		return;
	if (*key_file == '\0' || is_none(key_file))
		key_file = cert_file;
	struct tls_identity *id = add_identity(load, "", key_file, cert_file);
	load->param = tls_setting_param(load->rules, cert);
	bool ok = take_certs(load, id);
	load->param = tls_setting_param(load->rules, key);
	/* One complaint for one file. */
	if ((!ok && strcmp(cert_file, key_file) == 0) || !take_key(load, id) || !ok)
		id->certs.len = 0; /* complained about; not looked at again */
}

static void
take_default_chain(struct load *load)
{
	const char *chains = setting_text(load, TLS_SET_chain_files);
	const char *rsa = setting_text(load, TLS_SET_cert_file);
	const char *ec = setting_text(load, TLS_SET_eccert_file);

	load->param = tls_setting_param(load->rules, TLS_SET_chain_files);
	if (*chains != '\0') {
		if (*rsa != '\0' || *ec != '\0')
			complain(load, DIAG_WARNING,
			    "both this and one or more of the older cert_file, eccert_file are "
			    "set: the older "
			    "ones are ignored");
		take_chain_files(load, "", span_of(chains));
		return;
	}
	load->conf->anonymous_only = is_none(rsa) && *ec == '\0';
	take_pair(load, TLS_SET_cert_file, TLS_SET_key_file);
	take_pair(load, TLS_SET_eccert_file, TLS_SET_eckey_file);
}

/* Server names. */
static void
take_sni(void *arg, const char *name, const char *source, struct span text)
{
	struct load *load = arg;
	bool open = false;

	if (source == NULL)
		take_chain_files(load, name, text);
	else if (take_chain(load, name, source, text, &open))
		end_of_chains(load, open);
}

static void
on_sni_file(void *arg, const char *path)
{
	struct load *load = arg;

	remember(load->conf, path);
}

static void
on_sni_complaint(void *arg, enum diag_level level, const char *text)
{
	const struct load *load = arg;

	complain(load, level, "%s", text);
}

static void
take_sni_maps(struct load *load)
{
	static const struct tls_sni_calls calls = { take_sni, on_sni_file, on_sni_complaint };
	const char *maps = rules_text(load->rules, P_tls_server_sni_maps);

	load->param = P_tls_server_sni_maps;
	if (*maps != '\0')
		tls_sni_load(load->conf->vault, maps, &calls, load);
}

/* Certificate authorities. */
static void
take_ca_file(struct load *load, const char *path, enum diag_level level)
{
	struct span rest;
	struct tls_pem pem;
	unsigned found = 0;

	if (!tls_vault_read(load->conf->vault, path, &rest)) {
		complain(load, level, "%s: %s", path, strerror(errno));
		return;
	}
	for (; tls_pem_next(&rest, &pem);)
		if (tls_pem_kind(&pem) == TLS_PEM_CERT) {
			blob_add(&load->conf->ca, pem.block);
			found++;
		}
	tls_vault_wipe(load->conf->vault);
	if (found == 0)
		complain(load, level, "%s: no certificate in it (PEM format is expected)", path);
}

/* The names that openssl rehash makes: eight hexadecimal digits, a dot, a number. */
static bool
hash_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] != '\0' &&
	       strspn(name + 9, "0123456789") == strlen(name + 9);
}

static void
take_ca_folder(struct load *load, const char *path, enum diag_level level)
{
	DIR *dir = opendir(path);

	if (dir == NULL) {
		complain(load, level, "%s: %s", path, strerror(errno));
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (!hash_name(entry->d_name))
			continue;
		char *file = mem_printf("%s/%s", path, entry->d_name);
		take_ca_file(load, file, DIAG_WARNING);
		free(file);
	}
	closedir(dir);
}

static void
take_cas(struct load *load)
{
	const char *file = setting_text(load, TLS_SET_CAfile),
		   *folder = setting_text(load, TLS_SET_CApath);

	load->param = tls_setting_param(load->rules, TLS_SET_CAfile);
	if (*file != '\0') {
		remember(load->conf, file);
		take_ca_file(load, file, DIAG_ERROR);
	}
	load->conf->ca_named = load->conf->ca.len;
	load->param = tls_setting_param(load->rules, TLS_SET_CApath);
	if (*folder != '\0') {
		remember(load->conf, folder);
		take_ca_folder(load, folder, DIAG_ERROR);
	}
	load->param = P_tls_append_default_CA;
	if (load->conf->default_ca) {
		const char *default_file, *default_folder;
		tls_default_ca(&default_file, &default_folder);
		if (stamp_of(default_file) != 0)
			take_ca_file(load, default_file, DIAG_WARNING);
		take_ca_folder(load, default_folder, DIAG_WARNING);
	}
}

static void
take_dh(struct load *load)
{
	const char *path = setting_text(load, TLS_SET_dh1024_param_file);
	struct span rest;
	struct tls_pem pem;

	load->param = tls_setting_param(load->rules, TLS_SET_dh1024_param_file);
	load->conf->dh_auto = *path == '\0' || span_is_nocase(span_of(path), "auto");
	if (load->conf->dh_auto || is_none(path) || !read_file(load, path, &rest))
		return;
	while (load->conf->dh.len == 0 && tls_pem_next(&rest, &pem))
		if (tls_pem_kind(&pem) == TLS_PEM_DH)
			blob_add(&load->conf->dh, pem.block);
	tls_vault_wipe(load->conf->vault);
	if (load->conf->dh.len == 0)
		complain(load, DIAG_ERROR,
		    "%s: no DH PARAMETERS in it: leave the parameter empty for the built-in groups",
		    path);
}

void
tls_files_load(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	struct load load = { .conf = conf, .rules = rules, .diag = diag };

	take_default_chain(&load);
	take_sni_maps(&load);
	take_cas(&load);
	take_dh(&load);
}

void
tls_files_free(struct tlsproxy_conf *conf)
{
	for (size_t i = 0; i < conf->id_count; i++) {
		free(conf->ids[i].name);
		free(conf->ids[i].cert_file);
		free(conf->ids[i].key_file);
		free(conf->ids[i].certs.p);
	}
	for (size_t i = 0; i < conf->file_count; i++)
		free(conf->files[i].path);
	free(conf->ids);
	free(conf->files);
	free(conf->ca.p);
	free(conf->dh.p);
}
