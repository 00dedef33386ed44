/*
 * The control socket: one line in, an answer out, goodbye. The first line of an answer is "OK" or
 * "ERR reason"; what follows is for people, or JSON where that was asked for.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "screen/console_inner.h"
#include "screen/poolshow.h"

#define CLIENTS_MAX 32
#define RATE 200
#define TIME_MS 10000
#define LISTING_WAIT_MS 2000
#define RELOAD_WAIT_MS 120000
#define NOTE_JSON 0x10000u /* beside the limit, in a waiting client's note */
#define SOME_ROWS 1000

static void
answer(struct desk_client *client, const struct buf *b)
{
	desk_answer(client, SPAN("OK\n"), (struct span){ b->p, b->len });
}

static void
answer_err(struct desk_client *client, struct span why)
{
	char text[1024];
	struct buf b = BUF(text);

	buf_puts(&b, "ERR ");
	buf_putspan(&b, why);
	buf_putc(&b, '\n');
	desk_answer(client, (struct span){ text, b.len }, (struct span){ "", 0 });
}

static struct buf *
fresh(struct console *c)
{
	c->text = buf_over(c->text.p, c->text.size);
	return &c->text;
}

/* Rows as lines of JSON, or as a table. */
static void
put_row(struct buf *b, const struct session_row *row, bool json)
{
	if (json)
		row_json(row, b);
	else
		row_line(row, b);
	buf_putc(b, '\n');
}

static void
answer_listed(void *arg, struct desk_client *client)
{
	struct console *c = arg;
	struct buf *b = fresh(c);
	unsigned limit = *desk_note(client) & ~NOTE_JSON;
	bool json = (*desk_note(client) & NOTE_JSON) != 0;

	if (!json)
		buf_printf(b, "%s\n", row_line_header());
	size_t shown = c->listing.count < limit ? c->listing.count : limit;
	size_t open = console_view(c)->open;
	for (size_t i = 0; i < shown; i++)
		put_row(b, &c->listing.rows[i], json);
	if (!json && open > shown)
		buf_printf(b, "%zu of %zu open sessions are shown\n", shown, open);
	answer(client, b);
}

void
control_listed(struct console *c)
{
	if (c->control != NULL)
		desk_answer_waiting(c->control, WAIT_LISTING, answer_listed, c);
}

static void
answer_settled(void *arg, struct desk_client *client)
{
	struct console *c = arg;
	const struct snapshot *snap = master_snapshot(c->master);
	struct buf *b = fresh(c);

	buf_printf(b, "the new configuration is in force, %zu workers serve it\n",
	    snap == NULL ? 0 : snap->workers);
	answer(client, b);
}

static void
answer_abandoned(void *arg, struct desk_client *client)
{
	(void)arg;
	answer_err(
	    client, SPAN("the new workers cannot start; the old configuration stays in force"));
}

void
control_settled(struct console *c, bool in_force)
{
	if (c->control != NULL)
		desk_answer_waiting(
		    c->control, WAIT_RELOAD, in_force ? answer_settled : answer_abandoned, c);
}

typedef void request_fn(struct console *, struct desk_client *, const struct request *);

static void
do_status(struct console *c, struct desk_client *client, const struct request *r)
{
	struct buf *b = fresh(c);

	(r->json ? status_json : status_text)(console_view(c), b);
	answer(client, b);
}

static void
do_sessions(struct console *c, struct desk_client *client, const struct request *r)
{
	*desk_note(client) = (r->limit > 0 ? r->limit : SOME_ROWS) | (r->json ? NOTE_JSON : 0);
	desk_wait(client, WAIT_LISTING, LISTING_WAIT_MS);
	console_list(c);
}

static void
do_recent(struct console *c, struct desk_client *client, const struct request *r)
{
	struct buf *b = fresh(c);
	const struct session_row *row;
	size_t limit = r->limit > 0 ? r->limit : 50;

	if (!r->json)
		buf_printf(b, "%s\n", row_line_header());
	for (size_t i = 0; i < limit && (row = console_recent(c, i)) != NULL; i++)
		put_row(b, row, r->json);
	answer(client, b);
}

static void
do_lists(struct console *c, struct desk_client *client, const struct request *r)
{
	struct buf *b = fresh(c);

	(r->json ? lists_json : lists_text)(console_view(c), b);
	answer(client, b);
}

static void
do_offenders(struct console *c, struct desk_client *client, const struct request *r)
{
	struct buf *b = fresh(c);

	(r->json ? offenders_json : offenders_text)(
	    console_view(c), r->limit > 0 ? r->limit : 1, b);
	answer(client, b);
}

static void
do_pools(struct console *c, struct desk_client *client, const struct request *r)
{
	const struct pools_board *board = master_pools(c->master);
	struct buf *b = fresh(c);

	if (board == NULL) {
		answer_err(
		    client, SPAN("gatehouse_pool_prefixes and gatehouse_pool_domains are empty"));
		return;
	}
	(r->json ? pools_json : pools_text)(board, loop_now_us(c->loop), b);
	answer(client, b);
}

