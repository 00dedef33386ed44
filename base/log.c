#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define LINE_MAX_TEXT 2000
#define GATHER_SIZE 32768
#define GATHER_LINES 128
#define SYSLOG_PATH "/dev/log"

enum sink_kind { SINK_STDERR, SINK_FILE, SINK_SYSLOG };

static struct {
	enum sink_kind kind;
	int fd, facility;
	pid_t pid;
	enum log_level threshold;
	char tag[64], host[64];
	char gathered[GATHER_SIZE];
	size_t ends
	    [GATHER_LINES]; /* where each gathered line ends: a datagram each for the system log */
	size_t len, lines;
	uint64_t lost, lost_told;
	time_t stamp_at;
	char stamp[32];
} sink = { .kind = SINK_STDERR, .fd = 2, .threshold = LOG_LEVEL_INFO, .tag = "gatehouse" };

static const struct {
	const char *word;
	int priority;
} levels[] = {
	[LOG_LEVEL_DEBUG] = { "", LOG_DEBUG },
	[LOG_LEVEL_INFO] = { "", LOG_INFO },
	[LOG_LEVEL_WARNING] = { "warning: ", LOG_WARNING },
	[LOG_LEVEL_ERROR] = { "error: ", LOG_ERR },
	[LOG_LEVEL_FATAL] = { "fatal: ", LOG_CRIT },
};

/* A child must not write what its parent gathered, and has a number of its own. */
static void
forked(void)
{
	sink.len = sink.lines = 0;
	sink.pid = getpid();
}

static void
prepare_once(void)
{
	static bool prepared;

	if (prepared)
		return;
	prepared = true;
	pthread_atfork(NULL, NULL, forked);
	tzset();
	sink.pid = getpid();
	if (gethostname(sink.host, sizeof sink.host - 1) != 0)
		strncpy(sink.host, "localhost", sizeof sink.host - 1);
	sink.host[strcspn(sink.host, ".")] = '\0';
}

static int
connect_syslog(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = SYSLOG_PATH };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		(void)connect(
		    fd, (struct sockaddr *)&un, sizeof un); /* tried again at each flush */
	return fd;
}

bool
log_open(const char *target, const char *tag, int facility)
{
	enum sink_kind kind = SINK_FILE;
	int fd;

	prepare_once();
	if (strcmp(target, "stderr") == 0) {
		kind = SINK_STDERR;
		fd = 2;
	} else if (strcmp(target, "syslog") == 0) {
		kind = SINK_SYSLOG;
		fd = connect_syslog();
	} else {
		fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	}
	if (fd < 0)
		return false;
	log_flush();
	if (sink.fd > 2)
		close(sink.fd);
	sink.kind = kind;
	sink.fd = fd;
	sink.facility = facility;
	snprintf(sink.tag, sizeof sink.tag, "%s", tag);
	return true;
}

void
log_host(const char *name)
{
	prepare_once();
	snprintf(sink.host, sizeof sink.host, "%.*s", (int)strcspn(name, "."), name);
}

int
log_fd(void)
{
	return sink.fd;
}

void
log_threshold(enum log_level level)
{
	sink.threshold = level;
}

uint64_t
log_lost(void)
{
	return sink.lost;
}

/* "Nov 21 01:20:02", made once a second. */
static const char *
time_stamp(void)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != sink.stamp_at) {
		sink.stamp_at = now.tv_sec;
		localtime_r(&now.tv_sec, &tm);
		strftime(sink.stamp, sizeof sink.stamp, "%b %e %H:%M:%S", &tm);
	}
	return sink.stamp;
}

/* The last wall: whatever was not escaped by its owner cannot forge a line or drive a terminal. */
static void
neutralise(struct buf *line, size_t from)
{
	struct span text = { line->p + from, line->len - from };
	bool utf8 = span_is_utf8(text);

	for (size_t i = from; i < line->len; i++) {
		unsigned char c = (unsigned char)line->p[i];
		if (c < 32 || c == 127 || (c > 127 && !utf8))
			line->p[i] = '?';
	}
}

