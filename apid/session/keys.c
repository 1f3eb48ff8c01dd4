/* The keys of the account at the service: which job runs, and what clients ask of them.
 *
 *	keys.status: keys_status -> public_came -> listed (uploaded) -> listed (all) -> counted
 */
#include "apid/session/keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/digest.h"
#include "apid/session/iq.h"
#include "apid/session/login.h"
#include "apid/session/prekeys.h"
#include "apid/session/rotate.h"
#include "common/clock.h"
#include "common/log.h"

#define LOOK_S   3600 /* how often the age of the signed prekey is looked at */
#define COUNT_MS 15000u

struct keys {
	struct account *a;
	int want_digest;
	struct event *look;
};

static void
look(evutil_socket_t fd, short what, void *arg)
{
	keys_next(((struct keys *)arg)->a);
}

struct keys *
keys_new(struct account *a)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		fatal("keys_new");
	k->a = a;
	if ((k->look = evtimer_new(a->svc->base, look, k)) == NULL)
		fatalx("keys_new: no event");
	return k;
}

void
keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	event_free(k->look);
	free(k);
}

/* ------------------------------------------------------------------ which job runs */

int64_t
keys_now_ms(const struct account *a)
{
	return clock_wall_ms() + a->skew_ms;
}

int64_t
keys_skey_due_ms(const struct account *a)
{
	int64_t due = a->rec.skey_due_ms, latest = keys_now_ms(a) + KEYS_ROTATE_MS;

	if (due <= 0) /* never rotated: it was made when the device was linked */
		due = a->rec.linked_ms > 0 ? a->rec.linked_ms + KEYS_ROTATE_MS : latest;
	return due > latest ? latest : due; /* the clock was wrong then */
}

/* Nothing to do now: when is the signed prekey due? Not too far ahead, for the clock may be moved.
 */
static void
look_later(struct keys *k)
{
	int64_t left = (keys_skey_due_ms(k->a) - keys_now_ms(k->a)) / 1000 + 1;
	struct timeval tv = {left < 1 || left > LOOK_S ? LOOK_S : (time_t)left, 0};

	evtimer_add(k->look, &tv);
}

/* An upload tells the signed prekey in use and a rotation changes it, so they take turns. */
void
keys_next(struct account *a)
{
	struct keys *k = a->keys;

	if (a->svc->stopping || a->conn == 0 || !a->logged_in || login_in_backlog(a) ||
	    prekeys_running(a) || digest_running(a) || rotate_running(a))
		return;
	if (prekeys_wanted(a)) {
		prekeys_check(a, NULL);
	} else if (k->want_digest) {
		k->want_digest = 0;
		digest_start(a);
	} else if (rotate_wanted(a) || (a->rec.server_has_prekeys && rotate_may(a) &&
					   keys_skey_due_ms(a) <= keys_now_ms(a))) {
		rotate_start(a);
	} else {
		look_later(k);
	}
}

void
keys_want_digest(struct account *a)
{
	a->keys->want_digest = 1;
	keys_next(a);
}

void
keys_online(struct account *a)
{
	keys_want_digest(a);
}

void
keys_disconnected(struct account *a)
{
	evtimer_del(a->keys->look);
	a->keys->want_digest = 0;
	prekeys_disconnected(a);
	digest_disconnected(a);
	rotate_disconnected(a);
}

void
keys_event(struct account *a, struct unit *u, const char *kind, int64_t count)
{
	json_t *o = json_pack("{s:s}", "kind", kind);

	if (count >= 0)
		json_object_set_new(o, "count", json_integer(count));
	unit_event(u, "account.keys", "live", clock_wall_ms(), o, NULL);
}

/* ------------------------------------------------------------------ keys.status */

struct status {
	struct account *a;
	struct call *call;
	json_t *o;
	int all; /* the second count of stored */
};

static void
status_end(struct status *s, const char *why)
{
	struct api_error e;

	if (why == NULL) {
		call_ok(s->call, s->o);
	} else {
		e = api_error_store(why);
		json_decref(s->o);
		call_fail(s->call, &e);
	}
	free(s);
}

