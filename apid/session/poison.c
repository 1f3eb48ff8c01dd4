/* Poison: stanzas that end the service, found by notes that are made before they are handled.
 *
 *	poison_take -> step -> noted [-> named] -> stanza_handle -> … -> done -> step
 */
#include "apid/session/poison_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/recv.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"

#define STUCK_MS 5000
#define QUIET_MS 100 /* it may be another account's stanzas that are still being dealt with */

static void step(struct poison *p);
static void done(struct poison *p);

static void
look(evutil_socket_t fd, short what, void *arg)
{
	done(arg);
}

struct poison *
poison_new(struct account *a)
{
	struct poison *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("poison_new");
	p->a = a;
	STAILQ_INIT(&p->queue);
	if ((p->timer = evtimer_new(a->svc->base, look, p)) == NULL)
		fatalx("poison_new: no event");
	return p;
}

static void
drop_queue(struct poison *p)
{
	struct poison_item *i;

	while ((i = STAILQ_FIRST(&p->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->nqueue--;
		engine_inbound_end(p->a->svc, i->len);
		free(i);
	}
	evtimer_del(p->timer);
}

void
poison_free(struct poison *p)
{
	if (p == NULL)
		return;
	p->phase = POISON_NOTING; /* nothing is begun any more */
	drop_queue(p);
	unit_detach(p->unit);
	ask_cancel(p->ask);
	for (size_t i = 0; i < p->nnotes; i++)
		poison_note_forget(&p->notes[i]);
	free(p->now);
	free(p->after);
	event_free(p->timer);
	free(p);
}

/* ------------------------------------------------------------------ one stanza */

static void
now_free(struct poison *p)
{
	if (p->now == NULL)
		return;
	engine_inbound_end(p->a->svc, p->now->len);
	free(p->now);
	p->now = NULL;
}

static void
last_written(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL; /* a note that stays does no harm: its stanza was acknowledged */
	p->phase = POISON_IDLE;
	p->last_id[0] = '\0';
	step(p);
}

/* The careful time is over. */
static void
finish(struct poison *p)
{
	size_t kept = 0;

	p->careful = 0;
	if (p->last_id[0] != '\0' && (p->unit = unit_open(p->a)) != NULL) {
		p->phase = POISON_NOTING;
		poison_delete(p->unit, p->last_id);
		for (size_t i = 0; i < p->nnotes; i++)
			if (p->notes[i].attempts < POISON_ENDS) { /* it never came again */
				poison_delete(p->unit, p->notes[i].id);
				poison_note_forget(&p->notes[i]);
			} else {
				kept++;
			}
		if (kept == 0)
			p->nnotes = 0;
		unit_commit(p->unit, last_written, p);
	}
}

/* It was dealt with, as far as can be seen; or it takes too long. */
static void
done(struct poison *p)
{
	int64_t ms = clock_mono_ms() - p->since_ms;
	struct timeval tv = {0, QUIET_MS * 1000};
	size_t of_others = p->nqueue + (p->now != NULL);

	if (p->phase != POISON_HANDLING)
		return;
	if (ms < STUCK_MS && (recv_in_flight(p->a) > 0 ||
				 (engine_inbound(p->a->svc) > of_others && ms < QUIET_MS))) {
		if (!evtimer_pending(p->timer, NULL))
			evtimer_add(p->timer, &tv);
		return;
	}
	evtimer_del(p->timer);
	memcpy(p->last_id, p->now_id, sizeof(p->last_id));
	p->phase = POISON_IDLE;
	now_free(p);
	if (++p->handled >= POISON_CAREFUL || (p->a->state == ACCOUNT_ONLINE && p->nqueue == 0))
		finish(p);
	step(p);
}

void
poison_inbound_ended(struct service *s, size_t inbound)
{
	for (size_t i = 0; i < s->naccounts && !s->stopping; i++) {
		struct poison *p = s->accounts[i] == NULL ? NULL : s->accounts[i]->poison;

		if (p != NULL && p->phase == POISON_HANDLING &&
		    recv_in_flight(s->accounts[i]) == 0 && inbound <= p->nqueue + (p->now != NULL))
			event_active(p->timer, EV_TIMEOUT, 0); /* from the loop */
	}
}

static void
handle(struct poison *p)
{
	if (p->now->conn != p->a->conn) { /* it comes again */
		now_free(p);
		p->phase = POISON_IDLE;
		step(p);
		return;
	}
	p->phase = POISON_HANDLING;
	p->since_ms = clock_mono_ms();
	stanza_handle(p->a, p->now->bytes, p->now->len);
	done(p);
}

static void
named(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL;
	handle(p); /* without its name it is set aside without an ack */
}

/* It was being handled when the service ended. How it would be acknowledged is noted too. */
static void
name(struct poison *p)
{
	struct node *n = node_decode(p->now->bytes, p->now->len, NULL);
	struct node *ack = n == NULL ? NULL : stanza_ack_new(p->a, n, 0);
	struct buf b = BUF_INIT;

	if (ack != NULL && node_encode(ack, &b) == 0 && (p->unit = unit_open(p->a)) != NULL) {
		poison_put(p->unit, POISON_ACK, p->now_id, b.data, b.len, 0);
		unit_commit(p->unit, named, p);
	} else {
		handle(p);
	}
	buf_clear(&b);
	node_free(ack);
	node_free(n);
}

static void
noted(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL;
	if (!r->ok) {
		if (p->now->conn == p->a->conn)
			account_store_failed(p->a, r->reason);
		now_free(p);
		p->phase = POISON_IDLE;
		step(p);
		return;
	}
	p->last_id[0] = '\0';
	if (poison_note_by_id(p, p->now_id, 0) != NULL)
		name(p);
	else
		handle(p);
}

/* ------------------------------------------------------------------ setting aside */

static void
set_aside_written(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;
	const struct poison_note *n = poison_note_by_id(p, p->now_id, 0);

	p->unit = NULL;
	p->phase = POISON_IDLE;
	if (!r->ok) {
		if (p->now->conn == p->a->conn)
			account_store_failed(p->a, r->reason);
	} else {
		p->a->n.poison++;
		if (p->now->conn == p->a->conn && n != NULL && n->ack != NULL)
			(void)stanza_send_bytes(p->a, n->ack, n->ack_len);
	}
	now_free(p);
	step(p);
}

static json_t *
notice(const struct poison_note *n, const struct poison_item *i)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", "poison", "error",
	    "it ended the service each time that it was handled");
	struct node *ack = n->ack == NULL ? NULL : node_decode(n->ack, n->ack_len, NULL);

	if (ack != NULL) { /* of our own making */
		json_object_set_new(o, "tag", json_string(node_get(ack, "class")));
		json_object_set_new(o, "message_id", json_string(node_get(ack, "id")));
		json_object_set_new(o, "from", json_string(node_get(ack, "to")));
	}
	(void)content_set_raw(o, i->bytes, i->len < CONTENT_RAW_PART ? i->len : CONTENT_RAW_PART);
	node_free(ack);
	return o;
}

