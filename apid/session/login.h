/* From <success> to online: the sequence after a login and the backlog of the service
 * (protocol page 01, sections 8 and 9.1). */
#ifndef WARD_LOGIN_H
#define WARD_LOGIN_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct login *login_new(struct account *a);
void login_free(struct login *l);

void login_success(struct account *a, const struct node *n);
void login_ib(struct account *a, const struct node *n);
/* A stanza came; with the attribute `offline` it belongs to the backlog. */
void login_stanza_seen(struct account *a, const struct node *n);
/* <ib><unified_session>: at login, and when the account becomes available (page 09, 2.3). */
void login_session_mark(struct account *a);
void login_disconnected(struct account *a);
/* The backlog is being delivered. */
int login_in_backlog(const struct account *a);
/* The same, or not all of its messages are durable yet: receipts are collected. */
int login_draining(const struct account *a);

/* An incoming message has ended (recv_ended). */
void login_message_ended(struct account *a);

#endif
