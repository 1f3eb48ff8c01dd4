/* The salt of cstokens out of a history that the phone sends inside its notification. */
#ifndef WARD_HISTORY_SALT_H
#define WARD_HISTORY_SALT_H

#include "apid/message/envelope.h"
#include "apid/session/unit.h"
#include "common/proto/e2e.pb-c.h"

/* A notification of our own account: if it comes from the phone, holds its history, and that has an
 * nctSalt while none is known, that is ours from now on; into the unit (protocol page 08, 4
 * and 4.1: the history only fills a gap). */
void history_salt_take(struct unit *u, struct account *a, const struct envelope *e,
    const E2e__HistorySyncNotification *h);

#endif
