/*
 * tls_bench: what a TLS session costs the tlsproxy process, with a full handshake, with a resumption, and
 * with none because the client leaves at once. A session has one line of text each way. User time is what
 * the handshake computes; system time is the connection's, and mostly the same for all. Also the memory of
 * an idle session. The clients run in this process and do not count.
 *
 *	tls_bench [SESSIONS [IDLE]]
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "tlsproxy/tlsproxy.h"

struct bench {
	struct tlsproxy_conf *conf;
	struct tlsproxy_tickets *tickets;
	int channel[2], listener;
	struct sockaddr_in at;
	pid_t pid;
	SSL_CTX *ctx;
	SSL_SESSION *saved;
};

struct session {
	SSL *ssl;
	int client, plain;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static long long
number_in(pid_t pid, const char *file, const char *label)
{
	char path[64], line[256];
	long long n = -1;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		die(path);
	while (n < 0 && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, label, strlen(label)) == 0)
			n = strtoll(line + strlen(label), NULL, 10);
	(void)fclose(f);
	return n;
}

struct cpu {
	double us, user_us;
};

/* Of the two the kernel counts the sum exactly and divides it by sampling. */
static struct cpu
cpu_of(const struct bench *b)
{
	struct cpu cpu = { .us = (double)number_in(b->pid, "schedstat", "") / 1000 };
	char path[64], text[512] = "";
	unsigned long user = 0, kernel = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)b->pid);
	FILE *f = fopen(path, "r");
	if (f == NULL || fread(text, 1, sizeof text - 1, f) == 0)
		die(path);
	(void)fclose(f);
	char *p = strrchr(text, ')');
	for (int field = 2; p != NULL && field < 14; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		die(path);
	user = strtoul(p, &p, 10);
	kernel = strtoul(p, NULL, 10);
	cpu.user_us = user + kernel > 0 ? cpu.us * (double)user / (double)(user + kernel) : 0;
	return cpu;
}

static long long
memory_kb(const struct bench *b)
{
	return number_in(b->pid, "smaps_rollup", "Private_Dirty:");
}

static void
make_pem(const char *path, bool rsa)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *f = fopen(path, "w");

	if (f == NULL)
		die(path);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 60L * 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	    (const unsigned char *)"bench.example", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(f, cert);
	(void)fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
show(void *arg, enum diag_level level, const char *text)
{
	(void)arg, (void)level;
	fprintf(stderr, "tls_bench: %s\n", text);
}

static struct tlsproxy_conf *
load(const char *pem)
{
	struct rules_override settings[] = { { "smtpd_tls_security_level", "may" },
		{ "smtpd_tls_chain_files", pem }, { "smtpd_tls_loglevel", "1" } };
	struct diag *diag = diag_new();
	struct rules *rules =
	    rules_load(NULL, settings, sizeof settings / sizeof settings[0], diag);
	struct tlsproxy_conf *conf = tlsproxy_conf_load(rules, time(NULL), diag);

	diag_each(diag, show, NULL);
	rules_free(&rules);
	diag_free(&diag);
	if (!tlsproxy_conf_ready(conf))
		exit(1);
	return conf;
}

static void
start_process(struct bench *b, const char *pem)
{
	struct tlsproxy_process process = { .channels = &b->channel[1],
		.channel_count = 1,
		.user = "nobody",
		.session_limit = 9000 };

	process.conf = b->conf = load(pem);
	b->tickets = tlsproxy_tickets_new();
	process.tickets = b->tickets;
	(void)tlsproxy_tickets_turn(b->tickets, b->conf, time(NULL));
	if (!tlsproxy_channel(b->channel))
		die("channel");
	b->pid = tlsproxy_fork(b->conf, b->tickets);
	if (b->pid == 0)
		_exit(tlsproxy_main(&process));
}

static void
stop_process(struct bench *b)
{
	close(b->channel[0]);
	close(b->channel[1]);
	waitpid(b->pid, NULL, 0);
	tlsproxy_conf_free(&b->conf);
	tlsproxy_tickets_free(&b->tickets);
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct bench *b = SSL_get_app_data(ssl);

	/* A copy: the library marks the one of a connection as used up. */
	if (b->saved == NULL)
		b->saved = SSL_SESSION_dup(session);
	return 0;
}

static void
session_connect(struct bench *b, struct session *s)
{
	struct tlsproxy_request request = { .peer.addr.family = 4, .server.addr.family = 4 };

	s->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(s->client, (struct sockaddr *)&b->at, sizeof b->at) != 0)
		die("connect");
	(void)setsockopt(s->client, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	int server = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	s->plain = tlsproxy_start(b->channel[0], &request, server);
	if (server < 0 || s->plain < 0)
		die("tlsproxy_start");
	close(server);
	fd_nonblock(s->plain, false);
}

static void
session_open(struct bench *b, struct session *s, bool resume)
{
	session_connect(b, s);
	s->ssl = SSL_new(b->ctx);
	SSL_set_app_data(s->ssl, b);
	SSL_set_fd(s->ssl, s->client);
	if (resume) {
		SSL_SESSION *copy = SSL_SESSION_dup(b->saved);
		SSL_set_session(s->ssl, copy);
		SSL_SESSION_free(copy);
	}
	if (SSL_connect(s->ssl) != 1)
		die("handshake");
}

