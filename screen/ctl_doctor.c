/* gatehousectl doctor: looks at the surroundings and says what to change. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "dnsbl/dnsbl.h"
#include "policy/policy.h"
#include "screen/backend.h"
#include "screen/ctl.h"
#include "screen/ctl_live.h"
#include "tlsproxy/tlsproxy.h"

enum finding { FINE, NOTE, WORRY, BROKEN };

struct doctor {
	struct ctl *ctl;
	const struct rules *rules;
	enum finding worst;
	const char *part;
};

static void __attribute__((format(printf, 3, 4)))
say(struct doctor *d, enum finding finding, const char *format, ...)
{
	static const char *const words[] = { "fine", "note", "worry", "broken" };
	char text[1024];
	struct buf b = BUF(text);
	va_list args;

	va_start(args, format);
	buf_vprintf(&b, format, args);
	va_end(args);
	d->worst = finding > d->worst ? finding : d->worst;
	if (!d->ctl->json) {
		printf("%-7s %-9s %s\n", words[finding], d->part, text);
		return;
	}
	printf("{\"finding\":\"%s\",\"part\":\"%s\",\"text\":", words[finding], d->part);
	ctl_json_string((struct span){ text, b.len });
	puts("}");
}

static void
see_daemon(struct doctor *d)
{
	const char *path = rules_text(d->rules, P_gatehouse_control);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) < sizeof un.sun_path)
		memcpy(un.sun_path, path, strlen(path) + 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		say(d, FINE, "gatehouse answers at %s", path);
	else
		say(d, NOTE, "gatehouse does not answer at %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void
see_user(struct doctor *d)
{
	const char *user = rules_text(d->rules, P_gatehouse_user);
	const char *group = rules_text(d->rules, P_gatehouse_control_group);
	const struct passwd *pw = getpwnam(user);

	if (pw == NULL)
		say(d, BROKEN, "there is no user %s: useradd --system --no-create-home %s", user,
		    user);
	else if (pw->pw_uid == 0)
		say(d, BROKEN, "gatehouse_user is root: name an account without rights");
	else
		say(d, FINE, "workers run as %s", user);
	if (*group != '\0' && getgrnam(group) == NULL)
		say(d, WORRY,
		    "there is no group %s (gatehouse_control_group): groupadd --system %s", group,
		    group);
}

static void
see_limits(struct doctor *d)
{
	uint64_t sessions = (uint64_t)rules_number(d->rules, P_gatehouse_session_limit);
	uint64_t workers = (uint64_t)rules_number(d->rules, P_gatehouse_workers);
	struct backend b = { 0 };
	struct diag *diag = diag_new();
	struct rlimit limit;

	backend_load(&b, d->rules, diag); /* its errors are for see_backend() */
	uint64_t need =
	    sessions * backend_descriptors(&b, d->rules) / (workers > 0 ? workers : 1) + 64;
	backend_fini(&b);
	diag_free(&diag);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < need)
		say(d, WORRY,
		    "gatehouse_session_limit = %llu may need %llu descriptors a worker, the hard "
		    "limit here is %llu: "
		    "LimitNOFILE=%llu in the unit, or a lower limit",
		    (unsigned long long)sessions, (unsigned long long)need,
		    (unsigned long long)limit.rlim_max, (unsigned long long)need);
	else
		say(d, FINE, "enough descriptors for %llu sessions", (unsigned long long)sessions);
	if (rules_number(d->rules, P_postscreen_pre_queue_limit) > (int64_t)sessions)
		say(d, NOTE,
		    "postscreen_pre_queue_limit is above gatehouse_session_limit, which comes "
		    "first");
}

static void
see_pass_service(struct doctor *d, const struct backend *b)
{
	struct stat st;
	int fd;

	if (stat(b->path, &st) != 0) {
		say(d, BROKEN,
		    "%s: %s: the pass service must be in master.cf (smtpd pass - - n - - smtpd), "
		    "and Postfix run",
		    b->path, strerror(errno));
		return;
	}
	fd = backend_dial(b);
	if (fd >= 0)
		close(fd);
	if (fd < 0)
		say(d, BROKEN, "%s: %s", b->path, strerror(errno));
	else
		say(d, FINE, "%s takes connections", b->path);
}

