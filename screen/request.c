#include "config.h"

#include <string.h>

#include "screen/request.h"

#define LIMIT_MAX 2000

enum argument { NOTHING, LIMIT, ADDRESS };

static const struct {
	const char *word;
	enum argument argument;
} requests[REQUESTS] = {
#define REQUEST(id, word, argument, asks) [REQUEST_##id] = { word, argument },
#include "screen/requests.tbl"
#undef REQUEST
};

size_t
request_whole(struct span in)
{
	const char *end = in.len == 0 ? NULL : memchr(in.p, '\n', in.len);

	return end == NULL ? 0 : (size_t)(end - in.p) + 1;
}

static bool
find(struct span word, enum request_id *id)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		if (span_is(word, requests[i].word)) {
			*id = (enum request_id)i;
			return true;
		}
	return false;
}

static bool
take_argument(struct span word, struct request *out)
{
	uint64_t n;

	switch (requests[out->id].argument) {
	case NOTHING:
		break;
	case LIMIT:
		if (!span_uint(word, LIMIT_MAX, &n))
			return false;
		out->limit = (uint32_t)n;
		return true;
	case ADDRESS:
		return addr_parse(&out->address, word.p, word.len);
	}
	return false;
}

bool
request_parse(struct span line, struct request *out, const char **why)
{
	struct span rest = line, word = span_token(&rest, " \t\r\n");
	unsigned arguments = 0;

	*out = (struct request){ .id = REQUESTS };
	*why = "unknown request";
	if (!find(word, &out->id))
		return false;
	*why = "wrong argument";
	while ((word = span_token(&rest, " \t\r\n")).len > 0) {
		if (out->json)
			return false;
		if (span_is(word, "json")) {
			out->json = true;
			continue;
		}
		if (arguments++ > 0 || !take_argument(word, out))
			return false;
	}
	return requests[out->id].argument != ADDRESS || arguments == 1;
}

size_t
http_whole(struct span in)
{
	for (size_t i = 0; i + 1 < in.len; i++) {
		if (in.p[i] != '\n')
			continue;
		if (in.p[i + 1] == '\n')
			return i + 2;
		if (in.p[i + 1] == '\r' && i + 2 < in.len && in.p[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

static struct span
up_to(struct span text, const char *stops)
{
	size_t n = 0;

	while (n < text.len && (text.p[n] == '\0' || strchr(stops, text.p[n]) == NULL))
		n++;
	return (struct span){ text.p, n };
}

bool
http_parse(struct span in, struct http_request *out)
{
	struct span line = up_to(in, "\r\n"), rest = line;
	struct span method = up_to(rest, " ");

	rest.p += method.len, rest.len -= method.len;
	if (method.len == 0 || rest.len < 2 || rest.p[1] != '/')
		return false;
	rest.p++, rest.len--;
	struct span target = up_to(rest, " ");
	rest.p += target.len, rest.len -= target.len;
	if (rest.len != 9 || memcmp(rest.p, " HTTP/1.", 8) != 0)
		return false;
	out->method = span_is(method, "GET")	? HTTP_GET
		      : span_is(method, "HEAD") ? HTTP_HEAD
						: HTTP_OTHER;
	out->path = up_to(target, "?#");
	return true;
}
