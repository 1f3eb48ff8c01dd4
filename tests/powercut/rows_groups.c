/* Protocol domain: groups and who has our sender key, base keys, tokens, stanzas that are dealt
 * with.
 */
#include <stdio.h>
#include <string.h>

#include "tests/powercut/rows.h"

static const struct store_backend *const b = &store_sqlcipher;

/* ---------------------------------------------------------------- groups */

/* The devices form:1, form:2 ... have our key. */
static enum store_status
mark_devices(struct store_db *db, char *group, const char *form, unsigned u, unsigned n)
{
	Stored__SenderKeyStatus m = STORED__SENDER_KEY_STATUS__INIT;
	Stored__SenderKeyDevice dev[3], *devices[3];
	char jid[3][64];
	unsigned i;

	for (i = 0; i < n; i++) {
		stored__sender_key_device__init(&dev[i]);
		snprintf(jid[i], sizeof(jid[i]), "%s:%u@lid", rows_name(form, u), i + 1);
		dev[i].device = jid[i];
		dev[i].has_key = 1;
		devices[i] = &dev[i];
	}
	m.group = group;
	m.devices = devices;
	m.n_devices = n;
	return b->sender_key_status(db, &m);
}

static enum store_status
group_put(struct store_db *db, unsigned u)
{
	Stored__GroupPut g = STORED__GROUP_PUT__INIT;

	g.group = rows_name("g", u);
	g.metadata = rows_bytes(u, 300, rows_len(u, 600));
	return b->group_put(db, &g);
}

static enum store_status
group_drop(struct store_db *db, unsigned u)
{
	return b->group_delete(db, rows_name("g", u));
}

static enum presence
group_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Group g = STORED__GROUP__INIT;

	if (b->group_get(db, rows_name("g", u), r, &g) != STORE_OK)
		return WRONG;
	return !g.has_metadata ? ABSENT : rows_same(&g.metadata, u, 300, rows_len(u, 600));
}

/* Three devices of it have our key; that goes with the group. */
static enum store_status
members_put(struct store_db *db, unsigned u)
{
	return mark_devices(db, rows_name("g", u - 1), "9000", u, 3);
}

static enum presence
members_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Group g = STORED__GROUP__INIT;

	if (b->group_get(db, rows_name("g", u - 1), r, &g) != STORE_OK)
		return WRONG;
	if (g.n_devices == 0)
		return ABSENT;
	return g.n_devices == 3 && g.devices[2]->has_key ? THERE : WRONG;
}

/* Marks alone, until our key of the group changes. */
static enum store_status
marks_put(struct store_db *db, unsigned u)
{
	return mark_devices(db, rows_name("m", u), "9100", u, 2);
}

static enum store_status
marks_drop(struct store_db *db, unsigned u)
{
	return b->sender_key_clear(db, rows_name("m", u));
}

static enum presence
marks_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Group g = STORED__GROUP__INIT;

	if (b->group_get(db, rows_name("m", u), r, &g) != STORE_OK || g.has_metadata)
		return WRONG;
	if (g.n_devices == 0)
		return ABSENT;
	return g.n_devices == 2 && g.devices[0]->has_key && g.devices[1]->has_key ? THERE : WRONG;
}

/* A device of one group that all share, until it is gone from all. */
static enum store_status
member_put(struct store_db *db, unsigned u)
{
	static char group[] = "everybody";

	return mark_devices(db, group, "9200", u, 1);
}

static enum store_status
member_drop(struct store_db *db, unsigned u)
{
	char device[64];

	snprintf(device, sizeof(device), "%s:1@lid", rows_name("9200", u));
	return b->sender_key_drop(db, device);
}

static enum presence
member_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Group g = STORED__GROUP__INIT;
	char device[64];
	size_t i;

	snprintf(device, sizeof(device), "%s:1@lid", rows_name("9200", u));
	if (b->group_get(db, "everybody", r, &g) != STORE_OK)
		return WRONG;
	for (i = 0; i < g.n_devices; i++) {
		if (strcmp(g.devices[i]->device, device) == 0)
			return g.devices[i]->has_key ? THERE : WRONG;
	}
	return ABSENT;
}

/* ---------------------------------------------------------------- retries */

static void
base_key(unsigned u, Stored__BaseKey *k, Stored__BaseKeyName *n)
{
	stored__base_key__init(k);
	stored__base_key_name__init(n);
	n->address = rows_name("5000.", u);
	n->message_id = rows_name("B", u);
	k->name = n;
	k->key = rows_bytes(u, 301, 33);
}

static enum store_status
base_key_put(struct store_db *db, unsigned u)
{
	Stored__BaseKeyName n;
	Stored__BaseKey k;

	base_key(u, &k, &n);
	return b->base_key_put(db, &k, writes_time(u));
}

static enum store_status
base_key_drop(struct store_db *db, unsigned u)
{
	Stored__BaseKeyName n;
	Stored__BaseKey k;

	base_key(u, &k, &n);
	return b->base_key_delete(db, &n);
}

static enum presence
base_key_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__BaseKeyName n;
	Stored__BaseKey k;
	int same = 0;

	(void)r;
	base_key(u, &k, &n);
	if (b->base_key_same(db, &k, &same) != STORE_OK)
		return WRONG;
	return same ? THERE : ABSENT;
}

/* ---------------------------------------------------------------- tokens */

