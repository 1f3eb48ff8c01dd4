/* What the phone's user says besides plain texts, and what the phone makes of what it reads. */
#ifndef SIM_PHONE_CONTENT_H
#define SIM_PHONE_CONTENT_H

#include <jansson.h>

#include "common/buf.h"
#include "common/proto/e2e.pb-c.h"
#include "common/wire/node.h"

/* One message; NULL: not that. */
struct phone_said {
	const char *text;
	const char *reply_to, *reply_text, *mention;
	const char *edit, *revoke, *react; /* ids of messages */
	int from_me;                       /* whose that message is, of a reply or a reaction */
};

struct phone_stanza {
	const char *type, *edit;
	int hide;
};

/* own, chat: JIDs as they are written inside. */
void phone_content_build(const struct phone_said *s, const struct jid *own, const struct jid *chat,
    struct buf *out, struct phone_stanza *stanza);

/* The kind and the text of a message; *more: what else it says and its stanza has, a new reference,
 * or NULL for a plain text. */
const char *phone_content_kind(const E2e__Message *m, const struct node *n, const struct node *enc,
    const char **text, json_t **more);

#endif
