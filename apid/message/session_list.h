/* The Signal sessions that there are with a person's devices (protocol page 04, 3.1). */
#ifndef WARD_SESSION_LIST_H
#define WARD_SESSION_LIST_H

#include "apid/session/account.h"

/* His account was registered anew, or one of his devices was removed: the sessions and identities
 * of all his companions (device 0), or of that one, go in the background. user: a bare JID. */
void session_clear(struct account *a, const char *user, uint16_t device);

#endif
