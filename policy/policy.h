/*
 * policy/policy.h: what we conclude.
 *
 * For: permanent lists, the checks and what their outcome means, the allowlist record and its store.
 * Not for: talking, asking, waiting. Everything but the store is pure: facts and the time in, verdict
 * out. Times are Unix seconds.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/loop.h"
#include "rules/rules.h"

enum check {
#define CHECK(id, word, when, enable, ttl, action) CHECK_##id,
#include "policy/checks.tbl"
#undef CHECK
	CHECKS
};
#define CHECK_BIT(check) (1u << (check))
#define CHECKS_EARLY (CHECK_BIT(CHECK_PREGREET) | CHECK_BIT(CHECK_DNSBL))
#define CHECKS_DEEP (CHECK_BIT(CHECK_PIPELINING) | CHECK_BIT(CHECK_NON_SMTP) | CHECK_BIT(CHECK_BARE_NEWLINE))
const char *check_word(enum check);

enum action { ACTION_IGNORE, ACTION_ENFORCE, ACTION_DROP };

/* What judging needs to know of the configuration; immutable, part of the snapshot. */
struct policy_rules {
	uint8_t enabled;              /* CHECK_BITs */
	enum action action[CHECKS];
	enum action denylist_action;
	/* gatehouse_shadow: their outcome is noted, and acted upon as if their action were ignore. */
	uint8_t shadow; /* CHECK_BITs */
	bool shadow_denylist, shadow_veto;
	int64_t ttl_s[CHECKS];        /* CHECK_DNSBL: unused, the answer brings its own */
	int64_t ignored_ttl_s;        /* the least of ttl_s: an ignored failure is not looked for again so long */
	int64_t retention_s;
	int threshold;                /* fail at score >= this */
	int allow_threshold;          /* negative: skip the other checks at score <= this */
};
/* dnsbl_domains: dnsbl_domain_count(), the only fact needed from the sister room. */
void policy_rules_load(struct policy_rules *out, const struct rules *, size_t dnsbl_domains, struct diag *);

/* The allowlist record: when the pass of each check expires. */
#define STAMP_INVALID (-1) /* in memory only: not yet evaluated */
#define STAMP_NEW 0        /* enabled and never passed */
#define STAMP_DISABLED 1   /* never passed; the check was off, or failed in this session */
struct record {
	int64_t expires_at[CHECKS];
};
#define RECORD_TEXT_SIZE 128
void record_clear(struct record *);                      /* all STAMP_INVALID: a client's birth */
void record_parse(struct record *out, struct span text); /* a bad field reads as STAMP_DISABLED */
/* Five decimal fields; STAMP_NEW of a disabled check is written as STAMP_DISABLED. */
void record_format(const struct record *, uint8_t enabled, struct buf *out);
/*
 * Kept by a sweep: not every enabled check expired longer than retention ago (as documented). With no
 * check enabled all five are asked, so that switching everything off for an hour forgets nobody.
 */
bool record_keep(const struct record *, const struct policy_rules *, int64_t now_s);

/* The access list (postscreen_access_list). */
enum access_result { ACCESS_DUNNO, ACCESS_PERMIT, ACCESS_REJECT };
struct access_list;
struct access_list *access_list_load(const struct rules *, struct diag *);
void access_list_free(struct access_list **);
/* Fails open: errors are logged in postscreen's words and mean DUNNO. */
enum access_result access_list_find(const struct access_list *, const struct addr *client);
/* mynetworks; borrowed. */
const struct match_list *access_list_mynetworks(const struct access_list *);

/*
 * One client's screening: facts collected so far. Zero-initialised at birth. The stamps are those of
 * the client, shared by its overlapping sessions.
 */
enum refusal { REFUSE_NONE, REFUSE_DENYLIST, REFUSE_PROTOCOL, REFUSE_DNSBL };
struct screening {
	uint8_t todo, pass, fail, done; /* CHECK_BITs; done: no longer tested in this session */
	bool is_new;                    /* some stamp was STAMP_NEW when evaluated */
	bool denied;                    /* on the deny list, action enforce or drop */
	bool vetoed;                    /* came in by an address that earns no allowlisting */
	bool noforward;                 /* never hand this session over */
	bool scored;                    /* screening_score() was called */
	uint8_t would;                  /* CHECK_BITs failed in the shadow */
	bool would_deny, would_veto, would_drop;
	uint8_t refusal;                /* enum refusal: what RCPT is refused with */
	int score;
	int64_t score_ttl_s;
};
enum step { STEP_PASS, STEP_WAIT, STEP_TALK, STEP_DROP };

