/* Linking: the attempt of a client, QR codes, and pair-success.
 *
 *	account_link -> pair_device_ready -> (connection) pair_device -> qr_show … -> pair_success
 *	-> pair_verified -> pair_stored -> (515, login)
 */
#include "apid/session/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/contacts.h"
#include "apid/message/outbox.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/pair_code.h"
#include "apid/session/payload.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"

#define REFS_MAX      16
#define REF_MAX       512u
#define QR_FIRST_MS   60000
#define QR_NEXT_MS    20000
#define CONTAINER_MAX 4096u
#define CLOSES_MAX    5
#define PROPS_BUDGET  16384u

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

static void qr_show(struct pair *p);

/* ------------------------------------------------------------------ telling */

static void
tell(struct pair *p, const char *step, const char *text, int64_t expires_ms, const char *error)
{
	struct service *s = p->a->svc;
	json_t *o = json_pack("{s:s, s:s}", "step", step, "link_id", p->link_id);

	if (text != NULL)
		json_object_set_new(o, "text", json_string(text));
	if (expires_ms > 0)
		json_object_set_new(o, "expires_ms", json_integer(expires_ms));
	if (error != NULL)
		json_object_set_new(o, "error", json_string(error));
	if (s->hooks.event_transient != NULL)
		s->hooks.event_transient(s->hooks_arg, p->a->name, "account.link", o);
	json_decref(o);
}

static void
timer_run(evutil_socket_t fd, short what, void *arg)
{
	struct pair *p = arg;

	if (!p->running || p->nrefs == 0)
		return;
	if (p->code != NULL && pair_code_finishing(p->code))
		return; /* pair-success is awaited: the code ends it */
	if (++p->at >= p->nrefs) {
		pair_failed(p->a, "qr_expired");
		return;
	}
	qr_show(p);
}

struct pair *
pair_new(struct account *a)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("pair_new");
	p->a = a;
	if ((p->timer = evtimer_new(a->svc->base, timer_run, p)) == NULL)
		fatalx("pair_new: no event");
	return p;
}

static void
drop_work(struct pair *p)
{
	ask_cancel(p->ask);
	p->ask = NULL;
	if (p->open)
		unit_abort(p->unit);
	else
		unit_detach(p->unit);
	p->unit = NULL;
	p->open = 0;
	node_free(p->pending);
	p->pending = NULL;
	free(p->link.answer);
	free(p->link.dev.signed_identity);
	memset(&p->link, 0, sizeof(p->link));
}

static void
drop_refs(struct pair *p)
{
	evtimer_del(p->timer);
	sodium_memzero(p->refs, sizeof(p->refs));
	p->nrefs = p->at = 0;
	pair_code_free(p->code);
	p->code = NULL;
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	drop_work(p);
	drop_refs(p);
	event_free(p->timer);
	free(p);
}

int
pair_running(const struct account *a)
{
	return a->pair->running;
}

static void
event_written(const struct unit_result *r, void *arg)
{
	/* the client heard it as account.link; the log has it too unless the store fails */
}

void
pair_failed(struct account *a, const char *reason)
{
	struct pair *p = a->pair;
	struct unit *u;

	if (!p->running)
		return;
	p->running = 0;
	drop_work(p);
	drop_refs(p);
	call_failf(p->call, -6, reason, 1, "the account could not be linked");
	p->call = NULL;
	connect_stop(a);
	tell(p,
	    strcmp(reason, "qr_expired") == 0 || strcmp(reason, "code_expired") == 0 ? "expired"
										     : "error",
	    NULL, 0, reason);
	if ((u = unit_open(a)) != NULL) {
		unit_event(u, "account.link_failed", "live", clock_wall_ms(),
		    json_pack("{s:s, s:s}", "reason", reason, "link_id", p->link_id), NULL);
		unit_commit(u, event_written, NULL);
	}
	state_set(a, ACCOUNT_UNLINKED, reason, 0, "relink", 0, 0);
}

/* ------------------------------------------------------------------ beginning */

static void
begin_connect(struct pair *p)
{
	call_ok(p->call, json_pack("{s:s}", "link_id", p->link_id));
	p->call = NULL;
	connect_start(p->a, "linking");
}

