/* What people ask and decide about identities: listing, safety numbers, verifying, deciding.
 *
 *	identity_ask -> people_known -> identities_came -> (list | safety number | decide)
 *	decide -> decided -> written
 *	identity_ask -> page_came -> page_identities
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/intent.h"
#include "apid/message/refusal.h"
#include "apid/message/safety.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/stanza.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/frame.h"

#define REPLY_MAX (256u * 1024) /* 1024 identities */
#define PAGE_MAX  256u
#define TRIES_MAX 3u /* beside the first */

struct asking {
	struct flow f; /* first */
	struct account *a;
	struct call *call;
	enum identity_what what;
	char to[JID_TEXT_MAX];
	uint32_t uid;
	char digits[SAFETY_DIGITS + 1];
	struct buf qr;

	struct contacts_request *lookup;
	struct ask *ask;
	struct unit *unit;
	int open;
	struct person party;
	struct identity_addresses at, own;
	/* a page of everybody */
	struct person *page;
	size_t npage;
	char *next;
	/* a decision */
	Keyd__IdentityState state;
	size_t released;
	unsigned tries;
	uint8_t seen[32]; /* digest of the keys at the first look */
};

static void
asking_end(struct flow *f, const char *outcome, const char *text)
{
	struct asking *q = (struct asking *)f;

	if (outcome != NULL)
		call_failf(q->call, -2, "internal", 1, text);
	contacts_cancel(q->lookup);
	ask_cancel(q->ask);
	if (q->open)
		unit_abort(q->unit);
	else
		unit_detach(q->unit);
	buf_clear(&q->qr);
	free(q->page);
	free(q->next);
	free(q);
}

static const struct flow_kind asking_kind = {"identity_ask", asking_end};

static void
fail(struct asking *q, struct api_error e)
{
	call_fail(q->call, &e);
	q->call = NULL;
	flow_end(&q->f, NULL, NULL);
}

static void
done(struct asking *q, json_t *result)
{
	call_ok(q->call, result);
	q->call = NULL;
	flow_end(&q->f, NULL, NULL);
}

/* ------------------------------------------------------------------ listing */

static const char *
state_word(Keyd__IdentityState s)
{
	return s == KEYD__IDENTITY_STATE__VERIFIED ? "verified"
	       : s == KEYD__IDENTITY_STATE__HELD   ? "held"
						   : "trusted";
}

static int
is_damaged(const Keyd__Identity *i)
{
	return i->has_damaged && i->damaged;
}

static json_t *
describe(struct asking *q, const struct person *p, unsigned device, const Keyd__Identity *i)
{
	char hex[65];
	json_t *o = json_pack("{s:o, s:i, s:s?, s:s, s:I}", "party", contacts_party(p), "device",
	    (int)device, "fingerprint",
	    is_damaged(i) ? NULL : identity_fingerprint(i->key.data, hex), "state",
	    is_damaged(i) ? "damaged" : state_word(i->state), "held_messages",
	    (json_int_t)held_of(q->a, p));

	json_object_set_new(o, "first_seen_ms",
	    i->has_first_seen_ms ? json_integer(i->first_seen_ms) : json_null());
	return o;
}

static int
is_known(const Keyd__Identity *i)
{
	return i->has_key && i->key.len == 32;
}

/* Of a device that stands under two names the first counts: that of the LID. */
static int
is_second(const struct identity_addresses *at, const Keyd__IdentitiesReply *m, size_t k)
{
	for (size_t i = 0; i < k; i++)
		if (at->pb[i].device == at->pb[k].device && is_known(m->identities[i]))
			return 1;
	return 0;
}

static void
list(struct asking *q, const Keyd__IdentitiesReply *m)
{
	json_t *all = json_array();

	for (size_t i = 0; i < q->at.n; i++)
		if (is_damaged(m->identities[i]) ||
		    (is_known(m->identities[i]) && !is_second(&q->at, m, i)))
			json_array_append_new(
			    all, describe(q, &q->party, q->at.pb[i].device, m->identities[i]));
	done(q, json_pack("{s:o}", "identities", all));
}

