/* The engine of apid between three peers that are played here: keyd, netd and stored, over socket
 * pairs in the same loop. Each does the least that its contract asks for, and what a test wants it
 * to. */
#ifndef WARD_TEST_ENGINE_RIG_H
#define WARD_TEST_ENGINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "apid/channels.h"
#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/session/account.h"
#include "apid/session/call.h"
#include "apid/session/engine.h"
#include "common/clock.h"
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
	char app_version[24];
	unsigned state_code, state_subcode;
	int64_t state_until_ms;
	char state[32], state_reason[32], list_dropped[112], restrictions[4096];
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
	int unknown_by_number; /* under an address by number there is no session */
	size_t decrypts, encrypts, bundles, prekeys_made, retry_keys, moves;
	int hold_encrypt; /* the next waits in held_encrypt */
	struct message *held_encrypt;
	int no_sessions, no_device;
	int untrusted; /* the identities of all have changed, and nobody has decided */
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

/* ------------------------------------------------------------------ stored */

static struct rig_row *
rig_row(const char *id)
{
	for (size_t i = 0; i < rig.nrows; i++)
		if (strcmp(rig.rows[i].id, id) == 0)
			return &rig.rows[i];
	return NULL;
}

static struct rig_row *
rig_row_by_key(uint32_t uid, const char *key)
{
	for (size_t i = 0; i < rig.nrows; i++)
		if (rig.rows[i].uid == uid && strcmp(rig.rows[i].key, key) == 0)
			return &rig.rows[i];
	return NULL;
}

static uint8_t *
rig_dup(const ProtobufCBinaryData *b)
{
	uint8_t *p = malloc(b->len + 1);

	memcpy(p, b->data, b->len);
	return p;
}

static int
rig_has_event(const char *dedup)
{
	for (size_t i = 0; i < rig.nevents; i++)
		if (dedup[0] != '\0' && strcmp(rig.events[i].dedup, dedup) == 0)
			return 1;
	return 0;
}

static int
rig_knows(const char *key)
{
	for (size_t i = 0; i < rig.nmarks; i++)
		if (strcmp(rig.marks[i], key) == 0)
			return 1;
	return rig_has_event(key);
}

static uint64_t
rig_apply_event(const Stored__EventAppend *e)
{
	struct rig_event *v = &rig.events[rig.nevents];

	if (e->dedup != NULL && rig_knows(e->dedup))
		return 0;
	for (size_t i = 0; i < e->n_unless; i++)
		if (rig_knows(e->unless[i]))
			return 0;
	assert_true(rig.nevents < RIG_MAX);
	snprintf(v->type, sizeof(v->type), "%s", e->type);
	snprintf(v->origin, sizeof(v->origin), "%s", e->origin);
	snprintf(v->dedup, sizeof(v->dedup), "%s", e->dedup != NULL ? e->dedup : "");
	v->body = json_loadb((const char *)e->body.data, e->body.len, 0, NULL);
	assert_non_null(v->body);
	return ++rig.nevents;
}

static void
rig_take_devices(struct rig_row *r, char **devices, size_t n)
{
	assert_true(n <= 16);
	for (size_t i = 0; i < n; i++)
		snprintf(r->devices[i], sizeof(r->devices[i]), "%s", devices[i]);
	if (n > 0)
		r->ndevices = n;
}

static void
rig_apply_put(const Stored__OutboxPut *p)
{
	struct rig_row *r = &rig.rows[rig.nrows++];

	assert_true(rig.nrows < RIG_MAX);
	memset(r, 0, sizeof(*r));
	snprintf(r->id, sizeof(r->id), "%s", p->message_id);
	snprintf(r->chat, sizeof(r->chat), "%s", p->chat);
	snprintf(r->key, sizeof(r->key), "%s", p->idempotency_key);
	r->uid = p->uid;
	memcpy(r->hash, p->params_hash.data, 32);
	r->content = rig_dup(&p->content);
	r->content_len = p->content.len;
	r->state = (int)p->state;
	rig_take_devices(r, p->devices, p->n_devices);
	r->created_ms = p->created_ms;
	r->not_after_ms = p->not_after_ms;
	if (p->has_stanza) {
		r->stanza = rig_dup(&p->stanza);
		r->stanza_len = p->stanza.len;
	}
}

static void
rig_apply_update(const Stored__OutboxUpdate *u)
{
	struct rig_row *r = rig_row(u->message_id);

	assert_non_null(r);
	if (u->has_state)
		r->state = (int)u->state;
	if (u->has_code)
		r->code = u->code;
	if (u->has_until_ms)
		r->until_ms = u->until_ms;
	if (u->reason != NULL)
		snprintf(r->reason, sizeof(r->reason), "%s", u->reason);
	rig_take_devices(r, u->devices, u->n_devices);
	if (u->has_stanza) {
		free(r->stanza);
		r->stanza = rig_dup(&u->stanza);
		r->stanza_len = u->stanza.len;
	}
}

static struct rig_token *
rig_token(const char *user)
{
	size_t i = 0;

	while (i < rig.ntokens && strcmp(rig.tokens[i].user, user) != 0)
		i++;
	if (i == rig.ntokens) {
		assert_true(rig.ntokens < 16);
		rig.ntokens++;
		snprintf(rig.tokens[i].user, sizeof(rig.tokens[i].user), "%s", user);
	}
	return &rig.tokens[i];
}

static void
rig_apply_token(const Stored__Write *w)
{
	struct rig_token *t;

	if (w->token_received != NULL) {
		t = rig_token(w->token_received->user);
		if (t->len == 0 || t->t <= w->token_received->token_s) {
			t->len = w->token_received->token.len;
			memcpy(t->bytes, w->token_received->token.data, t->len);
			t->t = w->token_received->token_s;
		}
	}
	if (w->token_touch != NULL) {
		t = rig_token(w->token_touch->user);
		t->has_sender = 1;
		t->sender = w->token_touch->sender_s;
	}
	rig.token_expires += w->token_expire != NULL;
}

