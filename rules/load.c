#include "config.h"
#include "rules/rules.h"

#include <assert.h>
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/mem.h"
#include "rules/dyn.h"
#include "rules/expand.h"
#include "rules/settings.h"
#include "rules/system.h"

struct value {
	char *text[2]; /* not stressed, stressed (the same pointer where it makes no difference) */
	int64_t number[2];
};

struct rules {
	struct settings settings;
	char *dir;
	struct setting *set[PARAMS]; /* null: the default holds */
	struct value value[PARAMS];
};

/*
 * One evaluation of one parameter.
 */
enum stress { STRESS_AS_SET, STRESS_OFF, STRESS_ON };
struct name_chain {
	const char *name;
	const struct name_chain *outer;
};
struct eval {
	struct expand expand;
	struct rules *rules;
	struct diag *diag;
	enum stress stress;
	const struct name_chain *chain;
	struct setting *blame; /* the setting read last: where an error is reported */
	char error[400];
};

static bool eval_name(struct expand *, const char *name, bool test, struct dyn *out);

static void
eval_init(struct eval *e, struct rules *rules, struct diag *diag, enum stress stress)
{
	*e = (struct eval){ .rules = rules, .diag = diag, .stress = stress };
	e->expand = (struct expand){ .value = eval_name, .arg = e };
	e->expand.err = BUF(e->error);
}

