/* An account that came out of a backup: what is done once, before anything else may be done for it.
 */
#ifndef WARD_RESTORED_H
#define WARD_RESTORED_H

#include "apid/session/account.h"

#define RESTORED_REASON "restored"

/* Both records are read and stored says that the account came from a backup. Its ratchets and
 * sender keys are gone already. In one unit: prekey ids go on elsewhere, the service's prekeys are
 * to be replaced, and the account stays down until a person resumes it, since the other copy of it
 * may still run. fn is called once, with NULL or why it failed. Not called any more after
 * restored_free. */
void restored_begin(struct account *a, void (*fn)(struct account *a, const char *why));
void restored_free(struct account *a);

#endif
