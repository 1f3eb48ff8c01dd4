/* Protocol domain: people, and how their phone number and LID find together. The rules are at the
 * top of stored/sqlcipher/contacts.c. */
#include <stdio.h>
#include <string.h>

#include "common/jid.h"
#include "stored/memory/db.h"

#define CONTACT_BYTES ((size_t)16 * 1024) /* more than one contact takes, unpacked */

static void
key_of(struct key *k, enum table t, const char *text)
{
	key_start(k, t);
	key_text(k, text);
}

/* ---------------------------------------------------------------- finding */

/* The contact's id in a row of another table; "" when there is none. */
struct id {
	char text[32];
};

static struct id
follow(struct store_db *db, enum table t, const char *text)
{
	const struct map_row *row;
	struct id id = {""};
	struct key k;

	if (text == NULL)
		return id;
	key_of(&k, t, text);
	if ((row = map_get(db->map, &k)) != NULL)
		snprintf(id.text, sizeof(id.text), "%.*s", (int)row->len, (const char *)row->value);
	return id;
}

/* By its own id, or by one that it had. */
static struct id
find_id(struct store_db *db, const char *text)
{
	struct id id;
	struct key k;

	key_of(&k, T_CONTACT, text);
	if (map_get(db->map, &k) == NULL)
		return follow(db, T_CONTACT_ALIAS, text);
	snprintf(id.text, sizeof(id.text), "%s", text);
	return id;
}

/* *out NULL: there is none. */
static enum store_status
load(struct store_db *db, const char *id, struct region *r, Stored__Contact **out)
{
	const struct map_row *row;
	struct key k;

	*out = NULL;
	key_of(&k, T_CONTACT, id);
	if ((row = map_get(db->map, &k)) == NULL)
		return STORE_OK;
	*out = mem_unpack(&stored__contact__descriptor, row, 0, r);
	return *out == NULL ? STORE_NO_MEMORY : STORE_OK;
}

/* ---------------------------------------------------------------- changing */

static enum store_status
save(struct store_db *db, const Stored__Contact *c)
{
	enum store_status st;
	struct key k;

	key_of(&k, T_CONTACT, c->id);
	st = mem_put_packed(db, &k, NULL, 0, &c->base);
	if (st == STORE_OK && c->pn != NULL) {
		key_of(&k, T_CONTACT_PN, c->pn);
		st = map_put(db->map, &k, NULL, 0, c->id, strlen(c->id));
	}
	if (st == STORE_OK && c->lid != NULL) {
		key_of(&k, T_CONTACT_LID, c->lid);
		st = map_put(db->map, &k, NULL, 0, c->id, strlen(c->id));
	}
	return st;
}

/* It keeps a number or LID only as far as the index says so. */
static enum store_status
let_go(struct store_db *db, enum table t, const char *text)
{
	struct key k;

	if (text == NULL)
		return STORE_OK;
	key_of(&k, t, text);
	return map_delete(db->map, &k, NULL);
}

static enum store_status
alias(struct store_db *db, const char *id, const char *target)
{
	struct id before = follow(db, T_CONTACT_ALIAS, id);
	enum store_status st = STORE_OK;
	struct key k;

	if (before.text[0] != '\0') {
		key_of(&k, T_CONTACT_ALIAS_OF, before.text);
		key_text(&k, id);
		st = map_delete(db->map, &k, NULL);
	}
	key_of(&k, T_CONTACT_ALIAS, id);
	if (st == STORE_OK)
		st = map_put(db->map, &k, NULL, 0, target, strlen(target));
	key_of(&k, T_CONTACT_ALIAS_OF, target);
	key_text(&k, id);
	return st == STORE_OK ? map_put(db->map, &k, NULL, 0, NULL, 0) : st;
}

static void
take_earliest(Stored__Contact *to, const Stored__Contact *from)
{
	if (from->has_first_out_ms &&
	    (!to->has_first_out_ms || from->first_out_ms < to->first_out_ms))
		to->first_out_ms = from->first_out_ms;
	to->has_first_out_ms |= from->has_first_out_ms;
	if (from->has_met_ms && (!to->has_met_ms || from->met_ms < to->met_ms))
		to->met_ms = from->met_ms;
	to->has_met_ms |= from->has_met_ms;
}

/* `from` turned out to be the same person as `to`, and its ids find that one from now on. */
static enum store_status
merge(struct store_db *db, const Stored__Contact *from, Stored__Contact *to)
{
	const struct map_row *row, *next;
	enum store_status st;
	struct key k;

	st = let_go(db, T_CONTACT_PN, from->pn);
	if (to->pn == NULL)
		to->pn = from->pn;
	if (to->push_name == NULL)
		to->push_name = from->push_name;
	if (from->created_ms < to->created_ms)
		to->created_ms = from->created_ms;
	take_earliest(to, from);
	key_of(&k, T_CONTACT, from->id);
	if (st == STORE_OK)
		st = map_delete(db->map, &k, NULL);
	key_of(&k, T_CONTACT_ALIAS_OF, from->id);
	for (row = map_from(db->map, &k); st == STORE_OK && map_within(row, &k); row = next) {
		next = map_next(row);
		st = alias(db, (const char *)row->key + k.len, to->id);
	}
	return st == STORE_OK ? alias(db, from->id, to->id) : st;
}

/* One that the put named beside the target: the same person, or one who loses the number. */
static enum store_status
settle(struct store_db *db, const char *id, Stored__Contact *target, int owns_pn, struct region *r)
{
	enum store_status st;
	Stored__Contact *c;

	if (id[0] == '\0' || strcmp(id, target->id) == 0)
		return STORE_OK;
	if ((st = load(db, id, r, &c)) != STORE_OK || c == NULL)
		return st;
	if (c->lid == NULL)
		return merge(db, c, target);
	if (!owns_pn || (st = let_go(db, T_CONTACT_PN, c->pn)) != STORE_OK)
		return st;
	c->pn = NULL;
	return save(db, c);
}

