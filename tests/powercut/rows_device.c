/* Device and protocol domain: our own device, people and their devices. */
#include <stdio.h>
#include <string.h>

#include "tests/powercut/rows.h"

static const struct store_backend *const b = &store_sqlcipher;

/* ---------------------------------------------------------------- device domain */

static enum store_status
device_put(struct store_db *db, unsigned u)
{
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;

	d.push_name = rows_name("name ", u);
	d.has_login_counter = 1;
	d.login_counter = (int32_t)u;
	return b->device_merge(db, &d);
}

static enum presence
device_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__DeviceRecord *d;

	if (b->device_load(db, r, &d) != STORE_OK || d == NULL)
		return WRONG;
	if (!d->has_login_counter)
		return ABSENT;
	return d->login_counter == (int32_t)u && d->push_name != NULL &&
		       strcmp(d->push_name, rows_name("name ", u)) == 0
		   ? THERE
		   : WRONG;
}

/* ---------------------------------------------------------------- protocol domain */

static enum store_status
put_list(struct store_db *db, const char *user, unsigned u)
{
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	Stored__Device dev[20], *devices[20];
	char jid[80];
	unsigned i;

	snprintf(jid, sizeof(jid), "%s@lid", rows_name(user, u));
	l.user = jid;
	l.n_devices = 1 + u % 20;
	l.devices = devices;
	for (i = 0; i < l.n_devices; i++) {
		stored__device__init(&dev[i]);
		dev[i].id = u + i;
		devices[i] = &dev[i];
	}
	return b->device_list_put(db, &l, writes_time(u));
}

static enum presence
have_list(struct store_db *db, struct region *r, const char *user, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@lid", rows_name(user, u));
	if (b->peer_lookup(db, jid, r, &p) != STORE_OK)
		return WRONG;
	if (p.by_lid == NULL)
		return ABSENT;
	return p.by_lid->n_devices == 1 + u % 20 && p.by_lid->devices[0]->id == u ? THERE : WRONG;
}

static enum store_status
list_put(struct store_db *db, unsigned u)
{
	return put_list(db, "70000", u);
}

static enum store_status
list_drop(struct store_db *db, unsigned u)
{
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@lid", rows_name("70000", u));
	return b->device_list_drop(db, jid);
}

static enum presence
list_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_list(db, r, "70000", u);
}

/* One that is never asked for again. */
static enum store_status
old_list_put(struct store_db *db, unsigned u)
{
	return put_list(db, "71000", u);
}

static enum presence
old_list_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_list(db, r, "71000", u);
}

static enum store_status
contact_put(struct store_db *db, unsigned u, const char *tag, int with_lid)
{
	Stored__Contact c = STORED__CONTACT__INIT;
	char id[32];

	snprintf(id, sizeof(id), "u_%s%025u", tag, u);
	c.id = id;
	c.pn = rows_name("49170", u);
	if (with_lid)
		c.lid = rows_name("80000", u);
	c.push_name = rows_name("contact ", u);
	return b->contact_put(db, &c, writes_time(u));
}

/* First a number is seen. */
static enum store_status
pn_put(struct store_db *db, unsigned u)
{
	return contact_put(db, u, "a", 0);
}

static enum presence
pn_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@s.whatsapp.net", rows_name("49170", u));
	if (b->peer_lookup(db, jid, r, &p) != STORE_OK)
		return WRONG;
	if (p.contact == NULL)
		return ABSENT;
	return strcmp(p.contact->push_name, rows_name("contact ", u)) == 0 ? THERE : WRONG;
}

/* Two units later its LID: two contacts become one. */
static enum store_status
lid_put(struct store_db *db, unsigned u)
{
	return contact_put(db, u - 2, "b", 1);
}

static enum presence
lid_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@lid", rows_name("80000", u - 2));
	if (b->peer_lookup(db, jid, r, &p) != STORE_OK)
		return WRONG;
	if (p.contact == NULL)
		return ABSENT;
	return p.contact->pn != NULL && strcmp(p.contact->pn, rows_name("49170", u - 2)) == 0
		   ? THERE
		   : WRONG;
}

const struct row rows_device[] = {
    {"device record", 9, 1, 0, LATEST, 0, ROW_DEVICE, device_put, NULL, device_have},
    {"device list", 8, 1, 16, OWN, 0, ROW_DEVICE, list_put, list_drop, list_have},
    {"old device list", 16, 5, 0, AGING, 0, ROW_DEVICE, old_list_put, NULL, old_list_have},
    {"contact", 10, 2, 0, OWN, 0, 0, pn_put, NULL, pn_have},
    {"contact's LID", 10, 4, 0, OWN, 0, 0, lid_put, NULL, lid_have},
    {0},
};