/* ------------------------------------------------------------------ a page of everybody */

static void
page_identities(const struct reply *rp, void *arg)
{
	struct asking *q = arg;
	const Keyd__IdentitiesReply *m = (const Keyd__IdentitiesReply *)rp->pb;
	json_t *all;

	q->ask = NULL;
	if (!rp->ok || m->n_identities != q->at.n) {
		fail(q, api_error_store(rp->ok ? "internal" : rp->code));
		return;
	}
	all = json_array();
	for (size_t i = 0, k = 0; i < q->npage; i++) {
		const struct person *p = &q->page[i];
		/* as they were put in: by LID if there is one, then by number */
		size_t end = k + (p->lid[0] != '\0') + (p->pn[0] != '\0');
		int told = 0;

		for (; k < end && k < q->at.n; k++) {
			if (!is_damaged(m->identities[k]) && (told || !is_known(m->identities[k])))
				continue;
			json_array_append_new(all, describe(q, p, 0, m->identities[k]));
			told |= is_known(m->identities[k]);
		}
	}
	done(q, json_pack("{s:o, s:s?}", "identities", all, "next", q->next));
}

static void
ask_identities(
    struct asking *q, const char *step, Keyd__Address **list_, size_t n, channel_reply_fn *fn)
{
	Keyd__Identities m = KEYD__IDENTITIES__INIT;

	flow_step(&q->f, step);
	m.account = q->a->name;
	m.addresses = list_;
	m.n_addresses = n;
	q->ask = ask_keyd(q->a, KEYD__TYPE__IDENTITIES, &m.base, KEYD__TYPE__IDENTITIES_REPLY,
	    &keyd__identities_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, fn, q);
}

static void
page_came(const struct reply *rp, void *arg)
{
	struct asking *q = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;

	q->ask = NULL;
	if (!rp->ok) {
		fail(q, strcmp(rp->code, "bad_request") == 0
			    ? api_error_make(-1, "bad_cursor", 0, "no such page")
			    : api_error_store(rp->code));
		return;
	}
	if ((q->page = calloc(m->n_contacts + 1, sizeof(*q->page))) == NULL ||
	    (m->next != NULL && (q->next = strdup(m->next)) == NULL))
		fatal("identity.list");
	for (size_t i = 0; i < m->n_contacts; i++) {
		const Stored__Contact *c = m->contacts[i];
		struct person *p = &q->page[q->npage++];

		(void)snprintf(p->id, sizeof(p->id), "%s", c->id);
		(void)snprintf(p->pn, sizeof(p->pn), "%s", c->pn != NULL ? c->pn : "");
		(void)snprintf(p->lid, sizeof(p->lid), "%s", c->lid != NULL ? c->lid : "");
		(void)snprintf(p->push_name, sizeof(p->push_name), "%s",
		    c->push_name != NULL ? c->push_name : "");
		identity_addresses(NULL, p, NULL, &q->at);
	}
	ask_identities(q, "page_identities", q->at.list, q->at.n, page_identities);
}

static void
ask_page(struct asking *q, const struct identity_request *rq)
{
	Stored__Scan m = STORED__SCAN__INIT;

	flow_step(&q->f, "page_came");
	m.account = q->a->name;
	m.table = STORED__TABLE__CONTACTS;
	m.after = (char *)(uintptr_t)rq->after;
	m.limit = rq->limit > 0 && rq->limit < PAGE_MAX ? rq->limit : PAGE_MAX;
	q->ask = ask_stored(q->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, page_came, q);
}

/* ------------------------------------------------------------------ safety numbers */

struct numbers {
	struct safety_side own, other;
};

