/* policy/screening.c: the rows of the reference, each as a case. */
#include "config.h"

#include <atf-c.h>
#include <string.h>

#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL (CHECKS_EARLY | CHECKS_DEEP)
#define PREGREET CHECK_BIT(CHECK_PREGREET)
#define DNSBL CHECK_BIT(CHECK_DNSBL)
#define PIPELINING CHECK_BIT(CHECK_PIPELINING)
#define NON_SMTP CHECK_BIT(CHECK_NON_SMTP)
#define BARE CHECK_BIT(CHECK_BARE_NEWLINE)

enum { NOW = 1000000, DAY = 86400, MONTH = 30 * 86400, LEAST = 60, TTL = 900 };

/* One client alone with its rules. */
struct world {
	struct policy_rules rules;
	struct screening s;
	struct record stamps;
	unsigned passes;
};

static struct world
world(uint8_t enabled)
{
	struct world w = { .rules = { .enabled = enabled,
			       .ignored_ttl_s = LEAST,
			       .threshold = 3,
			       .ttl_s = { DAY, LEAST, MONTH, MONTH, MONTH } } };

	for (int i = 0; i < CHECKS; i++)
		w.rules.action[i] = ACTION_ENFORCE;
	record_clear(&w.stamps);
	return w;
}

static bool
begin(struct world *w, const char *stored)
{
	struct record record;

	if (stored != NULL)
		record_parse(&record, span_of(stored));
	return screening_begin(&w->s, &w->rules, &w->stamps, stored ? &record : NULL, false, NOW);
}

static void
score(struct world *w, int score)
{
	screening_score(&w->s, &w->rules, &w->stamps, score, TTL, NOW);
}

static enum step
wait_over(struct world *w)
{
	bool ranked;

	if ((w->s.todo & DNSBL) && !w->s.scored)
		score(w, 0);
	return screening_wait_over(&w->s, &w->rules, &w->stamps, NOW, &ranked);
}

static enum action
deep_fail(struct world *w, enum check check)
{
	return screening_deep_fail(&w->s, &w->rules, &w->stamps, check, NOW);
}

static void
rcpt(struct world *w)
{
	screening_rcpt(&w->s, &w->rules, &w->stamps, NOW);
}

static struct conclusion
conclude(struct world *w)
{
	return screening_conclude(&w->s, &w->passes);
}

#define CHECK_STAMPS(w, a, b, c, d, e)                                                             \
	do {                                                                                       \
		const int64_t want_[] = { (a), (b), (c), (d), (e) };                               \
		for (int i_ = 0; i_ < CHECKS; i_++)                                                \
			ATF_CHECK_EQ_MSG((w).stamps.expires_at[i_], want_[i_], "stamp %d is %lld", \
			    i_, (long long)(w).stamps.expires_at[i_]);                             \
	} while (0)

/* Records as found in a postscreen cache. */
ATF_TC_WITHOUT_HEAD(records_decide_what_is_due);
ATF_TC_BODY(records_decide_what_is_due, tc)
{
	static const struct {
		const char *record;
		uint8_t todo;
		bool is_new, pass_old;
	} cases[] = {
		{ "1086400;1003600;3592000;3592000;3592000", 0, false, true },
		{ "1086400;999999;3592000;3592000;3592000", DNSBL, false, false },
		{ "1000000;1003600;3592000;3592000;3592000", 0, false, true },
		{ "999999;1003600;3592000;3592000;3592000", PREGREET, false, false },
		{ "1086400;1003600;0;0;0", CHECKS_DEEP, true, false },
		{ "1086400;1003600", CHECKS_DEEP, false, false },
		{ "garbage", ALL, false, false },
		{ NULL, ALL, true, false },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(ALL);
		ATF_CHECK_EQ_MSG(begin(&w, cases[i].record), cases[i].pass_old, "case %zu", i);
		ATF_CHECK_EQ_MSG(w.s.todo, cases[i].todo, "case %zu: %#x", i, w.s.todo);
		ATF_CHECK_EQ_MSG(w.s.is_new, cases[i].is_new, "case %zu", i);
	}
}

