/*
 * screen/journal.h: the session record's sink. Records are gathered during a turn and appended in one
 * write; what the file does not take is lost and said.
 */
#ifndef SCREEN_JOURNAL_H
#define SCREEN_JOURNAL_H

#include "screen/session.h"

void journal_open(int fd); /* append-only descriptor; -1: no records */
void journal_flush(void);
uint64_t journal_lost(void); /* records the file did not take, since start */
const char *verdict_word(enum verdict);

#endif
