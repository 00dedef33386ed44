#include "config.h"

#include <assert.h>
#include "policy/policy.h"

static void
refuse(struct screening *s, enum refusal why)
{
	s->refusal = (uint8_t)why; /* the last to fail decides what RCPT is told */
	s->noforward = true;
}

/* The action of a check that has failed; in the shadow it is only noted. */
static enum action
act(struct screening *s, const struct policy_rules *rules, enum check check)
{
	enum action action = rules->action[check];

	if (action == ACTION_IGNORE || !(rules->shadow & CHECK_BIT(check)))
		return action;
	s->would |= CHECK_BIT(check);
	s->would_drop = s->would_drop || action == ACTION_DROP;
	return ACTION_IGNORE;
}

enum step
screening_would(const struct screening *s)
{
	if (s->would_drop)
		return STEP_DROP;
	return s->would != 0 || s->would_deny || s->would_veto ? STEP_TALK : STEP_PASS;
}

bool
screening_failed(const struct screening *s)
{
	return s->fail != 0 || s->denied || s->vetoed;
}

enum step
screening_deny(struct screening *s, const struct policy_rules *rules)
{
	if (rules->denylist_action == ACTION_IGNORE)
		return STEP_WAIT;
	if (rules->shadow_denylist) {
		s->would_deny = true;
		s->would_drop = rules->denylist_action == ACTION_DROP;
		return STEP_WAIT;
	}
	s->denied = true;
	refuse(s, REFUSE_DENYLIST);
	return rules->denylist_action == ACTION_DROP ? STEP_DROP : STEP_WAIT;
}

static void
find_due(struct screening *s, const struct policy_rules *rules, const struct record *stamps,
    int64_t now_s)
{
	for (unsigned i = 0; i < CHECKS; i++) {
		if ((rules->enabled & CHECK_BIT(i)) && now_s > stamps->expires_at[i])
			s->todo |= CHECK_BIT(i);
		/* Disabled checks count too: records have STAMP_DISABLED there. */
		if (stamps->expires_at[i] == STAMP_NEW)
			s->is_new = true;
	}
}

static bool
evaluated(const struct record *stamps)
{
	return stamps->expires_at[0] != STAMP_INVALID;
}

bool
screening_begin(struct screening *s, const struct policy_rules *rules, struct record *stamps,
    const struct record *stored, bool others, int64_t now_s)
{
	bool shared = others && evaluated(stamps);
	bool remembered = !shared && stored != NULL && !screening_failed(s);

	if (remembered)
		*stamps = *stored;
	else if (!shared)
		*stamps = (struct record){ { STAMP_NEW } };
	find_due(s, rules, stamps, now_s);
	return remembered && s->todo == 0;
}

bool
screening_recall(struct screening *s, const struct policy_rules *rules, struct record *stamps,
    const struct record *found, int64_t now_s)
{
	if (screening_failed(s) || s->scored || s->pass != 0)
		return false;
	for (int i = 0; i < CHECKS; i++)
		if (found->expires_at[i] > stamps->expires_at[i])
			stamps->expires_at[i] = found->expires_at[i];
	s->todo = 0;
	s->is_new = false;
	find_due(s, rules, stamps, now_s);
	return s->todo == 0;
}

void
screening_veto(struct screening *s, const struct policy_rules *rules)
{
	if (rules->shadow_veto) {
		s->would_veto = true;
		return;
	}
	s->vetoed = true;
	s->noforward = true; /* RCPT hears the usual 450: another address of ours may take it */
}

enum action
screening_pregreet(struct screening *s, const struct policy_rules *rules)
{
	enum action action = act(s, rules, CHECK_PREGREET);

	s->fail |= CHECK_BIT(CHECK_PREGREET);
	s->done |= CHECK_BIT(CHECK_PREGREET);
	if (action != ACTION_IGNORE)
		refuse(s, REFUSE_PROTOCOL);
	return action;
}

/* postscreen_dnsbl_allowlist_threshold. A failure still pending counts, even one to be ignored. */
static bool
listed_as_good(const struct screening *s, const struct policy_rules *rules)
{
	return !screening_failed(s) && s->score < rules->threshold && rules->allow_threshold < 0 &&
	       s->score <= rules->allow_threshold;
}

