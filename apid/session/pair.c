/* Linking: the attempt of a client and its QR codes.
 *
 *	account_link -> pair_device_ready -> (connection) pair_device -> qr_show … -> pair_success
 *	(session/pair_success.c)
 */
#include "apid/session/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/pair_code.h"
#include "apid/session/pair_impl.h"
#include "apid/session/payload.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define QR_FIRST_MS 60000
#define QR_NEXT_MS  20000
#define CLOSES_MAX  5

static void qr_show(struct pair *p);

/* ------------------------------------------------------------------ telling */

void
pair_tell(struct pair *p, const char *step, const char *text, int64_t expires_ms, const char *error)
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

void
pair_drop_work(struct pair *p)
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

void
pair_drop_refs(struct pair *p)
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
	pair_drop_work(p);
	pair_drop_refs(p);
	event_free(p->timer);
	free(p);
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
	pair_drop_work(p);
	pair_drop_refs(p);
	call_failf(p->call, -6, reason, 1, "the account could not be linked");
	p->call = NULL;
	connect_stop(a);
	pair_tell(p,
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
	pair_drop_refs(p); /* refs and code end with their connection */
	if (p->unit == NULL || p->open)
		pair_drop_work(p);
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
	pair_tell(p, "qr", ((const Keyd__PairQrReply *)rp->pb)->text, p->expires_ms, NULL);
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
		pair_tell(p, "code", text, expires_ms, NULL);
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
	pair_drop_refs(p); /* a second one replaces the refs */
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
struct node *
pair_keep_head(const struct node *n)
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
	p->pending = pair_keep_head(n);
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
