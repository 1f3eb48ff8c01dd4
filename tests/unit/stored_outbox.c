/* What stored promises of the outbox: what is to be sent, what was, and what was said of it. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "stored/retention.h"
#include "stored/sqlcipher/db.h"

static uint8_t hash[32] = {7};

static void
outbox_init(Stored__OutboxPut *p, const char *id, uint32_t uid, const char *key)
{
	stored__outbox_put__init(p);
	p->message_id = rig_str(id);
	p->chat = rig_str("100@s.whatsapp.net");
	p->uid = uid;
	p->idempotency_key = rig_str(key);
	p->params_hash.data = hash;
	p->params_hash.len = 32;
	p->content.data = (uint8_t *)rig_str("content");
	p->content.len = 7;
	p->state = STORED__OUTBOX_STATE__QUEUED;
	p->created_ms = 1790000000000;
}

static void
find(struct rig *g, const char *id, uint32_t uid, const char *key, struct rig_reply *r)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;

	m.account = rig_str("a");
	m.message_id = rig_str(id);
	if (id == NULL) {
		m.has_uid = 1;
		m.uid = uid;
		m.idempotency_key = rig_str(key);
	}
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, r);
	assert_true(r->ok);
}

static size_t
found(struct rig *g, const char *id, uint32_t uid, const char *key)
{
	struct rig_reply r;
	size_t n;

	find(g, id, uid, key, &r);
	n = ((Stored__OutboxRows *)r.pb)->n_rows;
	rig_reply_clear(&r);
	return n;
}

static const Stored__OutboxRows *
load(struct rig *g, uint64_t after, uint32_t limit, struct rig_reply *r)
{
	Stored__OutboxLoad m = STORED__OUTBOX_LOAD__INIT;

	m.account = rig_str("a");
	m.after_row = after;
	m.limit = limit;
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_LOAD, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, r);
	assert_true(r->ok);
	return (const Stored__OutboxRows *)r->pb;
}

static void
test_outbox(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT, w2 = STORED__WRITE__INIT, *both[2] = {&w2, &w};
	Stored__EventAppend e;
	const Stored__OutboxRows *rows;
	struct rig_reply r;
	uint64_t unit;

	outbox_init(&p, "M1", 1000, "k1");
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	outbox_init(&p, "M2", 1001, "k1"); /* another user's key */
	p.has_not_after_ms = 1;
	p.not_after_ms = 99;
	rig_write(g, "a", &w, NULL);

	/* the same key of the same user: nothing of the unit happens, neither records nor events */
	outbox_init(&p, "M3", 1000, "k1");
	rig_event_init(&e, "{}", NULL);
	w2.event = &e;
	unit = rig_unit_next();
	rig_unit_open(g, "a", unit);
	rig_stage(g, "a", unit, "r", 1, "x");
	rig_commit_writes(g, "a", unit, 1, both, 2, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_false(rig_result(&r)->committed);
	assert_true(rig_result(&r)->duplicate);
	assert_string_equal(rig_result(&r)->reason, "duplicate");
	assert_false(g->done[0].committed);
	rig_reply_clear(&r);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);
	assert_int_equal(found(g, "M3", 0, NULL), 0);
	/* a message id that is taken is a mistake, not a repetition */
	outbox_init(&p, "M1", 1000, "k2");
	rig_write(g, "a", &w, "bad_request");

	/* the stanza becomes durable, then the ack */
	w.outbox_put = NULL;
	w.outbox_update = &u;
	u.message_id = rig_str("M1");
	u.has_state = 1;
	u.state = STORED__OUTBOX_STATE__READY;
	u.has_stanza = 1;
	u.stanza.data = (uint8_t *)rig_str("stanza");
	u.stanza.len = 6;
	rig_write(g, "a", &w, NULL);
	rows = load(g, 0, 10, &r);
	assert_int_equal(rows->n_rows, 2);
	assert_string_equal(rows->rows[0]->put->message_id, "M1");
	assert_int_equal(rows->rows[0]->put->state, STORED__OUTBOX_STATE__READY);
	assert_int_equal(rows->rows[0]->put->stanza.len, 6);
	assert_memory_equal(rows->rows[0]->put->content.data, "content", 7);
	assert_memory_equal(rows->rows[0]->put->params_hash.data, hash, 32);
	assert_false(rows->rows[0]->put->has_not_after_ms);
	assert_int_equal(rows->rows[1]->put->not_after_ms, 99);
	assert_false(rows->rows[1]->put->has_stanza);
	assert_true(rows->rows[1]->row > rows->rows[0]->row);
	rig_reply_clear(&r);
	rows = load(g, 0, 1, &r);
	assert_int_equal(rows->n_rows, 1);
	rig_reply_clear(&r);

	u.state = STORED__OUTBOX_STATE__FAILED;
	u.has_stanza = 0;
	u.has_code = 1;
	u.code = 479;
	u.reason = rig_str("refused");
	u.has_server_ms = 1;
	u.server_ms = 5;
	rig_write(g, "a", &w, NULL);
	rows = load(g, 0, 10, &r);
	assert_int_equal(rows->n_rows, 1);
	rig_reply_clear(&r);
	find(g, NULL, 1000, "k1", &r);
	rows = (Stored__OutboxRows *)r.pb;
	assert_int_equal(rows->n_rows, 1);
	assert_int_equal(rows->rows[0]->code, 479);
	assert_string_equal(rows->rows[0]->reason, "refused");
	assert_int_equal(rows->rows[0]->put->stanza.len, 6); /* stays */
	rig_reply_clear(&r);
	u.message_id = rig_str("unknown");
	rig_write(g, "a", &w, NULL); /* forgotten meanwhile: no error */
	rig_free(g);
}