/* Default of a parameter whose row cannot say it. */
static bool
eval_computed(struct eval *e, enum param p, struct dyn *out)
{
	struct expand *x = &e->expand;
	struct dyn a = { 0 }, b = { 0 }, c = { 0 };
	bool ok = true;

	switch (p) {
	case P_myhostname:
		ok = e->rules->set[P_mydomain] == NULL || eval_name(x, "mydomain", false, &a);
		system_hostname(out, a.len > 0 ? a.p : "localdomain");
		break;
	case P_mydomain:
		ok = eval_name(x, "myhostname", false, &a);
		dyn_puts(out, system_domain(a.len > 0 ? a.p : ""));
		break;
	case P_mynetworks:
		ok = eval_name(x, "mynetworks_style", false, &a) &&
		     eval_name(x, "inet_interfaces", false, &b) &&
		     eval_name(x, "inet_protocols", false, &c);
		if (ok)
			system_networks(out, dyn_text(&a), dyn_text(&b), dyn_text(&c));
		break;
	case P_config_directory:
		dyn_puts(out, e->rules->dir != NULL ? e->rules->dir : GH_SYSCONFDIR);
		break;
	case P_process_id:
		dyn_printf(out, "%ld", (long)getpid());
		break;
	case P_gatehouse_workers:
		dyn_printf(out, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
		break;
	case P_gatehouse_user:
		ok = eval_name(x, "mail_owner", false, &a);
		dyn_puts(out, a.len > 0 && getpwnam(a.p) != NULL ? a.p : "gatehouse");
		break;
	default:
		assert(!"a row with PF_COMPUTED has its case here");
	}
	dyn_fini(&a);
	dyn_fini(&b);
	dyn_fini(&c);
	return ok;
}

/* A raw value stays as it is, except when it is nothing but one name. */
static bool
eval_source(struct eval *e, enum param p, const char *source, struct dyn *out)
{
	struct span text = span_of(source);

	if (p < PARAMS && param_rows[p].type == PT_RAW && expand_only_name(text).len == 0) {
		dyn_put(out, text.p, text.len);
		return true;
	}
	return expand_text(&e->expand, text, out);
}

static bool
eval_param(struct eval *e, enum param p, const struct setting *set, struct dyn *out)
{
	if (set != NULL)
		return eval_source(e, p, set->value, out);
	if ((param_rows[p].flags & PF_COMPUTED) != 0)
		return eval_computed(e, p, out);
	return eval_source(e, p, param_rows[p].value, out);
}

/* Puts "a -> b -> " for the names from the one called name to the innermost. */
static void
put_loop(struct buf *out, const struct name_chain *c, const char *name)
{
	if (strcmp(c->name, name) != 0)
		put_loop(out, c->outer, name);
	buf_printf(out, "%s -> ", c->name);
}

static bool
chain_has(struct eval *e, const char *name)
{
	for (const struct name_chain *c = e->chain; c != NULL; c = c->outer) {
		if (strcmp(c->name, name) != 0)
			continue;
		buf_printf(&e->expand.err, "$%s refers to itself (", name);
		put_loop(&e->expand.err, e->chain, name);
		buf_printf(&e->expand.err, "%s)", name);
		return true;
	}
	return false;
}

static void
warn_undefined(struct eval *e, const char *name)
{
	enum param near;
	struct setting *at = e->blame;

	if (at == NULL || at->warned)
		return;
	at->warned = true;
	near = param_nearest(name);
	if (near < PARAMS)
		diag_add(e->diag, DIAG_WARNING, at->file, at->line,
		    "$%s is not defined anywhere and stands "
		    "for nothing; did you mean $%s?",
		    name, param_rows[near].name);
	else
		diag_add(e->diag, DIAG_WARNING, at->file, at->line,
		    "$%s is not defined anywhere and stands "
		    "for nothing; define it, or write $$ for a dollar sign",
		    name);
}

static bool
eval_name(struct expand *x, const char *name, bool test, struct dyn *out)
{
	struct eval *e = x->arg;
	struct name_chain link = { name, e->chain };
	enum param p = param_find(name);
	struct setting *set = settings_find(&e->rules->settings, name), *outer = e->blame;
	bool ok = true;

	if (e->stress != STRESS_AS_SET && p == P_stress) {
		dyn_puts(out, e->stress == STRESS_ON ? "yes" : "");
		return true;
	}
	if (set == NULL && p == PARAMS) {
		if (!test)
			warn_undefined(e, name);
		return true;
	}
	if (set != NULL)
		e->blame = set;
	if (chain_has(e, name))
		return false;
	e->chain = &link;
	ok = eval_param(e, p, set, out);
	e->chain = link.outer;
	if (ok && outer != NULL)
		e->blame = outer;
	return ok;
}

/*
 * From text to value.
 */
static void
blame(struct eval *e, const char *format, const char *name, const char *text, const char *hint)
{
	struct setting *at = e->blame;
	char message[1000];
	struct buf b = BUF(message);

	if (at != NULL && at->reported)
		return;
	if (at != NULL)
		at->reported = true;
	for (const char *f = format; *f != '\0'; f++) {
		if (f[0] == '%' && (f[1] == 'n' || f[1] == 't'))
			buf_escape(&b, span_of(*++f == 'n' ? name : text), 200);
		else
			buf_putc(&b, *f);
	}
	if (at != NULL && strcmp(at->name, name) != 0)
		buf_printf(&b, " (through $%s)", at->name);
	diag_add(e->diag, DIAG_ERROR, at != NULL ? at->file : NULL, at != NULL ? at->line : 0,
	    "%s; %s", message, hint);
}

static char
unit_of(enum param p)
{
	const char *text = param_rows[p].value;
	size_t len = strlen(text);
	struct span name = expand_only_name(span_of(text));
	char referred[128];
	struct buf b = BUF(referred);

	buf_putspan(&b, name);
	if (name.len > 0)
		return unit_of(param_find(referred));
	return len > 0 && isalpha((unsigned char)text[len - 1]) ? text[len - 1] : 's';
}

static int64_t
unit_seconds(char unit)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == tolower((unsigned char)unit))
			return units[i].seconds;
	return 0;
}

static bool
parse_time(const char *text, char unit, int64_t *seconds)
{
	size_t n = strspn(text, "0123456789");
	uint64_t count;

	if (!span_uint((struct span){ text, n }, (uint64_t)INT32_MAX, &count))
		return false;
	if (text[n] != '\0')
		unit = text[n];
	if (unit_seconds(unit) == 0)
		return false;
	*seconds = (int64_t)count * unit_seconds(unit);
	return true;
}

