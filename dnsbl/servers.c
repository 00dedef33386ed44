#include "config.h"

#include <stdio.h>
#include "dnsbl/sites.h"

#define DNS_PORT 53

void
servers_parse(struct dnsbl_sites *s, struct span text, const struct place *at)
{
	struct span token;

	while ((token = span_token(&text, ", \t\r\n")).len > 0) {
		if (s->server_count == DNS_SERVERS_MAX) {
			diag_add(at->diag, DIAG_WARNING, at->file, at->line,
			    "more than %d name servers: \"%.*s\" and those after it are not used",
			    DNS_SERVERS_MAX, (int)token.len, token.p);
			return;
		}
		if (endpoint_parse(&s->servers[s->server_count], token.p, token.len, DNS_PORT))
			s->server_count++;
		else
			diag_add(at->diag, DIAG_ERROR, at->file, at->line,
			    "bad name server \"%.*s\": write ADDR, ADDR:PORT or [ADDR6]:PORT (no "
			    "names)",
			    (int)token.len, token.p);
	}
}

/* resolv.conf(5): a link-local server with a %zone is passed over, as is anything else not plain.
 */
static void
read_nameserver(struct dnsbl_sites *s, struct span line)
{
	struct span word = span_token(&line, " \t\r\n"), value = span_token(&line, " \t\r\n");
	struct addr addr;

	if (!span_is(word, "nameserver") || s->server_count == DNS_SERVERS_MAX ||
	    !addr_parse(&addr, value.p, value.len))
		return;
	s->servers[s->server_count++] = (struct endpoint){ .addr = addr, .port = DNS_PORT };
}

void
servers_from_resolv_conf(struct dnsbl_sites *s, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		read_nameserver(s, span_of(line));
	if (f != NULL)
		fclose(f);
	if (s->server_count == 0)
		s->servers[s->server_count++] =
		    (struct endpoint){ .addr = { .family = 4, .ip = { 127, 0, 0, 1 } },
			    .port = DNS_PORT };
}
