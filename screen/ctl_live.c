/* gatehousectl: what is asked of the running daemon, over its control socket. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/mem.h"
#include "screen/ctl.h"
#include "screen/ctl_live.h"
#include "screen/tally.h"

#define ANSWER_MAX (4 << 20)
#define WAIT_S 150 /* a reload takes its time */

static int
dial(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = WAIT_S };
	int fd;

	if (strlen(path) >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0
			   ? fd
			   : -1;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Everything until the other side closes. */
static char *
hear_out(int fd, size_t *len)
{
	char *text = mem_alloc(ANSWER_MAX);
	ssize_t n = 1;

	for (*len = 0; n > 0 && *len < ANSWER_MAX - 1; *len += (size_t)n) {
		n = recv(fd, text + *len, ANSWER_MAX - 1 - *len, 0);
		if (n < 0)
			break;
	}
	text[*len] = '\0';
	return text;
}

static char *
ask_at(const struct ctl *ctl, const char *path, const char *request, enum ctl_exit *status)
{
	size_t len;
	int fd = dial(path);
	*status = CTL_UNREACHABLE;
	if (fd < 0) {
		fprintf(stderr, "gatehousectl: no answer at %s: %s%s\n", path, strerror(errno),
		    errno == EACCES ? " (gatehouse_control_group names the group that may)"
				    : "; does gatehouse run?");
		return NULL;
	}
	char *line = mem_printf("%s%s\n", request, ctl->json ? " json" : "");
	bool sent = send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line);
	char *text = hear_out(fd, &len);
	free(line);
	close(fd);
	if (sent && strncmp(text, "OK\n", 3) == 0) {
		*status = CTL_OK;
		memmove(text, text + 3, len - 2);
		return text;
	}
	if (strncmp(text, "ERR ", 4) == 0) {
		*status = CTL_NO;
		fprintf(stderr, "gatehousectl: %s", text + 4);
	} else {
		fprintf(stderr, "gatehousectl: gatehouse did not answer at %s\n", path);
	}
	free(text);
	return NULL;
}

char *
ctl_ask(struct ctl *ctl, const char *request, enum ctl_exit *status)
{
	struct rules *rules = ctl_rules_anyhow(ctl);
	char *answer;

	*status = CTL_CONFIG;
	if (rules == NULL)
		return NULL;
	answer = ask_at(ctl, rules_text(rules, P_gatehouse_control), request, status);
	rules_free(&rules);
	return answer;
}

static enum ctl_exit
print_answer(struct ctl *ctl, const char *request)
{
	enum ctl_exit status;
	char *text = ctl_ask(ctl, request, &status);

	if (text != NULL)
		fputs(text, stdout);
	free(text);
	return status;
}

enum ctl_exit
ctl_status(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return argc == 1 ? print_answer(ctl, "status") : ctl_usage(ctl, NULL);
}

enum ctl_exit
ctl_lists(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return argc == 1 ? print_answer(ctl, "lists") : ctl_usage(ctl, NULL);
}

/* Orders: what people are told is also what JSON says. */
static enum ctl_exit
command(struct ctl *ctl, int argc, const char *request)
{
	enum ctl_exit status;
	bool json = ctl->json;
	char *text;

	if (argc != 1)
		return ctl_usage(ctl, NULL);
	ctl->json = false;
	text = ctl_ask(ctl, request, &status);
	if (text == NULL)
		return status;
	if (json) {
		fputs("{\"answer\":", stdout);
		ctl_json_string(span_trim(span_of(text)));
		puts("}");
	} else {
		fputs(text, stdout);
	}
	free(text);
	return status;
}

enum ctl_exit
ctl_reload(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return command(ctl, argc, "reload");
}

enum ctl_exit
ctl_drain(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return command(ctl, argc, "drain");
}

enum ctl_exit
ctl_stop(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return command(ctl, argc, "stop");
}

/*
 * sessions
 */
struct watching {
	bool on, ended;
	uint64_t seconds, times; /* times 0: until interrupted */
	const char *limit;
};

static bool
take_watching(struct watching *w, int argc, char **argv)
{
	static const struct option names[] = {
		{ "watch", optional_argument, NULL, 'w' },
		{ "times", required_argument, NULL, 't' },
		{ "ended", no_argument, NULL, 'e' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		w->on = w->on || c == 'w';
		w->ended = w->ended || c == 'e';
		if (c == '?' ||
		    (c == 'w' && optarg != NULL &&
			!span_uint(span_of(optarg), 3600, &w->seconds)) ||
		    (c == 't' && !span_uint(span_of(optarg), UINT32_MAX, &w->times)))
			return false;
	}
	w->limit = optind < argc ? argv[optind++] : "";
	return optind == argc && w->seconds > 0;
}

enum ctl_exit
ctl_sessions(struct ctl *ctl, int argc, char **argv)
{
	struct watching w = { .seconds = 1, .limit = "" };
	enum ctl_exit status;

	if (!take_watching(&w, argc, argv))
		return ctl_usage(ctl, NULL);
	char *request = mem_printf("%s %s", w.ended ? "recent" : "sessions", w.limit);
	for (uint64_t i = 1;; i++) {
		if (w.on && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		status = print_answer(ctl, request);
		fflush(stdout);
		if (!w.on || status != CTL_OK || i == w.times)
			break;
		sleep((unsigned)w.seconds);
	}
	free(request);
	return status;
}

/*
 * metrics
 */
static void
print_metric(const char *name, const char *kind, const char *labels, const char *help)
{
	printf("%s\t%s\t%s\t%s\n", name, kind, labels, help);
}

static void
print_names(void)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

#define OWN(name, kind, help, put) print_metric(name, kind, "", help);
#include "screen/gauges.tbl"
#undef OWN
	for (size_t i = 0; i < tally_metrics_count; i++)
		print_metric(tally_metrics[i].name, kinds[tally_metrics[i].kind],
		    metric_label_names(&tally_metrics[i]), tally_metrics[i].help);
}

enum ctl_exit
ctl_metrics(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		print_names();
		return CTL_OK;
	}
	ctl->json = false;
	return argc == 1 ? print_answer(ctl, "metrics") : ctl_usage(ctl, NULL);
}