static bool
in_range(struct eval *e, enum param p, const char *text, int64_t n)
{
	const struct param_row *row = &param_rows[p];
	char hint[120];
	struct buf b = BUF(hint);

	if (n >= row->min && n <= row->max)
		return true;
	if (n < row->min)
		buf_printf(&b, "the least is %lld", (long long)row->min);
	else
		buf_printf(&b, "the most is %lld", (long long)row->max);
	if (row->type == PT_TIME)
		buf_putc(&b, 's');
	blame(e, "invalid %n: %t is out of range", row->name, text, hint);
	return false;
}

static bool
parse_number(struct eval *e, enum param p, const char *text, int64_t *n)
{
	if (span_int(span_trim(span_of(text)), INT64_MIN + 1, INT64_MAX, n))
		return in_range(e, p, text, *n);
	blame(e, "bad numerical configuration: %n = %t", param_rows[p].name, text,
	    "write a whole number");
	return false;
}

static bool
parse_seconds(struct eval *e, enum param p, const char *text, int64_t *n)
{
	if (parse_time(text, unit_of(p), n))
		return in_range(e, p, text, *n);
	blame(e, "parameter %n: bad time value or unit: %t", param_rows[p].name, text,
	    "write a number and one of s, m, h, d, w (seconds to weeks), such as 30s");
	return false;
}

static bool
parse_bool(struct eval *e, enum param p, const char *text, int64_t *n)
{
	*n = strcasecmp(text, "yes") == 0;
	if (*n != 0 || strcasecmp(text, "no") == 0)
		return true;
	blame(e, "bad boolean configuration: %n = %t", param_rows[p].name, text, "write yes or no");
	return false;
}

static bool
parse_value(struct eval *e, enum param p, const char *text, int64_t *n)
{
	switch (param_rows[p].type) {
	case PT_NUMBER:
		return parse_number(e, p, text, n);
	case PT_TIME:
		return parse_seconds(e, p, text, n);
	case PT_BOOL:
		return parse_bool(e, p, text, n);
	case PT_TEXT:
	case PT_RAW:
		break;
	}
	return true;
}

/* One parameter from its setting, or from its default. False with the reason in diag. */
static bool
eval_one(struct rules *r, struct diag *diag, enum param p, struct setting *set, enum stress stress,
    char **text, int64_t *number)
{
	struct eval e;
	struct name_chain link = { param_rows[p].name, NULL };
	struct dyn out = { 0 };
	bool ok;

	eval_init(&e, r, diag, stress);
	e.chain = &link;
	e.blame = set;
	ok = eval_param(&e, p, set, &out);
	if (!ok)
		blame(&e, "%n: %t", e.blame != NULL ? e.blame->name : param_rows[p].name, e.error,
		    "the value cannot be expanded");
	*text = dyn_take(&out);
	if (ok && parse_value(&e, p, *text, number))
		return true;
	free(*text);
	*text = NULL;
	return false;
}

/*
 * A value that cannot be used has been reported; the default stands in, so that the rest can be
 * checked too, and the row's minimum where even that fails.
 */
static void
eval_or_default(struct rules *r, struct diag *diag, enum param p, enum stress stress, int which)
{
	struct value *v = &r->value[p];
	struct setting *set = r->set[p];

	if (eval_one(r, diag, p, set, stress, &v->text[which], &v->number[which]))
		return;
	if (set != NULL && eval_one(r, diag, p, NULL, stress, &v->text[which], &v->number[which]))
		return;
	v->text[which] = mem_strdup("");
	v->number[which] = param_rows[p].min;
}

static void
eval_all(struct rules *r, struct diag *diag)
{
	for (unsigned i = 0; i < PARAMS; i++) {
		enum param p = (enum param)i;
		struct value *v = &r->value[p];

		if ((param_rows[p].flags & PF_STRESS) != 0) {
			eval_or_default(r, diag, p, STRESS_OFF, 0);
			eval_or_default(r, diag, p, STRESS_ON, 1);
			continue;
		}
		eval_or_default(r, diag, p, STRESS_AS_SET, 0);
		v->text[1] = v->text[0];
		v->number[1] = v->number[0];
	}
}

