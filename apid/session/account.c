/* One account: its facts, its opening, and what its clients may ask of it. */
#include "apid/session/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/calls.h"
#include "apid/message/contacts.h"
#include "apid/message/mark.h"
#include "apid/message/held.h"
#include "apid/message/outbox.h"
#include "apid/message/phone_ask.h"
#include "apid/message/receipts.h"
#include "apid/message/receipts_in.h"
#include "apid/message/recv.h"
#include "apid/message/send.h"
#include "apid/message/tctoken.h"
#include "apid/message/typing.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/client.h"
#include "apid/session/connect.h"
#include "apid/session/device_refresh.h"
#include "apid/session/digest.h"
#include "apid/session/dirty.h"
#include "apid/session/engine.h"
#include "apid/session/faults.h"
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

#define OPEN_RETRY_MS  2000
#define STORE_DELAY_MS 10000u
#define DISK_DELAY_MS  60000u

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

/* ------------------------------------------------------------------ opening */

static void
open_again(struct account *a)
{
	a->opening = 0;
	account_open(a);
}

static void
open_later(evutil_socket_t fd, short what, void *arg)
{
	open_again(arg);
}

static void
open_failed(struct account *a, const char *what, const char *code)
{
	struct timeval tv = {OPEN_RETRY_MS / 1000, 0};

	log_warnx("account %s: %s: %s; trying again", a->name, what, code);
	(void)snprintf(a->reason, sizeof(a->reason), "%s", code);
	if (event_base_once(a->svc->base, -1, EV_TIMEOUT, open_later, a, &tv) == -1)
		fatalx("account: no event");
}

/* Both records are here: go where the account stands. */
static void
opened(struct account *a, const Stored__DeviceRecord *r)
{
	int saved = r->state != NULL && r->state[0] != '\0' ? state_parse(r->state) : -1;
	const char *reason = r->state_reason != NULL ? r->state_reason : "";
	int64_t since = r->has_state_since_ms ? r->state_since_ms : clock_wall_ms();
	int64_t until = r->has_state_until_ms ? r->state_until_ms : 0;
	char version[CLIENT_VERSION_MAX];

	a->opened = 1;
	a->opening = 0;
	restrict_load(a, r->restrictions);
	outbox_restriction_known(a);
	outbox_opened(a);
	if (!a->dev.linked) {
		if (saved == ACCOUNT_LOGGED_OUT || saved == ACCOUNT_BANNED)
			state_restore(a, (enum account_state)saved, reason, since, 0);
		else
			state_restore(a, ACCOUNT_UNLINKED, "not_linked", since, 0);
		a->code = a->state == ACCOUNT_UNLINKED ? 0 : r->state_code;
	} else if (a->rec.paused) {
		state_restore(a, ACCOUNT_STOPPED,
		    strcmp(reason, RESTORED_REASON) == 0 ? RESTORED_REASON : "paused", since, 0);
	} else if (saved == ACCOUNT_RESTRICTED && until > 0 && until <= clock_wall_ms()) {
		faults_connect(a, "restriction_over");
	} else if (saved == ACCOUNT_OUTDATED &&
		   strcmp(a->rec.app_version, client_version(a->svc, version)) != 0) {
		faults_connect(a, "new_version");
	} else if (saved >= 0 && saved != ACCOUNT_UNLINKED &&
		   state_is_sticky((enum account_state)saved) && strcmp(reason, "starting") != 0 &&
		   strcmp(reason, "paused") != 0 && strcmp(reason, RESTORED_REASON) != 0) {
		state_restore(a, (enum account_state)saved, reason, since, until);
		a->code = r->state_code;
		a->subcode = r->state_subcode;
		log_warnx("account %s: %s (%s) since the last run; it waits for an operator",
		    a->name, state_name(a->state), a->reason);
	} else {
		faults_connect(a, "starting");
	}
	state_flush(a);
	engine_account_opened(a->svc);
}

static void
restored_ended(struct account *a, const char *why)
{
	if (why != NULL)
		open_failed(a, "after a restore", why);
	else
		open_again(a);
}

