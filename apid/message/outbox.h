/* The outbox of an account: what is to be sent, what was sent and waits for its ack, and who waits
 * for that (page 04, section 9.6). Durable in stored; here is only a window of it. */
#ifndef WARD_OUTBOX_H
#define WARD_OUTBOX_H

#include "apid/message/contacts.h"
#include "apid/session/account.h"
#include "apid/session/call.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

#define OUTBOX_WINDOW 256u /* sent rows without an ack, and rows on their way there */
#define OUTBOX_ACK_MS 75000

struct outbox *outbox_new(struct account *a);
void outbox_free(struct outbox *o);

/* Online: send what waits, in the order in which it came in. */
void outbox_online(struct account *a);
void outbox_disconnected(struct account *a);
/* netd takes more again. */
void outbox_drained(struct account *a);
/* Another device: the window is forgotten (the rows belong to the old one). */
void outbox_reset(struct account *a);

/* Two JIDs of one person are one chat, as far as it is known. */
int outbox_same_chat(struct account *a, const char *one, const char *other);

/* May a new message go out now, or must it queue behind what waits? */
int outbox_direct(const struct account *a);
/* The same with pacing: 1 if this one goes now; its share is then taken. */
int outbox_may_go(struct account *a, const struct jid *chat, const struct person *p);
/* A QUEUED row was given to send.c, and is for somebody new who may not be written to now: 1, it is
 * held again and gives back its share. not_after_ms 0 = none. */
int outbox_hold_new(struct account *a, uint64_t row, const char *id, const char *chat,
    int64_t not_after_ms, const struct person *p);
/* A message to somebody new is on its way: 1 if it counts; then outbox_reserved_ends follows, with
 * the time at which it was made READY, or 0 if that came to nothing. */
int outbox_reserve_new(struct account *a, const struct person *p);
void outbox_reserved_ends(struct account *a, int64_t time_ms);
/* Somebody has written: he is nobody new. */
void outbox_contact_met(struct account *a);
/* What the service lets the account do has changed; or is as before the restart. */
void outbox_restriction_changed(struct account *a);
void outbox_restriction_known(struct account *a);
/* The account is open: how much waits is asked. */
void outbox_opened(struct account *a);
/* A row that waits was committed, or waits no more. */
void outbox_row_came(struct account *a, int64_t created_ms);
void outbox_row_gone(struct account *a);
/* The row of a message that the service found too much is sent again, with the same id. */
void outbox_rearm(struct account *a, const Stored__OutboxRow *row);
/* Of a row that has failed is known until when, after all: into the unit, with its event. time_ms:
 * of the refusal. */
void outbox_until_known(struct account *a, struct unit *u, const char *message_id, const char *chat,
    unsigned code, int64_t time_ms, int64_t until_ms);
/* The row has failed, but until when is being asked: the call is ended when that is known. */
void outbox_fail_when_known(struct account *a, struct call *c, const Stored__OutboxRow *row);
/* Why a new message finds no room, and when it may: error -5. */
struct api_error outbox_full_error(const struct account *a);
/* A message is being written as QUEUED, or that has ended: none that comes later may go out before.
 */
void outbox_queueing(struct account *a, int begins);
/* A QUEUED row was committed: it is sent in its turn. */
void outbox_queued(struct account *a);
/* A READY row was committed: send these bytes now and wait for the ack. phash: of the devices that
 * it went to, or "". */
void outbox_ready(struct account *a, const char *message_id, const char *chat,
    const uint8_t *stanza, size_t len, const char *phash);
/* A QUEUED row could not be made READY now: again after a while; or (reason) it has failed for
 * good. */
void outbox_row_later(struct account *a, const char *message_id);
void outbox_row_failed(
    struct account *a, const char *message_id, const char *chat, unsigned code, const char *reason);

/* A send_row has ended, whatever way. */
void outbox_row_left(struct account *a);

/* <ack class=message>: 1 if it was for one of ours. */
int outbox_ack(struct account *a, const struct node *n);

size_t outbox_depth(const struct account *a);      /* rows that wait or have no ack yet */
int64_t outbox_oldest_ms(const struct account *a); /* how old the oldest of them is, about */
/* Add how a row that waits stands: position (1 = next), waits_for, retry_after_ms. ahead: how many
 * are before it. */
void outbox_tell_place(
    struct account *a, const char *id, const char *chat, uint64_t ahead, json_t *o);
/* If pacing holds it: when it goes, about, as retry_after_ms. */
void outbox_wait_hint(struct account *a, const char *id, struct api_error *e);

/* ---- message/outbox_stop.c: outbox.hold and outbox.release */
size_t outbox_stops(const struct account *a, int64_t *since_ms); /* since_ms: of the oldest */
/* What stored has; text may be NULL. */
void outbox_stops_load(struct account *a, const char *text);
/* Another account was linked: its chats are others. */
void outbox_stops_only_account(struct account *a);
/* As it is kept, to be freed; people = 0: without those of single chats. */
char *outbox_stops_text(const struct account *a, int people);

/* ---- message/outbox_wait.c */
struct waits *waits_new(struct account *a);
void waits_free(struct waits *w);

/* The call waits for a status of a message that is in the outbox; it is ended here. */
void outbox_wait(struct account *a, struct call *c, const char *message_id, const char *to,
    enum send_wait want, const char *have, int64_t time_ms, int duplicate, unsigned timeout_ms);
/* A status that became durable: "server", "delivered", "read", "played", "failed",
 * "outcome_unknown". */
struct outbox_news {
	const char *id, *party; /* party: JID of the chat, or of who says so */
	const char *status;
	int64_t time_ms;
	unsigned code; /* of a failure, with until_ms and reason (NULL: of the code) */
	int64_t until_ms;
	const char *reason;
};
/* Those who wait for that message to that party are told. */
void outbox_status(struct account *a, const struct outbox_news *news);

/* A sticky state: those who wait for an answer are told what there is to tell. */
void outbox_state_changed(struct account *a);
/* {message_id, status, time_ms, to, duplicate} */
json_t *outbox_result(
    const char *message_id, const char *status, int64_t time_ms, const char *to, int duplicate);
/* What a row says of itself: "queued", "server" … */
const char *outbox_row_status(const Stored__OutboxRow *row);
/* It has that error for an end: 1, else 0. */
int outbox_row_error(const Stored__OutboxRow *row, struct api_error *e);
#endif
