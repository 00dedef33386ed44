/* The channel message, as the process reads it from a screen worker that may have been taken over.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "tlsproxy/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlsproxy_request request;
	uint8_t again[TLS_REQUEST_SIZE];
	char text[ADDR_TEXT_SIZE];

	if (!tls_request_parse((struct span){ (const char *)data, size }, &request))
		return 0;
	assert(size == TLS_REQUEST_SIZE);
	tls_request_format(&request, again);
	assert(memcmp(again, data, size) == 0);
	assert(strlen(addr_format(&request.peer.addr, text)) < sizeof text);
	return 0;
}
