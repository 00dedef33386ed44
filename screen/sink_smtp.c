#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "screen/sink.h"

static void
reply(struct guest *g, const char *text)
{
	buf_puts(&g->out, text);
	buf_puts(&g->out, "\r\n");
}

void
dialogue_greet(struct guest *g)
{
	buf_printf(&g->out, "220 %s ESMTP Gatehouse sink\r\n", g->sink->host);
}

void
dialogue_close(struct guest *g, const char *text)
{
	if (text != NULL)
		reply(g, text);
	g->closing = true;
	g->in.len = 0;
}

static void
complain(struct guest *g, const char *text)
{
	if (++g->errors >= SINK_ERRORS_MAX)
		dialogue_close(g, "421 4.7.0 Too many errors");
	else
		reply(g, text);
}

static void
forget_mail(struct guest *g)
{
	mail_abort(g->sink->maildir, &g->mail);
	g->in_mail = g->in_data = false;
	g->rcpts = 0;
}

static void
do_hello(struct guest *g, struct span args, bool extended)
{
	struct buf helo = BUF(g->helo);

	if (span_trim(args).len == 0) {
		complain(g, "501 5.5.4 Your name, please");
		return;
	}
	forget_mail(g);
	buf_printable(&helo, span_trim(args));
	g->greeted = true;
	g->protocol = extended ? "ESMTP" : "SMTP";
	if (extended)
		buf_printf(&g->out,
		    "250-%s\r\n250-PIPELINING\r\n250-SIZE %u\r\n250-ENHANCEDSTATUSCODES\r\n250 "
		    "8BITMIME\r\n",
		    g->sink->host, SINK_SIZE_MAX);
	else
		buf_printf(&g->out, "250 %s\r\n", g->sink->host);
}

static void
do_helo(struct guest *g, struct span args)
{
	do_hello(g, args, false);
}

static void
do_ehlo(struct guest *g, struct span args)
{
	do_hello(g, args, true);
}

/*
 * "FROM:<path> parameters" or "TO:<path> ...": the path with its brackets into out. Outer quoting is
 * left as it is; a space ends an unquoted path. False if it is none.
 */
static bool
take_path(struct span *args, const char *word, char *out, size_t size)
{
	struct span rest = span_trim(*args), head = { rest.p, strlen(word) };
	struct buf path = buf_over(out, size);
	bool quoted = false;
	size_t end = 1;

	if (rest.len <= head.len || !span_is_nocase(head, word))
		return false;
	rest = span_trim((struct span){ rest.p + head.len, rest.len - head.len });
	if (rest.len < 2 || rest.p[0] != '<')
		return false;
	while (end < rest.len && (quoted || rest.p[end] != '>')) {
		if (rest.p[end] == '\\' && end + 1 < rest.len)
			end++;
		else if (rest.p[end] == '"')
			quoted = !quoted;
		end++;
	}
	if (end >= rest.len)
		return false;
	buf_printable(&path, (struct span){ rest.p, end + 1 });
	*args = span_trim((struct span){ rest.p + end + 1, rest.len - end - 1 });
	return !path.cut;
}

/* RFC 1870 and RFC 6152 are all we offer. Null, or the complaint. */
static const char *
check_parameters(struct span args)
{
	struct span word;
	uint64_t size;

	while ((word = span_token(&args, " ")).len > 0) {
		if (word.len > 5 && span_is_nocase((struct span){ word.p, 5 }, "SIZE=")) {
			if (!span_uint(
				(struct span){ word.p + 5, word.len - 5 }, UINT64_MAX, &size))
				return "501 5.5.4 Bad SIZE";
			if (size > SINK_SIZE_MAX)
				return "552 5.3.4 Message too big";
		} else if (!span_is_nocase(word, "BODY=8BITMIME") &&
			   !span_is_nocase(word, "BODY=7BIT")) {
			return "555 5.5.4 Unsupported parameter";
		}
	}
	return NULL;
}

static void
do_mail(struct guest *g, struct span args)
{
	const char *trouble = NULL;

	if (!g->greeted)
		trouble = "503 5.5.1 Say HELO or EHLO first";
	else if (g->in_mail)
		trouble = "503 5.5.1 Nested MAIL command";
	else if (!take_path(&args, "FROM:", g->from, sizeof g->from))
		trouble = "501 5.5.4 Syntax: MAIL FROM:<address>";
	else
		trouble = check_parameters(args);
	if (trouble != NULL) {
		complain(g, trouble);
		return;
	}
	g->in_mail = true;
	reply(g, "250 2.1.0 Ok");
}

static void
do_rcpt(struct guest *g, struct span args)
{
	char path[SINK_PATH_MAX];

	if (!g->in_mail) {
		complain(g, "503 5.5.1 Need MAIL command");
	} else if (!take_path(&args, "TO:", path, sizeof path) || args.len > 0 ||
		   strcmp(path, "<>") == 0) {
		complain(g, "501 5.5.4 Syntax: RCPT TO:<address>");
	} else if (g->rcpts == SINK_RCPT_MAX) {
		complain(g, "452 4.5.3 Too many recipients");
	} else {
		if (g->rcpts++ == 0)
			memcpy(g->rcpt, path, sizeof path);
		reply(g, "250 2.1.5 Ok");
	}
}

