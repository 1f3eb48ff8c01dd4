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
	/* phone_secrets.c */
	int encrypted;           /* the edit or reaction goes under the secret of that message */
	const char *poll, *vote; /* the name of a new one; the id of one that is voted in */
	const char *event, *respond, *response; /* the same; going, not_going or maybe */
	const json_t *options;                  /* names: of the poll, or those that are chosen */
	const char
	    *jids; /* in which both are named in the key: lid, pn or mixed; NULL: as the chat */
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
