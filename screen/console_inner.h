/*
 * screen/console_inner.h: what the parts of the console share: gathering (console.c), the control
 * socket (control.c), HTTP (http.c), and the writers of answers (status.c, metrics.c, page.c).
 */
#ifndef SCREEN_CONSOLE_INNER_H
#define SCREEN_CONSOLE_INNER_H

#include "base/loop.h"
#include "screen/console.h"
#include "screen/desk.h"
#include "screen/request.h"
#include "screen/shared.h"
#include "screen/tally.h"

#define RECENT_MAX 256
#define MINUTES_MAX 1440
#define OFFENDERS_MAX 1024
#define LIVE_MAX 2000
#define LIVE_A_WORKER 300

/* What came of sessions, for the chart. */
enum flow { FLOW_PASSED, FLOW_REFUSED, FLOW_LEFT, FLOW_TROUBLE, FLOWS };
const char *flow_word(enum flow);
struct minute {
	int64_t at_s; /* Unix time of its first second; 0: not yet */
	uint64_t flows[FLOWS], shadow;
};

/*
 * Who is refused most, in bounded space (Metwally's space-saving): a stranger takes the place of the
 * least, with his count, so a count is at most too big by what the place held before (`over`).
 * Hosts (an IPv4 address, an IPv6 /64) are for firewalls: none that was not refused in earnest, and one that
 * passes is forgiven. Networks are for the page: there those in the shadow count, too.
 */
struct offender {
	struct addr net;
	uint8_t bits, reason;
	uint64_t count, over;
	int64_t first_s, last_s;
};
struct offenders {
	size_t count, max;
	struct offender row[OFFENDERS_MAX];
};
void offenders_note(struct offenders *, const struct session_row *, unsigned bits4, unsigned bits6,
    int64_t now_s);
void offenders_forgive(struct offenders *, const struct addr *client, unsigned bits4, unsigned bits6);
/* All counts, so that what was long ago counts less. */
void offenders_halve(struct offenders *);
/* The `max` greatest, greatest first. */
size_t offenders_top(const struct offenders *, const struct offender **out, size_t max);

/* What the workers were asked to show. */
struct listing {
	bool under_way;
	unsigned waiting; /* workers */
	uint32_t tag;
	size_t count;
	struct session_row *rows;
	struct watch limit;
};

struct console {
	struct master *master;
	struct loop *loop;
	int64_t started_us, started_s;
	struct totals base; /* of workers that are gone */
	uint64_t deaths, reloads[2]; /* [in force] */
	struct watch tick;
	uint64_t seen[SLOTS_MAX];
	struct session_row recent[RECENT_MAX];
	uint64_t recent_count; /* ever; the last stands at (recent_count - 1) % RECENT_MAX */
	struct minute minutes[MINUTES_MAX];
	uint64_t minute_count;
	struct minute minute_base; /* the sums when the minute began */
	struct offenders hosts, nets;
	int64_t halved_s;
	struct listing listing;
	struct desk *control, *http;
	char *control_path, *http_at;
	struct buf text; /* where answers are written */
};

/* Everything that is true now, gathered for one answer. */
struct view {
	struct console *console;
	int64_t now_us, now_s;
	struct totals totals;
	const struct snapshot *snap; /* null: not serving yet */
	size_t seat_count;
	struct seat_view seats[SEATS_VIEW_MAX];
	size_t open, passing, relayed, tarpit, in_proxy; /* open holds the next three, too */
	bool stressed;
};
/* The one view, filled anew; borrowed until the next call. */
const struct view *console_view(struct console *);
/* The minute `back` before this one (0: this one, so far); null before the start. */
const struct minute *console_minute(const struct view *, unsigned back);
/* The session that ended `back` before the last; null if there is none. */
const struct session_row *console_recent(const struct console *, size_t back);
unsigned view_screens(const struct view *); /* screen workers, those that drain included */
uint64_t view_flow(const struct totals *, enum flow);
/*
 * `part` thousandths of the durations are not longer than this, as far as the histogram says: within a bucket they are
 * taken to lie evenly, beyond the last at its end, as Prometheus does. Microseconds; -1: none were counted.
 */
int64_t view_quantile(const struct totals *, enum cell histogram, unsigned i, unsigned part);
int64_t view_mean(const struct totals *, enum cell histogram); /* exact; -1 likewise */

/* What the kernel knows of a process. Zeros if it cannot be asked. */
struct process_view {
	uint64_t resident_bytes, descriptors;
};
struct process_view process_look(pid_t);
/* Of a worker that counts its descriptors itself: before Linux 6.2 only root may look. */
struct process_view seat_look(const struct seat_view *);

/* Asks the workers; everybody waiting for WAIT_LISTING is answered by `done` soon. */
enum { WAIT_LISTING = 1, WAIT_RELOAD };
void console_list(struct console *);
/* In control.c. */
struct desk *control_open(struct console *, const char *path, const char *group);
void control_close(struct console *);
void control_listed(struct console *);
void control_settled(struct console *, bool in_force);
/* In http.c. Null after a logged reason. */
struct desk *http_open(struct console *, const char *at);

/* gatehouse_shadow as it was written, and whether anything stands in the shadow. */
const char *shadow_text(const struct view *);
bool is_shadowed(const struct view *);
/* "90 seconds", "5 minutes", "3 days": whole, in the unit that says most. */
void put_span_of_time(struct buf *, int64_t seconds);
/* How a list does, in a word; *why: more words, or "". */
const char *list_state(const struct view *, unsigned list, const char **why);

/* Writers. The text is of console->text, cut if it does not fit, which it does. */
void status_json(const struct view *, struct buf *);
void status_text(const struct view *, struct buf *);
void lists_json(const struct view *, struct buf *);
void lists_text(const struct view *, struct buf *);
/* Hosts refused `least` times or more, a line each. */
void offenders_json(const struct view *, uint64_t least, struct buf *);
void offenders_text(const struct view *, uint64_t least, struct buf *);
void metrics_text(const struct view *, struct buf *);
void page_body(const struct view *, struct buf *);
/* nonce: printable, for the page's own style and script. */
void page_whole(const struct view *, const char *nonce, struct buf *);

#endif