static void
open_record(const struct reply *rp, void *arg)
{
	struct account *a = arg;
	const Stored__DeviceRecord *r = (const Stored__DeviceRecord *)rp->pb;

	if (!rp->ok) {
		open_failed(a, "device record of stored", rp->code);
		return;
	}
	account_take_record(a, r);
	if (a->restored)
		restored_begin(a, restored_ended);
	else
		opened(a, r);
}

static void
open_device_record(struct account *a, const char *why)
{
	Stored__DeviceLoad m = STORED__DEVICE_LOAD__INIT;

	if (why != NULL) {
		open_failed(a, "messages that are held", why);
		return;
	}
	m.account = a->name;
	(void)channel_request(a->svc->stored, STORED__TYPE__DEVICE_LOAD, &m.base,
	    STORED__TYPE__DEVICE_RECORD, &stored__device_record__descriptor, 128 * 1024,
	    ASK_DEADLINE_MS, open_record, a);
}

/* What waits for a decision must be known before the first message comes. Without a device nobody
 * can decide any more. */
static void
open_held(struct account *a, const char *why)
{
	if (why == NULL && !a->dev.linked)
		held_end_all(a, "device_gone", open_device_record);
	else
		open_device_record(a, why);
}

/* What ended the service before is known. */
static void
poison_known(struct account *a, const char *why)
{
	if (why != NULL)
		open_failed(a, "stanzas that ended the service", why);
	else
		held_load(a, open_held);
}

static void
open_device(const struct reply *rp, void *arg)
{
	struct account *a = arg;

	if (!rp->ok) {
		open_failed(a, "device of keyd", rp->code);
		return;
	}
	account_take_device(a, (const Keyd__DeviceState *)rp->pb);
	poison_begin(a, poison_known);
}

void
account_open(struct account *a)
{
	Keyd__AccountOpen m = KEYD__ACCOUNT_OPEN__INIT;

	if (a->opened || a->opening || a->disabled || !a->store_ok || a->svc->stopping)
		return;
	a->opening = 1;
	m.account = a->name;
	(void)channel_request(a->svc->keyd, KEYD__TYPE__ACCOUNT_OPEN, &m.base,
	    KEYD__TYPE__DEVICE_STATE, &keyd__device_state__descriptor, 64 * 1024, ASK_DEADLINE_MS,
	    open_device, a);
}

/* ------------------------------------------------------------------ faults of the store */

void
account_store_failed(struct account *a, const char *reason)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	unsigned delay = strcmp(reason, "disk_full") == 0 ? DISK_DELAY_MS : STORE_DELAY_MS;

	if (a->svc->stopping)
		return; /* the channels are closed: it comes again after the next start */
	a->n.store_failures++;
	if (log_allowed(&limit))
		log_warnx("account %s: an incoming stanza could not be kept (%s): nothing is "
			  "acknowledged, connecting anew in %u s%s",
		    a->name, reason, delay / 1000,
		    strcmp(reason, "disk_full") == 0 ? ", or when there is room" : "");
	if (a->conn == 0 || !a->link_wanted)
		return; /* it is on its way already */
	connect_restart(a, delay);
	a->wants_room = strcmp(reason, "disk_full") == 0;
	if (a->dev.linked)
		state_set(a, ACCOUNT_BACKOFF,
		    strcmp(reason, "disk_full") == 0 ? "disk_full" : "store", 0, "operator",
		    clock_wall_ms() + delay, 0);
}

void
account_disk_again(struct account *a)
{
	if (!a->wants_room)
		return;
	a->wants_room = 0;
	if (a->link_wanted && a->state == ACCOUNT_BACKOFF)
		connect_restart(a, 100 + randombytes_uniform(1000)); /* not all at once */
}

struct api_error
api_error_closed(const struct account *a)
{
	if (!a->svc->keyd_ready)
		return api_error_make(
		    -14, "keys_locked", 1, "the keys are not open; see the log of the service");
	return api_error_make(-14, "store_locked", 1, "the account is not open");
}

