/* People: stable ids, the pairs of number and LID, and a bounded cache in front of stored. */
#include "apid/message/contacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/send.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/device_refresh.h"
#include "common/clock.h"
#include "common/log.h"

#define BUCKETS          1024u
#define LOOKUP_REPLY_MAX (1024u * 1024)
#define EVICT_STEPS      64u /* looked at for each that is added */

struct contact {
	TAILQ_ENTRY(contact) lru; /* newest first */
	LIST_ENTRY(contact) by_pn, by_lid, by_id;
	struct person p;
	char source[32];    /* where the pair was learned */
	int dirty, writing; /* stored does not know all of it; units under way */
	int in_pn, in_lid;
	int stale; /* sessions are to be built anew */
	int fresh; /* made here, and in no unit yet: nobody knows its id */
	int moved; /* nothing of Signal's is left under the number */
	/* the pair of a known person was found, and is to be told; former: an id that he had as
	 * well */
	int merged;
	char former[STABLE_ID_LEN + 1];
	/* his device list, as stored has it */
	int has_list, has_raw_id;
	uint32_t raw_id;
	uint8_t devices[32]; /* a bit each, below 256 */
};
LIST_HEAD(bucket, contact);

struct contacts {
	struct account *a;
	TAILQ_HEAD(contact_lru, contact) lru;
	size_t n;
	struct bucket pn[BUCKETS], lid[BUCKETS], id[BUCKETS];
};

struct contacts_request {
	struct account *a;
	char names[CONTACTS_ASK_MAX][JID_TEXT_MAX];
	size_t n, make; /* make: so many of them get an id if they have none */
	struct ask *ask;
	struct event *later; /* all was in the cache */
	contacts_fn *fn;
	void *arg;
};

static size_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h % BUCKETS;
}

struct contacts *
contacts_new(struct account *a)
{
	struct contacts *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("contacts_new");
	c->a = a;
	TAILQ_INIT(&c->lru);
	return c;
}

static void
unlink_keys(struct contact *k)
{
	if (k->in_pn)
		LIST_REMOVE(k, by_pn);
	if (k->in_lid)
		LIST_REMOVE(k, by_lid);
	k->in_pn = k->in_lid = 0;
}

static void
link_keys(struct contacts *c, struct contact *k)
{
	if (k->p.pn[0] != '\0') {
		LIST_INSERT_HEAD(&c->pn[hash(k->p.pn)], k, by_pn);
		k->in_pn = 1;
	}
	if (k->p.lid[0] != '\0') {
		LIST_INSERT_HEAD(&c->lid[hash(k->p.lid)], k, by_lid);
		k->in_lid = 1;
	}
}

static void
contact_drop(struct contacts *c, struct contact *k)
{
	unlink_keys(k);
	LIST_REMOVE(k, by_id);
	TAILQ_REMOVE(&c->lru, k, lru);
	c->n--;
	free(k);
}

void
contacts_reset(struct contacts *c)
{
	while (!TAILQ_EMPTY(&c->lru))
		contact_drop(c, TAILQ_FIRST(&c->lru));
}

void
contacts_free(struct contacts *c)
{
	if (c == NULL)
		return;
	contacts_reset(c);
	free(c);
}

/* Those that are not written yet stay, since stored could not tell them again. But somebody who was
 * only asked for, and never was part of an event, must not fill the memory either. */
static void
evict(struct contacts *c)
{
	struct contact *k, *prev;
	size_t steps = 0;

	for (k = TAILQ_LAST(&c->lru, contact_lru);
	     c->n > CONTACTS_CACHE_MAX && k != NULL && steps < EVICT_STEPS; k = prev, steps++) {
		prev = TAILQ_PREV(k, contact_lru, lru);
		if (k->writing > 0)
			continue;
		if (!k->dirty || c->n > CONTACTS_DIRTY_FACTOR * CONTACTS_CACHE_MAX)
			contact_drop(c, k);
	}
}

size_t
contacts_count(const struct account *a)
{
	return a->contacts->n;
}