/*
 * The mail server knows the client by our address only. If it trusts that, it relays for the whole world; our own
 * mynetworks is often its, too.
 */
static void
see_hidden_clients(struct doctor *d, int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof addr;
	struct endpoint self;
	char name[ADDR_TEXT_SIZE];

	if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
	    !endpoint_from_sockaddr(&self, &addr))
		return;
	struct diag *diag = diag_new();
	struct match_list *trusted =
	    match_list_open(rules_text(d->rules, P_mynetworks), "mynetworks", 0, diag);
	addr_format(&self.addr, name);
	if (match_list_addr(trusted, &self.addr) == TABLE_FOUND)
		say(d, WORRY,
		    "with tcp: the mail server takes every client for %s, which mynetworks trusts: "
		    "if its "
		    "mynetworks does, too, it relays for everybody; use xclient:, proxy1: or "
		    "proxy2:",
		    name);
	else
		say(d, NOTE,
		    "with tcp: the mail server takes every client for %s, and its own tests by "
		    "address are "
		    "blind; xclient:, proxy1: and proxy2: tell it the client's",
		    name);
	match_list_free(&trusted);
	diag_free(&diag);
}

static void
see_server(struct doctor *d, const struct endpoint *at, enum backend_kind kind)
{
	struct timeval limit = { .tv_sec = 5 };
	struct sockaddr_storage addr;
	socklen_t len = endpoint_to_sockaddr(at, &addr);
	char name[ADDR_TEXT_SIZE];
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, len) == 0)
		say(d, FINE, "[%s]:%u takes connections", addr_format(&at->addr, name), at->port);
	else
		say(d, BROKEN, "[%s]:%u: %s", addr_format(&at->addr, name), at->port,
		    strerror(errno));
	if (kind == BACKEND_TCP && fd >= 0)
		see_hidden_clients(d, fd);
	if (fd >= 0)
		close(fd);
}

static void
see_backend(struct doctor *d)
{
	struct backend b = { 0 };
	struct diag *diag = diag_new();

	backend_load(&b, d->rules, diag);
	if (ctl_report(diag, DIAG_WARNING))
		say(d, BROKEN, "gatehouse_backend cannot be used");
	else if (b.kind == BACKEND_PASS)
		see_pass_service(d, &b);
	else if (b.kind == BACKEND_SINK)
		say(d, NOTE, "clients go to the demo backend: mail is only stored in %s", b.dir);
	for (size_t i = 0; i < b.server_count; i++)
		see_server(d, &b.servers[i], b.kind);
	backend_fini(&b);
	diag_free(&diag);
}

static void
describe(void *arg, const char *line)
{
	say(arg, FINE, "%s", line);
}

static void
see_certificate(void *arg, const struct tlsproxy_cert *cert)
{
	struct doctor *d = arg;
	int64_t left_s = cert->expires_at - (int64_t)time(NULL);

	if (cert->depth > 0)
		return;
	if (left_s < 0)
		say(d, BROKEN, "%s: %s has expired", cert->file, cert->subject);
	else if (left_s < rules_seconds(d->rules, P_gatehouse_tls_expiry_warning))
		say(d, WORRY, "%s: %s expires in %lld days", cert->file, cert->subject,
		    (long long)(left_s / 86400));
	else
		say(d, FINE, "%s: %s, %lld days left", cert->file, cert->subject,
		    (long long)(left_s / 86400));
}

static void
see_tls(struct doctor *d)
{
	struct diag *diag = diag_new();
	struct tlsproxy_conf *conf = tlsproxy_conf_load(d->rules, time(NULL), diag);

	if (ctl_report(diag, DIAG_WARNING))
		say(d, BROKEN, "the TLS settings cannot be used");
	else if (tlsproxy_conf_level(conf) == TLSPROXY_OFF)
		say(d, NOTE, "STARTTLS is not offered (postscreen_tls_security_level = may)");
	else if (!tlsproxy_conf_ready(conf))
		say(d, WORRY,
		    "STARTTLS is wanted, but there is no certificate (smtpd_tls_chain_files)");
	else
		tlsproxy_conf_describe(conf, describe, d);
	tlsproxy_conf_certs(conf, see_certificate, d);
	tlsproxy_conf_free(&conf);
	diag_free(&diag);
}

