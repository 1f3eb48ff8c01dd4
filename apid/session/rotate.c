/* Rotation of the signed prekey: the next one is durable before the service hears of it, and the
 *one in use goes on until the service has taken it.
 *
 *	rotate_start -> made -> stored_next -> answered -> end_staged -> stored_end -> rotate_end
 *
 * Without an answer nothing is known: the same one is offered again. */
#include "apid/session/rotate.h"

#include <stdlib.h>

#include "apid/session/ask.h"
#include "apid/session/iq.h"
#include "apid/session/keys.h"
#include "apid/session/prekeys.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define AGAIN_MS  INT64_C(3600000)  /* after no answer, on the same connection */
#define LATER_MS  INT64_C(86400000) /* the service has trouble */
#define REPLY_MAX 1024u

struct rotate {
	struct account *a;
	int running;
	struct call *call; /* a client's */
	struct unit *unit;
	int open; /* the unit is not committed yet */
	struct ask *ask;
	uint64_t iq;
	uint32_t id;
	struct node *offer; /* durable, on its way */
	int taken;
	unsigned code;    /* of the refusal */
	int64_t due_ms;   /* what is written with the end */
	int64_t again_ms; /* mono: not before */
};

struct rotate *
rotate_new(struct account *a)
{
	struct rotate *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("rotate_new");
	r->a = a;
	return r;
}

static void
drop(struct rotate *r)
{
	iq_cancel(r->a, r->iq);
	ask_cancel(r->ask);
	if (r->open)
		unit_abort(r->unit);
	else
		unit_detach(r->unit);
	node_free(r->offer);
	r->iq = 0;
	r->ask = NULL;
	r->unit = NULL;
	r->open = 0;
	r->offer = NULL;
	r->running = 0;
}

void
rotate_free(struct rotate *r)
{
	if (r == NULL)
		return;
	drop(r);
	free(r);
}

int
rotate_running(const struct account *a)
{
	return a->rotate->running;
}

int
rotate_wanted(const struct account *a)
{
	return a->rotate->call != NULL;
}

int
rotate_may(const struct account *a)
{
	return clock_mono_ms() >= a->rotate->again_ms;
}

/* why NULL: the service took it. */
static void
rotate_end(struct rotate *r, const char *why)
{
	struct call *c = r->call;

	drop(r);
	r->call = NULL;
	if (why != NULL) {
		r->again_ms = clock_mono_ms() + AGAIN_MS;
		log_warnx("account %s: rotation of the signed prekey: %s", r->a->name, why);
		call_failf(
		    c, -3, "server_error", 1, "the service did not take a new signed prekey");
	} else {
		log_notice("account %s: the signed prekey is now number %u", r->a->name, r->id);
		call_ok(
		    c, json_pack("{s:i, s:I}", "count", 1, "signed_prekey_id", (json_int_t)r->id));
	}
	keys_next(r->a);
}

void
rotate_disconnected(struct account *a)
{
	struct rotate *r = a->rotate;

	call_failf(r->call, -3, "offline", 1, "the connection is gone; it is tried again");
	r->call = NULL;
	r->again_ms = 0;
	drop(r);
}

/* ------------------------------------------------------------------ the end of one */

static void
stored_end(const struct unit_result *u, void *arg)
{
	struct rotate *r = arg;

	r->unit = NULL;
	if (!u->ok) { /* the service has it and we do not know: the same one again */
		rotate_end(r, u->reason);
		return;
	}
	r->a->rec.skey_due_ms = r->due_ms;
	rotate_end(r, r->taken ? NULL : "it was refused");
}

static void
commit_end(struct rotate *r)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	rec.has_skey_due_ms = 1;
	rec.skey_due_ms = r->due_ms;
	unit_device(r->unit, &rec);
	keys_event(r->a, r->unit, r->taken ? "rotated" : "rotation_refused", r->taken ? 1 : -1);
	r->open = 0;
	unit_commit(r->unit, stored_end, r);
}

static void
end_staged(const struct reply *rp, void *arg)
{
	struct rotate *r = arg;

	r->ask = NULL;
	if (!rp->ok) {
		rotate_end(r, rp->code);
		return;
	}
	unit_staged(r->unit, ((const Keyd__Staged *)rp->pb)->stages);
	commit_end(r);
}

/* What follows from the answer (page 04, 1.1). */
static void
answered(const struct iq_answer *ans, void *arg)
{
	struct rotate *r = arg;
	Keyd__SkeyEnd m = KEYD__SKEY_END__INIT;
	int dead = ans->code == 406 || ans->code == 409; /* this one is refused for good */

	r->iq = 0;
	if (!ans->ok && ans->node == NULL) {
		rotate_end(r, ans->why);
		return;
	}
	r->taken = ans->ok;
	r->code = ans->code;
	r->a->n.skey_rotations += ans->ok;
	r->a->n.skey_refused += !ans->ok;
	r->due_ms = keys_now_ms(r->a) +
		    (ans->ok || (ans->code >= 400 && ans->code < 500) ? KEYS_ROTATE_MS : LATER_MS);
	if ((r->unit = unit_open(r->a)) == NULL) {
		rotate_end(r, "memory");
		return;
	}
	r->open = 1;
	if (!ans->ok && !dead) {
		commit_end(r);
		return;
	}
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.id = r->id;
	m.taken = ans->ok;
	r->ask = ask_keyd(r->a, KEYD__TYPE__SKEY_END, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, end_staged, r);
}

/* ------------------------------------------------------------------ offering it */

static void
stored_next(const struct unit_result *u, void *arg)
{
	struct rotate *r = arg;
	struct node *n = r->offer;

	r->unit = NULL;
	if (!u->ok) {
		rotate_end(r, u->reason);
		return;
	}
	r->a->rec.skey_due_ms = r->due_ms;
	r->offer = NULL;
	r->iq = iq_request(r->a, n, IQ_TIMEOUT_MS, answered, r);
}

static void
made(const struct reply *rp, void *arg)
{
	struct rotate *r = arg;
	const Keyd__SkeyReply *m = (const Keyd__SkeyReply *)rp->pb;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct node *rot;

	r->ask = NULL;
	if (!rp->ok) {
		rotate_end(r, rp->code);
		return;
	}
	r->id = m->signed_prekey->id;
	r->offer = iq_new("set", "encrypt");
	rot = node_child_new(r->offer, "rotate");
	node_add(rot, prekeys_skey_node(m->signed_prekey));
	unit_staged(r->unit, m->stages); /* 0: it is there since an earlier try */
	rec.has_skey_due_ms = 1; /* until there is an answer it is due: also after a crash */
	rec.skey_due_ms = r->due_ms = keys_now_ms(r->a);
	unit_device(r->unit, &rec);
	r->open = 0;
	unit_commit(r->unit, stored_next, r);
}

void
rotate_start(struct account *a)
{
	struct rotate *r = a->rotate;
	Keyd__SkeyNext m = KEYD__SKEY_NEXT__INIT;

	r->running = 1;
	if ((r->unit = unit_open(a)) == NULL) {
		rotate_end(r, "memory");
		return;
	}
	r->open = 1;
	m.account = a->name;
	m.unit = unit_id(r->unit);
	r->ask = ask_keyd(a, KEYD__TYPE__SKEY_NEXT, &m.base, KEYD__TYPE__SKEY_REPLY,
	    &keyd__skey_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, made, r);
}

void
rotate_ask(struct account *a, struct call *c)
{
	struct rotate *r = a->rotate;

	if (r->call != NULL) {
		call_failf(c, -9, "conflict", 1, "a rotation is under way");
		return;
	}
	r->call = c;
}