static enum store_status
token_put(struct store_db *db, unsigned u)
{
	Stored__Token t = STORED__TOKEN__INIT;

	t.user = rows_name("6000", u);
	t.token = rows_bytes(u, 302, 40);
	t.token_s = writes_time(u) / 1000;
	return b->token_put(db, &t);
}

static enum store_status
token_drop(struct store_db *db, unsigned u)
{
	return b->token_delete(db, rows_name("6000", u));
}

static enum presence
token_is(struct store_db *db, struct region *r, const char *form, unsigned u, Stored__Token *t)
{
	stored__token__init(t);
	if (b->token_get(db, rows_name(form, u), r, t) != STORE_OK)
		return WRONG;
	return t->token_s == 0 ? ABSENT : t->token_s == writes_time(u) / 1000 ? THERE : WRONG;
}

static enum presence
token_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Token t;
	enum presence p = token_is(db, r, "6000", u, &t);

	return p == THERE ? rows_same(&t.token, u, 302, 40) : p;
}

static enum store_status
received_put(struct store_db *db, unsigned u)
{
	Stored__TokenReceived t = STORED__TOKEN_RECEIVED__INIT;

	t.user = rows_name("6100", u);
	t.token = rows_bytes(u, 303, 40);
	t.token_s = writes_time(u) / 1000;
	return b->token_received(db, &t);
}

static enum presence
received_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Token t;
	enum presence p = token_is(db, r, "6100", u, &t);

	return p == THERE ? rows_same(&t.token, u, 303, 40) : p;
}

static enum store_status
touch_put(struct store_db *db, unsigned u)
{
	Stored__TokenTouch t = STORED__TOKEN_TOUCH__INIT;

	t.user = rows_name("6200", u);
	t.sender_s = writes_time(u) / 1000;
	return b->token_touch(db, &t);
}

static enum presence
touch_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Token t;
	enum presence p = token_is(db, r, "6200", u, &t);

	return p == THERE && (t.token.len != 0 || t.sender_s != t.token_s) ? WRONG : p;
}

/* ---------------------------------------------------------------- pending stanzas */

static enum store_status
put_pending(struct store_db *db, char *id, unsigned u)
{
	Stored__Pending p = STORED__PENDING__INIT;
	Stored__MessageName n = STORED__MESSAGE_NAME__INIT;
	static char chat[] = "everybody";

	n.chat = chat;
	n.sender = rows_name("s", u);
	n.id = id;
	p.name = &n;
	p.stanza = rows_bytes(u, 304, rows_len(u, 1500));
	return b->pending_put(db, &p, writes_time(u));
}

static enum presence
have_pending(struct store_db *db, struct region *r, char *id, unsigned u)
{
	Stored__Pending p = STORED__PENDING__INIT;
	Stored__MessageName n = STORED__MESSAGE_NAME__INIT;
	static char chat[] = "everybody";

	n.chat = chat;
	n.sender = rows_name("s", u);
	n.id = id;
	if (b->pending_get(db, &n, r, &p) != STORE_OK)
		return WRONG;
	return p.stanza.len == 0 ? ABSENT : rows_same(&p.stanza, u, 304, rows_len(u, 1500));
}

static enum store_status
pending_put(struct store_db *db, unsigned u)
{
	return put_pending(db, rows_name("P", u), u);
}

static enum store_status
pending_drop(struct store_db *db, unsigned u)
{
	Stored__MessageName n = STORED__MESSAGE_NAME__INIT;
	static char chat[] = "everybody";

	n.chat = chat;
	n.sender = rows_name("s", u);
	n.id = rows_name("P", u);
	return b->pending_delete(db, &n);
}

static enum presence
pending_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_pending(db, r, rows_name("P", u), u);
}

/* One that nobody comes back to. */
static enum store_status
stale_put(struct store_db *db, unsigned u)
{
	return put_pending(db, rows_name("Q", u), u);
}

static enum presence
stale_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_pending(db, r, rows_name("Q", u), u);
}

const struct row rows_groups[] = {
    {"group", 11, 1, 22, OWN, 0, ROW_DEVICE, group_put, group_drop, group_have},
    {"marks of a group", 11, 2, 21, OWN, 0, ROW_DEVICE | ROW_RATCHET, members_put, NULL,
	members_have},
    {"sender-key marks", 11, 4, 22, OWN, 0, ROW_DEVICE | ROW_RATCHET, marks_put, marks_drop,
	marks_have},
    {"mark of a device", 11, 7, 33, OWN, 0, ROW_DEVICE | ROW_RATCHET, member_put, member_drop,
	member_have},
    {"base key", 12, 3, 24, AGING, 0, ROW_DEVICE | ROW_RATCHET, base_key_put, base_key_drop,
	base_key_have},
    {"token", 12, 2, 36, AGING, 0, ROW_DEVICE, token_put, token_drop, token_have},
    {"token received", 12, 6, 0, AGING, 0, ROW_DEVICE, received_put, NULL, received_have},
    {"token touched", 12, 10, 0, AGING, 0, ROW_DEVICE, touch_put, NULL, touch_have},
    {"pending stanza", 6, 2, 6, OWN, 0, ROW_DEVICE, pending_put, pending_drop, pending_have},
    {"stale stanza", 18, 9, 0, AGING, 0, ROW_DEVICE, stale_put, NULL, stale_have},
    {0},
};
