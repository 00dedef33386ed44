/*
 * base/jail.h: giving up what a process does not need.
 *
 * Order for a child: open everything; jail_drop() (groups, gid, uid, no-new-privileges, not dumpable);
 * jail_seccomp() last. Every step that is refused is fatal for the child: a jail that does not lock is
 * worse than none.
 */
#ifndef BASE_JAIL_H
#define BASE_JAIL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Becomes `user` with its login groups if we are root; otherwise only sets no-new-privileges. False
 * with a reason in err.
 */
bool jail_drop(const char *user, char *err, size_t err_size);

enum jail_profile {
	JAIL_SCREEN,   /* sockets, DNS, memory maps of the store; no files but those opened */
	JAIL_TLSPROXY, /* read, write, poll; no sockets of its own */
	JAIL_STORE,    /* files, locks, a socket to listen at, a child to read a doubtful file; no execve */
};

/*
 * Installs the system call filter: fork and open fail with EPERM, execve kills. True also where the
 * build has no seccomp (jail_has_seccomp() says so). False with a reason in err.
 */
bool jail_seccomp(enum jail_profile, char *err, size_t err_size);
bool jail_has_seccomp(void);

#endif
