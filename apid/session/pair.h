/* Linking: the attempt of a client, QR codes, and pair-success (protocol page 03, sections 3 and
 * 4). */
#ifndef WARD_PAIR_H
#define WARD_PAIR_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct pair *pair_new(struct account *a);
void pair_free(struct pair *p);

/* <iq xmlns=md>: 1 if it was pair-device or pair-success. */
int pair_iq(struct account *a, const struct node *n);
/* A notification while unlinked: companion_reg_refresh, link_code_companion_reg; acked here. */
void pair_notification(struct account *a, const struct node *n, const char *type);
void pair_disconnected(struct account *a);
void pair_link_closed(struct account *a, const char *reason);
/* The attempt ends without a link: the client is told, the account is unlinked again. */
void pair_failed(struct account *a, const char *reason);

#endif
