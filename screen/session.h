/*
 * screen/session.h: one client in front of us.
 *
 * A session is a row of states.tbl at a time. Events arrive from the loop; the state's handler returns the
 * next state, and session_event() alone moves, arms, disarms and ends. The walk: DOOR (limits, permanent
 * lists, memory) → WAIT (greeting pause, lists) → TALK (SMTP engine) or GATE (hand-off) → the one end.
 */
#ifndef SCREEN_SESSION_H
#define SCREEN_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/loop.h"
#include "base/map.h"
#include "dnsbl/dnsbl.h"
#include "policy/policy.h"
#include "screen/backend.h"

#ifndef LOG_PROGRAM
#define LOG_PROGRAM "postscreen"
#endif

struct session;
struct worker;
struct engine;
struct relay;

enum state {
#define STATE(id, phase, limit, reads, enter, read, time, other) S_##id,
#include "screen/states.tbl"
#undef STATE
	STATES,
	S_STAY,  /* as we were; the time limit runs on */
	S_AGAIN, /* as we were, with the time limit begun anew */
	S_END,
};

enum limit {
	LIMIT_NONE,
	LIMIT_PROXY,
	LIMIT_GREET,
	LIMIT_COMMAND,
	LIMIT_STARTTLS,
	LIMIT_HANDOFF,
	LIMIT_DIAL,
	LIMIT_RELAY,
	LIMIT_TARPIT,
	LIMIT_SECOND,
	LIMITS
};

/* ON_OTHER: what the state waits for besides its client: the lists' answers, the backend. */
enum session_event { ON_ENTER, ON_READ, ON_TIME, ON_OTHER, SESSION_EVENTS };
typedef enum state state_fn(struct session *);

enum reply {
#define REPLY(id, text) R_##id,
#include "screen/replies.tbl"
#undef REPLY
	REPLIES
};

enum event_id {
#define EVENT(id, line, respectless, when) EV_##id,
#include "screen/events.tbl"
#undef EVENT
	EVENTS
};

/* Why a session ended, for its record and the metrics (the member "verdict"). */
enum verdict {
	V_NONE,
	V_PASS_OLD,
	V_PASS_NEW,
	V_ALLOW,
	V_REJECT,
	V_DROP,
	V_HANGUP,
	V_BUSY,
	V_ERROR,
	VERDICTS
};

/* Clients of one IPv6 network (gatehouse_client_prefix_ipv6), where they are counted as one. */
struct crowd {
	struct map_node node;
	struct addr net;
	unsigned sessions;
};

/*
 * One client address with sessions open. Stamps are shared by its overlapping sessions.
 */
struct client {
	struct map_node node;
	struct addr addr;
	unsigned sessions;
	unsigned screened; /* of those, not yet the backend's: what they earned may not be stored yet */
	struct crowd *crowd; /* the neighbours it is counted with; null: it stands for itself */
	unsigned passes; /* PASS NEW conditions seen in this group of sessions */
	struct record stamps;
};

struct session {
	struct watch io;       /* the client socket */
	struct deadline limit; /* of the state */
	struct worker *worker;
	struct client *client;
	struct dnsbl_ask *ask;   /* null when nothing is asked */
	struct share_ask *share_ask; /* memory.c: null when other hosts are not asked */
	struct engine *engine;   /* null outside TALK */
	struct relay *relay;     /* null outside DIAL, REPLAY, RELAY */
	int fd;                  /* -1 when closed or given away */
	struct backend_link link;
	struct endpoint peer, local;
	int64_t born_us, phase_us, wait_us; /* wait_us: length of the pause, 0 while it lasts */
	uint64_t id;
	struct screening sc;
	uint32_t pregreet_ms;
	uint16_t pregreet_bytes;
	uint8_t state;       /* enum state */
	uint8_t verdict;     /* enum verdict */
	uint8_t final;       /* enum reply: the last word of a session that is not handed over */
	uint8_t access;      /* enum access_result */
	uint8_t dials;       /* servers of the backend tried */
	bool known : 1;      /* the store had a record */
	bool pooled : 1;     /* its record stands under its pool's key */
	bool listed_only : 1; /* the pool of a domain: only DNSBL asks about it */
	bool told : 1;       /* another host has just told what it knows ... */
	bool recalled : 1;   /* ... and that leaves nothing due */
	bool teased : 1;     /* the 220- line was sent */
	bool hangup : 1;     /* the client went away: nothing more to say to it */
	bool concluded : 1;  /* PASS logged and record stored, once */
	bool post_queued : 1;
	bool no_handoff : 1; /* X21: hand-off failed after the teaser; say so at the first command */
	bool tls : 1;
	bool handed : 1;     /* the client is the backend's now */
	bool relayed : 1;    /* counted as relayed, no longer as under screening */
	bool io_ready : 1;   /* io has been initialised */
	bool in_proxy : 1;   /* counted as waiting for its PROXY header */
};

