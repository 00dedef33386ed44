#include "config.h"

#include "base/log.h"
#include "tlsproxy/inner.h"

#define LOG_PROGRAM "tlsproxy"

bool
tls_available(void)
{
	return false;
}

void
tls_default_ca(const char **file, const char **folder)
{
	*file = *folder = "";
}

void
tls_options_load(struct tlsproxy_conf *conf, const struct rules *rules, struct diag *diag)
{
	(void)conf, (void)rules, (void)diag;
}

void
tls_certs_load(struct tlsproxy_conf *conf, int64_t now_s, struct diag *diag)
{
	(void)conf, (void)now_s, (void)diag;
}

void
tls_contexts_check(const struct tlsproxy_conf *conf, struct diag *diag)
{
	(void)conf, (void)diag;
}

int
tlsproxy_main(const struct tlsproxy_process *process)
{
	(void)process;
	log_error("built without OpenSSL: there is nothing to do");
	return 1;
}