static void
rig_apply(const Stored__Write *w)
{
	rig_apply_token(w);
	if (w->device != NULL && w->device->has_nct_salt) {
		rig.nct_salt_len = w->device->nct_salt.len;
		memcpy(rig.nct_salt, w->device->nct_salt.data, rig.nct_salt_len);
	}
	if (w->outbox_put != NULL)
		rig_apply_put(w->outbox_put);
	if (w->outbox_update != NULL)
		rig_apply_update(w->outbox_update);
	if (w->device != NULL && w->device->state != NULL)
		snprintf(rig.state, sizeof(rig.state), "%s", w->device->state);
	if (w->device != NULL && w->device->props != NULL) {
		snprintf(rig.props, sizeof(rig.props), "%s", w->device->props);
		snprintf(rig.props_hash, sizeof(rig.props_hash), "%s", w->device->props_hash);
	}
	if (w->device != NULL && w->device->app_version != NULL)
		snprintf(rig.app_version, sizeof(rig.app_version), "%s", w->device->app_version);
	if (w->device != NULL && w->device->has_state_code) {
		rig.state_code = w->device->state_code;
		rig.state_subcode = w->device->state_subcode;
		rig.state_until_ms = w->device->state_until_ms;
	}
	if (w->device != NULL && w->device->state_reason != NULL)
		snprintf(rig.state_reason, sizeof(rig.state_reason), "%s", w->device->state_reason);
	if (w->device != NULL && w->device->has_paused)
		rig.paused = w->device->paused;
	if (w->device != NULL && w->device->restrictions != NULL)
		snprintf(rig.restrictions, sizeof(rig.restrictions), "%s", w->device->restrictions);
	if (w->contact != NULL && w->contact->has_first_out_ms && rig.nfirsts < 64)
		rig.firsts[rig.nfirsts++] = w->contact->first_out_ms;
	if (w->contact != NULL && w->contact->has_met_ms)
		rig.bob_met_ms = w->contact->met_ms;
	if (w->restored_done)
		rig.from_backup = 0;
	if (w->device != NULL && w->device->has_server_has_prekeys)
		rig.has_prekeys = w->device->server_has_prekeys;
	if (w->device_list_drop != NULL) {
		rig.list_drops++;
		snprintf(
		    rig.list_dropped, sizeof(rig.list_dropped), "%s", w->device_list_drop->user);
	}
	rig.list_puts += w->device_list != NULL;
	if (w->contact != NULL && w->contact->lid != NULL)
		snprintf(rig.contact, sizeof(rig.contact), "%s", w->contact->lid);
	if (w->mark != NULL) {
		assert_true(rig.nmarks < RIG_MAX);
		snprintf(rig.marks[rig.nmarks++], sizeof(rig.marks[0]), "%s", w->mark);
	}
	rig.receipts += w->receipt != NULL;
	rig_rows_apply(&rig.kept, w);
}

static int
rig_fails(const Stored__UnitCommit *m, Stored__UnitResult *r)
{
	static char code[32];

	if (rig.fail_commit[0] != '\0') {
		snprintf(code, sizeof(code), "%s", rig.fail_commit);
		rig.fail_commit[0] = '\0';
		r->reason = code;
		return 1;
	}
	for (size_t i = 0; i < m->n_writes; i++) {
		const Stored__Write *w = m->writes[i];

		if (w->outbox_put != NULL &&
		    rig_row_by_key(w->outbox_put->uid, w->outbox_put->idempotency_key) != NULL) {
			r->has_duplicate = r->duplicate = 1;
			return 1;
		}
		if (w->event != NULL && rig.fail_with_event[0] != '\0' &&
		    strcmp(w->event->type, rig.fail_with_event) == 0) {
			if (rig.fail_more == 0)
				rig.fail_with_event[0] = '\0';
			else
				rig.fail_more--;
			snprintf(code, sizeof(code), "%s", rig.fail_code);
			r->reason = code;
			return 1;
		}
	}
	return 0;
}

static void
rig_commit(struct message *msg)
{
	const Stored__UnitCommit *m = (const Stored__UnitCommit *)msg->pb;
	Stored__UnitResult r = STORED__UNIT_RESULT__INIT;
	uint64_t seqs[64];

	rig.commits++;
	if (rig_fails(m, &r)) {
		r.committed = 0;
	} else {
		r.committed = 1;
		r.seqs = seqs;
		for (size_t i = 0; i < m->n_writes; i++) {
			rig_apply(m->writes[i]);
			if (m->writes[i]->event != NULL) {
				assert_true(r.n_seqs < 64);
				seqs[r.n_seqs++] = rig_apply_event(m->writes[i]->event);
			}
		}
	}
	channel_reply(msg->channel, msg->id, STORED__TYPE__UNIT_RESULT, &r.base);
}

static int
rig_on_commit(struct message *m, void *owner)
{
	if (rig.hold_commits) {
		assert_true(rig.nheld < RIG_MAX);
		rig.held[rig.nheld++] = message_hold(m);
	} else {
		rig_commit(m);
	}
	return 0;
}

/* Commit what was held back, in order. */
static void __attribute__((unused)) rig_release(void)
{
	rig.hold_commits = 0;
	for (size_t i = 0; i < rig.nheld; i++) {
		rig_commit(rig.held[i]);
		message_release(rig.held[i]);
	}
	rig.nheld = 0;
}

static int
rig_on_open(struct message *m, void *owner)
{
	rig.opens++;
	return 0;
}

static int
rig_on_abort(struct message *m, void *owner)
{
	rig.aborts++;
	return 0;
}

static int
rig_on_device_load(struct message *m, void *owner)
{
	Stored__DeviceRecord r = STORED__DEVICE_RECORD__INIT;

	r.has_server_has_prekeys = 1;
	r.server_has_prekeys = rig.has_prekeys;
	r.has_lid_migrated = r.lid_migrated = 1;
	r.has_linked_ms = 1;
	r.linked_ms = rig.linked_ms;
	if (rig.state[0] != '\0')
		r.state = rig.state;
	if (rig.state_reason[0] != '\0')
		r.state_reason = rig.state_reason;
	r.app_version = rig.app_version;
	r.props = rig.props;
	r.props_hash = rig.props_hash;
	r.has_state_code = r.has_state_subcode = 1;
	r.state_code = rig.state_code;
	r.state_subcode = rig.state_subcode;
	r.has_state_until_ms = 1;
	r.state_until_ms = rig.state_until_ms;
	if (rig.restrictions[0] != '\0')
		r.restrictions = rig.restrictions;
	r.has_paused = 1;
	r.paused = rig.paused;
	r.has_nct_salt = rig.nct_salt_len > 0;
	r.nct_salt = (ProtobufCBinaryData){rig.nct_salt_len, rig.nct_salt};
	return channel_reply(m->channel, m->id, STORED__TYPE__DEVICE_RECORD, &r.base);
}

