/*
 * screen/request.h: the two languages spoken at the desks, parsed. Pure; both are fuzzed.
 */
#ifndef SCREEN_REQUEST_H
#define SCREEN_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/text.h"

enum request_id {
#define REQUEST(id, word, argument, asks) REQUEST_##id,
#include "screen/requests.tbl"
#undef REQUEST
	REQUESTS
};

#define REQUEST_LINE_MAX 256

struct request {
	enum request_id id;
	bool json;
	uint32_t limit; /* of rows; 0: not said */
	struct addr address;
};

/* The control socket: a line that ends in LF. */
size_t request_whole(struct span);
/* False with the reason, a static text, if this is no request. */
bool request_parse(struct span line, struct request *, const char **why);

/* HTTP/1.x, as far as a status page needs it: GET and HEAD of a path, headers unread, no body. */
#define HTTP_REQUEST_MAX 4096
enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };
struct http_request {
	enum http_method method;
	struct span path; /* without the query */
};
size_t http_whole(struct span);
bool http_parse(struct span, struct http_request *); /* false: 400 */

#endif
