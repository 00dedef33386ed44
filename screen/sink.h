/*
 * screen/sink.h: gatehouse-sink, the built-in demo backend.
 *
 * For: showing that a hand-off works without a mail server: it receives client sockets by the `pass`
 * protocol, speaks plain RFC 5321 to them, and stores each message in a Maildir or nowhere. Not for:
 * relaying, filtering, TLS, or being anybody's mail server. Memory is a fixed pool of guests; a message
 * goes to its file as it arrives.
 */
#ifndef SCREEN_SINK_H
#define SCREEN_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/loop.h"
#include "base/text.h"

#define LOG_PROGRAM "sink"

#define SINK_LINE_MAX 2048 /* a command line with its CRLF; RFC 5321 §4.5.3.1 asks for 512 */
#define SINK_PATH_MAX 320  /* an address as given in MAIL or RCPT, brackets included */
#define SINK_SIZE_MAX (10u << 20)
#define SINK_RCPT_MAX 100
#define SINK_ERRORS_MAX 20

/*
 * The attribute list of a pass request: name NUL value NUL ... NUL. Unknown names are skipped, of equal
 * names the first counts. False if it is malformed or one of the four is missing or wrong.
 */
bool sink_attributes(struct span list, struct endpoint *client, struct endpoint *server);

/* True if `list` holds the end of an attribute list: an empty name. */
bool sink_attributes_complete(struct span list);

/*
 * The content of a message, RFC 5321 §4.5.2: removes dot-stuffing, turns CRLF into LF, finds the end. A
 * CR or LF alone is CONTENT_BARE: nothing that could hide a second message gets through. Takes at
 * most len bytes from `in`, sets *used to what was taken and *out_len to what was written; out has
 * room for len bytes.
 */
enum content_state { CONTENT_AT_START, CONTENT_DOT, CONTENT_DOT_CR, CONTENT_TEXT, CONTENT_CR };
enum content_result { CONTENT_MORE, CONTENT_END, CONTENT_BARE };
enum content_result content_feed(enum content_state *, const char *in, size_t len, size_t *used, char *out,
    size_t *out_len);

/* A Maildir, or nothing if path is "-". Says why on the log. */
struct maildir;
struct maildir *maildir_open(const char *path, const char *host, const char *owner);
void maildir_free(struct maildir **);

/* One message on its way in. Zero is "none". A failed write is remembered and told at the end. */
struct mail {
	int fd;
	bool open, failed;
	char name[96];
	size_t size;
};
void mail_begin(struct maildir *, struct mail *, int64_t wall_s);
void mail_write(struct mail *, const char *bytes, size_t len);
bool mail_commit(struct maildir *, struct mail *); /* false: it is not stored */
void mail_abort(struct maildir *, struct mail *);  /* harmless if none */

/* One client that was passed to us. */
struct guest {
	struct watch io;
	struct deadline idle, life;
	struct sink *sink;
	int fd;
	bool receiving; /* fd is still the screen's; the client's socket has not come, or not its attributes */
	int client_fd;  /* while receiving: -1 until it has come */
	struct endpoint client, server;

	bool greeted, in_mail, in_data, skip_line, closing;
	unsigned rcpts, errors;
	struct mail mail;
	enum content_state content;
	char helo[256], from[SINK_PATH_MAX], rcpt[SINK_PATH_MAX]; /* rcpt: the first */
	const char *protocol;
	struct buf in, out;
	char in_bytes[SINK_LINE_MAX * 2], out_bytes[2048];
};

struct sink {
	struct loop *loop;
	struct maildir *maildir;
	struct pool *guests;
	struct watch door, stop[2], pause;
	struct deadline_queue idle, life;
	const char *host;
};

/* The dialogue: eats what it can of g->in, answers into g->out. Sets closing when it is over. */
void dialogue_greet(struct guest *);
void dialogue_input(struct guest *);
/* Says a last word; nothing more is read. */
void dialogue_close(struct guest *, const char *reply);

#endif
