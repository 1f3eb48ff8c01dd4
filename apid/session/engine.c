/* The engine of the service: starts the accounts when the store and keyd are ready, and routes what
 * the channels bring to them. */
#include "apid/session/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/held.h"
#include "apid/message/outbox.h"
#include "apid/message/receipts.h"
#include "apid/message/recv.h"
#include "apid/message/send.h"
#include "apid/channels.h"
#include "apid/session/call.h"
#include "apid/session/client.h"
#include "apid/session/connect.h"
#include "apid/session/iq.h"
#include "apid/session/poison.h"
#include "apid/session/rekey.h"
#include "apid/session/restored.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "common/clock.h"
#include "common/log.h"

#define KEYD_POLL_MS    2000
#define KEYD_HURRY_MS   40 /* while it opens the keys */
#define SETTLE_MS       15000
#define ASK_DEADLINE_MS 20000u

struct engine {
	struct service *s;
	struct event *keyd_poll;
	struct rekey *rekey;
	uint64_t last_unit;
	size_t inbound, inbound_bytes;
	int paused, started;
	int64_t keyd_since_ms, store_since_ms;
	char service_reason[32]; /* of the service's own database, "" = fine */
	void (*settled)(struct service *);
	struct event *settle;
	uint64_t strangers; /* stanzas for accounts or connections that are not there */
};

static void keyd_ask(struct engine *e);

/* What the start depends on is known, or takes too long: clients may come. */
static void
settle_now(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	void (*fn)(struct service *) = e->settled;

	e->settled = NULL;
	evtimer_del(e->settle);
	if (fn != NULL && !e->s->stopping)
		fn(e->s);
}

static void
settle(struct engine *e)
{
	int keyd = e->s->keyd_ready, store = strcmp(e->service_reason, "starting") != 0;
	int hopeless = !keyd && strcmp(e->s->keyd_reason, "starting") != 0;
	size_t opening = 0;

	for (size_t i = 0; i < e->s->naccounts; i++)
		opening += e->s->accounts[i]->opening;
	if (e->settled != NULL && ((keyd && store && opening == 0) || hopeless))
		event_active(e->settle, EV_TIMEOUT, 0);
}

void
engine_account_opened(struct service *s)
{
	settle(s->engine);
}

void
engine_when_settled(struct service *s, void (*fn)(struct service *))
{
	struct timeval tv = {SETTLE_MS / 1000, 0};

	s->engine->settled = fn;
	evtimer_add(s->engine->settle, &tv);
	settle(s->engine);
}

static void
keyd_poll(evutil_socket_t fd, short what, void *arg)
{
	keyd_ask(arg);
}

void
engine_init(struct service *s)
{
	struct engine *e = calloc(1, sizeof(*e));
	uint8_t boot[16];

	if (e == NULL)
		fatal("engine_init");
	e->s = s;
	s->engine = e;
	e->keyd_since_ms = e->store_since_ms = clock_wall_ms();
	(void)snprintf(s->keyd_reason, sizeof(s->keyd_reason), "starting");
	(void)snprintf(e->service_reason, sizeof(e->service_reason), "starting");
	randombytes_buf(boot, sizeof(boot));
	(void)sodium_bin2hex(s->boot_id, sizeof(s->boot_id), boot, sizeof(boot));
	e->keyd_poll = evtimer_new(s->base, keyd_poll, e);
	e->settle = evtimer_new(s->base, settle_now, e);
	if (e->keyd_poll == NULL || e->settle == NULL)
		fatalx("engine: no event");
	s->naccounts = config_account_count(s->config);
	e->rekey = rekey_new(s);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	if ((s->accounts = calloc(s->naccounts + 1, sizeof(*s->accounts))) == NULL)
		fatal("engine_init");
	for (size_t i = 0; i < s->naccounts; i++) {
		s->accounts[i] = account_new(s, config_account_name(s->config, i), i);
		if (!config_account_bool(s->config, i, "enabled")) {
			s->accounts[i]->disabled = 1;
			state_restore(
			    s->accounts[i], ACCOUNT_STOPPED, "disabled", clock_wall_ms(), 0);
		}
	}
}

static void
open_accounts(struct service *s)
{
	if (!s->engine->started || !s->keyd_ready || !s->store_ready)
		return;
	for (size_t i = 0; i < s->naccounts; i++)
		account_open(s->accounts[i]);
}

/* ------------------------------------------------------------------ keyd */