static void
session_talk(struct session *s)
{
	char text[2048] = "";
	struct tls_facts facts;
	size_t used, len = 0;

	SSL_write(s->ssl, "EHLO x\r\n", 8);
	while (tls_facts_parse((struct span){ text, len }, &used, &facts) != TLS_FACTS_DONE ||
	       len == used) {
		ssize_t n = read(s->plain, text + len, sizeof text - len);
		if (n <= 0)
			die("facts");
		len += (size_t)n;
	}
	if (write(s->plain, "250 ok\r\n", 8) != 8 || SSL_read(s->ssl, text, sizeof text) != 8)
		die("talk");
}

static void
session_close(struct session *s)
{
	char byte;

	close(s->plain);
	(void)SSL_read(s->ssl, &byte, 1);
	SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	close(s->client);
}

/* One whole session. True if it was resumed. */
enum kind { LEAVES, FULL, RESUMED, KINDS };
static bool
session(struct bench *b, enum kind kind)
{
	struct session s;
	char byte;

	if (kind == LEAVES) {
		session_connect(b, &s);
		close(s.client);
		while (read(s.plain, &byte, 1) > 0)
			;
		close(s.plain);
		return false;
	}
	session_open(b, &s, kind == RESUMED && b->saved != NULL);
	bool resumed = SSL_session_reused(s.ssl) == 1;
	session_talk(&s);
	session_close(&s);
	return resumed;
}

static struct cpu
measure_kind(struct bench *b, enum kind kind, int count)
{
	int resumed = 0;

	for (int i = 0; i < 20; i++) /* warm */
		(void)session(b, kind);
	struct cpu before = cpu_of(b);
	for (int i = 0; i < count; i++)
		resumed += session(b, kind);
	struct cpu after = cpu_of(b);
	if (resumed != (kind == RESUMED ? count : 0))
		fprintf(stderr, "tls_bench: %d resumed of %d\n", resumed, count);
	return (
	    struct cpu){ (after.us - before.us) / count, (after.user_us - before.user_us) / count };
}

static void
measure_cpu(struct bench *b, const char *key, int version, int count)
{
	struct cpu cpu[KINDS];

	SSL_CTX_set_min_proto_version(b->ctx, version);
	SSL_CTX_set_max_proto_version(b->ctx, version);
	SSL_SESSION_free(b->saved);
	b->saved = NULL;
	for (enum kind kind = 0; kind < KINDS; kind++)
		cpu[kind] = measure_kind(b, kind, count);
	printf("tls %-8s %s CPU (user) of a session: full %.0f (%.0f) us, resumed %.0f (%.0f) us, "
	       "client "
	       "leaves %.0f (%.0f) us; resumed of full %.2f (%.2f)\n",
	    key, version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2", cpu[FULL].us, cpu[FULL].user_us,
	    cpu[RESUMED].us, cpu[RESUMED].user_us, cpu[LEAVES].us, cpu[LEAVES].user_us,
	    cpu[RESUMED].us / cpu[FULL].us, cpu[RESUMED].user_us / cpu[FULL].user_us);
}

static void
measure_memory(struct bench *b, int version, int count)
{
	struct session *s = mem_array((size_t)count, sizeof *s), one;

	SSL_CTX_set_min_proto_version(b->ctx, version);
	SSL_CTX_set_max_proto_version(b->ctx, version);
	session_open(b, &one, false);
	session_talk(&one);
	session_close(&one);
	long long before = memory_kb(b);
	for (int i = 0; i < count; i++) {
		session_open(b, &s[i], false);
		session_talk(&s[i]);
	}
	printf("tls idle     %s session: %.2f kB of user memory (%d sessions)\n",
	    version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2",
	    (double)(memory_kb(b) - before) / count, count);
	for (int i = 0; i < count; i++)
		session_close(&s[i]);
	free(s);
}

static void
listen_here(struct bench *b)
{
	socklen_t len = sizeof b->at;

	b->at = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(b->listener, (struct sockaddr *)&b->at, len) != 0 ||
	    listen(b->listener, 100) != 0 ||
	    getsockname(b->listener, (struct sockaddr *)&b->at, &len) != 0)
		die("listen");
}

static void
run(const char *key, bool rsa, int version, int count, int idle)
{
	char pem[] = "/tmp/tls_bench.XXXXXX";
	struct bench b = { .pid = -1 };
	int fd = mkstemp(pem);

	if (fd < 0)
		die(pem);
	close(fd);
	/* Not here: as in the daemon, the room must be the first to use the library. */
	if (fork() == 0) {
		make_pem(pem, rsa);
		_exit(0);
	}
	wait(NULL);
	start_process(&b, pem);
	unlink(pem);
	listen_here(&b);
	b.ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(b.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(b.ctx, keep_session);
	if (idle > 0)
		measure_memory(&b, version, idle);
	measure_cpu(&b, key, version, count);
	SSL_SESSION_free(b.saved);
	SSL_CTX_free(b.ctx);
	close(b.listener);
	stop_process(&b);
}

int
main(int argc, char **argv)
{
	int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2000;
	int idle = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000;
	struct rlimit files;

	(void)signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	log_open("/dev/null", "bench", 0);
	/* A process each: everything is fresh. */
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			int version = i < 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
			run(i % 2 == 0 ? "ECDSA" : "RSA-2048", i % 2 != 0, version, count,
			    i % 2 == 0 ? idle : 0);
			exit(0);
		}
		wait(NULL);
	}
	return 0;
}