static void
begin_stored(const struct unit_result *r, void *arg)
{
	struct pair *p = arg;

	p->unit = NULL;
	if (!r->ok) {
		struct api_error e = api_error_store(r->reason);

		call_fail(p->call, &e);
		p->call = NULL;
		pair_failed(p->a, "store");
		return;
	}
	if (p->link.dev.exists) { /* a new device: it is ours from now on */
		free(p->a->dev.signed_identity);
		p->a->dev = p->link.dev;
		memset(&p->link, 0, sizeof(p->link));
	}
	begin_connect(p);
}

static void
keyd_failed(struct pair *p, const char *code)
{
	call_failf(p->call, strcmp(code, "locked") == 0 ? -14 : -2,
	    strcmp(code, "locked") == 0 ? "keys_locked" : "internal", 1, "keyd did not do it");
	p->call = NULL;
	pair_failed(p->a, "internal");
}

static void
begin_created(const struct reply *rp, void *arg)
{
	struct pair *p = arg;
	struct account_device old = p->a->dev;

	p->ask = NULL;
	if (!rp->ok) {
		keyd_failed(p, rp->code);
		return;
	}
	memset(&p->a->dev, 0, sizeof(p->a->dev)); /* taken apart by the one reader of it */
	account_take_device(p->a, (const Keyd__DeviceState *)rp->pb);
	p->link.dev = p->a->dev;
	p->a->dev = old;
	unit_staged(p->unit, ((const Keyd__DeviceState *)rp->pb)->stages);
	p->open = 0;
	unit_commit(p->unit, begin_stored, p);
}

static void
begin_refreshed(const struct reply *rp, void *arg)
{
	struct pair *p = arg;

	p->ask = NULL;
	if (!rp->ok) {
		keyd_failed(p, rp->code);
		return;
	}
	unit_staged(p->unit, ((const Keyd__Staged *)rp->pb)->stages);
	p->open = 0;
	unit_commit(p->unit, begin_stored, p);
}

/* A device that never linked keeps its keys, with a new ADV secret; else a new one is made. */
static void
begin(struct pair *p)
{
	Keyd__DeviceCreate create = KEYD__DEVICE_CREATE__INIT;
	Keyd__PairRefresh refresh = KEYD__PAIR_REFRESH__INIT;
	struct account *a = p->a;

	if ((p->unit = unit_open(a)) == NULL) {
		pair_failed(a, "internal");
		return;
	}
	p->open = 1;
	if (a->dev.exists) {
		refresh.account = a->name;
		refresh.unit = unit_id(p->unit);
		p->ask = ask_keyd(a, KEYD__TYPE__PAIR_REFRESH, &refresh.base, KEYD__TYPE__STAGED,
		    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, begin_refreshed, p);
	} else {
		create.account = a->name;
		create.unit = unit_id(p->unit);
		p->ask =
		    ask_keyd(a, KEYD__TYPE__DEVICE_CREATE, &create.base, KEYD__TYPE__DEVICE_STATE,
			&keyd__device_state__descriptor, 65536, ASK_DEADLINE_MS, begin_created, p);
	}
}

static int
own_code_ok(const char *code)
{
	return strlen(code) == 8 && strspn(code, "123456789ABCDEFGHJKLMNPQRSTVWXYZ") == 8;
}

static int
link_refused(
    struct account *a, struct call *c, const char *method, const char *phone, const char *code)
{
	struct api_error e = api_error_make(-32602, "params", 0, "not a usable value");
	char digits[32];

	if (a->disabled)
		call_failf(c, -1, "not_allowed", 0, "the account is disabled in the config");
	else if (!a->opened) {
		e = api_error_closed(a);
		call_fail(c, &e);
	} else if (a->dev.linked)
		call_failf(c, -9, "exists", 0, "the account is linked already");
	else if (a->pair->running)
		call_failf(c, -9, "conflict", 1, "it is being linked already");
	else if (strcmp(method, "qr") != 0 && strcmp(method, "code") != 0) {
		e.path = "method";
		call_fail(c, &e);
	} else if (strcmp(method, "code") == 0 &&
		   (phone == NULL || pair_code_phone(phone, digits) == -1)) {
		e.path = "phone";
		call_fail(c, &e);
	} else if (code != NULL && (strcmp(method, "code") != 0 || !own_code_ok(code))) {
		e.path = "code";
		call_fail(c, &e);
	} else
		return 0;
	return 1;
}