static struct contact *
contact_add(struct contacts *c, const struct person *p)
{
	struct contact *k = calloc(1, sizeof(*k));

	if (k == NULL)
		fatal("contacts");
	k->p = *p;
	TAILQ_INSERT_HEAD(&c->lru, k, lru);
	LIST_INSERT_HEAD(&c->id[hash(k->p.id)], k, by_id);
	link_keys(c, k);
	c->n++;
	evict(c);
	return k;
}

static int
lid_side(const struct jid *j)
{
	return jid_is_lid(j) || jid_on(j, JID_HOSTED_LID);
}

static int
pn_side(const struct jid *j)
{
	return jid_is_pn(j) || jid_on(j, JID_HOSTED);
}

static struct contact *
find_pn(struct contacts *c, const char *pn)
{
	struct contact *k;

	LIST_FOREACH(k, &c->pn[hash(pn)], by_pn)
	if (strcmp(k->p.pn, pn) == 0)
		return k;
	return NULL;
}

static struct contact *
find_lid(struct contacts *c, const char *lid)
{
	struct contact *k;

	LIST_FOREACH(k, &c->lid[hash(lid)], by_lid)
	if (strcmp(k->p.lid, lid) == 0)
		return k;
	return NULL;
}

static struct contact *
find_id(struct contacts *c, const char *id)
{
	struct contact *k;

	LIST_FOREACH(k, &c->id[hash(id)], by_id)
	if (strcmp(k->p.id, id) == 0)
		return k;
	return NULL;
}

static struct contact *
find_jid(struct contacts *c, const struct jid *j)
{
	if (lid_side(j))
		return find_lid(c, j->user);
	if (pn_side(j))
		return find_pn(c, j->user);
	return NULL;
}

static struct contact *
find_name(struct contacts *c, const char *name)
{
	struct jid j;

	if (stable_id_is(name, 'u'))
		return find_id(c, name);
	return jid_parse(name, &j) == -1 ? NULL : find_jid(c, &j);
}

static void
touch(struct contacts *c, struct contact *k)
{
	TAILQ_REMOVE(&c->lru, k, lru);
	TAILQ_INSERT_HEAD(&c->lru, k, lru);
}

static void
put(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from == NULL ? "" : from);
}

/* Somebody never seen: a new id, to be written with the next unit that names him. */
static struct contact *
contact_make(struct contacts *c, const struct jid *j)
{
	struct person p = {0};
	struct contact *k;

	stable_id_new(p.id, 'u');
	put(lid_side(j) ? p.lid : p.pn, sizeof(p.pn), j->user);
	k = contact_add(c, &p);
	k->dirty = k->fresh = 1;
	return k;
}

static struct contact *
contact_from_store(struct contacts *c, const Stored__Contact *s)
{
	struct contact *k = find_id(c, s->id);
	struct person p = {0};

	if (k != NULL) /* the cache is newer */
		return k;
	if (strlen(s->id) != STABLE_ID_LEN)
		return NULL;
	put(p.id, sizeof(p.id), s->id);
	put(p.pn, sizeof(p.pn), s->pn);
	put(p.lid, sizeof(p.lid), s->lid);
	put(p.push_name, sizeof(p.push_name), s->push_name);
	p.first_out_ms = s->has_first_out_ms ? s->first_out_ms : 0;
	p.met_ms = s->has_met_ms ? s->met_ms : 0;
	return contact_add(c, &p);
}

static void
take_peer(struct account *a, const Stored__Peer *p)
{
	struct contact *k = contact_from_store(a->contacts, p->contact);

	if (k != NULL && (p->by_lid != NULL || p->by_pn != NULL))
		contacts_list_is(a, k->p.id, p->by_lid != NULL ? p->by_lid : p->by_pn);
}

static void
request_end(struct contacts_request *r, const struct person *people,
    const Stored__LookupReply *lists, const char *why)
{
	contacts_fn *fn = r->fn;
	void *arg = r->arg;
	size_t n = r->n;

	if (r->later != NULL)
		event_free(r->later);
	free(r);
	fn(people, n, lists, why, arg);
}