ATF_TC_WITHOUT_HEAD(only_enabled_checks_are_due_but_all_stamps_make_new);
ATF_TC_BODY(only_enabled_checks_are_due_but_all_stamps_make_new, tc)
{
	struct world w = world(PREGREET);

	ATF_CHECK(!begin(&w, "5;1003600;0;1;1"));
	ATF_CHECK_EQ(w.s.todo, PREGREET);
	ATF_CHECK(w.s.is_new);

	struct world off = world(0);
	ATF_CHECK_MSG(!begin(&off, NULL), "nothing remembered is not PASS OLD");
	ATF_CHECK_EQ(off.s.todo, 0);
	struct world known = world(0);
	ATF_CHECK(begin(&known, "1;1;1;1;1"));
}

/* Where the stamps come from, row by row. */
ATF_TC_WITHOUT_HEAD(stamps_come_from_store_sisters_or_nowhere);
ATF_TC_BODY(stamps_come_from_store_sisters_or_nowhere, tc)
{
	struct record valid, expired, shared;
	record_parse(&valid, span_of("1086400;1003600;3592000;3592000;3592000"));
	record_parse(&expired, span_of("5;5;5;5;5"));

	/* Sisters have evaluated: their stamps, no PASS OLD even if nothing is due. */
	struct world w = world(ALL);
	shared = valid;
	ATF_CHECK(!screening_begin(&w.s, &w.rules, &shared, &expired, true, NOW));
	ATF_CHECK_EQ(w.s.todo, 0);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_NONE);
	ATF_CHECK(screening_may_forward(&w.s));

	/* Sisters have not: the store decides as for one alone. */
	w = world(ALL);
	ATF_CHECK(screening_begin(&w.s, &w.rules, &w.stamps, &valid, true, NOW));

	/* Denied: the record is not consulted. */
	w = world(ALL);
	w.rules.denylist_action = ACTION_ENFORCE;
	ATF_CHECK_EQ(screening_deny(&w.s, &w.rules), STEP_WAIT);
	ATF_CHECK(!screening_begin(&w.s, &w.rules, &w.stamps, &valid, false, NOW));
	ATF_CHECK_EQ(w.s.todo, ALL);
	CHECK_STAMPS(w, 0, 0, 0, 0, 0);

	/* Stamps left over by a sister that is gone do not outlive it. */
	w = world(ALL);
	shared = valid;
	ATF_CHECK(!screening_begin(&w.s, &w.rules, &shared, NULL, false, NOW));
	ATF_CHECK_EQ(w.s.todo, ALL);
}

ATF_TC_WITHOUT_HEAD(another_host_may_know_the_client);
ATF_TC_BODY(another_host_may_know_the_client, tc)
{
	struct record all, some;
	record_parse(&all, span_of("1086400;1003600;3592000;3592000;3592000"));
	record_parse(&some, span_of("1086400;5;3592000;3592000;3592000"));

	struct world w = world(ALL);
	begin(&w, NULL);
	ATF_CHECK(screening_recall(&w.s, &w.rules, &w.stamps, &all, NOW));
	ATF_CHECK(screening_may_forward(&w.s));
	ATF_CHECK_EQ(conclude(&w).pass, PASS_NONE);
	CHECK_STAMPS(w, 1086400, 1003600, 3592000, 3592000, 3592000);

	/* Only the lists are left: the pause ends with their answers, and the client is no longer new. */
	w = world(ALL);
	begin(&w, NULL);
	ATF_CHECK(!screening_recall(&w.s, &w.rules, &w.stamps, &some, NOW));
	ATF_CHECK_EQ(w.s.todo, DNSBL);
	score(&w, 0);
	ATF_CHECK(screening_early_done(&w.s));
	ATF_CHECK_EQ(wait_over(&w), STEP_PASS);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_OLD);

	/* The later of two times counts. */
	w = world(ALL);
	begin(&w, "5;1009999;1;1;1");
	ATF_CHECK(screening_recall(&w.s, &w.rules, &w.stamps, &all, NOW));
	CHECK_STAMPS(w, 1086400, 1009999, 3592000, 3592000, 3592000);

	/* What has been judged here stands. */
	w = world(ALL);
	begin(&w, NULL);
	screening_pregreet(&w.s, &w.rules);
	ATF_CHECK(!screening_recall(&w.s, &w.rules, &w.stamps, &all, NOW));
	ATF_CHECK_EQ(w.s.todo, ALL);
	w = world(ALL);
	begin(&w, NULL);
	score(&w, 9);
	ATF_CHECK(!screening_recall(&w.s, &w.rules, &w.stamps, &all, NOW));
	ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
}

