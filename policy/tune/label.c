/*
 * policy/tune/label.c: good clients and bad ones, by what they did and what became of their mail.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "policy/tune/analysis.h"

#define NEIGHBOUR_BITS (1u << 24) /* a /24 each for IPv4; hashed for IPv6 */

static size_t
neighbour_bit(struct ipkey ip)
{
	ip = ipkey_cluster(ip);
	return ipkey_is_v4(ip) ? (ip.lo >> 8) % NEIGHBOUR_BITS : ipkey_hash(ip) % NEIGHBOUR_BITS;
}

/* DNSWL's levels: 2 and 3 are medium and high. */
static bool
is_high_trust(const struct analysis *a, const struct answer *answer)
{
	const char *name = a->history->lists[answer->list].name;
	size_t len = strlen(name);

	if (len >= 9 && strcmp(name + len - 9, "dnswl.org") == 0)
		return answer->ip[0] == 127 && answer->ip[2] != 10 &&
		       (answer->ip[3] == 2 || answer->ip[3] == 3);
	if (strcmp(name, "swl.spamhaus.org") == 0)
		return true;
	for (size_t i = 0; i < a->in_force.count; i++)
		if (a->in_force.site[i].list == answer->list && a->in_force.site[i].weight < 0 &&
		    !a->guessed_sites)
			return true;
	return false;
}

void
labels_prepare(struct analysis *a)
{
	const struct history *h = a->history;

	a->log_end_s = h->last_s > 0 ? (uint32_t)h->last_s : 0;
	a->neighbours = mem_array(NEIGHBOUR_BITS / 64, sizeof *a->neighbours);
	for (size_t i = 0; i < h->client_count; i++) {
		const struct client *c = client_at(h, i);
		size_t bit = neighbour_bit(c->ip);

		if (c->delivered > 0)
			a->neighbours[bit / 64] |= 1ull << bit % 64;
	}
	a->answer_trusted = mem_array(h->answer_count + 1, 1);
	for (size_t i = 0; i < h->answer_count; i++)
		a->answer_trusted[i] = a->code[i].believed && is_high_trust(a, &h->answers[i]);
}

uint64_t
trust_of(const struct analysis *a, const struct client *c)
{
	uint64_t trust = 0;

	for (size_t s = 0; s < c->slots; s++) {
		const struct pattern *p = &a->history->patterns[c->slot[s].pattern];

		for (size_t i = 0; i < p->count; i++) {
			uint16_t answer = a->history->codes[p->offset + i];

			if (a->answer_trusted[answer])
				trust |= 1ull << a->history->answers[answer].list;
		}
	}
	return trust;
}

/*
 * Told to come back, had a day to do it, and did not: that is what programs do that do not queue.
 * Large senders come back from a neighbour's address, so a network that delivered anything is let
 * off.
 */
static bool
never_returned(const struct analysis *a, const struct client *c)
{
	size_t bit = neighbour_bit(c->ip);

	return (c->flags & CLIENT_WAITED) && c->last_s <= c->soft_s && a->log_end_s >= c->soft_s &&
	       a->log_end_s - c->soft_s >= RETURN_WINDOW_S &&
	       !(a->neighbours[bit / 64] >> bit % 64 & 1);
}

enum label
label_of(const struct analysis *a, const struct client *c, uint64_t trust)
{
	unsigned bad = c->pregreet + c->deep + c->spam + (unsigned)never_returned(a, c), good = 0;

	if (c->unknown >= UNKNOWN_MASS && c->unknown > 2 * c->delivered)
		bad += c->unknown / UNKNOWN_MASS;
	if (c->refused >= 3 && c->delivered == 0)
		bad++;
	if (c->delivered > 0 && (c->sessions > 1 || (c->flags & CLIENT_RETURNED)))
		good += c->delivered;
	if (c->pass_old >= HISTORY_PASSES && c->last_s - c->first_s >= 24 * 3600)
		good += c->pass_old;
	if (trust != 0)
		good++;
	if (bad == 0)
		return good > 0 ? GOOD : UNLABELLED;
	if (good == 0 || bad * 3 >= good)
		return BAD;
	return good > 10 * bad ? GOOD : UNLABELLED;
}

const char *
label_word(enum label label)
{
	static const char *const words[LABELS] = { "unlabelled", "good", "bad" };

	return words[label];
}