static int
rig_on_lookup(struct message *msg, void *owner)
{
	const Stored__Lookup *m = (const Stored__Lookup *)msg->pb;
	Stored__LookupReply r = STORED__LOOKUP_REPLY__INIT;
	Stored__Peer peers[64], *ptr[64];
	Stored__Token tokens[8], *tptr[8];
	static Stored__Contact bob = STORED__CONTACT__INIT;
	static char id[] = "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", pn[] = "15550002222",
		    lid[] = "100000000000002";

	stored__contact__init(&bob);
	bob.id = id;
	bob.pn = pn;
	bob.lid = lid;
	bob.has_met_ms = !rig.bob_is_new || rig.bob_met_ms > 0;
	bob.met_ms = rig.bob_met_ms > 0 ? rig.bob_met_ms : 1;
	for (size_t i = 0; i < m->n_jids; i++) {
		stored__peer__init(&peers[i]);
		if (rig.know_lid &&
		    (strcmp(m->jids[i], RIG_BOB_PN) == 0 || strcmp(m->jids[i], RIG_BOB_LID) == 0 ||
			strcmp(m->jids[i], id) == 0))
			peers[i].contact = &bob;
		ptr[i] = &peers[i];
	}
	for (size_t i = 0; i < m->n_tokens; i++) {
		struct rig_token *t = NULL;

		for (size_t k = 0; k < rig.ntokens; k++)
			if (strcmp(rig.tokens[k].user, m->tokens[i]) == 0)
				t = &rig.tokens[k];
		stored__token__init(&tokens[i]);
		tokens[i].user = m->tokens[i];
		if (t != NULL) {
			tokens[i].token = (ProtobufCBinaryData){t->len, t->bytes};
			tokens[i].token_s = t->t;
			tokens[i].has_sender_s = t->has_sender;
			tokens[i].sender_s = t->sender;
		}
		tptr[i] = &tokens[i];
	}
	r.n_tokens = m->n_tokens;
	r.tokens = tptr;
	r.n_peers = m->n_jids;
	r.peers = ptr;
	rig_rows_lookup(&rig.kept, m, &r);
	return channel_reply(msg->channel, msg->id, STORED__TYPE__LOOKUP_REPLY, &r.base);
}

static int
rig_on_scan(struct message *msg, void *owner)
{
	Stored__ScanReply r = STORED__SCAN_REPLY__INIT;

	rig_rows_scan(&rig.kept, &r);
	return channel_reply(msg->channel, msg->id, STORED__TYPE__SCAN_REPLY, &r.base);
}

static void
rig_fill_row(const struct rig_row *from, size_t i, Stored__OutboxRow *row, Stored__OutboxPut *put)
{
	static char *devices[64][16]; /* for as long as an answer takes */

	stored__outbox_row__init(row);
	stored__outbox_put__init(put);
	row->put = put;
	row->row = i + 1;
	put->message_id = (char *)(uintptr_t)from->id;
	put->chat = (char *)(uintptr_t)from->chat;
	put->idempotency_key = (char *)(uintptr_t)from->key;
	put->uid = from->uid;
	put->params_hash.data = (uint8_t *)(uintptr_t)from->hash;
	put->params_hash.len = 32;
	put->content.data = from->content;
	put->content.len = from->content_len;
	put->state = (Stored__OutboxState)from->state;
	put->has_stanza = from->stanza != NULL;
	put->stanza.data = from->stanza;
	put->stanza.len = from->stanza_len;
	put->created_ms = from->created_ms;
	put->n_devices = from->ndevices;
	put->devices = devices[i % 64];
	for (size_t k = 0; k < from->ndevices; k++)
		devices[i % 64][k] = (char *)(uintptr_t)from->devices[k];
	put->has_not_after_ms = from->not_after_ms > 0;
	put->not_after_ms = from->not_after_ms;
	row->has_until_ms = from->until_ms != 0;
	row->until_ms = from->until_ms;
	row->has_ahead = from->state <= STORED__OUTBOX_STATE__READY;
	for (size_t k = 0; k < i && row->has_ahead; k++)
		row->ahead += rig.rows[k].state <= STORED__OUTBOX_STATE__READY;
}

static int
rig_on_outbox_count(struct message *msg, void *owner)
{
	Stored__OutboxCounts r = STORED__OUTBOX_COUNTS__INIT;

	for (size_t k = 0; k < rig.nrows; k++)
		if (rig.rows[k].state <= STORED__OUTBOX_STATE__READY && r.waiting++ == 0) {
			r.has_oldest_ms = 1;
			r.oldest_ms = rig.rows[k].created_ms;
		}
	r.first_out_ms = rig.firsts;
	r.n_first_out_ms = rig.nfirsts;
	return channel_reply(msg->channel, msg->id, STORED__TYPE__OUTBOX_COUNTS, &r.base);
}

static int
rig_on_outbox_load(struct message *msg, void *owner)
{
	const Stored__OutboxLoad *m = (const Stored__OutboxLoad *)msg->pb;
	Stored__OutboxRows r = STORED__OUTBOX_ROWS__INIT;
	Stored__OutboxRow rows[RIG_MAX], *ptr[RIG_MAX];
	Stored__OutboxPut puts[RIG_MAX];

	for (size_t i = m->after_row; i < rig.nrows && r.n_rows < m->limit; i++) {
		if (rig.rows[i].state > STORED__OUTBOX_STATE__READY)
			continue;
		rig_fill_row(&rig.rows[i], i, &rows[r.n_rows], &puts[r.n_rows]);
		ptr[r.n_rows] = &rows[r.n_rows];
		r.n_rows++;
	}
	r.rows = ptr;
	return channel_reply(msg->channel, msg->id, STORED__TYPE__OUTBOX_ROWS, &r.base);
}

static int
rig_on_outbox_find(struct message *msg, void *owner)
{
	const Stored__OutboxFind *m = (const Stored__OutboxFind *)msg->pb;
	const struct rig_row *found = m->message_id != NULL
					  ? rig_row(m->message_id)
					  : rig_row_by_key(m->uid, m->idempotency_key);
	Stored__OutboxRows r = STORED__OUTBOX_ROWS__INIT;
	Stored__OutboxRow row, *ptr[1] = {&row};
	Stored__OutboxPut put;

	if (found != NULL) {
		rig_fill_row(found, (size_t)(found - rig.rows), &row, &put);
		row.has_code = found->code != 0;
		row.code = found->code;
		row.reason = (char *)(uintptr_t)found->reason;
		r.n_rows = 1;
		r.rows = ptr;
	}
	return channel_reply(msg->channel, msg->id, STORED__TYPE__OUTBOX_ROWS, &r.base);
}

static int
rig_on_records_list(struct message *m, void *owner)
{
	Stored__RecordNames r = STORED__RECORD_NAMES__INIT;

	return channel_reply(m->channel, m->id, STORED__TYPE__RECORD_NAMES, &r.base);
}

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

static const struct channel_row rig_stored_rows[] = {
    NOTE(STORED, UNIT_OPEN, stored__unit_open, rig_on_open),
    REQ(STORED, UNIT_COMMIT, stored__unit_commit, rig_on_commit),
    NOTE(STORED, UNIT_ABORT, stored__unit_abort, rig_on_abort),
    REQ(STORED, DEVICE_LOAD, stored__device_load, rig_on_device_load),
    REQ(STORED, LOOKUP, stored__lookup, rig_on_lookup),
    REQ(STORED, RECORDS_LIST, stored__records_list, rig_on_records_list),
    REQ(STORED, SCAN, stored__scan, rig_on_scan),
    REQ(STORED, OUTBOX_COUNT, stored__outbox_count, rig_on_outbox_count),
    REQ(STORED, OUTBOX_LOAD, stored__outbox_load, rig_on_outbox_load),
    REQ(STORED, OUTBOX_FIND, stored__outbox_find, rig_on_outbox_find),
};

/* ------------------------------------------------------------------ keyd */

static uint8_t rig_key[64] = {1, 2, 3};

