/* stored, as the tests of the engine play it: units, events, the outbox, contacts, tokens. */
#ifndef WARD_TEST_RIG_STORED_H
#define WARD_TEST_RIG_STORED_H

#include "common/clock.h"
#include "tests/unit/apid_rig.h"

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
	if (w->device != NULL && w->device->outbox_holds != NULL)
		snprintf(rig.holds, sizeof(rig.holds), "%s", w->device->outbox_holds);
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
	if (w->receipt != NULL) {
		size_t at = 0;

		rig.receipts++;
		for (size_t i = 0; i < w->receipt->n_chats; i++)
			at += (size_t)snprintf(rig.receipt_chats + at,
			    sizeof(rig.receipt_chats) - at, " %s", w->receipt->chats[i]);
	}
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
	if (rig.holds[0] != '\0')
		r.outbox_holds = rig.holds;
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

	if (rig.nlookups < rig.hold_lookups && m->n_jids > 0 &&
	    strcmp(m->jids[0], RIG_BOB_LID) == 0) {
		rig.held_lookup[rig.nlookups++] = message_hold(msg);
		return 0;
	}
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
	row->has_delivered = 1;
	row->delivered = from->delivered;
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

#endif
