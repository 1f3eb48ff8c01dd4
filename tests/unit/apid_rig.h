/* What the players of the engine's tests share: their state, the loop, the rows of a channel. */
#ifndef WARD_TEST_RIG_H
#define WARD_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apid/channels.h"
#include "apid/session/account.h"
#include "apid/session/engine.h"
#include "common/log.h"
#include "common/wire/node.h"
#include "ipc/frame.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/netd.pb-c.h"
#include "ipc/stored.pb-c.h"
#include "sandbox/child.h"
#include "tests/unit/apid_rig_rows.h"
#include "tests/unit/slow.h"

#define RIG_OWN_PN  "15551234567:7@s.whatsapp.net"
#define RIG_OWN_LID "100000000000009:7@lid"
#define RIG_BOB_PN  "15550002222@s.whatsapp.net"
#define RIG_BOB_LID "100000000000002@lid"
#define RIG_MAX     256
#define RIG_OUT_MAX 4096
#define RIG_WAIT_MS (10000 * (int)test_slow())

struct rig_event {
	char type[48], origin[16], dedup[300];
	json_t *body;
};
struct rig_row { /* of the outbox */
	char id[64], chat[112], key[80];
	uint32_t uid;
	uint8_t hash[32];
	uint8_t *content, *stanza;
	size_t content_len, stanza_len;
	char devices[16][64];
	size_t ndevices;
	int state;
	int64_t created_ms;
	uint32_t code;
	char reason[64];
	int64_t until_ms, not_after_ms;
	uint32_t delivered; /* as a test wants it */
};

struct rig_token {
	char user[112];
	uint8_t bytes[256];
	size_t len;
	int64_t t, sender;
	int has_sender;
};

struct rig {
	struct event_base *base;
	struct config *config;
	struct service svc;
	struct child child;
	struct channel *keyd, *netd, *stored; /* the far ends */
	struct account *a;
	int broken;
	int abrupt; /* the end comes as when a peer has gone: nothing is stopped before */

	/* stored */
	int hold_commits; /* commits wait in `held` until rig_release */
	struct message *held[RIG_MAX];
	size_t nheld;
	char fail_commit[32];     /* the next commit fails with this code */
	char fail_with_event[48]; /* the next commit with an event of this type fails with fail_code
				   */
	char fail_code[32];
	unsigned fail_more; /* so many commits with that event after it as well */
	struct rig_event events[RIG_MAX];
	size_t nevents;
	char marks[RIG_MAX][300]; /* keys without an event */
	size_t nmarks;
	struct rig_row rows[RIG_MAX];
	size_t nrows;
	struct rig_token tokens[16];
	size_t ntokens, token_expires;
	uint8_t nct_salt[128];
	size_t nct_salt_len;
	uint8_t base_key[33]; /* of every session */
	struct rig_rows kept; /* stanzas and base keys, for repairs */
	size_t commits, aborts, opens, receipts, list_drops, list_puts;
	char receipt_chats[256]; /* of the last, each behind a blank */
	char app_version[24];
	unsigned state_code, state_subcode;
	int64_t state_until_ms;
	char state[32], state_reason[32], list_dropped[112], restrictions[32769], holds[4096];
	int64_t firsts[64]; /* first contacts that stored knows of */
	size_t nfirsts;
	int bob_is_new;          /* nothing has passed between him and us */
	int64_t bob_met_ms;      /* written by apid */
	int paused, from_backup; /* from_backup: restored_done was not written yet */
	char contact[65];        /* user part of the LID of the one that was written last */
	int has_prekeys, know_lid;
	int64_t linked_ms;

