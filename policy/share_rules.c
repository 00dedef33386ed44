#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/share.h"

#define SCHEME "redis://"
#define REDIS_PORT 6379

static void __attribute__((format(printf, 4, 5)))
complain(struct diag *diag, const struct rules *rules, enum param param, const char *format, ...)
{
	unsigned line;
	const char *file = rules_origin(rules, param, &line);
	char text[400];
	struct buf out = BUF(text);
	va_list ap;

	va_start(ap, format);
	buf_vprintf(&out, format, ap);
	va_end(ap);
	diag_add(diag, DIAG_ERROR, file, line, "%s: %s", param_rows[param].name, text);
}

/* "ADDRESS[:PORT][/DATABASE]", after the scheme. */
static bool
parse_server(struct share_rules *out, struct span text)
{
	const char *slash = memchr(text.p, '/', text.len);
	uint64_t database = 0;

	if (slash != NULL) {
		struct span number = { slash + 1, text.len - (size_t)(slash + 1 - text.p) };
		if (number.len > 0 && !span_uint(number, 65535, &database))
			return false;
		text.len = (size_t)(slash - text.p);
	}
	out->database = (unsigned)database;
	return endpoint_parse(&out->server, text.p, text.len, REDIS_PORT);
}

/* The first line. Null, and said why, if it cannot be read. */
static char *
read_password(const char *path, const struct rules *rules, struct diag *diag)
{
	char line[512];
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fgets(line, sizeof line, f) != NULL;
	int error = errno;

	if (f != NULL)
		fclose(f);
	if (good)
		line[strcspn(line, "\r\n")] = '\0';
	if (good && line[0] != '\0')
		return mem_strdup(line);
	complain(diag, rules, P_gatehouse_cache_password_file,
	    "%s: %s: write the password into its first line", path,
	    f == NULL ? strerror(error) : "is empty");
	return NULL;
}

struct share_rules *
share_rules_load(const struct rules *rules, struct diag *diag)
{
	const char *url = rules_text(rules, P_gatehouse_cache_server);
	const char *password = rules_text(rules, P_gatehouse_cache_password_file);
	const char *prefix = rules_text(rules, P_gatehouse_cache_prefix);
	char address[ADDR_TEXT_SIZE];
	unsigned before = diag_count(diag, DIAG_ERROR);

	if (*url == '\0')
		return NULL;
	struct share_rules *r = mem_alloc(sizeof *r);
#ifndef HAVE_HIREDIS
	complain(diag, rules, P_gatehouse_cache_server, "this gatehouse was built without hiredis");
#endif
	if (strncmp(url, SCHEME, sizeof SCHEME - 1) != 0 ||
	    !parse_server(r, span_of(url + sizeof SCHEME - 1)))
		complain(diag, rules, P_gatehouse_cache_server,
		    "\"%s\": write redis://ADDRESS:PORT/DATABASE with an IP address (names are not "
		    "looked up "
		    "here), and the password in gatehouse_cache_password_file",
		    url);
	if (strlen(prefix) > SHARE_PREFIX_MAX)
		complain(
		    diag, rules, P_gatehouse_cache_prefix, "at most %d bytes", SHARE_PREFIX_MAX);
	if (*password != '\0')
		r->password = read_password(password, rules, diag);
	r->prefix = mem_strdup(prefix);
	addr_format(&r->server.addr, address);
	r->shown = mem_printf(r->server.addr.family == 6 ? SCHEME "[%s]:%u/%u" : SCHEME "%s:%u/%u",
	    address, r->server.port, r->database);
	if (diag_count(diag, DIAG_ERROR) > before)
		share_rules_free(&r);
	return r;
}

void
share_rules_free(struct share_rules **rules)
{
	if (*rules == NULL)
		return;
	free((*rules)->password);
	free((*rules)->prefix);
	free((*rules)->shown);
	free(*rules);
	*rules = NULL;
}