/* What each action of the deny list does. */
ATF_TC_WITHOUT_HEAD(deny_list_actions);
ATF_TC_BODY(deny_list_actions, tc)
{
	static const struct {
		enum action action;
		enum step step;
		bool failed;
		enum refusal refusal;
	} cases[] = {
		{ ACTION_IGNORE, STEP_WAIT, false, REFUSE_NONE },
		{ ACTION_ENFORCE, STEP_WAIT, true, REFUSE_DENYLIST },
		{ ACTION_DROP, STEP_DROP, true, REFUSE_DENYLIST },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(ALL);
		w.rules.denylist_action = cases[i].action;
		ATF_CHECK_EQ(screening_deny(&w.s, &w.rules), cases[i].step);
		ATF_CHECK_EQ(screening_failed(&w.s), cases[i].failed);
		ATF_CHECK_EQ(w.s.noforward, cases[i].failed);
		ATF_CHECK_EQ(w.s.refusal, cases[i].refusal);
		/* Nothing it passes is stored. */
		begin(&w, NULL);
		wait_over(&w);
		rcpt(&w);
		struct conclusion end = conclude(&w);
		ATF_CHECK_EQ(end.store, !cases[i].failed);
		ATF_CHECK_EQ(end.pass, cases[i].failed ? PASS_NONE : PASS_NEW);
	}
}

/* May the pause end before its time? */
ATF_TC_WITHOUT_HEAD(who_ends_the_pause_early);
ATF_TC_BODY(who_ends_the_pause_early, tc)
{
	struct world w = world(CHECKS_EARLY);
	begin(&w, NULL);
	score(&w, 0);
	ATF_CHECK_MSG(!screening_early_done(&w.s), "a silent client waits, answers or not");

	w = world(PREGREET);
	begin(&w, NULL);
	ATF_CHECK(!screening_early_done(&w.s));
	screening_pregreet(&w.s, &w.rules);
	ATF_CHECK_MSG(screening_early_done(&w.s), "a violation alone decides");

	w = world(CHECKS_EARLY);
	begin(&w, NULL);
	screening_pregreet(&w.s, &w.rules);
	ATF_CHECK_MSG(!screening_early_done(&w.s), "the lists are still out");
	score(&w, 0);
	ATF_CHECK(screening_early_done(&w.s));

	w = world(CHECKS_EARLY);
	w.rules.allow_threshold = -2;
	begin(&w, NULL);
	score(&w, -2);
	ATF_CHECK_MSG(screening_early_done(&w.s), "on a DNS allowlist");

	w = world(CHECKS_EARLY);
	begin(&w, "1086400;5;1;1;1");
	ATF_CHECK(!screening_early_done(&w.s));
	score(&w, 0);
	ATF_CHECK_MSG(screening_early_done(&w.s), "only the lists were due");

	w = world(CHECKS_DEEP);
	begin(&w, NULL);
	ATF_CHECK_MSG(screening_early_done(&w.s), "nothing early is due");
}

/* When the DNS allowlist rule applies. */
ATF_TC_WITHOUT_HEAD(dns_allowlist_conditions);
ATF_TC_BODY(dns_allowlist_conditions, tc)
{
	static const struct {
		int allow_threshold, score;
		bool vetoed, pregreet;
		bool applies;
	} cases[] = {
		{ -2, -2, false, false, true }, { -2, -3, false, false, true },
		{ -2, -1, false, false, false }, { 0, -5, false, false, false },
		{ 2, -5, false, false, false }, { -2, -3, true, false, false },
		{ -2, -3, false, true, false }, /* although the action is to ignore it */
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(ALL);
		w.rules.allow_threshold = cases[i].allow_threshold;
		w.rules.action[CHECK_PREGREET] = ACTION_IGNORE;
		begin(&w, NULL);
		if (cases[i].vetoed)
			screening_veto(&w.s, &w.rules);
		if (cases[i].pregreet)
			screening_pregreet(&w.s, &w.rules);
		score(&w, cases[i].score);
		ATF_CHECK_EQ_MSG(
		    (w.s.pass & CHECKS_DEEP) == CHECKS_DEEP, cases[i].applies, "case %zu", i);
	}
}

