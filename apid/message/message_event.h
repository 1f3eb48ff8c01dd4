/* A message as the body of its event: received or sent, or what it does to an earlier one. */
#ifndef WARD_MESSAGE_EVENT_H
#define WARD_MESSAGE_EVENT_H

#include "apid/message/addon.h"
#include "apid/message/contacts.h"
#include "apid/message/content.h"

struct message_facts {
	struct account *a;
	const char *id; /* of its stanza */
	const struct jid *chat;
	const struct person *chat_person; /* of a direct chat, else NULL */
	const struct person *sender;      /* NULL: this account */
	int from_me;
	int64_t time_ms;
	const E2e__Message *m;
	/* it was opened with the secret of another message: what it is, and what it said */
	const struct addon *addon;
	const struct addon_plain *plain;
};

/* The body, a new reference. *type: "message.received", "message.sent", "message.edited",
 * "message.deleted" or "message.reaction"; of what was opened also "message.poll_vote",
 * "message.poll_edited" or "message.event_response". *carrier, borrowed: the object in it that
 * holds what belongs to this very message, for message_event_object and for its raw bytes. */
json_t *message_event_body(const struct message_facts *f, const char **type, json_t **carrier);

/* Add the complete message as `object` to the carrier, last of all: it gets the room that the body
 * leaves of one event, and at most MESSAGE_OBJECT_MAX. What does not fit is named in
 * `object_left_out`. */
#define MESSAGE_OBJECT_MAX (96u * 1024)
void message_event_object(json_t *body, json_t *carrier, const E2e__Message *m);

#endif
