/* Messages that could not be read yet: each is kept raw in stored, with how often it was asked for
 * (protocol page 04, 12.1; the table of pending stanzas). */
#ifndef WARD_UNREAD_H
#define WARD_UNREAD_H

#include "apid/message/contacts.h"
#include "apid/message/envelope.h"
#include "apid/session/ask.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

/* `attempts` of a row: the retry receipts that went out, and these. */
#define UNREAD_TRIES    0xffu
#define UNREAD_PHONE    0x100u /* the own phone was asked (page 04, 14.4) */
#define UNREAD_GIVEN_UP 0x200u /* message.given_up was told */
/* The day it was kept first, by the service's clock, since 1970; of a message alone. */
#define UNREAD_DAY_SHIFT 16
#define UNREAD_DAYS      14 /* then it is given up (message/give_up.h) */

#define UNREAD_ASK_MAX 32u /* names of one question */
/* Bytes of a stanza that are kept; of a bigger one its attributes alone: they say who and where. */
#define UNREAD_STANZA_MAX (64u * 1024)

/* What a row is called: stable ids of chat and sender ("me" for own messages; a JID where there is
 * no id), which stay when a person is addressed in another way, and the id of the message. */
struct unread_name {
	char chat[JID_TEXT_MAX], sender[JID_TEXT_MAX], id[MESSAGE_ID_MAX + 1];
};
void unread_name_of(const struct envelope *e, const struct person *sender,
    const struct person *chat, struct unread_name *out);
/* The same for stored; points into *n. */
Stored__MessageName unread_pb(const struct unread_name *n);
int unread_same(const struct unread_name *a, const struct unread_name *b);

/* Ask stored for rows: a Stored__LookupReply with `pending` in that order, each with an empty
 * stanza if it is not there. n: at most UNREAD_ASK_MAX. */
struct ask *unread_ask(
    struct account *a, const struct unread_name *names, size_t n, channel_reply_fn *fn, void *arg);
#define UNREAD_REPLY_MAX (8u * 1024 * 1024)

/* Keep the stanza; of one that is there already the age stays: attempts has it. A message never
 * goes by stored's own rule, for that it went must be told. */
void unread_keep(struct account *a, struct unit *u, const struct unread_name *name,
    const struct node *stanza, uint32_t attempts);
/* It is the row of a message; there are others, named by what no chat is called. */
int unread_is_message(const Stored__MessageName *n);
void unread_drop(struct unit *u, const struct unread_name *name);

#endif
