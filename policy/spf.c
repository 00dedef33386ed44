#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/spf.h"

#define NAME_SIZE 256
#define TEXT_MAX 16384 /* of one record */
#define LOOKUPS_MAX 10 /* RFC 7208 section 4.6.4 */
#define VOIDS_MAX 2
#define MX_MAX 10
#define TASKS_MAX (LOOKUPS_MAX * (2 + 2 * MX_MAX) + 1)
#define WIDEST_4 8 /* nobody sends from more than that; it is a mistake or a lie */
#define WIDEST_6 16

bool
spf_begin(struct span *text)
{
	static const char version[] = "v=spf1";
	size_t n = sizeof version - 1;

	if (text->len < n || !span_is_nocase((struct span){ text->p, n }, version) ||
	    (text->len > n && text->p[n] != ' '))
		return false;
	text->p += n;
	text->len -= n;
	return true;
}

/* Takes "/digits" off the end of *text. False if there is a slash with something else behind. */
static bool
take_length(struct span *text, unsigned max, uint8_t *out, bool *taken)
{
	size_t n = text->len;
	uint64_t value;

	while (n > 0 && text->p[n - 1] >= '0' && text->p[n - 1] <= '9')
		n--;
	*taken = n > 0 && n < text->len && text->p[n - 1] == '/';
	if (!*taken)
		return n == 0 || text->p[n - 1] != '/' || n < text->len;
	if (!span_uint((struct span){ text->p + n, text->len - n }, max, &value))
		return false;
	*out = (uint8_t)value;
	text->len = n - 1;
	return true;
}

/* [":" domain] ["/" len4] ["//" len6] */
static bool
parse_domain(struct span rest, struct spf_term *t)
{
	bool taken;
	struct span whole = rest;

	t->len4 = 32;
	t->len6 = 128;
	if (!take_length(&rest, 128, &t->len6, &taken))
		return false;
	if (taken && rest.len > 0 && rest.p[rest.len - 1] == '/')
		rest.len--;
	else {
		rest = whole;
		t->len6 = 128;
	}
	if (!take_length(&rest, 32, &t->len4, &taken))
		return false;
	if (rest.len == 0)
		return true;
	if (rest.p[0] != ':' || rest.len == 1)
		return false;
	t->domain = (struct span){ rest.p + 1, rest.len - 1 };
	t->macro = memchr(t->domain.p, '%', t->domain.len) != NULL;
	return t->domain.len < NAME_SIZE;
}

static bool
parse_net(struct span rest, struct spf_term *t)
{
	unsigned family = t->kind == SPF_IP4 ? 4 : 6;
	uint8_t *len = family == 4 ? &t->len4 : &t->len6;
	bool taken;

	if (rest.len < 2 || rest.p[0] != ':')
		return false;
	rest.p++, rest.len--;
	*len = family == 4 ? 32 : 128;
	if (!take_length(&rest, *len, len, &taken) || !addr_parse(&t->net, rest.p, rest.len))
		return false;
	/* ::ffff:a.b.c.d became an IPv4 address; nobody writes that here. */
	return t->net.family == family;
}

static const struct {
	const char *word;
	enum spf_kind kind;
} mechanisms[] = {
	{ "all", SPF_ALL },
	{ "include", SPF_INCLUDE },
	{ "a", SPF_A },
	{ "mx", SPF_MX },
	{ "ip4", SPF_IP4 },
	{ "ip6", SPF_IP6 },
	{ "ptr", SPF_ASKS },
	{ "exists", SPF_ASKS },
};

static bool
parse_mechanism(struct span word, struct span rest, struct spf_term *t)
{
	size_t i = 0, n = sizeof mechanisms / sizeof mechanisms[0];

	while (i < n && !span_is_nocase(word, mechanisms[i].word))
		i++;
	if (i == n)
		return false;
	t->kind = mechanisms[i].kind;
	switch (t->kind) {
	case SPF_ALL:
		return rest.len == 0;
	case SPF_IP4:
	case SPF_IP6:
		return parse_net(rest, t);
	case SPF_INCLUDE:
		return parse_domain(rest, t) && t->domain.len > 0;
	default:
		return parse_domain(rest, t);
	}
}