static enum store_status
set_fields(struct store_db *db, Stored__Contact *target, const Stored__Contact *c, int64_t now_ms)
{
	enum store_status st = STORE_OK;

	if (c->pn != NULL && target->pn != NULL && strcmp(c->pn, target->pn) != 0)
		st = let_go(db, T_CONTACT_PN, target->pn);
	if (st == STORE_OK && c->lid != NULL && target->lid != NULL &&
	    strcmp(c->lid, target->lid) != 0)
		st = let_go(db, T_CONTACT_LID, target->lid);
	if (c->pn != NULL)
		target->pn = c->pn;
	if (c->lid != NULL)
		target->lid = c->lid;
	if (c->push_name != NULL)
		target->push_name = c->push_name;
	if (c->lid_source != NULL)
		target->lid_source = c->lid_source;
	take_earliest(target, c);
	target->has_changed_ms = 1;
	target->changed_ms = now_ms;
	return st == STORE_OK ? save(db, target) : st;
}

static int
has_lid(struct store_db *db, const char *id, struct region *r)
{
	Stored__Contact *c = NULL;

	return id[0] != '\0' && load(db, id, r, &c) == STORE_OK && c != NULL && c->lid != NULL;
}

/* Whom the put is about; a new contact if nobody is known. */
static enum store_status
target_of(struct store_db *db, const Stored__Contact *c, const struct id *by_id,
    const struct id *by_pn, int64_t now_ms, struct region *r, Stored__Contact **out)
{
	struct id target = follow(db, T_CONTACT_LID, c->lid);
	int pn_has_lid = has_lid(db, by_pn->text, r);

	/* A number's contact that has a LID counts before an id that has none, as a LID's would. */
	if (target.text[0] == '\0' && c->lid == NULL && pn_has_lid && !has_lid(db, by_id->text, r))
		target = *by_pn;
	if (target.text[0] == '\0')
		target = *by_id;
	if (target.text[0] == '\0' && (!pn_has_lid || c->lid == NULL))
		target = *by_pn;
	if (target.text[0] != '\0')
		return load(db, target.text, r, out);
	if ((*out = region_alloc(r, sizeof(**out))) == NULL)
		return STORE_NO_MEMORY;
	stored__contact__init(*out);
	(*out)->id = c->id;
	(*out)->has_created_ms = 1;
	(*out)->created_ms = now_ms;
	return STORE_OK;
}

static enum store_status
put(struct store_db *db, const Stored__Contact *c, int64_t now_ms, struct region *r)
{
	struct id by_id = find_id(db, c->id), by_pn = follow(db, T_CONTACT_PN, c->pn);
	Stored__Contact *target = NULL;
	int same = strcmp(by_id.text, by_pn.text) == 0;
	enum store_status st;
	struct key k;

	st = target_of(db, c, &by_id, &by_pn, now_ms, r, &target);
	if (region_failed(r))
		return STORE_NO_MEMORY;
	if (st != STORE_OK || target == NULL)
		return st != STORE_OK ? st : STORE_CORRUPT;
	/* The id's contact first: it may be the number's as well. */
	if ((st = settle(db, by_id.text, target, same, r)) != STORE_OK ||
	    (!same && (st = settle(db, by_pn.text, target, 1, r)) != STORE_OK) ||
	    (st = set_fields(db, target, c, now_ms)) != STORE_OK)
		return st;
	key_of(&k, T_CONTACT, c->id);
	return map_get(db->map, &k) == NULL ? alias(db, c->id, target->id) : STORE_OK;
}

enum store_status
mem_contact_put(struct store_db *db, const Stored__Contact *c, int64_t now_ms)
{
	struct region *r = region_new(8 * CONTACT_BYTES);
	enum store_status st = r != NULL ? put(db, c, now_ms, r) : STORE_NO_MEMORY;

	region_free(r);
	return st;
}

/* ---------------------------------------------------------------- lookup */

static enum store_status
list_of(struct store_db *db, const char *user, const char *server, struct region *r,
    Stored__DeviceList **out)
{
	char text[JID_TEXT_MAX];

	snprintf(text, sizeof(text), "%s@%s", user, server);
	return mem_device_list_get(db, text, r, out);
}

enum store_status
mem_peer_lookup(struct store_db *db, const char *jid, struct region *r, Stored__Peer *out)
{
	struct jid j;
	int is_jid = jid_parse(jid, &j) == 0, is_lid = is_jid && jid_is_lid(&j);
	const char *pn = is_jid && !is_lid ? j.user : NULL, *lid = is_lid ? j.user : NULL;
	enum store_status st;
	struct id who;

	if (!is_jid || j.user[0] == '\0')
		who = find_id(db, jid);
	else if (is_lid || jid_is_pn(&j))
		who = follow(db, is_lid ? T_CONTACT_LID : T_CONTACT_PN, j.user);
	else
		return STORE_OK; /* a group or a list: no peer */
	if ((st = load(db, who.text, r, &out->contact)) != STORE_OK)
		return st;
	if (out->contact != NULL) {
		pn = out->contact->pn;
		lid = out->contact->lid;
	}
	/* device lists are known by JID, also of people who are no contact yet */
	if (pn != NULL && (st = list_of(db, pn, JID_PN, r, &out->by_pn)) != STORE_OK)
		return st;
	return lid != NULL ? list_of(db, lid, JID_LID, r, &out->by_lid) : STORE_OK;
}
