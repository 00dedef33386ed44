/*
 * dnsbl/packet.h: questions and answers on the wire (RFC 1035 §4), inside the room. Pure.
 */
#ifndef DNSBL_PACKET_H
#define DNSBL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/text.h"
#include "dnsbl/sites.h"

#define PACKET_HEADER 12
#define QUESTION_MAX (DNS_NAME_MAX + 4)
#define QUERY_MAX (PACKET_HEADER + QUESTION_MAX)

enum { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_AAAA = 28 };

/* The part of a packet that comes back in the answer: name, type, class. */
struct question {
	uint8_t bytes[QUESTION_MAX];
	size_t len;
};

/*
 * The address reversed (RFC 5782 §2.1, §2.4) before a name in wire form. False if the whole is longer
 * than a name may be.
 */
bool question_reversed(struct question *, const struct addr *, const uint8_t *suffix, size_t suffix_len,
    uint16_t type);
/* One label before a name in wire form; label_len 0: the name itself. */
bool question_label(struct question *, struct span label, const uint8_t *suffix, size_t suffix_len,
    uint16_t type);

/* Header and question, recursion desired; QUERY_MAX bytes suffice. Returns the length. */
size_t query_write(uint8_t *out, uint16_t id, const struct question *);

enum answer_status {
	ANSWER_FOUND,
	ANSWER_NONE,      /* NXDOMAIN, or no record of the type */
	ANSWER_SERVFAIL,
	ANSWER_REFUSED,
	ANSWER_RCODE,     /* any other refusal */
	ANSWER_TRUNCATED, /* to be asked again over TCP */
	ANSWER_MALFORMED, /* cut, looped, too long a chain, too many records, another question */
};

struct answer {
	uint8_t count;                         /* of records of the type asked for */
	uint8_t ip[DNSBL_ANSWERS_MAX][16];     /* A in the first four bytes, AAAA in all */
	int32_t ttl;        /* the lowest of the records; of the SOA if there are none; -1 if neither */
	int32_t memory_ttl; /* how long it may be kept: also CNAMEs and the SOA's MINIMUM (RFC 2308 §5) */
	char name[DNS_NAME_MAX + 1];           /* PTR: the first, in text form */
};

/* question: what was asked; its name is compared without regard to case. */
enum answer_status answer_parse(struct answer *out, const uint8_t *packet, size_t len,
    const struct question *);
const char *answer_status_text(enum answer_status);

#endif