/* name "=" value */
static bool
parse_modifier(struct span name, struct span value, struct spf_term *t)
{
	t->kind = SPF_NOTHING;
	if (!span_is_nocase(name, "redirect"))
		return true;
	t->kind = SPF_REDIRECT;
	t->domain = value;
	t->macro = memchr(value.p, '%', value.len) != NULL;
	return value.len > 0 && value.len < NAME_SIZE;
}

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
parse_term(struct span text, struct spf_term *t)
{
	*t = (struct spf_term){ .qualifier = '+' };
	if (is_one_of(text.p[0], "+-~?")) {
		t->qualifier = text.p[0];
		text.p++, text.len--;
	}
	size_t n = 0;
	while (n < text.len && !is_one_of(text.p[n], ":/="))
		n++;
	struct span word = { text.p, n }, rest = { text.p + n, text.len - n };
	if (rest.len > 0 && rest.p[0] == '=')
		return n > 0 && parse_modifier(word, (struct span){ rest.p + 1, rest.len - 1 }, t);
	return parse_mechanism(word, rest, t);
}

enum spf_result
spf_next(struct span *rest, struct spf_term *out)
{
	while (rest->len > 0 && rest->p[0] == ' ')
		rest->p++, rest->len--;
	if (rest->len == 0)
		return SPF_END;
	const char *space = memchr(rest->p, ' ', rest->len);
	struct span text = { rest->p, space != NULL ? (size_t)(space - rest->p) : rest->len };
	rest->p += text.len;
	rest->len -= text.len;
	if (!parse_term(text, out))
		return SPF_BAD;
	out->text = text;
	return SPF_TERM;
}

/* The walk. Only the union matters, so its tasks are done one after the other, in any order. */

struct task {
	uint16_t type;
	uint8_t len4, len6, source;
	char name[NAME_SIZE];
};

struct spf_walk {
	struct spf_resolver resolver;
	spf_done_fn *done;
	void *arg;
	struct task tasks[TASKS_MAX];
	size_t first, count;
	struct pool_net *nets;
	size_t net_count;
	struct pool_source sources[POOL_SOURCES_MAX];
	size_t source_count;
	unsigned lookups, voids, skipped;
	uint32_t ttl;
	bool a_void;
	char error[320];
};

/* The domain itself, then every term that costs a look-up: their number is limited. */
static uint8_t
add_source(struct spf_walk *w, struct span term, uint8_t parent)
{
	assert(w->source_count < POOL_SOURCES_MAX);
	struct pool_source *source = &w->sources[w->source_count];
	struct buf out = BUF(source->term);
	buf_printable(&out, term);
	source->parent = parent;
	source->ttl_s = INT32_MAX;
	return (uint8_t)w->source_count++;
}

struct spf_walk *
spf_walk_new(const struct spf_resolver *resolver, const char *domain, spf_done_fn *done, void *arg)
{
	struct spf_walk *w = mem_alloc(sizeof *w);
	struct buf name = BUF(w->tasks[0].name);

	w->resolver = *resolver;
	w->done = done;
	w->arg = arg;
	w->ttl = UINT32_MAX;
	w->tasks[0].type = DNS_TXT;
	buf_puts(&name, domain);
	w->count = 1;
	add_source(w, span_of(domain), 0);
	return w;
}

void
spf_walk_free(struct spf_walk **walk)
{
	if (*walk == NULL)
		return;
	free((*walk)->nets);
	free(*walk);
	*walk = NULL;
}

const char *
spf_walk_error(const struct spf_walk *w)
{
	return w->error[0] != '\0' ? w->error : NULL;
}

const struct pool_source *
spf_walk_sources(const struct spf_walk *w, size_t *count)
{
	*count = w->source_count;
	return w->sources;
}

const struct pool_net *
spf_walk_nets(const struct spf_walk *w, size_t *count)
{
	*count = w->net_count;
	return w->nets;
}

uint32_t
spf_walk_ttl(const struct spf_walk *w)
{
	return w->ttl;
}

unsigned
spf_walk_skipped(const struct spf_walk *w)
{
	return w->skipped;
}

static bool __attribute__((format(printf, 3, 4)))
fail(struct spf_walk *w, const char *name, const char *format, ...)
{
	struct buf out = BUF(w->error);
	va_list ap;

	buf_printable(&out, span_of(name));
	buf_puts(&out, ": ");
	va_start(ap, format);
	buf_vprintf(&out, format, ap);
	va_end(ap);
	return false;
}