static int
make_sides(struct asking *q, const Keyd__IdentitiesReply *m, struct numbers *s)
{
	int r = safety_add(&s->own, q->a->dev.identity_pub);

	s->own.number = q->a->dev.jid.user;
	s->own.lid = q->a->dev.has_lid ? q->a->dev.lid.user : "";
	s->other.number = q->party.pn;
	s->other.lid = q->party.lid;
	for (size_t i = 0; i < q->at.n + q->own.n && r == 0; i++) {
		struct safety_side *to = i < q->at.n ? &s->other : &s->own;

		if (is_known(m->identities[i]) && (i >= q->at.n || !is_second(&q->at, m, i)))
			r = safety_add(to, m->identities[i]->key.data);
	}
	return r;
}

static void
tell_number(struct asking *q, struct numbers *s)
{
	char digits[SAFETY_DIGITS + 1], *b64;
	struct buf qr = BUF_INIT;

	safety_digits(&s->own, &s->other, digits);
	if (safety_qr(&s->own, &s->other, &qr) == -1 ||
	    (b64 = stanza_base64(qr.data, qr.len)) == NULL)
		fatal("identity.safety_number");
	done(q, json_pack("{s:s, s:s, s:i, s:i}", "digits", digits, "qr_b64", b64, "devices",
		    (int)s->other.n, "own_devices", (int)s->own.n));
	free(b64);
	buf_clear(&qr);
}

/* ------------------------------------------------------------------ decisions */

static void ask_people(struct asking *q);

static struct api_error
changed_meanwhile(void)
{
	return api_error_make(
	    -9, "conflict", 1, "his identity has changed meanwhile; look at it again");
}

/* Another write came between the look and the decision: look again, at what is there now. 0: often
 * enough. */
static int
ask_again(struct asking *q)
{
	if (++q->tries > TRIES_MAX)
		return 0;
	memset(&q->at, 0, sizeof(q->at));
	memset(&q->own, 0, sizeof(q->own));
	q->released = 0;
	ask_people(q);
	return 1;
}

static void
written(const struct unit_result *r, void *arg)
{
	struct asking *q = arg;
	struct account *a = q->a;
	enum identity_what what = q->what;

	q->unit = NULL;
	if (!r->ok && unit_may_repeat(r->reason) && ask_again(q))
		return;
	if (!r->ok) {
		fail(q, api_error_store(r->reason));
		return;
	}
	if (what == IDENTITY_VERIFY)
		done(q, json_pack("{s:b, s:I}", "match", 1, "released", (json_int_t)q->released));
	else
		done(q, json_pack("{s:s, s:I}", "decision", state_word(q->state), "released",
			    (json_int_t)q->released));
	if (what != IDENTITY_HOLD)
		held_release(a);
}

static void
decided(const struct reply *rp, void *arg)
{
	struct asking *q = arg;
	char by[32];

	q->ask = NULL;
	if (!rp->ok && strcmp(rp->code, "identity") == 0) {
		fail(q, changed_meanwhile());
		return;
	}
	if (!rp->ok && strcmp(rp->code, "store") == 0) { /* it was built on a unit that failed? */
		unit_abort(q->unit);
		q->unit = NULL;
		q->open = 0;
		if (ask_again(q))
			return;
	}
	if (!rp->ok) {
		fail(q, api_error_store(rp->code));
		return;
	}
	unit_staged(q->unit, ((const Keyd__Staged *)rp->pb)->stages);
	(void)snprintf(by, sizeof(by), "uid:%u", q->uid);
	if (q->what != IDENTITY_HOLD)
		q->released = held_of(q->a, &q->party);
	unit_event(q->unit, "identity.decided", "live", clock_wall_ms(),
	    json_pack("{s:o, s:s, s:s, s:I}", "party", contacts_party(&q->party), "decision",
		state_word(q->state), "by", by, "released_messages", (json_int_t)q->released),
	    NULL);
	flow_step(&q->f, "written");
	q->open = 0;
	unit_commit(q->unit, written, q);
}