/* Its note stays, so that it is known should it come again. */
static void
set_aside(struct poison *p, const struct poison_note *n)
{
	char key[64];

	log_errx(
	    "account %s: a stanza of %zu bytes has ended the service %u times: it is set aside, "
	    "see the server.notice of kind poison",
	    p->a->name, p->now->len, n->attempts);
	if ((p->unit = unit_open(p->a)) == NULL) {
		account_store_failed(p->a, "memory");
		now_free(p);
		return;
	}
	p->phase = POISON_NOTING;
	(void)snprintf(key, sizeof(key), "poison:%s", n->id);
	unit_event(p->unit, "server.notice", "live", clock_wall_ms(), notice(n, p->now), key);
	poison_put(p->unit, POISON_MARK, POISON_MARK, "", 1, 0);
	unit_commit(p->unit, set_aside_written, p);
}

/* ------------------------------------------------------------------ taking turns */

static void
note(struct poison *p, const struct poison_note *n)
{
	uint8_t hash[16];

	if ((p->unit = unit_open(p->a)) == NULL) {
		account_store_failed(p->a, "memory");
		now_free(p);
		return;
	}
	if (n != NULL) {
		memcpy(p->now_id, n->id, sizeof(p->now_id));
	} else {
		crypto_generichash(hash, sizeof(hash), p->now->bytes, p->now->len, NULL, 0);
		(void)sodium_bin2hex(p->now_id, sizeof(p->now_id), hash, sizeof(hash));
	}
	p->phase = POISON_NOTING;
	if (p->last_id[0] != '\0')
		poison_delete(p->unit, p->last_id);
	poison_put(p->unit, POISON_STANZA, p->now_id, p->now->bytes, p->now->len,
	    (n != NULL ? n->attempts : 0) + 1);
	unit_commit(p->unit, noted, p);
}

/* The next of those that wait. */
static void
step(struct poison *p)
{
	while (p->phase == POISON_IDLE && (p->now = STAILQ_FIRST(&p->queue)) != NULL) {
		struct poison_note *n = poison_note_of(p, p->now->bytes, p->now->len);

		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->nqueue--;
		if (p->now->conn != p->a->conn) {
			now_free(p);
		} else if (n != NULL && n->attempts >= POISON_ENDS) {
			memcpy(p->now_id, n->id, sizeof(p->now_id));
			set_aside(p, n);
		} else if (p->careful && p->now->len <= POISON_NOTE_MAX &&
			   poison_gate(p->now->bytes, p->now->len) == POISON_NOTE) {
			note(p, n);
		} else {
			stanza_handle(p->a, p->now->bytes, p->now->len);
			now_free(p);
		}
	}
	if (p->careful && p->phase == POISON_IDLE && p->a->state == ACCOUNT_ONLINE)
		finish(p);
}

int
poison_take(struct account *a, const uint8_t *bytes, size_t len)
{
	struct poison *p = a->poison;
	const struct poison_note *n;
	struct poison_item *i;

	if (!p->careful && p->nnotes == 0 && p->phase == POISON_IDLE && p->nqueue == 0)
		return 0; /* as always */
	n = poison_note_of(p, bytes, len);
	if (!a->opened || (poison_gate(bytes, len) == POISON_PASS && n == NULL))
		return 0;
	if (!p->careful && p->phase == POISON_IDLE && p->nqueue == 0 &&
	    (n == NULL || n->attempts < POISON_ENDS))
		return 0;
	if ((i = malloc(sizeof(*i) + len)) == NULL) {
		account_store_failed(a, "memory");
		return 1;
	}
	i->conn = a->conn;
	i->len = len;
	memcpy(i->bytes, bytes, len);
	engine_inbound_begin(a->svc, len);
	STAILQ_INSERT_TAIL(&p->queue, i, link);
	p->nqueue++;
	step(p);
	return 1;
}

void
poison_disconnected(struct account *a)
{
	struct poison *p = a->poison;

	drop_queue(p);
	if (p->phase == POISON_HANDLING) /* what it began ends by itself */
		event_active(p->timer, EV_TIMEOUT, 0);
}
