/* Asking the own phone for messages that could not be read (protocol page 04, 14.4; page 12, 14).
 *
 * Each is asked for once, some seconds after it failed, so that its sender may be faster; several
 *go into one request. What was asked, and that it was, is durable: an answer is believed as long as
 * the message is unread, also after a restart.
 *
 *	phone_ask_want … ask_begin -> ask_rows -> ask_sent -> (30 s) ask_over -> ask_over_rows
 */
#ifndef WARD_PHONE_ASK_H
#define WARD_PHONE_ASK_H

#include "apid/message/unread.h"
#include "apid/session/account.h"

#define PHONE_ASK_WAITING  200u   /* messages of an account; those beyond wait for the next login */
#define PHONE_ASK_BATCH    8u     /* of one request */
#define PHONE_ASK_LATER_MS 5000   /* for the sender to be faster */
#define PHONE_ASK_OVER_MS  30000u /* then the phone is not waited for any more */
#define PHONE_ASK_AGE_MS   INT64_C(1209600000) /* 14 days: an older message is not asked for */

struct phone_asks *phone_asks_new(struct account *a);
void phone_asks_free(struct phone_asks *p);

/* May this message be asked for at all? */
int phone_ask_may(const struct account *a, const struct envelope *e);
/* It is unread, and its row is durable. */
void phone_ask_want(struct account *a, const struct unread_name *name);
/* It was read. */
void phone_ask_read(struct account *a, const struct unread_name *name);
/* It is wanted, or asked for and not answered yet. */
int phone_ask_waits(const struct account *a, const struct unread_name *name);
/* The phone has answered this request. */
void phone_ask_answered(struct account *a, const char *id);
/* Online: those that an earlier run left are looked for, and those that wait are asked for. */
void phone_ask_online(struct account *a);

/* The row that remembers a request; its id is that of our stanza. */
void phone_ask_request_name(const char *id, struct unread_name *out);
/* What is in it: names, or 0 if there is no such request. */
size_t phone_ask_names(const ProtobufCBinaryData *row, struct unread_name *out, size_t max);

#endif
