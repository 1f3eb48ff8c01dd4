/* What the files of answering a retry share. */
#ifndef WARD_RETRY_IMPL_H
#define WARD_RETRY_IMPL_H

#include <sys/queue.h>

#include "apid/message/bundle.h"
#include "apid/message/contacts.h"
#include "apid/message/ids.h"
#include "apid/message/lid_move.h"
#include "apid/message/stanza_kind.h"
#include "apid/message/unread.h"
#include "apid/session/ask.h"
#include "apid/session/devices.h"
#include "apid/session/unit.h"

#define BASE_KEY_LEN 33u

struct retry {
	struct flow f; /* first */
	TAILQ_ENTRY(retry) all;
	TAILQ_ENTRY(retry) link;
	int counted;        /* among the stanzas that hold netd back */
	int fetching;       /* keys of the service are asked for */
	int waiting;        /* in the queue for that */
	struct event *turn; /* it waits for its turn */
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	char id[MESSAGE_ID_MAX + 1];
	struct jid from, requester; /* requester: the device that asks */
	int own;                    /* it is one of our own devices */
	unsigned count;
	struct person person;
	uint8_t *content;
	size_t content_len;
	char chat[JID_TEXT_MAX];
	int addressed_known,
	    addressed; /* the devices are kept with the message; it is one of them */
	/* of the session with it */
	char address[81];
	int has_session;
	uint32_t registration_id; /* 0: no session */
	uint8_t base_key[BASE_KEY_LEN];
	int same_base_key; /* as at an earlier request */
	struct unread_name counted_as;
	uint32_t answers; /* how often it got this message already */
	struct bundle bundle;
	struct ask *ask;
	struct contacts_request *lookup;
	struct lid_move *move;
	struct devices_request *devices;
	struct bundle_request *bundles;
	struct unit *unit;
	int open;
	struct node *stanza;
};

/* ---- retry.c */
void retry_drop(struct retry *r, const char *why); /* it is acked, and not answered */
void retry_fetch(struct retry *r);                 /* keys of the service, then encrypt */
void retry_encrypt(struct retry *r);
void retry_uncount(struct retry *r); /* it is nothing that netd should wait for */
void retry_turn(struct retry *r);    /* it is one that may have it: when its turn comes */

/* ---- retry_who.c: the message is looked for, and whether it was for the device that asks. */
void retry_row(const struct reply *rp, void *arg);

/* ---- retry_session.c: what is known of the session, and what is done with it. */
void retry_facts(struct retry *r);
void retry_ask_facts(struct retry *r, channel_reply_fn *fn); /* of the session at r->address */

#endif