static void
see_list(struct doctor *d, const char *name, const struct dnsbl_health *h)
{
	static const enum finding findings[] = {
		[DNSBL_UNKNOWN] = NOTE,
		[DNSBL_HEALTHY] = FINE,
		[DNSBL_SUSPECT] = NOTE,
		[DNSBL_BLOCKED] = WORRY,
		[DNSBL_DEAD] = WORRY,
	};

	say(d, findings[h->state], "%s is %s%s%s%s%s", name, dnsbl_health_word(h->state),
	    h->reason != NULL ? ": " : "", h->reason != NULL ? h->reason : "",
	    h->advice != NULL ? "; " : "", h->advice != NULL ? h->advice : "");
}

static void
see_lists(struct doctor *d)
{
	struct diag *diag = diag_new();
	struct dnsbl_sites *sites = dnsbl_sites_load(d->rules, diag);
	struct loop *loop = loop_new();
	struct dnsbl *dnsbl;

	if (ctl_report(diag, DIAG_WARNING))
		say(d, BROKEN, "postscreen_dnsbl_sites cannot be used");
	else if (dnsbl_domain_count(sites) == 0)
		say(d, NOTE, "no DNS lists are asked (postscreen_dnsbl_sites)");
	log_threshold(LOG_LEVEL_ERROR);
	dnsbl = dnsbl_new(loop, sites, 1, diag);
	while (dnsbl_domain_count(sites) > 0 && dnsbl_probing(dnsbl))
		loop_turn(loop, true);
	for (size_t i = 0; i < dnsbl_domain_count(sites); i++)
		see_list(d, dnsbl_domain_shown(sites, i), dnsbl_health(dnsbl, i));
	if (dnsbl_list_count(sites) > 0)
		say(d, FINE, "error codes of lists: as known on %s", dnsbl_truth_version());
	dnsbl_free(&dnsbl);
	loop_free(&loop);
	dnsbl_sites_free(&sites);
	diag_free(&diag);
}

/* Public resolvers are refused by most lists, or answered with error codes. */
static void
see_resolver(struct doctor *d)
{
	static const char *const open[] = { "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9",
		"208.67.222.222", "208.67.220.220", "4.2.2.1", "4.2.2.2", "64.6.64.6",
		"94.140.14.14", "77.88.8.8" };
	const char *set = rules_text(d->rules, P_gatehouse_dns_servers);
	FILE *f = *set == '\0' ? fopen("/etc/resolv.conf", "re") : NULL;
	char line[512];
	unsigned found = 0;

	while (*set != '\0' || (f != NULL && fgets(line, sizeof line, f) != NULL)) {
		struct span rest = span_of(*set != '\0' ? set : line), word = { NULL, 0 };
		if (*set == '\0' && !span_is(span_token(&rest, " \t\n"), "nameserver"))
			continue;
		while ((word = span_token(&rest, ", \t\n")).len > 0) {
			found++;
			for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
				if (span_is(word, open[i]))
					say(d, WORRY,
					    "%s is a public resolver: most lists do not answer it; "
					    "run "
					    "unbound here and set gatehouse_dns_servers = "
					    "127.0.0.1",
					    open[i]);
		}
		if (*set != '\0')
			break;
	}
	if (f != NULL)
		fclose(f);
	if (found == 0)
		say(d, WORRY, "no resolver is named in gatehouse_dns_servers or /etc/resolv.conf");
	else if (d->worst < WORRY)
		say(d, FINE, "%u resolver%s named", found, found == 1 ? "" : "s");
}

static void
see_clock(struct doctor *d)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	if (time(NULL) < 1735689600)
		say(d, BROKEN, "the clock is in the past: records would expire wrongly");
	else if (state < 0 || state == TIME_ERROR)
		say(d, NOTE, "the clock is not synchronised (systemd-timesyncd, chrony)");
	else
		say(d, FINE, "the clock is synchronised");
}

