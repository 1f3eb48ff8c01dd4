/* What a client wants to say, from the parameters of its request to the encoded Message (protocol
 * page 04, sections 9.7, 15, 18). */
#ifndef WARD_INTENT_H
#define WARD_INTENT_H

#include "apid/message/contacts.h"
#include "apid/service.h"

#define INTENT_MESSAGE_MAX (1000u * 1024) /* encoded; what the outbox takes */

struct intent;

/* A copy of what the request says, checked whole. NULL: *e says why, with the path of the
 * parameter; e's strings are valid until the next call. */
struct intent *intent_new(const struct send_request *rq, struct api_error *e);
void intent_free(struct intent *in); /* NULL is fine; what it held is wiped */

/* People whom it mentions, to be looked up: JID text or "u_…", at most SEND_MENTIONS_MAX. */
size_t intent_mentions(const struct intent *in, const char *names[SEND_MENTIONS_MAX]);

/* How they are addressed: chat and own are bare and of the same namespace. */
struct intent_where {
	const struct jid *chat, *own;
	const struct person *mentioned; /* as intent_mentions named them */
	size_t nmentioned;
};
/* The Message, malloc'd. secret: 32 bytes of messageSecret. now_ms: what is stamped. NULL: memory
 * is out, or a person who is mentioned is not known. */
uint8_t *intent_encode(const struct intent *in, const struct intent_where *w,
    const uint8_t secret[32], int64_t now_ms, size_t *len);

/* "u_…", "c_…", a JID of a person or +E.164 as a name for contacts_ask. 0, or -1 with the error set
 * but for its path. */
int intent_person(const char *text, char out[JID_TEXT_MAX], struct api_error *e);

#endif
