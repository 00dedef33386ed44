/*
 * play: many scripted SMTP clients at once, and what each of them heard.
 *
 *	play SCRIPTS CONFIG ADDRESS:PORT FOLDER
 *
 * Runs every script of SCRIPTS meant for CONFIG against the server, each in a process and from a client
 * address of its own, and writes what was said to FOLDER/NAME. Prints "NAME CLIENT-ADDRESS" for each. The
 * differential tests compare two servers this way; times, ports and addresses of the server are not in it.
 *
 * SCRIPTS:	script NAME CONFIG	begins a script; its steps follow, indented, one a line; # comments
 *		from ADDRESS		the client address; otherwise one of 127.1.0.0/16. First or not at all, like:
 *		as ADDRESS		whom a PROXY header makes of it: printed instead
 *		greet			read until a line that begins with "220 "
 *		> TEXT			send TEXT and CRLF, read one reply
 *		! TEXT			send TEXT as it is: \r \n \t \\ \0 and \xHH as in C
 *		. TEXT			the same, byte by byte, with a moment between them
 *		many COUNT TEXT		send TEXT so many times
 *		read COUNT		read so many replies
 *		line			read one line
 *		pause MS
 *		half			close our sending direction
 *		reset			close with RST
 *		close			close
 *		again			connect once more from the same address
 * After the last step the server has two seconds to close: "closed" or "still open" is written.
 */
#include "config.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 48
#define READ_LIMIT_MS 8000
#define END_LIMIT_MS 2000

struct client {
	FILE *out;
	struct sockaddr_in server, from;
	int sock;
	char in[16384];
	size_t len;
};

static void
die(const char *what, const char *which)
{
	fprintf(stderr, "play: %s: %s\n", what, which);
	exit(2);
}

static int
hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? 0 : (int)(at - digits);
}

static size_t
unescape(const char *text, char *out)
{
	static const char letters[] = "rnt\\0", values[] = "\r\n\t\\\0";
	size_t n = 0;

	for (; *text != '\0'; text++) {
		const char *letter;
		if (text[0] != '\\' || text[1] == '\0') {
			out[n++] = *text;
		} else if (text[1] == 'x' && text[2] != '\0' && text[3] != '\0') {
			out[n++] = (char)(hex(text[2]) * 16 + hex(text[3]));
			text += 3;
		} else {
			letter = strchr(letters, text[1]);
			out[n++] = letter == NULL ? text[1] : values[letter - letters];
			text++;
		}
	}
	return n;
}

static void
show(struct client *c, const char *side, const char *text, size_t len)
{
	fprintf(c->out, "%s ", side);
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)text[i];
		if (b >= 32 && b < 127)
			fputc(b, c->out);
		else
			fprintf(c->out, "\\x%02x", b);
	}
	fputc('\n', c->out);
}

static void
gone(struct client *c, const char *how)
{
	fprintf(c->out, "%s\n", how);
	close(c->sock);
	c->sock = -1;
}

/* True if there is more to look at in c->in. */
static bool
receive(struct client *c, int limit_ms, const char *late)
{
	struct pollfd p = { .fd = c->sock, .events = POLLIN };

	if (c->sock < 0)
		return false;
	if (poll(&p, 1, limit_ms) <= 0) {
		fprintf(c->out, "%s\n", late);
		return false;
	}
	ssize_t n = recv(c->sock, c->in + c->len, sizeof c->in - c->len, 0);
	if (n <= 0) {
		if (c->len > 0)
			show(c, "S?", c->in, c->len);
		c->len = 0;
		gone(c, "closed"); /* by FIN or RST: which of them the client sees is a race */
		return false;
	}
	c->len += (size_t)n;
	return true;
}

/* One line into the record; its beginning into code. */
static bool
read_line(struct client *c, char code[5])
{
	char *lf;

	while ((lf = memchr(c->in, '\n', c->len)) == NULL)
		if (!receive(c, READ_LIMIT_MS, "silence"))
			return false;
	size_t used = (size_t)(lf + 1 - c->in), text = used - 1;
	if (text > 0 && c->in[text - 1] == '\r')
		text--;
	show(c, text == used - 2 ? "S" : "S(bare LF)", c->in, text);
	snprintf(code, 5, "%.4s", c->in);
	memmove(c->in, c->in + used, c->len - used);
	c->len -= used;
	return true;
}

