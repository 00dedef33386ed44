/*
 * screen/engine.h: the SMTP dialogue of a client that is not handed over at once: after-220 checks for
 * new clients, polite refusal for bad ones (RFC 5321; reference: postscreen's own engine).
 *
 * Everything a session says and hears here fits one fixed struct from the worker's pool. Input is read
 * into one buffer of the process; only an unfinished line stays with the session.
 */
#ifndef SCREEN_ENGINE_H
#define SCREEN_ENGINE_H

#include "base/loop.h"
#include "base/text.h"
#include "rules/rules.h"
#include "screen/line.h"
#include "screen/session.h"
#include "screen/snapshot.h"
#include "tlsproxy/tlsproxy.h"

enum verb {
#define VERB(word, handler, flags) VERB_##word,
#include "screen/verbs.tbl"
#undef VERB
	VERB_UNIMPLEMENTED,
	VERB_CONNECT, /* nothing said yet */
	VERBS
};
enum verb_flags { VF_BEFORE_TLS = 1, VF_PAYLOAD = 2, VF_FREE = 4, VF_RCPT = 8 };

/* A command is obeyed with its arguments: what follows the first space after the word. */
typedef enum state verb_fn(struct session *, struct span args);
struct verb_row {
	const char *word;
	verb_fn *obey;
	unsigned flags;
};
extern const struct verb_row verb_rows[VERBS];
enum verb verb_find(struct span word);
/* The next word of the arguments; words are separated by spaces only. len 0: none. */
struct span verb_argument(struct span *args);

enum keyword {
#define KEYWORD(id, word) KW_##id,
#include "screen/ehlo.tbl"
#undef KEYWORD
	KEYWORDS
};
#define KW_BIT(keyword) (1u << (keyword))
/* Words unknown to us are ignored. */
uint32_t keywords_parse(struct span text);
void keywords_format(uint32_t mask, struct buf *out);

/* What the operator wrote about the dialogue, read out once; immutable, part of the snapshot. */
struct engine_rules {
	struct table_list *footer_maps, *discard_maps;
	struct table *command_filter; /* null: none */
	struct forbidden *forbidden;  /* words and tables */
	size_t forbidden_count;
	const char *footer;           /* template; empty: none */
	bool filter[256];             /* bytes allowed in what a footer's macro expands to */
	uint32_t discard;             /* KW_BITs */
	uint32_t line_limit, command_limit;
	int64_t size_limit;
	int64_t tarpit_delay_us, session_limit_us;
	size_t tarpit_rate, tarpit_sessions; /* bytes a second; all workers together */
	bool helo_required, vrfy_announced, vrfy_off, smtputf8, log_external;
	bool tls_offered, tls_required;
};
struct forbidden {
	struct span word;    /* table null: compared without regard to case */
	struct table *table;
	bool not;            /* written with `!` */
};

struct engine_rules *engine_rules_load(const struct rules *, const struct tlsproxy_conf *, struct diag *); /* never null */
void engine_rules_free(struct engine_rules **);
bool engine_forbids(const struct engine_rules *, struct span word);

/* Bytes of one session's engine under this configuration. */
size_t engine_size(const struct snapshot *);

#define REPLY_SIZE 2048 /* longest reply, footer included */
#define ENGINE_OUT_SIZE 512
#define ENGINE_SAID_SIZE 640
#define ENGINE_HELO_MAX 256
#define ENGINE_RCPTS_SIZE 128

struct engine {
	struct deadline whole; /* of the session */
	struct session *session;
	struct line line;
	uint32_t discard; /* KW_BITs for this client, since its EHLO */
	uint32_t rcpts, commands;
	uint16_t out_len, helo_len, mail_len, rcpts_len;
	uint8_t verb;       /* enum verb: the command last begun */
	bool esmtp : 1;     /* EHLO was said at least once */
	bool has_helo : 1, has_mail : 1;
	bool said_ehlo : 1; /* the greeting in force is EHLO's */
	bool unread : 1;    /* more stood behind the command being obeyed */
	bool cut : 1;       /* HELO or MAIL did not fit in `said` */
	uint16_t rcpt_len;  /* of a RCPT that is asked of the backend: its arguments are in `input` */
	bool tls_resumed : 1;
	bool slow : 1;      /* in the tarpit */
	char tls_version[12], tls_cipher[40];
	char out[ENGINE_OUT_SIZE];     /* replies the client's socket did not take yet */
	char said[ENGINE_SAID_SIZE];   /* arguments of HELO or EHLO, then those of MAIL, as they came */
	char rcpts_text[ENGINE_RCPTS_SIZE]; /* the first recipients, for the record, each with its NUL */
	char input[];                  /* line_limit bytes */
};

/* The arguments as they came, cut to their room; empty if not given. */
struct span engine_helo(const struct engine *);
struct span engine_mail(const struct engine *);

/*
 * replies.c: bytes for the client, behind what is waiting. Never blocks. False if the client takes
 * nothing and there is no room left to wait in. Errors of the socket show at the next read.
 */
bool reply_write(struct session *, struct span bytes);

/* The same, but kept waiting; false if there is no room. And so many bytes of what waits, at most. */
bool reply_hold(struct session *, struct span bytes);
void reply_drip(struct session *, size_t max);

/* Appends text with unprintable bytes as `?`; UTF-8 is printable where smtputf8_enable says so. */
void put_printable(struct buf *, struct span, bool utf8);

#endif
