/* The outbox. */
#include <string.h>

#include "tests/powercut/rows.h"

static const struct store_backend *const b = &store_sqlcipher;

static enum store_status
message_put(struct store_db *db, unsigned u)
{
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	static char chat[] = "1@s.whatsapp.net";

	p.message_id = rows_name("M", u);
	p.chat = chat;
	p.uid = 1000;
	p.idempotency_key = rows_name("key", u);
	p.params_hash = rows_bytes(u, 200, 32);
	p.content = rows_bytes(u, 201, u % 4 == 0 ? 9000 : 200);
	p.state = STORED__OUTBOX_STATE__QUEUED;
	p.created_ms = writes_time(u);
	return b->outbox_put(db, &p, writes_time(u));
}

static Stored__OutboxRow *
message(struct store_db *db, struct region *r, unsigned u, enum presence *p)
{
	Stored__OutboxRow *row = NULL;

	*p = b->outbox_find(db, 0, NULL, rows_name("M", u), r, &row) != STORE_OK ? WRONG : ABSENT;
	return *p == WRONG ? NULL : row;
}

static enum presence
message_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u, &p);

	return row == NULL ? p : rows_same(&row->put->content, u, 201, u % 4 == 0 ? 9000 : 200);
}

/* Two units later it has been sent. */
static enum store_status
sent_put(struct store_db *db, unsigned u)
{
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;

	up.message_id = rows_name("M", u - 2);
	up.has_state = up.has_server_ms = up.has_stanza = 1;
	up.state = STORED__OUTBOX_STATE__ACKED;
	up.stanza = rows_bytes(u, 202, 500);
	up.server_ms = writes_time(u);
	return b->outbox_update(db, &up);
}

static enum presence
sent_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u - 2, &p);

	if (row == NULL || row->put->state == STORED__OUTBOX_STATE__QUEUED)
		return p;
	return row->server_ms == writes_time(u) ? rows_same(&row->put->stanza, u, 202, 500) : WRONG;
}

/* Or refused until a time, and the first contact that it was is known. */
static enum store_status
refused_put(struct store_db *db, unsigned u)
{
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;

	up.message_id = rows_name("T", u - 1);
	up.has_until_ms = 1;
	up.until_ms = writes_time(u);
	return b->outbox_update(db, &up);
}

static enum presence
refused_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__OutboxRow *row = NULL;

	if (b->outbox_find(db, 0, NULL, rows_name("T", u - 1), r, &row) != STORE_OK)
		return WRONG;
	if (row == NULL || !row->has_until_ms)
		return ABSENT;
	return row->until_ms == writes_time(u) ? THERE : WRONG;
}

/* And two later it is known to have come. */
static enum store_status
receipt_put(struct store_db *db, unsigned u)
{
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;
	static char read[] = "read";

	m.message_id = rows_name("M", u - 4);
	m.party = rows_name("party", u);
	m.status = read;
	m.time_ms = writes_time(u);
	return b->outbox_receipt(db, &m);
}

static enum presence
receipt_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u - 4, &p);

	return row == NULL ? p : row->read == 1 ? THERE : row->read == 0 ? ABSENT : WRONG;
}

/* One that was refused, and whose content is taken for a retry. */
static enum store_status
taken_put(struct store_db *db, unsigned u)
{
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	static char chat[] = "1-2@g.us";
	char *devices[2];

	p.message_id = rows_name("T", u);
	p.chat = chat;
	p.uid = 1000;
	p.idempotency_key = rows_name("taken", u);
	p.params_hash = rows_bytes(u, 203, 32);
	p.content = rows_bytes(u, 204, 300);
	p.state = STORED__OUTBOX_STATE__FAILED;
	p.created_ms = writes_time(u);
	p.devices = devices;
	p.n_devices = 2;
	devices[0] = rows_name("1@s.whatsapp.net:", u);
	devices[1] = rows_name("2@s.whatsapp.net:", u);
	return b->outbox_put(db, &p, writes_time(u));
}

static enum store_status
taken_drop(struct store_db *db, unsigned u)
{
	return b->outbox_take(db, rows_name("T", u));
}

static enum presence
taken_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__OutboxRow *row = NULL;

	if (b->outbox_find(db, 0, NULL, rows_name("T", u), r, &row) != STORE_OK)
		return WRONG;
	if (row == NULL || row->taken)
		return ABSENT;
	if (row->put->n_devices != 2 ||
	    strcmp(row->put->devices[0], rows_name("1@s.whatsapp.net:", u)) != 0)
		return WRONG;
	return rows_same(&row->put->content, u, 204, 300);
}

const struct row rows_outbox[] = {
    {"message", 7, 1, 0, AGING, 0, 0, message_put, NULL, message_have},
    {"message sent", 7, 3, 0, AGING, 2, 0, sent_put, NULL, sent_have},
    {"receipt", 7, 5, 0, AGING, 4, 0, receipt_put, NULL, receipt_have},
    {"message refused", 14, 7, 0, AGING, 1, 0, refused_put, NULL, refused_have},
    {"message taken", 14, 6, 14, AGING, 0, 0, taken_put, taken_drop, taken_have},
    {0},
};
