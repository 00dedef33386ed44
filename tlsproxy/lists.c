#include "config.h"

#include <string.h>

#include "tlsproxy/inner.h"

#define SEPARATORS ", \t\r\n:"

static const struct {
	const char *name, *hex;
	unsigned bit;
} versions[] = {
	{ "SSLv2", "0002", 0 }, /* forgotten by every library; "!SSLv2" is still written */
	{ "SSLv3", "0300", TLS_V_SSL3 },
	{ "TLSv1", "0301", TLS_V_1_0 },
	{ "TLSv1.1", "0302", TLS_V_1_1 },
	{ "TLSv1.2", "0303", TLS_V_1_2 },
	{ "TLSv1.3", "0304", TLS_V_1_3 },
};
#define VERSIONS (sizeof versions / sizeof versions[0])

const char *
tls_version_name(unsigned bit)
{
	for (size_t i = 1; i < VERSIONS; i++)
		if (versions[i].bit == bit)
			return versions[i].name;
	return "";
}

static bool
find_version(struct span name, unsigned *bit)
{
	if (name.len > 2 && name.p[0] == '0' && (name.p[1] == 'x' || name.p[1] == 'X'))
		name = (struct span){ name.p + 2, name.len - 2 };
	for (size_t i = 0; i < VERSIONS; i++)
		if (span_is_nocase(name, versions[i].name) ||
		    span_is_nocase(name, versions[i].hex)) {
			*bit = versions[i].bit;
			return true;
		}
	return false;
}

/* The forms of a protocol token; each says what remains of the versions for a given one. */
enum form { FORM_WANT, FORM_NOT, FORM_FLOOR, FORM_CEILING };
static const struct {
	const char *prefix;
	enum form form;
} forms[] = { { "!", FORM_NOT }, { ">=", FORM_FLOOR }, { "<=", FORM_CEILING }, { "", FORM_WANT } };

static enum form
take_form(struct span *token)
{
	size_t i = 0, len = 0;

	for (;; i++) {
		len = strlen(forms[i].prefix);
		if (token->len >= len && memcmp(token->p, forms[i].prefix, len) == 0)
			break;
	}
	token->p += len;
	token->len -= len;
	return forms[i].form;
}

static unsigned
allowed_by(enum form form, unsigned bit)
{
	switch (form) {
	case FORM_NOT:
		return TLS_V_ALL & ~bit;
	case FORM_FLOOR:
		return bit == 0 ? TLS_V_ALL : TLS_V_ALL & ~(bit - 1);
	case FORM_CEILING:
		return bit == 0 ? 0 : bit | (bit - 1);
	case FORM_WANT:
		break;
	}
	return TLS_V_ALL;
}

bool
tls_protocols_parse(const char *text, unsigned *out, struct buf *why)
{
	struct span rest = span_of(text), token;
	unsigned wanted = 0, allowed = TLS_V_ALL, bit = 0;
	bool any_wanted = false;

	while ((token = span_token(&rest, SEPARATORS)).len > 0) {
		struct span name = token;
		enum form form = take_form(&name);
		if (!find_version(name, &bit)) {
			buf_puts(why, "\"");
			buf_printable(why, token);
			buf_puts(why,
			    "\" is not a protocol: write SSLv3, TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3,"
			    " with \"!\", \">=\" or \"<=\" directly before it if wanted");
			return false;
		}
		allowed &= allowed_by(form, bit);
		if (form == FORM_WANT) {
			wanted |= bit;
			any_wanted = true;
		}
	}
	if (any_wanted)
		allowed &= wanted;
	if (allowed == 0)
		buf_printf(why, "\"%s\" leaves no protocol: write for example >=TLSv1.2", text);
	*out = allowed;
	return allowed != 0;
}

static const struct {
	const char *word;
	enum tls_grade grade;
	bool obsolete;
} grades[] = {
	{ "high", TLS_GRADE_HIGH, false },
	{ "medium", TLS_GRADE_MEDIUM, false },
	{ "low", TLS_GRADE_MEDIUM, true },
	{ "export", TLS_GRADE_MEDIUM, true },
	{ "null", TLS_GRADE_NULL, false },
};

