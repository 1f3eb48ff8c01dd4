/* One account: its parts, and its facts as keyd and stored have them. */
#include "apid/session/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/calls.h"
#include "apid/message/contacts.h"
#include "apid/message/mark.h"
#include "apid/message/give_up.h"
#include "apid/message/held.h"
#include "apid/message/outbox.h"
#include "apid/message/phone_ask.h"
#include "apid/message/receipts.h"
#include "apid/message/receipts_in.h"
#include "apid/message/recv.h"
#include "apid/message/send.h"
#include "apid/message/tctoken.h"
#include "apid/message/typing.h"
#include "apid/session/device_refresh.h"
#include "apid/session/digest.h"
#include "apid/session/dirty.h"
#include "apid/session/iq.h"
#include "apid/session/keys.h"
#include "apid/session/login.h"
#include "apid/session/pair.h"
#include "apid/session/poison.h"
#include "apid/session/prekeys.h"
#include "apid/session/presence.h"
#include "apid/session/props.h"
#include "apid/session/restored.h"
#include "apid/session/restrict.h"
#include "apid/session/resume.h"
#include "apid/session/rotate.h"
#include "apid/session/state.h"
#include "apid/session/unlink.h"
#include "common/clock.h"
#include "common/log.h"

struct account *
account_new(struct service *s, const char *name, size_t index)
{
	struct account *a = calloc(1, sizeof(*a));

	if (a == NULL)
		fatal("account_new");
	a->svc = s;
	a->index = index;
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	(void)snprintf(a->store_reason, sizeof(a->store_reason), "starting");
	a->log = state_log_new(a);
	state_restore(a, ACCOUNT_STOPPED, "starting", clock_wall_ms(), 0);
	a->iq = iq_table_new(a);
	a->contacts = contacts_new(a);
	a->held = held_new(a);
	a->login = login_new(a);
	a->pair = pair_new(a);
	a->keys = keys_new(a);
	a->prekeys = prekeys_new(a);
	a->props = props_new(a);
	a->dirty = dirty_new(a);
	a->resume = resume_new(a);
	a->digest = digest_new(a);
	a->device_refresh = device_refresh_new(a);
	a->rotate = rotate_new(a);
	a->recv = recv_lane_new(a);
	a->presence = presence_new(a);
	a->phone_asks = phone_asks_new(a);
	a->unread_expiry = unread_expiry_new(a);
	a->poison = poison_new(a);
	a->receipts = receipts_new(a);
	a->receipts_in = receipts_in_new(a);
	a->marks = marks_new(a);
	a->typing = typing_new(a);
	a->calls = calls_new(a);
	a->restrictions = restrict_new(a);
	a->outbox = outbox_new(a);
	a->sender = sender_new(a);
	a->tokens = tctokens_new(a);
	a->waits = waits_new(a);
	return a;
}

void
account_free(struct account *a)
{
	if (a == NULL)
		return;
	flow_cancel_group(
	    a->svc->flows, a, "stopping"); /* those that are in no list of its parts */
	unlink_free(a);
	restored_free(a);
	restrict_free(a->restrictions); /* those who wait for it are told */
	sender_free(a->sender);
	tctokens_free(a->tokens);
	waits_free(a->waits);
	outbox_free(a->outbox);
	calls_free(a->calls);
	typing_free(a->typing);
	marks_free(a->marks);
	receipts_in_free(a->receipts_in);
	receipts_free(a->receipts);
	presence_free(a->presence);
	recv_lane_free(a->recv);
	resume_free(a->resume);
	dirty_free(a->dirty);
	props_free(a->props);
	rotate_free(a->rotate);
	digest_free(a->digest);
	phone_asks_free(a->phone_asks);
	unread_expiry_free(a->unread_expiry);
	device_refresh_free(a->device_refresh);
	poison_free(a->poison);
	prekeys_free(a->prekeys);
	keys_free(a->keys);
	pair_free(a->pair);
	login_free(a->login);
	held_free(a->held);
	contacts_free(a->contacts);
	iq_table_free(a->iq);
	state_log_free(a->log);
	if (a->until_timer != NULL)
		event_free(a->until_timer);
	if (a->kick_timer != NULL)
		event_free(a->kick_timer);
	free(a->dev.signed_identity);
	sodium_memzero(&a->rec, sizeof(a->rec));
	free(a);
}

struct account *
account_find(struct service *s, const char *name)
{
	for (size_t i = 0; i < s->naccounts; i++)
		if (strcmp(s->accounts[i]->name, name) == 0)
			return s->accounts[i];
	return NULL;
}

const char *
account_name(const struct account *a)
{
	return a->name;
}

int
account_is_own(const struct account *a, const struct jid *j)
{
	if (a->dev.has_jid && strcmp(j->user, a->dev.jid.user) == 0 &&
	    (jid_on(j, JID_PN) || jid_on(j, JID_HOSTED)))
		return 1;
	return a->dev.has_lid && strcmp(j->user, a->dev.lid.user) == 0 &&
	       (jid_on(j, JID_LID) || jid_on(j, JID_HOSTED_LID));
}