void
account_link(struct account *a, const void *client, const char *method, const char *phone,
    const char *code, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct pair *p = a->pair;
	uint8_t id[16];

	if (link_refused(a, c, method, phone, code))
		return;
	p->running = 1;
	p->call = c;
	p->closes = 0;
	p->by_code = strcmp(method, "code") == 0;
	if (p->by_code)
		(void)pair_code_phone(phone, p->phone);
	(void)snprintf(p->own_code, sizeof(p->own_code), "%s", code != NULL ? code : "");
	randombytes_buf(id, sizeof(id));
	(void)sodium_bin2hex(p->link_id, sizeof(p->link_id), id, sizeof(id));
	state_set(a, ACCOUNT_LINKING, p->by_code ? "code" : "qr", 0, "open_phone", 0, 0);
	begin(p);
}

void
account_link_cancel(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);

	if (!a->pair->running) {
		call_failf(c, -1, "not_found", 0, "no linking is under way");
		return;
	}
	pair_failed(a, "cancelled");
	call_ok(c, json_object());
}

/* ------------------------------------------------------------------ the connection */

void
pair_disconnected(struct account *a)
{
	struct pair *p = a->pair;

	if (!p->running)
		return;
	drop_refs(p); /* refs and code end with their connection */
	if (p->unit == NULL || p->open)
		drop_work(p);
}

void
pair_link_closed(struct account *a, const char *reason)
{
	if (a->pair->running && ++a->pair->closes >= CLOSES_MAX)
		pair_failed(a, reason);
}

/* ------------------------------------------------------------------ pair-device, QR */

static void
qr_made(const struct reply *rp, void *arg)
{
	struct pair *p = arg;

	p->ask = NULL;
	if (!rp->ok) {
		pair_failed(p->a, "internal");
		return;
	}
	tell(p, "qr", ((const Keyd__PairQrReply *)rp->pb)->text, p->expires_ms, NULL);
}

/* Draw the current ref (again). */
static void
qr_draw(struct pair *p)
{
	Keyd__PairQr m = KEYD__PAIR_QR__INIT;
	struct payload_client c;
	char type[2] = {0};

	payload_client_from_config(p->a->svc->config, &c);
	type[0] = payload_client_type(c.platform);
	m.account = p->a->name;
	m.ref.data = p->refs[p->at];
	m.ref.len = p->ref_len[p->at];
	m.client_type = type;
	ask_cancel(p->ask);
	p->ask = ask_keyd(p->a, KEYD__TYPE__PAIR_QR, &m.base, KEYD__TYPE__PAIR_QR_REPLY,
	    &keyd__pair_qr_reply__descriptor, 4096, ASK_DEADLINE_MS, qr_made, p);
}

static void
qr_show(struct pair *p)
{
	int ms = p->at == 0 ? QR_FIRST_MS : QR_NEXT_MS;
	struct timeval tv = {ms / 1000, 0};

	p->expires_ms = clock_wall_ms() + ms;
	evtimer_add(p->timer, &tv);
	if (p->unit == NULL)
		qr_draw(p);
}

static void
code_step(struct account *a, const char *step, const char *text, int64_t expires_ms, void *arg)
{
	struct pair *p = arg;

	if (strcmp(step, "code") == 0)
		tell(p, "code", text, expires_ms, NULL);
	else
		pair_failed(a, text);
}

static int
ref_ok(const struct node *c)
{
	if (!node_is(c, "ref") || !c->has_bytes || c->nbytes == 0 || c->nbytes > REF_MAX)
		return 0;
	for (size_t i = 0; i < c->nbytes; i++)
		if (c->bytes[i] < 0x20 || c->bytes[i] == 0x7f || c->bytes[i] == ',')
			return 0;
	return 1;
}

static void
answer_iq(struct account *a, const struct node *n)
{
	struct node *r = node_new("iq");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "result");
	node_set(r, "id", node_get(n, "id"));
	(void)stanza_send(a, r);
}

