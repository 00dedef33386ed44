/* screen/notify.h: readiness and stop, told to the service manager (sd_notify(3) protocol). */
#ifndef SCREEN_NOTIFY_H
#define SCREEN_NOTIFY_H

/* One or more "NAME=VALUE" lines. Without NOTIFY_SOCKET in the environment nothing happens. */
void notify(const char *text);
/* RELOADING=1 with the time stamp that the protocol asks for. */
void notify_reloading(void);

#endif
