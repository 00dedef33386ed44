/*
 * tests/bench/crowd.h: what programs need that are many clients at once.
 */
#ifndef TESTS_BENCH_CROWD_H
#define TESTS_BENCH_CROWD_H

#include <netinet/in.h>

double crowd_now_s(void);
/* As many descriptors as the hard limit allows. */
void crowd_descriptors(void);
/*
 * A connection begun from 127.0.0.0 + from, watched for input by the poller, which will say ptr. -1 after a message
 * on standard error.
 */
int crowd_connect(const struct sockaddr_in *to, unsigned from, int poller, void *ptr);

#endif