/*
 * offenders: lists for firewalls. The daemon has left out private addresses and its own.
 */
struct offending {
	char *address; /* of the answer's text */
	const char *reason;
	uint64_t count;
};

struct offending_list {
	size_t count;
	struct offending *row;
};

static const char *
field(char **rest)
{
	return strsep(rest, "\t\n");
}

static struct offending_list
parse_offenders(char *text)
{
	struct offending_list list = { 0 };
	size_t lines = 0;

	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	list.row = mem_array(lines + 1, sizeof list.row[0]);
	for (char *line; (line = strsep(&text, "\n")) != NULL;) {
		struct offending o = { 0 };
		o.address = (char *)(uintptr_t)field(&line);
		const char *count = line == NULL ? NULL : field(&line);
		(void)(line == NULL ? NULL : field(&line)); /* when it was seen last */
		o.reason = line == NULL ? NULL : field(&line);
		if (o.reason != NULL && count != NULL &&
		    span_uint(span_of(count), UINT64_MAX, &o.count))
			list.row[list.count++] = o;
	}
	return list;
}

static void
print_plain(const struct offending_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		printf("%s\n", list->row[i].address);
}

static void
print_table(const struct offending_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		printf("%-43s %8llu  %s\n", list->row[i].address,
		    (unsigned long long)list->row[i].count, list->row[i].reason);
}

static void
print_elements(const struct offending_list *list, const char *set, bool six)
{
	const char *before = " {\n\t";

	for (size_t i = 0; i < list->count; i++) {
		if ((strchr(list->row[i].address, ':') != NULL) != six)
			continue;
		if (before[0] == ' ')
			printf("add element inet gatehouse %s", set);
		printf("%s%s", before, list->row[i].address);
		before = ",\n\t";
	}
	if (before[0] == ',')
		puts("\n}");
}

/* Loading it again adds what is new; what is there keeps its end. */
static void
print_nftables(const struct offending_list *list)
{
	puts("# load with: nft -f FILE; use with: ip saddr @offenders4 tcp dport 25 drop\n"
	     "table inet gatehouse {\n"
	     "\tset offenders4 {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\ttimeout 1d\n\t}\n"
	     "\tset offenders6 {\n\t\ttype ipv6_addr\n\t\tflags interval, timeout\n\t\ttimeout "
	     "1d\n\t}\n"
	     "}");
	print_elements(list, "offenders4", false);
	print_elements(list, "offenders6", true);
}

/* cscli decisions import -i FILE --format csv */
static void
print_crowdsec(const struct offending_list *list)
{
	puts("duration,scope,value,reason,type");
	for (size_t i = 0; i < list->count; i++)
		printf("24h,%s,%s,gatehouse/%s,ban\n",
		    strchr(list->row[i].address, '/') != NULL ? "range" : "ip",
		    list->row[i].address, list->row[i].reason);
}

static const struct {
	const char *word;
	void (*print)(const struct offending_list *);
} formats[] = {
	{ "table", print_table },
	{ "plain", print_plain },
	{ "fail2ban", print_plain }, /* for: fail2ban-client set JAIL banip $(...) */
	{ "nftables", print_nftables },
	{ "crowdsec", print_crowdsec },
};

static bool
take_format(const char *word, size_t *format)
{
	for (*format = 0; *format < sizeof formats / sizeof formats[0]; ++*format)
		if (strcmp(word, formats[*format].word) == 0)
			return true;
	return false;
}

enum ctl_exit
ctl_offenders(struct ctl *ctl, int argc, char **argv)
{
	static const struct option names[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "least", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	enum ctl_exit status;
	uint64_t least = 3;
	size_t format = 0;
	int c;

	while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1)
		if (c == '?' || (c == 'f' && !take_format(optarg, &format)) ||
		    (c == 'l' && !span_uint(span_of(optarg), UINT32_MAX, &least)))
			return ctl_usage(ctl, NULL);
	if (optind != argc)
		return ctl_usage(ctl, NULL);
	char request[40];
	snprintf(request, sizeof request, "offenders %llu", (unsigned long long)least);
	if (ctl->json)
		return print_answer(ctl, request);
	char *text = ctl_ask(ctl, request, &status);
	if (text == NULL)
		return status;
	struct offending_list list = parse_offenders(text);
	formats[format].print(&list);
	free(list.row);
	free(text);
	return CTL_OK;
}
