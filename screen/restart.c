#include "config.h"

#include "screen/restart.h"

#define WAIT_FIRST_MS 100
#define WAIT_MOST_MS 30000
#define LIVED_LONG_US (10 * INT64_C(1000000))

void
restart_init(struct restart *r, struct loop *loop, watch_fn *again, void *arg)
{
	*r = (struct restart){ 0 };
	watch_init_timer(&r->again, loop, again, arg);
}

void
restart_started(struct restart *r)
{
	r->started_us = clock_now_us();
}

void
restart_ended(struct restart *r)
{
	if (clock_now_us() - r->started_us > LIVED_LONG_US)
		r->wait_ms = 0;
}

void
restart_later(struct restart *r)
{
	r->wait_ms = r->wait_ms == 0 ? WAIT_FIRST_MS : r->wait_ms * 2;
	if (r->wait_ms > WAIT_MOST_MS)
		r->wait_ms = WAIT_MOST_MS;
	watch_start_once(&r->again, r->wait_ms);
}

void
restart_stop(struct restart *r)
{
	watch_stop(&r->again);
}