ATF_TC_WITHOUT_HEAD(dns_allowlist_effect);
ATF_TC_BODY(dns_allowlist_effect, tc)
{
	/* T9: all five stamps reach at least now + ttl, and the client goes on at once. */
	struct world w = world(ALL);
	w.rules.allow_threshold = -2;
	begin(&w, NULL);
	score(&w, -3);
	for (unsigned c = CHECK_PIPELINING; c < CHECKS; c++)
		ATF_CHECK(!screening_deep_due(&w.s, c));
	ATF_CHECK_EQ(wait_over(&w), STEP_PASS);
	CHECK_STAMPS(w, NOW + TTL, NOW + TTL, NOW + TTL, NOW + TTL, NOW + TTL);
	struct conclusion end = conclude(&w);
	ATF_CHECK_EQ(end.pass, PASS_NEW);
	ATF_CHECK(end.store);

	/* Longer stamps stay, disabled checks get theirs, only what was due passes. */
	w = world(DNSBL | PIPELINING);
	w.rules.allow_threshold = -2;
	begin(&w, "1000001;5;5;1;4000000");
	score(&w, -3);
	CHECK_STAMPS(w, NOW + TTL, 5, NOW + TTL, NOW + TTL, 4000000);
	ATF_CHECK_EQ(w.s.pass, PIPELINING);
	ATF_CHECK_EQ(wait_over(&w), STEP_PASS);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_OLD);
}

/* What each action of the early checks does. */
ATF_TC_WITHOUT_HEAD(pregreet_actions);
ATF_TC_BODY(pregreet_actions, tc)
{
	static const struct {
		enum action action;
		enum step step;
		enum refusal refusal;
		bool stored;
	} cases[] = {
		{ ACTION_IGNORE, STEP_PASS, REFUSE_NONE, true },
		{ ACTION_ENFORCE, STEP_TALK, REFUSE_PROTOCOL, false },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(CHECKS_EARLY);
		w.rules.action[CHECK_PREGREET] = cases[i].action;
		begin(&w, NULL);
		ATF_CHECK_EQ(screening_pregreet(&w.s, &w.rules), cases[i].action);
		ATF_CHECK_EQ(wait_over(&w), cases[i].step);
		ATF_CHECK_EQ(w.s.refusal, cases[i].refusal);
		/* The other check passed; the failed one keeps its old stamp. */
		CHECK_STAMPS(w, 0, NOW + TTL, 0, 0, 0);
		struct conclusion end = conclude(&w);
		ATF_CHECK_EQ_MSG(end.pass, PASS_NONE, "not all that was due has passed");
		ATF_CHECK_EQ(end.store, cases[i].stored);
	}
	struct world w = world(CHECKS_EARLY);
	w.rules.action[CHECK_PREGREET] = ACTION_DROP;
	begin(&w, NULL);
	ATF_CHECK_EQ(screening_pregreet(&w.s, &w.rules), ACTION_DROP);
	ATF_CHECK(w.s.noforward);
	ATF_CHECK(!conclude(&w).store);
}