static void
read_replies(struct client *c, int count)
{
	char code[5];

	while (count > 0 && read_line(c, code))
		if (code[3] != '-')
			count--;
}

static void
greet(struct client *c)
{
	char code[5] = "";

	while (strncmp(code, "220 ", 4) != 0 && read_line(c, code))
		;
}

static void
send_all(struct client *c, const char *p, size_t len, size_t piece)
{
	while (c->sock >= 0 && len > 0) {
		size_t n = len < piece ? len : piece;
		if (send(c->sock, p, n, MSG_NOSIGNAL) != (ssize_t)n)
			return; /* the next read tells */
		p += n;
		len -= n;
		if (piece == 1)
			usleep(2000);
	}
}

static void
say(struct client *c, const char *text, const char *end, size_t piece)
{
	char bytes[8192];
	size_t n = unescape(text, bytes);

	memcpy(bytes + n, end, strlen(end));
	n += strlen(end);
	show(c, "C", bytes, n);
	send_all(c, bytes, n, piece);
}

static void
say_many(struct client *c, const char *text)
{
	char *rest, bytes[8192], *all;
	long count = strtol(text, &rest, 10);
	size_t n = unescape(rest + (*rest == ' '), bytes);

	fprintf(c->out, "C %ld times %s\n", count, rest + 1);
	all = malloc(n * (size_t)count + 1);
	for (long i = 0; i < count; i++)
		memcpy(all + (size_t)i * n, bytes, n);
	send_all(c, all, n * (size_t)count, n * (size_t)count);
	free(all);
}

static void
dial(struct client *c)
{
	int one = 1;

	c->len = 0;
	c->sock = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(c->sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(c->sock, (struct sockaddr *)&c->from, sizeof c->from) != 0 ||
	    connect(c->sock, (struct sockaddr *)&c->server, sizeof c->server) != 0) {
		fprintf(c->out, "no connection: %s\n", strerror(errno));
		gone(c, "closed");
	}
}