void
screening_score(struct screening *s, const struct policy_rules *rules, struct record *stamps,
    int score, int64_t ttl_s, int64_t now_s)
{
	assert(!s->scored);
	s->scored = true;
	s->score = score;
	s->score_ttl_s = ttl_s;
	s->done |= CHECK_BIT(CHECK_DNSBL);
	if (!listed_as_good(s, rules))
		return;

	uint8_t skipped = s->todo & ~s->pass & ~CHECK_BIT(CHECK_DNSBL);
	s->done |= skipped;
	s->pass |= skipped;
	for (int i = 0; i < CHECKS; i++)
		if (i != CHECK_DNSBL && stamps->expires_at[i] < now_s + ttl_s)
			stamps->expires_at[i] = now_s + ttl_s;
}

bool
screening_early_done(const struct screening *s)
{
	return (s->todo & CHECKS_EARLY & ~s->done) == 0;
}

static void
pass(struct screening *s, struct record *stamps, enum check check, int64_t expires_at)
{
	s->pass |= CHECK_BIT(check);
	stamps->expires_at[check] = expires_at;
}

static void
judge_pregreet(
    struct screening *s, const struct policy_rules *rules, struct record *stamps, int64_t now_s)
{
	uint8_t bit = CHECK_BIT(CHECK_PREGREET);

	if ((s->todo & bit) && !((s->fail | s->done) & bit))
		pass(s, stamps, CHECK_PREGREET, now_s + rules->ttl_s[CHECK_PREGREET]);
	if (rules->action[CHECK_PREGREET] == ACTION_IGNORE || (rules->shadow & bit))
		s->fail &= ~bit;
}

/* True if the session ends here. */
static bool
judge_dnsbl(
    struct screening *s, const struct policy_rules *rules, struct record *stamps, int64_t now_s)
{
	if (s->score < rules->threshold) {
		pass(s, stamps, CHECK_DNSBL, now_s + s->score_ttl_s);
		return false;
	}
	enum action action = act(s, rules, CHECK_DNSBL);
	if (action == ACTION_IGNORE)
		return false;
	s->fail |= CHECK_BIT(CHECK_DNSBL);
	refuse(s, REFUSE_DNSBL);
	return action == ACTION_DROP;
}

enum step
screening_wait_over(struct screening *s, const struct policy_rules *rules, struct record *stamps,
    int64_t now_s, bool *ranked)
{
	*ranked = false;
	judge_pregreet(s, rules, stamps, now_s);
	if (s->todo & CHECK_BIT(CHECK_DNSBL)) {
		assert(s->scored);
		*ranked = s->score >= rules->threshold;
		if (judge_dnsbl(s, rules, stamps, now_s))
			return STEP_DROP;
	}
	return screening_may_forward(s) ? STEP_PASS : STEP_TALK;
}

bool
screening_may_forward(const struct screening *s)
{
	return !s->noforward && (s->todo & CHECKS_DEEP & ~s->pass) == 0;
}

void
screening_talk(struct screening *s)
{
	if (screening_failed(s))
		s->todo |= CHECKS_DEEP; /* also disabled ones, with their actions */
}

void
screening_handoff_failed(struct screening *s)
{
	s->noforward = true;
	s->todo &= ~CHECKS_DEEP;
	s->pass = 0;
}

bool
screening_deep_due(const struct screening *s, enum check check)
{
	return (s->todo & ~s->done & CHECK_BIT(check)) != 0;
}

enum action
screening_deep_fail(struct screening *s, const struct policy_rules *rules, struct record *stamps,
    enum check check, int64_t now_s)
{
	enum action action = act(s, rules, check);

	s->done |= CHECK_BIT(check);
	s->pass &= ~CHECK_BIT(check);
	if (action == ACTION_IGNORE) {
		pass(s, stamps, check, now_s + rules->ignored_ttl_s);
		return action;
	}
	s->fail |= CHECK_BIT(check);
	stamps->expires_at[check] = STAMP_DISABLED; /* also for the client's other sessions */
	refuse(s, REFUSE_PROTOCOL);
	return action;
}

void
screening_rcpt(
    struct screening *s, const struct policy_rules *rules, struct record *stamps, int64_t now_s)
{
	uint8_t open = s->todo & CHECKS_DEEP & ~(s->pass | s->fail);

	for (unsigned i = 0; i < CHECKS; i++)
		if (open & CHECK_BIT(i))
			pass(s, stamps, i, now_s + rules->ttl_s[i]);
}

struct conclusion
screening_conclude(struct screening *s, unsigned *passes_before)
{
	struct conclusion end = { PASS_NONE, false };

	if (screening_failed(s) || s->would_veto)
		s->pass = 0;
	if (s->pass != 0 && s->pass == s->todo)
		end.pass = s->is_new && (*passes_before)++ == 0 ? PASS_NEW : PASS_OLD;
	end.store = s->pass != 0;
	return end;
}