ATF_TC_WITHOUT_HEAD(dnsbl_actions);
ATF_TC_BODY(dnsbl_actions, tc)
{
	static const struct {
		enum action action;
		int score;
		enum step step;
		bool ranked, stored;
		enum refusal refusal;
		int64_t stamp;
	} cases[] = {
		{ ACTION_IGNORE, 2, STEP_PASS, false, true, REFUSE_NONE, NOW + TTL },
		{ ACTION_IGNORE, 3, STEP_PASS, true, true, REFUSE_NONE, 0 },
		{ ACTION_ENFORCE, 2, STEP_PASS, false, true, REFUSE_NONE, NOW + TTL },
		{ ACTION_ENFORCE, 3, STEP_TALK, true, false, REFUSE_DNSBL, 0 },
		{ ACTION_DROP, -9, STEP_PASS, false, true, REFUSE_NONE, NOW + TTL },
		{ ACTION_DROP, 4, STEP_DROP, true, false, REFUSE_DNSBL, 0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(CHECKS_EARLY);
		bool ranked;
		w.rules.action[CHECK_DNSBL] = cases[i].action;
		begin(&w, NULL);
		score(&w, cases[i].score);
		ATF_CHECK_EQ_MSG(screening_wait_over(&w.s, &w.rules, &w.stamps, NOW, &ranked),
		    cases[i].step, "case %zu", i);
		ATF_CHECK_EQ_MSG(ranked, cases[i].ranked, "case %zu", i);
		ATF_CHECK_EQ_MSG(w.s.refusal, cases[i].refusal, "case %zu", i);
		CHECK_STAMPS(w, NOW + DAY, cases[i].stamp, 0, 0, 0);
		ATF_CHECK_EQ_MSG(conclude(&w).store, cases[i].stored, "case %zu", i);
	}
}

/* What each action of the deep checks does, and what is remembered of it. */
ATF_TC_WITHOUT_HEAD(deep_actions);
ATF_TC_BODY(deep_actions, tc)
{
	static const struct {
		enum action action;
		int64_t stamp;
		bool failed;
		enum pass_kind pass;
	} cases[] = {
		{ ACTION_IGNORE, NOW + LEAST, false, PASS_NEW },
		{ ACTION_ENFORCE, STAMP_DISABLED, true, PASS_NONE },
		{ ACTION_DROP, STAMP_DISABLED, true, PASS_NONE },
	};
	for (unsigned check = CHECK_PIPELINING; check < CHECKS; check++) {
		for (size_t i = 0; i < COUNT(cases); i++) {
			struct world w = world(ALL);
			w.rules.action[check] = cases[i].action;
			begin(&w, NULL);
			ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
			screening_talk(&w.s);
			ATF_CHECK(screening_deep_due(&w.s, check));
			ATF_CHECK_EQ(deep_fail(&w, check), cases[i].action);
			ATF_CHECK_MSG(!screening_deep_due(&w.s, check), "looked for once only");
			rcpt(&w);
			ATF_CHECK_EQ(w.stamps.expires_at[check], cases[i].stamp);
			ATF_CHECK_EQ(screening_failed(&w.s), cases[i].failed);
			ATF_CHECK_EQ(screening_may_forward(&w.s), !cases[i].failed);
			ATF_CHECK_EQ(w.s.refusal, cases[i].failed ? REFUSE_PROTOCOL : REFUSE_NONE);
			struct conclusion end = conclude(&w);
			ATF_CHECK_EQ(end.pass, cases[i].pass);
			ATF_CHECK_EQ(end.store, !cases[i].failed);
		}
	}
}

ATF_TC_WITHOUT_HEAD(a_late_violation_takes_back_a_provisional_pass);
ATF_TC_BODY(a_late_violation_takes_back_a_provisional_pass, tc)
{
	struct world w = world(ALL);

	begin(&w, NULL);
	wait_over(&w);
	screening_talk(&w.s);
	rcpt(&w);
	ATF_CHECK(screening_may_forward(&w.s));
	ATF_CHECK_MSG(screening_deep_due(&w.s, CHECK_NON_SMTP), "a pass at RCPT is provisional");
	deep_fail(&w, CHECK_NON_SMTP);
	CHECK_STAMPS(w, NOW + DAY, NOW + TTL, NOW + MONTH, STAMP_DISABLED, NOW + MONTH);
	rcpt(&w);
	ATF_CHECK_EQ(w.stamps.expires_at[CHECK_NON_SMTP], STAMP_DISABLED);
	struct conclusion end = conclude(&w);
	ATF_CHECK_EQ(end.pass, PASS_NONE);
	ATF_CHECK(!end.store);
}

/* T5, and a client that hangs up before RCPT. */
ATF_TC_WITHOUT_HEAD(deep_checks_pass_at_rcpt);
ATF_TC_BODY(deep_checks_pass_at_rcpt, tc)
{
	struct world w = world(ALL);
	begin(&w, NULL);
	ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
	screening_talk(&w.s);
	ATF_CHECK_EQ(w.s.todo, ALL);
	rcpt(&w);
	CHECK_STAMPS(w, NOW + DAY, NOW + TTL, NOW + MONTH, NOW + MONTH, NOW + MONTH);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_NEW);

	w = world(ALL);
	begin(&w, NULL);
	wait_over(&w);
	struct conclusion end = conclude(&w);
	ATF_CHECK_EQ(end.pass, PASS_NONE);
	ATF_CHECK_MSG(end.store, "early passes are kept for the next visit");
	CHECK_STAMPS(w, NOW + DAY, NOW + TTL, 0, 0, 0);
}