bool screening_failed(const struct screening *); /* any failure: a check, deny list, veto */

/* What would have come of those in the shadow: STEP_PASS, STEP_TALK (refused at RCPT) or STEP_DROP. */
enum step screening_would(const struct screening *);

/* The deny list matched. STEP_DROP, or STEP_WAIT to go on. */
enum step screening_deny(struct screening *, const struct policy_rules *);

/*
 * Which checks are due, by the rules of postscreen(8): `stored` is the store's record, or null; `others` says that
 * further sessions of this client are open: then the stamps they share decide, if one of them has
 * evaluated any (record_clear() them at the client's birth). Call after screening_deny(), before
 * screening_veto(). Fills stamps and todo. True if the store's record leaves nothing due: PASS OLD.
 */
bool screening_begin(struct screening *, const struct policy_rules *, struct record *stamps,
    const struct record *stored, bool others, int64_t now_s);

/*
 * Another host knows this client (share_get()), and the answer came during the pause: takes over what it
 * has passed there and finds anew what is due, unless something has been judged here already. True: that
 * leaves nothing due, PASS OLD.
 */
bool screening_recall(struct screening *, const struct policy_rules *, struct record *stamps,
    const struct record *found, int64_t now_s);

/* postscreen_allowlist_interfaces said no: never forwarded, and nothing learned. */
void screening_veto(struct screening *, const struct policy_rules *);

/* The client spoke too early. ACTION_DROP ends the session at once. */
enum action screening_pregreet(struct screening *, const struct policy_rules *);

/*
 * The DNSBL score, complete or as far as known; call once, before screening_wait_over() at the latest
 * (with score 0 and the least lifetime if nobody could be asked). Applies the DNS allowlist rule (§1.5.4).
 */
void screening_score(struct screening *, const struct policy_rules *, struct record *stamps, int score,
    int64_t ttl_s, int64_t now_s);

/* Every early check that is due has its result: the pause may end. */
bool screening_early_done(const struct screening *);

/*
 * The pause is over (§1.5.1); screening_score() has been called if CHECK_DNSBL is due. *ranked is set if
 * the score reached the threshold, whatever the action (for the DNSBL rank line).
 */
enum step screening_wait_over(struct screening *, const struct policy_rules *, struct record *stamps,
    int64_t now_s, bool *ranked);

/* May be handed over: nothing forbids it, and no deep check that is due still lacks its pass. */
bool screening_may_forward(const struct screening *);

/* Entering the SMTP engine (§1.6): once anything failed all deep checks are due. */
void screening_talk(struct screening *);

/*
 * The hand-off of a concluded session failed after a teaser was sent (§1.11, "X21"): it goes on in the
 * engine without deep checks, is never forwarded, and a second conclusion says and stores nothing.
 */
void screening_handoff_failed(struct screening *);

/* A deep check is due and has not failed in this session: go on looking for violations. */
bool screening_deep_due(const struct screening *, enum check);
enum action screening_deep_fail(struct screening *, const struct policy_rules *, struct record *stamps,
    enum check, int64_t now_s);
/* RCPT was reached: provisional passes (§3.2 step 8). */
void screening_rcpt(struct screening *, const struct policy_rules *, struct record *stamps, int64_t now_s);

/*
 * The end (§1.8 steps 1 to 3). passes_before: PASS NEW conditions seen among the overlapping sessions of
 * this client; incremented here.
 */
enum pass_kind { PASS_NONE, PASS_OLD, PASS_NEW };
struct conclusion {
	enum pass_kind pass;
	bool store; /* write the stamps */
};
struct conclusion screening_conclude(struct screening *, unsigned *passes_before);

/*
 * The store: LMDB, address text → record text. One writer, readers in the workers, each process with an
 * environment of its own: a child closes what it inherited (fd_close_others) before it opens anything.
 * No function fails for the caller: trouble is logged (at most once a second) and means "no memory"; when
 * its cause is gone the memory comes back by itself.
 *
 * A reader lives in a jail that cannot open files. If it was born blind, or the writer has begun a new
 * file because the old one was damaged or deleted, only a new process can see it: then the writer's news
 * (STORE_UNSEEN, or STORE_OPEN with another file) say so, and the workers are to be replaced as for a reload.
 *
 * One reader a process: it catches SIGBUS and SIGSEGV, which a damaged file raises in the middle of a look-up.
 */
struct store_reader;
/*
 * Opened before the jail. path: the environment's directory. feed_fd: the worker's end of the writer's
 * feed, borrowed; -1: none, what is put stays in this process. Never null.
 */