static void
pair_device(struct account *a, const struct node *n, const struct node *dev)
{
	struct pair *p = a->pair;

	answer_iq(a, n);
	if (!p->running)
		return;
	drop_refs(p); /* a second one replaces the refs */
	for (size_t i = 0; i < dev->nchildren && p->nrefs < REFS_MAX; i++) {
		const struct node *c = dev->children[i];

		if (!ref_ok(c))
			continue;
		memcpy(p->refs[p->nrefs], c->bytes, c->nbytes);
		p->ref_len[p->nrefs++] = c->nbytes;
	}
	if (p->nrefs == 0) {
		pair_failed(a, "no_refs");
		return;
	}
	if (p->by_code)
		p->code = pair_code_begin(
		    a, p->phone, p->own_code[0] != '\0' ? p->own_code : NULL, code_step, p);
	else
		qr_show(p);
}

/* ------------------------------------------------------------------ notifications */

static void
refresh_stored(const struct unit_result *r, void *arg)
{
	struct pair *p = arg;

	p->unit = NULL;
	if (!r->ok) {
		pair_failed(p->a, "store");
		return;
	}
	if (p->nrefs > 0 && !p->by_code)
		qr_draw(p); /* the same ref with its timer, under the new secret */
	if (p->pending != NULL)
		stanza_ack(p->a, p->pending, 0);
	node_free(p->pending);
	p->pending = NULL;
}

static void
refreshed(const struct reply *rp, void *arg)
{
	struct pair *p = arg;

	p->ask = NULL;
	if (!rp->ok) {
		pair_failed(p->a, "internal");
		return;
	}
	unit_staged(p->unit, ((const Keyd__Staged *)rp->pb)->stages);
	p->open = 0;
	unit_commit(p->unit, refresh_stored, p);
}

/* What an ack needs of a stanza, kept until then. */
static struct node *
keep_head(const struct node *n)
{
	struct node *k = node_new(n->tag);

	node_set(k, "id", node_get(n, "id"));
	node_set(k, "from", node_get(n, "from"));
	node_set(k, "type", node_get(n, "type"));
	return k;
}

static void
refresh(struct account *a, const struct node *n)
{
	struct pair *p = a->pair;
	Keyd__PairRefresh m = KEYD__PAIR_REFRESH__INIT;
	int due = node_child(n, "companion_reg_refresh") != NULL ||
		  node_child(n, "pair-device-rotate-qr") != NULL;

	if (!due || !p->running || p->unit != NULL ||
	    (p->code != NULL && pair_code_finishing(p->code))) {
		stanza_ack(a, n, 0);
		return;
	}
	ask_cancel(p->ask); /* a QR under the old secret is of no use */
	p->ask = NULL;
	if ((p->unit = unit_open(a)) == NULL) {
		pair_failed(a, "internal");
		return;
	}
	p->open = 1;
	node_free(p->pending);
	p->pending = keep_head(n);
	m.account = a->name;
	m.unit = unit_id(p->unit);
	p->ask = ask_keyd(a, KEYD__TYPE__PAIR_REFRESH, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, refreshed, p);
}

void
pair_notification(struct account *a, const struct node *n, const char *type)
{
	struct pair *p = a->pair;

	if (strcmp(type, "companion_reg_refresh") == 0) {
		refresh(a, n);
	} else if (strcmp(type, "link_code_companion_reg") == 0) {
		stanza_ack(a, n, 0);
		if (p->code != NULL)
			pair_code_notification(p->code, n);
	} else if (strcmp(type, "passkey_prologue_request") == 0) {
		stanza_ack(a, n, 0);
		pair_failed(a, "passkey_required"); /* it needs the owner's authenticator */
	} else {
		stanza_notice(a, n, type[0] != '\0' ? type : "notification", 1);
	}
}

/* ------------------------------------------------------------------ pair-success */

static void
send_error(struct account *a, const struct node *n, unsigned code, const char *text)
{
	struct node *r = node_new("iq"), *e = node_new("error");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "error");
	node_set(r, "id", node_get(n, "id"));
	node_setf(e, "code", "%u", code);
	node_set(e, "text", text);
	node_add(r, e);
	(void)stanza_send(a, r);
}

