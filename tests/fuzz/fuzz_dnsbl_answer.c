/*
 * Answers from the name server: first byte chooses the question, the rest is the packet. Half of the
 * inputs get the right question put in, so that the parser behind it is reached.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "dnsbl/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_PTR };
	static const uint8_t suffix[] = "\2bl\7example";
	struct addr client = { .family = 4, .ip = { 192, 0, 2, 1 } };
	struct question q;
	struct answer a;
	uint8_t packet[4096];

	if (len < 1 || len > sizeof packet)
		return 0;
	if (!question_reversed(&q, &client, suffix, sizeof suffix, types[bytes[0] % 3]))
		abort();
	memcpy(packet, bytes + 1, len - 1);
	len--;
	if ((bytes[0] & 4) == 0 && len >= PACKET_HEADER + q.len) {
		packet[4] = 0;
		packet[5] = 1;
		memcpy(packet + PACKET_HEADER, q.bytes, q.len);
	}
	uint8_t *exact = malloc(len > 0 ? len : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, packet, len);
	enum answer_status status = answer_parse(&a, exact, len, &q);
	if (a.count > DNSBL_ANSWERS_MAX ||
	    (status == ANSWER_FOUND) != (a.count > 0 && status == ANSWER_FOUND) ||
	    strlen(a.name) > DNS_NAME_MAX)
		abort();
	free(exact);
	return 0;
}
