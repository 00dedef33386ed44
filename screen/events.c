#include "config.h"

#include "base/log.h"
#include "screen/session.h"
#include "screen/worker.h"

#define EVENT_TEXT_SIZE 2100 /* the log cuts at 2000 */

static const struct {
	const char *line, *respectless;
} events[EVENTS] = {
#define EVENT(id, line, respectless, when) [EV_##id] = { line, respectless },
#include "screen/events.tbl"
#undef EVENT
};

static void
put_endpoint(struct buf *b, const struct endpoint *e)
{
	char addr[ADDR_TEXT_SIZE];

	buf_putc(b, '[');
	buf_puts(b, addr_format(&e->addr, addr));
	buf_puts(b, "]:");
	buf_uint(b, e->port);
}

void
event_text(const struct session *s, enum event_id event, const char *const *args, struct buf *out)
{
	bool respectful = s->worker->snap->respectful || events[event].respectless == NULL;

	for (const char *p = respectful ? events[event].line : events[event].respectless;
	     *p != '\0'; p++) {
		if (p[0] != '{' || p[1] == '\0' || p[2] != '}') {
			buf_putc(out, *p);
			continue;
		}
		if (p[1] == 'c')
			put_endpoint(out, &s->peer);
		else if (p[1] == 's')
			put_endpoint(out, &s->local);
		else
			buf_puts(out, args[p[1] - '0']);
		p += 2;
	}
}

void
session_log(const struct session *s, enum event_id event, const char *const *args)
{
	char text[EVENT_TEXT_SIZE];
	struct buf b = BUF(text);

	tally_add(s->worker->slot, CELL_EVENTS + event, 1);
	event_text(s, event, args, &b);
	log_text(LOG_LEVEL_INFO, LOG_PROGRAM, (struct span){ text, b.len });
}
