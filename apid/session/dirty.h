/* Dirty bits: what changed at the service while the account was away is read again, and the service
 * is told only when that is durable (protocol page 01, 9.3; page 09, 2.6). */
#ifndef WARD_DIRTY_H
#define WARD_DIRTY_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct dirty *dirty_new(struct account *a);
void dirty_free(struct dirty *d);

/* <dirty type timestamp> of an <ib>. 1: it will be dealt with; 0: it is of a kind that nothing is
 * kept of here, and stays dirty. */
int dirty_in(struct account *a, const struct node *n);
void dirty_online(struct account *a); /* the backlog is over */
void dirty_disconnected(struct account *a);

#endif
