/* What stored promises for keyd's records: batches, ranges, flags of prekeys, message secrets. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "stored/region.h"

#define NONE (-1)

struct rec {
	Stored__Domain domain;
	const char *name;
	uint64_t version;
	const char *sealed;
	int uploaded;
	int64_t expires, message;
};

/* Stage these in one frame, with marks for the names in `uploaded`, and commit. */
static void
put(struct rig *g, const struct rec *recs, size_t n, const char *const *uploaded, size_t nu,
    const char *reason)
{
	Stored__Stage m = STORED__STAGE__INIT;
	Stored__RecordName names[64], *marks[64];
	Stored__RecordPut p[64], *puts[64];
	uint64_t unit = rig_unit_next();
	struct rig_reply r;
	size_t i;

	assert_true(n <= 32 && nu <= 32);
	for (i = 0; i < n; i++) {
		stored__record_name__init(&names[i]);
		stored__record_put__init(&p[i]);
		names[i].domain = recs[i].domain;
		names[i].name = rig_str(recs[i].name);
		p[i].name = &names[i];
		p[i].version = recs[i].version;
		p[i].sealed = rig_bytes(recs[i].sealed);
		p[i].has_uploaded = recs[i].uploaded != NONE;
		p[i].uploaded = recs[i].uploaded == 1;
		p[i].has_expires_s = recs[i].expires != NONE;
		p[i].expires_s = recs[i].expires;
		p[i].has_message_s = recs[i].message != NONE;
		p[i].message_s = recs[i].message;
		puts[i] = &p[i];
	}
	for (i = 0; i < nu; i++) {
		stored__record_name__init(&names[32 + i]);
		names[32 + i].domain = STORED__DOMAIN__PREKEY;
		names[32 + i].name = rig_str(uploaded[i]);
		marks[i] = &names[32 + i];
	}
	m.account = rig_str("a");
	m.unit = unit;
	m.n_puts = n;
	m.puts = puts;
	m.n_uploaded = nu;
	m.uploaded = marks;
	rig_unit_open(g, "a", unit);
	assert_int_equal(channel_notify(g->keyd, STORED__TYPE__STAGE, &m.base), 0);
	rig_commit(g, "a", unit, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	if (reason == NULL)
		assert_true(rig_result(&r)->committed);
	else
		assert_string_equal(rig_result(&r)->reason, reason);
	rig_reply_clear(&r);
}

/* One record, copied out; version 0 = absent. */
static uint64_t
get(struct rig *g, Stored__Domain domain, const char *name, char *sealed, size_t len,
    int64_t *message)
{
	Stored__RecordsGet m = STORED__RECORDS_GET__INIT;
	Stored__RecordName n = STORED__RECORD_NAME__INIT, *names[1] = {&n};
	const Stored__Record *rec;
	struct rig_reply r;
	uint64_t v;

	n.domain = domain;
	n.name = rig_str(name);
	m.account = rig_str("a");
	m.n_names = 1;
	m.names = names;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_true(r.ok);
	rec = ((Stored__Records *)r.pb)->records[0];
	snprintf(sealed, len, "%.*s", (int)rec->sealed.len, (const char *)rec->sealed.data);
	*message = rec->has_message_s ? rec->message_s : NONE;
	v = rec->version;
	rig_reply_clear(&r);
	return v;
}

/* ---------------------------------------------------------------- exact names */

static void
test_batch(void **state)
{
	struct rig *g = rig_open(1);
	Stored__RecordsGet m = STORED__RECORDS_GET__INIT;
	Stored__RecordName n[3], *names[1025];
	struct rig_reply r;
	Stored__Records *got;
	size_t i;

	rig_unit_open(g, "a", 1);
	rig_stage(g, "a", 1, "1/100.0", 1, "first");
	rig_stage(g, "a", 1, "1/%_.0", 1, "wild");
	rig_commit(g, "a", 1, 2, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	rig_reply_clear(&r);
	for (i = 0; i < 3; i++) {
		stored__record_name__init(&n[i]);
		n[i].domain = STORED__DOMAIN__SESSION;
	}
	n[0].name = rig_str("1/100.0");
	n[1].name = rig_str("1/10_.0"); /* no pattern */
	n[2].name = rig_str("1/100.0");
	n[2].domain = STORED__DOMAIN__IDENTITY; /* another domain is another record */
	for (i = 0; i < 1025; i++)
		names[i] = &n[i % 3];
	m.account = rig_str("a");
	m.n_names = 3;
	m.names = names;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_true(r.ok);
	got = (Stored__Records *)r.pb;
	assert_int_equal(got->n_records, 3);
	assert_int_equal(got->records[0]->version, 1);
	assert_memory_equal(got->records[0]->sealed.data, "first", 5);
	assert_false(got->records[0]->has_message_s);
	assert_int_equal(got->records[1]->version, 0);
	assert_false(got->records[1]->has_sealed);
	assert_int_equal(got->records[2]->version, 0);
	rig_reply_clear(&r);

	m.n_names = 1025;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	m.n_names = 1024;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_true(r.ok);
	rig_reply_clear(&r);
	m.n_names = 1;
	n[0].domain = 99;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	rig_free(g);
}

/* More than one answer may carry: an error, not a broken channel. */
static void
test_too_big(void **state)
{
	struct rig *g = rig_open(1);
	Stored__RecordsGet m = STORED__RECORDS_GET__INIT;
	Stored__RecordName n = STORED__RECORD_NAME__INIT, *names[20];
	char *megabyte = malloc(1024 * 1024 + 1), out[8];
	struct rig_reply r;
	size_t i;

	memset(megabyte, 'm', 1024 * 1024);
	megabyte[1024 * 1024] = '\0';
	rig_unit_open(g, "a", 1);
	rig_stage(g, "a", 1, "big", 1, megabyte);
	rig_commit(g, "a", 1, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	rig_reply_clear(&r);
	n.domain = STORED__DOMAIN__SESSION;
	n.name = rig_str("big");
	for (i = 0; i < 20; i++)
		names[i] = &n;
	m.account = rig_str("a");
	m.n_names = 20;
	m.names = names;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	assert_int_equal(rig_record(g, "a", "big", out, sizeof(out)), 1);
	assert_int_equal(g->lost, 0);
	free(megabyte);
	rig_free(g);
}

/* ---------------------------------------------------------------- ranges */

static const Stored__RecordNames *
list(struct rig *g, Stored__RecordsList *q, struct rig_reply *r)
{
	q->account = rig_str("a");
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_LIST, &q->base, STORED__TYPE__RECORD_NAMES,
	    &stored__record_names__descriptor, r);
	return (const Stored__RecordNames *)r->pb;
}

static void
test_ranges(void **state)
{
	static const struct rec recs[] = {
	    {STORED__DOMAIN__SESSION, "1/10:0", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "1/10:17", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "1/10_x:1", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "1/10%:1", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "1/100:0", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "1/1\xc3\xa9:0", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "2/10:0", 1, "s", NONE, NONE, NONE},
	    {STORED__DOMAIN__IDENTITY, "1/10:0", 1, "i", NONE, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/1", 1, "p1", 0, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/2", 1, "p2", 1, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/3", 1, "p3", 0, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/4", 1, "p4", 1, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "2/1", 1, "q1", 1, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "2/2", 1, "q2", NONE, NONE, NONE}, /* not said: not uploaded */
	};
	static const struct {
		Stored__Domain domain;
		const char *from, *below;
		int descending, uploaded;
		uint32_t limit;
		const char *names;
		uint64_t total;
	} cases[] = {
	    /* the sessions of a user, and nobody else's */
	    {STORED__DOMAIN__SESSION, "1/10:", "1/10;", 0, NONE, 10, " 1/10:0 1/10:17", 2},
	    {STORED__DOMAIN__SESSION, "1/10_x:", "1/10_x;", 0, NONE, 10, " 1/10_x:1", 1},
	    {STORED__DOMAIN__SESSION, "1/10%:", "1/10%;", 0, NONE, 10, " 1/10%:1", 1},
	    {STORED__DOMAIN__SESSION, "1/10:", "1/10;", 1, NONE, 1, " 1/10:17", 2},
	    /* all, in order of bytes */
	    {STORED__DOMAIN__SESSION, NULL, NULL, 0, NONE, 10,
		" 1/10%:1 1/100:0 1/10:0 1/10:17 1/10_x:1 1/1\xc3\xa9:0 2/10:0", 7},
	    {STORED__DOMAIN__SESSION, NULL, NULL, 1, NONE, 2, " 2/10:0 1/1\xc3\xa9:0", 7},
	    {STORED__DOMAIN__SESSION, "2/10:0", NULL, 0, NONE, 10, " 2/10:0", 1},   /* inclusive */
	    {STORED__DOMAIN__SESSION, NULL, "1/100:0", 0, NONE, 10, " 1/10%:1", 1}, /* exclusive */
	    {STORED__DOMAIN__SESSION, "2/", "1/", 0, NONE, 10, "", 0},
	    {STORED__DOMAIN__SESSION, NULL, "", 0, NONE, 10, "", 0},
	    {STORED__DOMAIN__IDENTITY, NULL, NULL, 0, NONE, 10, " 1/10:0", 1},
	    {STORED__DOMAIN__SENDER_KEY, NULL, NULL, 0, NONE, 10, "", 0},
	    /* only count */
	    {STORED__DOMAIN__PREKEY, NULL, NULL, 0, NONE, 0, "", 6},
	    {STORED__DOMAIN__PREKEY, "1/", "1/~", 0, 0, 0, "", 2},
	    {STORED__DOMAIN__PREKEY, "1/", "1/~", 0, 1, 0, "", 2},
	    /* by flag */
	    {STORED__DOMAIN__PREKEY, "1/", "1/~", 0, 0, 10, " 1/1- 1/3-", 2},
	    {STORED__DOMAIN__PREKEY, "1/", "1/~", 1, 1, 10, " 1/4+ 1/2+", 2},
	    {STORED__DOMAIN__PREKEY, NULL, NULL, 0, 1, 2, " 1/2+ 1/4+", 3},
	    {STORED__DOMAIN__PREKEY, "2/", NULL, 0, NONE, 10, " 2/1+ 2/2-", 2},
	};
	struct rig *g = rig_open(1);
	size_t i, k;

	put(g, recs, sizeof(recs) / sizeof(recs[0]), NULL, 0, NULL);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
		const Stored__RecordNames *got;
		struct rig_reply r;
		char names[400] = "";

		q.domain = cases[i].domain;
		q.from = rig_str(cases[i].from);
		q.below = rig_str(cases[i].below);
		q.has_descending = 1;
		q.descending = cases[i].descending;
		q.has_uploaded = cases[i].uploaded != NONE;
		q.uploaded = cases[i].uploaded == 1;
		q.limit = cases[i].limit;
		assert_non_null(got = list(g, &q, &r));
		for (k = 0; k < got->n_records; k++) {
			const Stored__RecordEntry *e = got->records[k];

			assert_int_equal(e->version, 1);
			assert_false(e->has_sealed);
			assert_int_equal(e->has_uploaded, q.domain == STORED__DOMAIN__PREKEY);
			snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s%s",
			    e->name,
			    !e->has_uploaded ? ""
			    : e->uploaded    ? "+"
					     : "-");
		}
		if (strcmp(names, cases[i].names) != 0 || got->total != cases[i].total)
			fail_msg("case %zu: \"%s\" of %llu, not \"%s\" of %llu", i, names,
			    (unsigned long long)got->total, cases[i].names,
			    (unsigned long long)cases[i].total);
		rig_reply_clear(&r);
	}
	rig_free(g);
}

