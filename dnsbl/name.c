#include "config.h"

#include <string.h>
#include "base/map.h"
#include "base/text.h"
#include "dnsbl/name.h"

static void
settle(struct client_name *n, enum name_state state)
{
	n->state = state;
	n->known(n);
}

static void
write_confirm(const struct query *q, struct question *out)
{
	const struct client_name *n = container_of(q, const struct client_name, confirm);
	uint8_t wire[DNS_NAME_MAX];
	size_t len;

	(void)name_wire(span_of(n->text), wire, &len); /* looked at before it was asked */
	(void)question_label(out, SPAN(""), wire, len, n->client->family == 4 ? DNS_A : DNS_AAAA);
}

static void
on_confirm(struct query *q, int status, const struct answer *answer)
{
	struct client_name *n = container_of(q, struct client_name, confirm);
	enum name_state state = NAME_UNCONFIRMED;

	if (status != ANSWER_FOUND && status != ANSWER_NONE)
		state = NAME_FAILED;
	for (uint8_t i = 0; status == ANSWER_FOUND && i < answer->count; i++)
		if (memcmp(answer->ip[i], n->client->ip, addr_bits(n->client) / 8) == 0)
			state = NAME_CONFIRMED;
	settle(n, state);
}

static void
write_ptr(const struct query *q, struct question *out)
{
	static const uint8_t v4[] = "\7in-addr\4arpa", v6[] = "\3ip6\4arpa";
	const struct addr *client = container_of(q, const struct client_name, ptr)->client;

	if (client->family == 4)
		(void)question_reversed(out, client, v4, sizeof v4, DNS_PTR);
	else
		(void)question_reversed(out, client, v6, sizeof v6, DNS_PTR);
}

static void
on_ptr(struct query *q, int status, const struct answer *answer)
{
	struct client_name *n = container_of(q, struct client_name, ptr);
	struct buf text = BUF(n->text);
	uint8_t wire[DNS_NAME_MAX];
	size_t len;

	if (status != ANSWER_FOUND) {
		settle(n, status == ANSWER_NONE ? NAME_MISSING : NAME_FAILED);
		return;
	}
	buf_puts(&text, answer->name);
	if (name_wire(span_of(n->text), wire, &len) == NULL)
		resolver_ask(n->resolver, &n->confirm, false);
	else
		settle(n, NAME_UNCONFIRMED); /* no such name can be looked up */
}

static const struct query_kind ptr_query = { write_ptr, on_ptr };
static const struct query_kind confirm_query = { write_confirm, on_confirm };

void
client_name_init(struct client_name *n, struct resolver *resolver, const struct addr *client,
    uint16_t lane, void (*known)(struct client_name *))
{
	*n = (struct client_name){ .resolver = resolver, .client = client, .known = known };
	n->ptr.kind = &ptr_query;
	n->confirm.kind = &confirm_query;
	n->ptr.lane = n->confirm.lane = lane;
}

void
client_name_ask(struct client_name *n)
{
	n->state = NAME_ASKED;
	n->text[0] = '\0';
	resolver_ask(n->resolver, &n->ptr, false);
}

void
client_name_cancel(struct client_name *n)
{
	resolver_cancel(n->resolver, &n->ptr);
	resolver_cancel(n->resolver, &n->confirm);
}