static void
keyd_told(const struct reply *rp, void *arg)
{
	struct engine *e = arg;
	struct service *s = e->s;
	const Keyd__StatusReply *m = (const Keyd__StatusReply *)rp->pb;
	const char *reason = !rp->ok ? rp->code : m->reason != NULL ? m->reason : "locked";
	int ready = rp->ok && m->unlocked;
	struct timeval tv = {KEYD_POLL_MS / 1000, 0};

	if (s->stopping)
		return;
	if (ready != s->keyd_ready)
		e->keyd_since_ms = clock_wall_ms();
	s->keyd_ready = ready;
	if (ready) {
		s->keyd_reason[0] = '\0';
		open_accounts(s);
		if (m->rekey != NULL)
			rekey_told(e->rekey, m->rekey);
		settle(e);
		return;
	}
	if (strcmp(s->keyd_reason, reason) != 0)
		log_warnx("keyd is not ready: %s", reason);
	(void)snprintf(s->keyd_reason, sizeof(s->keyd_reason), "%s", reason);
	if (strcmp(reason, "starting") == 0) {
		tv.tv_sec = 0;
		tv.tv_usec = KEYD_HURRY_MS * 1000;
	}
	evtimer_add(e->keyd_poll, &tv);
	settle(e);
}

static void
keyd_ask(struct engine *e)
{
	Keyd__Status m = KEYD__STATUS__INIT;

	(void)channel_request(e->s->keyd, KEYD__TYPE__STATUS, &m.base, KEYD__TYPE__STATUS_REPLY,
	    &keyd__status_reply__descriptor, 64 * 1024, ASK_DEADLINE_MS, keyd_told, e);
}

/* ------------------------------------------------------------------ stored */

static void
account_store(struct account *a, const Stored__AccountOpened *o)
{
	const char *reason = o->ok ? "" : o->reason != NULL ? o->reason : "failed";

	if (a->store_ok == o->ok && strcmp(a->store_reason, reason) == 0)
		return;
	a->store_ok = o->ok;
	a->restored = o->ok && o->restored;
	(void)snprintf(a->store_reason, sizeof(a->store_reason), "%s", reason);
	if (!o->ok) {
		log_errx("account %s: its database cannot be used: %s%s%s", a->name, reason,
		    o->text != NULL ? ": " : "", o->text != NULL ? o->text : "");
		if (a->link_wanted)
			connect_stop(a);
		(void)snprintf(a->reason, sizeof(a->reason), "store_%s", reason);
		a->state = ACCOUNT_STOPPED;
		a->user_action = "operator";
		a->since_ms = clock_wall_ms();
	}
}

void
engine_store_state(struct service *s, const Stored__StoreState *st)
{
	struct engine *e = s->engine;
	const char *why = st->service->ok               ? ""
			  : st->service->reason != NULL ? st->service->reason
							: "failed";
	int room;

	if (s->store_ready != st->service->ok)
		e->store_since_ms = clock_wall_ms();
	s->store_ready = st->service->ok;
	(void)snprintf(e->service_reason, sizeof(e->service_reason), "%s", why);
	(void)snprintf(s->log_id, sizeof(s->log_id), "%s", st->log_id);
	if (st->last_seq > s->last_seq)
		s->last_seq = st->last_seq;
	if (st->disk_low && !s->disk_low)
		log_warnx("the disk of the store is nearly full");
	room = s->disk_low && !st->disk_low;
	s->disk_low = st->disk_low;
	for (size_t i = 0; i < st->n_accounts; i++) {
		struct account *a = account_find(s, st->accounts[i]->account);

		if (a != NULL)
			account_store(a, st->accounts[i]);
		if (a != NULL && room)
			account_disk_again(a);
	}
	open_accounts(s);
	settle(e);
}

/* ------------------------------------------------------------------ netd */

void
engine_link_state(struct service *s, const Netd__LinkState *st)
{
	struct account *a = account_find(s, st->account);

	if (a == NULL)
		s->engine->strangers++;
	else
		connect_link_state(a, st);
}

void
engine_stanza(struct service *s, const Netd__Stanza *st)
{
	struct account *a = account_find(s, st->account);

	if (a == NULL || a->conn == 0 || st->conn != a->conn) {
		s->engine->strangers++; /* of a connection that was given up: it comes again */
		return;
	}
	stanza_in(a, st->node.data, st->node.len);
}