	/* keyd */
	Keyd__DecryptResult__Outcome outcome;
	int under_number; /* the session stands under the number, until it is moved */
	size_t decrypts, encrypts, asked_sessions, bundles, prekeys_made, retry_keys, moves,
	    lid_moves;
	int hold_encrypt; /* the next waits in held_encrypt */
	struct message *held_encrypt;
	size_t hold_decrypts; /* so many wait in held_decrypt */
	struct message *held_decrypt[4];
	size_t nwaiting;
	size_t hold_lookups; /* so many about Bob wait in held_lookup */
	struct message *held_lookup[4];
	size_t nlookups;
	int no_sessions, no_device;
	int lost_sessions;    /* what was there is gone: until a bundle comes */
	int untrusted;        /* the identities of all have changed, and nobody has decided */
	int damaged;          /* ENCRYPT: no identity can be read */
	struct rig_identity { /* of Bob's phone, under his LID */
		int known, damaged;
		uint8_t key[32], decided[32];
		size_t decided_len;
		Keyd__IdentityState state, decided_state;
		size_t decisions;
	} identity;
	int linked;
	size_t refreshes, finishes; /* new ADV secrets; pair codes used */
	int32_t generation;

	struct rig_secret { /* SECRETS_KEEP, and what ENCRYPT brought */
		char name[400];
		uint8_t secret[32];
		int64_t expires_s, message_s;
	} secrets[32];
	size_t nsecrets;
	struct rig_addon { /* ADDON_OPEN: what is answered, and what was asked last */
		int outcome;
		uint8_t plain[256];
		size_t plain_len;
		int64_t message_s;
		const char *error;
		size_t asked;
		int use;
		char names[400], id[130], authors[460], senders[460]; /* each behind a blank */
	} addon;

	/* netd */
	struct node *out[RIG_OUT_MAX];
	size_t nout;
	int mute; /* iqs and receipts are not answered */
	int no_read_receipts;
	/* the switches that the service sets: code, value; NULL hash = no answer with any */
	const char *prop[8][2], *prop_hash;
	int prop_delta;
	unsigned props_asked;
	char props_asked_with[64];       /* hash */
	char props[512], props_hash[64]; /* as stored has them */
	unsigned cleans;                 /* dirty bits that were cleaned; the last one */
	char clean_type[32], clean_t[24];
	const char *refuse_xmlns; /* such an iq is answered with an error */
	const char *mex;          /* what a GraphQL question is answered with; "" = not at all */
	size_t mex_asked;
	size_t ups, restarts, downs;
	uint32_t delay_ms;
	uint64_t conn;
	char bob_devices[64]; /* "0,5" */

	/* the client */
	json_t *result;
	struct api_error err;
	char err_reason[64];
	int answers;
};
static struct rig rig;

/* ------------------------------------------------------------------ running the loop */

static void __attribute__((unused)) rig_turn(void)
{
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
}

static void
rig_late(evutil_socket_t fd, short what, void *arg)
{
	*(int *)arg = 1;
}

#define rig_until(cond)                                                                            \
	do {                                                                                       \
		int late_ = 0;                                                                     \
		struct timeval tv_ = {RIG_WAIT_MS / 1000, 0};                                      \
		struct event *ev_ = evtimer_new(rig.base, rig_late, &late_);                       \
		evtimer_add(ev_, &tv_);                                                            \
		while (!(cond) && !late_)                                                          \
			event_base_loop(rig.base, EVLOOP_ONCE);                                    \
		event_free(ev_);                                                                   \
		if (!(cond))                                                                       \
			fail_msg("waited in vain for: %s", #cond);                                 \
	} while (0)

/* Let everything that is on its way arrive: as many rounds as the longest chain of answers. */
static void __attribute__((unused)) rig_settle(void)
{
	for (int i = 0; i < 400; i++)
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
}

/* ------------------------------------------------------------------ what a player answers */

#define REQ(room, T, t, run)                                                                       \
	{                                                                                          \
		room##__TYPE__##T, #T, 0, FRAME_PAYLOAD_MAX, CHANNEL_ALL_STATES, ROW_REQUEST,      \
		    &t##__descriptor, run                                                          \
	}
#define NOTE(room, T, t, run)                                                                      \
	{                                                                                          \
		room##__TYPE__##T, #T, 0, FRAME_PAYLOAD_MAX, CHANNEL_ALL_STATES, 0,                \
		    &t##__descriptor, run                                                          \
	}

#endif