static void
rig_bytes(ProtobufCBinaryData *b, size_t len)
{
	b->data = rig_key;
	b->len = len;
}

static void
rig_device(Keyd__DeviceState *d, Keyd__SignedPrekey *k)
{
	static char jid[] = RIG_OWN_PN, lid[] = RIG_OWN_LID;

	keyd__device_state__init(d);
	keyd__signed_prekey__init(k);
	d->exists = 1;
	d->linked = rig.linked;
	d->has_generation = 1;
	d->generation = (uint32_t)rig.generation;
	d->has_registration_id = 1;
	d->registration_id = 12345;
	d->has_noise_pub = d->has_identity_pub = 1;
	rig_bytes(&d->noise_pub, 32);
	rig_bytes(&d->identity_pub, 32);
	k->id = 1;
	rig_bytes(&k->pub, 32);
	rig_bytes(&k->signature, 64);
	d->signed_prekey = k;
	if (rig.linked) {
		d->jid = jid;
		d->lid = lid;
		d->has_device_identity = 1;
		rig_bytes(&d->device_identity, 40);
	}
}

static int
rig_on_account_open(struct message *m, void *owner)
{
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig_device(&d, &k);
	d.exists = !rig.no_device;
	return channel_reply(m->channel, m->id, KEYD__TYPE__DEVICE_STATE, &d.base);
}

static int
rig_on_device_create(struct message *m, void *owner)
{
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig.linked = 0;
	rig.generation++;
	rig_device(&d, &k);
	d.has_stages = 1;
	d.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__DEVICE_STATE, &d.base);
}

static int
rig_on_keyd_status(struct message *m, void *owner)
{
	Keyd__StatusReply r = KEYD__STATUS_REPLY__INIT;
	char source[] = "file";

	r.unlocked = 1;
	r.key_source = source;
	r.fast_curve = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__STATUS_REPLY, &r.base);
}

static void
rig_take_secrets(Keyd__Secret *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rig_secret *s = &rig.secrets[rig.nsecrets++ % 32];

		snprintf(s->name, sizeof(s->name), "%s", list[i]->name);
		assert_int_equal(list[i]->secret.len, 32);
		memcpy(s->secret, list[i]->secret.data, 32);
		s->expires_s = list[i]->expires_s;
		s->message_s = list[i]->message_s;
	}
}

static int
rig_on_secrets_keep(struct message *msg, void *owner)
{
	const Keyd__SecretsKeep *m = (const Keyd__SecretsKeep *)msg->pb;
	Keyd__Staged r = KEYD__STAGED__INIT;

	rig_take_secrets(m->secrets, m->n_secrets);
	r.stages = 1;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__STAGED, &r.base);
}

static void
rig_join(char *out, size_t size, char *const *list, size_t n)
{
	size_t k = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		k += (size_t)snprintf(out + k, size - k, "|%s", list[i]);
}

static int
rig_on_addon_open(struct message *msg, void *owner)
{
	const Keyd__AddonOpen *m = (const Keyd__AddonOpen *)msg->pb;
	Keyd__AddonOpened r = KEYD__ADDON_OPENED__INIT;
	struct rig_addon *a = &rig.addon;

	a->asked++;
	a->use = (int)m->use;
	snprintf(a->id, sizeof(a->id), "%s", m->id);
	rig_join(a->names, sizeof(a->names), m->names, m->n_names);
	rig_join(a->authors, sizeof(a->authors), m->authors, m->n_authors);
	rig_join(a->senders, sizeof(a->senders), m->senders, m->n_senders);
	if (a->error != NULL)
		return channel_reply_error(msg->channel, msg->id, a->error, "as the test wants it");
	r.outcome = a->outcome == 0 ? KEYD__ADDON_OPENED__OUTCOME__NO_SECRET
				    : (Keyd__AddonOpened__Outcome)a->outcome;
	r.has_plaintext = r.has_message_s = r.outcome == KEYD__ADDON_OPENED__OUTCOME__DONE;
	r.plaintext = (ProtobufCBinaryData){a->plain_len, a->plain};
	r.message_s = a->message_s;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__ADDON_OPENED, &r.base);
}

/* A ciphertext is its plaintext. */
static int
rig_on_decrypt(struct message *msg, void *owner)
{
	const Keyd__Decrypt *m = (const Keyd__Decrypt *)msg->pb;
	Keyd__DecryptReply r = KEYD__DECRYPT_REPLY__INIT;
	Keyd__DecryptResult res[16], *ptr[16];

	rig.decrypts++;
	for (size_t i = 0; i < m->n_items; i++) {
		keyd__decrypt_result__init(&res[i]);
		res[i].outcome = rig.outcome;
		if (rig.unknown_by_number && strstr(m->items[i]->address->name, "_1") == NULL)
			res[i].outcome = KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION;
		if (res[i].outcome == KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
			res[i].has_plaintext = 1;
			res[i].plaintext = m->items[i]->ciphertext;
		}
		ptr[i] = &res[i];
	}
	r.stages = rig.outcome == KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	r.n_results = m->n_items;
	r.results = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__DECRYPT_REPLY, &r.base);
}

static int
rig_on_sessions(struct message *msg, void *owner)
{
	const Keyd__Sessions *m = (const Keyd__Sessions *)msg->pb;
	Keyd__SessionsReply r = KEYD__SESSIONS_REPLY__INIT;
	protobuf_c_boolean has[64];
	Keyd__SessionFacts facts[64], *list[64];

	assert_true(m->n_addresses <= 64);
	for (size_t i = 0; i < m->n_addresses; i++) {
		has[i] = !rig.no_sessions;
		list[i] = &facts[i];
		keyd__session_facts__init(list[i]);
		if (rig.no_sessions)
			continue;
		facts[i].registration_id = 9; /* as in the bundles of the service */
		facts[i].base_key.len = 33;
		facts[i].base_key.data = rig.base_key;
	}
	r.n_has = m->n_addresses;
	r.has = has;
	r.n_facts = m->facts ? m->n_addresses : 0;
	r.facts = list;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__SESSIONS_REPLY, &r.base);
}

static int
rig_on_encrypt(struct message *msg, void *owner)
{
	const Keyd__Encrypt *m = (const Keyd__Encrypt *)msg->pb;
	Keyd__EncryptReply r = KEYD__ENCRYPT_REPLY__INIT;
	Keyd__EncryptResult res[64], *ptr[64];

	if (rig.hold_encrypt) {
		rig.hold_encrypt = 0;
		rig.held_encrypt = message_hold(msg);
		return 0;
	}
	rig.encrypts++;
	rig.base_key[1] += m->n_items > 0 && m->items[0]->bundle != NULL; /* a new session */
	rig_take_secrets(m->secrets, m->n_secrets);
	assert_true(m->n_items <= 64);
	for (size_t i = 0; i < m->n_items; i++) {
		keyd__encrypt_result__init(&res[i]);
		rig.bundles += m->items[i]->bundle != NULL;
		res[i].outcome = rig.untrusted ? KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED
					       : KEYD__ENCRYPT_RESULT__OUTCOME__DONE;
		ptr[i] = &res[i];
		if (rig.untrusted)
			continue;
		res[i].has_pkmsg = 1;
		res[i].pkmsg = m->items[i]->bundle != NULL;
		res[i].has_ciphertext = 1;
		res[i].ciphertext = m->plaintexts[m->items[i]->plaintext];
	}
	r.stages = 1;
	r.n_results = m->n_items;
	r.results = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__ENCRYPT_REPLY, &r.base);
}