struct store_reader *store_reader_open(const char *path, int feed_fd);
void store_reader_free(struct store_reader **); /* flushes */
/* Sends to the writer what was put since the last call: once a turn, so that a busy turn costs one call. */
void store_reader_flush(struct store_reader *);
/* Also sees what this process has put and the writer has not yet committed. 1 to 3 µs. */
bool store_get(struct store_reader *, const struct addr *, struct record *out, int64_t now_s);
/* enabled: policy_rules.enabled. Never blocks: an update the writer has no room for is lost and counted. */
void store_put(struct store_reader *, const struct addr *, const struct record *, uint8_t enabled,
    int64_t now_s);

/*
 * Makes the directory if it is missing, 0700, and gives it and its files to `user` if we are root (null: to
 * us). False with the reason in err if it is no directory, or belongs to somebody else.
 */
bool store_prepare(const char *path, const char *user, struct buf *err);

/*
 * The writer. It waits for the disk and trusts a file that may be damaged, so it belongs into a process of
 * its own, which runs as the owner of the store and may fall: what was committed stays, what was sent to
 * its feed waits there for the next.
 */
struct store_writer;
enum store_news {
	STORE_OPEN,   /* it works; the number is the file's, and no other file's */
	STORE_BLIND,  /* it cannot be opened; said at each try, every two seconds. store_prepare() may help */
	STORE_UNSEEN, /* a reader cannot see it */
	STORE_FAILS,  /* it cannot be opened or written, as the log says */
	STORE_WORKS,  /* again */
};
typedef void store_news_fn(void *arg, enum store_news, uint64_t file);
/*
 * Never null: a store that cannot be opened is tried again from the loop. sweep_s: 0 never. sound: a writer has
 * just ended well, so the file need not be read through. news, which may be null, is called from the loop, and
 * from here. Commits follow an update within a second.
 */
struct store_writer *store_writer_open(struct loop *, const char *path, const struct policy_rules *,
    int64_t sweep_s, bool sound, store_news_fn *news, void *arg);
void store_writer_free(struct store_writer **); /* takes and commits what has been sent; closes the feeds */
/* Takes updates from this end of a SEQPACKET socket pair, which is now the writer's; workers have the other. */
void store_writer_feed(struct store_writer *, int fd);

/*
 * Where postscreen_cache_map puts the environment: PATH of "lmdb:PATH"; of another type PATH.lmdb, for
 * that file is not ours to write. Null: it is empty, no memory is wanted. The caller frees it.
 */
char *store_path_of(const struct rules *);

/*
 * The store for gatehousectl. Reading, it opens the file beside the daemon. Writing, it hands its changes to
 * the daemon's writer if there is one, and is the writer otherwise: it never keeps the daemon waiting, be it
 * stopped in the middle. Blocks, for half a minute at most; never beside a reader or writer in one process.
 * Changes are on disk after store_tool_commit(), and every few hundred.
 */
struct store_tool;
enum store_result { STORE_FOUND, STORE_MISSING, STORE_ERROR };
/* write: creates what is missing, for `user` if we are root. Null with the reason in err. */
struct store_tool *store_tool_open(const char *path, const char *user, bool write, struct buf *err);
void store_tool_free(struct store_tool **);
const char *store_tool_error(const struct store_tool *); /* why the last call failed */
enum store_result store_tool_get(struct store_tool *, const struct addr *, struct record *out);
bool store_tool_put(struct store_tool *, const struct addr *, const struct record *);
enum store_result store_tool_delete(struct store_tool *, const struct addr *);
bool store_tool_commit(struct store_tool *);
/* In the order of the keys' bytes; stops when fn says false. */
typedef bool store_each_fn(void *arg, const struct addr *, const struct record *);
bool store_tool_each(struct store_tool *, store_each_fn *, void *arg);
struct store_stats {
	uint64_t records, file_bytes, used_bytes, map_bytes;
	int64_t swept_at; /* 0: never */
	unsigned readers;
};
bool store_tool_stats(struct store_tool *, struct store_stats *out);

/*
 * One line of an export, "address TAB record", as `postmap -s` prints a postscreen cache. SKIPPED: an
 * empty line or the time of the last clean-up. BAD: neither; *why is a static text.
 */
enum store_line { STORE_LINE, STORE_LINE_SKIPPED, STORE_LINE_BAD };
enum store_line store_line_parse(struct span, struct addr *, struct record *, const char **why);

/*
 * Sharing records among hosts through a Redis server (gatehouse_cache_server). The local store stays the
 * memory of this host; the server is asked when that leaves something due, while the client waits
 * anyway, and told of every record written. Everything here fails open: an answer that is late, wrong or
 * missing means that the client is not known there. A server in trouble is left alone, longer each time.
 *
 * Plain TCP: whoever can read or change the traffic can make himself known. Over a network that is not
 * yours alone, put stunnel or WireGuard between; the password guards only against strangers.
 */