static void
decide(struct asking *q, const Keyd__IdentitiesReply *m, Keyd__IdentityState state)
{
	Keyd__IdentityDecide d = KEYD__IDENTITY_DECIDE__INIT;
	Keyd__IdentityDecision all[IDENTITY_ADDRESSES_MAX], *ptr[IDENTITY_ADDRESSES_MAX];

	q->state = state;
	for (size_t i = 0; i < q->at.n; i++) {
		/* trust leaves alone what is trusted, or even verified */
		if (is_damaged(m->identities[i])
			? q->what != IDENTITY_TRUST
			: !is_known(m->identities[i]) ||
			      (q->what == IDENTITY_TRUST &&
				  m->identities[i]->state != KEYD__IDENTITY_STATE__HELD))
			continue;
		keyd__identity_decision__init(&all[d.n_decisions]);
		all[d.n_decisions].address = q->at.list[i];
		if (!is_damaged(m->identities[i])) /* else without a key: it is let go of */
			all[d.n_decisions].key = m->identities[i]->key;
		all[d.n_decisions].state = state;
		ptr[d.n_decisions] = &all[d.n_decisions];
		d.n_decisions++;
	}
	if (d.n_decisions == 0) { /* nothing of his is held */
		done(q, json_pack("{s:s, s:i}", "decision", state_word(state), "released", 0));
		return;
	}
	if ((q->unit = unit_open(q->a)) == NULL) {
		fail(q, api_error_store("memory"));
		return;
	}
	q->open = 1;
	flow_step(&q->f, "decided");
	d.account = q->a->name;
	d.unit = unit_id(q->unit);
	d.decisions = ptr;
	q->ask = ask_keyd(q->a, KEYD__TYPE__IDENTITY_DECIDE, &d.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, decided, q);
}

static void
verify(struct asking *q, const Keyd__IdentitiesReply *m, struct numbers *s)
{
	char digits[SAFETY_DIGITS + 1];
	int match;

	if (q->qr.len > 0) {
		match = safety_qr_matches(&s->own, &s->other, q->qr.data, q->qr.len);
	} else {
		safety_digits(&s->own, &s->other, digits);
		match = strcmp(digits, q->digits) == 0;
	}
	if (match)
		decide(q, m, KEYD__IDENTITY_STATE__VERIFIED);
	else
		done(q, json_pack("{s:b, s:i}", "match", 0, "released", 0));
}

/* ------------------------------------------------------------------ one person */

/* 0, or -1: these are other keys than those at the first look. A person has decided about those; a
 * safety number is compared anew. */
static int
same_keys(struct asking *q, const Keyd__IdentitiesReply *m)
{
	crypto_generichash_state st;
	uint8_t digest[32];

	crypto_generichash_init(&st, NULL, 0, sizeof(digest));
	for (size_t i = 0; i < q->at.n; i++) {
		uint8_t kind = is_damaged(m->identities[i]) ? 2 : is_known(m->identities[i]);

		crypto_generichash_update(&st, (const uint8_t *)q->at.names[i], 81);
		crypto_generichash_update(&st, &kind, 1);
		if (kind == 1)
			crypto_generichash_update(&st, m->identities[i]->key.data, 32);
	}
	crypto_generichash_final(&st, digest, sizeof(digest));
	if (q->tries == 0)
		memcpy(q->seen, digest, sizeof(digest));
	return q->what == IDENTITY_VERIFY || memcmp(q->seen, digest, sizeof(digest)) == 0 ? 0 : -1;
}

static int
has_damaged(const struct identity_addresses *at, const Keyd__IdentitiesReply *m)
{
	for (size_t i = 0; i < at->n; i++)
		if (is_damaged(m->identities[i]))
			return 1;
	return 0;
}