static bool
add_net(
    struct spf_walk *w, const struct task *task, const struct addr *net, uint8_t len, bool excluded)
{
	char text[ADDR_TEXT_SIZE];
	struct addr masked = *net;

	if (len < (net->family == 4 ? WIDEST_4 : WIDEST_6))
		return fail(w, task->name, "%s/%u is too much of the Internet",
		    addr_format(net, text), len);
	if (addr_is_private(net)) {
		w->skipped++;
		return true;
	}
	if (w->net_count == POOL_NETS_MAX)
		return fail(w, task->name, "more than %d networks", POOL_NETS_MAX);
	if ((w->net_count & (w->net_count - 1)) == 0)
		w->nets = mem_grow(w->nets, w->net_count ? w->net_count * 2 : 1, sizeof *w->nets);
	addr_mask(&masked, len);
	w->nets[w->net_count++] = (struct pool_net){ masked, len, excluded, task->source };
	return true;
}

static bool
add_task(
    struct spf_walk *w, uint16_t type, uint8_t source, const struct spf_term *t, struct span name)
{
	if (w->count == TASKS_MAX)
		return fail(w, "", "too many names");
	struct task *task = &w->tasks[(w->first + w->count++) % TASKS_MAX];
	*task = (struct task){ .type = type, .len4 = t->len4, .len6 = t->len6, .source = source };
	struct buf out = BUF(task->name);
	buf_putspan(&out, name);
	return true;
}

static bool
add_host(struct spf_walk *w, uint8_t source, const struct spf_term *t, struct span name)
{
	return add_task(w, DNS_A, source, t, name) && add_task(w, DNS_AAAA, source, t, name);
}

/* A term that costs a look-up; the limit holds for the whole walk, so loops end too. */
static bool
follow(struct spf_walk *w, const struct task *task, const struct spf_term *t)
{
	struct span name = t->domain.len > 0 ? t->domain : span_of(task->name);

	if (++w->lookups > LOOKUPS_MAX)
		return fail(
		    w, task->name, "more than %d look-ups (RFC 7208 section 4.6.4)", LOOKUPS_MAX);
	if (t->macro || t->kind == SPF_ASKS || t->qualifier != '+') {
		w->skipped++;
		return true;
	}
	uint8_t source = add_source(w, t->text, task->source);
	if (t->kind == SPF_A)
		return add_host(w, source, t, name);
	return add_task(w, t->kind == SPF_MX ? DNS_MX : DNS_TXT, source, t, name);
}

static bool
take_term(struct spf_walk *w, const struct task *task, const struct spf_term *t)
{
	switch (t->kind) {
	case SPF_IP4:
		return add_net(w, task, &t->net, t->len4, t->qualifier != '+');
	case SPF_IP6:
		return add_net(w, task, &t->net, t->len6, t->qualifier != '+');
	case SPF_ALL:
		return t->qualifier != '+' || fail(w, task->name, "allows everybody");
	case SPF_NOTHING:
		return true;
	default:
		return follow(w, task, t);
	}
}

static bool
take_record(struct spf_walk *w, const struct task *task, struct span text)
{
	struct spf_term t, redirect = { .kind = SPF_NOTHING, .qualifier = '+' };
	enum spf_result result;

	while ((result = spf_next(&text, &t)) == SPF_TERM) {
		if (t.kind == SPF_REDIRECT) {
			redirect = t;
			continue;
		}
		if (!take_term(w, task, &t))
			return false;
		if (t.kind == SPF_ALL)
			return true; /* nothing after it counts, no redirect either */
	}
	if (result == SPF_BAD)
		return fail(w, task->name, "the SPF record has a syntax error");
	return take_term(w, task, &redirect);
}

/* The strings of a TXT record, put together. */
static void
join_strings(const struct dns_reader *r, const struct dns_rr *rr, struct buf *out)
{
	for (size_t at = rr->at; at < rr->at + rr->len;) {
		size_t len = r->packet[at++];
		if (len > rr->at + rr->len - at)
			len = rr->at + rr->len - at;
		buf_put(out, r->packet + at, len);
		at += len;
	}
}

static void
note_ttl(struct spf_walk *w, const struct task *task, const struct dns_rr *rr)
{
	struct pool_source *source = &w->sources[task->source];

	if (rr->ttl < w->ttl)
		w->ttl = rr->ttl;
	if (rr->ttl < source->ttl_s)
		source->ttl_s = rr->ttl;
}

