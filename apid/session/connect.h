/* The link of an account: wanting it, losing it, and what the service says when it ends it
 * (protocol page 01, sections 6 and 12). */
#ifndef WARD_CONNECT_H
#define WARD_CONNECT_H

#include "apid/session/account.h"
#include "common/wire/node.h"
#include "ipc/netd.pb-c.h"

/* Want the link, with the payload that fits: login if linked, else registration (state linking). */
void connect_start(struct account *a, const char *reason);
/* The same after delay_ms: until then in backoff with this reason. */
void connect_later(struct account *a, const char *reason, unsigned delay_ms);
/* As connect_start, and if there is a connection, or one is waited for, a new one in its place. */
void connect_again(struct account *a, const char *reason);
/* Renew the payload for the next handshakes, without touching the connection. */
void connect_refresh(struct account *a);
/* Close and connect anew at once, or after delay_ms; guarded against a storm. */
void connect_restart(struct account *a, unsigned delay_ms);
/* Close and stay down. */
void connect_stop(struct account *a);

/* <success> came. */
void connect_logged_in(struct account *a);
void connect_link_state(struct account *a, const Netd__LinkState *st);
/* <failure>, <stream:error>, <xmlstreamend>, <error>. */
void connect_verdict_node(struct account *a, const struct node *n);

#endif