struct api_error
api_error_store(const char *reason)
{
	if (strcmp(reason, "disk_full") == 0)
		return api_error_make(-14, "disk_low", 1, "the disk is full");
	if (strcmp(reason, "locked") == 0 || strcmp(reason, "account_failed") == 0 ||
	    strcmp(reason, "closed") == 0)
		return api_error_make(-14, "store_locked", 1, "the store is not ready");
	if (strcmp(reason, "corrupt") == 0)
		return api_error_make(
		    -2, "store_corrupt", 0, "the store of the account is damaged");
	if (strcmp(reason, "busy") == 0)
		return api_error_make(-5, "overloaded", 1, "too much is under way");
	if (strcmp(reason, "timeout") == 0)
		return api_error_make(
		    -11, "outcome_unknown", 1, "the store did not answer in time");
	return api_error_make(-2, "internal", 1, "the store did not take it");
}

/* ------------------------------------------------------------------ what clients ask */

static void
set_jid(json_t *o, const char *key, const struct jid *j, int has)
{
	char text[JID_TEXT_MAX];

	json_object_set_new(o, key, has ? json_string(jid_format(j, text)) : json_null());
}

json_t *
account_describe(const struct account *a)
{
	json_t *o = state_body(a);
	char phone[JID_USER_MAX + 2];

	json_object_set_new(o, "account", json_string(a->name));
	set_jid(o, "jid", &a->dev.jid, a->dev.linked && a->dev.has_jid);
	set_jid(o, "lid", &a->dev.lid, a->dev.linked && a->dev.has_lid);
	if (a->dev.linked && a->dev.has_jid) {
		(void)snprintf(phone, sizeof(phone), "+%s", a->dev.jid.user);
		json_object_set_new(o, "phone", json_string(phone));
		json_object_set_new(o, "device_id", json_integer(a->dev.jid.device));
	} else {
		json_object_set_new(o, "phone", json_null());
		json_object_set_new(o, "device_id", json_null());
	}
	json_object_set_new(o, "push_name",
	    a->dev.linked && a->rec.push_name[0] != '\0' ? json_string(a->rec.push_name)
							 : json_null());
	json_object_set_new(o, "platform",
	    a->dev.linked && a->rec.platform[0] != '\0' ? json_string(a->rec.platform)
							: json_null());
	return o;
}

struct pausing {
	struct account *a;
	struct call *call;
	int paused;
};

static void
pause_written(const struct unit_result *r, void *arg)
{
	struct pausing *p = arg;
	struct account *a = p->a;

	if (!r->ok) {
		struct api_error e = api_error_store(r->reason);

		call_fail(p->call, &e);
	} else {
		a->rec.paused = p->paused;
		if (p->paused) {
			connect_stop(a);
			if (a->dev.linked)
				state_set(a, ACCOUNT_STOPPED, "paused", 0, "operator", 0, 0);
		} else if (a->dev.linked && !a->link_wanted) {
			connect_start(a, "resumed");
		}
		call_ok(p->call, account_describe(a));
	}
	free(p);
}

static void
set_paused(struct account *a, const void *client, int paused, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct pausing *p;
	struct unit *u;

	if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
		return;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL || (u = unit_open(a)) == NULL) {
		free(p);
		call_failf(c, -2, "internal", 1, "out of memory");
		return;
	}
	p->a = a;
	p->call = c;
	p->paused = paused;
	rec.has_paused = 1;
	rec.paused = paused;
	unit_device(u, &rec);
	unit_commit(u, pause_written, p);
}

void
account_pause(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	set_paused(a, client, 1, fn, arg);
}

void
account_resume(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	set_paused(a, client, 0, fn, arg);
}

void
account_reconnect(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);

	if (!a->opened || !a->dev.linked) {
		call_failf(c, -7, "unlinked", 0, "the account is not linked");
		return;
	}
	if (a->rec.paused) {
		call_failf(c, -1, "not_allowed", 0, "the account is paused; resume it");
		return;
	}
	connect_again(a, "reconnect");
	call_ok(c, account_describe(a));
}
