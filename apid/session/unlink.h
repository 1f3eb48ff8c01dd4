/* The end of a link: by us, or because the service will not take the device any more
 * (protocol page 03, section 10; page 01, 6.5). */
#ifndef WARD_UNLINK_H
#define WARD_UNLINK_H

#include "apid/session/account.h"

/* Forget the device: a new one is made in keyd (its generation rises, so nothing old can be used),
 * the record is reset, account.unlinked and account.state are told. Retried until the store takes
 * it. */
void unlink_erase(struct account *a, enum account_state state, const char *reason, unsigned code,
    const char *user_action, const char *by, int on_connect);

void unlink_free(struct account *a);

#endif
