/*
 * tlsplay: plays the master and a screen worker for the tlsproxy room.
 *
 *	tlsplay [-n PROCESSES] [-l SESSION-LIMIT] [-t] DIR ADDRESS:PORT
 *
 * Reads DIR/main.cf, starts the processes, and serves each TCP client in a child of its own: a
 *greeting, EHLO, STARTTLS, then (in TLS, with -t from the first byte) one command a line: FACTS
 *what the facts record said, as one 250 line FLOOD N		250, then N bytes SINK N
 *takes N bytes, then 250 and their sum DEAF MS		reads nothing for a time, then 250 WAITEOF
 *waits for the client's EOF, then 250 and closes QUIT		221 and closes SIGHUP reloads: new
 *processes if the configuration is good, the old ones drain. SIGUSR1 asks tlsproxy_conf_changed()
 *twice and prints the answer. SIGTERM stops. Complaints and news go to standard output.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tlsproxy/tlsproxy.h"

#define PROCESSES_MAX 16

struct play {
	const char *dir;
	size_t processes, limit;
	bool tls_first;
	struct tlsproxy_conf *conf;
	struct tlsproxy_tickets *tickets;
	int channel[2];
	pid_t pids[PROCESSES_MAX];
};

static volatile sig_atomic_t hup, term, usr1;

static void
on_signal(int signo)
{
	if (signo == SIGHUP)
		hup = 1;
	else if (signo == SIGUSR1)
		usr1 = 1;
	else if (signo == SIGTERM)
		term = 1;
}

static void
show(void *arg, enum diag_level level, const char *text)
{
	static const char *const words[] = { "notice", "warning", "unavailable", "error" };

	(void)arg;
	printf("%s: %s\n", words[level], text);
}

static struct tlsproxy_conf *
load(const struct play *p)
{
	struct diag *diag = diag_new();
	struct rules *rules = rules_load(p->dir, NULL, 0, diag);
	struct tlsproxy_conf *conf =
	    rules != NULL ? tlsproxy_conf_load(rules, time(NULL), diag) : NULL;

	diag_each(diag, show, NULL);
	if (conf != NULL && diag_count(diag, DIAG_ERROR) > 0)
		tlsproxy_conf_free(&conf);
	rules_free(&rules);
	diag_free(&diag);
	(void)fflush(stdout);
	return conf;
}

static void
start_process(struct play *p, size_t i)
{
	struct tlsproxy_process process = { .conf = p->conf,
		.tickets = p->tickets,
		.channels = &p->channel[1],
		.channel_count = 1,
		.user = "nobody",
		.session_limit = p->limit };

	(void)fflush(stdout);
	p->pids[i] = tlsproxy_fork(p->conf, p->tickets);
	if (p->pids[i] == 0)
		exit(tlsproxy_main(&process));
	printf("process %d\n", (int)p->pids[i]);
}

static bool
start_all(struct play *p)
{
	if (!tlsproxy_conf_ready(p->conf) || !tlsproxy_channel(p->channel))
		return false;
	(void)tlsproxy_tickets_turn(p->tickets, p->conf, time(NULL));
	for (size_t i = 0; i < p->processes; i++)
		start_process(p, i);
	printf("ready\n");
	return fflush(stdout) == 0;
}

static void
reload(struct play *p)
{
	struct tlsproxy_conf *fresh = load(p);

	if (fresh == NULL) {
		printf("kept\n");
	} else {
		tlsproxy_conf_free(&p->conf);
		p->conf = fresh;
		close(p->channel[0]);
		close(p->channel[1]);
		(void)start_all(p);
	}
	(void)fflush(stdout);
}

static void
reap(struct play *p)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < p->processes; i++)
			if (pid == p->pids[i]) {
				printf("died %d %d\n", (int)pid, status);
				start_process(p, i);
				(void)fflush(stdout);
			}
}

/* One client. */
struct guest {
	int fd;
	char in[8192];
	size_t len;
	struct tls_facts facts;
};

