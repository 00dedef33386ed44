/*
 * screen/ctl.h: gatehousectl. A command is one row of screen/ctl.tbl and one function:
 *
 *	CTL(word, function, "arguments", "what it does")
 *
 * The dispatcher has read -c, -o and --json (which may stand anywhere) before the function is called.
 * Text for people goes to standard output, complaints to standard error; with ctl->json set, standard
 * output carries one JSON object, or one a line, and nothing else.
 */
#ifndef SCREEN_CTL_H
#define SCREEN_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include "base/text.h"
#include "rules/rules.h"

enum ctl_exit {
	CTL_OK = 0,
	CTL_NO = 1,          /* not found, or the answer is no */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* the daemon */
	CTL_CONFIG = 78,
};

struct ctl_command;
struct ctl {
	const struct ctl_command *command;
	const char *dir; /* of -c; null: none was given */
	const struct rules_override *override;
	size_t overrides;
	bool json;
	struct rules *rules; /* after ctl_rules(); freed by the dispatcher */
};

/* argv[0] is the command word. Returns the exit status. */
typedef enum ctl_exit ctl_fn(struct ctl *, int argc, char **argv);

struct ctl_command {
	const char *word;
	ctl_fn *run;
	const char *arguments, *help;
};

/*
 * The configuration: of -c DIR, else of the default directory, else (nothing there) the defaults alone.
 * Null if it has errors, which have been printed: return CTL_CONFIG.
 */
const struct rules *ctl_rules(struct ctl *);

/*
 * The same with whatever errors it has, unsaid, for asking a daemon that runs under an older one. To be freed by
 * the caller. Null if it cannot be read at all.
 */
struct rules *ctl_rules_anyhow(const struct ctl *);

/* Prints what was found out, from this level up, to standard error. True if there was an error. */
bool ctl_report(const struct diag *, enum diag_level least);

/* Prints the command's usage line, after a complaint if format is not null. Returns CTL_USAGE. */
enum ctl_exit ctl_usage(const struct ctl *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints text as a JSON string, with its quotes. */
void ctl_json_string(struct span text);

#define CTL(word, function, arguments, help) ctl_fn function;
#include "screen/ctl.tbl"
#undef CTL

#endif