ATF_TC_WITHOUT_HEAD(after_a_failure_all_deep_checks_are_due);
ATF_TC_BODY(after_a_failure_all_deep_checks_are_due, tc)
{
	struct world w = world(CHECKS_EARLY);
	begin(&w, NULL);
	score(&w, 9);
	ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
	screening_talk(&w.s);
	ATF_CHECK_EQ(w.s.todo, ALL);
	ATF_CHECK_EQ(w.s.refusal, REFUSE_DNSBL);
	/* The last failure words the refusal. */
	deep_fail(&w, CHECK_PIPELINING);
	ATF_CHECK_EQ(w.s.refusal, REFUSE_PROTOCOL);

	w = world(PREGREET | BARE);
	begin(&w, NULL);
	ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
	screening_talk(&w.s);
	ATF_CHECK_EQ_MSG(w.s.todo, PREGREET | BARE, "a good client meets only what is configured");
	ATF_CHECK(!screening_deep_due(&w.s, CHECK_PIPELINING));
}

ATF_TC_WITHOUT_HEAD(the_last_early_failure_words_the_refusal);
ATF_TC_BODY(the_last_early_failure_words_the_refusal, tc)
{
	struct world w = world(CHECKS_EARLY);

	begin(&w, NULL);
	screening_pregreet(&w.s, &w.rules);
	ATF_CHECK_EQ(w.s.refusal, REFUSE_PROTOCOL);
	score(&w, 9);
	wait_over(&w);
	ATF_CHECK_EQ(w.s.refusal, REFUSE_DNSBL);
}

/* T8 */
/* In the shadow everything is noted and nobody is refused. */
ATF_TC_WITHOUT_HEAD(a_shadow_notes_and_lets_go);
ATF_TC_BODY(a_shadow_notes_and_lets_go, tc)
{
	static const struct {
		uint8_t shadow;
		enum action action;
		int score;
		bool pregreet;
		enum step step, would;
		uint8_t noted, failed;
	} cases[] = {
		{ ALL, ACTION_ENFORCE, 0, false, STEP_PASS, STEP_PASS, 0, 0 },
		{ ALL, ACTION_ENFORCE, 3, false, STEP_PASS, STEP_TALK, DNSBL, 0 },
		{ ALL, ACTION_DROP, 3, false, STEP_PASS, STEP_DROP, DNSBL, 0 },
		{ ALL, ACTION_IGNORE, 3, true, STEP_PASS, STEP_PASS, 0, 0 },
		{ ALL, ACTION_ENFORCE, 0, true, STEP_PASS, STEP_TALK, PREGREET, 0 },
		{ ALL, ACTION_DROP, 0, true, STEP_PASS, STEP_DROP, PREGREET, 0 },
		{ DNSBL, ACTION_ENFORCE, 3, true, STEP_TALK, STEP_TALK, DNSBL, PREGREET },
		{ PREGREET, ACTION_ENFORCE, 3, true, STEP_TALK, STEP_TALK, PREGREET, DNSBL },
		{ PREGREET, ACTION_DROP, 3, true, STEP_DROP, STEP_DROP, PREGREET, DNSBL },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world w = world(CHECKS_EARLY);
		w.rules.shadow = cases[i].shadow;
		for (int c = 0; c < CHECKS; c++)
			w.rules.action[c] = cases[i].action;
		begin(&w, NULL);
		if (cases[i].pregreet)
			screening_pregreet(&w.s, &w.rules);
		score(&w, cases[i].score);
		ATF_CHECK_EQ_MSG(cases[i].step, wait_over(&w), "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].would, screening_would(&w.s), "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].noted, w.s.would, "case %zu", i);
		ATF_CHECK_EQ_MSG(cases[i].failed, w.s.fail, "case %zu", i);
	}
}

ATF_TC_WITHOUT_HEAD(a_shadow_covers_lists_and_talk);
ATF_TC_BODY(a_shadow_covers_lists_and_talk, tc)
{
	struct world w = world(ALL);

	w.rules.shadow = ALL;
	w.rules.shadow_denylist = w.rules.shadow_veto = true;
	w.rules.denylist_action = ACTION_DROP;
	ATF_CHECK_EQ(STEP_WAIT, screening_deny(&w.s, &w.rules));
	ATF_CHECK(w.s.would_deny && !w.s.denied && !w.s.noforward);
	ATF_CHECK_EQ(STEP_DROP, screening_would(&w.s));

	w.s = (struct screening){ 0 };
	begin(&w, NULL);
	screening_veto(&w.s, &w.rules);
	ATF_CHECK(w.s.would_veto && !w.s.vetoed && !w.s.noforward);
	wait_over(&w);
	screening_talk(&w.s);
	ATF_CHECK_EQ(ACTION_IGNORE, deep_fail(&w, CHECK_PIPELINING));
	rcpt(&w);
	ATF_CHECK_EQ(PIPELINING, w.s.would);
	ATF_CHECK(screening_may_forward(&w.s));
	struct conclusion c = conclude(&w);
	ATF_CHECK_EQ(PASS_NONE, c.pass); /* a veto learns nothing, in the shadow too */
	ATF_CHECK(!c.store);
}

