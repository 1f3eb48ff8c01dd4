/* What the service's refusal of a message means (protocol page 04, 9.6; page 12, 8.2; page 10,
 * section 6). */
#ifndef WARD_REFUSAL_H
#define WARD_REFUSAL_H

#include <stdint.h>

#include "apid/service.h"

enum refusal_act {
	REFUSAL_FAIL,   /* it has failed, for good */
	REFUSAL_FORGET, /* the same, and the device lists of the recipient are wrong */
	REFUSAL_ASK,    /* the same, and until when is to be asked */
	REFUSAL_RATE,   /* it has failed for now: the same key sends it again, with the same id */
	REFUSAL_AGAIN   /* it has not failed: the same bytes again, a little later */
};
enum refusal_act refusal_act(unsigned code);

/* Why, as message.status and the row say it: a stable word. */
const char *refusal_word(unsigned code);

/* The word of a row that may have reached the service, and of which nobody will say more. */
#define REFUSAL_UNKNOWN "sent_before_unlink"

/* What a client is told of a row that failed: code of the service (0 = none), reason of the row,
 * until_ms (0 = not known). */
struct api_error refusal_error(unsigned code, const char *reason, int64_t until_ms);

/* How long everything waits after the service said that it was too much, the n-th time in a row
 * (from 0): 30 s, doubled each time up to 15 minutes. */
int64_t refusal_rate_ms(unsigned n);
/* And how long a message waits that the service had trouble with: 5 s, up to 5 minutes. */
int64_t refusal_again_ms(unsigned n);

#endif
