#include "config.h"

#include <string.h>

#include "tlsproxy/inner.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"

static struct span
next_line(struct span *rest)
{
	const char *newline = rest->len > 0 ? memchr(rest->p, '\n', rest->len) : NULL;
	struct span line = { rest->p,
		newline != NULL ? (size_t)(newline - rest->p) + 1 : rest->len };

	rest->p += line.len;
	rest->len -= line.len;
	return line;
}

/* The text between `prefix` and the closing dashes, or an empty span. */
static struct span
label_of(struct span line, const char *prefix)
{
	size_t before = strlen(prefix), after = strlen(DASHES);
	struct span none = { line.p, 0 };

	line = span_trim(line);
	if (line.len <= before + after || memcmp(line.p, prefix, before) != 0 ||
	    memcmp(line.p + line.len - after, DASHES, after) != 0)
		return none;
	return (struct span){ line.p + before, line.len - before - after };
}

bool
tls_pem_next(struct span *rest, struct tls_pem *out)
{
	struct span label = { rest->p, 0 };
	const char *start = rest->p;

	while (rest->len > 0) {
		struct span line = next_line(rest);
		struct span begin = label_of(line, BEGIN);
		struct span end = label_of(line, END);
		if (begin.len > 0) {
			label = begin;
			start = line.p;
		} else if (end.len > 0 && end.len == label.len &&
			   memcmp(end.p, label.p, end.len) == 0) {
			out->label = label;
			out->block = (struct span){ start, (size_t)(rest->p - start) };
			return true;
		}
	}
	return false;
}

static const struct {
	const char *label;
	enum tls_pem_kind kind;
} kinds[] = {
	{ "CERTIFICATE", TLS_PEM_CERT },
	{ "X509 CERTIFICATE", TLS_PEM_CERT },
	{ "TRUSTED CERTIFICATE", TLS_PEM_CERT },
	{ "PRIVATE KEY", TLS_PEM_KEY },
	{ "RSA PRIVATE KEY", TLS_PEM_KEY },
	{ "EC PRIVATE KEY", TLS_PEM_KEY },
	{ "ENCRYPTED PRIVATE KEY", TLS_PEM_LOCKED_KEY },
	{ "DH PARAMETERS", TLS_PEM_DH },
	{ "X9.42 DH PARAMETERS", TLS_PEM_DH },
};

static bool
locked(struct span block)
{
	static const char mark[] = "\nProc-Type: 4,ENCRYPTED";

	return memmem(block.p, block.len, mark, sizeof mark - 1) != NULL;
}

enum tls_pem_kind
tls_pem_kind(const struct tls_pem *pem)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (span_is(pem->label, kinds[i].label))
			return kinds[i].kind == TLS_PEM_KEY && locked(pem->block)
				   ? TLS_PEM_LOCKED_KEY
				   : kinds[i].kind;
	return TLS_PEM_OTHER;
}
