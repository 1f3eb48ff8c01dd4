/* The bounded cache of people in front of stored: finding, adding, throwing out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts_impl.h"
#include "common/log.h"

#define EVICT_STEPS 64u /* looked at for each that is added */

static size_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h % CONTACTS_BUCKETS;
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

void
contact_unlink_keys(struct contact *k)
{
	if (k->in_pn)
		LIST_REMOVE(k, by_pn);
	if (k->in_lid)
		LIST_REMOVE(k, by_lid);
	k->in_pn = k->in_lid = 0;
}

void
contact_link_keys(struct contacts *c, struct contact *k)
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

void
contact_drop(struct contacts *c, struct contact *k)
{
	contact_unlink_keys(k);
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
	contact_link_keys(c, k);
	c->n++;
	evict(c);
	return k;
}

struct contact *
contact_find_pn(struct contacts *c, const char *pn)
{
	struct contact *k;

	LIST_FOREACH(k, &c->pn[hash(pn)], by_pn)
	if (strcmp(k->p.pn, pn) == 0)
		return k;
	return NULL;
}

struct contact *
contact_find_lid(struct contacts *c, const char *lid)
{
	struct contact *k;

	LIST_FOREACH(k, &c->lid[hash(lid)], by_lid)
	if (strcmp(k->p.lid, lid) == 0)
		return k;
	return NULL;
}

struct contact *
contact_find_id(struct contacts *c, const char *id)
{
	struct contact *k;

	LIST_FOREACH(k, &c->id[hash(id)], by_id)
	if (strcmp(k->p.id, id) == 0)
		return k;
	return NULL;
}

struct contact *
contact_find(struct contacts *c, const struct jid *j)
{
	if (jid_by_lid(j))
		return contact_find_lid(c, j->user);
	if (jid_by_number(j))
		return contact_find_pn(c, j->user);
	return NULL;
}

struct contact *
contact_find_name(struct contacts *c, const char *name)
{
	struct jid j;

	if (stable_id_is(name, 'u'))
		return contact_find_id(c, name);
	return jid_parse(name, &j) == -1 ? NULL : contact_find(c, &j);
}

void
contact_touch(struct contacts *c, struct contact *k)
{
	TAILQ_REMOVE(&c->lru, k, lru);
	TAILQ_INSERT_HEAD(&c->lru, k, lru);
}

static void
put(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from == NULL ? "" : from);
}

struct contact *
contact_make(struct contacts *c, const struct jid *j)
{
	struct person p = {0};
	struct contact *k;

	stable_id_new(p.id, 'u');
	put(jid_by_lid(j) ? p.lid : p.pn, sizeof(p.pn), j->user);
	k = contact_add(c, &p);
	k->dirty = k->fresh = 1;
	return k;
}

struct contact *
contact_from_store(struct contacts *c, const Stored__Contact *s)
{
	struct contact *k = contact_find_id(c, s->id);
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

int
contacts_cached(struct account *a, const struct jid *j, struct person *out)
{
	struct contact *k = contact_find(a->contacts, j);

	if (k == NULL)
		return -1;
	*out = k->p;
	return 0;
}
