/* A PROXY header is complete at one length only: each shorter beginning asks for more, what follows changes nothing. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "screen/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint client, server, again[2];
	const char *error = NULL;
	size_t used = 0, used_again = 0;
	struct span all = { (const char *)data, size < PROXY_HEADER_MAX ? size : PROXY_HEADER_MAX };
	enum proxy_result result = proxy_parse(all, &used, &client, &server, &error);

	if ((result == PROXY_BAD) != (error != NULL) || (error == NULL && used > PROXY_HEADER_MAX))
		abort();
	if (result != PROXY_DONE && result != PROXY_LOCAL)
		return 0;
	if (used == 0 || used > all.len)
		abort();
	for (size_t n = 0; n < used; n++)
		if (proxy_parse((struct span){ all.p, n }, &used_again, &again[0], &again[1],
			&error) != PROXY_MORE)
			abort();
	if (proxy_parse((struct span){ all.p, used }, &used_again, &again[0], &again[1], &error) !=
		result ||
	    used_again != used)
		abort();
	if (result == PROXY_DONE && (!addr_equal(&client.addr, &again[0].addr) ||
					!addr_equal(&server.addr, &again[1].addr) ||
					client.port != again[0].port || client.addr.family == 0))
		abort();
	return 0;
}
