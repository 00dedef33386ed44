/* The counters as Prometheus reads them (text exposition format 0.0.4). */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "screen/console_inner.h"
#include "tlsproxy/tlsproxy.h"

static const char *const kinds[] = { "counter", "gauge", "histogram" };

static void
put_header(struct buf *b, const char *name, const char *help, const char *kind)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void
put_labels(struct buf *b, const char *labels, const char *more)
{
	if (*labels == '\0' && *more == '\0')
		return;
	buf_printf(b, "{%s%s%s}", labels, *labels != '\0' && *more != '\0' ? "," : "", more);
}

static void
put_seconds(struct buf *b, int64_t us)
{
	buf_printf(b, "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
}

static void
put_bucket(
    struct buf *b, const struct metric *m, const char *labels, const char *bound, uint64_t sum)
{
	char le[40];
	struct buf l = BUF(le);

	buf_printf(&l, "le=\"%s\"", bound);
	buf_printf(b, "%s_bucket", m->name);
	put_labels(b, labels, le);
	buf_printf(b, " %llu\n", (unsigned long long)sum);
}

static void
put_histogram(struct buf *b, const struct metric *m, const uint64_t *cells, const char *labels)
{
	char bound[24];
	uint64_t sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		struct buf t = BUF(bound);
		sum += cells[i];
		put_seconds(&t, tally_bounds_us[i]);
		while (t.len > 0 && bound[t.len - 1] == '0')
			bound[--t.len] = '\0';
		if (t.len > 0 && bound[t.len - 1] == '.')
			bound[--t.len] = '\0';
		put_bucket(b, m, labels, bound, sum);
	}
	sum += cells[BUCKETS];
	put_bucket(b, m, labels, "+Inf", sum);
	buf_printf(b, "%s_sum", m->name);
	put_labels(b, labels, "");
	buf_putc(b, ' ');
	put_seconds(b, (int64_t)cells[BUCKETS + 1]);
	buf_printf(b, "\n%s_count", m->name);
	put_labels(b, labels, "");
	buf_printf(b, " %llu\n", (unsigned long long)sum);
}

/* Most pairs of verdict and reason never come; those that did are shown. */
static bool
is_sparse(const struct metric *m)
{
	return m->labels == LABELS_VERDICT_REASON || m->labels == LABELS_REASON ||
	       m->labels == LABELS_CIPHER;
}

static void
put_metric(struct buf *b, const struct metric *m, const struct totals *t)
{
	unsigned each = metric_cells(m);

	put_header(b, m->name, m->help, kinds[m->kind]);
	for (unsigned i = 0; i < m->count; i++) {
		const uint64_t *cells = &t->cells[m->first + i * each];
		char labels[256];
		struct buf l = BUF(labels);
		if ((is_sparse(m) && cells[0] == 0) || !metric_labels(m, t, i, &l))
			continue;
		if (m->kind == METRIC_TIME) {
			put_histogram(b, m, cells, labels);
			continue;
		}
		buf_puts(b, m->name);
		put_labels(b, labels, "");
		buf_printf(b, " %llu\n", (unsigned long long)cells[0]);
	}
}

/*
 * What the master knows by itself. Each writes its samples under the header.
 */
static void
put_value(struct buf *b, const char *name, uint64_t value)
{
	buf_printf(b, "%s %llu\n", name, (unsigned long long)value);
}

static void
own_build(const struct view *v, const char *name, struct buf *b)
{
	(void)v;
	buf_printf(b, "%s{version=\"%s\"} 1\n", name, PACKAGE_VERSION);
}

static void
own_start(const struct view *v, const char *name, struct buf *b)
{
	put_value(b, name, (uint64_t)v->console->started_s);
}

static void
own_open(const struct view *v, const char *name, struct buf *b)
{
	size_t others = v->passing + v->relayed + v->tarpit;

	buf_printf(b, "%s{queue=\"screen\"} %zu\n", name, others < v->open ? v->open - others : 0);
	buf_printf(b, "%s{queue=\"tarpit\"} %zu\n", name, v->tarpit);
	buf_printf(b, "%s{queue=\"backend\"} %zu\n", name, v->passing);
	buf_printf(b, "%s{queue=\"relay\"} %zu\n", name, v->relayed);
	buf_printf(b, "%s{queue=\"proxy\"} %zu\n", name, v->in_proxy);
}

static void
own_limit(const struct view *v, const char *name, struct buf *b)
{
	if (v->snap != NULL)
		put_value(b, name, v->snap->sessions_max);
}

static void
own_stress(const struct view *v, const char *name, struct buf *b)
{
	put_value(b, name, v->stressed);
}

static void
own_shadow(const struct view *v, const char *name, struct buf *b)
{
	const struct policy_rules *p = v->snap == NULL ? NULL : &v->snap->policy;

	for (unsigned i = 0; p != NULL && i < CHECKS; i++)
		buf_printf(b, "%s{test=\"%s\"} %d\n", name, check_word((enum check)i),
		    (p->shadow & CHECK_BIT(i)) != 0);
	if (p != NULL)
		buf_printf(b, "%s{test=\"denylist\"} %d\n", name, p->shadow_denylist);
}

