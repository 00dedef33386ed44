/*
 * A walk whose every answer is foreign: the input is packets, each after its length in two bytes.
 * What comes out are sound networks, and the walk ends.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "policy/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct script {
	const uint8_t *data;
	size_t left;
	unsigned asked;
	bool done;
};

static void
ask(void *ctx, const char *name, uint16_t type, spf_answer_fn *answer, void *arg)
{
	struct script *s = ctx;
	size_t len = s->left >= 2 ? (size_t)s->data[0] << 8 | s->data[1] : 0;

	(void)name, (void)type;
	if (++s->asked > 1000)
		abort();
	if (s->left < 2) {
		answer(arg, NULL, 0);
		return;
	}
	if (len > s->left - 2)
		len = s->left - 2;
	uint8_t *packet = malloc(len + 1);
	memcpy(packet, s->data + 2, len);
	s->data += 2 + len;
	s->left -= 2 + len;
	answer(arg, packet, len);
	free(packet);
}

static void
done(void *arg)
{
	((struct script *)arg)->done = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size, 0, false };
	struct spf_resolver resolver = { ask, &s };
	struct spf_walk *w = spf_walk_new(&resolver, "example.com", done, &s);
	size_t count;

	spf_walk_start(w);
	if (!s.done)
		abort();
	const struct pool_net *nets = spf_walk_nets(w, &count);
	for (size_t i = 0; i < count; i++)
		if ((nets[i].net.family != 4 && nets[i].net.family != 6) || nets[i].len < 8 ||
		    nets[i].len > addr_bits(&nets[i].net))
			abort();
	if (spf_walk_error(w) != NULL && count != 0)
		abort();
	spf_walk_free(&w);
	return 0;
}
