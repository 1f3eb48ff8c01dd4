/* The phone's list of numbers and their LIDs (protocol page 04, 14.5). */
#ifndef WARD_LID_MAPPING_H
#define WARD_LID_MAPPING_H

#include "apid/session/account.h"
#include "apid/session/unit.h"
#include "common/proto/e2e.pb-c.h"

#define LID_MAPPINGS_MAX 20000u /* of one message; what is beyond is learned as it comes */

/* From our own phone: every pair into the unit, and that the account is migrated, if the service's
 * switch says so too. 1 if it was such a list: then tell lid_mapping_committed of the unit's end.
 */
int lid_mapping_take(struct account *a, struct unit *u, const E2e__ProtocolMessage *p);
void lid_mapping_committed(struct account *a);

#endif