/* session.c: the one place that moves sessions. */
void session_birth(struct worker *, int fd, const struct endpoint *peer, const struct endpoint *local,
    bool proxied);
void session_event(struct session *, enum session_event);

/* Sets the last word and returns S_END. */
enum state session_finish(struct session *, enum reply final, enum verdict);
/* The client is gone: logs HANGUP in this state's phase, returns S_END. */
enum state session_hangup(struct session *);
/* PASS line, record written: once, on the way to the gate or to the end. */
void session_conclude(struct session *);
/* The client is the backend's now: nothing this session does concerns its client's others any more. */
void session_handed(struct session *);
/* The process ends: 421 where SMTP allows it, then the end. */
void session_stop(struct session *);
/* gatehouse_session_time_limit went by: logged, 421, the end. */
void session_expire(struct session *);
/* For handlers: watch the client socket for input, or no longer. */
void session_listen(struct session *, bool on);
/* Whole seconds and two significant digits, as the log has it: "0", "0.15", "1.2", "12". */
const char *elapsed_text(int64_t us, unsigned decimals_max, char out[24]);

/* events.c: args: as many strings as the line names, then null. */
/* The line alone: for session_log() and tests. */
void event_text(const struct session *, enum event_id, const char *const *args, struct buf *out);
void session_log(const struct session *, enum event_id, const char *const *args);
#define log_event(s, event, ...) session_log((s), (event), (const char *const[]){ __VA_ARGS__, NULL })
#define log_plain(s, event) session_log((s), (event), (const char *const[]){ NULL })

/*
 * replies.c. The text of a reply without CRLF, expanded and, under soft_bounce, softened; cut to size.
 * reply_compose() is the same with the reject footer and CRLF.
 */
void reply_text(const struct session *, enum reply, struct buf *out);
void reply_compose(const struct session *, enum reply, struct buf *out);
/*
 * Best effort: composed, one non-blocking write, what the engine could not yet send in front of it. Also
 * the last word at the end of a session. False if the client takes nothing and no room is left to wait in;
 * errors of the socket show at the next read.
 */
bool reply_send(struct session *, enum reply);
/* Refusal decided by policy, as the reply to RCPT. */
enum reply reply_refusal(const struct session *);

/* wait.c, engine.c, handoff.c: the handlers named in states.tbl. */
state_fn proxy_enter, proxy_read, proxy_time;
/* No longer waiting for a PROXY header: counted out, if it was counted in. */
void proxy_leave(struct session *);
state_fn door_enter;
state_fn wait_enter, wait_read, wait_over, wait_other;
state_fn engine_enter, engine_read, engine_time;
state_fn veil_enter, veil_read, veil_time;
state_fn tarpit_over, drip_enter, drip_time;
state_fn gate_enter, gate_read, gate_time;
state_fn relay_client, dial_enter, dial_time, dial_ready;
state_fn replay_enter, replay_time, replay_read;
state_fn relay_enter, relay_time, relay_pump;
/* No backend for a client that passed. outcome: enum handoff_outcome. */
enum state handoff_failed(struct session *, enum reply, unsigned outcome);
/* What is said and logged when the session has lasted too long; it ends then. */
void engine_expire(struct session *);
/* The engine's part in the end of a session: unsent bytes, its struct. */
void engine_free(struct session *);
/* `,"tls":...,"helo":...,"mail":...,"rcpts":[...]` for the session record; nulls outside the engine. */
void engine_journal(const struct session *, struct buf *);

/* journal.c: one JSON object a session. */
void journal_session(struct session *, int64_t now_us);

#endif