static void
put_service(struct status *s)
{
	const struct account *a = s->a;
	int64_t when_ms, there = prekeys_there(a, &when_ms);
	const char *digest = digest_state(a, &when_ms);

	if (there >= 0)
		json_object_set_new(s->o, "at_service", json_integer(there));
	json_object_set_new(s->o, "digest", json_string(digest));
	if (when_ms > 0)
		json_object_set_new(s->o, "digest_ms", json_integer(when_ms));
	json_object_set_new(s->o, "upload_due", json_boolean(!a->rec.server_has_prekeys));
	status_end(s, NULL);
}

static void
counted(const struct iq_answer *r, void *arg)
{
	struct status *s = arg;

	if (r->ok)
		prekeys_count_came(s->a, r->node);
	put_service(s);
}

static void list(struct status *s);

static void
listed(const struct reply *rp, void *arg)
{
	struct status *s = arg;
	const Stored__RecordNames *m = (const Stored__RecordNames *)rp->pb;
	struct node *n;

	if (!rp->ok) {
		status_end(s, rp->code);
		return;
	}
	json_object_set_new(
	    s->o, s->all ? "stored" : "uploaded", json_integer((json_int_t)m->total));
	if (!s->all) {
		s->all = 1;
		list(s);
	} else if (s->a->conn != 0 && s->a->logged_in) {
		n = iq_new("get", "encrypt");
		node_add(n, node_new("count"));
		(void)iq_request(s->a, n, COUNT_MS, counted, s);
	} else {
		put_service(s);
	}
}

/* How many prekeys of this device are here; with their mark at first, then all. */
static void
list(struct status *s)
{
	Stored__RecordsList m = STORED__RECORDS_LIST__INIT;
	char from[16], below[16];

	(void)snprintf(from, sizeof(from), "%u/", s->a->dev.generation);
	(void)snprintf(below, sizeof(below), "%u0", s->a->dev.generation); /* '0' follows '/' */
	m.account = s->a->name;
	m.domain = STORED__DOMAIN__PREKEY;
	m.from = from;
	m.below = below;
	m.has_uploaded = !s->all;
	m.uploaded = 1;
	(void)ask_stored(s->a, STORED__TYPE__RECORDS_LIST, &m.base, STORED__TYPE__RECORD_NAMES,
	    &stored__record_names__descriptor, 1024, ASK_DEADLINE_MS, listed, s);
}

static void
public_came(const struct reply *rp, void *arg)
{
	struct status *s = arg;
	const Keyd__PrekeysReply *m = (const Keyd__PrekeysReply *)rp->pb;
	int64_t due = keys_skey_due_ms(s->a);

	if (!rp->ok) {
		status_end(s, rp->code);
		return;
	}
	json_object_set_new(s->o, "signed_prekey_id", json_integer(m->signed_prekey->id));
	json_object_set_new(s->o, "rotation_pending", json_boolean(m->next != NULL));
	json_object_set_new(s->o, "rotation_due_ms", json_integer(due));
	list(s);
}

void
keys_status(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	Keyd__PrekeysPublic m = KEYD__PREKEYS_PUBLIC__INIT;
	struct status *s;
	struct api_error e;

	if (!a->opened) {
		e = api_error_closed(a);
		call_fail(c, &e);
		return;
	}
	if (!a->dev.linked) {
		call_failf(c, -7, "unlinked", 0, "the account is not linked");
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL)
		fatal("keys_status");
	s->a = a;
	s->call = c;
	s->o = json_pack("{s:s}", "account", a->name);
	m.account = a->name;
	(void)ask_keyd(a, KEYD__TYPE__PREKEYS_PUBLIC, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, 8192, ASK_DEADLINE_MS, public_came, s);
}

/* ------------------------------------------------------------------ keys.upload,
 * keys.rotate_signed */

/* It can be begun; else it was answered. */
static struct call *
begin(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct api_error e;

	if (!a->opened) {
		e = api_error_closed(a);
		call_fail(c, &e);
	} else if (!a->dev.linked) {
		call_failf(c, -7, "unlinked", 0, "the account is not linked");
	} else if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the account is not connected");
	} else {
		return c;
	}
	return NULL;
}

void
keys_upload(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = begin(a, client, fn, arg);

	if (c != NULL)
		prekeys_ask(a, c);
	keys_next(a);
}

void
keys_rotate_signed(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = begin(a, client, fn, arg);

	if (c != NULL)
		rotate_ask(a, c);
	keys_next(a);
}