static int
rig_on_prekeys_make(struct message *msg, void *owner)
{
	const Keyd__PrekeysMake *m = (const Keyd__PrekeysMake *)msg->pb;
	Keyd__PrekeysReply r = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey keys[1000], *ptr[1000];

	rig.prekeys_made += m->count;
	rig.retry_keys += m->has_retry && m->retry;
	r.stages = 1;
	r.registration_id = 12345;
	rig_bytes(&r.identity_pub, 32);
	sk.id = 1;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	for (size_t i = 0; i < m->count; i++) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = (uint32_t)i + 1;
		rig_bytes(&keys[i].pub, 32);
		ptr[i] = &keys[i];
	}
	r.n_keys = m->count;
	r.keys = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PREKEYS_REPLY, &r.base);
}

static int
rig_on_prekeys_public(struct message *msg, void *owner)
{
	const Keyd__PrekeysPublic *m = (const Keyd__PrekeysPublic *)msg->pb;
	Keyd__PrekeysReply r = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey keys[1000], *ptr[1000];

	rig_bytes(&r.identity_pub, 32);
	r.registration_id = 12345;
	sk.id = 1;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	assert_true(m->n_ids <= 1000);
	for (size_t i = 0; i < m->n_ids; i++) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = m->ids[i];
		rig_bytes(&keys[i].pub, 32);
		ptr[i] = &keys[i];
	}
	r.n_keys = m->n_ids;
	r.keys = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PREKEYS_REPLY, &r.base);
}

static int
rig_on_lid_move(struct message *m, void *owner)
{
	Keyd__LidMoveReply r = KEYD__LID_MOVE_REPLY__INIT;

	return channel_reply(m->channel, m->id, KEYD__TYPE__LID_MOVE_REPLY, &r.base);
}

static int
rig_on_skey_next(struct message *m, void *owner)
{
	Keyd__SkeyReply r = KEYD__SKEY_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;

	sk.id = 2;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	r.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__SKEY_REPLY, &r.base);
}

static int
rig_on_staged(struct message *m, void *owner)
{
	Keyd__Staged r = KEYD__STAGED__INIT;

	r.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__STAGED, &r.base);
}

/* The server is known already. */
static int
rig_on_noise_keep(struct message *m, void *owner)
{
	Keyd__Staged r = KEYD__STAGED__INIT;

	return channel_reply(m->channel, m->id, KEYD__TYPE__STAGED, &r.base);
}

static int
rig_on_restored(struct message *m, void *owner)
{
	assert_false(rig.no_device);
	rig.moves++;
	return rig_on_staged(m, owner);
}

static int
rig_on_pair_refresh(struct message *m, void *owner)
{
	rig.refreshes++;
	return rig_on_staged(m, owner);
}

static int
rig_on_pair_code(struct message *m, void *owner)
{
	Keyd__PairCodeReply r = KEYD__PAIR_CODE_REPLY__INIT;
	static char code[] = "ABCDEFGH";
	static uint8_t wrapped[80];

	r.code = code;
	r.wrapped_ephemeral.data = wrapped;
	r.wrapped_ephemeral.len = sizeof(wrapped);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_CODE_REPLY, &r.base);
}

static int
rig_on_pair_code_finish(struct message *m, void *owner)
{
	Keyd__PairCodeFinishReply r = KEYD__PAIR_CODE_FINISH_REPLY__INIT;
	static uint8_t bundle[156];

	if (++rig.finishes > 3)
		return channel_reply_error(m->channel, m->id, "code_tries", "three times");
	r.stages = 1;
	r.wrapped_bundle.data = bundle;
	r.wrapped_bundle.len = sizeof(bundle);
	rig_bytes(&r.identity_pub, 32);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_CODE_FINISH_REPLY, &r.base);
}

static int
rig_on_passkey_begin(struct message *msg, void *owner)
{
	const Keyd__PasskeyBegin *m = (const Keyd__PasskeyBegin *)msg->pb;
	Keyd__PasskeyBeginReply r = KEYD__PASSKEY_BEGIN_REPLY__INIT;

	rig_bytes(&r.prologue, 40);
	if ((r.has_proof = m->proof) != 0)
		rig_bytes(&r.proof, 32);
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PASSKEY_BEGIN_REPLY, &r.base);
}

static int
rig_on_passkey_continue(struct message *m, void *owner)
{
	Keyd__PasskeyContinueReply r = KEYD__PASSKEY_CONTINUE_REPLY__INIT;
	static char code[] = "ABCDEFGH";

	r.code = code;
	rig_bytes(&r.nonce, 32);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PASSKEY_CONTINUE_REPLY, &r.base);
}

static int
rig_on_passkey_seal(struct message *m, void *owner)
{
	Keyd__PasskeySealReply r = KEYD__PASSKEY_SEAL_REPLY__INIT;

	r.stages = 1;
	rig_bytes(&r.payload, 64);
	rig_bytes(&r.iv, 12);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PASSKEY_SEAL_REPLY, &r.base);
}

static int
rig_on_pair_qr(struct message *msg, void *owner)
{
	const Keyd__PairQr *m = (const Keyd__PairQr *)msg->pb;
	Keyd__PairQrReply r = KEYD__PAIR_QR_REPLY__INIT;
	char text[600];

	snprintf(text, sizeof(text), "qr:%.*s", (int)m->ref.len, (const char *)m->ref.data);
	r.text = text;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PAIR_QR_REPLY, &r.base);
}

static int
rig_on_pair_success(struct message *m, void *owner)
{
	Keyd__PairSuccessReply r = KEYD__PAIR_SUCCESS_REPLY__INIT;
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig.linked = 1;
	rig_device(&d, &k);
	r.outcome = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED;
	r.stages = 1;
	r.has_key_index = 1;
	r.key_index = 5;
	r.has_answer = 1;
	rig_bytes(&r.answer, 60);
	r.device = &d;
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_SUCCESS_REPLY, &r.base);
}

