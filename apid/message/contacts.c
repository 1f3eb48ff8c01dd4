/* People: what is learned of them, pairs of number and LID above all, and how stored gets it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts_impl.h"
#include "apid/message/send.h"
#include "apid/session/device_refresh.h"
#include "common/clock.h"
#include "common/log.h"

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
	struct contact *k = contact_find_name(a->contacts, user);

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
	struct contact *k = contact_find_id(a->contacts, p->id);

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
	const struct contact *k = contact_find_name(a->contacts, user);

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
		(void)snprintf(t->p.push_name, sizeof(t->p.push_name), "%s", gone->p.push_name);
	(void)earliest(&t->p.first_out_ms, gone->p.first_out_ms);
	(void)earliest(&t->p.met_ms, gone->p.met_ms);
	if (!gone->fresh)
		(void)snprintf(t->former, sizeof(t->former), "%s", gone->p.id);
	send_lane_renamed(a, gone->p.id, t->p.id); /* nobody waits for one who is no more */
	contact_drop(a->contacts, gone);
}

void
contacts_met(struct account *a, const struct jid *j, int64_t time_ms)
{
	struct contact *k = contact_find(a->contacts, j);

	if (k != NULL && k->p.met_ms == 0 && earliest(&k->p.met_ms, time_ms))
		k->dirty = 1;
}

void
contacts_first_out(struct account *a, const struct jid *j, int64_t time_ms)
{
	struct contact *k = contact_find(a->contacts, j);

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
	struct contact *k = contact_find_pn(c, pn), *l = contact_find_lid(c, lid), *t;
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
		contact_unlink_keys(k);
		k->p.pn[0] = '\0';
		contact_link_keys(c, k);
	}
	contact_unlink_keys(t);
	(void)snprintf(t->p.pn, sizeof(t->p.pn), "%s", pn);
	(void)snprintf(t->p.lid, sizeof(t->p.lid), "%s", lid);
	(void)snprintf(t->source, sizeof(t->source), "%s", source);
	contact_link_keys(c, t);
	t->dirty = 1;
	t->moved = 0;
}

int
contacts_moved(struct account *a, const struct person *p)
{
	const struct contact *k = contact_find_id(a->contacts, p->id);

	return k == NULL || k->moved || strcmp(k->p.pn, p->pn) != 0 ||
	       strcmp(k->p.lid, p->lid) != 0;
}

void
contacts_set_moved(struct account *a, const struct person *p)
{
	struct contact *k = contact_find_id(a->contacts, p->id);

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
	struct contact *k = contact_find(a->contacts, j);
	json_t *valid;

	if (k == NULL || strncmp(k->p.push_name, push_name, sizeof(k->p.push_name)) == 0 ||
	    strlen(push_name) >= sizeof(k->p.push_name))
		return;
	if ((valid = json_string(push_name)) == NULL)
		return; /* no UTF-8 */
	json_decref(valid);
	(void)snprintf(k->p.push_name, sizeof(k->p.push_name), "%s", push_name);
	k->dirty = 1;
}

int
contacts_write(struct account *a, const struct jid *j, struct unit *u)
{
	struct contact *k = contact_find(a->contacts, j);
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
	struct contact *k = contact_find(a->contacts, j);

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
	const struct contact *k = contact_find(a->contacts, j);

	return k != NULL && k->dirty;
}

void
contacts_forget_session(struct account *a, const struct jid *j)
{
	struct contact *k = contact_find(a->contacts, j);

	if (k != NULL)
		k->stale = 1;
}

int
contacts_take_stale(struct account *a, const struct jid *j)
{
	struct contact *k = contact_find(a->contacts, j);
	int stale = k != NULL && k->stale;

	if (stale)
		k->stale = 0;
	return stale;
}
