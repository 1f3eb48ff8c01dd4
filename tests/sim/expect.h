/* Watches: what the control interface waits for. */
#ifndef SIM_EXPECT_H
#define SIM_EXPECT_H

#include <jansson.h>

#include "tests/sim/match.h"

struct http_request;

/* Every stanza passes here once in each direction. */
void expect_seen(const struct party *p, enum direction dir, const struct node *n);

/* Begin to count stanzas that match. The watch's number. */
int expect_watch(const struct match *m);
/* Answer r as soon as the watch has counted `count`, or with what it has at the deadline. 0, or -1:
 * no such watch. once: the watch ends with the answer. */
int expect_wait(int watch, unsigned count, unsigned deadline_ms, int once, struct http_request *r);
int expect_unwatch(int watch); /* 0 = all */
void expect_fini(void);

#endif
