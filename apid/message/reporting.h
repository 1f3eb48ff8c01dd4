/* The reporting token of an outgoing message: by it the service can tell later that a message which
 * its recipient reports is what the sender sent (protocol page 04, 9.7). */
#ifndef WARD_REPORTING_H
#define WARD_REPORTING_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/jid.h"
#include "common/wire/node.h"

#define REPORTING_TOKEN_LEN 16
#define REPORTING_VERSION   2

/* What of an encoded Message the token covers: the whitelisted fields in ascending order, appended
 * to out. 0, or -1: malformed, too deep, or no memory. */
int reporting_content(const uint8_t *message, size_t len, struct buf *out);
/* Over that. sender, remote: bare JIDs as text. */
void reporting_token(const uint8_t secret[32], const char *id, const char *sender,
    const char *remote, const uint8_t *content, size_t len, uint8_t out[REPORTING_TOKEN_LEN]);

/* Add <reporting> to a <message> to a person, if its content has a secret and is of a kind that has
 * a token. own: our JID in the namespace of the chat. */
void reporting_add(struct node *n, const uint8_t *message, size_t len, const char *id,
    const struct jid *own, const struct jid *chat);

#endif
