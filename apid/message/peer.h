/* The other side of a direct chat: how a client names it, and how the wire does. */
#ifndef WARD_PEER_H
#define WARD_PEER_H

#include "apid/message/contacts.h"
#include "apid/session/account.h"

/* The name under which contacts_ask knows who a client means by a stable id (u_… or c_…), a JID or
 * +E.164: buf, or NULL if that is nobody (a group, a channel). */
const char *peer_name(const char *text, char buf[JID_TEXT_MAX]);
/* The bare JID that stanzas to this person go to: the LID once the account has gone over to LIDs
 * (protocol page 04, section 9.2). 0, or -1 if none is known. */
int peer_jid(const struct account *a, const struct person *p, struct jid *out);
/* Make the id of somebody who is so far known here alone durable, beside everything else. */
void peer_keep(struct account *a, const struct jid *j);

#endif