int
account_is_this_device(const struct account *a, const struct jid *j)
{
	return account_is_own(a, j) && j->device == a->dev.jid.device;
}

int64_t
account_server_time(const struct account *a)
{
	return (clock_wall_ms() + a->skew_ms) / 1000;
}

static int
take_key(uint8_t *to, size_t len, const ProtobufCBinaryData *from)
{
	if (from->len != len)
		return -1;
	memcpy(to, from->data, len);
	return 0;
}

void
account_take_device(struct account *a, const Keyd__DeviceState *d)
{
	struct account_device *v = &a->dev;
	int bad = 0;

	free(v->signed_identity);
	memset(v, 0, sizeof(*v));
	v->exists = d->exists;
	v->linked = d->linked;
	v->generation = d->generation;
	v->registration_id = d->registration_id;
	if (d->exists) {
		bad |= take_key(v->noise_pub, 32, &d->noise_pub);
		bad |= take_key(v->identity_pub, 32, &d->identity_pub);
		if (d->signed_prekey == NULL) {
			bad = 1;
		} else {
			v->skey_id = d->signed_prekey->id;
			bad |= take_key(v->skey_pub, 32, &d->signed_prekey->pub);
			bad |= take_key(v->skey_sig, 64, &d->signed_prekey->signature);
		}
	}
	v->has_jid = d->jid != NULL && jid_parse(d->jid, &v->jid) == 0;
	v->has_lid = d->lid != NULL && jid_parse(d->lid, &v->lid) == 0;
	if (d->has_device_identity && d->device_identity.len > 0 &&
	    (v->signed_identity = malloc(d->device_identity.len)) != NULL) {
		memcpy(v->signed_identity, d->device_identity.data, d->device_identity.len);
		v->signed_identity_len = d->device_identity.len;
	}
	if (bad || (v->linked && (!v->has_jid || v->signed_identity == NULL))) {
		log_errx(
		    "account %s: the device record of keyd lacks what a device needs", a->name);
		v->exists = v->linked = 0;
	}
}

static void
take_text(char *to, size_t size, const char *from)
{
	if (from != NULL)
		(void)snprintf(to, size, "%s", from);
}

void
account_take_record(struct account *a, const Stored__DeviceRecord *r)
{
	struct account_record *v = &a->rec;
	struct jid j;

	take_text(v->push_name, sizeof(v->push_name), r->push_name);
	take_text(v->business_name, sizeof(v->business_name), r->business_name);
	take_text(v->platform, sizeof(v->platform), r->platform);
	if (r->jid != NULL && r->jid[0] != '\0' && jid_parse(r->jid, &j) == 0)
		(void)snprintf(v->account_user, sizeof(v->account_user), "%s", j.user);
	if (r->lid != NULL && r->lid[0] != '\0' && jid_parse(r->lid, &j) == 0) {
		(void)snprintf(v->account_lid, sizeof(v->account_lid), "%s", j.user);
		if (a->dev.linked) {
			a->dev.lid = j; /* <success> may tell a newer one than pairing did */
			a->dev.has_lid = 1;
		}
	}
	if (r->has_server_has_prekeys)
		v->server_has_prekeys = r->server_has_prekeys;
	if (r->has_lid_migrated)
		v->lid_migrated = r->lid_migrated;
	if (r->has_initial_sync_pending)
		v->initial_sync_pending = r->initial_sync_pending;
	if (r->has_read_receipts_disabled) {
		v->privacy_known = 1;
		v->read_receipts_disabled = r->read_receipts_disabled;
	}
	if (r->has_paused)
		v->paused = r->paused;
	if (r->has_login_counter)
		v->login_counter = r->login_counter;
	take_text(v->app_version, sizeof(v->app_version), r->app_version);
	take_text(v->client_expires_version, sizeof(v->client_expires_version),
	    r->client_expires_version);
	props_restore(a, r->props, r->props_hash);
	if (r->has_client_expires_ms)
		v->client_expires_ms = r->client_expires_ms;
	if (r->has_linked_ms)
		v->linked_ms = r->linked_ms;
	if (r->has_skey_due_ms)
		v->skey_due_ms = r->skey_due_ms;
	if (r->has_routing_info && r->routing_info.len <= sizeof(v->routing_info)) {
		if (r->routing_info.len > 0)
			memcpy(v->routing_info, r->routing_info.data, r->routing_info.len);
		v->routing_info_len = r->routing_info.len;
	}
	if (r->has_nct_salt && r->nct_salt.len <= sizeof(v->nct_salt)) {
		if (r->nct_salt.len > 0)
			memcpy(v->nct_salt, r->nct_salt.data, r->nct_salt.len);
		v->nct_salt_len = r->nct_salt.len;
	}
}
