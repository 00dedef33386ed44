#include "config.h"

#include <sys/types.h>
#include <atf-c.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "screen/sink.h"

static const struct {
	const char *in, *out, *rest;
	enum content_result result;
} contents[] = {
	{ ".\r\n", "", "", CONTENT_END },
	{ ".\r\nQUIT\r\n", "", "QUIT\r\n", CONTENT_END },
	{ "a\r\n.\r\n", "a\n", "", CONTENT_END },
	{ "a\r\n\r\nb\r\n.\r\n", "a\n\nb\n", "", CONTENT_END },
	{ "..\r\n.\r\n", ".\n", "", CONTENT_END },
	{ "...x\r\n.\r\n", "..x\n", "", CONTENT_END },
	{ ".x\r\n.\r\n", "x\n", "", CONTENT_END },
	{ "a.\r\n.\r\n", "a.\n", "", CONTENT_END },
	{ "a", "a", "", CONTENT_MORE },
	{ "a\r", "a", "", CONTENT_MORE },
	{ "a\r\n.", "a\n", "", CONTENT_MORE },
	{ "a\r\n.\r", "a\n", "", CONTENT_MORE },
	{ "a\nb", "a", "b", CONTENT_BARE },
	{ "a\rb", "a", "", CONTENT_BARE },
	{ "a\r\r\n", "a", "\n", CONTENT_BARE },
	{ ".\n", "", "", CONTENT_BARE },
	{ "a\r\n.\n", "a\n", "", CONTENT_BARE },
	{ "a\n.\r\n", "a", ".\r\n", CONTENT_BARE },
	{ "a\r\n.\rb", "a\n", "", CONTENT_BARE },
	{ "\n", "", "", CONTENT_BARE },
};

/* Fed `step` bytes at a time, the result is the same. */
static void
feed(size_t row, size_t step)
{
	const char *in = contents[row].in;
	size_t left = strlen(in), len = 0;
	enum content_state state = CONTENT_AT_START;
	enum content_result result = CONTENT_MORE;
	char out[100] = "";

	while (left > 0 && result == CONTENT_MORE) {
		size_t used, written, n = left < step ? left : step;
		result = content_feed(&state, in, n, &used, out + len, &written);
		in += used;
		left -= used;
		len += written;
	}
	out[len] = '\0';
	ATF_CHECK_EQ_MSG(
	    contents[row].result, result, "row %zu step %zu: result %d", row, step, (int)result);
	ATF_CHECK_STREQ_MSG(contents[row].out, out, "row %zu step %zu: \"%s\"", row, step, out);
	if (result == CONTENT_END)
		ATF_CHECK_STREQ(contents[row].rest, in);
}

ATF_TC_WITHOUT_HEAD(content);
ATF_TC_BODY(content, tc)
{
	for (size_t row = 0; row < sizeof contents / sizeof contents[0]; row++)
		for (size_t step = 1; step < 12; step++)
			feed(row, step);
}

#define LIST(text) text, sizeof(text) /* the literal's own NUL ends the list */
#define GOOD               \
	"client_address\0" \
	"192.0.2.1\0"      \
	"client_port\0"    \
	"4711\0"           \
	"server_address\0" \
	"198.51.100.2\0"   \
	"server_port\0"    \
	"25\0"

static const struct {
	const char *text;
	size_t len;
	bool good;
} lists[] = {
	{ LIST(GOOD), true },
	{ LIST("more\0"
	       "x\0" GOOD),
	    true },
	{ LIST(GOOD "client_port\0"
		    "x\0"),
	    true },
	{ LIST("client_address\0"
	       "2001:db8::1\0"
	       "client_port\0"
	       "1\0"
	       "server_address\0"
	       "::1\0"
	       "server_port\0"
	       "0\0"),
	    true },
	{ LIST(""), false },
	{ LIST("client_address\0"
	       "192.0.2.1\0"
	       "client_port\0"
	       "4711\0"),
	    false },
	{ LIST("client_address\0"
	       "[192.0.2.1]\0"
	       "client_port\0"
	       "1\0"
	       "server_address\0"
	       "::1\0"
	       "server_port\0"
	       "0\0"),
	    false },
	{ LIST("client_address\0"
	       "192.0.2.1\0"
	       "client_port\0"
	       "65536\0"
	       "server_address\0"
	       "::1\0"
	       "server_port\0"
	       "0\0"),
	    false },
	{ LIST("client_address\0"
	       "192.0.2.1\0"
	       "client_port\0"
	       "\0"
	       "server_address\0"
	       "::1\0"
	       "server_port\0"
	       "0\0"),
	    false },
	{ LIST("client_address"), false },
};

ATF_TC_WITHOUT_HEAD(attributes);
ATF_TC_BODY(attributes, tc)
{
	struct endpoint client, server;

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		ATF_CHECK_EQ_MSG(lists[i].good,
		    sink_attributes((struct span){ lists[i].text, lists[i].len }, &client, &server),
		    "list %zu", i);
	ATF_REQUIRE(sink_attributes((struct span){ LIST(GOOD) }, &client, &server));
	ATF_CHECK_EQ(4711, client.port);
	ATF_CHECK_EQ(25, server.port);
	ATF_CHECK(!sink_attributes_complete((struct span){ GOOD, sizeof(GOOD) - 1 }));
	ATF_CHECK(sink_attributes_complete((struct span){ GOOD, sizeof(GOOD) }));
}

static int
files_in(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int count = 0;

	ATF_REQUIRE(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

ATF_TC_WITHOUT_HEAD(maildir);
ATF_TC_BODY(maildir, tc)
{
	struct maildir *m = maildir_open("box", "host", NULL);
	struct mail mail = { .fd = -1 };

	ATF_REQUIRE(m != NULL);
	mail_begin(m, &mail, 1);
	mail_write(&mail, "text\n", 5);
	ATF_CHECK_EQ(1, files_in("box/tmp"));
	ATF_CHECK_EQ(0, files_in("box/new"));
	ATF_CHECK(mail_commit(m, &mail));
	ATF_CHECK_EQ(0, files_in("box/tmp"));
	ATF_CHECK_EQ(1, files_in("box/new"));
	mail_begin(m, &mail, 1);
	mail_abort(m, &mail);
	mail_abort(m, &mail);
	ATF_CHECK_EQ(0, files_in("box/tmp"));
	ATF_CHECK_EQ(1, files_in("box/new"));
	maildir_free(&m);
	ATF_CHECK(maildir_open("no/such/place", "host", NULL) == NULL);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, content);
	ATF_TP_ADD_TC(tp, attributes);
	ATF_TP_ADD_TC(tp, maildir);
	return atf_no_error();
}