static void
collect(struct contacts_request *r, struct person *people)
{
	struct contacts *c = r->a->contacts;

	for (size_t i = 0; i < r->n; i++) {
		struct contact *k = find_name(c, r->names[i]);
		struct jid j;

		memset(&people[i], 0, sizeof(people[i]));
		if (k == NULL && i < r->make && !stable_id_is(r->names[i], 'u') &&
		    jid_parse(r->names[i], &j) == 0 && (lid_side(&j) || pn_side(&j)))
			k = contact_make(c, &j);
		if (k == NULL)
			continue;
		touch(c, k);
		people[i] = k->p;
	}
}

static void
from_cache(evutil_socket_t fd, short what, void *arg)
{
	struct contacts_request *r = arg;
	struct person people[CONTACTS_ASK_MAX];

	collect(r, people);
	request_end(r, people, NULL, NULL);
}

static void
looked_up(const struct reply *rp, void *arg)
{
	struct contacts_request *r = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	struct person people[CONTACTS_ASK_MAX];

	r->ask = NULL;
	if (!rp->ok || m->n_peers != r->n) {
		request_end(r, NULL, NULL, rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (m->peers[i]->contact != NULL && find_name(r->a->contacts, r->names[i]) == NULL)
			take_peer(r->a, m->peers[i]);
	collect(r, people);
	request_end(r, people, m, NULL);
}

struct contacts_request *
contacts_ask(struct account *a, const char *const *names, size_t n, int want_lists, contacts_fn *fn,
    void *arg)
{
	return contacts_ask_some(a, names, n, n, want_lists, fn, arg);
}

struct contacts_request *
contacts_ask_some(struct account *a, const char *const *names, size_t n, size_t make,
    int want_lists, contacts_fn *fn, void *arg)
{
	struct contacts_request *r = calloc(1, sizeof(*r));
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *jids[CONTACTS_ASK_MAX];
	struct tctoken_names tokens;
	struct contact *first;
	int all = !want_lists;

	if (r == NULL || n > CONTACTS_ASK_MAX)
		fatalx("contacts_ask");
	r->a = a;
	r->n = n;
	r->make = make;
	r->fn = fn;
	r->arg = arg;
	for (size_t i = 0; i < n; i++) {
		put(r->names[i], sizeof(r->names[i]), names[i]);
		jids[i] = r->names[i];
		all = all && find_name(a->contacts, names[i]) != NULL;
	}
	if (all) {
		if ((r->later = event_new(a->svc->base, -1, 0, from_cache, r)) == NULL)
			fatalx("contacts_ask: no event");
		event_active(r->later, EV_TIMEOUT, 0);
		return r;
	}
	m.account = a->name;
	m.n_jids = n;
	m.jids = jids;
	if (want_lists == CONTACTS_TOKENS && (first = find_name(a->contacts, names[0])) != NULL) {
		tctoken_names(&first->p, &tokens);
		m.tokens = tokens.list;
		m.n_tokens = tokens.n;
	}
	r->ask = ask_stored(a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, LOOKUP_REPLY_MAX, ASK_DEADLINE_MS, looked_up, r);
	return r;
}

void
contacts_cancel(struct contacts_request *r)
{
	if (r == NULL)
		return;
	ask_cancel(r->ask);
	if (r->later != NULL)
		event_free(r->later);
	free(r);
}

int
contacts_cached(struct account *a, const struct jid *j, struct person *out)
{
	struct contact *k = find_jid(a->contacts, j);

	if (k == NULL)
		return -1;
	*out = k->p;
	return 0;
}

/* Bulk sources only add; directed ones overwrite (page 04, 3.4; page 12, 9). */
static int
is_bulk(const char *source)
{
	static const char *const bulk[] = {
	    "pairing", "other", "device_notification", "migration_sync_old", "blocklist_inactive"};

	for (size_t i = 0; i < sizeof(bulk) / sizeof(bulk[0]); i++)
		if (strcmp(source, bulk[i]) == 0)
			return 1;
	return 0;
}

void
contacts_list_is(struct account *a, const char *user, const Stored__DeviceList *l)
{
	struct contact *k = find_name(a->contacts, user);

	if (k == NULL)
		return;
	k->has_list = l != NULL && l->n_devices > 0;
	memset(k->devices, 0, sizeof(k->devices));
	for (size_t i = 0; k->has_list && i < l->n_devices; i++)
		if (l->devices[i]->id < 256)
			k->devices[l->devices[i]->id / 8] |= (uint8_t)(1u << l->devices[i]->id % 8);
	if (l != NULL && l->has_raw_id) {
		k->has_raw_id = 1;
		k->raw_id = l->raw_id;
	}
}

int
contacts_device_known(struct account *a, const struct person *p, uint16_t device)
{
	struct contact *k = find_id(a->contacts, p->id);

	if (k == NULL || !k->has_list || device >= 256)
		return 1;
	if (k->devices[device / 8] & 1u << device % 8)
		return 1;
	k->devices[device / 8] |= (uint8_t)(1u << device % 8); /* told once */
	return 0;
}

int
contacts_raw_id_changed(struct account *a, const char *user, uint32_t raw_id)
{
	const struct contact *k = find_name(a->contacts, user);

	return k != NULL && k->has_raw_id && k->raw_id != raw_id;
}

static int
earliest(int64_t *have, int64_t ms)
{
	if (ms <= 0 || (*have > 0 && *have <= ms))
		return 0;
	*have = ms;
	return 1;
}

/* One and the same person under two ids: what the other knows goes to the one that stays. */
static void
absorb(struct account *a, struct contact *t, struct contact *gone)
{
	if (t->p.push_name[0] == '\0')
		put(t->p.push_name, sizeof(t->p.push_name), gone->p.push_name);
	(void)earliest(&t->p.first_out_ms, gone->p.first_out_ms);
	(void)earliest(&t->p.met_ms, gone->p.met_ms);
	if (!gone->fresh)
		put(t->former, sizeof(t->former), gone->p.id);
	send_lane_renamed(a, gone->p.id, t->p.id); /* nobody waits for one who is no more */
	contact_drop(a->contacts, gone);
}

void
contacts_met(struct account *a, const struct jid *j, int64_t time_ms)
{
	struct contact *k = find_jid(a->contacts, j);

	if (k != NULL && k->p.met_ms == 0 && earliest(&k->p.met_ms, time_ms))
		k->dirty = 1;
}

void
contacts_first_out(struct account *a, const struct jid *j, int64_t time_ms)
{
	struct contact *k = find_jid(a->contacts, j);

	if (k != NULL && k->p.first_out_ms == 0 && earliest(&k->p.first_out_ms, time_ms))
		k->dirty = 1;
}

int
contacts_is_new(const struct account *a, const struct person *p)
{
	return p->met_ms == 0 && !(a->dev.has_jid && strcmp(p->pn, a->dev.jid.user) == 0) &&
	       !(a->dev.has_lid && strcmp(p->lid, a->dev.lid.user) == 0);
}

/* As stored does it: the contact of the LID stays, because a number changes hands and a LID does
 * not; but one who was made here a moment ago gives way to one who is known. Another entry with
 * that number and no LID was the same person; one with a LID gives up the number. */
void
contacts_learn_pair(struct account *a, const char *pn, const char *lid, const char *source)
{
	struct contacts *c = a->contacts;
	struct contact *k = find_pn(c, pn), *l = find_lid(c, lid), *t;
	const char *has = l != NULL ? l->p.pn : k != NULL ? k->p.lid : "";

	if ((k == NULL && l == NULL) || k == l) /* who needs them asks first, and learns it then */
		return;
	if (has[0] != '\0' && is_bulk(source)) {
		if (strcmp(source, "migration_sync_old") != 0)
			device_refresh_lid(a, pn);
		return;
	}
	t = l != NULL && !(l->fresh && k != NULL && k->p.lid[0] == '\0') ? l : k;
	t->merged |= !t->fresh || (k != NULL && l != NULL && k->p.lid[0] == '\0' && !k->fresh);
	if (t == k && l != NULL) {
		absorb(a, t, l);
	} else if (k != NULL && k != t && k->p.lid[0] == '\0') {
		absorb(a, t, k);
	} else if (k != NULL && k != t) {
		unlink_keys(k);
		k->p.pn[0] = '\0';
		link_keys(c, k);
	}
	unlink_keys(t);
	put(t->p.pn, sizeof(t->p.pn), pn);
	put(t->p.lid, sizeof(t->p.lid), lid);
	put(t->source, sizeof(t->source), source);
	link_keys(c, t);
	t->dirty = 1;
	t->moved = 0;
}

int
contacts_moved(struct account *a, const struct person *p)
{
	const struct contact *k = find_id(a->contacts, p->id);

	return k == NULL || k->moved || strcmp(k->p.pn, p->pn) != 0 ||
	       strcmp(k->p.lid, p->lid) != 0;
}

void
contacts_set_moved(struct account *a, const struct person *p)
{
	struct contact *k = find_id(a->contacts, p->id);

	if (k != NULL && strcmp(k->p.pn, p->pn) == 0 && strcmp(k->p.lid, p->lid) == 0)
		k->moved = 1;
}

/* contact.merged: a number and a LID turned out to be one person. */
static void
tell_merged(struct unit *u, const struct contact *k)
{
	char key[256], text[JID_TEXT_MAX];
	json_t *o = json_pack("{s:o, s:s}", "party", contacts_party(&k->p), "source", k->source);

	(void)snprintf(text, sizeof(text), "%s@" JID_PN, k->p.pn);
	json_object_set_new(o, "pn", json_string(text));
	(void)snprintf(text, sizeof(text), "%s@" JID_LID, k->p.lid);
	json_object_set_new(o, "lid", json_string(text));
	if (k->former[0] != '\0')
		json_object_set_new(o, "former_id", json_string(k->former));
	(void)snprintf(key, sizeof(key), "g:%s:%s:%s:%s", k->p.id, k->p.pn, k->p.lid, k->former);
	unit_event(u, "contact.merged", "live", clock_wall_ms(), o, key);
}

void
contacts_learn_name(struct account *a, const struct jid *j, const char *push_name)
{
	struct contact *k = find_jid(a->contacts, j);
	json_t *valid;

	if (k == NULL || strncmp(k->p.push_name, push_name, sizeof(k->p.push_name)) == 0 ||
	    strlen(push_name) >= sizeof(k->p.push_name))
		return;
	if ((valid = json_string(push_name)) == NULL)
		return; /* no UTF-8 */
	json_decref(valid);
	put(k->p.push_name, sizeof(k->p.push_name), push_name);
	k->dirty = 1;
}

int
contacts_write(struct account *a, const struct jid *j, struct unit *u)
{
	struct contact *k = find_jid(a->contacts, j);
	Stored__Contact m = STORED__CONTACT__INIT;

	if (k == NULL || (!k->dirty && k->writing == 0))
		return 0;
	m.id = k->p.id;
	m.pn = k->p.pn[0] != '\0' ? k->p.pn : NULL;
	m.lid = k->p.lid[0] != '\0' ? k->p.lid : NULL;
	m.push_name = k->p.push_name[0] != '\0' ? k->p.push_name : NULL;
	m.lid_source = k->source[0] != '\0' ? k->source : NULL;
	m.has_first_out_ms = k->p.first_out_ms > 0;
	m.first_out_ms = k->p.first_out_ms;
	m.has_met_ms = k->p.met_ms > 0;
	m.met_ms = k->p.met_ms;
	unit_contact(u, &m);
	if (k->merged)
		tell_merged(u, k);
	k->dirty = k->fresh = 0;
	k->writing++;
	return 1;
}

void
contacts_written(struct account *a, const struct jid *j, int ok)
{
	struct contact *k = find_jid(a->contacts, j);

	if (k == NULL || k->writing == 0)
		return;
	k->writing--;
	if (!ok)
		k->dirty = 1;
	else if (!k->dirty && k->writing == 0)
		k->merged = 0;
}

int
contacts_unwritten(struct account *a, const struct jid *j)
{
	const struct contact *k = find_jid(a->contacts, j);

	return k != NULL && k->dirty;
}

void
contacts_forget_session(struct account *a, const struct jid *j)
{
	struct contact *k = find_jid(a->contacts, j);

	if (k != NULL)
		k->stale = 1;
}

int
contacts_take_stale(struct account *a, const struct jid *j)
{
	struct contact *k = find_jid(a->contacts, j);
	int stale = k != NULL && k->stale;

	if (stale)
		k->stale = 0;
	return stale;
}

void
contacts_address(const struct person *p, const struct jid *device, char name[81])
{
	int hosted = jid_on(device, JID_HOSTED) || jid_on(device, JID_HOSTED_LID);

	if (pn_side(device) && p != NULL && p->lid[0] != '\0')
		(void)snprintf(name, 81, "%s_%d", p->lid, hosted ? 129 : 1);
	else if (lid_side(device))
		(void)snprintf(name, 81, "%s_%d", device->user, hosted ? 129 : 1);
	else if (hosted)
		(void)snprintf(name, 81, "%s_128", device->user);
	else if (jid_is_pn(device))
		(void)snprintf(name, 81, "%s", device->user);
	else /* a bot and the like: apart from every person */
		(void)snprintf(name, 81, "%s@%.10s", device->user, device->server);
}

int
contacts_address_pn(const struct person *p, const struct jid *device, char name[81])
{
	const char *user = pn_side(device) ? device->user : p == NULL ? "" : p->pn;
	int hosted = jid_on(device, JID_HOSTED) || jid_on(device, JID_HOSTED_LID);

	if (user[0] == '\0' || (pn_side(device) && (p == NULL || p->lid[0] == '\0')))
		return -1;
	(void)snprintf(name, 81, hosted ? "%s_128" : "%s", user);
	return 0;
}

json_t *
contacts_party(const struct person *p)
{
	char text[JID_TEXT_MAX];
	json_t *o = json_object();

	if (p->id[0] != '\0')
		json_object_set_new(o, "id", json_string(p->id));
	if (p->pn[0] != '\0') {
		(void)snprintf(text, sizeof(text), "%s@" JID_PN, p->pn);
		json_object_set_new(o, "pn", json_string(text));
		if (strspn(p->pn, "0123456789") == strlen(p->pn) && p->pn[0] != '0') {
			(void)snprintf(text, sizeof(text), "+%s", p->pn);
			json_object_set_new(o, "phone", json_string(text));
		}
	}
	if (p->lid[0] != '\0') {
		(void)snprintf(text, sizeof(text), "%s@" JID_LID, p->lid);
		json_object_set_new(o, "lid", json_string(text));
	}
	if (p->push_name[0] != '\0')
		json_object_set_new(o, "push_name", json_string(p->push_name));
	return o;
}

void
contacts_chat_id(const struct jid *chat, const struct person *p, char out[STABLE_ID_LEN + 1])
{
	char text[JID_TEXT_MAX];

	if (p != NULL && p->id[0] != '\0' && (lid_side(chat) || pn_side(chat))) {
		memcpy(out, p->id, STABLE_ID_LEN + 1);
		out[0] = 'c'; /* a direct chat is named by its person */
		return;
	}
	stable_id_of_group(out, jid_format(chat, text));
}

json_t *
contacts_chat(const struct jid *chat, const struct person *p)
{
	char id[STABLE_ID_LEN + 1], text[JID_TEXT_MAX];
	const char *kind = jid_on(chat, JID_GROUP)        ? "group"
			   : jid_on(chat, JID_NEWSLETTER) ? "channel"
			   : jid_on(chat, JID_BROADCAST)
			       ? (strcmp(chat->user, "status") == 0 ? "status" : "broadcast")
			   : jid_on(chat, "bot") ? "bot"
						 : "direct";

	contacts_chat_id(chat, p, id);
	return json_pack("{s:s, s:s, s:s}", "id", id, "jid", jid_format(chat, text), "kind", kind);
}