static void
pair_refused(struct pair *p, unsigned code, const char *text, const char *reason)
{
	send_error(p->a, p->pending, code, text);
	pair_failed(p->a, reason);
}

static void
send_sign(struct pair *p)
{
	struct node *r = node_new("iq"), *sign = node_new("pair-device-sign");
	struct node *id = node_new("device-identity");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "result");
	node_set(r, "id", node_get(p->pending, "id"));
	node_setf(id, "key-index", "%u", p->link.key_index);
	node_set_bytes(id, p->link.answer, p->link.answer_len);
	node_add(sign, id);
	node_add(r, sign);
	if (p->conn == p->a->conn)
		(void)stanza_send(p->a, r); /* if it is lost, <failure reason=401> settles it */
	else
		node_free(r);
}

static void
pair_stored(const struct unit_result *r, void *arg)
{
	struct pair *p = arg;
	struct account *a = p->a;
	struct pair_link *l = &p->link;

	p->unit = NULL;
	if (!r->ok) { /* no answer: the phone says that it did not work */
		pair_failed(a, "store");
		return;
	}
	free(a->dev.signed_identity);
	a->dev = l->dev;
	l->dev.signed_identity = NULL;
	memset(&a->rec, 0, sizeof(a->rec));
	a->rec.lid_migrated = l->lid_migrated;
	a->rec.initial_sync_pending = 1;
	a->rec.linked_ms = clock_wall_ms();
	(void)snprintf(a->rec.platform, sizeof(a->rec.platform), "%s", l->platform);
	(void)snprintf(a->rec.business_name, sizeof(a->rec.business_name), "%s", l->biz);
	(void)snprintf(a->rec.account_user, sizeof(a->rec.account_user), "%s", a->dev.jid.user);
	outbox_reset(a);
	send_sign(p);
	p->running = 0;
	drop_refs(p);
	drop_work(p);
	tell(p, "done", NULL, 0, NULL);
	log_notice("account %s: linked", a->name);
	state_set(a, ACCOUNT_CONNECTING, "linked", 0, "none", 0, 0);
	connect_refresh(a); /* the next handshake is a login; 515 comes */
}

static void
fill_unit(struct pair *p)
{
	struct pair_link *l = &p->link;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "jid", l->jid, "platform", l->platform,
	    "first_time", l->first_time, "link_id", p->link_id);
	char state[] = "connecting";

	if (l->lid[0] != '\0')
		json_object_set_new(o, "lid", json_string(l->lid));
	if (l->biz[0] != '\0')
		json_object_set_new(o, "business_name", json_string(l->biz));
	rec.jid = l->jid;
	rec.lid = l->lid;
	rec.platform = l->platform;
	rec.business_name = l->biz;
	rec.has_server_has_prekeys = 1;
	rec.has_lid_migrated = 1;
	rec.lid_migrated = l->lid_migrated;
	rec.has_initial_sync_pending = rec.initial_sync_pending = 1;
	rec.has_login_counter = 1;
	rec.has_linked_ms = 1;
	rec.linked_ms = clock_wall_ms();
	rec.state = state;
	unit_device_reset(p->unit);
	unit_device(p->unit, &rec);
	unit_event(p->unit, "account.linked", "live", clock_wall_ms(), o, NULL);
}

static void
pair_verified(const struct reply *rp, void *arg)
{
	struct pair *p = arg;
	const Keyd__PairSuccessReply *m = (const Keyd__PairSuccessReply *)rp->pb;
	struct account_device old = p->a->dev;

	p->ask = NULL;
	if (!rp->ok || m->outcome == KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT) {
		pair_refused(p, 500, "internal-error", rp->ok ? "adv_malformed" : "internal");
		return;
	}
	if (m->outcome != KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED || m->device == NULL ||
	    !m->has_answer) {
		pair_refused(p, 401, "not-authorized",
		    m->outcome == KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC
			? "hmac_mismatch"
			: "signature_mismatch");
		return;
	}
	if ((p->link.answer = malloc(m->answer.len)) == NULL) {
		pair_refused(p, 500, "internal-error", "internal");
		return;
	}
	memcpy(p->link.answer, m->answer.data, m->answer.len);
	p->link.answer_len = m->answer.len;
	p->link.key_index = m->key_index;
	memset(&p->a->dev, 0, sizeof(p->a->dev));
	account_take_device(p->a, m->device);
	p->link.dev = p->a->dev;
	p->a->dev = old;
	unit_staged(p->unit, m->stages);
	fill_unit(p);
	p->open = 0;
	unit_commit(p->unit, pair_stored, p);
}