/* For gatehousectl explain: one line, or nothing. */
static void
do_pool(struct console *c, struct desk_client *client, const struct request *r)
{
	const struct pools_board *board = master_pools(c->master);
	struct buf *b = fresh(c);
	char text[ADDR_TEXT_SIZE];
	struct addr key;
	bool listed_only;

	if (board != NULL && pools_find(board, &r->address, &key, &listed_only))
		buf_printf(b, "%s %s %s\n", pools_name(board, &key), addr_format(&key, text),
		    listed_only ? "lists" : "all");
	answer(client, b);
}

static void
do_metrics(struct console *c, struct desk_client *client, const struct request *r)
{
	struct buf *b = fresh(c);

	(void)r;
	metrics_text(console_view(c), b);
	answer(client, b);
}

static void
do_reload(struct console *c, struct desk_client *client, const struct request *r)
{
	char text[900];
	struct buf why = BUF(text);

	(void)r;
	if (master_reload(c->master, &why))
		desk_wait(client, WAIT_RELOAD, RELOAD_WAIT_MS);
	else
		answer_err(client, (struct span){ text, why.len });
}

static void
do_drain(struct console *c, struct desk_client *client, const struct request *r)
{
	(void)r;
	desk_answer(
	    client, SPAN("OK\n"), SPAN("no new clients are taken; the end comes with the last\n"));
	master_drain(c->master);
}

static void
do_leave(struct console *c, struct desk_client *client, const struct request *r)
{
	(void)r;
	desk_answer(client, SPAN("OK\n"), SPAN("the workers finish what they hold\n"));
	master_leave(c->master);
}

static void
do_stop(struct console *c, struct desk_client *client, const struct request *r)
{
	(void)r;
	desk_answer(client, SPAN("OK\n"), SPAN("stopping\n"));
	master_stop(c->master);
}

static request_fn *const handlers[REQUESTS] = {
	[REQUEST_STATUS] = do_status,
	[REQUEST_SESSIONS] = do_sessions,
	[REQUEST_RECENT] = do_recent,
	[REQUEST_LISTS] = do_lists,
	[REQUEST_OFFENDERS] = do_offenders,
	[REQUEST_POOLS] = do_pools,
	[REQUEST_POOL] = do_pool,
	[REQUEST_METRICS] = do_metrics,
	[REQUEST_RELOAD] = do_reload,
	[REQUEST_DRAIN] = do_drain,
	[REQUEST_LEAVE] = do_leave,
	[REQUEST_STOP] = do_stop,
};

static void
on_request(void *arg, struct desk_client *client, struct span line)
{
	struct request r;
	const char *why;

	if (request_parse(line, &r, &why))
		handlers[r.id](arg, client, &r);
	else
		answer_err(client, span_of(why));
}

/*
 * The socket. Its folder is made if it is missing; what an earlier process left there is removed,
 * unless somebody still answers.
 */
static bool
is_answered(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool answered = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof *un) == 0;

	if (fd >= 0)
		close(fd);
	return answered;
}

static void
make_folder(const char *path)
{
	char folder[sizeof(struct sockaddr_un)];
	struct buf b = BUF(folder);

	buf_puts(&b, path);
	char *slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return;
	*slash = '\0';
	(void)!mkdir(folder, 0755);
}

/* Nobody may connect before the permissions are right. */
static int
bind_socket(const struct sockaddr_un *un, const char *group)
{
	const struct group *entry = *group == '\0' ? NULL : getgrnam(group);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask = umask(0177);
	bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)un, sizeof *un) == 0;

	umask(mask);
	if (*group != '\0' && entry == NULL)
		log_warning("gatehouse_control_group: there is no group %s: only root may use the "
			    "control socket",
		    group);
	if (bound && entry != NULL &&
	    (chown(un->sun_path, (uid_t)-1, entry->gr_gid) != 0 || chmod(un->sun_path, 0660) != 0))
		log_warning("gatehouse_control_group: %s: %s", un->sun_path, strerror(errno));
	if (bound && listen(fd, CLIENTS_MAX) == 0)
		return fd;
	int saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

struct desk *
control_open(struct console *c, const char *path, const char *group)
{
	static const struct desk_rules rules = { CLIENTS_MAX, REQUEST_LINE_MAX, RATE, TIME_MS,
		request_whole, on_request, "ERR request too long\n" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof un.sun_path) {
		log_error("gatehouse_control: %s: a socket's path has at most %zu bytes", path,
		    sizeof un.sun_path - 1);
		return NULL;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	make_folder(path);
	if (is_answered(&un)) {
		log_error("gatehouse_control: another Gatehouse answers at %s", path);
		return NULL;
	}
	(void)unlink(path);
	int fd = bind_socket(&un, group);
	if (fd < 0) {
		log_error("gatehouse_control: %s: %s", path, strerror(errno));
		return NULL;
	}
	return desk_new(c->loop, fd, &rules, c);
}

void
control_close(struct console *c)
{
	if (c->control == NULL)
		return;
	(void)unlink(c->control_path);
	desk_free(&c->control);
}