static void
own_workers(const struct view *v, const char *name, struct buf *b)
{
	static const char *const roles[] = { "screen", "tlsproxy" };
	static const char *const phases[] = { "starting", "serving", "draining" };

	for (size_t r = 0; r < 2; r++)
		for (size_t p = 0; p < 3; p++) {
			unsigned n = 0;
			for (size_t i = 0; i < v->seat_count; i++)
				n += v->seats[i].pid > 0 &&
				     strcmp(v->seats[i].role, roles[r]) == 0 &&
				     strcmp(v->seats[i].phase, phases[p]) == 0;
			buf_printf(
			    b, "%s{role=\"%s\",phase=\"%s\"} %u\n", name, roles[r], phases[p], n);
		}
}

static void
own_deaths(const struct view *v, const char *name, struct buf *b)
{
	put_value(b, name, v->console->deaths);
}

static void
own_reloads(const struct view *v, const char *name, struct buf *b)
{
	buf_printf(
	    b, "%s{result=\"in_force\"} %llu\n", name, (unsigned long long)v->console->reloads[1]);
	buf_printf(
	    b, "%s{result=\"refused\"} %llu\n", name, (unsigned long long)v->console->reloads[0]);
}

static void
put_process(const char *name, struct buf *b, const char *role, unsigned number, uint64_t value)
{
	if (value > 0) /* 0: the kernel does not let us look */
		buf_printf(b, "%s{role=\"%s\",number=\"%u\"} %llu\n", name, role, number,
		    (unsigned long long)value);
}

/* One process a place: a draining worker would have the labels of the one that serves. */
static void
each_process(const struct view *v, const char *name, struct buf *b,
    uint64_t (*value)(const struct process_view *))
{
	struct process_view p = process_look(getpid());

	put_process(name, b, "master", 0, value(&p));
	p = process_look(master_keeper(v->console->master).pid);
	put_process(name, b, "store", 0, value(&p));
	for (size_t i = 0; i < v->seat_count; i++) {
		const struct seat_view *s = &v->seats[i];
		if (s->pid <= 0 || strcmp(s->phase, "serving") != 0)
			continue;
		p = seat_look(s);
		put_process(name, b, s->role, s->number, value(&p));
	}
}

static uint64_t
descriptors(const struct process_view *p)
{
	return p->descriptors;
}

static uint64_t
resident(const struct process_view *p)
{
	return p->resident_bytes;
}

static void
own_descriptors(const struct view *v, const char *name, struct buf *b)
{
	each_process(v, name, b, descriptors);
}

static void
own_memory(const struct view *v, const char *name, struct buf *b)
{
	each_process(v, name, b, resident);
}

static void
own_store(const struct view *v, const char *name, struct buf *b)
{
	char path[1024];
	struct buf p = BUF(path);
	struct stat st;

	if (v->snap == NULL || v->snap->store_path == NULL)
		return;
	buf_printf(&p, "%s/data.mdb", v->snap->store_path);
	if (stat(path, &st) == 0)
		put_value(b, name, (uint64_t)st.st_blocks * 512);
}

static void
own_store_works(const struct view *v, const char *name, struct buf *b)
{
	struct keeper_view keeper = master_keeper(v->console->master);

	if (keeper.path != NULL)
		put_value(b, name, keeper.works);
}

static void
own_store_deaths(const struct view *v, const char *name, struct buf *b)
{
	put_value(b, name, master_keeper(v->console->master).deaths);
}

/* fn: one figure of each domain's pool. */
static void
each_pool(
    const struct view *v, const char *name, struct buf *b, int64_t (*fn)(const struct pool_info *))
{
	const struct pools_board *board = master_pools(v->console->master);

	for (size_t i = 0; board != NULL && i < pools_count(board); i++) {
		struct pool_info *info = pools_look(board, i, v->now_us);
		int64_t value = info->is_domain ? fn(info) : -1;
		if (value >= 0)
			buf_printf(b, "%s{pool=\"%s\"} %lld\n", name, info->name, (long long)value);
		free(info);
	}
}

static int64_t
pool_networks(const struct pool_info *info)
{
	return (int64_t)info->net_count;
}

static int64_t
pool_age(const struct pool_info *info)
{
	return info->age_s;
}

static int64_t
pool_failed(const struct pool_info *info)
{
	return info->error[0] != '\0';
}

static void
own_pool_networks(const struct view *v, const char *name, struct buf *b)
{
	each_pool(v, name, b, pool_networks);
}

static void
own_pool_age(const struct view *v, const char *name, struct buf *b)
{
	each_pool(v, name, b, pool_age);
}

static void
own_pool_failed(const struct view *v, const char *name, struct buf *b)
{
	each_pool(v, name, b, pool_failed);
}

static void
own_certificates(const struct view *v, const char *name, struct buf *b)
{
	int64_t at = v->snap == NULL ? 0 : tlsproxy_conf_expires_at(v->snap->tls);

	if (at > 0)
		put_value(b, name, (uint64_t)at);
}

static const struct {
	const char *name, *kind, *help;
	void (*put)(const struct view *, const char *name, struct buf *);
} own[] = {
#define OWN(name, kind, help, put) { name, kind, help, put },
#include "screen/gauges.tbl"
#undef OWN
};

void
metrics_text(const struct view *v, struct buf *b)
{
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		put_header(b, own[i].name, own[i].help, own[i].kind);
		own[i].put(v, own[i].name, b);
	}
	for (size_t i = 0; i < tally_metrics_count; i++)
		put_metric(b, &tally_metrics[i], &v->totals);
}
