/* Linking: the attempt of a client, from its wish to its end.
 *
 *	account_link -> begin -> begin_stored -> (connection; session/pair_qr.c) -> pair_success
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
#include "apid/session/passkey.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define CLOSES_MAX 5

/* ------------------------------------------------------------------ telling */

void
pair_say(struct pair *p, const char *step, json_t *o)
{
	struct service *s = p->a->svc;

	json_object_set_new(o, "step", json_string(step));
	json_object_set_new(o, "link_id", json_string(p->link_id));
	if (s->hooks.event_transient != NULL)
		s->hooks.event_transient(s->hooks_arg, p->a->name, "account.link", o);
	json_decref(o);
}

void
pair_tell(struct pair *p, const char *step, const char *text, int64_t expires_ms, const char *error)
{
	json_t *o = json_object();

	if (text != NULL)
		json_object_set_new(o, "text", json_string(text));
	if (expires_ms > 0)
		json_object_set_new(o, "expires_ms", json_integer(expires_ms));
	if (error != NULL)
		json_object_set_new(o, "error", json_string(error));
	pair_say(p, step, o);
}

struct pair *
pair_new(struct account *a)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("pair_new");
	p->a = a;
	if ((p->timer = evtimer_new(a->svc->base, pair_qr_over, p)) == NULL)
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
	p->shown_ms = 0;
	p->again = p->next = 0;
	pair_code_free(p->code);
	p->code = NULL;
	passkey_free(p->passkey);
	p->passkey = NULL;
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

/* ------------------------------------------------------------------ failing */

/* The end of an attempt, in the log, and a new ADV secret: what the old one was in is void. */
struct ending {
	struct account *a;
	struct unit *unit;
	json_t *body;
};

static void
event_written(const struct unit_result *r, void *arg)
{
	/* the client heard it as account.link; the log has it too unless the store fails */
}

static void
ending_write(struct ending *e)
{
	if (e->unit != NULL) {
		unit_event(e->unit, "account.link_failed", "live", clock_wall_ms(), e->body, NULL);
		unit_commit(e->unit, event_written, NULL);
	} else {
		json_decref(e->body);
	}
	free(e);
}

static void
ending_renewed(const struct reply *rp, void *arg)
{
	struct ending *e = arg;

	if (rp->ok) {
		unit_staged(e->unit, ((const Keyd__Staged *)rp->pb)->stages);
	} else { /* the next attempt begins with a new secret in any case */
		unit_abort(e->unit);
		e->unit = unit_open(e->a);
	}
	ending_write(e);
}

static void
ending_begin(struct account *a, json_t *body)
{
	Keyd__PairRefresh m = KEYD__PAIR_REFRESH__INIT;
	struct ending *e = calloc(1, sizeof(*e));

	if (e == NULL)
		fatal("pair_failed");
	if (a->svc->stopping) { /* nobody answers any more */
		json_decref(body);
		free(e);
		return;
	}
	e->a = a;
	e->body = body;
	if ((e->unit = unit_open(a)) == NULL || !a->dev.exists || a->dev.linked) {
		ending_write(e);
		return;
	}
	m.account = a->name;
	m.unit = unit_id(e->unit);
	(void)ask_keyd(a, KEYD__TYPE__PAIR_REFRESH, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, ending_renewed, e);
}

void
pair_failed_until(struct account *a, const char *reason, int64_t next_ms)
{
	struct pair *p = a->pair;
	json_t *body;
	int late;

	if (!p->running)
		return;
	p->running = 0;
	late = strcmp(reason, "qr_expired") == 0 || strcmp(reason, "code_expired") == 0;
	body = json_pack("{s:s, s:s}", "reason", reason, "link_id", p->link_id);
	if (strcmp(reason, "account_mismatch") == 0)
		json_object_set_new(body, "jid", json_string(p->link.jid));
	pair_drop_work(p);
	pair_drop_refs(p);
	call_failf(p->call, -6, reason, 1, "the account could not be linked");
	p->call = NULL;
	connect_stop(a);
	pair_tell(p, late ? "expired" : "error", NULL, 0, reason);
	ending_begin(a, body);
	state_set(a, ACCOUNT_UNLINKED, reason, 0, "relink", next_ms, 0);
}

