/* What the files of the outbox share. */
#ifndef WARD_OUTBOX_IMPL_H
#define WARD_OUTBOX_IMPL_H

#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/doubt.h"
#include "apid/message/ids.h"
#include "apid/message/outbox.h"
#include "apid/message/pace.h"
#include "apid/session/ask.h"

#define OUTBOX_LATER_MS 5000
#define HELD_MAX        4096u /* rows that pacing holds, in memory; the others stay in stored */

struct sent { /* a READY row that was given to netd on this connection */
	TAILQ_ENTRY(sent) link;
	char id[MESSAGE_ID_MAX + 1], chat[JID_TEXT_MAX], phash[12];
	uint8_t *bytes;
	size_t len;
	int64_t due_ms; /* monotonic: when it is sent again */
	unsigned resends;
	unsigned troubles; /* the service answered 503 so often */
	int acking;        /* its ack is being written down */
};

struct held { /* a QUEUED row whose turn has not come: only where it stands */
	TAILQ_ENTRY(held) link;
	uint64_t row;
	char id[MESSAGE_ID_MAX + 1];
	int64_t not_after_ms; /* 0 = none */
};

enum hold_why {
	HOLD_ACCOUNT, /* the account is at its rate, or the service wants a pause */
	HOLD_CHAT,    /* the chat is */
	HOLD_NEW,     /* nobody new may be written to now */
	HOLD_STOPPED  /* an operator wants it so (outbox_stop.c tells of it) */
};

struct held_chat { /* in the order of rows */
	TAILQ_ENTRY(held_chat) link;
	char chat[JID_TEXT_MAX]; /* as the rows name it */
	TAILQ_HEAD(held_list, held) rows;
	size_t n;
	enum hold_why why;
	struct ask *ask; /* the first row is being fetched */
	struct outbox *o;
};

struct paused { /* it was told that this stands still */
	TAILQ_ENTRY(paused) link;
	enum hold_why why;
	char chat[JID_TEXT_MAX];
};

struct outbox {
	struct account *a;
	enum {
		PASS_OFF,
		PASS_LOADING,
		PASS_WAITING,
		PASS_DONE
	} pass;
	uint64_t after_row;
	struct ask *ask;
	int more;        /* a row was queued since the last page was asked for */
	size_t rows;     /* QUEUED rows that send.c works on */
	size_t queueing; /* messages that are being written as QUEUED */
	struct doubts *doubts;
	TAILQ_HEAD(sent_list, sent) sent;
	size_t nsent;
	struct event *tick, *later;
	int64_t later_at; /* monotonic ms, while it is pending */

	/* how much there is, durable */
	size_t depth;
	int64_t oldest_ms; /* when the oldest was made, about; 0 = there is none */
	int counted;       /* depth is known */
	struct ask *count_ask;
	struct event *count_later;

	/* message/outbox_hold.c */
	struct pace *pace;
	TAILQ_HEAD(held_chats, held_chat) chats;
	size_t nheld;
	int64_t expiry_ms; /* of the held row that expires first, by the wall; 0 = none does */
	TAILQ_HEAD(paused_list, paused) paused;
	size_t npaused;
	unsigned rate_steps; /* 429s in a row */
	struct event *pump;
	int64_t pump_at; /* monotonic ms, while it is pending */

	/* message/outbox_stop.c */
	TAILQ_HEAD(stop_list, stop) stops;
	size_t nstops;
	TAILQ_HEAD(wish_list, wish) wishes; /* whose person is being asked for */

	/* message/outbox_ack.c */
	TAILQ_HEAD(rearm_list, rearm) rearms;
	TAILQ_HEAD(refresh_list, refresh) refreshes;
	size_t nrefreshes;
	char lid_asked[64][JID_TEXT_MAX]; /* on this connection */
	size_t nlid_asked;

	/* message/outbox_ask.c */
	TAILQ_HEAD(cancel_list, cancel) cancels;
};

/* ---- outbox.c */
struct sent *outbox_sent_find(struct outbox *o, const char *id);
void outbox_sent_drop(struct outbox *o, struct sent *s);
void outbox_pass_go(struct outbox *o);
/* A pass from the start, at the latest in so many ms. */
void outbox_pass_later(struct outbox *o, int64_t ms);
/* How old the oldest is, is asked a little later. */
void outbox_count_later(struct outbox *o);
/* A QUEUED row whose turn it is: it expires, is cancelled, or is given to send.c. */
void outbox_row_start(struct outbox *o, const Stored__OutboxRow *row);

/* ---- outbox_ack.c */
/* The fate of a row: written down with its event, then told. */
struct settle_how {
	int ok;
	int unknown; /* it may have arrived, and nobody will say */
	unsigned code;
	const char *reason; /* of a failure */
	int64_t time_ms, until_ms;
	int drop_lists; /* 1: the recipient's; 2: ours as well */
};
void outbox_settle(
    struct account *a, const char *id, const char *chat, const struct settle_how *how);
void outbox_acks_init(struct outbox *o);
void outbox_acks_offline(struct outbox *o);

/* ---- outbox_hold.c */
void outbox_hold_init(struct outbox *o);
void outbox_hold_free(struct outbox *o);
/* Forget the held rows: a pass from the start finds them again. */
void outbox_hold_clear(struct outbox *o);
/* A QUEUED row that a pass came to: 1 if it has to wait, and is held; 0 if it goes now. */
int outbox_hold_row(struct outbox *o, const Stored__OutboxRow *row);
/* Look again who may go. */
void outbox_pump(struct outbox *o);
/* The service wants less: all of the account stands still for so long. */
void outbox_slow_down(struct outbox *o, int64_t ms);
/* It is cancelled: it waits no more. */
void outbox_unhold(struct outbox *o, const char *id);
/* Where a held row stands. NULL: it is not held. *ms: when it goes, about; -1 = not known. */
const char *outbox_would_wait(struct outbox *o, const char *chat, int64_t *ms); /* a new one */
const char *outbox_held_why(struct outbox *o, const char *id, int64_t *ms);

/* How many held rows there are of a chat; "" = how many rows in all. */
size_t outbox_waiting(const struct outbox *o, const char *chat);

/* ---- outbox_stop.c */
int outbox_is_stopped(const struct outbox *o, const char *chat); /* "": the account as a whole */
json_t *outbox_stops_list(const struct outbox *o);
void outbox_stops_free(struct outbox *o);

/* ---- outbox_ask.c */
int outbox_is_cancelled(const struct outbox *o, const char *id);
void outbox_cancels_free(struct outbox *o);
/* Its row is written, or (why) could not be. */
void outbox_cancel_ends(struct account *a, const char *id, const char *why);

#endif