ATF_TC_WITHOUT_HEAD(a_veto_is_heard_but_not_stored);
ATF_TC_BODY(a_veto_is_heard_but_not_stored, tc)
{
	struct world w = world(CHECKS_EARLY);

	begin(&w, NULL);
	screening_veto(&w.s, &w.rules);
	ATF_CHECK_EQ(wait_over(&w), STEP_TALK);
	ATF_CHECK_EQ_MSG(w.s.refusal, REFUSE_NONE, "450: come back by the front");
	screening_talk(&w.s);
	ATF_CHECK_EQ(w.s.todo, ALL);
	rcpt(&w);
	ATF_CHECK(!screening_may_forward(&w.s));
	struct conclusion end = conclude(&w);
	ATF_CHECK_EQ(end.pass, PASS_NONE);
	ATF_CHECK(!end.store);
}

/* T1, T2, T6 */
ATF_TC_WITHOUT_HEAD(visits_of_a_plain_client);
ATF_TC_BODY(visits_of_a_plain_client, tc)
{
	struct world w = world(PREGREET);
	char text[RECORD_TEXT_SIZE];
	struct buf out = BUF(text);

	begin(&w, NULL);
	ATF_CHECK_EQ(wait_over(&w), STEP_PASS);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_NEW);
	record_format(&w.stamps, w.rules.enabled, &out);
	ATF_CHECK_STREQ(text, "1086400;1;1;1;1");

	struct world later = world(PREGREET);
	ATF_CHECK(begin(&later, text));

	struct world expired = world(PREGREET);
	ATF_CHECK(!begin(&expired, "999999;1;1;1;1"));
	ATF_CHECK_EQ(wait_over(&expired), STEP_PASS);
	ATF_CHECK_EQ(conclude(&expired).pass, PASS_OLD);

	struct world hangup = world(PREGREET);
	begin(&hangup, NULL);
	ATF_CHECK(!conclude(&hangup).store);
}

ATF_TC_WITHOUT_HEAD(one_pass_new_among_sisters);
ATF_TC_BODY(one_pass_new_among_sisters, tc)
{
	struct world w = world(PREGREET);
	struct screening sister = { 0 };
	bool ranked;

	begin(&w, NULL);
	ATF_CHECK(!screening_begin(&sister, &w.rules, &w.stamps, NULL, true, NOW));
	ATF_CHECK(sister.is_new);
	ATF_CHECK_EQ(wait_over(&w), STEP_PASS);
	ATF_CHECK_EQ(screening_wait_over(&sister, &w.rules, &w.stamps, NOW, &ranked), STEP_PASS);
	ATF_CHECK_EQ(screening_conclude(&w.s, &w.passes).pass, PASS_NEW);
	ATF_CHECK_EQ(screening_conclude(&sister, &w.passes).pass, PASS_OLD);
	ATF_CHECK_EQ(w.passes, 1 + 1);
}

/* §1.11: the second conclusion is silent. */
ATF_TC_WITHOUT_HEAD(a_failed_hand_off_goes_on_without_checks);
ATF_TC_BODY(a_failed_hand_off_goes_on_without_checks, tc)
{
	struct world w = world(PREGREET);

	begin(&w, NULL);
	wait_over(&w);
	ATF_CHECK_EQ(conclude(&w).pass, PASS_NEW);
	screening_handoff_failed(&w.s);
	screening_talk(&w.s);
	for (unsigned c = CHECK_PIPELINING; c < CHECKS; c++)
		ATF_CHECK(!screening_deep_due(&w.s, c));
	ATF_CHECK(!screening_may_forward(&w.s));
	struct conclusion end = conclude(&w);
	ATF_CHECK_EQ(end.pass, PASS_NONE);
	ATF_CHECK(!end.store);
}

/*
 * Every short history of events, with all actions the same: what must hold however things come.
 */
struct history {
	uint8_t enabled;
	enum action action;
	unsigned events; /* bits, see play() */
};