void
engine_netd_drained(struct service *s)
{
	for (size_t i = 0; i < s->naccounts; i++)
		outbox_drained(s->accounts[i]);
}

void
engine_inbound_begin(struct service *s, size_t bytes)
{
	struct engine *e = s->engine;

	e->inbound++;
	e->inbound_bytes += bytes;
	if (!e->paused &&
	    (e->inbound > ENGINE_INBOUND_MAX || e->inbound_bytes > ENGINE_INBOUND_BYTES_MAX)) {
		e->paused = 1;
		channel_pause(s->netd);
	}
}

void
engine_inbound_end(struct service *s, size_t bytes)
{
	struct engine *e = s->engine;

	e->inbound--;
	e->inbound_bytes -= bytes;
	poison_inbound_ended(s, e->inbound);
	if (e->paused && e->inbound <= ENGINE_INBOUND_MAX / 2 &&
	    e->inbound_bytes <= ENGINE_INBOUND_BYTES_MAX / 2) {
		e->paused = 0;
		channel_resume(s->netd);
	}
}

size_t
engine_inbound(const struct service *s)
{
	return s->engine->inbound;
}

uint64_t
engine_next_unit(struct service *s)
{
	return ++s->engine->last_unit;
}

/* ------------------------------------------------------------------ for rpc/ and main */

void
engine_start(struct service *s)
{
	s->engine->started = 1;
	keyd_ask(s->engine);
	open_accounts(s);
}

void
engine_stop(struct service *s)
{
	s->stopping = 1;
	for (size_t i = 0; i < s->naccounts; i++)
		if (s->accounts[i]->link_wanted) {
			receipts_flush(s->accounts[i]);
			connect_stop(s->accounts[i]);
		}
	rekey_stop(s->engine->rekey);
	evtimer_del(s->engine->keyd_poll);
	evtimer_del(s->engine->settle);
	call_cancel_all(s);
}

void
engine_free(struct service *s)
{
	s->stopping = 1;
	for (size_t i = 0; i < s->naccounts; i++)
		iq_fail_all(s->accounts[i]);
	rekey_stop(s->engine->rekey);
	channels_close(s);
	rekey_free(s->engine->rekey);
	for (size_t i = 0; i < s->naccounts; i++)
		account_free(s->accounts[i]);
	call_free_all(s);
	free(s->accounts);
	s->accounts = NULL;
	s->naccounts = 0;
	event_free(s->engine->keyd_poll);
	event_free(s->engine->settle);
	free(s->engine);
	s->engine = NULL;
}

void
engine_rekey(struct service *s, const void *client, int look, engine_done_fn *fn, void *arg)
{
	rekey_ask(s->engine->rekey, client, look, fn, arg);
}

int
engine_full(const struct service *s)
{
	return call_left() >= CALLS_LEFT_MAX;
}

void
engine_cancel_client(struct service *s, const void *client)
{
	call_cancel_client(s, client);
}

static void
check(json_t *checks, const char *name, const char *status, const char *reason, int64_t since_ms,
    const char *action)
{
	json_array_append_new(
	    checks, json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", name, "status", status, "reason",
			reason, "since_ms", (json_int_t)since_ms, "user_action", action));
}

static void
check_account(const struct account *a, json_t *checks)
{
	char name[64];
	const char *status = "ok";
	int64_t since;

	if (a->state == ACCOUNT_BACKOFF || a->state == ACCOUNT_CONNECTING ||
	    a->state == ACCOUNT_RESTRICTED)
		status = "degraded";
	else if (state_is_sticky(a->state) && a->state != ACCOUNT_UNLINKED &&
		 (!a->rec.paused || strcmp(a->reason, RESTORED_REASON) == 0))
		status = "failing";
	(void)snprintf(name, sizeof(name), "account.%s", a->name);
	check(checks, name, status, a->reason, a->since_ms, a->user_action);
	if (held_count(a) > 0) {
		(void)snprintf(name, sizeof(name), "account.%s.held", a->name);
		check(checks, name, "degraded", "identity_held", a->since_ms, "operator");
	}
	if (outbox_stops(a, &since) > 0) {
		(void)snprintf(name, sizeof(name), "account.%s.outbox", a->name);
		check(checks, name, "degraded", "held", since, "operator");
	}
	if (!a->store_ok && strcmp(a->store_reason, "starting") != 0) {
		(void)snprintf(name, sizeof(name), "account.%s.store", a->name);
		check(checks, name, "failing", a->store_reason, a->since_ms, "operator");
	}
}

