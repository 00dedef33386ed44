/* gatehouse(8): reads the command line and the configuration, then becomes the master. */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "screen/master.h"

#define OVERRIDES_MAX 256

struct options {
	const char *config_dir;
	bool foreground, test_only;
	struct rules_override overrides[OVERRIDES_MAX];
	size_t override_count;
};

static void
print_usage(FILE *to)
{
	fputs(
	    "usage: gatehouse [-c DIR] [-f] [-t] [-o NAME=VALUE]...\n"
	    "  -c DIR         configuration directory (default " GH_SYSCONFDIR ")\n"
	    "  -f             stay in the foreground, log to standard error unless gatehouse_log "
	    "is set\n"
	    "  -t             check the configuration and exit: 0, or 78 with FILE:LINE messages\n"
	    "  -o NAME=VALUE  override a parameter\n"
	    "  -v, --version  version and build\n"
	    "  -h, --help     this\n",
	    to);
}

static _Noreturn void
usage(void)
{
	print_usage(stderr);
	exit(EX_USAGE);
}

static void
version(void)
{
	static const char *const parts[] = {
#ifndef HAVE_OPENSSL
		"TLS",
#endif
#ifndef HAVE_PCRE2
		"pcre and regexp tables",
#endif
#ifndef HAVE_MAXMINDDB
		"country and ASN look-up",
#endif
#ifndef HAVE_SECCOMP
		"the system call filter",
#endif
#ifndef HAVE_HIREDIS
		"shared records",
#endif
		NULL,
	};

	printf("gatehouse %s", PACKAGE_VERSION);
	for (size_t i = 0; parts[i] != NULL; i++)
		printf("%s%s", i == 0 ? " (built without: " : ", ", parts[i]);
	puts(parts[0] == NULL ? "" : ")");
}

static void
add_override(struct options *o, const char *arg)
{
	char *text = mem_strdup(arg),
	     *equals = strchr(text, '='); /* the arguments themselves show in ps(1) */

	if (equals == NULL || equals == text || o->override_count == OVERRIDES_MAX) {
		fprintf(stderr, "gatehouse: -o %s: write -o NAME=VALUE\n", text);
		exit(EX_USAGE);
	}
	*equals = '\0';
	o->overrides[o->override_count++] = (struct rules_override){ text, equals + 1 };
}

static void
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option words[] = { { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "c:fto:vh", words, NULL)) != -1)
		switch (c) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 't':
			o->test_only = true;
			break;
		case 'o':
			add_override(o, optarg);
			break;
		case 'v':
			version();
			exit(EXIT_SUCCESS);
		case 'h':
			print_usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage();
		}
	if (optind != argc)
		usage();
	/* Without -c a missing default directory means embedded defaults; a named one must be there. */
	struct stat st;
	if (o->config_dir == NULL && stat(GH_SYSCONFDIR, &st) == 0)
		o->config_dir = GH_SYSCONFDIR;
}

static void
print_diag(void *arg, enum diag_level level, const char *text)
{
	static const char *const words[] = {
		[DIAG_NOTICE] = "notice",
		[DIAG_WARNING] = "warning",
		[DIAG_UNAVAILABLE] = "error",
		[DIAG_ERROR] = "error",
	};
	const struct options *o = arg;

	if (level != DIAG_NOTICE || o->test_only)
		fprintf(stderr, "gatehouse: %s: %s\n", words[level], text);
}

static struct snapshot *
load(struct options *o)
{
	struct diag *diag = diag_new();
	struct snapshot *snap = snapshot_load(o->config_dir, o->overrides, o->override_count, diag);
	unsigned errors = diag_count(diag, DIAG_ERROR);

	if (o->test_only)
		errors += diag_count(diag, DIAG_UNAVAILABLE);

	diag_each(diag, print_diag, o);
	diag_free(&diag);
	if (snap == NULL || errors > 0) {
		fprintf(stderr, "gatehouse: %u error%s in the configuration\n", errors,
		    errors == 1 ? "" : "s");
		exit(EX_CONFIG);
	}
	return snap;
}

/* What became of the child that was to serve: 0 once its workers do, or its exit status. */
static int
wait_for_child(pid_t pid, int fd)
{
	char byte;
	int status;

	if (read(fd, &byte, 1) == 1)
		return EXIT_SUCCESS;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}

/*
 * The parent waits until the workers serve, so that the exit status tells the truth. Returns our end. It comes
 * before the configuration: private keys lie in memory that no child inherits.
 */
static int
become_child(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0) {
		perror("gatehouse: pipe");
		exit(EXIT_FAILURE);
	}
	pid_t pid = fork();
	if (pid < 0) {
		perror("gatehouse: fork");
		exit(EXIT_FAILURE);
	}
	if (pid > 0) {
		close(ends[1]);
		exit(wait_for_child(pid, ends[0]));
	}
	close(ends[0]);
	return ends[1];
}

/* Away from the terminal, when nothing more is to be said there. */
static void
leave_terminal(void)
{
	setsid();
	(void)!chdir("/");
	int null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		if (null > 2)
			close(null);
	}
}

int
main(int argc, char **argv)
{
	static struct options o;
	struct master_start start = { .ready_fd = -1 };

	parse_options(&o, argc, argv);
	if (!o.foreground && !o.test_only)
		start.ready_fd = become_child();
	if (!o.foreground && o.config_dir != NULL) { /* leave_terminal() goes elsewhere */
		char *full = realpath(o.config_dir, NULL);
		o.config_dir = full != NULL ? full : o.config_dir;
	}
	start.snap = load(&o);
	if (o.test_only) {
		snapshot_free(&start.snap);
		return EXIT_SUCCESS;
	}
	start.foreground = o.foreground;
	if (!master_open_log(start.snap, o.foreground))
		return EX_CONFIG;
	if (!o.foreground)
		leave_terminal();
	start.config_dir = o.config_dir;
	start.overrides = o.overrides;
	start.override_count = o.override_count;
	return master_main(&start);
}