static enum step
play_early(struct world *w, unsigned events)
{
	if ((events & 1) && (w->s.todo & PREGREET) &&
	    screening_pregreet(&w->s, &w->rules) == ACTION_DROP)
		return STEP_DROP;
	if (w->s.todo & DNSBL)
		score(w, events & 2 ? 5 : events & 4 ? -5 : 0);
	return wait_over(w);
}

static void
play_deep(struct world *w, unsigned events)
{
	screening_talk(&w->s);
	if (events & 8)
		rcpt(w);
	if ((events & 16) && screening_deep_due(&w->s, CHECK_PIPELINING))
		deep_fail(w, CHECK_PIPELINING);
	if ((events & 32) && screening_deep_due(&w->s, CHECK_BARE_NEWLINE))
		deep_fail(w, CHECK_BARE_NEWLINE);
	if (events & 64)
		rcpt(w);
}

static void
play(const struct history *h)
{
	struct world w = world(h->enabled);

	for (int i = 0; i < CHECKS; i++)
		w.rules.action[i] = h->action;
	w.rules.allow_threshold = -2;
	if (!begin(&w, h->events & 128 ? "1086400;5;1;3592000;0" : NULL)) {
		if (h->events & 256)
			screening_veto(&w.s, &w.rules);
		if (play_early(&w, h->events) == STEP_TALK)
			play_deep(&w, h->events);
	}
	bool failed = screening_failed(&w.s);
	struct conclusion end = conclude(&w);
#define HOLDS(x) \
	ATF_CHECK_MSG(x, "enabled %#x action %d events %#x", h->enabled, h->action, h->events)
	HOLDS(!failed || (!end.store && end.pass == PASS_NONE));
	HOLDS(!failed || !screening_may_forward(&w.s));
	HOLDS((w.s.pass & ~w.s.todo) == 0);
	HOLDS((w.s.pass & w.s.fail) == 0);
	HOLDS(h->action != ACTION_IGNORE || w.s.vetoed || w.s.refusal == REFUSE_NONE);
	for (unsigned c = 0; c < CHECKS; c++)
		HOLDS(!(w.s.pass & CHECK_BIT(c)) || w.stamps.expires_at[c] > NOW);
#undef HOLDS
}

ATF_TC_WITHOUT_HEAD(what_holds_in_every_history);
ATF_TC_BODY(what_holds_in_every_history, tc)
{
	for (unsigned enabled = 0; enabled <= ALL; enabled++)
		for (enum action action = ACTION_IGNORE; action <= ACTION_DROP; action++)
			for (unsigned events = 0; events < 512; events++)
				play(&(struct history){ (uint8_t)enabled, action, events });
	ATF_CHECK(sizeof(struct screening) <= 32);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, records_decide_what_is_due);
	ATF_TP_ADD_TC(tp, only_enabled_checks_are_due_but_all_stamps_make_new);
	ATF_TP_ADD_TC(tp, stamps_come_from_store_sisters_or_nowhere);
	ATF_TP_ADD_TC(tp, another_host_may_know_the_client);
	ATF_TP_ADD_TC(tp, deny_list_actions);
	ATF_TP_ADD_TC(tp, who_ends_the_pause_early);
	ATF_TP_ADD_TC(tp, dns_allowlist_conditions);
	ATF_TP_ADD_TC(tp, dns_allowlist_effect);
	ATF_TP_ADD_TC(tp, pregreet_actions);
	ATF_TP_ADD_TC(tp, dnsbl_actions);
	ATF_TP_ADD_TC(tp, deep_actions);
	ATF_TP_ADD_TC(tp, a_late_violation_takes_back_a_provisional_pass);
	ATF_TP_ADD_TC(tp, deep_checks_pass_at_rcpt);
	ATF_TP_ADD_TC(tp, after_a_failure_all_deep_checks_are_due);
	ATF_TP_ADD_TC(tp, the_last_early_failure_words_the_refusal);
	ATF_TP_ADD_TC(tp, a_shadow_notes_and_lets_go);
	ATF_TP_ADD_TC(tp, a_shadow_covers_lists_and_talk);
	ATF_TP_ADD_TC(tp, a_veto_is_heard_but_not_stored);
	ATF_TP_ADD_TC(tp, visits_of_a_plain_client);
	ATF_TP_ADD_TC(tp, one_pass_new_among_sisters);
	ATF_TP_ADD_TC(tp, a_failed_hand_off_goes_on_without_checks);
	ATF_TP_ADD_TC(tp, what_holds_in_every_history);
	return atf_no_error();
}
