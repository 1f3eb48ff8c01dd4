/* The state machine of an account: every change is a durable event, and the state to come back to
 * after a restart is kept with it. */
#ifndef WARD_STATE_H
#define WARD_STATE_H

#include "apid/session/account.h"

const char *state_name(enum account_state s); /* "logged_out" */
int state_parse(const char *text);            /* -1 if none */
/* The account stays in it until somebody acts, or its time comes: no link is wanted. */
int state_is_sticky(enum account_state s);

struct state_log *state_log_new(struct account *a);
void state_log_free(struct state_log *l);

/* Change the state. reason: a stable word. user_action: none, relink, open_phone, wait, upgrade,
 * operator (a literal). code 0, next_attempt_ms 0, until_ms 0 = absent. Nothing happens if all is
 * as it was. The event is written as soon as the store takes it; nothing waits for that. */
void state_set(struct account *a, enum account_state s, const char *reason, unsigned code,
    const char *user_action, int64_t next_attempt_ms, int64_t until_ms);
/* The same with a sub-code (of a ban). */
void state_set_sub(struct account *a, enum account_state s, const char *reason, unsigned code,
    unsigned subcode, const char *user_action, int64_t next_attempt_ms, int64_t until_ms);
/* Back from the record at start: no event. The codes are the caller's. */
void state_restore(struct account *a, enum account_state s, const char *reason, int64_t since_ms,
    int64_t until_ms);
/* The store works (again): write what waits. */
void state_flush(struct account *a);
/* The body of account.state; a new reference. */
json_t *state_body(const struct account *a);
/* What a client that wants to send is told in this state; NULL if sending is possible or may wait.
 */
const struct api_error *state_send_error(const struct account *a, struct api_error *buf);

#endif