/* Whether this user may read, write and enter; errno of the try. Only root can say so of others. */
static int
try_as(const char *user, const char *path)
{
	const struct passwd *pw = getpwnam(user);
	int status;

	if (geteuid() != 0 || pw == NULL)
		return 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		bool changed = initgroups(user, pw->pw_gid) == 0 && setgid(pw->pw_gid) == 0 &&
			       setuid(pw->pw_uid) == 0;
		_exit(!changed ? 0 : access(path, R_OK | W_OK | X_OK) == 0 ? 0 : errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 0;
	return WEXITSTATUS(status);
}

static void
see_store(struct doctor *d)
{
	const char *user = rules_text(d->rules, P_gatehouse_user);
	const char *data = rules_text(d->rules, P_data_directory);
	char *path = store_path_of(d->rules);
	struct stat st;
	int error;

	if (path == NULL)
		say(d, NOTE, "postscreen_cache_map is empty: every client is new each time");
	else if (stat(data, &st) != 0)
		say(d, WORRY, "%s (data_directory): %s: install -d -o %s %s", data, strerror(errno),
		    rules_text(d->rules, P_gatehouse_user), data);
	else if ((error = try_as(user, path)) != 0 && error != ENOENT)
		say(d, BROKEN,
		    "%s: %s for %s (gatehouse_user), who writes it: clients are screened without "
		    "memory",
		    path, strerror(error), user);
	else
		say(d, FINE, "records are kept in lmdb:%s", path);
	free(path);
}

/*
 * Behind a container bridge or a load balancer every client has the address of the gateway; then
 * lists and records judge the gateway. Seen in what the daemon saw last.
 */
static void
see_gateway(struct doctor *d)
{
	enum ctl_exit status;
	char first[ADDR_TEXT_SIZE] = "", *text, *rest;
	unsigned all = 0, same = 0;
	bool json = d->ctl->json;
	struct addr a;

	d->ctl->json = false;
	text = rest = ctl_ask(d->ctl, "recent 200", &status);
	d->ctl->json = json;
	for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
		struct span words = span_of(line), word = span_token(&words, " ");
		if (!addr_parse(&a, word.p, word.len) || !addr_is_private(&a) ||
		    addr_is_loopback(&a)) {
			all += word.len > 0;
			continue;
		}
		if (first[0] == '\0')
			addr_format(&a, first);
		same += span_is(word, first);
		all++;
	}
	if (all > 20 && same > all * 9 / 10)
		say(d, BROKEN,
		    "nearly all clients come from %s: something in front hides their addresses; "
		    "let it speak the PROXY "
		    "protocol ({ ADDR:PORT, proxy=yes } in gatehouse_listen), or use the host's "
		    "network",
		    first);
	else if (text != NULL && all <= 20)
		say(d, NOTE,
		    "too few clients so far to say whether they come with their own addresses");
	else if (text != NULL)
		say(d, FINE, "clients come with their own addresses");
	free(text);
}

static const struct {
	const char *part;
	void (*see)(struct doctor *);
} parts[] = {
	{ "daemon", see_daemon },
	{ "user", see_user },
	{ "limits", see_limits },
	{ "store", see_store },
	{ "backend", see_backend },
	{ "tls", see_tls },
	{ "clock", see_clock },
	{ "resolver", see_resolver },
	{ "lists", see_lists },
};

enum ctl_exit
ctl_doctor(struct ctl *ctl, int argc, char **argv)
{
	struct doctor d = { .ctl = ctl };

	(void)argv;
	if (argc != 1)
		return ctl_usage(ctl, NULL);
	d.rules = ctl_rules(ctl);
	if (d.rules == NULL)
		return CTL_CONFIG;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		d.part = parts[i].part;
		parts[i].see(&d);
	}
	if (access(rules_text(d.rules, P_gatehouse_control), W_OK) == 0) {
		d.part = "gateway";
		see_gateway(&d);
	}
	return d.worst >= WORRY ? CTL_NO : CTL_OK;
}
