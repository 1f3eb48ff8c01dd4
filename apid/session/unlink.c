/* The end of a link: by us, or because the service will not take the device any more. Nothing is
 * deleted: a new device with keys of its own takes the place of the former, whose keys stay sealed
 * under the former generation, where no verb of keyd finds them.
 *
 *	account_unlink -> unlink_answered -> unlink_erase -> held_over -> erase_created ->
 *erase_stored
 */
#include "apid/session/unlink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/calls.h"
#include "apid/message/held.h"
#include "apid/message/contacts.h"
#include "apid/message/outbox.h"
#include "apid/message/send.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/iq.h"
#include "apid/session/props.h"
#include "apid/session/presence.h"
#include "apid/session/restrict.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define REMOVE_MS     10000u
#define ERASE_RETRY_S 5

struct erase {
	struct account *a;
	enum account_state state;
	char reason[64];
	unsigned code;
	const char *user_action, *by;
	int on_connect;
	struct call *call;          /* of account_unlink */
	struct account_device next; /* takes its place */
	struct unit *unit;
	struct event *retry;
};

struct unlink {
	struct account *a;
	struct call *call;
};

static void erase_try(struct erase *e);

static void
erase_again(evutil_socket_t fd, short what, void *arg)
{
	erase_try(arg);
}

static void
erase_failed(struct erase *e, const char *why)
{
	struct timeval tv = {ERASE_RETRY_S, 0};

	log_warnx("account %s: the removed device could not be retired (%s); trying again",
	    e->a->name, why);
	evtimer_add(e->retry, &tv);
}

static void
erase_stored(const struct unit_result *r, void *arg)
{
	struct erase *e = arg;
	struct account *a = e->a;

	e->unit = NULL;
	if (!r->ok) {
		erase_failed(e, r->reason);
		return;
	}
	if (a->dev.has_lid)
		(void)snprintf(
		    a->rec.account_lid, sizeof(a->rec.account_lid), "%s", a->dev.lid.user);
	free(a->dev.signed_identity);
	a->dev = e->next;
	e->next.signed_identity = NULL;
	a->erasing = NULL;
	outbox_reset(a);
	restrict_reset(a);
	contacts_reset(a->contacts);
	tctokens_reset(a);
	presence_reset(a);
	calls_reset(a);
	held_reset(a);
	state_set(a, e->state, e->reason, e->code, e->user_action, 0, 0);
	outbox_state_changed(a);
	call_ok(e->call, json_pack("{s:b}", "unlinked", 1));
	event_free(e->retry);
	free(e);
}

/* The new device, as keyd told of it; the former one stands until the unit is committed. */
static void
take_next(struct erase *e, const Keyd__DeviceState *d)
{
	struct account_device now = e->a->dev;

	free(e->next.signed_identity);
	memset(&e->a->dev, 0, sizeof(e->a->dev));
	account_take_device(e->a, d);
	e->next = e->a->dev;
	e->a->dev = now;
}

static void
erase_created(const struct reply *rp, void *arg)
{
	struct erase *e = arg;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	if (!rp->ok) {
		unit_abort(e->unit);
		e->unit = NULL;
		erase_failed(e, rp->code);
		return;
	}
	unit_staged(e->unit, ((const Keyd__DeviceState *)rp->pb)->stages);
	take_next(e, (const Keyd__DeviceState *)rp->pb);
	rec.state = pb_str(state_name(e->state));
	rec.state_reason = e->reason;
	rec.has_state_since_ms = 1;
	rec.state_since_ms = clock_wall_ms();
	rec.has_state_code = 1;
	rec.state_code = e->code;
	unit_device(e->unit, &rec);
	unit_event(e->unit, "account.unlinked", "live", clock_wall_ms(),
	    json_pack(
		"{s:s, s:b, s:s}", "reason", e->reason, "on_connect", e->on_connect, "by", e->by),
	    NULL);
	unit_commit(e->unit, erase_stored, e);
}

