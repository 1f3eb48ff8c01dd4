/* A unit of work in stored: opened, filled, committed once. */
#include "apid/session/unit.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/session/body.h"
#include "apid/session/engine.h"
#include "common/log.h"

#define UNIT_DEADLINE_MS 30000u
#define UNIT_WRITES_MAX  4096u

struct block { /* memory of copied writes, wiped with the unit */
	struct block *next;
	size_t len;
	_Alignas(16) uint8_t data[];
};

struct unit {
	struct account *a;
	uint64_t id;
	uint32_t stages;
	Stored__Write **writes;
	size_t n, cap, bytes, nevents;
	struct block *mem;
	int failed, patient;
	unit_done_fn *fn;
	void *arg;
};

static void *
take(struct unit *u, size_t len)
{
	struct block *b = calloc(1, sizeof(*b) + len);

	if (b == NULL) {
		u->failed = 1;
		return NULL;
	}
	b->len = len;
	b->next = u->mem;
	u->mem = b;
	u->bytes += len;
	return b->data;
}

static void *
take_copy(struct unit *u, const void *from, size_t len)
{
	void *p = take(u, len + 1); /* a NUL behind it, for text */

	if (p != NULL && len > 0)
		memcpy(p, from, len);
	return p;
}

static char *
take_text(struct unit *u, const char *text)
{
	return text == NULL ? NULL : take_copy(u, text, strlen(text));
}

static void
take_bytes(struct unit *u, ProtobufCBinaryData *b)
{
	b->data = take_copy(u, b->data, b->len);
}

static void
take_texts(struct unit *u, char ***list, size_t *n)
{
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	char **copy = *n == 0 ? NULL : take(u, *n * sizeof(*copy));

	for (size_t i = 0; copy != NULL && i < *n; i++)
		copy[i] = take_text(u, (*list)[i]);
	if (copy == NULL)
		*n = 0;
	*list = copy;
}

static void
unit_free(struct unit *u)
{
	struct block *next;

	for (struct block *b = u->mem; b != NULL; b = next) {
		next = b->next;
		sodium_memzero(b->data, b->len);
		free(b);
	}
	free(u->writes);
	free(u);
}

struct unit *
unit_open(struct account *a)
{
	struct unit *u = calloc(1, sizeof(*u));
	Stored__UnitOpen m = STORED__UNIT_OPEN__INIT;

	if (u == NULL) {
		log_warn("account %s: unit", a->name);
		return NULL;
	}
	u->a = a;
	u->id = engine_next_unit(a->svc);
	m.account = a->name;
	m.unit = u->id;
	(void)channel_notify(
	    a->svc->stored, STORED__TYPE__UNIT_OPEN, &m.base); /* else it is broken */
	return u;
}

uint64_t
unit_id(const struct unit *u)
{
	return u->id;
}

void
unit_staged(struct unit *u, uint32_t stages)
{
	u->stages += stages;
}

size_t
unit_writes(const struct unit *u)
{
	return u->n;
}

size_t
unit_bytes(const struct unit *u)
{
	return u->bytes;
}

static Stored__Write *
write_new(struct unit *u)
{
	Stored__Write *w;

	if (u->failed)
		return NULL;
	if (u->n == u->cap) {
		size_t cap = u->cap == 0 ? 8 : u->cap * 2;
		Stored__Write **more =
		    cap > UNIT_WRITES_MAX
			? NULL
			: reallocarray(u->writes, cap,
			      sizeof(u->writes[0])); /* NOLINT(bugprone-sizeof-expression) */

		if (more == NULL) {
			u->failed = 1;
			return NULL;
		}
		u->writes = more;
		u->cap = cap;
	}
	if ((w = take(u, sizeof(*w))) == NULL)
		return NULL;
	stored__write__init(w);
	u->writes[u->n++] = w;
	return w;
}

/* A copy of a message struct itself; its pointers are then replaced one by one. */
#define WRITE(u, w, field, from)                                                                   \
	Stored__Write *w = write_new(u);                                                           \
	if (w == NULL || (w->field = take_copy(u, from, sizeof(*(from)))) == NULL)                 \
	return

