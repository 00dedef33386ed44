/* gatehousectl tlsa: what to publish in DNS for the certificates in use (RFC 6698, RFC 7671, RFC 7672). */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "screen/ctl.h"
#include "tlsproxy/tlsproxy.h"

struct tlsa {
	const struct ctl *ctl;
	const char *host;
	unsigned count;
};

/*
 * DANE-EE(3) for the server's own key, DANE-TA(2) for those of its issuers; always SPKI(1) and SHA-256(1): a
 * renewal with the same key changes nothing.
 */
static void
print_record(void *arg, const struct tlsproxy_cert *cert)
{
	struct tlsa *t = arg;
	int usage = cert->depth == 0 ? 3 : 2;
	/* ".example" stands for every name below it. */
	const char *name = cert->name[0] == '\0' ? t->host : cert->name;
	const char *any = name[0] == '.' ? "NAME" : "";
	char when[32] = "?";
	struct tm tm;
	time_t at = (time_t)cert->expires_at;

	t->count++;
	if (gmtime_r(&at, &tm) != NULL)
		(void)strftime(when, sizeof when, "%Y-%m-%d", &tm);
	if (!t->ctl->json) {
		printf("; %s: %s, %s, until %s\n_25._tcp.%s%s. IN TLSA %d 1 1 %s\n", cert->file,
		    cert->subject, cert->key, when, any, name, usage, cert->sha256_key);
		return;
	}
	printf("{\"owner\":\"_25._tcp.%s%s.\",\"usage\":%d,\"selector\":1,\"matching\":1,\"data\":"
	       "\"%s\",\"file\":",
	    any, name, usage, cert->sha256_key);
	ctl_json_string(span_of(cert->file));
	printf(",\"subject\":");
	ctl_json_string(span_of(cert->subject));
	printf(",\"key\":");
	ctl_json_string(span_of(cert->key));
	printf(",\"expires_at\":%" PRId64 "}\n", cert->expires_at);
}

enum ctl_exit
ctl_tlsa(struct ctl *ctl, int argc, char **argv)
{
	if (argc > 2)
		return ctl_usage(ctl, NULL);
	const struct rules *rules = ctl_rules(ctl);
	if (rules == NULL)
		return CTL_CONFIG;
	struct diag *diag = diag_new();
	struct tlsproxy_conf *conf = tlsproxy_conf_load(rules, time(NULL), diag);
	struct tlsa t = { .ctl = ctl,
		.host = argc > 1 ? argv[1] : rules_text(rules, P_myhostname) };
	bool failed = ctl_report(diag, DIAG_WARNING);

	if (!failed)
		tlsproxy_conf_certs(conf, print_record, &t);
	if (!failed && t.count == 0)
		fputs(
		    "gatehousectl: no certificate is in use (TLS is off, or anonymous)\n", stderr);
	tlsproxy_conf_free(&conf);
	diag_free(&diag);
	return failed ? CTL_CONFIG : t.count > 0 ? CTL_OK : CTL_NO;
}