static const struct channel_row rig_keyd_rows[] = {
    REQ(KEYD, ACCOUNT_OPEN, keyd__account_open, rig_on_account_open),
    REQ(KEYD, DEVICE_CREATE, keyd__device_create, rig_on_device_create),
    REQ(KEYD, STATUS, keyd__status, rig_on_keyd_status),
    REQ(KEYD, DECRYPT, keyd__decrypt, rig_on_decrypt),
    REQ(KEYD, SESSIONS, keyd__sessions, rig_on_sessions),
    REQ(KEYD, ENCRYPT, keyd__encrypt, rig_on_encrypt),
    REQ(KEYD, PREKEYS_MAKE, keyd__prekeys_make, rig_on_prekeys_make),
    REQ(KEYD, PREKEYS_PUBLIC, keyd__prekeys_public, rig_on_prekeys_public),
    REQ(KEYD, LID_MOVE, keyd__lid_move, rig_on_lid_move),
    REQ(KEYD, SKEY_NEXT, keyd__skey_next, rig_on_skey_next),
    REQ(KEYD, SKEY_END, keyd__skey_end, rig_on_staged),
    REQ(KEYD, PREKEYS_UPLOADED, keyd__prekeys_uploaded, rig_on_staged),
    REQ(KEYD, NOISE_KEEP, keyd__noise_keep, rig_on_noise_keep),
    REQ(KEYD, RESTORED, keyd__restored, rig_on_restored),
    REQ(KEYD, SECRETS_KEEP, keyd__secrets_keep, rig_on_secrets_keep),
    REQ(KEYD, ADDON_OPEN, keyd__addon_open, rig_on_addon_open),
    REQ(KEYD, PAIR_REFRESH, keyd__pair_refresh, rig_on_pair_refresh),
    REQ(KEYD, PAIR_CODE, keyd__pair_code, rig_on_pair_code),
    REQ(KEYD, PAIR_CODE_FINISH, keyd__pair_code_finish, rig_on_pair_code_finish),
    REQ(KEYD, PASSKEY_BEGIN, keyd__passkey_begin, rig_on_passkey_begin),
    REQ(KEYD, PASSKEY_CONTINUE, keyd__passkey_continue, rig_on_passkey_continue),
    REQ(KEYD, PASSKEY_SEAL, keyd__passkey_seal, rig_on_passkey_seal),
    REQ(KEYD, PAIR_QR, keyd__pair_qr, rig_on_pair_qr),
    REQ(KEYD, PAIR_SUCCESS, keyd__pair_success, rig_on_pair_success),
};

/* ------------------------------------------------------------------ netd and the service */

static void
rig_in(struct node *n)
{
	struct buf b = BUF_INIT;
	Netd__Stanza m = NETD__STANZA__INIT;
	char name[] = "a";

	assert_int_equal(node_encode(n, &b), 0);
	m.account = name;
	m.conn = rig.conn;
	m.node.data = b.data;
	m.node.len = b.len;
	channel_notify(rig.netd, NETD__TYPE__STANZA_IN, &m.base);
	buf_clear(&b);
	node_free(n);
}

static void __attribute__((unused)) rig_in_bytes(const void *bytes, size_t len)
{
	Netd__Stanza m = NETD__STANZA__INIT;
	char name[] = "a";

	m.account = name;
	m.conn = rig.conn;
	m.node.data = (uint8_t *)(uintptr_t)bytes;
	m.node.len = len;
	channel_notify(rig.netd, NETD__TYPE__STANZA_IN, &m.base);
}

static void
rig_link(Netd__LinkState__State state, const char *reason)
{
	Netd__LinkState m = NETD__LINK_STATE__INIT;
	char name[] = "a";

	m.account = name;
	m.conn = rig.conn;
	m.state = state;
	m.reason = (char *)(uintptr_t)reason;
	channel_notify(rig.netd, NETD__TYPE__LINK_STATE, &m.base);
}

static struct node *
rig_answer(const struct node *iq)
{
	struct node *n = node_new("iq");

	node_set(n, "id", node_get(iq, "id"));
	node_set_server(n, "from", JID_PN);
	return node_set(n, "type", "result");
}

static void
rig_usync(const struct node *iq)
{
	const struct node *asked = node_child(node_child(iq, "usync"), "list");
	struct node *a = rig_answer(iq), *u = node_new("usync"), *list = node_new("list");

	for (size_t i = 0; i < asked->nchildren; i++) {
		struct node *user = node_new("user"), *d = node_new("devices");
		struct node *dl = node_new("device-list"), *lid = node_new("lid");
		const char *who = node_get(asked->children[i], "jid");
		char ids[64], *save = NULL;
		struct jid j;

		assert_int_equal(node_get_jid(asked->children[i], "jid", &j), 0);
		node_set_jid(user, "jid", &j);
		snprintf(ids, sizeof(ids), "%s",
		    strstr(who, "00022") != NULL || strstr(who, "000002") != NULL ? rig.bob_devices
										  : "0");
		for (char *p = strtok_r(ids, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save))
			node_set(node_set(node_child_new(dl, "device"), "id", p), "key-index", "1");
		node_add(d, dl);
		/* ADVSignedKeyIndexList{details{current_index 0}}: all are newer */
		node_add_bytes(d, "key-index-list", "\x0a\x02\x18\x00", 4);
		node_add(user, d);
		if (strcmp(j.server, JID_PN) == 0 && strcmp(j.user, "15550002222") == 0) {
			node_set(lid, "val", RIG_BOB_LID);
			node_add(user, lid);
		} else {
			node_free(lid);
		}
		node_add(list, user);
	}
	node_add(u, list);
	rig_in(node_add(a, u));
}

static void
rig_bundles(const struct node *iq)
{
	const struct node *key = node_child(iq, "key");
	struct node *a = rig_answer(iq), *list = node_new("list");
	uint8_t reg[4] = {0, 0, 0, 9}, id[3] = {0, 0, 7}, pub[32] = {5}, sig[64] = {6};

	for (size_t i = 0; i < key->nchildren; i++) {
		struct node *user = node_new("user"), *s = node_new("skey"), *k = node_new("key");
		struct jid j;

		assert_int_equal(node_get_jid(key->children[i], "jid", &j), 0);
		node_set_jid(user, "jid", &j);
		node_add_bytes(user, "registration", reg, 4);
		node_add_bytes(user, "identity", pub, 32);
		node_add_bytes(s, "id", id, 3);
		node_add_bytes(s, "value", pub, 32);
		node_add_bytes(s, "signature", sig, 64);
		node_add(user, s);
		node_add_bytes(k, "id", id, 3);
		node_add_bytes(k, "value", pub, 32);
		node_add(user, k);
		node_add(list, user);
	}
	rig_in(node_add(a, list));
}

static void
rig_ack_receipt(const struct node *n)
{
	struct node *k = node_new("ack");

	node_set(k, "class", "receipt");
	node_set(k, "id", node_get(n, "id"));
	node_set(k, "from", node_get(n, "to"));
	node_set(k, "type", node_get(n, "type"));
	rig_in(k);
}

static void
rig_privacy(const struct node *iq)
{
	struct node *a = rig_answer(iq), *p = node_new("privacy"),
		    *c = node_child_new(p, "category");

	node_set(c, "name", "readreceipts");
	node_set(c, "value", rig.no_read_receipts ? "none" : "all");
	rig_in(node_add(a, p));
}