void
pair_failed(struct account *a, const char *reason)
{
	pair_failed_until(a, reason, 0);
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

/* Whether the wish itself can be met; else answers. */
static int
link_params(struct call *c, const struct link_request *rq, char digits[32])
{
	struct api_error e = api_error_make(-32602, "params", 0, "not a usable value");
	int by_code = strcmp(rq->method, "code") == 0;

	if (strcmp(rq->method, "qr") != 0 && !by_code)
		e.path = "method";
	else if (by_code && (rq->phone == NULL || pair_code_phone(rq->phone, digits) == -1))
		e.path = "phone";
	else if (rq->code != NULL && (!by_code || !own_code_ok(rq->code)))
		e.path = "code";
	else
		return 0;
	call_fail(c, &e);
	return -1;
}

/* The service said how long to wait with the next code. */
static int
too_soon(const struct account *a, struct call *c)
{
	struct api_error e =
	    api_error_make(-5, "rate_limited", 1, "the service gives no code before that");
	int64_t ms = a->pair->code_after_ms - clock_wall_ms();

	if (ms <= 0 || ms > INT64_C(86400000))
		return 0;
	e.retry_after_ms = ms;
	e.until_ms = a->pair->code_after_ms;
	call_fail(c, &e);
	return -1;
}

static int
link_refused(struct account *a, struct call *c, const struct link_request *rq)
{
	const char *former = a->rec.account_user;
	char digits[32] = "";

	if (a->disabled)
		call_failf(c, -1, "not_allowed", 0, "the account is disabled in the config");
	else if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
	} else if (a->dev.linked)
		call_failf(c, -9, "exists", 0, "the account is linked already");
	else if (a->pair->running)
		call_failf(c, -9, "conflict", 1, "it is being linked already");
	else if (link_params(c, rq, digits) == -1)
		return -1;
	else if (digits[0] != '\0' && too_soon(a, c) == -1)
		return -1;
	else if (digits[0] != '\0' && former[0] != '\0' && strcmp(former, digits) != 0 &&
		 !rq->other_account)
		call_failf(c, -7, "account_mismatch", 0,
		    "another account was linked here; say other_account to put it aside");
	else
		return 0;
	return -1;
}

void
account_link(struct account *a, const void *client, const struct link_request *rq,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct pair *p = a->pair;
	uint8_t id[16];

	if (link_refused(a, c, rq) == -1)
		return;
	p->running = 1;
	p->call = c;
	p->closes = 0;
	p->other_account = rq->other_account;
	p->by_code = strcmp(rq->method, "code") == 0;
	if (p->by_code)
		(void)pair_code_phone(rq->phone, p->phone);
	(void)snprintf(p->own_code, sizeof(p->own_code), "%s", rq->code != NULL ? rq->code : "");
	randombytes_buf(id, sizeof(id));
	(void)sodium_bin2hex(p->link_id, sizeof(p->link_id), id, sizeof(id));
	pair_state(p);
	begin(p);
}

void
pair_state(struct pair *p)
{
	state_set(p->a, ACCOUNT_LINKING, p->by_code ? "code" : "qr", 0, "open_phone", 0, 0);
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

void
account_link_answer(struct account *a, const void *client, const char *link_id,
    const json_t *passkey_response, int confirm, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct pair *p = a->pair;
	struct api_error e;

	if (!p->running || (link_id != NULL && strcmp(link_id, p->link_id) != 0))
		call_failf(c, -1, "not_found", 0, "no such linking is under way");
	else if (p->passkey == NULL)
		call_failf(c, -9, "conflict", 1, "linking does not wait for a person");
	else if (passkey_answer(p->passkey, passkey_response, confirm, &e) == -1)
		call_fail(c, &e);
	else
		call_ok(c, json_object());
}

/* ------------------------------------------------------------------ the connection */

void
pair_disconnected(struct account *a)
{
	struct pair *p = a->pair;

	int used = p->passkey != NULL || (p->code != NULL && pair_code_finishing(p->code));

	if (!p->running)
		return;
	if (p->passkey != NULL) {
		pair_say(
		    p, "error", json_pack("{s:s, s:b}", "error", "disconnected", "goes_on", 1));
		pair_state(p);
	}
	pair_drop_refs(p); /* refs, code and passkey exchange end with their connection */
	if (p->unit == NULL || p->open)
		pair_drop_work(p);
	if (used && !a->svc->stopping)
		pair_renew(p);
}

void
pair_link_closed(struct account *a, const char *reason)
{
	if (a->pair->running && ++a->pair->closes >= CLOSES_MAX)
		pair_failed(a, reason);
}
