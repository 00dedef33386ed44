/*
 * screen/poolshow.h: a board of pools as text or JSON (a line a pool): for the control socket, and for gatehousectl
 * when it walks by itself.
 */
#ifndef SCREEN_POOLSHOW_H
#define SCREEN_POOLSHOW_H

#include "policy/policy.h"

/* At least this much room: of many big pools only so many networks each are shown. */
#define POOLSHOW_SIZE (2 << 20)
void pools_text(const struct pools_board *, int64_t now_us, struct buf *);
void pools_json(const struct pools_board *, int64_t now_us, struct buf *);

#endif
