/*
 * base/log.h: where lines go. One sink a process: the system log, standard error, or a file.
 *
 * A line is "TAG/PROGRAM[PID]: TEXT" with the level's word ("warning: ", "error: ", "fatal: ") before
 * the text, except for info. Lines are gathered during one turn of the loop and written at its end
 * (log_flush); warnings and worse leave at once, with whatever was gathered before them. Nothing here
 * blocks: a sink that does not take a line loses it, counts it, and says so when it can again.
 * The text must have its foreign bytes escaped already; as the last wall, bytes that are not printable
 * ASCII or UTF-8 become '?', and a line is cut at 2000 bytes.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/text.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL };

/*
 * target: "syslog", "stderr" or an absolute path (opened for append, created 0640). tag: the text
 * before the slash. Replaces the sink in force. False with errno if it cannot be opened; the old sink
 * stays. Before the first call lines go to standard error.
 */
bool log_open(const char *target, const char *tag, int facility);

/* The host in the lines of a file: the name's first label. Until then this machine's own. */
void log_host(const char *name);

/* The descriptor behind the sink, to be kept by a child that closes the rest; -1 if none. */
int log_fd(void);

/* Below this level nothing is written. Default LOG_LEVEL_INFO. */
void log_threshold(enum log_level);

void log_line(enum log_level, const char *program, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a text made already: no format is read. */
void log_text(enum log_level, const char *program, struct span text);
void log_flush(void);
uint64_t log_lost(void); /* lines the sink did not take, since start */

/* Each room defines LOG_PROGRAM before use: the word after the slash. */
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, LOG_PROGRAM, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, LOG_PROGRAM, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, LOG_PROGRAM, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, LOG_PROGRAM, __VA_ARGS__)
#define log_fatal(...) log_line(LOG_LEVEL_FATAL, LOG_PROGRAM, __VA_ARGS__)

/*
 * "At most one a second, and how many were held back": for warnings a stranger or a broken disk can
 * provoke. Keep one static struct a place; log_limited() is true if the line may be written, and then
 * *held is the number suppressed since the last one.
 */
struct log_limit {
	int64_t next_us;
	unsigned held;
};
bool log_allowed(struct log_limit *, int64_t now_us, unsigned *held);

#endif
