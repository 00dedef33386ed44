/* screen/ctl_live.h: asking the running daemon. */
#ifndef SCREEN_CTL_LIVE_H
#define SCREEN_CTL_LIVE_H

#include "screen/ctl.h"

/*
 * Sends one request (with "json" behind it under --json) to the control socket. Returns the answer, to be freed, or
 * null after a complaint, with the exit status in *status.
 */
char *ctl_ask(struct ctl *, const char *request, enum ctl_exit *status);

#endif