static void
take_unless(struct unit *u, Stored__EventAppend *e, const char *const *keys, size_t n)
{
	if (n == 0 || (e->unless = take(u, n * sizeof(*e->unless))) == NULL)
		return;
	for (e->n_unless = 0; e->n_unless < n; e->n_unless++)
		e->unless[e->n_unless] = take_text(u, keys[e->n_unless]);
}

void
unit_event(struct unit *u, const char *type, const char *origin, int64_t time_ms, json_t *body,
    const char *dedup)
{
	unit_event_unless(u, type, origin, time_ms, body, dedup, NULL, 0);
}

void
unit_event_unless(struct unit *u, const char *type, const char *origin, int64_t time_ms,
    json_t *body, const char *dedup, const char *const *unless, size_t n)
{
	Stored__EventAppend ev = STORED__EVENT_APPEND__INIT;
	char *text = body_text(body, UNIT_BODY_MAX);
	size_t len = text == NULL ? 0 : strlen(text);

	json_decref(body);
	if (text == NULL) {
		log_warnx("account %s: event %s cannot be kept", u->a->name, type);
		u->failed = 1;
	} else {
		Stored__Write *w = write_new(u);

		if (w != NULL && (w->event = take_copy(u, &ev, sizeof(ev))) != NULL) {
			w->event->type = take_text(u, type);
			w->event->origin = take_text(u, origin);
			w->event->time_ms = time_ms;
			w->event->body.data = take_copy(u, text, len);
			w->event->body.len = len;
			w->event->dedup = take_text(u, dedup);
			take_unless(u, w->event, unless, n);
			u->nevents++;
		}
	}
	if (text != NULL) {
		sodium_memzero(text, len);
		free(text);
	}
}

void
unit_mark(struct unit *u, const char *key)
{
	Stored__Write *w = write_new(u);

	if (w != NULL)
		w->mark = take_text(u, key);
}

void
unit_outbox_put(struct unit *u, const Stored__OutboxPut *put)
{
	WRITE(u, w, outbox_put, put);
	w->outbox_put->message_id = take_text(u, put->message_id);
	w->outbox_put->chat = take_text(u, put->chat);
	w->outbox_put->idempotency_key = take_text(u, put->idempotency_key);
	take_bytes(u, &w->outbox_put->params_hash);
	take_bytes(u, &w->outbox_put->content);
	if (put->has_stanza)
		take_bytes(u, &w->outbox_put->stanza);
	take_texts(u, &w->outbox_put->devices, &w->outbox_put->n_devices);
}

void
unit_outbox_update(struct unit *u, const Stored__OutboxUpdate *update)
{
	WRITE(u, w, outbox_update, update);
	w->outbox_update->message_id = take_text(u, update->message_id);
	w->outbox_update->reason = take_text(u, update->reason);
	if (update->has_stanza)
		take_bytes(u, &w->outbox_update->stanza);
	take_texts(u, &w->outbox_update->devices, &w->outbox_update->n_devices);
}

/* By its descriptor: a text or bytes that were left out here would be gone before the commit. */
void
unit_device(struct unit *u, const Stored__DeviceRecord *r)
{
	WRITE(u, w, device, r);
	for (unsigned i = 0; i < r->base.descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &r->base.descriptor->fields[i];
		uint8_t *at = (uint8_t *)w->device + f->offset;

		if (f->type == PROTOBUF_C_TYPE_STRING)
			*(char **)(void *)at = take_text(u, *(char *const *)(void *)at);
		else if (f->type == PROTOBUF_C_TYPE_BYTES)
			take_bytes(u, (ProtobufCBinaryData *)(void *)at);
	}
}

void
unit_device_reset(struct unit *u, int people)
{
	Stored__DeviceReset r = STORED__DEVICE_RESET__INIT;

	r.has_people = people;
	r.people = people;

	WRITE(u, w, device_reset, &r);
}

void
unit_quarantine_purge(struct unit *u, uint32_t below, uint32_t max)
{
	Stored__QuarantinePurge p = STORED__QUARANTINE_PURGE__INIT;

	p.below = below;
	p.max = max;
	WRITE(u, w, quarantine_purge, &p);
}