static int
lid_migrated(const struct node *ps)
{
	struct pb_arena *arena;
	const Companion__ClientPairingProps *props;
	const uint8_t *data;
	size_t len;
	int yes = 0;

	if (node_child_bytes(ps, "client-props", &data, &len) == -1 ||
	    (arena = pb_arena_new(PROPS_BUDGET)) == NULL)
		return 0;
	props = pb_unpack(&companion__client_pairing_props__descriptor, data, len, arena, 0, NULL);
	if (props != NULL)
		yes = props->has_is_chat_db_lid_migrated && props->is_chat_db_lid_migrated;
	pb_arena_free(arena);
	return yes;
}

/* What the stanza says, checked; -1 if something that must be there is not. */
static int
read_success(struct pair *p, const struct node *ps, const uint8_t **box, size_t *len)
{
	const struct node *dev = node_child(ps, "device"), *c;
	struct pair_link *l = &p->link;
	struct jid jid, lid;
	const char *name;

	if (node_child_bytes(ps, "device-identity", box, len) == -1 || *len == 0 ||
	    *len > CONTAINER_MAX || dev == NULL || node_get_jid(dev, "jid", &jid) == -1 ||
	    !jid_is_pn(&jid) || jid.device == 0)
		return -1;
	(void)jid_format(&jid, l->jid);
	if (node_get_jid(dev, "lid", &lid) == 0 && jid_is_lid(&lid))
		(void)jid_format(&lid, l->lid);
	if ((c = node_child(ps, "platform")) != NULL && (name = node_get(c, "name")) != NULL)
		(void)snprintf(l->platform, sizeof(l->platform), "%s", name);
	if ((c = node_child(ps, "biz")) != NULL && (name = node_get(c, "name")) != NULL)
		(void)snprintf(l->biz, sizeof(l->biz), "%s", name);
	l->lid_migrated = lid_migrated(ps);
	l->first_time = p->a->rec.account_user[0] == '\0';
	if (!l->first_time && strcmp(p->a->rec.account_user, jid.user) != 0)
		return -2;
	return 0;
}

static void
pair_success(struct account *a, const struct node *n, const struct node *ps)
{
	struct pair *p = a->pair;
	Keyd__PairSuccess m = KEYD__PAIR_SUCCESS__INIT;
	const uint8_t *box;
	size_t len;
	int r;

	if (!p->running || a->dev.linked || p->pending != NULL) {
		log_notice("account %s: a pair-success that nobody waits for", a->name);
		return;
	}
	drop_work(p);
	p->pending = keep_head(n);
	p->conn = a->conn;
	if ((r = read_success(p, ps, &box, &len)) != 0) {
		pair_refused(p, r == -2 ? 401 : 500, r == -2 ? "not-authorized" : "internal-error",
		    r == -2 ? "account_mismatch" : "adv_malformed");
		return;
	}
	if ((p->unit = unit_open(a)) == NULL) {
		pair_refused(p, 500, "internal-error", "internal");
		return;
	}
	p->open = 1;
	m.account = a->name;
	m.unit = unit_id(p->unit);
	m.container.data = (uint8_t *)(uintptr_t)box;
	m.container.len = len;
	m.jid = p->link.jid;
	m.lid = p->link.lid[0] != '\0' ? p->link.lid : NULL;
	p->ask = ask_keyd(a, KEYD__TYPE__PAIR_SUCCESS, &m.base, KEYD__TYPE__PAIR_SUCCESS_REPLY,
	    &keyd__pair_success_reply__descriptor, 65536, ASK_DEADLINE_MS, pair_verified, p);
}

int
pair_iq(struct account *a, const struct node *n)
{
	const struct node *c;

	if ((c = node_child(n, "pair-device")) != NULL)
		pair_device(a, n, c);
	else if ((c = node_child(n, "pair-success")) != NULL)
		pair_success(a, n, c);
	else
		return 0;
	return 1;
}
