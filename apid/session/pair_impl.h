/* What the two files of linking share: the attempt. */
#ifndef WARD_PAIR_IMPL_H
#define WARD_PAIR_IMPL_H

#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/pair.h"
#include "apid/session/pair_code.h"
#include "apid/session/unit.h"

#define REFS_MAX 16
#define REF_MAX  512u

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
	struct pair_code *code;
	unsigned closes;
	/* what is under way */
	struct ask *ask;
	struct unit *unit;
	int open;             /* the unit is not committed yet */
	struct node *pending; /* the stanza that is worked on: pair-success, a notification */
	uint64_t conn;
	struct pair_link {
		char jid[JID_TEXT_MAX], lid[JID_TEXT_MAX], platform[32], biz[128];
		int lid_migrated, first_time;
		uint32_t key_index;
		uint8_t *answer;
		size_t answer_len;
		struct account_device dev; /* taken over once it is durable */
	} link;
};

/* session/pair.c: tell the client a step; forget what is under way; forget refs and code. */
void pair_tell(
    struct pair *p, const char *step, const char *text, int64_t expires_ms, const char *error);
void pair_drop_work(struct pair *p);
void pair_drop_refs(struct pair *p);
/* What an answer needs of a stanza, kept until then. */
struct node *pair_keep_head(const struct node *n);

/* session/pair_success.c: <pair-success> came. */
void pair_success(struct account *a, const struct node *n, const struct node *ps);

#endif