static void
say(struct guest *g, const char *text)
{
	size_t len = strlen(text);

	for (ssize_t n; len > 0; text += n, len -= (size_t)n)
		if ((n = send(g->fd, text, len, MSG_NOSIGNAL)) <= 0)
			exit(1);
}

/* Waits for more input. False at EOF. */
static bool
more(struct guest *g)
{
	ssize_t n = g->len < sizeof g->in ? read(g->fd, g->in + g->len, sizeof g->in - g->len) : 0;

	if (n > 0)
		g->len += (size_t)n;
	return n > 0;
}

static void
drop(struct guest *g, size_t n)
{
	memmove(g->in, g->in + n, g->len - n);
	g->len -= n;
}

static bool
line(struct guest *g, char *out, size_t size)
{
	char *end;

	while ((end = memchr(g->in, '\n', g->len)) == NULL)
		if (!more(g))
			return false;
	size_t len = (size_t)(end - g->in) + 1;
	snprintf(out, size, "%.*s", (int)strcspn(g->in, "\r\n"), g->in);
	drop(g, len);
	return true;
}

static void
start_tls(struct play *p, struct guest *g, const struct endpoint *peer)
{
	struct tlsproxy_request request = { .peer = *peer, .server = *peer };
	size_t used = 0;
	int plain = tlsproxy_start(p->channel[0], &request, g->fd);

	if (plain < 0) {
		say(g, "454 4.7.0 TLS not available due to local problem\r\n");
		return;
	}
	if (!p->tls_first)
		say(g, "220 2.0.0 Ready to start TLS\r\n");
	close(g->fd);
	g->fd = plain;
	g->len = 0;
	fd_nonblock(plain, false);
	enum tls_facts_result result;
	while ((result = tls_facts_parse((struct span){ g->in, g->len }, &used, &g->facts)) ==
	       TLS_FACTS_MORE)
		if (!more(g)) {
			printf("no facts\n");
			exit(1);
		}
	drop(g, used);
	printf("facts %s\n", result == TLS_FACTS_BAD ? "bad" : tls_outcome_word(g->facts.outcome));
	if (fflush(stdout) != 0 || g->facts.outcome != TLS_OK)
		exit(1);
}

static void
tell_facts(struct guest *g)
{
	static const char *const certs[] = { "none", "untrusted", "trusted" };
	const struct tls_facts *f = &g->facts;
	char text[1600];

	snprintf(text, sizeof text,
	    "250 %s %s %u/%u resumed=%d sni=%s matched=%d cert=%s cn=%s issuer=%s fp=%s key=%s\r\n",
	    f->protocol, f->cipher, f->bits, f->bits_max, f->resumed, f->sni, f->sni_matched,
	    certs[f->client_cert], f->client_cn, f->issuer_cn, f->fingerprint, f->key_fingerprint);
	say(g, text);
}

static unsigned long
number(const char *line_text)
{
	const char *space = strchr(line_text, ' ');

	return space != NULL ? strtoul(space + 1, NULL, 10) : 0;
}

static void
flood(struct guest *g, unsigned long count)
{
	char block[4096];

	memset(block, 'x', sizeof block);
	say(g, "250 here it comes\r\n");
	while (count > 0) {
		ssize_t n =
		    send(g->fd, block, count < sizeof block ? count : sizeof block, MSG_NOSIGNAL);
		if (n <= 0)
			exit(1);
		count -= (unsigned long)n;
	}
}

static void
sink(struct guest *g, unsigned long count)
{
	unsigned long left = count, sum = 0;
	char text[80];

	for (;;) {
		size_t n = g->len < left ? g->len : left;
		for (size_t i = 0; i < n; i++)
			sum += (unsigned char)g->in[i];
		left -= n;
		drop(g, n);
		if (left == 0 || !more(g))
			break;
	}
	snprintf(text, sizeof text, "250 %lu %lu\r\n", count - left, sum);
	say(g, text);
}