static bool
take_txt(struct spf_walk *w, const struct task *task, struct dns_reader *r)
{
	char *room = mem_alloc(TEXT_MAX), *kept = NULL;
	struct span record = { NULL, 0 };
	struct dns_rr rr;
	bool good = true;

	while (good && dns_next(r, &rr)) {
		struct buf text = buf_over(room, TEXT_MAX);
		join_strings(r, &rr, &text);
		struct span span = { text.p, text.len };
		if (!spf_begin(&span))
			continue;
		note_ttl(w, task, &rr);
		good = !text.cut && kept == NULL;
		if (good) {
			kept = mem_alloc(span.len + 1);
			memcpy(kept, span.p, span.len); /* foreign: it may hold a NUL */
			record = (struct span){ kept, span.len };
		}
	}
	if (!good)
		fail(w, task->name, "more than one SPF record, or one too long");
	else if (kept == NULL)
		good = fail(w, task->name, "no SPF record");
	else
		good = take_record(w, task, record);
	free(kept);
	free(room);
	return good;
}

static bool
take_mx(struct spf_walk *w, const struct task *task, struct dns_reader *r)
{
	struct spf_term t = { .len4 = task->len4, .len6 = task->len6 };
	struct dns_rr rr;
	char name[NAME_SIZE];

	for (int count = 0; dns_next(r, &rr); count++) {
		struct buf out = BUF(name);
		if (count == MX_MAX)
			return fail(w, task->name, "more than %d mail servers", MX_MAX);
		note_ttl(w, task, &rr);
		if (rr.len > 2 && dns_name(r, rr.at + 2, &out) &&
		    !add_host(w, task->source, &t, (struct span){ out.p, out.len }))
			return false;
	}
	return true;
}

static bool
take_addresses(struct spf_walk *w, const struct task *task, struct dns_reader *r)
{
	size_t size = task->type == DNS_A ? 4 : 16;
	struct dns_rr rr;

	while (dns_next(r, &rr)) {
		struct addr net = { .family = task->type == DNS_A ? 4 : 6 };
		if (rr.len != size)
			continue;
		note_ttl(w, task, &rr);
		memcpy(net.ip, r->packet + rr.at, size);
		if (!add_net(w, task, &net, task->type == DNS_A ? task->len4 : task->len6, false))
			return false;
	}
	return true;
}

/* A name that does not exist is a void look-up; a host is one only if it has neither kind of
 * address. */
static bool
take_void(struct spf_walk *w, const struct task *task)
{
	if (task->type == DNS_TXT)
		return fail(w, task->name, "no SPF record");
	if (task->type == DNS_A)
		w->a_void = true;
	if (task->type == DNS_MX || (task->type == DNS_AAAA && w->a_void))
		w->voids++;
	return w->voids <= VOIDS_MAX ||
	       fail(
		   w, task->name, "more than %d void look-ups (RFC 7208 section 4.6.4)", VOIDS_MAX);
}

static bool
take_answer(struct spf_walk *w, const struct task *task, const uint8_t *packet, size_t len)
{
	struct dns_reader r;
	enum dns_state state = dns_read(&r, packet, len, task->type);

	if (state == DNS_FAILED)
		return fail(w, task->name, "no answer from DNS");
	if (state == DNS_VOID)
		return take_void(w, task);
	if (task->type == DNS_A)
		w->a_void = false;
	if (task->type == DNS_TXT)
		return take_txt(w, task, &r);
	return task->type == DNS_MX ? take_mx(w, task, &r) : take_addresses(w, task, &r);
}

static void
on_answer(void *arg, const uint8_t *packet, size_t len)
{
	struct spf_walk *w = arg;
	struct task task = w->tasks[w->first];

	w->first = (w->first + 1) % TASKS_MAX;
	w->count--;
	if (!take_answer(w, &task, packet, len)) {
		w->net_count = 0;
		w->count = 0;
	}
	spf_walk_start(w);
}

void
spf_walk_start(struct spf_walk *w)
{
	if (w->count > 0)
		w->resolver.ask(w->resolver.ctx, w->tasks[w->first].name, w->tasks[w->first].type,
		    on_answer, w);
	else
		w->done(w->arg);
}