/*
 * The names.
 */
static bool
is_ours(const char *name)
{
	static const char *const prefix[] = { "postscreen_", "dnsblog_", "tlsproxy_",
		"gatehouse_" };

	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
		if (strncmp(name, prefix[i], strlen(prefix[i])) == 0)
			return true;
	return false;
}

static void
check_name(struct rules *r, struct setting *s, struct diag *diag)
{
	enum param p = param_find(s->name), near;

	if (p < PARAMS) {
		r->set[p] = s;
		if ((param_rows[p].flags & PF_OLD) != 0)
			diag_add(diag, DIAG_NOTICE, s->file, s->line, "%s is obsolete: %s", s->name,
			    param_rows[p].doc);
		return;
	}
	if (!is_ours(s->name))
		return;
	near = param_nearest(s->name);
	if (near < PARAMS)
		diag_add(diag, DIAG_ERROR, s->file, s->line,
		    "unknown parameter %s; did you mean %s?", s->name, param_rows[near].name);
	else
		diag_add(diag, DIAG_ERROR, s->file, s->line,
		    "unknown parameter %s; remove it, or see "
		    "gatehouse.conf(5) for the names there are",
		    s->name);
}

struct rules *
rules_load(const char *dir, const struct rules_override *override, size_t count, struct diag *diag)
{
	static const char command_line[] = "command line";
	struct rules *r = mem_alloc(sizeof(*r));

	settings_init(&r->settings);
	r->dir = dir != NULL ? mem_strdup(dir) : NULL;
	if (dir != NULL && !settings_read_dir(&r->settings, dir, diag)) {
		settings_fini(&r->settings);
		free(r->dir);
		free(r);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		settings_put(&r->settings, span_of(override[i].name), span_of(override[i].value),
		    command_line, 0);
	for (struct setting *s = r->settings.first; s != NULL; s = s->next)
		check_name(r, s, diag);
	eval_all(r, diag);
	return r;
}

void
rules_free(struct rules **rp)
{
	struct rules *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (unsigned i = 0; i < PARAMS; i++) {
		if (r->value[i].text[1] != r->value[i].text[0])
			free(r->value[i].text[1]);
		free(r->value[i].text[0]);
	}
	settings_fini(&r->settings);
	free(r->dir);
	free(r);
}

/*
 * Asking.
 */
const char *
rules_text(const struct rules *r, enum param p)
{
	assert(param_rows[p].type == PT_TEXT || param_rows[p].type == PT_RAW);
	return r->value[p].text[0];
}

int64_t
rules_number(const struct rules *r, enum param p)
{
	assert(param_rows[p].type == PT_NUMBER);
	return r->value[p].number[0];
}

int64_t
rules_seconds(const struct rules *r, enum param p)
{
	return rules_seconds_stress(r, p, false);
}

int64_t
rules_seconds_stress(const struct rules *r, enum param p, bool stress)
{
	assert(param_rows[p].type == PT_TIME);
	return r->value[p].number[stress];
}

bool
rules_flag(const struct rules *r, enum param p)
{
	assert(param_rows[p].type == PT_BOOL);
	return r->value[p].number[0] != 0;
}

const char *
rules_origin(const struct rules *r, enum param p, unsigned *line)
{
	*line = r->set[p] != NULL ? r->set[p]->line : 0;
	return r->set[p] != NULL ? r->set[p]->file : "default";
}

bool
rules_is_set(const struct rules *r, enum param p)
{
	return r->set[p] != NULL;
}

const char *
rules_source_text(const struct rules *r, enum param p)
{
	if (r->set[p] != NULL)
		return r->set[p]->value;
	return (param_rows[p].flags & PF_COMPUTED) != 0 ? r->value[p].text[0] : param_rows[p].value;
}

const char *
rules_expanded_text(const struct rules *r, enum param p)
{
	return r->value[p].text[0];
}