static void
identities_came(const struct reply *rp, void *arg)
{
	struct asking *q = arg;
	const Keyd__IdentitiesReply *m = (const Keyd__IdentitiesReply *)rp->pb;
	struct numbers *s;
	struct api_error e;

	q->ask = NULL;
	if (!rp->ok || m->n_identities != q->at.n + q->own.n) {
		fail(q, api_error_store(rp->ok ? "internal" : rp->code));
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL || make_sides(q, m, s) == -1) {
		fail(q, api_error_make(-1, "too_large", 0, "too many devices"));
	} else if (q->what == IDENTITY_LIST) {
		list(q, m);
	} else if (same_keys(q, m) == -1) {
		fail(q, changed_meanwhile());
	} else if (q->what != IDENTITY_TRUST && has_damaged(&q->at, m)) {
		e = refusal_error(0, "identity_damaged", 0);
		fail(q, e);
	} else if (s->other.n == 0 && !has_damaged(&q->at, m)) {
		fail(q, api_error_make(-1, "not_found", 0,
			    "no identity of this contact is known; it is with the first message"));
	} else if (q->what == IDENTITY_SAFETY_NUMBER) {
		tell_number(q, s);
	} else if (q->what == IDENTITY_VERIFY) {
		verify(q, m, s);
	} else {
		decide(q, m,
		    q->what == IDENTITY_TRUST ? KEYD__IDENTITY_STATE__TRUSTED
					      : KEYD__IDENTITY_STATE__HELD);
	}
	free(s);
}

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct asking *q = arg;
	Keyd__Address *both[2 * IDENTITY_ADDRESSES_MAX];
	struct api_error e;

	q->lookup = NULL;
	if (why != NULL) {
		fail(q, api_error_store(why));
		return;
	}
	if (people[0].id[0] == '\0') {
		e = api_error_make(-1, "not_found", 0, "no such person");
		e.path = "party";
		fail(q, e);
		return;
	}
	q->party = people[0];
	identity_addresses(q->a, &q->party, lists->n_peers > 0 ? lists->peers[0] : NULL, &q->at);
	identity_addresses(q->a, &people[1], lists->n_peers > 1 ? lists->peers[1] : NULL, &q->own);
	for (size_t i = 0; i < q->at.n + q->own.n; i++)
		both[i] = i < q->at.n ? q->at.list[i] : q->own.list[i - q->at.n];
	ask_identities(q, "identities_came", both, q->at.n + q->own.n, identities_came);
}

static void
ask_people(struct asking *q)
{
	char own[JID_TEXT_MAX];
	const char *names[2];
	struct jid j = jid_bare(&q->a->dev.jid);

	flow_step(&q->f, "people_known");
	names[0] = q->to;
	names[1] = jid_format(&j, own);
	q->lookup = contacts_ask(q->a, names, 2, 1, people_known, q);
}

/* 60 digits, however they are grouped. 0 or -1. */
static int
take_digits(const char *text, char out[SAFETY_DIGITS + 1])
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (isspace((unsigned char)*text))
			continue;
		if (*text < '0' || *text > '9' || n == SAFETY_DIGITS)
			return -1;
		out[n++] = *text;
	}
	out[n] = '\0';
	return n == SAFETY_DIGITS ? 0 : -1;
}

void
identity_ask(struct account *a, const void *client, enum identity_what what,
    const struct identity_request *rq, engine_done_fn *fn, void *arg)
{
	struct call *call = call_new(a->svc, client, fn, arg);
	struct api_error e;
	struct asking *q;

	if (!a->opened || !a->dev.linked) {
		e = !a->opened ? api_error_closed(a)
			       : api_error_make(-7, "unlinked", 0, "the account is not linked");
		call_fail(call, &e);
		return;
	}
	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("identity_ask");
	flow_init(&q->f, a->svc->flows, &asking_kind, a->name, a, 0);
	q->a = a;
	q->call = call;
	q->what = what;
	q->uid = rq->uid;
	if (rq->digits != NULL && take_digits(rq->digits, q->digits) == -1) {
		e = api_error_make(-32602, "params", 0, "60 digits");
		e.path = "digits";
		fail(q, e);
	} else if (rq->qr != NULL && buf_put(&q->qr, rq->qr, rq->qr_len) == -1) {
		fail(q, api_error_store("memory"));
	} else if (rq->party == NULL) {
		ask_page(q, rq);
	} else if (intent_person(rq->party, q->to, &e) == -1) {
		e.path = "party";
		fail(q, e);
	} else {
		ask_people(q);
	}
}