bool
tls_grade_parse(const char *text, enum tls_grade *out, bool *obsolete)
{
	for (size_t i = 0; i < sizeof grades / sizeof grades[0]; i++)
		if (span_is_nocase(span_of(text), grades[i].word)) {
			*out = grades[i].grade;
			*obsolete = grades[i].obsolete;
			return true;
		}
	return false;
}

/* Nothing that could end the ":!NAME" early or turn it into something else. */
static bool
cipher_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		bool alnum =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && c != '_' && (i == 0 || strchr("-+.", c) == NULL))
			return false;
	}
	return true;
}

bool
tls_exclude(struct buf *cipher_list, const char *exclusions, struct buf *why)
{
	struct span rest = span_of(exclusions), token;

	while ((token = span_token(&rest, SEPARATORS)).len > 0) {
		if (!cipher_name(token)) {
			buf_puts(why, "\"");
			buf_printable(why, token);
			buf_puts(why,
			    "\": write names of ciphers or their properties only, such as RC4 or"
			    " aNULL");
			return false;
		}
		buf_puts(cipher_list, ":!");
		buf_putspan(cipher_list, token);
	}
	return true;
}

enum {
	LEVEL_1 = TLS_LOG_SUMMARY | TLS_LOG_UNTRUSTED | TLS_LOG_CERTMATCH,
	LEVEL_2 = LEVEL_1 | TLS_LOG_PEERCERT | TLS_LOG_VERBOSE | TLS_LOG_CACHE | TLS_LOG_STATE,
	LEVEL_3 = LEVEL_2 | TLS_LOG_HANDSHAKE_DUMP,
	LEVEL_4 = LEVEL_3 | TLS_LOG_SESSION_DUMP,
};

static const struct {
	const char *word;
	unsigned features;
} features[] = {
	{ "0", 0 },
	{ "none", 0 },
	{ "1", LEVEL_1 },
	{ "routine", LEVEL_1 },
	{ "2", LEVEL_2 },
	{ "debug", LEVEL_2 },
	{ "3", LEVEL_3 },
	{ "ssl-expert", LEVEL_3 },
	{ "4", LEVEL_4 },
	{ "5", LEVEL_4 },
	{ "6", LEVEL_4 },
	{ "7", LEVEL_4 },
	{ "8", LEVEL_4 },
	{ "9", LEVEL_4 },
	{ "ssl-developer", LEVEL_4 },
	{ "summary", TLS_LOG_SUMMARY },
	{ "untrusted", TLS_LOG_UNTRUSTED },
	{ "peercert", TLS_LOG_PEERCERT },
	{ "certmatch", TLS_LOG_CERTMATCH },
	{ "verbose", TLS_LOG_VERBOSE },
	{ "cache", TLS_LOG_CACHE },
	{ "dane", 0 },
	{ "ssl-debug", TLS_LOG_STATE },
	{ "ssl-handshake-packet-dump", TLS_LOG_HANDSHAKE_DUMP },
	{ "ssl-session-packet-dump", TLS_LOG_SESSION_DUMP },
	{ "trace", TLS_LOG_TRACE },
};

bool
tls_loglevel_parse(const char *text, unsigned *out, struct buf *why)
{
	struct span rest = span_of(text), token;
	unsigned sum = 0;

	while ((token = span_token(&rest, ", \t\r\n")).len > 0) {
		size_t i = 0, count = sizeof features / sizeof features[0];
		while (i < count && !span_is_nocase(token, features[i].word))
			i++;
		if (i == count) {
			buf_puts(why, "\"");
			buf_printable(why, token);
			buf_puts(why, "\" is not a TLS log level: write a number from 0 to 4, or "
				      "names such as "
				      "summary, untrusted, peercert, cache, verbose, ssl-debug");
			return false;
		}
		sum |= features[i].features;
	}
	*out = sum;
	return true;
}

static bool
label_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool
tls_name_valid(struct span name, char out[256])
{
	size_t label = 0;

	if (name.len == 0 || name.len > 253)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '.' ? label == 0
			     : !label_byte(c) || (c == '-' && label == 0) || ++label > 63)
			return false;
		if (c == '.')
			label = 0;
		out[i] = c;
	}
	out[name.len] = '\0';
	return label > 0;
}