static void
rig_on_abt(const struct node *iq)
{
	struct node *a = rig_answer(iq), *p = node_child_new(a, "props"), *c;
	const char *with = node_get(node_child(iq, "props"), "hash");

	rig.props_asked++;
	snprintf(
	    rig.props_asked_with, sizeof(rig.props_asked_with), "%s", with != NULL ? with : "");
	node_set(p, "protocol", "1");
	if (rig.prop_hash != NULL)
		node_set(p, "hash", rig.prop_hash);
	if (rig.prop_delta)
		node_set(p, "delta_update", "true");
	for (size_t i = 0; i < 8 && rig.prop[i][0] != NULL; i++) {
		c = node_child_new(p, "prop");
		node_set(c, "config_code", rig.prop[i][0]);
		node_set(c, "config_value", rig.prop[i][1]);
	}
	c = node_child_new(p, "prop");
	node_set(c, "event_code", "5138");
	node_set(c, "sampling_weight", "-1");
	rig_in(a);
}

static void
rig_on_clean(const struct node *iq)
{
	const struct node *c = node_child(iq, "clean");

	assert_non_null(c);
	rig.cleans++;
	snprintf(rig.clean_type, sizeof(rig.clean_type), "%s", node_get(c, "type"));
	snprintf(rig.clean_t, sizeof(rig.clean_t), "%s", node_get(c, "timestamp"));
	rig_in(rig_answer(iq));
}

/* The service answers what every login asks. */
static void
rig_service(const struct node *n)
{
	const char *xmlns = node_get(n, "xmlns"), *type = node_get(n, "type");

	if (node_is(n, "receipt") && type != NULL && !rig.mute &&
	    (strncmp(type, "read", 4) == 0 || strncmp(type, "played", 6) == 0)) {
		rig_ack_receipt(n);
		return;
	}
	if (!node_is(n, "iq") || xmlns == NULL || rig.mute)
		return;
	if (rig.refuse_xmlns != NULL && strcmp(xmlns, rig.refuse_xmlns) == 0) {
		struct node *a = rig_answer(n);

		node_set(a, "type", "error");
		node_set(node_child_new(a, "error"), "code", "500");
		rig_in(a);
	} else if (strcmp(xmlns, "abt") == 0) {
		rig_on_abt(n);
	} else if (strcmp(xmlns, "urn:xmpp:whatsapp:dirty") == 0) {
		rig_on_clean(n);
	} else if (node_child(n, "count") != NULL) {
		struct node *c = node_new("count");

		node_set(c, "value", "100");
		rig_in(node_add(rig_answer(n), c));
	} else if (strcmp(xmlns, "usync") == 0) {
		rig_usync(n);
	} else if (strcmp(xmlns, "encrypt") == 0 && node_child(n, "key") != NULL) {
		rig_bundles(n);
	} else if (strcmp(xmlns, "privacy") == 0 && node_child(n, "privacy") != NULL) {
		rig_privacy(n);
	} else {
		rig_in(rig_answer(n));
	}
}

static int
rig_on_stanza(struct message *msg, void *owner)
{
	const Netd__Stanza *m = (const Netd__Stanza *)msg->pb;
	struct node *n = node_decode(m->node.data, m->node.len, NULL);

	assert_non_null(n);
	if (m->conn != rig.conn) {
		node_free(n);
		return 0;
	}
	assert_true(rig.nout < RIG_OUT_MAX);
	rig.out[rig.nout++] = n;
	rig_service(n);
	return 0;
}

static int
rig_on_up(struct message *msg, void *owner)
{
	const Netd__LinkUp *m = (const Netd__LinkUp *)msg->pb;

	rig.ups++;
	rig.restarts += m->has_restart && m->restart;
	rig.delay_ms = m->has_min_delay_ms ? m->min_delay_ms : 0;
	return 0;
}

static int
rig_on_down(struct message *msg, void *owner)
{
	rig.downs++;
	return 0;
}

static int
rig_on_good(struct message *msg, void *owner)
{
	return 0;
}

static const struct channel_row rig_netd_rows[] = {
    NOTE(NETD, LINK_UP, netd__link_up, rig_on_up),
    NOTE(NETD, LINK_DOWN, netd__link_down, rig_on_down),
    NOTE(NETD, LINK_GOOD, netd__link_good, rig_on_good),
    NOTE(NETD, STANZA_OUT, netd__stanza, rig_on_stanza),
};

/* ------------------------------------------------------------------ life */

static void
rig_broken(struct channel *ch, void *owner, const char *why)
{
	rig.broken++;
}

static void
rig_closed(struct channel *ch, void *owner)
{
}

static struct channel *
rig_far(int fd, const char *name, const struct channel_row *rows, size_t n)
{
	struct channel_config cfg = {.name = name,
	    .rows = rows,
	    .nrows = n,
	    .owner = &rig,
	    .out_max_bytes = 64u << 20,
	    .on_broken = rig_broken,
	    .on_closed = rig_closed};
	struct channel *ch = channel_new(rig.base, fd, &cfg);

	assert_non_null(ch);
	return ch;
}

#define NROWS(t) (sizeof(t) / sizeof((t)[0]))

static void
rig_begin_service(void)
{
	int k[2], n[2], s[2], type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	rig.base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, type, 0, k), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, n), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, s), 0);
	memset(&rig.svc, 0, sizeof(rig.svc));
	rig.svc.base = rig.base;
	rig.svc.config = rig.config;
	rig.svc.flows = flow_set_new(rig.base);
	rig.child.owner = &rig.svc;
	engine_init(&rig.svc);
	channels_open(&rig.svc, &rig.child, k[0], n[0], s[0], rig_broken, rig_closed);
	rig.keyd = rig_far(k[1], "keyd: apid", rig_keyd_rows, NROWS(rig_keyd_rows));
	rig.netd = rig_far(n[1], "netd: apid", rig_netd_rows, NROWS(rig_netd_rows));
	rig.stored = rig_far(s[1], "stored: apid", rig_stored_rows, NROWS(rig_stored_rows));
	rig.a = rig.svc.accounts[0];
}

static void
rig_end_service(void)
{
	for (size_t i = 0; i < rig.nheld; i++)
		message_release(rig.held[i]);
	rig.nheld = 0;
	if (!rig.abrupt)
		engine_stop(&rig.svc);
	engine_free(&rig.svc);
	channel_free(rig.keyd);
	channel_free(rig.netd);
	channel_free(rig.stored);
	flow_set_free(rig.svc.flows);
	event_base_free(rig.base);
}

static void __attribute__((unused)) rig_out_clear(void)
{
	for (size_t i = 0; i < rig.nout; i++)
		node_free(rig.out[i]);
	rig.nout = 0;
}

