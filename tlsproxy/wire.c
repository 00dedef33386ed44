#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "tlsproxy/inner.h"

static const uint8_t request_magic[4] = { 'G', 'T', 'R', 1 };
static const uint8_t facts_magic[2] = { 'T', 1 };

enum { REQUEST_STRESS = 1 };
enum { FACTS_RESUMED = 1, FACTS_SNI_MATCHED = 2, FACTS_FLAGS = 3 };
/* magic 2, length 2, outcome, certificate, flags, 0, bits 2, of 2, time 4. */
#define FACTS_FIXED 16

static uint8_t *
put_endpoint(uint8_t *p, const struct endpoint *e)
{
	p[0] = e->addr.family;
	memcpy(p + 1, e->addr.ip, 16);
	put_be16(p + 17, e->port);
	return p + 19;
}

static const uint8_t *
get_endpoint(const uint8_t *p, struct endpoint *e)
{
	e->addr.family = p[0];
	memcpy(e->addr.ip, p + 1, 16);
	e->port = (uint16_t)get_be16(p + 17);
	return p + 19;
}

static bool
sound(const struct addr *a)
{
	static const uint8_t zeros[16];

	return a->family == 6 || (a->family == 4 && memcmp(a->ip + 4, zeros, 12) == 0);
}

void
tls_request_format(const struct tlsproxy_request *request, uint8_t *out)
{
	memcpy(out, request_magic, sizeof request_magic);
	out[4] = request->stress ? REQUEST_STRESS : 0;
	uint8_t *end = put_endpoint(put_endpoint(out + 5, &request->peer), &request->server);
	assert(end - out == TLS_REQUEST_SIZE);
	(void)end;
}

bool
tls_request_parse(struct span bytes, struct tlsproxy_request *out)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct tlsproxy_request request;

	if (bytes.len != TLS_REQUEST_SIZE || memcmp(p, request_magic, sizeof request_magic) != 0 ||
	    (p[4] & ~REQUEST_STRESS) != 0)
		return false;
	request.stress = p[4] != 0;
	get_endpoint(get_endpoint(p + 5, &request.peer), &request.server);
	if (!sound(&request.peer.addr) || !sound(&request.server.addr))
		return false;
	*out = request;
	return true;
}

/* The texts of the record, in their order on the wire. */
#define TEXT(field)                                                                     \
	{                                                                               \
		offsetof(struct tls_facts, field), sizeof((struct tls_facts *)0)->field \
	}
static const struct {
	size_t at, size;
} texts[] = { TEXT(protocol), TEXT(cipher), TEXT(sni), TEXT(client_cn), TEXT(issuer_cn),
	TEXT(fingerprint), TEXT(key_fingerprint) };
#define TEXTS (sizeof texts / sizeof texts[0])

_Static_assert(FACTS_FIXED + TEXTS + sizeof(struct tls_facts) <= TLS_FACTS_MAX,
    "the longest record does not fit");

size_t
tls_facts_format(const struct tls_facts *facts, uint8_t *out)
{
	uint8_t *p = out + FACTS_FIXED;

	memset(out, 0, FACTS_FIXED);
	memcpy(out, facts_magic, sizeof facts_magic);
	out[4] = (uint8_t)facts->outcome;
	out[5] = (uint8_t)facts->client_cert;
	out[6] = (uint8_t)((facts->resumed ? FACTS_RESUMED : 0) |
			   (facts->sni_matched ? FACTS_SNI_MATCHED : 0));
	put_be16(out + 8, facts->bits);
	put_be16(out + 10, facts->bits_max);
	put_be16(out + 12, facts->handshake_ms >> 16);
	put_be16(out + 14, facts->handshake_ms & 0xffff);
	for (size_t i = 0; i < TEXTS; i++) {
		const char *text = (const char *)facts + texts[i].at;
		size_t len = strnlen(text, texts[i].size - 1);
		*p++ = (uint8_t)len;
		memcpy(p, text, len);
		p += len;
	}
	put_be16(out + 2, (unsigned)(p - out));
	return (size_t)(p - out);
}

static bool
printable(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] > '~')
			return false;
	return true;
}

static bool
get_texts(const uint8_t *p, const uint8_t *end, struct tls_facts *out)
{
	for (size_t i = 0; i < TEXTS; i++) {
		if (p == end)
			return false;
		size_t len = *p++;
		if (len >= texts[i].size || len > (size_t)(end - p) || !printable(p, len))
			return false;
		memcpy((char *)out + texts[i].at, p, len);
		p += len;
	}
	return p == end;
}

static bool
get_fixed(const uint8_t *p, struct tls_facts *out)
{
	if (p[4] > TLS_HANGUP || p[5] > TLS_CERT_TRUSTED || (p[6] & ~FACTS_FLAGS) != 0 || p[7] != 0)
		return false;
	out->outcome = (enum tls_outcome)p[4];
	out->client_cert = (enum tls_client_cert)p[5];
	out->resumed = (p[6] & FACTS_RESUMED) != 0;
	out->sni_matched = (p[6] & FACTS_SNI_MATCHED) != 0;
	out->bits = (uint16_t)get_be16(p + 8);
	out->bits_max = (uint16_t)get_be16(p + 10);
	out->handshake_ms = (uint32_t)get_be16(p + 12) << 16 | get_be16(p + 14);
	return true;
}

enum tls_facts_result
tls_facts_parse(struct span bytes, size_t *used, struct tls_facts *out)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct tls_facts facts;

	for (size_t i = 0; i < sizeof facts_magic && i < bytes.len; i++)
		if (p[i] != facts_magic[i])
			return TLS_FACTS_BAD;
	if (bytes.len < 4)
		return TLS_FACTS_MORE;
	size_t len = get_be16(p + 2);
	if (len < FACTS_FIXED || len > TLS_FACTS_MAX)
		return TLS_FACTS_BAD;
	if (bytes.len < len)
		return TLS_FACTS_MORE;
	memset(&facts, 0, sizeof facts);
	if (!get_fixed(p, &facts) || !get_texts(p + FACTS_FIXED, p + len, &facts))
		return TLS_FACTS_BAD;
	*used = len;
	*out = facts;
	return TLS_FACTS_DONE;
}

const char *
tls_outcome_word(enum tls_outcome outcome)
{
	static const char *const words[] = { [TLS_OK] = "ok",
		[TLS_FAILED] = "failed",
		[TLS_TIMEOUT] = "timeout",
		[TLS_HANGUP] = "hangup" };

	return words[outcome];
}
