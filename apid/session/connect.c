/* The link of an account: wanting it, losing it, and what the service says when it ends it. */
#include "apid/session/connect.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/mark.h"
#include "apid/message/outbox.h"
#include "apid/message/receipts.h"
#include "apid/message/tctoken.h"
#include "apid/message/typing.h"
#include "apid/session/iq.h"
#include "apid/session/login.h"
#include "apid/session/poison.h"
#include "apid/session/pair.h"
#include "apid/session/payload.h"
#include "apid/session/presence.h"
#include "apid/session/privacy.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "apid/session/unlink.h"
#include "apid/session/verdict.h"
#include "common/clock.h"
#include "common/log.h"

#define RESTART_WINDOW_MS 60000
#define RESTART_GUARD_MS  15000u
#define KICK_MS           3000  /* the service closes after a verdict; if it does not, we do */
#define STABLE_MS         30000 /* logged in for so long without a 429: that is forgotten */

static uint8_t *
make_payload(const struct account *a, size_t *len)
{
	struct payload_client c;

	payload_client_from_config(a->svc->config, &c);
	if (a->dev.linked && a->dev.has_jid)
		return payload_login(
		    &c, &a->dev.jid, a->rec.login_counter, a->rec.lid_migrated, len);
	return payload_registration(&c, &a->dev, len);
}

enum restart {
	RESTART_NO,
	RESTART_AT_ONCE,
	RESTART_FAILED /* the back-off takes its next step */
};

static void
link_up(struct account *a, enum restart restart, unsigned delay_ms)
{
	Netd__LinkUp m = NETD__LINK_UP__INIT;
	size_t len = 0;
	uint8_t *payload = make_payload(a, &len);

	if (payload == NULL) {
		state_set(a, ACCOUNT_STOPPED, "bad_device_record", 0, "operator", 0, 0);
		return;
	}
	m.account = a->name;
	m.payload.data = payload;
	m.payload.len = len;
	if (a->dev.linked && a->rec.routing_info_len > 0) {
		m.has_routing_info = 1;
		m.routing_info.data = a->rec.routing_info;
		m.routing_info.len = a->rec.routing_info_len;
	}
	m.has_restart = m.restart = restart != RESTART_NO;
	m.has_failed = m.failed = restart == RESTART_FAILED;
	m.has_min_delay_ms = delay_ms > 0;
	m.min_delay_ms = delay_ms;
	a->link_wanted = 1;
	(void)channel_notify(a->svc->netd, NETD__TYPE__LINK_UP, &m.base); /* else it is broken */
	sodium_memzero(payload, len);
	free(payload);
}

void
connect_start(struct account *a, const char *reason)
{
	if (a->dev.linked)
		state_set(a, ACCOUNT_CONNECTING, reason, 0, "none", 0, 0);
	link_up(a, RESTART_NO, 0);
}

void
connect_later(struct account *a, const char *reason, unsigned delay_ms)
{
	if (a->dev.linked)
		state_set(a, ACCOUNT_BACKOFF, reason, 0, "none", clock_wall_ms() + delay_ms, 0);
	link_up(a, RESTART_NO, delay_ms);
}

void
connect_again(struct account *a, const char *reason)
{
	if (!a->link_wanted) {
		connect_start(a, reason);
		return;
	}
	connect_restart(a, 0);
	state_set(a, ACCOUNT_CONNECTING, reason, 0, "none", 0, 0);
}

void
connect_refresh(struct account *a)
{
	if (a->link_wanted)
		link_up(a, RESTART_NO, 0);
}

/* The connection is gone, or must not be used any more. */
static void
disconnected(struct account *a)
{
	if (a->conn == 0)
		return;
	if (a->logged_in && !a->rate_limited && clock_mono_ms() - a->logged_in_ms >= STABLE_MS)
		a->rate_steps = 0;
	a->conn = 0;
	a->logged_in = 0;
	if (a->kick_timer != NULL)
		evtimer_del(a->kick_timer);
	login_disconnected(a);
	poison_disconnected(a);
	iq_disconnected(a);
	presence_disconnected(a);
	privacy_disconnected(a);
	receipts_disconnected(a);
	marks_disconnected(a);
	typing_disconnected(a);
	outbox_disconnected(a);
	pair_disconnected(a);
	tctokens_disconnected(a);
}

void
connect_restart(struct account *a, unsigned delay_ms)
{
	const size_t n = sizeof(a->restarts) / sizeof(a->restarts[0]);
	int64_t now = clock_mono_ms(), oldest = a->restarts[n - 1];

	memmove(a->restarts + 1, a->restarts, (n - 1) * sizeof(a->restarts[0]));
	a->restarts[0] = now;
	if (oldest != 0 && now - oldest < RESTART_WINDOW_MS && delay_ms < RESTART_GUARD_MS) {
		log_warnx("account %s: %zu restarts within a minute; waiting %u s", a->name, n,
		    RESTART_GUARD_MS / 1000);
		delay_ms = RESTART_GUARD_MS;
	}
	disconnected(a);
	link_up(a, RESTART_AT_ONCE, delay_ms);
}

void
connect_stop(struct account *a)
{
	Netd__LinkDown m = NETD__LINK_DOWN__INIT;

	a->link_wanted = 0;
	receipts_flush(a); /* what was read is not to come again */
	m.account = a->name;
	(void)channel_notify(a->svc->netd, NETD__TYPE__LINK_DOWN, &m.base);
	disconnected(a);
}

