/* Calls that come: told by durable events, then acked, and a live offer confirmed. */
#include "apid/message/calls.h"

#include <stdlib.h>
#include <string.h>

#include "apid/message/calls_impl.h"
#include "apid/message/content.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"

#define SIGNAL_RAW_MAX 16384u

struct incoming {
	struct flow f; /* first */
	TAILQ_ENTRY(incoming) link;
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	struct call_facts facts; /* points into n */
	struct person from;
	struct jid who;
	struct contacts_request *lookup;
	struct unit *unit;
	int wrote;
};

static void incoming_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind incoming_kind = {"call", incoming_end};

struct calls *
calls_new(struct account *a)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("calls_new");
	c->a = a;
	TAILQ_INIT(&c->known);
	TAILQ_INIT(&c->in);
	TAILQ_INIT(&c->rejecting);
	return c;
}

/* ------------------------------------------------------------------ those that ring */

void
calls_forget(struct calls *c, struct known_call *k)
{
	TAILQ_REMOVE(&c->known, k, link);
	c->nknown--;
	free(k);
}

void
calls_reset(struct account *a)
{
	while (!TAILQ_EMPTY(&a->calls->known))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		calls_forget(a->calls, TAILQ_FIRST(&a->calls->known));
}

void
calls_free(struct calls *c)
{
	if (c == NULL)
		return;
	while (!TAILQ_EMPTY(&c->in))
		flow_end(&TAILQ_FIRST(&c->in)->f, "cancelled", "stopping");
	calls_rejecting_clear(c);
	calls_reset(c->a);
	free(c);
}

struct known_call *
calls_find(struct calls *c, const char *id)
{
	struct known_call *k, *next;
	int64_t now = clock_mono_ms();

	for (k = TAILQ_FIRST(&c->known); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (now - k->since_ms > CALL_RING_MS)
			calls_forget(c, k);
		else if (strcmp(k->id, id) == 0)
			return k;
	}
	return NULL;
}

/* What was durable of a call is remembered for as long as it may ring. */
static void
remember(struct calls *c, const struct call_facts *f, const struct person *from)
{
	struct known_call *k = calls_find(c, f->id);

	if (f->kind == CALL_OFFER && !f->offline && k == NULL) {
		if (c->nknown >= CALLS_KNOWN_MAX)
			calls_forget(c, TAILQ_FIRST(&c->known));
		if ((k = calloc(1, sizeof(*k))) == NULL)
			return; /* it can only not be refused */
		memcpy(k->id, f->id, sizeof(k->id));
		k->from = f->from;
		k->creator = f->creator;
		k->person = *from;
		k->since_ms = clock_mono_ms();
		TAILQ_INSERT_TAIL(&c->known, k, link);
		c->nknown++;
	} else if (k != NULL && f->kind == CALL_TERMINATE) {
		calls_forget(c, k);
	} else if (k != NULL && (f->kind == CALL_ACCEPT || f->kind == CALL_REJECT)) {
		k->taken |= f->reason == NULL || strcmp(f->reason, "busy") != 0;
	}
}

/* ------------------------------------------------------------------ answers */

static void
answer(struct account *a, const struct node *n, const struct call_facts *f)
{
	struct node *k = stanza_ack_new(a, n, 0);

	if (k == NULL) /* transport and relaylatency may have no id */
		return;
	if (!f->bare_ack)
		node_set(k, "type", f->action->tag);
	(void)stanza_send(a, k);
}

/* Tells the caller that it rings here. */
static void
confirm(struct account *a, const struct node *n, const struct call_facts *f)
{
	int lid = jid_is_lid(&f->from);
	struct node *r, *c;

	if (f->kind != CALL_OFFER || f->offline || node_get(n, "id") == NULL ||
	    !(lid ? a->dev.has_lid : a->dev.has_jid))
		return;
	r = node_new("receipt");
	node_set_jid(r, "to", &f->from);
	node_set(r, "id", node_get(n, "id"));
	node_set_jid(r, "from", lid ? &a->dev.lid : &a->dev.jid);
	c = node_child_new(r, "offer");
	node_set(c, "call-id", f->id);
	node_set_jid(c, "call-creator", &f->creator);
	if (stanza_send(a, r) == 0)
		a->n.receipts_out++;
}

/* ------------------------------------------------------------------ durable steps */