void
unit_contact(struct unit *u, const Stored__Contact *c)
{
	WRITE(u, w, contact, c);
	w->contact->id = take_text(u, c->id);
	w->contact->pn = take_text(u, c->pn);
	w->contact->lid = take_text(u, c->lid);
	w->contact->push_name = take_text(u, c->push_name);
	w->contact->lid_source = take_text(u, c->lid_source);
}

void
unit_device_list(struct unit *u, const Stored__DeviceList *l)
{
	WRITE(u, w, device_list, l);
	w->device_list->user = take_text(u, l->user);
	w->device_list->phash = take_text(u, l->phash);
	if (l->n_devices == 0)
		return;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	w->device_list->devices = take(u, l->n_devices * sizeof(*l->devices));
	for (size_t i = 0; w->device_list->devices != NULL && i < l->n_devices; i++)
		w->device_list->devices[i] = take_copy(u, l->devices[i], sizeof(*l->devices[i]));
}

void
unit_device_list_drop(struct unit *u, const char *user)
{
	Stored__DeviceListDrop d = STORED__DEVICE_LIST_DROP__INIT;

	WRITE(u, w, device_list_drop, &d);
	w->device_list_drop->user = take_text(u, user);
}

void
unit_receipt(struct unit *u, const struct unit_mark *mark)
{
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;

	WRITE(u, w, receipt, &m);
	w->receipt->message_id = take_text(u, mark->id);
	w->receipt->party = take_text(u, mark->party);
	w->receipt->status = take_text(u, mark->status);
	w->receipt->time_ms = mark->time_ms;
	w->receipt->chats = (char **)(uintptr_t)mark->chats;
	w->receipt->n_chats = mark->n_chats;
	take_texts(u, &w->receipt->chats, &w->receipt->n_chats);
}

static Stored__MessageName *
take_message_name(struct unit *u, const Stored__MessageName *from)
{
	Stored__MessageName *n = take_copy(u, from, sizeof(*from));

	if (n != NULL) {
		n->chat = take_text(u, from->chat);
		n->sender = take_text(u, from->sender);
		n->id = take_text(u, from->id);
	}
	return n;
}

static Stored__BaseKeyName *
take_base_key_name(struct unit *u, const Stored__BaseKeyName *from)
{
	Stored__BaseKeyName *n = take_copy(u, from, sizeof(*from));

	if (n != NULL) {
		n->address = take_text(u, from->address);
		n->message_id = take_text(u, from->message_id);
	}
	return n;
}

void
unit_pending(struct unit *u, const Stored__Pending *p)
{
	WRITE(u, w, pending_put, p);
	w->pending_put->name = take_message_name(u, p->name);
	take_bytes(u, &w->pending_put->stanza);
}

void
unit_pending_delete(struct unit *u, const Stored__MessageName *name)
{
	Stored__Write *w = write_new(u);

	if (w != NULL)
		w->pending_delete = take_message_name(u, name);
}

void
unit_base_key(struct unit *u, const Stored__BaseKey *k)
{
	WRITE(u, w, base_key_put, k);
	w->base_key_put->name = take_base_key_name(u, k->name);
	take_bytes(u, &w->base_key_put->key);
}

void
unit_base_key_delete(struct unit *u, const Stored__BaseKeyName *name)
{
	Stored__Write *w = write_new(u);

	if (w != NULL)
		w->base_key_delete = take_base_key_name(u, name);
}

void
unit_restored_done(struct unit *u)
{
	Stored__Write *w = write_new(u);

	if (w != NULL)
		w->has_restored_done = w->restored_done = 1;
}

void
unit_token_received(
    struct unit *u, const char *user, const uint8_t *token, size_t len, int64_t token_s)
{
	Stored__TokenReceived t = STORED__TOKEN_RECEIVED__INIT;

	t.token.data = (uint8_t *)(uintptr_t)token;
	t.token.len = len;
	t.token_s = token_s;
	WRITE(u, w, token_received, &t);
	w->token_received->user = take_text(u, user);
	take_bytes(u, &w->token_received->token);
}

void
unit_token_touch(struct unit *u, const char *user, int64_t sender_s)
{
	Stored__TokenTouch t = STORED__TOKEN_TOUCH__INIT;

	t.sender_s = sender_s;
	WRITE(u, w, token_touch, &t);
	w->token_touch->user = take_text(u, user);
}