struct share_rules;
/*
 * Null if gatehouse_cache_server is empty or, with an error in diag, wrong. Reads the password file, so
 * call it before privileges are given up.
 */
struct share_rules *share_rules_load(const struct rules *, struct diag *);
void share_rules_free(struct share_rules **);

struct share;
/* One connection, one process: make it in the worker. It connects from the loop, now and whenever it must. */
struct share *share_new(struct loop *, const struct share_rules *);
void share_free(struct share **); /* after every ask was released */

/*
 * Asks for a client's record. done is called once, from the loop, within 50 ms; found is null if the
 * server does not know the client or did not say in time. The handle stays valid until share_release(),
 * which also cancels. Null: the server is in trouble, or too much is asked already: do not wait.
 */
#define SHARE_BUDGET_MS 50
struct share_ask;
typedef void share_done_fn(void *arg, const struct record *found);
struct share_ask *share_get(struct share *, const struct addr *, share_done_fn *, void *arg);
void share_release(struct share_ask **); /* harmless if null */
/* Tells the server, which forgets the record when its last stamp expires. Never blocks, may be lost. */
void share_put(struct share *, const struct addr *, const struct record *, uint8_t enabled, int64_t now_s);

struct share_stats {
	bool up;
	uint64_t asked, found, late, put, lost, broken; /* broken: times the connection was given up */
};
struct share_stats share_stats(const struct share *);

/*
 * Pools of senders. Big providers try again from other addresses of theirs. The hosts of a network in
 * gatehouse_pool_prefixes count as one client; so do the hosts that the SPF record of a domain in
 * gatehouse_pool_domains allows, and those are asked about by DNSBL only.
 */
#define POOLS_MAX 64
struct pools_rules;
struct pools_rules *pools_rules_load(const struct rules *, struct diag *); /* null: no pools */
void pools_rules_free(struct pools_rules **);
void policy_rules_listed_only(struct policy_rules *); /* switches the checks off that pools are spared */

/*
 * What is known of them, in memory that children share: one process walks the records and writes what they
 * allow, all others read. It outlives each of them.
 */
struct pools_board;
struct pools_board *pools_board_new(const struct pools_rules *); /* borrows the rules. Null with errno */
void pools_board_free(struct pools_board **);
/* What the other knows of the same domains; before anybody writes. */
void pools_board_inherit(struct pools_board *, const struct pools_board *from);
/*
 * True if the client is in a pool: key is the address under which its record stands, and listed_only says
 * that no other check than DNSBL is due (use policy_rules_listed_only()). Never waits.
 */
bool pools_find(const struct pools_board *, const struct addr *client, struct addr *key, bool *listed_only);
/* Of the pool whose record stands there: the domain, or NETWORK/LENGTH; null if there is none. */
const char *pools_name(const struct pools_board *, const struct addr *key);

/*
 * The one that walks. Opened before the jail (the resolver's configuration is read); walks from the loop, what is
 * not known at once, the rest when its time to live is over. A walk that fails leaves the last good set in force.
 */
struct pools;
struct pools *pools_walk(struct loop *, struct pools_board *);
void pools_free(struct pools **);

#define POOL_NETS_MAX 8192
#define POOL_SOURCES_MAX 11 /* the domain and ten look-ups (RFC 7208 section 4.6.4) */
#define POOL_ERROR_SIZE 320
struct pool_source {
	char term[280]; /* the domain, or what leads to another record or to hosts: "include:..." */
	uint8_t parent; /* in whose record it stands; the domain is its own */
	uint32_t ttl_s;
};
struct pool_net {
	struct addr net;
	uint8_t len;
	bool excluded;
	uint8_t source;
};
struct pool_info {
	const char *name; /* the domain, or NETWORK/LENGTH; borrowed from the rules */
	struct addr key;
	bool is_domain;
	int64_t age_s, next_s;       /* since the last good walk; until the next; -1: none yet */
	unsigned skipped;            /* terms of the SPF records that are no networks */
	char error[POOL_ERROR_SIZE]; /* of the last walk; empty: it was good */
	size_t source_count, net_count;
	struct pool_source sources[POOL_SOURCES_MAX];
	struct pool_net nets[POOL_NETS_MAX];
};
size_t pools_count(const struct pools_board *);
struct pool_info *pools_look(const struct pools_board *, size_t i, int64_t now_us); /* the caller's: free() */

#endif
