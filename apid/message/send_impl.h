/* What the files of sending share: the struct of one send and its people, devices and keys. */
#ifndef WARD_SEND_IMPL_H
#define WARD_SEND_IMPL_H

#include <sys/queue.h>

#include "apid/message/bundle.h"
#include "apid/message/contacts.h"
#include "apid/message/lid_move.h"
#include "apid/message/ids.h"
#include "apid/message/intent.h"
#include "apid/message/send.h"
#include "apid/message/session_cache.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/devices.h"
#include "apid/session/unit.h"

#define SEND_DEVICES_MAX 512u

struct send_device {
	struct jid jid;   /* as on the wire */
	char address[81]; /* of its session in keyd */
	int own;          /* gets the copy for own devices */
	int has_session;
	int skip; /* no usable bundle */
	int sent; /* it has a part in the stanza */
	struct bundle bundle;
	int has_bundle;
};

struct send {
	struct flow f;          /* first */
	TAILQ_ENTRY(send) link; /* all sends of the account, in order */
	struct account *a;
	struct call *call; /* NULL: nobody waits (any more) */
	struct event *call_timer;
	int64_t call_until_ms; /* monotonic */
	enum send_wait want;

	/* what is to be sent */
	char to[JID_TEXT_MAX]; /* as the client named it: "u_…" or a bare JID */
	char key[65];
	uint32_t uid;
	uint8_t hash[32];
	char id[MESSAGE_ID_MAX + 1];
	struct intent *intent; /* what becomes the content; NULL: a row has it already */
	uint8_t *content; /* encoded Message; NULL until it is known how people are addressed */
	size_t content_len;
	int64_t created_ms, not_after_ms;
	int is_row; /* it is QUEUED already */
	uint64_t row;
	int reserved; /* it is a first contact on its way */
	int was_online;

	/* where it goes */
	struct jid chat; /* bare, in the namespace of the wire */
	struct person peer, own;
	char lane[sizeof(((struct person *)0)->id)]; /* whose turn it waits for, or has */
	struct device_list peer_list, own_list;
	int have_peer_list, have_own_list, asked_devices;
	struct send_device *dev;
	size_t ndev, dev_max;
	char phash[12];
	struct tctoken_search *token_search; /* his token is being looked for */
	struct tctoken token;
	int asked_token, wants_token; /* wants_token: all else is ready */
	int found;                    /* no row of the outbox has its idempotency key */

	/* where it stands */
	enum send_phase {
		SEND_FINDING,
		SEND_WAITING_KEY, /* another send has the same idempotency key */
		SEND_RESOLVING,
		SEND_LANE,    /* its turn in the chat comes */
		SEND_WORKING, /* it has the lane */
		SEND_RELEASED /* keyd has it to encrypt: the next of the chat may begin */
	} phase;
	int building;    /* it has the right to build sessions */
	int wants_build; /* it waits for that */
	int rebuild;     /* the recipient was registered anew: no session of his counts */
	int rebuilds;    /* that was so when it began: once more if nothing of it was kept */
	int tried_again;
	unsigned repeats;    /* how often it began anew because an earlier unit failed */
	struct event *again; /* until it may begin anew */
	int queueing;        /* it is being written as QUEUED */
	int wrote_peer, wrote_own;
	struct lid_move *move;
	struct ask *ask;
	struct contacts_request *lookup;
	struct devices_request *devices;
	struct bundle_request *bundles;
	struct unit *unit;
	int open; /* the unit is not committed yet */
	int encrypting;
	uint8_t *stanza;
	size_t stanza_len;
	const char *refusal; /* why an identity stands against it */
};

TAILQ_HEAD(send_list, send);
struct sender {
	struct account *a;
	struct send_list list;
	size_t n;
	size_t encrypting; /* are with keyd */
	struct session_cache *sessions;
	const char *lane; /* in which somebody is just being let in */
	int lane_again;   /* the next one may have his turn as well */
};

/* message/send_devices.c: from people to sessions. They end with send_encrypt, or with send_stop.
 */
void send_devices(struct send *s);
void send_sessions(struct send *s);
void send_prekeys(struct send *s);
void send_clear_devices(struct send *s);

/* message/send.c */
void send_find(struct send *s);
/* It cannot go on: it is queued (later), or fails with this error; reason: a row has failed for
 * good. */
void send_later(struct send *s, const char *why);
void send_fail(struct send *s, const struct api_error *e, const char *reason);
void send_fail_store(struct send *s, const char *code);
/* It is in the outbox: from here on the outbox answers the client. */
void send_hand_over(struct send *s, const char *id, const char *to, const char *have,
    int64_t time_ms, int duplicate);
/* The lane of s may be free: the next of that chat begins. */
void send_lane_next(struct send *s);

/* message/send_judge.c */
/* What keyd says of the identities, in words of api-conventions; NULL = nothing against it. What
 * changed is told in the unit. */
const char *send_judge(struct send *s, const Keyd__EncryptReply *m);

/* message/send_commit.c */
/* Beside what else is asked for: send_encrypt waits for it. */
void send_find_token(struct send *s);
void send_encrypt(struct send *s);
/* The intent alone: it is encrypted when its turn comes. */
void send_queue(struct send *s);
/* keyd has answered, or it is not waited for any more. */
void send_encrypt_ends(struct send *s);
/* The right to build sessions is free again. */
void send_build_done(struct send *s);

#endif