static void
send_datagrams(void)
{
	struct mmsghdr messages[GATHER_LINES];
	struct iovec parts[GATHER_LINES];
	size_t from = 0, sent = 0;

	for (size_t i = 0; i < sink.lines; i++) {
		parts[i] = (struct iovec){ sink.gathered + from, sink.ends[i] - from - 1 };
		messages[i] =
		    (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
		from = sink.ends[i];
	}
	for (int tries = 0; sent < sink.lines && tries < 2;) {
		int n =
		    sendmmsg(sink.fd, messages + sent, (unsigned)(sink.lines - sent), MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		/* The system logger was restarted: its socket is a new one. */
		struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = SYSLOG_PATH };
		if (connect(sink.fd, (struct sockaddr *)&un, sizeof un) != 0)
			break;
		tries++;
	}
	sink.lost += sink.lines - sent;
}

static bool
takes_more(void)
{
	struct pollfd p = { .fd = sink.fd, .events = POLLOUT };

	return sink.kind == SINK_FILE || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

static void
write_stream(void)
{
	size_t done = 0;

	while (done < sink.len && takes_more()) {
		size_t part = sink.len - done;
		/* A pipe that polls writable takes PIPE_BUF bytes without blocking, not more. */
		if (sink.kind == SINK_STDERR && part > 4096)
			part = 4096;
		ssize_t n = write(sink.fd, sink.gathered + done, part);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	for (size_t i = 0; i < sink.lines; i++)
		sink.lost += sink.ends[i] > done;
}

static void gather(enum log_level, const char *program, const char *format, va_list);

static void __attribute__((format(printf, 3, 4)))
gather_own(enum log_level level, const char *program, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	gather(level, program, format, ap);
	va_end(ap);
}

void
log_flush(void)
{
	uint64_t lost = sink.lost;

	if (sink.lines == 0)
		return;
	if (sink.kind == SINK_SYSLOG)
		send_datagrams();
	else
		write_stream();
	sink.len = sink.lines = 0;
	if (sink.lost == lost && lost != sink.lost_told) {
		gather_own(LOG_LEVEL_WARNING, "gatehouse",
		    "%llu log lines were lost: the log did not take them",
		    (unsigned long long)(lost - sink.lost_told));
		sink.lost_told = lost;
	}
}

/* The line up to its text. */
static struct buf
open_line(enum log_level level, const char *program)
{
	if (sink.lines == GATHER_LINES || GATHER_SIZE - sink.len < LINE_MAX_TEXT + 256)
		log_flush();
	struct buf line = buf_over(sink.gathered + sink.len, LINE_MAX_TEXT + 200);

	if (sink.kind == SINK_SYSLOG)
		buf_printf(&line, "<%d>", sink.facility | levels[level].priority);
	buf_puts(&line, time_stamp());
	buf_putc(&line, ' ');
	if (sink.kind != SINK_SYSLOG) {
		buf_puts(&line, sink.host);
		buf_putc(&line, ' ');
	}
	buf_puts(&line, sink.tag);
	buf_putc(&line, '/');
	buf_puts(&line, program);
	buf_putc(&line, '[');
	buf_uint(&line, (uint64_t)sink.pid);
	buf_puts(&line, "]: ");
	line.size = line.len + LINE_MAX_TEXT + 1;
	return line;
}

static void
close_line(struct buf *line, size_t text)
{
	neutralise(line, text);
	line->p[line->len++] = '\n';
	sink.len += line->len;
	sink.ends[sink.lines++] = sink.len;
}

static void
gather(enum log_level level, const char *program, const char *format, va_list ap)
{
	struct buf line = open_line(level, program);
	size_t text = line.len;

	buf_puts(&line, levels[level].word);
	buf_vprintf(&line, format, ap);
	close_line(&line, text);
}

void
log_line(enum log_level level, const char *program, const char *format, ...)
{
	va_list ap;
	int saved = errno;

	if (level < sink.threshold)
		return;
	prepare_once();
	va_start(ap, format);
	errno = saved; /* for %m */
	gather(level, program, format, ap);
	va_end(ap);
	if (level >= LOG_LEVEL_WARNING)
		log_flush();
	errno = saved;
}

void
log_text(enum log_level level, const char *program, struct span text)
{
	if (level < sink.threshold)
		return;
	prepare_once();
	struct buf line = open_line(level, program);
	size_t from = line.len;
	buf_puts(&line, levels[level].word);
	buf_putspan(&line, text);
	close_line(&line, from);
	if (level >= LOG_LEVEL_WARNING)
		log_flush();
}

bool
log_allowed(struct log_limit *limit, int64_t now_us, unsigned *held)
{
	if (now_us < limit->next_us) {
		limit->held++;
		return false;
	}
	*held = limit->held;
	limit->held = 0;
	limit->next_us = now_us + 1000000;
	return true;
}