static void
incoming_end(struct flow *f, const char *outcome, const char *text)
{
	struct incoming *r = (struct incoming *)f;
	struct account *a = r->a;
	int current = r->conn == a->conn;

	if (outcome == NULL)
		remember(a->calls, &r->facts, &r->from);
	if (outcome == NULL && current) {
		answer(a, r->n, &r->facts);
		confirm(a, r->n, &r->facts);
	}
	contacts_cancel(r->lookup);
	unit_detach(r->unit);
	TAILQ_REMOVE(&a->calls->in, r, link);
	engine_inbound_end(a->svc, r->size);
	node_free(r->n);
	free(r);
	if (outcome != NULL && current && strcmp(outcome, "cancelled") != 0)
		account_store_failed(a, outcome);
}

static void
call_committed(const struct unit_result *u, void *arg)
{
	struct incoming *r = arg;

	r->unit = NULL;
	if (r->wrote)
		contacts_written(r->a, &r->who, u->ok);
	flow_end(&r->f, u->ok ? NULL : u->reason, "the call comes again");
}

static void
call_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct incoming *r = arg;
	const struct known_call *k = calls_find(r->a->calls, r->facts.id);

	r->lookup = NULL;
	if (why != NULL) {
		flow_end(&r->f, why, "the call comes again");
		return;
	}
	r->from = people[0];
	flow_step(&r->f, "call_committed");
	if ((r->unit = unit_open(r->a)) == NULL) {
		flow_end(&r->f, "memory", "out of memory");
		return;
	}
	if (r->facts.has_caller_pn && jid_is_lid(&r->who))
		contacts_learn_pair(r->a, r->facts.caller_pn.user, r->who.user, "other");
	(void)contacts_cached(r->a, &r->who, &r->from);
	call_event(r->unit, r->a, &r->facts, r->n, &r->from, k != NULL && k->taken);
	r->wrote = contacts_write(r->a, &r->who, r->unit);
	unit_commit(r->unit, call_committed, r);
}

static void
call_flow(struct account *a, struct incoming *r, struct node *n, size_t size)
{
	char text[JID_TEXT_MAX];
	const char *name;

	flow_init(&r->f, a->svc->flows, &incoming_kind, a->name, NULL, 0);
	flow_step(&r->f, "call_known");
	r->a = a;
	r->n = n;
	r->size = size;
	r->conn = a->conn;
	r->who = jid_bare(&r->facts.from);
	TAILQ_INSERT_TAIL(&a->calls->in, r, link);
	engine_inbound_begin(a->svc, size);
	name = jid_format(&r->who, text);
	r->lookup = contacts_ask(a, &name, 1, 0, call_known, r);
}

/* ------------------------------------------------------------------ of the moment */

static void
signal_event(struct account *a, const char *call_id, const char *kind, int64_t latency_ms,
    const struct node *raw)
{
	struct service *s = a->svc;
	json_t *o = json_pack("{s:s, s:s}", "call_id", call_id, "kind", kind);
	struct buf b = BUF_INIT;
	char *b64;

	if (latency_ms >= 0)
		json_object_set_new(o, "latency_ms", json_integer(latency_ms));
	if (raw != NULL && node_encode(raw, &b) == 0 && b.len <= SIGNAL_RAW_MAX &&
	    (b64 = stanza_base64(b.data, b.len)) != NULL) {
		json_object_set_new(o, "raw_b64", json_string(b64));
		free(b64);
	}
	if (o != NULL && s->hooks.event_transient != NULL)
		s->hooks.event_transient(s->hooks_arg, a->name, "call.signal", o);
	json_decref(o);
	buf_clear(&b);
}

void
calls_rekey_asked(struct account *a, const struct node *receipt)
{
	const struct node *r = node_child(receipt, "enc_rekey");
	const char *id = r == NULL ? NULL : node_get(r, "call-id");

	if (id != NULL && message_id_ok(id))
		signal_event(a, id, "enc_rekey_retry", -1, NULL);
}

/* Keys of a call are for nobody: what carries them is told by its name alone. */
static const struct node *
without_keys(const struct call_facts *f)
{
	if (node_is(f->action, "enc_rekey") || node_is(f->action, "group_update") ||
	    node_child(f->action, "enc") != NULL || node_child(f->action, "destination") != NULL)
		return NULL;
	return f->action;
}

void
calls_in(struct account *a, struct node *n, size_t size)
{
	struct incoming *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		node_free(n);
		account_store_failed(a, "memory");
		return;
	}
	call_parse(a, n, &r->facts);
	switch (r->facts.kind) {
	case CALL_SIGNAL:
		signal_event(a, r->facts.id, r->facts.action->tag, r->facts.latency_ms,
		    without_keys(&r->facts));
		answer(a, n, &r->facts);
		break;
	case CALL_UNKNOWN:
		stanza_notice(a, n, "call", 1);
		break;
	default:
		call_flow(a, r, n, size);
		return;
	}
	free(r);
	node_free(n);
}
