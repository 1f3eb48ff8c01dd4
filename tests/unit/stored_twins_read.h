/* All that can be read of the two backends of tests/unit/stored_twins.c, and their comparison. */
#ifndef WARD_STORED_TWINS_READ_H
#define WARD_STORED_TWINS_READ_H

#include "tests/unit/stored_twins_write.h"

#define READ_MAX ((size_t)64 * 1024 * 1024)

static int restored_of_first;

/* What is told, as bytes; `where` says of what for a failure. */
struct told {
	struct buf b;
	struct region *r;
};

static void
tell_bytes(struct told *out, const char *what, const uint8_t *data, size_t n)
{
	size_t i;

	buf_printf(&out->b, "\n%s: ", what);
	for (i = 0; i < n; i++)
		buf_printf(&out->b, "%02x", data[i]);
}

static void
tell(struct told *out, const char *what, const ProtobufCMessage *m)
{
	uint8_t *packed;
	size_t len;

	assert_non_null(packed = pb_pack(m, &len));
	tell_bytes(out, what, packed, len);
	free(packed);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Messages in whatever order, as a sorted list of their bytes in hex. */
static void
tell_sorted(struct told *out, const char *what, void *list, size_t n)
{
	ProtobufCMessage **m = list;
	char **lines = region_alloc(out->r, (n + 1) * sizeof(char *));
	uint8_t *packed;
	size_t i, len;

	assert_non_null(lines);
	for (i = 0; i < n; i++) {
		assert_non_null(packed = pb_pack(m[i], &len));
		assert_non_null(lines[i] = region_alloc(out->r, 2 * len + 1));
		sodium_bin2hex(lines[i], 2 * len + 1, packed, len);
		free(packed);
	}
	qsort(lines, n, sizeof(char *), by_bytes);
	for (i = 0; i < n; i++)
		buf_printf(&out->b, "\n%s: %s", what, lines[i]);
}

/* ---------------------------------------------------------------- each kind */

static void
read_records(const struct store_backend *b, struct store_db *db, struct told *out)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	int d;

	q.limit = 1024;
	q.has_sealed = q.sealed = 1;
	for (d = STORED__DOMAIN__DEVICE; d <= STORED__DOMAIN__MSG_SECRET; d++) {
		Stored__RecordNames names = STORED__RECORD_NAMES__INIT;
		size_t i;

		q.domain = (Stored__Domain)d;
		q.has_descending = q.descending = d % 2;
		assert_int_equal(b->record_list(db, &q, out->r, &names), STORE_OK);
		tell(out, "records", &names.base);
		for (i = 0; i < names.n_records; i++) {
			Stored__Record rec = STORED__RECORD__INIT;
			Stored__RecordName n = STORED__RECORD_NAME__INIT;

			n.domain = q.domain;
			n.name = names.records[i]->name;
			assert_int_equal(b->record_get(db, &n, out->r, &rec), STORE_OK);
			rec.has_message_s = rec.message_s != 0; /* 0 = unknown */
			tell(out, "record", &rec.base);
		}
	}
}

