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
#define WAIT_S 10
#define WAIT_RELOAD_S 150 /* new workers take their time */
#define LIMIT_MAX 2000	  /* rows of an answer */

static int
dial(const char *path, int64_t wait_s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = wait_s };
	int fd;

	if (strlen(path) >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* A stopped daemon fills its queue: then even connect() would wait for ever. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
	    connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static void
complain_dial(const struct rules *rules, const char *path, int64_t wait_s)
{
	const char *group = rules_text(rules, P_gatehouse_control_group);

	if (*path == '\0')
		fputs("gatehousectl: gatehouse_control is empty: there is no control socket\n",
		    stderr);
	else if (errno == EACCES && *group != '\0')
		fprintf(stderr,
		    "gatehousectl: you may not use %s: it is for root and the group %s "
		    "(gatehouse_control_group)\n",
		    path, group);
	else if (errno == EACCES)
		fprintf(stderr,
		    "gatehousectl: you may not use %s: it is for root (gatehouse_control_group "
		    "names a group that may, too)\n",
		    path);
	else if (errno == EAGAIN)
		fprintf(stderr,
		    "gatehousectl: gatehouse did not answer at %s within %lld seconds\n", path,
		    (long long)wait_s);
	else
		fprintf(stderr, "gatehousectl: no answer at %s: %s; does gatehouse run?\n", path,
		    strerror(errno));
}

/* Everything until the other side closes. *late: it did not in time. */
static char *
hear_out(int fd, size_t *len, bool *late)
{
	char *text = mem_alloc(ANSWER_MAX);
	ssize_t n = 1;

	*late = false;
	for (*len = 0; n > 0 && *len < ANSWER_MAX - 1; *len += (size_t)n) {
		n = recv(fd, text + *len, ANSWER_MAX - 1 - *len, 0);
		*late = n < 0 && errno == EAGAIN;
		if (n < 0)
			break;
	}
	text[*len] = '\0';
	return text;
}

/* The answer without its first line, or null after a complaint. */
static char *
take_answer(char *text, size_t len, enum ctl_exit *status)
{
	if (strncmp(text, "OK\n", 3) == 0) {
		*status = CTL_OK;
		memmove(text, text + 3, len - 2);
		return text;
	}
	if (strncmp(text, "ERR ", 4) == 0) {
		*status = CTL_NO;
		fprintf(stderr, "gatehousectl: %s", text + 4);
	}
	free(text);
	return NULL;
}

static char *
ask_at(const struct ctl *ctl, const struct rules *rules, const char *request, enum ctl_exit *status)
{
	const char *path = rules_text(rules, P_gatehouse_control);
	int64_t wait_s = strcmp(request, "reload") == 0 ? WAIT_RELOAD_S : WAIT_S;
	size_t len;
	bool late;
	int fd = dial(path, wait_s);

	*status = CTL_UNREACHABLE;
	if (fd < 0) {
		complain_dial(rules, path, wait_s);
		return NULL;
	}
	char *line = mem_printf("%s%s\n", request, ctl->json ? " json" : "");
	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
	char *text = hear_out(fd, &len, &late);
	text = take_answer(text, len, status);
	free(line);
	close(fd);
	if (text == NULL && *status == CTL_UNREACHABLE && late)
		fprintf(stderr,
		    "gatehousectl: gatehouse did not answer at %s within %lld seconds\n", path,
		    (long long)wait_s);
	else if (text == NULL && *status == CTL_UNREACHABLE)
		fprintf(stderr, "gatehousectl: gatehouse hung up at %s without an answer\n", path);
	return text;
}

char *
ctl_ask(struct ctl *ctl, const char *request, enum ctl_exit *status)
{
	struct rules *rules = ctl_rules_anyhow(ctl);
	char *answer;

	*status = CTL_CONFIG;
	if (rules == NULL)
		return NULL;
	answer = ask_at(ctl, rules, request, status);
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
ctl_leave(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return command(ctl, argc, "leave");
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
	uint64_t limit;

	if (!take_watching(&w, argc, argv))
		return ctl_usage(ctl, NULL);
	if (*w.limit != '\0' && (!span_uint(span_of(w.limit), LIMIT_MAX, &limit) || limit == 0))
		return ctl_usage(ctl, "\"%s\" is no number from 1 to %d", w.limit, LIMIT_MAX);
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
print_metric(
    const struct ctl *ctl, const char *name, const char *kind, const char *labels, const char *help)
{
	if (!ctl->json) {
		printf("%s\t%s\t%s\t%s\n", name, kind, labels, help);
		return;
	}
	printf("{\"name\":\"%s\",\"kind\":\"%s\",\"labels\":\"%s\",\"help\":", name, kind, labels);
	ctl_json_string(span_of(help));
	puts("}");
}

static void
print_names(const struct ctl *ctl)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

#define OWN(name, kind, help, put) print_metric(ctl, name, kind, "", help);
#include "screen/gauges.tbl"
#undef OWN
	for (size_t i = 0; i < tally_metrics_count; i++)
		print_metric(ctl, tally_metrics[i].name, kinds[tally_metrics[i].kind],
		    metric_label_names(&tally_metrics[i]), tally_metrics[i].help);
}

/* `name{a="b",c="d"} 7` as an object. Labels are quoted and escaped there as they are in JSON. */
static void
print_sample(const char *line)
{
	size_t name = strcspn(line, "{ ");
	const char *value = strrchr(line, ' ');
	bool quoted = false;

	printf("{\"name\":\"%.*s\",\"labels\":{", (int)name, line);
	if (line[name] == '{') {
		putchar('"');
		for (const char *p = line + name + 1; p < value - 1; p++) {
			if (quoted && *p == '\\')
				putchar(*p++);
			else if (*p == '"')
				quoted = !quoted;
			if (!quoted && *p == '=')
				fputs("\":", stdout);
			else
				putchar(*p);
			if (!quoted && *p == ',')
				putchar('"');
		}
	}
	printf("},\"value\":%s}\n", value + 1);
}

enum ctl_exit
ctl_metrics(struct ctl *ctl, int argc, char **argv)
{
	enum ctl_exit status;
	bool json = ctl->json;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		print_names(ctl);
		return CTL_OK;
	}
	if (argc != 1)
		return ctl_usage(ctl, NULL);
	ctl->json = false;
	if (!json)
		return print_answer(ctl, "metrics");
	char *text = ctl_ask(ctl, "metrics", &status), *rest = text;
	for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0' && *line != '#')
			print_sample(line);
	free(text);
	return status;
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
