#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "screen/poolshow.h"

#define NETS_SHOWN 12000 /* of all pools: a network takes up to 100 bytes, twice in JSON */

static void
put_net(struct buf *b, const struct pool_net *net)
{
	char text[ADDR_TEXT_SIZE];

	buf_printf(b, "%s/%u", addr_format(&net->net, text), net->len);
}

/* The domain, and the terms that lead from its record to this one. Returns how many there are. */
static size_t
chain(const struct pool_info *info, size_t source, size_t out[POOL_SOURCES_MAX])
{
	size_t count = 1;

	for (size_t i = source; i != 0 && count < POOL_SOURCES_MAX; i = info->sources[i].parent)
		count++;
	for (size_t i = count; i-- > 0; source = info->sources[source].parent)
		out[i] = source;
	return count;
}

/*
 * For people.
 */
static void
text_source(const struct pool_info *info, size_t source, size_t *left, struct buf *b)
{
	size_t steps[POOL_SOURCES_MAX], count = chain(info, source, steps), hidden = 0;

	buf_puts(b, "  from");
	for (size_t i = 0; i < count; i++)
		buf_printf(b, "%s %s", i > 0 ? " >" : "", info->sources[steps[i]].term);
	if (info->sources[source].ttl_s < INT32_MAX)
		buf_printf(b, ", good for %" PRIu32 " s", info->sources[source].ttl_s);
	buf_putc(b, '\n');
	for (size_t i = 0; i < info->net_count; i++) {
		if (info->nets[i].source != source)
			continue;
		if (*left == 0) {
			hidden++;
			continue;
		}
		--*left;
		buf_puts(b, info->nets[i].excluded ? "    not " : "    ");
		put_net(b, &info->nets[i]);
		buf_putc(b, '\n');
	}
	if (hidden > 0)
		buf_printf(b, "    and %zu more\n", hidden);
}

static void
text_pool(const struct pool_info *info, size_t left, struct buf *b)
{
	char key[ADDR_TEXT_SIZE];

	buf_printf(b, "%s: %zu networks from %s", info->name, info->net_count,
	    info->is_domain ? "its SPF record" : "gatehouse_pool_prefixes");
	if (info->age_s >= 0)
		buf_printf(b, ", %" PRId64 " s old", info->age_s);
	else if (info->is_domain)
		buf_puts(b, ", never walked well");
	if (info->next_s >= 0)
		buf_printf(b, ", again in %" PRId64 " s", info->next_s);
	if (info->skipped > 0)
		buf_printf(b, ", %u terms that are no networks", info->skipped);
	buf_printf(b, "; record under %s\n", addr_format(&info->key, key));
	if (info->error[0] != '\0')
		buf_printf(b, "  problem: %s%s\n", info->error,
		    info->age_s >= 0 ? "; the last good set stays" : "");
	for (size_t i = 0; i < info->source_count; i++)
		text_source(info, i, &left, b);
}

/*
 * For programs.
 */
static void
json_string(struct buf *b, const char *text)
{
	buf_putc(b, '"');
	buf_json(b, span_of(text));
	buf_putc(b, '"');
}

static void
json_nets(const struct pool_info *info, int source, size_t max, struct buf *b)
{
	bool any = false;

	buf_putc(b, '[');
	for (size_t i = 0; i < info->net_count && i < max; i++) {
		if (source >= 0 && info->nets[i].source != source)
			continue;
		buf_printf(b, "%s\"%s", any ? "," : "", info->nets[i].excluded ? "!" : "");
		put_net(b, &info->nets[i]);
		buf_putc(b, '"');
		any = true;
	}
	buf_putc(b, ']');
}

static void
json_source(const struct pool_info *info, size_t source, size_t max, struct buf *b)
{
	size_t steps[POOL_SOURCES_MAX], count = chain(info, source, steps);

	buf_puts(b, "{\"path\":[");
	for (size_t i = 0; i < count; i++) {
		buf_puts(b, i > 0 ? "," : "");
		json_string(b, info->sources[steps[i]].term);
	}
	buf_puts(b, "],\"ttl\":");
	if (info->sources[source].ttl_s < INT32_MAX)
		buf_printf(b, "%" PRIu32, info->sources[source].ttl_s);
	else
		buf_puts(b, "null");
	buf_puts(b, ",\"networks\":");
	json_nets(info, (int)source, max, b);
	buf_putc(b, '}');
}

static void
json_pool(const struct pool_info *info, size_t max, struct buf *b)
{
	char key[ADDR_TEXT_SIZE];

	buf_putc(b, '{');
	buf_json_member(b, "name", span_of(info->name));
	buf_printf(b,
	    ",\"source\":\"%s\",\"key\":\"%s\",\"count\":%zu,\"age\":%" PRId64 ",\"next\":%" PRId64
	    ",\"skipped\":%u,\"error\":",
	    info->is_domain ? "spf" : "prefix", addr_format(&info->key, key), info->net_count,
	    info->age_s, info->next_s, info->skipped);
	if (info->error[0] != '\0')
		json_string(b, info->error);
	else
		buf_puts(b, "null");
	buf_puts(b, ",\"networks\":");
	json_nets(info, -1, max, b);
	buf_puts(b, ",\"sources\":[");
	for (size_t i = 0; i < info->source_count; i++) {
		buf_puts(b, i > 0 ? "," : "");
		json_source(info, i, max, b);
	}
	buf_puts(b, "]}\n");
}

static void
each_pool(const struct pools_board *board, int64_t now_us, struct buf *b,
    void (*put)(const struct pool_info *, size_t nets_max, struct buf *))
{
	size_t count = pools_count(board);

	for (size_t i = 0; i < count; i++) {
		struct pool_info *info = pools_look(board, i, now_us);
		put(info, NETS_SHOWN / count, b);
		free(info);
	}
}

void
pools_text(const struct pools_board *board, int64_t now_us, struct buf *b)
{
	each_pool(board, now_us, b, text_pool);
}

void
pools_json(const struct pools_board *board, int64_t now_us, struct buf *b)
{
	each_pool(board, now_us, b, json_pool);
}