/* Pages of two rows. */
static void
read_tables(const struct store_backend *b, struct store_db *db, struct told *out)
{
	Stored__Scan q = STORED__SCAN__INIT;
	int t, pages;

	q.limit = 2;
	for (t = STORED__TABLE__CONTACTS; t <= STORED__TABLE__PENDINGS; t++) {
		Stored__ScanReply all = STORED__SCAN_REPLY__INIT;
		ProtobufCMessage **rows = region_alloc(out->r, 1000 * sizeof(ProtobufCMessage *));
		size_t n = 0;

		assert_non_null(rows);
		q.table = (Stored__Table)t;
		q.after = NULL;
		for (pages = 0; pages < 400; pages++) {
			stored__scan_reply__init(&all);
			assert_int_equal(b->scan(db, &q, 1 << 20, out->r, &all), STORE_OK);
#define TAKE(list)                                                                                 \
	for (size_t i_ = 0; i_ < all.n_##list; i_++)                                               \
	rows[n++] = &all.list[i_]->base
			TAKE(contacts);
			TAKE(device_lists);
			TAKE(groups);
			TAKE(collections);
			TAKE(tokens);
			TAKE(pendings);
			if ((q.after = all.next) == NULL)
				break;
			assert_true(n % 2 == 0);
		}
		assert_true(pages < 400);
		tell_sorted(out, "row", rows, n);
	}
}

static void
read_people(const struct store_backend *b, struct store_db *db, struct told *out)
{
	static const char *const forms[][2] = {
	    {"u_0000000000000000000000000", ""}, {"", "@s.whatsapp.net"}, {"", "@lid"}};
	Stored__DeviceRecord *d;
	unsigned i, f;

	assert_int_equal(b->device_load(db, out->r, &d), STORE_OK);
	tell(out, "device", &d->base);
	for (f = 0; f < 3; f++) {
		for (i = 0; i < FEW + 2; i++) {
			Stored__Peer p = STORED__PEER__INIT;

			assert_int_equal(
			    b->peer_lookup(db, word(forms[f][0], forms[f][1], i), out->r, &p),
			    STORE_OK);
			tell(out, "peer", &p.base);
		}
	}
}

static void
read_groups(const struct store_backend *b, struct store_db *db, struct told *out)
{
	unsigned i, k;

	for (i = 0; i < 4; i++) {
		Stored__Group g = STORED__GROUP__INIT;
		Stored__Collection c = STORED__COLLECTION__INIT;

		assert_int_equal(b->group_get(db, word("", "@g.us", i), out->r, &g), STORE_OK);
		g.group = word("", "@g.us", i);
		tell(out, "group", &g.base);
		assert_int_equal(b->collection_get(db, word("c", "", i), out->r, &c), STORE_OK);
		c.name = word("c", "", i);
		tell(out, "collection", &c.base);
		for (k = 0; k < FEW; k++) {
			ProtobufCBinaryData index = pb_bytes(mac_indexes[k], 32), value = {0, NULL};

			assert_int_equal(
			    b->mac_get(db, word("c", "", i), &index, out->r, &value), STORE_OK);
			tell_bytes(out, "mac", value.data, value.len);
		}
	}
}

static void
read_repairs(const struct store_backend *b, struct store_db *db, struct told *out)
{
	static const char *const servers[] = {"@s.whatsapp.net", "@lid"};
	uint8_t bytes33[33];
	unsigned i, k;
	int c, same;

	for (i = 0; i < 9; i++) {
		Stored__BaseKeyName bn = base_key_name(i / 3, i % 3);
		Stored__BaseKey bk = STORED__BASE_KEY__INIT;
		Stored__MessageName mn = message_name(i / 3, i % 3);
		Stored__Pending p = STORED__PENDING__INIT;

		bk.name = &bn;
		bk.key = pb_bytes(bytes33, sizeof(bytes33));
		for (c = 'a'; c <= 'z'; c++) {
			memset(bytes33, c, sizeof(bytes33));
			assert_int_equal(b->base_key_same(db, &bk, &same), STORE_OK);
			buf_put_u8(&out->b, same ? 'y' : 'n');
		}
		assert_int_equal(b->pending_get(db, &mn, out->r, &p), STORE_OK);
		p.name = &mn;
		tell(out, "pending", &p.base);
	}
	for (k = 0; k < 2; k++) {
		for (i = 0; i < FEW; i++) {
			Stored__Token t = STORED__TOKEN__INIT;

			assert_int_equal(
			    b->token_get(db, word("", servers[k], i), out->r, &t), STORE_OK);
			t.user = word("", servers[k], i);
			tell(out, "token", &t.base);
		}
	}
}

static void
read_quarantine(const struct store_backend *b, struct store_db *db, struct told *out)
{
	uint64_t records, contacts;

	for (uint32_t below = 1; below < 5; below++) {
		assert_int_equal(b->quarantine_count(db, below, &records, &contacts), STORE_OK);
		buf_printf(&out->b, "\nformer: %u %llu %llu", below, (unsigned long long)records,
		    (unsigned long long)contacts);
	}
}

static void
read_events(const struct store_backend *b, struct store_db *db, struct told *out)
{
	static struct store_event_head heads[1000];
	const struct store_event *e;
	uint64_t last;
	size_t i, n;

	assert_int_equal(b->event_last(db, &last), STORE_OK);
	assert_int_equal(b->event_heads(db, last / 3, heads, 1000, &n), STORE_OK);
	for (i = 0; i < n; i++)
		buf_printf(&out->b, "\nhead: %llu %lld %llu", (unsigned long long)heads[i].seq,
		    (long long)heads[i].added_ms, (unsigned long long)heads[i].bytes);
	assert_int_equal(b->events_walk(db, last / 4), STORE_OK);
	for (;;) {
		assert_int_equal(b->events_step(db, &e), STORE_OK);
		if (e == NULL)
			break;
		buf_printf(&out->b, "\nevent: %llu %s %s %lld", (unsigned long long)e->seq, e->type,
		    e->origin, (long long)e->time_ms);
		tell_bytes(out, "body", e->body, e->body_len);
	}
	b->events_stop(db);
	buf_printf(&out->b, "\nlast: %llu", (unsigned long long)last);
}

static void
read_outbox(const struct store_backend *b, struct store_db *db, struct told *out)
{
	Stored__OutboxRow *row, **rows;
	Stored__OutboxCounts counts = STORED__OUTBOX_COUNTS__INIT;
	uint64_t after = 0;
	unsigned i, uid;
	size_t k, n;

	do { /* numbers of rows are each backend's own, their order is not */
		assert_int_equal(b->outbox_load(db, after, 3, 500, out->r, &rows, &n), STORE_OK);
		for (k = 0; k < n; k++) {
			assert_true(rows[k]->row > after);
			after = rows[k]->row;
			rows[k]->row = 0;
			tell(out, "waits", &rows[k]->base);
		}
	} while (n > 0);
	assert_int_equal(b->outbox_count(db, 20, out->r, &counts), STORE_OK);
	tell(out, "counts", &counts.base);
	for (i = 0; i < FEW * 4; i++) {
		for (uid = 0; uid < 3; uid++) {
			assert_int_equal(b->outbox_find(db, uid, uid < 2 ? word("k", "", i) : NULL,
					     uid < 2 ? NULL : word("m", "", i), out->r, &row),
			    STORE_OK);
			if (row == NULL)
				continue;
			row->row = 0;
			tell(out, "row", &row->base);
		}
	}
}

/* ---------------------------------------------------------------- both */

static void
read_all(size_t t, struct told *out)
{
	assert_non_null(out->r = region_new(READ_MAX));
	read_records(twins[t], dbs[t], out);
	read_tables(twins[t], dbs[t], out);
	read_people(twins[t], dbs[t], out);
	read_groups(twins[t], dbs[t], out);
	read_repairs(twins[t], dbs[t], out);
	read_events(twins[t], dbs[t], out);
	read_outbox(twins[t], dbs[t], out);
	read_quarantine(twins[t], dbs[t], out);
	assert_int_equal(out->b.failed, 0);
}

static void
compare_all(void)
{
	struct told told[2] = {{BUF_INIT, NULL}, {BUF_INIT, NULL}};
	const char *a, *b;
	size_t i, from;

	read_all(0, &told[0]);
	read_all(1, &told[1]);
	a = buf_cstr(&told[0].b);
	b = buf_cstr(&told[1].b);
	if (strcmp(a, b) != 0) {
		for (i = from = 0; a[i] != '\0' && a[i] == b[i]; i++)
			from = a[i] == '\n' ? i + 1 : from;
		fail_msg("%s tells %.400s\n%s tells %.400s\nand they differ at %zu", twins[0]->name,
		    a + from, twins[1]->name, b + from, i - from);
	}
	for (i = 0; i < 2; i++) {
		buf_clear(&told[i].b);
		region_free(told[i].r);
	}
}

#endif