static int __attribute__((unused)) rig_setup(void **state)
{
	char text[300], err[200];

	memset(&rig, 0, sizeof(rig));
	/* pacing is off but for what a test asks for */
	snprintf(text, sizeof(text),
	    "[log]\nlevel = err\n[send]\naccount_rate = 0\nchat_rate = 0\nnew_chats = "
	    "0\n%s[account a]\n",
	    "");
	log_set_level(getenv("RIG_DEBUG") ? LOG_LV_DEBUG : LOG_LV_ERR);
	rig.linked = 1;
	rig.generation = 1;
	rig.has_prekeys = 1;
	rig.know_lid = 1;
	rig.linked_ms = 1;
	snprintf(rig.fail_code, sizeof(rig.fail_code), "io");
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	rig.unknown_by_number = 0;
	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0");
	rig.config = config_parse("test", text, strlen(text), err, sizeof(err));
	if (rig.config == NULL)
		fail_msg("%s", err);
	rig_begin_service();
	return 0;
}

static int __attribute__((unused)) rig_teardown(void **state)
{
	rig_end_service();
	rig_out_clear();
	for (size_t i = 0; i < rig.nevents; i++)
		json_decref(rig.events[i].body);
	for (size_t i = 0; i < rig.nrows; i++) {
		free(rig.rows[i].content);
		free(rig.rows[i].stanza);
	}
	rig_rows_free(&rig.kept);
	json_decref(rig.result);
	config_free(rig.config);
	return 0;
}

/* ------------------------------------------------------------------ scenes */

static void
rig_store_state(int disk_low)
{
	Stored__StoreState st = STORED__STORE_STATE__INIT;
	Stored__AccountOpened acc = STORED__ACCOUNT_OPENED__INIT, service = acc, *accs[1] = {&acc};
	char a[] = "a", none[] = "", log_id[] = "00112233445566778899aabbccddeeff";

	acc.account = a;
	acc.ok = 1;
	acc.has_restored = acc.restored = rig.from_backup;
	service.account = none;
	service.ok = 1;
	st.log_id = log_id;
	st.n_accounts = 1;
	st.accounts = accs;
	st.service = &service;
	st.disk_low = disk_low;
	channel_notify(rig.stored, STORED__TYPE__STORE_STATE, &st.base);
}

static void
rig_store_ready(void)
{
	rig_store_state(0);
}

static void __attribute__((unused)) rig_start(void)
{
	engine_start(&rig.svc);
	rig_store_ready();
	rig_until(rig.a->opened);
}

static void __attribute__((unused)) rig_connect(void)
{
	struct node *n;

	rig.conn++;
	rig_link(NETD__LINK_STATE__STATE__OPEN, NULL);
	n = node_new("success");
	node_set(n, "t", "1700000000");
	node_set(n, "lid", RIG_OWN_LID);
	rig_in(n);
	rig_until(rig.a->state == ACCOUNT_SYNCING);
}

static void __attribute__((unused)) rig_offline_end(void)
{
	struct node *n = node_new("ib");

	node_set_server(n, "from", JID_PN);
	node_set(node_child_new(n, "offline"), "count", "0");
	rig_in(n);
	rig_until(rig.a->state == ACCOUNT_ONLINE);
}

static void __attribute__((unused)) rig_online(void)
{
	rig_start();
	rig_connect();
	rig_offline_end();
	rig_settle();
}

/* The connection is lost. */
static void __attribute__((unused)) rig_lose(void)
{
	rig_link(NETD__LINK_STATE__STATE__CLOSED, "peer_closed");
	rig_until(rig.a->conn == 0);
}

/* The process is killed and started again: what stored has is what remains. */
static void __attribute__((unused)) rig_crash(void)
{
	rig_end_service();
	rig_begin_service();
	rig.conn++;
}

static __attribute__((unused)) struct node *
rig_message(const char *id, const char *text)
{
	struct node *n = node_new("message"), *enc = node_new("enc");
	size_t len, padded_len;
	uint8_t *m = content_text(text, NULL, &len);
	uint8_t *padded = content_pad_with(m, len, 3, &padded_len);
	struct jid from;

	assert_int_equal(jid_parse("100000000000002:5@lid", &from), 0);
	node_set_jid(n, "from", &from);
	node_set(n, "type", "text");
	node_set(n, "id", id);
	node_set(n, "t", "1700000000");
	node_set(n, "notify", "Bob");
	node_set(n, "sender_pn", "15550002222:5@s.whatsapp.net");
	node_set(enc, "v", "2");
	node_set(enc, "type", "msg");
	node_set_bytes(enc, padded, padded_len);
	free(m);
	free(padded);
	return node_add(n, enc);
}

/* How many stanzas with this tag, and (if not NULL) this id and type, went out. */
static size_t __attribute__((unused)) rig_sent(const char *tag, const char *id, const char *type)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nout; i++) {
		const char *t = node_get(rig.out[i], "type"), *d = node_get(rig.out[i], "id");

		n += node_is(rig.out[i], tag) &&
		     (id == NULL || (d != NULL && strcmp(d, id) == 0)) &&
		     (type == NULL || (t != NULL && strcmp(t, type) == 0));
	}
	return n;
}

static __attribute__((unused)) const struct node *
rig_last(const char *tag)
{
	for (size_t i = rig.nout; i > 0; i--)
		if (node_is(rig.out[i - 1], tag))
			return rig.out[i - 1];
	return NULL;
}

static size_t __attribute__((unused)) rig_events(const char *type)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nevents; i++)
		n += strcmp(rig.events[i].type, type) == 0;
	return n;
}

static __attribute__((unused)) const struct rig_event *
rig_event(const char *type)
{
	for (size_t i = rig.nevents; i > 0; i--)
		if (strcmp(rig.events[i - 1].type, type) == 0)
			return &rig.events[i - 1];
	return NULL;
}

static void __attribute__((unused))
rig_done(void *arg, const json_t *result, const struct api_error *err)
{
	rig.answers++;
	json_decref(rig.result);
	rig.result = result != NULL ? json_deep_copy(result) : NULL;
	memset(&rig.err, 0, sizeof(rig.err));
	rig.err_reason[0] = '\0';
	if (err != NULL) {
		rig.err = *err;
		snprintf(rig.err_reason, sizeof(rig.err_reason), "%s", err->reason);
	}
}

static void __attribute__((unused)) rig_send(
    const char *to, const char *key, const char *text, enum send_wait wait, unsigned timeout_ms)
{
	struct send_request rq = {.to = to,
	    .idempotency_key = key,
	    .text = text,
	    .uid = 1000,
	    .wait = wait,
	    .timeout_ms = timeout_ms};

	memset(rq.params_hash, text[0], sizeof(rq.params_hash));
	message_send(rig.a, &rig, &rq, rig_done, NULL);
}

static void __attribute__((unused)) rig_ack(const char *id, const char *error)
{
	struct node *n = node_new("ack");

	node_set(n, "class", "message");
	node_set(n, "id", id);
	node_set(n, "from", RIG_BOB_LID);
	node_set(n, "t", "1700000001");
	node_set(n, "error", error);
	rig_in(n);
}

#endif
