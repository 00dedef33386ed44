/*
 * screen/tune_main.c: gatehouse-tune: options, the configuration in force, and progress.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "base/mem.h"
#include "screen/tune_scorer.h"

enum { EXIT_UNREAD = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

static struct tune_scorer_config config;

/*
 * Options.
 */
struct run {
	struct tune_options options;
	const char *sites, *own, *html;
	int64_t threshold;
	bool quiet;
};
enum word {
	O_SITES = 256,
	O_THRESHOLD,
	O_ALLOW,
	O_WHAT_IF,
	O_SUGGEST,
	O_MAX_FP,
	O_DENYLIST,
	O_OWN,
	O_KEEP,
	O_JSON,
	O_HTML,
	O_QUIET,
	O_HELP,
	O_VERSION
};
static const struct option long_options[] = { { "sites", required_argument, NULL, O_SITES },
	{ "threshold", required_argument, NULL, O_THRESHOLD },
	{ "allow", required_argument, NULL, O_ALLOW },
	{ "what-if", required_argument, NULL, O_WHAT_IF },
	{ "suggest", no_argument, NULL, O_SUGGEST },
	{ "max-fp", required_argument, NULL, O_MAX_FP },
	{ "denylist", no_argument, NULL, O_DENYLIST }, { "own", required_argument, NULL, O_OWN },
	{ "keep-days", required_argument, NULL, O_KEEP }, { "json", no_argument, NULL, O_JSON },
	{ "html", required_argument, NULL, O_HTML }, { "quiet", no_argument, NULL, O_QUIET },
	{ "help", no_argument, NULL, O_HELP }, { "version", no_argument, NULL, O_VERSION },
	{ NULL, 0, NULL, 0 } };

static const char usage[] =
    "usage: gatehouse-tune [-c DIR] [-o NAME=VALUE] [--sites SITES] [--threshold N] [--what-if "
    "SITES] [--allow N]\n"
    "           [--suggest] [--max-fp RATE] [--json] [--html FILE] [--quiet] [FILE...]\n"
    "       gatehouse-tune [-c DIR] --denylist [--own NETWORKS] [--keep-days N] [FILE...]\n";

static bool
number_option(const char *name, const char *text, int64_t min, int64_t max, int64_t *out)
{
	if (span_int(span_of(text), min, max, out))
		return true;
	fprintf(stderr, "gatehouse-tune: --%s wants a whole number from %lld to %lld, not \"%s\"\n",
	    name, (long long)min, (long long)max, text);
	return false;
}

static bool
rate_option(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end != text && *end == '%' && end[1] == '\0') {
		*out /= 100;
		end++;
	}
	if (end != text && *end == '\0' && *out >= 0 && *out <= 1)
		return true;
	fprintf(stderr,
	    "gatehouse-tune: --max-fp wants a share from 0 to 1 (or 0%% to 100%%), not \"%s\"\n",
	    text);
	return false;
}

static bool
override_option(char *text)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || config.overrides == TUNE_OVERRIDES_MAX) {
		fprintf(stderr, "gatehouse-tune: -o wants NAME=VALUE, not \"%s\"\n", text);
		return false;
	}
	*equals = '\0';
	config.override[config.overrides++] = (struct rules_override){ text, equals + 1 };
	return true;
}

static bool
option_take(struct run *run, int option, char *value)
{
	struct tune_options *o = &run->options;

	switch (option) {
	case 'c':
		config.dir = value;
		return true;
	case 'o':
		return override_option(value);
	case O_SITES:
		run->sites = value;
		return true;
	case O_THRESHOLD:
		return number_option("threshold", value, 1, 1000000, &run->threshold);
	case O_ALLOW:
		return number_option("allow", value, -1000000, 0, &o->what_if_allow);
	case O_WHAT_IF:
		o->what_if = value;
		return true;
	case O_SUGGEST:
		o->suggest = true;
		return true;
	case O_MAX_FP:
		return rate_option(value, &o->max_fp);
	case O_DENYLIST:
		o->denylist = true;
		return true;
	case O_OWN:
		run->own = value;
		return true;
	case O_KEEP:
		return number_option("keep-days", value, 1, 3650, &o->keep_days);
	case O_JSON:
		o->json = true;
		return true;
	case O_HTML:
		run->html = value;
		return true;
	case O_QUIET:
		run->quiet = true;
		return true;
	default:
		return false;
	}
}

static void
diag_print(void *arg, enum diag_level level, const char *text)
{
	(void)arg;
	if (level >= DIAG_WARNING)
		fprintf(stderr, "gatehouse-tune: %s\n", text);
}

/* The sites and threshold in force, and whose networks are ours. False if the configuration has
 * errors. */