static void
write_trace(struct guest *g)
{
	char text[1400], client[ADDR_TEXT_SIZE], date[64];
	struct buf b = BUF(text);
	time_t now = (time_t)loop_wall_s(g->sink->loop);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm);
	buf_printf(&b, "Return-Path: %s\nDelivered-To: %s\nReceived: from %s ([%s])\n", g->from,
	    g->rcpt, g->helo, addr_format(&g->client.addr, client));
	buf_printf(
	    &b, "\tby %s (Gatehouse sink) with %s;\n\t%s\n", g->sink->host, g->protocol, date);
	mail_write(&g->mail, b.p, b.len);
}

static void
do_data(struct guest *g, struct span args)
{
	if (args.len > 0) {
		complain(g, "501 5.5.4 Syntax: DATA");
	} else if (g->rcpts == 0) {
		complain(g, "503 5.5.1 Need RCPT command");
	} else {
		mail_begin(g->sink->maildir, &g->mail, loop_wall_s(g->sink->loop));
		write_trace(g);
		g->mail.size = 0;
		g->in_data = true;
		g->content = CONTENT_AT_START;
		reply(g, "354 End data with <CR><LF>.<CR><LF>");
	}
}

static void
do_rset(struct guest *g, struct span args)
{
	(void)args;
	forget_mail(g);
	reply(g, "250 2.0.0 Ok");
}

static void
do_noop(struct guest *g, struct span args)
{
	(void)args;
	reply(g, "250 2.0.0 Ok");
}

static void
do_vrfy(struct guest *g, struct span args)
{
	(void)args;
	reply(g, "252 2.5.0 Send mail and see");
}

static void
do_quit(struct guest *g, struct span args)
{
	(void)args;
	dialogue_close(g, "221 2.0.0 Bye");
}

static const struct verb {
	const char *word;
	void (*fn)(struct guest *, struct span args);
} verbs[] = {
	{ "HELO", do_helo },
	{ "EHLO", do_ehlo },
	{ "MAIL", do_mail },
	{ "RCPT", do_rcpt },
	{ "DATA", do_data },
	{ "RSET", do_rset },
	{ "NOOP", do_noop },
	{ "VRFY", do_vrfy },
	{ "QUIT", do_quit },
};

static void
do_line(struct guest *g, struct span line)
{
	struct span args = line, word = span_token(&args, " ");

	args = span_trim(args);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (span_is_nocase(word, verbs[i].word)) {
			verbs[i].fn(g, args);
			return;
		}
	complain(g, "502 5.5.2 Command not recognized");
}

static void
message_done(struct guest *g)
{
	char client[ADDR_TEXT_SIZE];
	size_t size = g->mail.size;

	if (size > SINK_SIZE_MAX)
		reply(g, "552 5.3.4 Message too big");
	else if (mail_commit(g->sink->maildir, &g->mail)) {
		log_info("[%s]: stored %zu bytes from=%s to=%s",
		    addr_format(&g->client.addr, client), size, g->from, g->rcpt);
		reply(g, "250 2.0.0 Ok: stored");
	} else
		reply(g, "451 4.3.0 Cannot store the message");
	forget_mail(g);
}

/* Takes the first n bytes off the input. */
static void
consume(struct guest *g, size_t n)
{
	g->in.len -= n;
	memmove(g->in.p, g->in.p + n, g->in.len);
}

static void
take_content(struct guest *g)
{
	char text[sizeof g->in_bytes];
	size_t used, len;
	enum content_result result =
	    content_feed(&g->content, g->in.p, g->in.len, &used, text, &len);

	consume(g, used);
	if (g->mail.size + len > SINK_SIZE_MAX)
		g->mail.size += len;
	else
		mail_write(&g->mail, text, len);
	if (result == CONTENT_END) {
		message_done(g);
	} else if (result == CONTENT_BARE) {
		forget_mail(g);
		dialogue_close(g, "521 5.5.2 A line must end in CR LF");
	}
}

/* One command line, if there is a whole one. */
static bool
take_line(struct guest *g)
{
	char *end = memchr(g->in.p, '\n', g->in.len);
	size_t len = end != NULL ? (size_t)(end - g->in.p) : 0;

	if (end == NULL) {
		if (g->in.len < SINK_LINE_MAX)
			return false;
		g->skip_line = true;
		consume(g, g->in.len);
		return false;
	}
	if (g->skip_line || len >= SINK_LINE_MAX) {
		g->skip_line = false;
		consume(g, len + 1);
		complain(g, "500 5.5.6 Line too long");
	} else if (len == 0 || end[-1] != '\r' || memchr(g->in.p, '\r', len - 1) != NULL) {
		dialogue_close(g, "521 5.5.2 A line must end in CR LF");
	} else {
		char line[SINK_LINE_MAX];
		memcpy(line, g->in.p, len - 1);
		consume(g, len + 1);
		do_line(g, (struct span){ line, len - 1 });
	}
	return true;
}

/* Answers wait for the client to read: input stays where it is while there is no room for one. */
#define REPLY_ROOM 512

void
dialogue_input(struct guest *g)
{
	while (!g->closing && g->in.len > 0 && g->out.size - g->out.len > REPLY_ROOM) {
		if (g->in_data)
			take_content(g);
		else if (!take_line(g))
			break;
	}
}