void
engine_health(struct service *s, json_t *checks)
{
	struct engine *e = s->engine;

	check(checks, "keyd", s->keyd_ready ? "ok" : "failing",
	    s->keyd_ready ? "ready" : s->keyd_reason, e->keyd_since_ms,
	    s->keyd_ready || strcmp(s->keyd_reason, "starting") == 0 ? "none" : "operator");
	check(checks, "store", s->store_ready ? "ok" : "failing",
	    s->store_ready ? "ready" : e->service_reason, e->store_since_ms,
	    s->store_ready || strcmp(e->service_reason, "starting") == 0 ? "none" : "operator");
	rekey_health(e->rekey, checks);
	check(checks, "disk", s->disk_low ? "degraded" : "ok", s->disk_low ? "disk_low" : "enough",
	    e->store_since_ms, s->disk_low ? "operator" : "none");
	for (size_t i = 0; i < s->naccounts; i++)
		check_account(s->accounts[i], checks);
	client_health(s, checks);
}

void
engine_counters(struct service *s, json_t *out)
{
	struct account_counters t = {0};
	size_t depth = 0, recv = 0, send = 0, held = 0;
	int64_t oldest = 0, since;
	size_t holds = 0;

	for (size_t i = 0; i < s->naccounts; i++) {
		const struct account *a = s->accounts[i];
		const uint64_t *from = (const uint64_t *)(const void *)&a->n;
		uint64_t *to = (uint64_t *)(void *)&t;

		for (size_t k = 0; k < sizeof(t) / sizeof(*to); k++) /* all are uint64_t */
			to[k] += from[k];
		depth += outbox_depth(a);
		if (outbox_oldest_ms(a) > oldest)
			oldest = outbox_oldest_ms(a);
		holds += outbox_stops(a, &since);
		recv += recv_in_flight(a);
		send += send_in_flight(a);
		held += held_count(a);
	}
#define COUNT(name, v) json_object_set_new(out, name, json_integer((json_int_t)(v)))
	COUNT("connects", t.connects);
	COUNT("stanzas_in", t.stanzas_in);
	COUNT("stanzas_out", t.stanzas_out);
	COUNT("stanzas_undecodable", t.undecodable);
	COUNT("stanzas_unknown", t.unknown);
	COUNT("stanzas_stray", s->engine->strangers);
	COUNT("messages_received", t.received);
	COUNT("messages_sent", t.sent);
	COUNT("messages_failed", t.failed_sends);
	COUNT("messages_unknown", t.unknown_sends);
	COUNT("messages_duplicate", t.duplicates);
	COUNT("messages_undecryptable", t.undecryptable);
	COUNT("messages_held", t.held);
	COUNT("messages_released", t.released);
	COUNT("messages_held_now", held);
	COUNT("identities_changed", t.identity_changes);
	COUNT("receipts_in", t.receipts_in);
	COUNT("receipts_out", t.receipts_out);
	COUNT("retries_in", t.retries_in);
	COUNT("retries_out", t.retries_out);
	COUNT("retries_bare", t.retries_bare);
	COUNT("phone_asks", t.phone_asks);
	COUNT("stanzas_poison", t.poison);
	COUNT("iq_answers_late", t.late_iqs);
	COUNT("transients_lost", t.transients_lost);
	COUNT("store_failures", t.store_failures);
	COUNT("prekeys_uploaded", t.prekeys_uploaded);
	COUNT("prekey_upload_failures", t.prekey_upload_failures);
	COUNT("digest_checks", t.digest_checks);
	COUNT("digest_mismatches", t.digest_mismatches);
	COUNT("signed_prekey_rotations", t.skey_rotations);
	COUNT("signed_prekey_refusals", t.skey_refused);
	COUNT("lid_moves", t.lid_moves);
	COUNT("device_refreshes", t.device_refreshes);
	COUNT("outbox_depth", depth);
	COUNT("outbox_oldest_seconds", oldest / 1000);
	COUNT("outbox_pauses", t.pauses);
	COUNT("outbox_holds_now", holds);
	COUNT("device_lists_stale", t.stale_lists);
	COUNT("mex_failures", t.mex_failures);
	COUNT("receiving_now", recv);
	COUNT("sending_now", send);
	COUNT("inbound_now", s->engine->inbound);
	COUNT("units", s->engine->last_unit);
	COUNT("client_version_age_seconds", engine_client_age_s(s));
#undef COUNT
}
