/*
 * screen/filewatch.h: feeds and MMDB files are replaced by others (cron jobs, geoipupdate) while we serve. The master
 * looks at those of gatehouse_score_rules and gatehouse_geo_files every few seconds; when they have changed and
 * settled, new workers are started with them.
 */
#ifndef SCREEN_FILEWATCH_H
#define SCREEN_FILEWATCH_H

#include "base/loop.h"
#include "rules/rules.h"

struct filewatch;
/* changed: called from the loop, once for each new state of the files. Never null. */
struct filewatch *filewatch_new(struct loop *, void (*changed)(void *arg), void *arg);
void filewatch_free(struct filewatch **);
/* These rules are in force from now on, and outlive the next call. */
void filewatch_follow(struct filewatch *, const struct rules *);

#endif