static void
receipt(struct rig *g, const char *id, const char *party, const char *status)
{
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	m.message_id = rig_str(id);
	m.party = rig_str(party);
	m.status = rig_str(status);
	m.time_ms = 1;
	w.receipt = &m;
	rig_write(g, "a", &w, NULL);
}

static void
test_receipts(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__Write w = STORED__WRITE__INIT;
	Stored__OutboxRows *rows;
	struct rig_reply r;

	outbox_init(&p, "M1", 1, "k");
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	receipt(g, "M1", "100@s.whatsapp.net", "delivered");
	receipt(g, "M1", "101@s.whatsapp.net", "read");
	receipt(g, "M1", "101@s.whatsapp.net", "delivered"); /* never sinks */
	receipt(g, "M1", "101@s.whatsapp.net", "read");
	receipt(g, "M1", "102@s.whatsapp.net", "played");
	receipt(g, "stranger", "100@s.whatsapp.net", "read"); /* not ours: nothing kept */
	find(g, "M1", 0, NULL, &r);
	rows = (Stored__OutboxRows *)r.pb;
	assert_int_equal(rows->rows[0]->delivered, 3);
	assert_int_equal(rows->rows[0]->read, 2);
	rig_reply_clear(&r);
	rig_free(g);
}

/* The devices that a message was encrypted for, and the content that one of them asks for. */
static void
test_devices_and_take(void **state)
{
	struct rig *g = rig_open(1);
	char *two[2] = {rig_str("100@lid"), rig_str("100:17@lid")}, *one[1] = {rig_str("1@lid")};
	Stored__OutboxPut p;
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT, w2 = STORED__WRITE__INIT, *both[2] = {&w, &w2};
	const Stored__OutboxRows *rows;
	const Stored__OutboxRow *row;
	Stored__EventAppend e;
	struct rig_reply r;

	outbox_init(&p, "M1", 1, "k1");
	p.n_devices = 2;
	p.devices = two;
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	outbox_init(&p, "M2", 1, "k2");
	rig_write(g, "a", &w, NULL);
	find(g, "M1", 0, NULL, &r);
	row = ((Stored__OutboxRows *)r.pb)->rows[0];
	assert_int_equal(row->put->n_devices, 2);
	assert_string_equal(row->put->devices[0], "100@lid");
	assert_string_equal(row->put->devices[1], "100:17@lid");
	assert_false(row->taken);
	rig_reply_clear(&r);
	/* an update without a list leaves it, one with a list replaces it */
	w.outbox_put = NULL;
	w.outbox_update = &u;
	u.message_id = rig_str("M1");
	u.has_server_ms = 1;
	u.server_ms = 77;
	rig_write(g, "a", &w, NULL);
	u.message_id = rig_str("M2");
	u.n_devices = 1;
	u.devices = one;
	rig_write(g, "a", &w, NULL);
	u.message_id = rig_str("nobody's");
	rig_write(g, "a", &w, NULL);
	rows = load(g, 0, 10, &r);
	assert_int_equal(rows->rows[0]->put->n_devices, 2);
	assert_int_equal(rows->rows[1]->put->n_devices, 1);
	assert_string_equal(rows->rows[1]->put->devices[0], "1@lid");
	rig_reply_clear(&r);

	/* taken once; nothing of a unit happens that takes it again */
	w.outbox_update = NULL;
	w.sent_take = rig_str("M1");
	rig_event_init(&e, "{}", NULL);
	w2.event = &e;
	rig_writes(g, "a", both, 2, NULL);
	rig_writes(g, "a", both, 2, "absent");
	assert_int_equal(rig_events(g, 0, 10, "a", &r)->n_events, 1);
	rig_reply_clear(&r);
	w.sent_take = rig_str("M_");
	rig_write(g, "a", &w, "absent");
	find(g, "M1", 0, NULL, &r);
	row = ((Stored__OutboxRows *)r.pb)->rows[0];
	assert_true(row->taken);
	assert_int_equal(row->put->content.len, 0);
	assert_int_equal(row->put->n_devices, 2); /* the row stays for receipts */
	rig_reply_clear(&r);
	find(g, "M2", 0, NULL, &r);
	assert_int_equal(((Stored__OutboxRows *)r.pb)->rows[0]->put->content.len, 7);
	rig_reply_clear(&r);
	/* twice in one unit: once too often */
	w.sent_take = w2.sent_take = rig_str("M2");
	w2.event = NULL;
	rig_writes(g, "a", both, 2, "absent");
	rig_write(g, "a", &w, NULL);
	rig_free(g);
}

