/* What the files of receiving share: one incoming message on its way, and the lane of an account.
 */
#ifndef WARD_RECV_IMPL_H
#define WARD_RECV_IMPL_H

#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/envelope.h"
#include "apid/message/lid_move.h"
#include "apid/message/recv.h"
#include "apid/message/unread.h"
#include "apid/session/ask.h"
#include "apid/session/unit.h"
#include "common/buf.h"

#define RECV_ENCS_MAX 16u

enum recv_answer {
	RECV_ANSWER_RECEIPT,
	RECV_ANSWER_ACK,
	RECV_ANSWER_NACK,
	RECV_ANSWER_RETRY,
	RECV_ANSWER_NOTHING
};

struct recv {
	struct flow f; /* first */
	TAILQ_ENTRY(recv) link;
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	struct envelope e;
	enum {
		RECV_ASKING,
		RECV_READY,
		RECV_WORKING,
		RECV_DONE
	} phase;
	struct person sender, chat; /* of a direct chat */
	size_t made;                /* people who are asked for by the names that the stanza uses */
	struct lid_move *move;
	int wrote_sender, wrote_chat;
	struct contacts_request *lookup;
	struct ask *ask;
	struct unit *unit;
	int open; /* the unit is not committed yet */
	/* what there is to decrypt */
	const struct node *encs[RECV_ENCS_MAX];
	size_t nencs;
	int others, unknown;      /* enc nodes of other kinds; of kinds that nobody knows */
	unsigned enc_count;       /* highest `count` */
	int second;               /* the number's sessions were moved, or there were none */
	int first[RECV_ENCS_MAX]; /* outcomes before that */
	/* how it ends */
	enum recv_answer answer;
	unsigned nack;
	struct node *retry; /* the retry receipt, ready to go */
	unsigned attempt, retry_code;
	/* of one that cannot be read (recv_unread.c) */
	const char *reason;
	const struct node *unavailable; /* the service kept it back; or NULL */
	struct unread_name name;
	int ask_phone;
	/* an answer of the own phone (recv_phone.c) */
	struct buf phone;
	struct recv_phone *recovering;
	int mapping;                  /* the phone told numbers and LIDs */
	int hist_sync;                /* a receipt of that type too */
	int counted_new;              /* a message event was added */
	struct recv_secrets *secrets; /* message/secrets.c; NULL: none came */
	int repeated;                 /* all counters were used before: is it known? */
	/* the sender's identity */
	uint64_t held;    /* it comes from held.c, under this number; 0 = from the service */
	uint64_t holding; /* it is given to held.c, under this number */
	int stays;        /* still not trusted */
	int damaged;      /* nor will it be: the record of it cannot be read */
	int new_primary;  /* the sender's phone was registered anew, and that is taken */
	/* a stanza that does not decode: n has only what could be read of it */
	const char *broken; /* why, or NULL */
	struct buf raw;
};

struct recv_lane {
	struct account *a;
	TAILQ_HEAD(recv_list, recv) list; /* in order of arrival */
	size_t n;
	int pumping;
	/* the one that failed last, and how often in a row it was the first to fail; of this run:
	 * what ends a run is counted durably (session/poison.h) */
	char failed_id[MESSAGE_ID_MAX + 1];
	struct jid failed_from;
	unsigned failures;
	uint64_t ended; /* messages that have left it, of all connections */
};

extern const struct flow_kind recv_kind;

/* ---- recv.c: its turn has come: a unit is opened, keyd is asked. */
void recv_decrypt(struct recv *r);

/* ---- recv_unread.c: kept, told, asked for again; ends in recv_commit. code: of the retry receipt.
 */
void recv_unread(struct recv *r, const char *reason, unsigned code);
void recv_unavailable(struct recv *r, const struct node *unavailable);

/* ---- recv_phone.c */

/* The phone gives messages that were not read: `phone` has its answer. Ends in recv_commit. */
void recv_phone(struct recv *r);
void recv_phone_free(struct recv_phone *p); /* NULL is fine */
/* It came again and was read now. */
void recv_was_unread(struct recv *r);

/* ---- recv_lane.c */

/* All is in the unit: make it durable, then answer. */
void recv_commit(struct recv *r);
/* The store or keyd could not do it: nothing is answered, the service delivers again. */
void recv_failed(struct recv *r, const char *why);
/* It is the one that failed when it came last. */
int recv_failed_last(const struct recv *r);
/* Decrypt those whose turn has come, and answer those that are durable. */
void recv_pump(struct recv_lane *l);

#endif