static void
hang_up(struct client *c, bool hard)
{
	struct linger now = { 1, 0 };

	if (c->sock < 0)
		return;
	if (hard)
		setsockopt(c->sock, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	gone(c, hard ? "we reset" : "we close");
}

static void
step(struct client *c, const char *s)
{
	if (strncmp(s, "> ", 2) == 0 || strcmp(s, ">") == 0) {
		say(c, s[1] == '\0' ? "" : s + 2, "\r\n", SIZE_MAX);
		read_replies(c, 1);
	} else if (strncmp(s, "! ", 2) == 0) {
		say(c, s + 2, "", SIZE_MAX);
	} else if (strncmp(s, ". ", 2) == 0) {
		say(c, s + 2, "", 1);
	} else if (strncmp(s, "many ", 5) == 0) {
		say_many(c, s + 5);
	} else if (strncmp(s, "read ", 5) == 0) {
		read_replies(c, (int)strtol(s + 5, NULL, 10));
	} else if (strcmp(s, "line") == 0) {
		read_line(c, (char[5]){ "" });
	} else if (strcmp(s, "greet") == 0) {
		greet(c);
	} else if (strncmp(s, "pause ", 6) == 0) {
		usleep((useconds_t)strtoul(s + 6, NULL, 10) * 1000);
	} else if (strcmp(s, "half") == 0) {
		shutdown(c->sock, SHUT_WR);
	} else if (strcmp(s, "reset") == 0 || strcmp(s, "close") == 0) {
		hang_up(c, s[0] == 'r');
	} else if (strcmp(s, "again") == 0) {
		hang_up(c, false);
		dial(c);
	} else {
		die("unknown step", s);
	}
}

static void
await_end(struct client *c)
{
	char code[5];

	while (c->sock >= 0)
		if (memchr(c->in, '\n', c->len) != NULL)
			read_line(c, code);
		else if (!receive(c, END_LIMIT_MS, "still open"))
			break;
	if (c->sock >= 0)
		close(c->sock);
}

/* The steps are the lines from here to the next script. */
static void
perform(FILE *scripts, const struct sockaddr_in *server, const char *from, const char *path)
{
	static struct client c;
	char line[8192];

	c.out = fopen(path, "w");
	if (c.out == NULL)
		die("cannot write", path);
	c.server = *server;
	c.from.sin_family = AF_INET;
	if (inet_pton(AF_INET, from, &c.from.sin_addr) != 1)
		die("bad address", from);
	dial(&c);
	while (fgets(line, sizeof line, scripts) != NULL && strncmp(line, "script ", 7) != 0) {
		char *s = line + strspn(line, " \t");
		s[strcspn(s, "\n")] = '\0';
		if (*s != '\0' && *s != '#')
			step(&c, s);
	}
	await_end(&c);
	fclose(c.out);
}

/* "from ADDRESS" or "as ADDRESS" on the next line, which is taken then. */
static bool
peek_address(FILE *scripts, const char *word, char address[64])
{
	long at = ftell(scripts);
	char line[256];
	size_t n = strlen(word);

	if (fgets(line, sizeof line, scripts) == NULL)
		return false;
	char *s = line + strspn(line, " \t");
	if (strncmp(s, word, n) != 0) {
		fseek(scripts, at, SEEK_SET);
		return false;
	}
	s[strcspn(s, "\n")] = '\0';
	snprintf(address, 64, "%s", s + n);
	return true;
}

static void
parse_server(char *text, struct sockaddr_in *out)
{
	char *colon = strchr(text, ':');

	if (colon == NULL)
		die("write ADDRESS:PORT", text);
	*colon = '\0';
	out->sin_family = AF_INET;
	out->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, text, &out->sin_addr) != 1)
		die("bad address", text);
}

static void
start(const char *file, long at, unsigned index, const struct sockaddr_in *server, const char *path)
{
	FILE *scripts = fopen(file, "r");
	const char *name = strrchr(path, '/') + 1;
	char from[64], shown[64];

	if (scripts == NULL || fseek(scripts, at, SEEK_SET) != 0)
		die("cannot read", file);
	snprintf(from, sizeof from, "127.1.%u.%u", index / 200, index % 200 + 1);
	peek_address(scripts, "from ", from);
	snprintf(shown, sizeof shown, "%s", from);
	peek_address(scripts, "as ", shown);
	printf("%s %s\n", name, shown);
	fflush(stdout);
	if (fork() == 0) {
		perform(scripts, server, from, path);
		_exit(0);
	}
	fclose(scripts);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in server = { 0 };
	char line[8192], name[128], config[64], path[512];
	unsigned index = 0, running = 0;
	FILE *scripts;

	if (argc != 5 || (scripts = fopen(argv[1], "r")) == NULL)
		die("usage", "play SCRIPTS CONFIG ADDRESS:PORT FOLDER");
	parse_server(argv[3], &server);
	while (fgets(line, sizeof line, scripts) != NULL) {
		if (strncmp(line, "script ", 7) != 0)
			continue;
		char *rest = line + 7, *part = strchr(rest, ' ');
		if (part == NULL || (size_t)(part - rest) >= sizeof name)
			die("write script NAME CONFIG", line);
		snprintf(name, sizeof name, "%.*s", (int)(part - rest), rest);
		snprintf(config, sizeof config, "%.*s", (int)strcspn(part + 1, "\n"), part + 1);
		index++;
		if (strcmp(config, argv[2]) != 0)
			continue;
		if (running == AT_ONCE && wait(NULL) > 0)
			running--;
		snprintf(path, sizeof path, "%s/%s", argv[4], name);
		start(argv[1], ftell(scripts), index, &server, path);
		running++;
	}
	fclose(scripts);
	while (wait(NULL) > 0)
		;
	return 0;
}