/* The service has not closed after a verdict, or says neither <success> nor <failure>. */
static void
kick(evutil_socket_t fd, short what, void *arg)
{
	struct account *a = arg;

	if (!a->link_wanted || a->conn == 0)
		return;
	if (!a->verdict_given)
		state_set(a, ACCOUNT_BACKOFF, "login_timeout", 0, "none", 0, 0);
	a->verdict_given = 1; /* the reason stands */
	link_up(a, RESTART_FAILED, 0);
}

static void
arm_kick(struct account *a, int64_t ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	if (a->kick_timer == NULL && (a->kick_timer = evtimer_new(a->svc->base, kick, a)) == NULL)
		fatalx("connect: no event");
	evtimer_add(a->kick_timer, &tv);
}

void
connect_logged_in(struct account *a)
{
	a->logged_in = 1;
	a->logged_in_ms = clock_mono_ms();
	if (a->kick_timer != NULL)
		evtimer_del(a->kick_timer);
}

static void
link_open(struct account *a, uint64_t conn)
{
	disconnected(a);
	a->conn = conn;
	a->verdict_given = 0;
	a->wants_room = 0;
	a->next_iq = 0;
	a->unsent_over = 0;
	randombytes_buf(a->iq_r, sizeof(a->iq_r));
	a->n.connects++;
	a->rate_limited = 0;
	if (a->dev.linked)
		arm_kick(a, config_int(a->svc->config, "network", "connect_timeout"));
}

void
connect_link_state(struct account *a, const Netd__LinkState *st)
{
	const char *reason = st->reason != NULL ? st->reason : "closed";

	switch (st->state) {
	case NETD__LINK_STATE__STATE__CONNECTING:
		if (a->link_wanted && a->dev.linked)
			state_set(a, ACCOUNT_CONNECTING, "dialing", 0, "none", 0, 0);
		break;
	case NETD__LINK_STATE__STATE__OPEN:
		if (a->link_wanted)
			link_open(a, st->conn);
		break;
	case NETD__LINK_STATE__STATE__CLOSED:
		if (st->conn == a->conn)
			disconnected(a);
		if (a->state == ACCOUNT_CONNECTING && strcmp(reason, "restart") == 0)
			break; /* as we wanted it */
		if (a->link_wanted && a->dev.linked && a->conn == 0 && !state_is_sticky(a->state)) {
			int given = a->state == ACCOUNT_BACKOFF &&
				    (a->verdict_given || a->wants_room ||
					strcmp(reason, "restart") == 0); /* we know why */
			char kept[sizeof(a->reason)];

			memcpy(kept, a->reason, sizeof(kept));
			state_set(a, ACCOUNT_BACKOFF, given ? kept : reason, given ? a->code : 0,
			    given ? a->user_action : "none",
			    st->has_next_attempt_ms ? st->next_attempt_ms : 0, 0);
		} else if (!a->dev.linked) {
			pair_link_closed(a, reason);
		}
		break;
	case NETD__LINK_STATE__STATE__DOWN:
		if (!a->link_wanted)
			disconnected(a);
		break;
	default:
		log_warnx("account %s: netd told a link state %d that this version does not know",
		    a->name, (int)st->state);
	}
}

static void
apply(struct account *a, const struct verdict *v, int failure)
{
	if (!a->dev.linked) { /* a registration: there is no device to lose yet */
		if (v->action == VERDICT_RESTART)
			connect_restart(a, 0);
		else
			pair_failed(a, v->reason);
		return;
	}
	switch (v->action) {
	case VERDICT_RECONNECT:
		state_set(a, ACCOUNT_BACKOFF, v->reason, v->code, v->user_action, 0, 0);
		arm_kick(a, KICK_MS);
		break;
	case VERDICT_RESTART:
		connect_restart(a, 0);
		state_set(a, ACCOUNT_CONNECTING, v->reason, v->code, "none", 0, 0);
		break;
	case VERDICT_DELAY:
		a->rate_steps++;
		a->rate_limited = 1;
		connect_restart(a, v->delay_ms);
		state_set(a, ACCOUNT_BACKOFF, v->reason, v->code, v->user_action,
		    clock_wall_ms() + v->delay_ms, 0);
		break;
	case VERDICT_STOP:
		connect_stop(a);
		state_set_sub(
		    a, v->state, v->reason, v->code, v->subcode, v->user_action, 0, v->until_ms);
		outbox_state_changed(a);
		break;
	case VERDICT_ERASE:
		unlink_erase(a, v->state, v->reason, v->code, v->user_action,
		    strcmp(v->reason, "device_removed") == 0 ? "phone" : "service", failure);
		break;
	}
}

void
connect_verdict_node(struct account *a, const struct node *n)
{
	struct verdict v;

	if (node_is(n, "xmlstreamend")) {
		log_debug("account %s: the service ends the stream", a->name);
		return;
	}
	if (node_is(n, "error")) { /* page 01, 6.6: a stanza of ours failed the schema */
		log_warnx("account %s: the service refused a stanza with code %lld", a->name,
		    (long long)node_get_int(n, "code", 99999));
		return;
	}
	if (a->verdict_given)
		return;
	a->verdict_given = 1;
	if (node_is(n, "failure"))
		verdict_failure(n, clock_wall_ms(), &v);
	else
		verdict_stream_error(n, a->rate_steps, &v);
	if (a->dev.linked && v.action != VERDICT_RESTART) /* all that it says, for people */
		stanza_notice(a, n, n->tag, 0);
	apply(a, &v, node_is(n, "failure"));
}