static void
erase_begin(struct erase *e)
{
	Keyd__DeviceCreate m = KEYD__DEVICE_CREATE__INIT;

	if ((e->unit = unit_open(e->a)) == NULL) {
		erase_failed(e, "memory");
		return;
	}
	m.account = e->a->name;
	m.unit = unit_id(e->unit);
	(void)ask_keyd(e->a, KEYD__TYPE__DEVICE_CREATE, &m.base, KEYD__TYPE__DEVICE_STATE,
	    &keyd__device_state__descriptor, 65536, ASK_DEADLINE_MS, erase_created, e);
}

/* Nobody can decide any more about what waits for a decision. */
static void
held_over(struct account *a, const char *why)
{
	if (why != NULL)
		erase_failed(a->erasing, why);
	else
		erase_begin(a->erasing);
}

static void
erase_try(struct erase *e)
{
	held_end_all(e->a, "device_gone", held_over);
}

static void
erase(struct account *a, enum account_state state, const char *reason, unsigned code,
    const char *user_action, const char *by, int on_connect, struct call *call)
{
	struct erase *e;

	if (a->erasing || !a->dev.linked) {
		if (a->erasing != NULL && a->erasing->call == NULL)
			a->erasing->call = call; /* the service was quicker */
		else
			call_ok(call, json_pack("{s:b}", "unlinked", 1));
		return;
	}
	if ((e = calloc(1, sizeof(*e))) == NULL ||
	    (e->retry = evtimer_new(a->svc->base, erase_again, e)) == NULL)
		fatal("unlink_erase");
	a->erasing = e;
	e->a = a;
	e->state = a->unlinking ? ACCOUNT_UNLINKED : state;
	e->code = code;
	e->user_action = user_action;
	e->by = a->unlinking ? "self" : by;
	e->on_connect = on_connect;
	e->call = call;
	(void)strncpy(e->reason, a->unlinking ? "unlinked" : reason, sizeof(e->reason) - 1);
	log_warnx("account %s: the device is gone (%s); its keys are retired", a->name, e->reason);
	connect_stop(a);
	send_reset(a);
	erase_try(e);
}

void
unlink_erase(struct account *a, enum account_state state, const char *reason, unsigned code,
    const char *user_action, const char *by, int on_connect)
{
	erase(a, state, reason, code, user_action, by, on_connect, NULL);
}

void
unlink_free(struct account *a)
{
	if (a->erasing == NULL)
		return;
	unit_detach(a->erasing->unit);
	event_free(a->erasing->retry);
	free(a->erasing->next.signed_identity);
	free(a->erasing);
	a->erasing = NULL;
}

/* ------------------------------------------------------------------ by us */

static void
unlink_answered(const struct iq_answer *r, void *arg)
{
	struct unlink *k = arg;
	struct account *a = k->a;

	if (r->ok || strcmp(r->why, "disconnected") == 0) {
		erase(a, ACCOUNT_UNLINKED, "unlinked", 0, "relink", "self", 0, k->call);
	} else { /* the phone would still list the device */
		call_failf(k->call, -3, "server_error", 1, "the service did not remove the device");
	}
	a->unlinking = 0;
	free(k);
}

void
account_unlink(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct unlink *k;
	struct node *iq, *rm;

	if (!a->opened || !a->dev.linked || a->erasing) {
		call_failf(c, -7, "unlinked", 0, "the account is not linked");
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if (a->unlinking || (k = calloc(1, sizeof(*k))) == NULL) {
		call_failf(c, -9, "conflict", 1, "it is being unlinked already");
		return;
	}
	k->a = a;
	k->call = c;
	a->unlinking = 1;
	iq = iq_new("set", "md");
	rm = node_new("remove-companion-device");
	node_set_jid(rm, "jid", &a->dev.jid);
	node_set(rm, "reason", "user_initiated");
	node_add(iq, rm);
	(void)iq_request(a, iq, REMOVE_MS, unlink_answered, k);
}
