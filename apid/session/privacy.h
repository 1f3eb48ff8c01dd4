/* The account's privacy settings, as far as ward acts by them: whether it gives read receipts
 * (protocol page 09, section 7.1). */
#ifndef WARD_PRIVACY_H
#define WARD_PRIVACY_H

#include "apid/session/account.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

/* Ask the service, unless a question is on its way; what it says is written down. */
void privacy_read(struct account *a);
void privacy_disconnected(struct account *a);
/* What a <privacy> with its categories says, into the unit and the account's record. 1 if there was
 * something that ward acts by. */
int privacy_take(struct account *a, const struct node *privacy, struct unit *u);
/* The readreceipts of a <privacy>: 1 given, 0 withheld, -1 not named. */
int privacy_read_receipts(const struct node *privacy);

#endif
