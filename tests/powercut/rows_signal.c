/* Signal domain: sealed records. */
#include <stdio.h>
#include <string.h>

#include "tests/powercut/rows.h"

#define BIG 20000 /* more than some pages */

static const struct store_backend *const b = &store_sqlcipher;

static enum store_status
record_put(struct store_db *db, Stored__Domain domain, char *name, uint64_t version,
    ProtobufCBinaryData sealed)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT;

	n.domain = domain;
	n.name = name;
	p.name = &n;
	p.version = version;
	p.sealed = sealed;
	p.has_uploaded = domain == STORED__DOMAIN__PREKEY;
	return b->record_put(db, &p);
}

static enum store_status
record_delete(struct store_db *db, Stored__Domain domain, char *name, uint64_t version)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordDelete d = STORED__RECORD_DELETE__INIT;

	n.domain = domain;
	n.name = name;
	d.name = &n;
	d.version = version;
	return b->record_delete(db, &d);
}

static enum presence
record_have(struct store_db *db, struct region *r, Stored__Domain domain, char *name,
    uint64_t version, unsigned u, size_t len)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__Record out = STORED__RECORD__INIT;

	n.domain = domain;
	n.name = name;
	if (b->record_get(db, &n, r, &out) != STORE_OK)
		return WRONG;
	if (out.version == 0)
		return ABSENT;
	return out.version == version ? rows_same(&out.sealed, u, domain, len) : WRONG;
}

static enum store_status
session_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__SESSION, rows_name("9/s", u), 1,
	    rows_bytes(u, STORED__DOMAIN__SESSION, rows_len(u, 300)));
}

static enum presence
session_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(
	    db, r, STORED__DOMAIN__SESSION, rows_name("9/s", u), 1, u, rows_len(u, 300));
}

/* Of a former device, in order of their names: the oldest one goes by a purge of one. */
static char *
former_name(unsigned u)
{
	static char text[32];

	snprintf(text, sizeof(text), "3/%08u", u);
	return text;
}

static enum store_status
former_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__APPSTATE_KEY, former_name(u), 1,
	    rows_bytes(u, STORED__DOMAIN__APPSTATE_KEY, rows_len(u, 300)));
}

static enum store_status
former_drop(struct store_db *db, unsigned u)
{
	uint64_t n;

	(void)u;
	return b->quarantine_purge(db, 9, 1, &n);
}

static enum presence
former_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(
	    db, r, STORED__DOMAIN__APPSTATE_KEY, former_name(u), 1, u, rows_len(u, 300));
}

static enum store_status
counters_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__KEYSTATE, rows_name("counters", 0), u,
	    rows_bytes(u, STORED__DOMAIN__KEYSTATE, 100));
}

/* Of the last unit that is there: its version is its number. */
static enum presence
counters_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__KEYSTATE, rows_name("counters", 0), u, u, 100);
}

static enum store_status
big_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__SENDER_KEY, rows_name("9/g", u), 1,
	    rows_bytes(u, STORED__DOMAIN__SENDER_KEY, BIG));
}

static enum store_status
big_drop(struct store_db *db, unsigned u)
{
	enum store_status st =
	    record_delete(db, STORED__DOMAIN__SENDER_KEY, rows_name("9/g", u), 1);

	return st == STORE_VERSION ? STORE_OK : st; /* a restore took it before */
}

static enum presence
big_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__SENDER_KEY, rows_name("9/g", u), 1, u, BIG);
}

static enum store_status
prekey_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__PREKEY, rows_name("9/", u), 1,
	    rows_bytes(u, STORED__DOMAIN__PREKEY, 96));
}

static enum store_status
prekey_drop(struct store_db *db, unsigned u)
{
	return record_delete(db, STORED__DOMAIN__PREKEY, rows_name("9/", u), 1);
}

static enum presence
prekey_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__PREKEY, rows_name("9/", u), 1, u, 96);
}

/* Two units later the service has it. */
static enum store_status
uploaded_put(struct store_db *db, unsigned u)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;

	n.domain = STORED__DOMAIN__PREKEY;
	n.name = rows_name("9/", u - 2);
	return b->record_uploaded(db, &n);
}

static enum presence
uploaded_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	Stored__RecordNames out = STORED__RECORD_NAMES__INIT;
	char below[64];

	q.domain = STORED__DOMAIN__PREKEY;
	q.from = rows_name("9/", u - 2);
	snprintf(below, sizeof(below), "%s ", q.from);
	q.below = below;
	q.limit = 2;
	q.has_uploaded = q.uploaded = 1;
	if (b->record_list(db, &q, r, &out) != STORE_OK || out.total > 1)
		return WRONG;
	return out.total == 1 ? THERE : ABSENT;
}

static enum store_status
secret_put(struct store_db *db, unsigned u)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT;

	n.domain = STORED__DOMAIN__MSG_SECRET;
	n.name = rows_name("chat/sender/", u);
	p.name = &n;
	p.version = 1;
	p.sealed = rows_bytes(u, STORED__DOMAIN__MSG_SECRET, 72);
	p.has_expires_s = p.has_message_s = 1;
	p.expires_s = p.message_s = writes_time(u) / 1000;
	return b->record_put(db, &p);
}

static enum presence
secret_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(
	    db, r, STORED__DOMAIN__MSG_SECRET, rows_name("chat/sender/", u), 1, u, 72);
}

const struct row rows_signal[] = {
    {"session", 1, 1, 0, OWN, 0, ROW_RATCHET, session_put, NULL, session_have},
    {"former device", 7, 4, 21, OWN, 0, 0, former_put, former_drop, former_have},
    {"counters", 1, 1, 0, LATEST, 0, 0, counters_put, NULL, counters_have},
    {"sender key", 10, 3, 20, OWN, 0, ROW_RATCHET, big_put, big_drop, big_have},
    {"prekey", 5, 2, 20, OWN, 0, 0, prekey_put, prekey_drop, prekey_have},
    {"prekey uploaded", 5, 4, 18, OWN, 0, 0, uploaded_put, NULL, uploaded_have},
    {"message secret", 6, 1, 0, AGING, 0, 0, secret_put, NULL, secret_have},
    {0},
};
