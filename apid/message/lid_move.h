/* What Signal keeps under the number of a person goes to his LID, in one unit with the pair itself
 * (protocol page 04, 3.3). */
#ifndef WARD_LID_MOVE_H
#define WARD_LID_MOVE_H

#include "apid/message/contacts.h"

/* Number and LID are known, and this run has not looked yet whether something stands under the
 * number. */
int lid_move_due(struct account *a, const struct person *p);

/* Look, and move what is there: sessions and identities of all devices, also hosted ones. fn is
 * called once, from the loop, unless it is cancelled; why NULL: nothing is left under the number;
 * else an error code, and all is as it was. */
struct lid_move;
typedef void lid_move_fn(const char *why, void *arg);
struct lid_move *lid_move_start(
    struct account *a, const struct person *p, lid_move_fn *fn, void *arg);
void lid_move_cancel(struct lid_move *m); /* NULL is fine */

#endif
