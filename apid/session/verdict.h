/* What a <failure> or <stream:error> means for the account: one table (protocol page 01, 6.2, 6.3).
 */
#ifndef WARD_VERDICT_H
#define WARD_VERDICT_H

#include "apid/session/account.h"
#include "common/wire/node.h"

enum verdict_action {
	VERDICT_RECONNECT, /* the service closes; back-off as usual */
	VERDICT_RESTART,   /* at once */
	VERDICT_DELAY,     /* not before delay_ms */
	VERDICT_STOP,      /* no reconnect until somebody asks, or until_ms */
	VERDICT_ERASE      /* the service will never take this device again */
};

struct verdict {
	enum verdict_action action;
	enum account_state state; /* for STOP and ERASE */
	char reason[64];          /* stable word */
	const char *user_action;
	unsigned code, subcode; /* subcode: why a ban (page 01, 6.2) */
	unsigned delay_ms;
	int64_t until_ms; /* 0 = none */
};

/* now_ms: wall clock. rate_steps: 429s in a row so far. */
void verdict_failure(const struct node *n, int64_t now_ms, struct verdict *v);
void verdict_stream_error(const struct node *n, unsigned rate_steps, struct verdict *v);
/* What a person has to do after this reason of a verdict; NULL if it is of none. */
const char *verdict_user_action(const char *reason);

#endif