/* False: the conversation is over. */
static bool
obey(struct play *p, struct guest *g, const struct endpoint *peer, const char *command)
{
	if (strcmp(command, "STARTTLS") == 0) {
		start_tls(p, g, peer);
	} else if (strcmp(command, "FACTS") == 0) {
		tell_facts(g);
	} else if (strncmp(command, "FLOOD ", 6) == 0) {
		flood(g, number(command));
	} else if (strncmp(command, "SINK ", 5) == 0) {
		sink(g, number(command));
	} else if (strncmp(command, "DEAF ", 5) == 0) {
		usleep((useconds_t)number(command) * 1000);
		say(g, "250 awake\r\n");
	} else if (strcmp(command, "WAITEOF") == 0) {
		while (more(g))
			g->len = 0;
		say(g, "250 you are done\r\n");
		return false;
	} else if (strcmp(command, "QUIT") == 0) {
		say(g, "221 bye\r\n");
		return false;
	} else {
		say(g, strncmp(command, "EHLO", 4) == 0 ? "250-tlsplay\r\n250 STARTTLS\r\n"
							: "250 ok\r\n");
	}
	return true;
}

static void
serve(struct play *p, int fd, const struct endpoint *peer)
{
	struct guest g = { .fd = fd };
	char command[1024];

	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
	/* Inherited from the listener. */
	(void)setsockopt(
	    fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0 }, sizeof(struct timeval));
	if (p->tls_first)
		start_tls(p, &g, peer);
	else
		say(&g, "220 tlsplay ESMTP\r\n");
	while (line(&g, command, sizeof command) && obey(p, &g, peer, command))
		;
	_exit(0);
}

static int
listen_at(const char *text)
{
	struct endpoint at;
	struct sockaddr_storage ss;
	int fd = -1;

	if (!endpoint_parse(&at, text, strlen(text), -1))
		return -1;
	socklen_t len = endpoint_to_sockaddr(&at, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	/* A signal that comes just before accept() must not wait for the next client. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_usec = 100000 },
	    sizeof(struct timeval));
	return bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, 1000) == 0 ? fd : -1;
}

static void
news(struct play *p)
{
	if (hup)
		reload(p);
	if (usr1) {
		bool first = tlsproxy_conf_changed(p->conf);
		printf("changed %d %d\n", first, tlsproxy_conf_changed(p->conf));
		(void)fflush(stdout);
	}
	hup = usr1 = 0;
	reap(p);
}

static void
run(struct play *p, int listener)
{
	while (!term) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		struct endpoint peer;
		int fd = accept4(listener, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC);
		news(p);
		if (fd < 0)
			continue;
		if (endpoint_from_sockaddr(&peer, &ss) && fork() == 0) {
			close(listener);
			serve(p, fd, &peer);
		}
		close(fd);
	}
}

static int
usage(void)
{
	(void)fputs("usage: tlsplay [-n PROCESSES] [-l LIMIT] [-t] DIR ADDRESS:PORT\n", stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	struct play p = { .processes = 1, .limit = 100 };
	struct sigaction sa = { .sa_handler = on_signal };

	for (int c; (c = getopt(argc, argv, "n:l:t")) != -1;)
		if (c == 'n')
			p.processes = strtoul(optarg, NULL, 10);
		else if (c == 'l')
			p.limit = strtoul(optarg, NULL, 10);
		else if (c == 't')
			p.tls_first = true;
		else
			return usage();
	if (argc - optind != 2 || p.processes > PROCESSES_MAX)
		return usage();
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGCHLD, &sa, NULL);
	p.dir = argv[optind];
	p.tickets = tlsproxy_tickets_new();
	p.conf = load(&p);
	int listener = listen_at(argv[optind + 1]);
	bool ok = p.conf != NULL && listener >= 0 && start_all(&p);
	if (ok)
		run(&p, listener);
	for (size_t i = 0; ok && i < p.processes; i++)
		kill(p.pids[i], SIGTERM);
	tlsproxy_conf_free(&p.conf);
	tlsproxy_tickets_free(&p.tickets);
	return ok ? 0 : 1;
}
