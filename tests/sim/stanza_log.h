/* stanzas.log: every stanza in both directions, with times. */
#ifndef SIM_STANZA_LOG_H
#define SIM_STANZA_LOG_H

#include "tests/sim/match.h"

/* Opens DIR/stanzas.log. content: 0 = lengths only instead of contents and values. */
int stanza_log_open(const char *dir, int content);
void stanza_log_close(void);
void stanza_log_flush(void);
void stanza_log_write(const struct party *p, enum direction dir, const struct node *n);
/* A line that is no stanza: connections, faults, pairings. */
void stanza_log_note(const struct party *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
