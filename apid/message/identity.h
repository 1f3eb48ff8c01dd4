/* Identities of others: what is told of them, where keyd keeps them, and what a change of one
 * brings with it (protocol page 04, 13; page 12, 11). */
#ifndef WARD_IDENTITY_H
#define WARD_IDENTITY_H

#include "apid/message/contacts.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

#define IDENTITY_ADV_MAX       4096u /* of a device identity: keyd's contract */
#define IDENTITY_ADDRESSES_MAX 512u

/* ---- telling */

struct identity_news {
	const struct person *party;
	unsigned device;
	const uint8_t *old_key, *new_key; /* 32 each, or NULL: not known */
	int implicit;                     /* seen by a message or a bundle */
	int was_verified;
	int held; /* it is not trusted until somebody decides */
	size_t held_messages;
	const char *origin;
	int64_t time_ms;
};
void identity_news_take(struct identity_news *n, const Keyd__IdentityChange *c);
/* identity.changed */
void identity_event(struct unit *u, const struct identity_news *n);
/* The identity itself, in hex: 65 bytes. */
const char *identity_fingerprint(const uint8_t key[32], char out[65]);

/* A record of an identity cannot be read: said in the log, now and then. */
void identity_damaged(const struct account *a);

/* ---- where keyd keeps them: each device under the name of the LID, and under that of the number
 */

struct identity_addresses {
	size_t n;
	char names[IDENTITY_ADDRESSES_MAX][81];
	Keyd__Address pb[IDENTITY_ADDRESSES_MAX], *list[IDENTITY_ADDRESSES_MAX];
};
/* Device 0, those of the lists in peer (NULL = no lists), and those from which something is held (a
 * NULL: not these). Appends; more than fit are left out. */
void identity_addresses(const struct account *a, const struct person *p, const Stored__Peer *peer,
    struct identity_addresses *out);

/* ---- changes */

/* <notification type=encrypt><identity/> : what was known is forgotten and told, then acked; a new
 * session is made at once unless the backlog is being drained.
 *
 *	identity_in -> known -> forgotten -> written -> bundle_came -> built -> built_written
 */
void identity_in(struct account *a, const struct node *n);
/* A message has shown a new identity of a primary, and its unit is durable: the sessions of his
 * companions go, and he gets our token again. */
void identity_new_primary(struct account *a, const struct jid *who);

#endif