static bool
configure(struct run *run, struct rules *rules, struct match_list **own, struct diag *diag)
{
	struct tune_options *o = &run->options;
	bool known = config.dir != NULL || config.overrides > 0;
	char *networks;

	o->sites = run->sites != NULL ? run->sites
		   : known	      ? rules_text(rules, P_postscreen_dnsbl_sites)
				      : NULL;
	if (config.dir != NULL || rules_is_set(rules, P_postscreen_dnsbl_threshold))
		o->threshold = rules_number(rules, P_postscreen_dnsbl_threshold);
	/* One --threshold: for the list that is tried, or for the one in force if none is. */
	if (run->threshold > 0 && o->what_if == NULL && config.dir != NULL)
		o->what_if = o->sites;
	if (o->what_if != NULL)
		o->what_if_threshold = run->threshold;
	else if (run->threshold > 0)
		o->threshold = run->threshold;
	networks = mem_printf("%s %s", run->own != NULL ? run->own : "",
	    config.dir != NULL ? rules_text(rules, P_mynetworks) : "");
	*own = match_list_open(networks, "--own, mynetworks", 0, diag);
	free(networks);
	return diag_count(diag, DIAG_ERROR) == 0;
}

/*
 * Progress, on a terminal, when there is something to wait for.
 */
struct bar {
	struct timespec start;
	unsigned calls;
	bool drawn;
};

static void
bar_draw(void *arg, uint64_t done, uint64_t total)
{
	struct bar *bar = arg;
	struct timespec now;
	double seconds, share = total == 0 ? 0 : (double)done / (double)total;
	char mark[31];

	if (++bar->calls % 64 != 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - bar->start.tv_sec) +
		  (double)(now.tv_nsec - bar->start.tv_nsec) / 1e9;
	if (seconds < 0.5)
		return;
	for (int i = 0; i < 30; i++)
		mark[i] = i < share * 30 ? '#' : '.';
	mark[30] = '\0';
	fprintf(stderr, "\r[%s] %3.0f %%  %.0f MB  %.0f MB/s ",
	    total == 0 ? "reading standard input ......." : mark, 100 * share, (double)done / 1e6,
	    (double)done / 1e6 / seconds);
	bar->drawn = true;
}

static bool
read_all(struct tune *tune, const struct run *run, char **paths, size_t count, struct diag *diag)
{
	static char dash[] = "-";
	char *standard[] = { dash };
	struct bar bar = { .calls = 0 };
	bool show = !run->quiet && isatty(STDERR_FILENO), fine;

	clock_gettime(CLOCK_MONOTONIC, &bar.start);
	if (count == 0) {
		paths = standard;
		count = 1;
	}
	fine =
	    tune_read(tune, paths, count, (int64_t)time(NULL), show ? bar_draw : NULL, &bar, diag);
	if (bar.drawn)
		fprintf(stderr, "\r%79s\r", "");
	tune_finish(tune);
	return fine;
}

static int
report(struct tune *tune, struct run *run, struct diag *diag)
{
	bool fine;

	if (run->html != NULL && (run->options.html = fopen(run->html, "we")) == NULL) {
		fprintf(stderr, "gatehouse-tune: %s: %s\n", run->html, strerror(errno));
		return EXIT_UNREAD;
	}
	fine = tune_report(tune, &run->options, tune_scorer_of(&config), stdout, diag);
	if (fflush(stdout) != 0 || (run->options.html != NULL && fclose(run->options.html) != 0)) {
		fprintf(stderr, "gatehouse-tune: the report could not be written: %s\n",
		    strerror(errno));
		return EXIT_UNREAD;
	}
	return fine ? 0 : EXIT_CONFIG;
}

static int
run_all(struct run *run, char **paths, size_t count)
{
	struct diag *diag = diag_new();
	struct rules *rules = rules_load(config.dir, config.override, config.overrides, diag);
	struct match_list *own = NULL;
	struct tune *tune = tune_new();
	int status = EXIT_CONFIG;

	if (rules != NULL && configure(run, rules, &own, diag)) {
		bool read = false;

		run->options.own = own;
		read = read_all(tune, run, paths, count, diag);
		status = report(tune, run, diag);
		if (status == 0 && !read)
			status = EXIT_UNREAD;
	}
	diag_each(diag, diag_print, NULL);
	match_list_free(&own);
	rules_free(&rules);
	diag_free(&diag);
	tune_free(&tune);
	return status;
}

int
main(int argc, char **argv)
{
	struct run run = { .options = { .max_fp = TUNE_MAX_FP_DEFAULT,
			       .keep_days = TUNE_KEEP_DAYS_DEFAULT } };
	int option;

	while ((option = getopt_long(argc, argv, "c:o:", long_options, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(usage, stdout);
			return 0;
		}
		if (option == O_VERSION) {
			puts("gatehouse-tune " PACKAGE_VERSION);
			return 0;
		}
		if (!option_take(&run, option, optarg)) {
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc && isatty(STDIN_FILENO)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return run_all(&run, argv + optind, (size_t)(argc - optind));
}
