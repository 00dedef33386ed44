/* What the operator wrote about the dialogue. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "screen/engine.h"
#include "screen/footer.h"

struct loading {
	struct engine_rules *out;
	const struct rules *rules;
	struct diag *diag;
};

static void
complain(const struct loading *l, enum diag_level level, enum param p, const char *what)
{
	unsigned line;
	const char *file = rules_origin(l->rules, p, &line);

	diag_add(l->diag, level, file, line, "%s: %s", param_rows[p].name, what);
}

static struct table_list *
open_list(const struct loading *l, enum param p)
{
	const char *text = rules_text(l->rules, p);

	return *text == '\0' ? NULL : table_list_open(text, l->diag);
}

/* A character of a C string: \t, \40, \\ ... */
static int
take_char(const char **p)
{
	static const char letters[] = "abtnvfr";
	const char *letter;
	int c = (unsigned char)*(*p)++;

	if (c != '\\' || **p == '\0')
		return c;
	c = (unsigned char)*(*p)++;
	if (c >= '0' && c <= '7') {
		c -= '0';
		for (int i = 0; i < 2 && **p >= '0' && **p <= '7'; i++)
			c = c * 8 + (*(*p)++ - '0');
		return c & 255;
	}
	letter = strchr(letters, c);
	return letter == NULL ? c : 7 + (int)(letter - letters);
}

static void
load_footer(struct loading *l)
{
	struct engine_rules *out = l->out;
	const char *error, *p = rules_text(l->rules, P_postscreen_expansion_filter);

	while (*p != '\0')
		out->filter[take_char(&p)] = true;
	out->footer = rules_text(l->rules, P_postscreen_reject_footer);
	error = footer_error(span_of(out->footer));
	if (error != NULL)
		complain(l, DIAG_ERROR, P_postscreen_reject_footer, error);
	out->footer_maps = open_list(l, P_postscreen_reject_footer_maps);
	tzset(); /* the jail has no files */
}

static void
load_forbidden(struct loading *l)
{
	struct span rest = span_of(rules_text(l->rules, P_postscreen_forbidden_commands)), token;
	struct engine_rules *out = l->out;

	while ((token = rules_list_token(&rest)).len > 0) {
		struct forbidden f = { .word = token };
		while (f.word.len > 0 && f.word.p[0] == '!') {
			f.not = !f.not ;
			f.word.p++, f.word.len--;
		}
		if (f.word.len > 0 && memchr(f.word.p, ':', f.word.len) != NULL) {
			char *name = mem_strndup(f.word.p, f.word.len);
			f.table = table_open(name, l->diag);
			free(name);
		}
		out->forbidden = mem_grow(out->forbidden, out->forbidden_count + 1, sizeof f);
		out->forbidden[out->forbidden_count++] = f;
	}
}

bool
engine_forbids(const struct engine_rules *rules, struct span word)
{
	char key[256], value[256];
	struct buf k = BUF(key);

	buf_putspan(&k, word);
	for (size_t i = 0; i < rules->forbidden_count; i++) {
		const struct forbidden *f = &rules->forbidden[i];
		struct buf v = BUF(value);
		if (f->table == NULL ? span_is_nocase(f->word, key) && word.len == f->word.len
				     : table_find(f->table, key, &v) == TABLE_FOUND) /* fail open */
			return !f->not ;
	}
	return false;
}

static void
load_limits(struct loading *l)
{
	struct engine_rules *out = l->out;

	out->line_limit = (uint32_t)rules_number(l->rules, P_line_length_limit);
	out->command_limit = (uint32_t)rules_number(l->rules, P_postscreen_command_count_limit);
	out->size_limit = rules_number(l->rules, P_message_size_limit);
	out->tarpit_delay_us = rules_seconds(l->rules, P_gatehouse_tarpit_delay) * 1000000;
	out->tarpit_rate = (size_t)rules_number(l->rules, P_gatehouse_tarpit_rate);
	out->tarpit_sessions = (size_t)rules_number(l->rules, P_gatehouse_tarpit_sessions);
	out->session_limit_us = rules_seconds(l->rules, P_gatehouse_session_time_limit) * 1000000;
}

struct engine_rules *
engine_rules_load(const struct rules *rules, const struct tlsproxy_conf *tls, struct diag *diag)
{
	struct engine_rules *out = mem_alloc(sizeof *out);
	struct loading l = { out, rules, diag };
	const char *filter = rules_text(rules, P_postscreen_command_filter);

	load_footer(&l);
	load_forbidden(&l);
	load_limits(&l);
	out->command_filter = *filter == '\0' ? NULL : table_open(filter, diag);
	out->discard_maps = open_list(&l, P_postscreen_discard_ehlo_keyword_address_maps);
	out->discard =
	    keywords_parse(span_of(rules_text(rules, P_postscreen_discard_ehlo_keywords)));
	out->helo_required = rules_flag(rules, P_postscreen_helo_required);
	out->vrfy_announced = !rules_flag(rules, P_disable_vrfy_command);
	out->vrfy_off = rules_flag(rules, P_postscreen_disable_vrfy_command);
	out->smtputf8 = rules_flag(rules, P_smtputf8_enable);
	out->log_external =
	    strcasecmp(rules_text(rules, P_info_log_address_format), "internal") != 0;
	out->tls_offered = tlsproxy_conf_ready(tls);
	out->tls_required = tlsproxy_conf_level(tls) == TLSPROXY_ENCRYPT;
	return out;
}

void
engine_rules_free(struct engine_rules **rules)
{
	struct engine_rules *r = *rules;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->forbidden_count; i++)
		table_free(&r->forbidden[i].table);
	free(r->forbidden);
	table_free(&r->command_filter);
	table_list_free(&r->footer_maps);
	table_list_free(&r->discard_maps);
	free(r);
	*rules = NULL;
}
