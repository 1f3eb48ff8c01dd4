/* Secrets of messages on their way to keyd, and what was encrypted under one on its way back
 * (protocol page 04, 17; page 12, 15). */
#ifndef WARD_SECRETS_H
#define WARD_SECRETS_H

#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/message/envelope.h"
#include "ipc/keyd.pb-c.h"

struct recv;

/* Does the page want a secret in an outgoing message of this kind? */
int secrets_wanted(const E2e__Message *m);
/* When it is forgotten: 90 days after polls and events, 30 after all else. */
int64_t secrets_expire_s(const E2e__Message *m, int64_t message_s);

/* ---- sending: the secret of a message, for ENCRYPT */

#define SECRET_NAME_MAX 400
struct secret_pb {
	Keyd__Secret secret, *list[1];
	char name[SECRET_NAME_MAX];
	uint8_t bytes[32]; /* wipe after use */
};
/* peer: of the chat; id: of the message, ours. 1, or 0: it has none. */
int secrets_sent(const uint8_t *message, size_t len, const struct person *peer, const char *id,
    int64_t message_s, struct secret_pb *out);

/* ---- receiving (recv.c and recv_lane.c) */

/* One message that was decrypted: note its secret. 1: it is an addition of a direct chat that is to
 * be opened first, and its event comes with secrets_first; 0: go on with it. */
int secrets_take(struct recv *r, const E2e__Message *m, const uint8_t *raw, size_t len);
/* One that the own phone gave in place of one that could not be read: its secret is kept as well.
 */
void secrets_recovered(
    struct recv *r, const struct envelope *e, const struct person *chat, const E2e__Message *m);
/* Before the commit. 1: keyd is asked, and recv_commit comes again (or it has failed); 0: nothing
 * is left to do. */
int secrets_first(struct recv *r);
void secrets_free(struct recv *r);

#endif
