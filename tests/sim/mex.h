/* GraphQL (xmlns w:mex): the time-lock and the quota of new chats, as tests set them; pushes
 * (protocol page 09, section 14; page 12, 8.3). */
#ifndef SIM_MEX_H
#define SIM_MEX_H

#include <jansson.h>

#include "tests/sim/route.h"

void mex_query(struct origin *o, const struct node *iq);
/* account.restrict: the state from {timelock: {active, ends, enforcement}, quota: {total, used,
 * start, end, capping}, fail: {code, retryable, count}, mute}, and (push) its notification to all
 * companions. 0, or -1 and why. */
int mex_set(struct account *a, const json_t *o, const char **why);
/* A push of any name and payload, a JSON text or not. */
void mex_push(struct account *a, const char *op, const char *payload);

#endif