static void
test_ranges_sealed(void **state)
{
	struct rig *g = rig_open(1);
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	const Stored__RecordNames *got;
	struct rig_reply r;
	char *big = malloc(900001);
	struct rec rec = {STORED__DOMAIN__APPSTATE_KEY, NULL, 1, big, NONE, NONE, NONE};
	static const char *const names[] = {"k1", "k2", "k3", "k4"};
	size_t i;

	memset(big, 's', 900000);
	big[900000] = '\0';
	for (i = 0; i < 4; i++) {
		rec.name = names[i];
		put(g, &rec, 1, NULL, 0, NULL);
	}
	/* the newest key */
	q.domain = STORED__DOMAIN__APPSTATE_KEY;
	q.has_descending = q.descending = q.has_sealed = q.sealed = 1;
	q.limit = 1;
	assert_non_null(got = list(g, &q, &r));
	assert_int_equal(got->n_records, 1);
	assert_string_equal(got->records[0]->name, "k4");
	assert_int_equal(got->records[0]->sealed.len, 900000);
	assert_memory_equal(got->records[0]->sealed.data, big, 900000);
	assert_int_equal(got->total, 4);
	rig_reply_clear(&r);
	/* it stops at 2 MiB */
	q.descending = 0;
	q.limit = 1024;
	assert_non_null(got = list(g, &q, &r));
	assert_int_equal(got->n_records, 2);
	assert_string_equal(got->records[1]->name, "k2");
	assert_int_equal(got->total, 4);
	rig_reply_clear(&r);
	q.sealed = 0;
	assert_non_null(got = list(g, &q, &r));
	assert_int_equal(got->n_records, 4);
	rig_reply_clear(&r);
	/* bounds */
	q.limit = 1025;
	assert_null(list(g, &q, &r));
	assert_string_equal(r.code, "bad_request");
	q.limit = 1;
	q.has_uploaded = 1; /* of a domain that has no such flag */
	assert_null(list(g, &q, &r));
	assert_string_equal(r.code, "bad_request");
	q.has_uploaded = 0;
	q.domain = 10;
	assert_null(list(g, &q, &r));
	assert_string_equal(r.code, "bad_request");
	q.domain = STORED__DOMAIN__SESSION;
	big[161] = '\0';
	q.from = big;
	assert_null(list(g, &q, &r));
	assert_string_equal(r.code, "bad_request");
	assert_int_equal(g->lost, 0);
	free(big);
	rig_free(g);
}

