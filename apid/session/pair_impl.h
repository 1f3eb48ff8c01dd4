/* What the files of linking share: the attempt. */
#ifndef WARD_PAIR_IMPL_H
#define WARD_PAIR_IMPL_H

#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/pair.h"
#include "apid/session/pair_code.h"
#include "apid/session/passkey.h"
#include "apid/session/unit.h"

#define REFS_MAX 16

struct pair {
	struct account *a;
	int running;
	char link_id[33];
	int by_code;
	char phone[32], own_code[9];
	struct call *call; /* of account_link, until the attempt has begun */
	/* QR */
	uint8_t refs[REFS_MAX][REF_MAX];
	size_t ref_len[REFS_MAX], nrefs, at;
	int64_t expires_ms;
	struct event *timer;
	int64_t shown_ms; /* monotonic: the secret was in a QR code last; 0 = not yet */
	struct pair_code *code;
	int64_t code_after_ms;   /* no other code before that: the service said so */
	struct passkey *passkey; /* the exchange that is open */
	unsigned closes;
	int other_account; /* it need not be the account that was linked before */
	/* what is under way */
	struct ask *ask;
	struct unit *unit;
	int open;             /* the unit is not committed yet */
	int again;            /* another new secret is due behind the one that is being made */
	int next;             /* and something else is to be shown then */
	struct node *pending; /* the stanza that is worked on: pair-success, a notification */
	uint64_t conn;
	struct pair_link {
		char jid[JID_TEXT_MAX], lid[JID_TEXT_MAX], platform[32], biz[128];
		int lid_migrated, first_time;
		int other; /* another account than before */
		uint32_t key_index;
		uint8_t *answer;
		size_t answer_len;
		struct account_device dev; /* taken over once it is durable */
	} link;
};

/* session/pair.c: tell the client a step, with these fields (stolen); the same with the usual ones;
 * forget what is under way; forget refs, code and passkey exchange. */
void pair_say(struct pair *p, const char *step, json_t *o);
void pair_tell(
    struct pair *p, const char *step, const char *text, int64_t expires_ms, const char *error);
void pair_drop_work(struct pair *p);
void pair_drop_refs(struct pair *p);
void pair_state(struct pair *p); /* linking, by what */
void pair_failed_until(struct account *a, const char *reason, int64_t next_ms);

/* session/pair_qr.c: a QR code's time is over (a timer). */
void pair_qr_over(evutil_socket_t fd, short what, void *arg);
/* A new ADV secret, durable before anything is shown under it; a pending one is forgotten. */
void pair_renew(struct pair *p);
/* When the phone could learn the secret on this connection last, monotonic; 0 = it could not. */
int64_t pair_secret_shown_ms(const struct pair *p);
/* A passkey exchange failed: it is freed, and the connection goes on with something to scan. */
void pair_passkey_ended(struct pair *p, const char *reason);
/* What an answer needs of a stanza, kept until then. */
struct node *pair_keep_head(const struct node *n);

/* session/pair_success.c: <pair-success> came. */
void pair_success(struct account *a, const struct node *n, const struct node *ps);

#endif