static int
rows_of(struct rig *g, const char *table)
{
	struct store_db *db = g->s->accounts[0].db;
	sqlite3_stmt *st = NULL;
	char sql[80];
	int n;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	assert_int_equal(sqlite3_prepare_v2(db->sql, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* Keys are free after a week, finished rows go after two, what is to be sent stays. */
static void
test_outbox_expiry(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	char *devices[1] = {rig_str("1@lid")};
	int i;

	outbox_init(&p, "done", 1, "k1");
	p.n_devices = 1;
	p.devices = devices;
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	outbox_init(&p, "waits", 1, "k2");
	rig_write(g, "a", &w, NULL);
	w.outbox_put = NULL;
	w.outbox_update = &u;
	u.message_id = rig_str("done");
	u.has_state = 1;
	u.state = STORED__OUTBOX_STATE__ACKED;
	rig_write(g, "a", &w, NULL);
	receipt(g, "done", "100@s.whatsapp.net", "read");
	assert_int_equal(rows_of(g, "outbox_devices"), 1);
	assert_int_equal(rows_of(g, "receipt"), 1);

	rig_later(g, RETENTION_KEYS_MS - 60000);
	assert_int_equal(found(g, NULL, 1, "k1"), 1);
	for (i = 0; i < 8; i++)
		rig_later(g, 3700000);
	assert_int_equal(found(g, NULL, 1, "k1"), 0);
	assert_int_equal(found(g, "done", 0, NULL), 1); /* for those who ask again */
	/* the key may be used anew */
	outbox_init(&p, "again", 1, "k1");
	w.outbox_update = NULL;
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	rig_later(g, rig_options.keep_sent_ms - RETENTION_KEYS_MS);
	for (i = 0; i < 8; i++)
		rig_later(g, 3700000);
	assert_int_equal(found(g, "done", 0, NULL), 0);
	assert_int_equal(found(g, "waits", 0, NULL), 1);
	assert_int_equal(found(g, "again", 0, NULL), 1);
	assert_int_equal(rows_of(g, "outbox_devices"), 0); /* nothing hangs in the air */
	assert_int_equal(rows_of(g, "receipt"), 0);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_outbox),
	    T(test_receipts),
	    T(test_devices_and_take),
	    T(test_outbox_expiry),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