/* ---------------------------------------------------------------- prekeys */

static void
test_uploaded(void **state)
{
	static const struct rec first[] = {
	    {STORED__DOMAIN__PREKEY, "1/1", 1, "p1", 0, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/2", 1, "p2", 0, NONE, NONE},
	    {STORED__DOMAIN__PREKEY, "1/_", 1, "p3", 0, NONE, NONE},
	};
	static const struct rec again = {STORED__DOMAIN__PREKEY, "1/1", 2, "p1b", NONE, NONE, NONE};
	static const struct rec too_new = {STORED__DOMAIN__PREKEY, "1/1", 9, "x", NONE, NONE, NONE};
	static const char *const marks[] = {"1/1", "1/9", "1/_"};
	struct rig *g = rig_open(1);
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	const Stored__RecordNames *got;
	struct rig_reply r;

	put(g, first, 3, NULL, 0, NULL);
	/* with a put that fails the marks are not made either */
	put(g, &too_new, 1, marks, 3, "version");
	q.domain = STORED__DOMAIN__PREKEY;
	q.has_uploaded = q.uploaded = 1;
	q.limit = 10;
	assert_int_equal(list(g, &q, &r)->total, 0);
	rig_reply_clear(&r);
	/* those that are there are marked, none is made; the version stays; twice is once */
	put(g, NULL, 0, marks, 3, NULL);
	put(g, NULL, 0, marks, 3, NULL);
	assert_non_null(got = list(g, &q, &r));
	assert_int_equal(got->n_records, 2);
	assert_string_equal(got->records[0]->name, "1/1");
	assert_int_equal(got->records[0]->version, 1);
	assert_string_equal(got->records[1]->name, "1/_");
	rig_reply_clear(&r);
	/* a put that does not say keeps the flag */
	put(g, &again, 1, NULL, 0, NULL);
	assert_int_equal(list(g, &q, &r)->total, 2);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_stage_bounds(void **state)
{
	static const struct rec bad[] = {
	    {STORED__DOMAIN__SESSION, "s", 1, "x", 1, NONE, NONE},
	    {STORED__DOMAIN__SESSION, "s", 1, "x", NONE, 5, NONE},
	    {STORED__DOMAIN__PREKEY, "s", 1, "x", NONE, NONE, 5},
	    {STORED__DOMAIN__MSG_SECRET, "s", 1, "x", NONE, -2, NONE},
	    {STORED__DOMAIN__MSG_SECRET, "s", 1, "x", NONE, NONE, -2},
	    {STORED__DOMAIN__MSG_SECRET, "", 1, "x", NONE, NONE, NONE},
	    {STORED__DOMAIN__MSG_SECRET, "s", 0, "x", NONE, NONE, NONE},
	    {STORED__DOMAIN__MSG_SECRET, "s", 1, "", NONE, NONE, NONE},
	    {10, "s", 1, "x", NONE, NONE, NONE},
	};
	static const char *const empty[] = {""};
	struct rig *g = rig_open(1);
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		put(g, &bad[i], 1, NULL, 0, "bad_request");
	put(g, NULL, 0, empty, 1, "bad_request");
	rig_free(g);
}

/* ---------------------------------------------------------------- message secrets */

/* Every order of two or three puts ends the same. */
static void
test_secret_merge(void **state)
{
	static const struct {
		int64_t expires[3], message[3]; /* of the puts, NONE = not said; -9 = no put */
		int64_t want_expires;           /* 0 = never */
		int64_t want_message;
	} cases[] = {
	    {{100, 200, -9}, {5, 6, 0}, 200, 6}, {{200, 100, -9}, {6, 5, 0}, 200, 6},
	    {{0, 200, -9}, {5, NONE, 0}, 0, 5}, {{200, 0, -9}, {NONE, 5, 0}, 0, 5},
	    {{100, 0, 300}, {NONE, NONE, NONE}, 0, NONE}, {{0, 100, 300}, {1, 3, 2}, 0, 3},
	    {{300, 100, 0}, {3, 1, 2}, 0, 3}, {{300, 100, 200}, {1, 3, 2}, 300, 3},
	    {{100, 300, 200}, {2, 1, 3}, 300, 3},
	    {{100, NONE, -9}, {NONE, NONE, 0}, 100, NONE}, /* not said: as it stands */
	    {{NONE, 100, -9}, {NONE, 7, 0}, 0, 7},         /* not said of a new one: never */
	};
	struct rig *g = rig_open(1);
	struct store_db *db = g->s->accounts[0].db;
	char name[20], sealed[8];
	int64_t message;
	size_t i, k, n, gone;

	event_del(g->s->tick); /* which would let them expire */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "m%zu", i);
		for (k = 0; k < 3 && cases[i].expires[k] != -9; k++) {
			struct rec rec = {STORED__DOMAIN__MSG_SECRET, name, k + 1, "new", NONE,
			    cases[i].expires[k], cases[i].message[k]};

			rec.sealed = k == 0 ? "old" : "new";
			put(g, &rec, 1, NULL, 0, NULL);
		}
		n = k;
		assert_int_equal(get(g, STORED__DOMAIN__MSG_SECRET, name, sealed, 8, &message), n);
		assert_string_equal(sealed, "new"); /* the secret is replaced */
		assert_int_equal(message, cases[i].want_message);
		/* it goes at its time and not before */
		assert_int_equal(
		    store_sqlcipher.record_expire(db, cases[i].want_expires - 1, 100, &gone),
		    STORE_OK);
		assert_int_equal(gone, 0);
		assert_int_equal(
		    store_sqlcipher.record_expire(db,
			cases[i].want_expires != 0 ? cases[i].want_expires : INT64_MAX, 100, &gone),
		    STORE_OK);
		if (gone != (size_t)(cases[i].want_expires != 0))
			fail_msg("case %zu: %zu expired", i, gone);
	}
	rig_free(g);
}

