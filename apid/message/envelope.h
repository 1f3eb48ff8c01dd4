/* Who wrote an incoming message, and where it belongs (protocol page 04, sections 10.1 and 10.2).
 */
#ifndef WARD_ENVELOPE_H
#define WARD_ENVELOPE_H

#include "apid/message/ids.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

struct envelope {
	char id[MESSAGE_ID_MAX + 1];
	struct jid from, participant, recipient; /* as on the wire */
	int has_participant, has_recipient;
	struct jid chat;   /* bare */
	struct jid sender; /* with device */
	struct jid alt;    /* the sender in the other namespace */
	int has_alt;
	struct jid chat_alt; /* the chat in the other namespace, for own messages */
	int has_chat_alt;
	int from_me, peer, offline;
	enum envelope_kind {
		ENVELOPE_DIRECT,
		ENVELOPE_GROUP,
		ENVELOPE_STATUS,
		ENVELOPE_BROADCAST,
		ENVELOPE_CHANNEL
	} kind;
	int64_t time_ms;
};

/* 0, or -1 if the stanza lacks what every message has. */
int envelope_parse(const struct account *a, const struct node *n, struct envelope *out);
/* The pairs of number and LID that it tells, into the contacts. */
void envelope_learn(struct account *a, const struct envelope *e);

#endif
