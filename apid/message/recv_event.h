/* The events that an incoming message becomes. */
#ifndef WARD_RECV_EVENT_H
#define WARD_RECV_EVENT_H

#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/message/envelope.h"
#include "apid/session/unit.h"

enum recv_event_kind {
	RECV_EVENT_MESSAGE, /* message.received, .sent, .edited, .deleted or .reaction */
	RECV_EVENT_SILENT,  /* keys only: nothing for a user */
	RECV_EVENT_PEER,    /* from our own phone, for this program */
	RECV_EVENT_HISTORY, /* the same: a history sync notification */
	RECV_EVENT_MAPPING, /* the same: numbers and LIDs; tell lid_mapping_committed */
	RECV_EVENT_PHONE /* the same: messages that were asked for again; no event is made of it */
};

/* Only our own account may send these (protocol page 04, 10.4). */
int recv_event_peer_only(const E2e__Message *m);

/* raw: the message as decrypted, without padding. resent: the enc carried a retry count. */
enum recv_event_kind recv_event_message(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const E2e__Message *m, const uint8_t *raw, size_t len, int resent);
/* The same for one that was opened with the secret of another message. */
struct addon;
struct addon_plain;
void recv_event_addon(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const E2e__Message *m, const uint8_t *raw, size_t len, int resent, const struct addon *ad,
    const struct addon_plain *plain);
void recv_event_undecryptable(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const char *reason, unsigned attempt);
/* Signal says that this counter was used before. Either the stanza came twice, and its event or
 * mark is there: nothing is added (seq 0); or the sender used a counter twice: told as
 * undecryptable. */
void recv_event_repeated(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const struct node *stanza);
/* What it holds was dealt with: a second copy of the stanza is known by this. */
void recv_event_mark(struct unit *u, const struct envelope *e);
/* Its stanza does not decode; bytes as they came. */
void recv_event_broken(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const char *error, const uint8_t *bytes, size_t len);
void recv_event_unavailable(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const char *kind);
/* All ways to read it are used up. */
void recv_event_given_up(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const char *reason);
/* Bytes that did not parse, as server.notice. */
void recv_event_raw(struct unit *u, struct account *a, const struct envelope *e, const char *kind,
    const ProtobufCBinaryData *bytes);

/* "m:<chat>:<sender>:<id>"; out: 256 bytes. Also of messages that this device sends. */
void recv_event_key(
    char out[256], char kind, const char *chat_id, const char *sender_id, const char *message_id);
#endif