/* On the timer, in steps, and only secrets. */
static void
test_secret_expiry(void **state)
{
	struct rig *g = rig_open(1);
	int64_t now = rig_wall() / 1000;
	struct rec recs[32];
	char names[32][12], sealed[8];
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	int64_t message;
	struct rig_reply r;
	int i, k, step;

	event_del(g->s->tick); /* only by hand */
	for (k = 0; k < 20; k++) {
		for (i = 0; i < 32; i++) {
			snprintf(names[i], sizeof(names[i]), "%d/%d", k, i);
			recs[i] = (struct rec){
			    STORED__DOMAIN__MSG_SECRET, names[i], 1, "s", NONE, now + 3600, now};
		}
		put(g, recs, 32, NULL, 0, NULL);
	}
	recs[0] = (struct rec){STORED__DOMAIN__MSG_SECRET, "ever", 1, "s", NONE, 0, NONE};
	recs[1] =
	    (struct rec){STORED__DOMAIN__MSG_SECRET, "later", 1, "s", NONE, now + 100000, NONE};
	recs[2] = (struct rec){STORED__DOMAIN__SESSION, "session", 1, "s", NONE, NONE, NONE};
	put(g, recs, 3, NULL, 0, NULL);

	q.domain = STORED__DOMAIN__MSG_SECRET;
	rig_later(g, 3000 * 1000);
	assert_int_equal(list(g, &q, &r)->total, 642);
	rig_reply_clear(&r);
	rig_later(g, 4000 * 1000);                     /* the next sweep begins */
	assert_int_equal(list(g, &q, &r)->total, 442); /* one step, not all */
	rig_reply_clear(&r);
	for (step = 0; step < 5; step++)
		rig_later(g, 1000);
	assert_int_equal(list(g, &q, &r)->total, 2);
	rig_reply_clear(&r);
	assert_int_equal(get(g, STORED__DOMAIN__MSG_SECRET, "ever", sealed, 8, &message), 1);
	assert_int_equal(get(g, STORED__DOMAIN__SESSION, "session", sealed, 8, &message), 1);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_batch),
	    T(test_too_big),
	    T(test_ranges),
	    T(test_ranges_sealed),
	    T(test_uploaded),
	    T(test_stage_bounds),
	    T(test_secret_merge),
	    T(test_secret_expiry),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