void
unit_token_expire(struct unit *u, int64_t token_cutoff_s, int64_t sender_cutoff_s)
{
	Stored__TokenExpire t = STORED__TOKEN_EXPIRE__INIT;

	t.token_cutoff_s = token_cutoff_s;
	t.sender_cutoff_s = sender_cutoff_s;
	WRITE(u, w, token_expire, &t);
}

/* Tell whoever asked, and the subscribers if events came. */
static void
unit_end(struct unit *u, const struct unit_result *r)
{
	struct service *s = u->a->svc;
	unit_done_fn *fn = u->fn;
	uint64_t last = 0;

	for (size_t i = 0; i < r->nseqs; i++)
		if (r->seqs[i] > last)
			last = r->seqs[i];
	if (last > s->last_seq)
		s->last_seq = last;
	if (fn != NULL)
		fn(r, u->arg);
	if (last > 0 && s->hooks.events_committed != NULL)
		s->hooks.events_committed(s->hooks_arg, last);
	unit_free(u);
}

static void
unit_replied(const struct reply *rp, void *arg)
{
	struct unit *u = arg;
	struct unit_result r = {0};

	if (!rp->ok) {
		r.reason = rp->code;
	} else {
		const Stored__UnitResult *m = (const Stored__UnitResult *)rp->pb;

		r.ok = m->committed && m->n_seqs == u->nevents;
		r.reason = m->reason != NULL ? m->reason : "internal";
		r.duplicate = !m->committed && m->has_duplicate && m->duplicate;
		r.nseqs = m->n_seqs;
		r.seqs = m->seqs;
		r.expired = m->has_expired ? m->expired : 0;
		if (m->committed && m->n_seqs != u->nevents)
			log_warnx("account %s: stored answered for %zu events of %zu", u->a->name,
			    m->n_seqs, u->nevents);
	}
	if (!r.ok && !r.duplicate)
		log_debug("account %s: unit %llu failed: %s", u->a->name, (unsigned long long)u->id,
		    r.reason);
	unit_end(u, &r);
}

/* "version": it was built on a unit that failed. "unit": stored knows it no more. */
int
unit_may_repeat(const char *reason)
{
	return strcmp(reason, "version") == 0 || strcmp(reason, "unit") == 0;
}

static void
unit_refused(evutil_socket_t fd, short what, void *arg)
{
	struct unit_result r = {.reason = "internal"};

	unit_end(arg, &r);
}

void
unit_commit(struct unit *u, unit_done_fn *fn, void *arg)
{
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;
	struct timeval now = {0, 0};

	u->fn = fn;
	u->arg = arg;
	if (u->failed) {
		Stored__UnitAbort ab = STORED__UNIT_ABORT__INIT;

		ab.account = u->a->name;
		ab.unit = u->id;
		(void)channel_notify(u->a->svc->stored, STORED__TYPE__UNIT_ABORT, &ab.base);
		if (event_base_once(u->a->svc->base, -1, EV_TIMEOUT, unit_refused, u, &now) == -1)
			fatalx("unit_commit: no event");
		return;
	}
	m.account = u->a->name;
	m.unit = u->id;
	m.stages = u->stages;
	m.has_patient = m.patient = u->patient;
	m.n_writes = u->n;
	m.writes = u->writes;
	(void)channel_request(u->a->svc->stored, STORED__TYPE__UNIT_COMMIT, &m.base,
	    STORED__TYPE__UNIT_RESULT, &stored__unit_result__descriptor, 64 * 1024,
	    UNIT_DEADLINE_MS, unit_replied, u);
}

void
unit_patient(struct unit *u)
{
	u->patient = 1;
}

void
unit_detach(struct unit *u)
{
	if (u != NULL)
		u->fn = NULL;
}

void
unit_abort(struct unit *u)
{
	Stored__UnitAbort m = STORED__UNIT_ABORT__INIT;

	if (u == NULL)
		return;
	m.account = u->a->name;
	m.unit = u->id;
	(void)channel_notify(u->a->svc->stored, STORED__TYPE__UNIT_ABORT, &m.base);
	unit_free(u);
}
