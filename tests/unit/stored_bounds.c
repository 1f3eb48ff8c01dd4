/* The bounds of apid's writes, at the bound and one beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/pb.h"
#include "stored/check.h"
#include "stored/write.h"

#define JID_MAX 112
#define ID_MAX  128

/* ---------------------------------------------------------------- one of each */

static uint8_t zeros[1 << 20];
static Stored__DeviceNames names = STORED__DEVICE_NAMES__INIT;
static Stored__MessageName message = STORED__MESSAGE_NAME__INIT;
static Stored__BaseKeyName key_name = STORED__BASE_KEY_NAME__INIT;
static Stored__Mac mac = STORED__MAC__INIT, *macs[16385];
static Stored__SenderKeyDevice mark = STORED__SENDER_KEY_DEVICE__INIT, *marks[4097];
static char *devices[4097];
static ProtobufCBinaryData indexes[16385];

static union {
	Stored__OutboxPut outbox_put;
	Stored__OutboxUpdate outbox_update;
	Stored__DeviceRecord device;
	Stored__CollectionPut collection;
	Stored__MacsPut macs_put;
	Stored__MacsDelete macs_delete;
	Stored__SenderKeyStatus status;
	Stored__BaseKey base_key;
	Stored__Pending pending;
	Stored__GroupPut group;
	Stored__TokenExpire expire;
} u;

/* A write that is within all bounds. */
static void
good(enum write_kind kind, Stored__Write *w)
{
	static uint8_t hash[32];

	stored__write__init(w);
	stored__message_name__init(&message);
	stored__base_key_name__init(&key_name);
	stored__mac__init(&mac);
	mac.index = mac.value = pb_bytes(zeros, 32);
	mark.device = pb_str("1@lid");
	message.chat = message.sender = pb_str("1@lid");
	message.id = pb_str("M");
	key_name.address = pb_str("1:1");
	key_name.message_id = pb_str("M");
	switch (kind) {
	case WRITE_OUTBOX_PUT:
		stored__outbox_put__init(&u.outbox_put);
		u.outbox_put.message_id = u.outbox_put.idempotency_key = pb_str("M");
		u.outbox_put.chat = pb_str("1@lid");
		u.outbox_put.params_hash = pb_bytes(hash, 32);
		u.outbox_put.state = STORED__OUTBOX_STATE__QUEUED;
		u.outbox_put.devices = devices;
		w->outbox_put = &u.outbox_put;
		break;
	case WRITE_OUTBOX_UPDATE:
		stored__outbox_update__init(&u.outbox_update);
		u.outbox_update.message_id = pb_str("M");
		u.outbox_update.devices = devices;
		w->outbox_update = &u.outbox_update;
		break;
	case WRITE_DEVICE:
		stored__device_record__init(&u.device);
		w->device = &u.device;
		break;
	case WRITE_COLLECTION_PUT:
		stored__collection_put__init(&u.collection);
		u.collection.name = pb_str("regular");
		u.collection.hash = pb_bytes(zeros, 128);
		w->collection_put = &u.collection;
		break;
	case WRITE_MACS_PUT:
		stored__macs_put__init(&u.macs_put);
		u.macs_put.collection = pb_str("regular");
		u.macs_put.macs = macs;
		u.macs_put.n_macs = 1;
		w->macs_put = &u.macs_put;
		break;
	case WRITE_MACS_DELETE:
		stored__macs_delete__init(&u.macs_delete);
		u.macs_delete.collection = pb_str("regular");
		u.macs_delete.indexes = indexes;
		u.macs_delete.n_indexes = 1;
		w->macs_delete = &u.macs_delete;
		break;
	case WRITE_SENDER_KEY_STATUS:
		stored__sender_key_status__init(&u.status);
		u.status.group = pb_str("1@g.us");
		u.status.devices = marks;
		u.status.n_devices = 1;
		w->sender_key_status = &u.status;
		break;
	case WRITE_SENDER_KEY_DROP:
		stored__device_names__init(&names);
		names.devices = devices;
		names.n_devices = 1;
		w->sender_key_drop = &names;
		break;
	case WRITE_BASE_KEY_PUT:
		stored__base_key__init(&u.base_key);
		u.base_key.name = &key_name;
		u.base_key.key = pb_bytes(zeros, 33);
		w->base_key_put = &u.base_key;
		break;
	case WRITE_BASE_KEY_DELETE:
		w->base_key_delete = &key_name;
		break;
	case WRITE_PENDING_PUT:
		stored__pending__init(&u.pending);
		u.pending.name = &message;
		u.pending.stanza = pb_bytes(zeros, 1);
		w->pending_put = &u.pending;
		break;
	case WRITE_PENDING_DELETE:
		w->pending_delete = &message;
		break;
	case WRITE_GROUP_PUT:
		stored__group_put__init(&u.group);
		u.group.group = pb_str("1@g.us");
		w->group_put = &u.group;
		break;
	case WRITE_TOKEN_EXPIRE:
		stored__token_expire__init(&u.expire);
		w->token_expire = &u.expire;
		break;
	default:
		fail_msg("no write of kind %d", (int)kind);
	}
}

static const char *
check_one(Stored__Write *w)
{
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;

	m.n_writes = 1;
	m.writes = &w;
	return check_commit(&m);
}

static int
setup(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 16385; i++) {
		macs[i] = &mac;
		indexes[i] = pb_bytes(zeros, 32);
	}
	for (i = 0; i < 4097; i++) {
		marks[i] = &mark;
		devices[i] = pb_str("1:1@lid");
	}
	return 0;
}

/* ---------------------------------------------------------------- the tables */

/* Texts: where they are in a good write, and their bounds. */
static void
test_texts(void **state)
{
	static const struct {
		enum write_kind kind;
		char **at;
		size_t min, max;
	} rows[] = {
	    {WRITE_OUTBOX_PUT, &u.outbox_put.message_id, 1, ID_MAX},
	    {WRITE_OUTBOX_PUT, &u.outbox_put.chat, 1, JID_MAX},
	    {WRITE_OUTBOX_PUT, &u.outbox_put.idempotency_key, 1, 64},
	    {WRITE_OUTBOX_PUT, &devices[0], 1, JID_MAX},
	    {WRITE_OUTBOX_UPDATE, &u.outbox_update.message_id, 1, ID_MAX},
	    {WRITE_OUTBOX_UPDATE, &u.outbox_update.reason, 0, 256},
	    {WRITE_OUTBOX_UPDATE, &devices[0], 1, JID_MAX},
	    {WRITE_DEVICE, &u.device.jid, 0, JID_MAX},
	    {WRITE_DEVICE, &u.device.push_name, 0, 1024},
	    {WRITE_DEVICE, &u.device.app_version, 0, 64},
	    {WRITE_DEVICE, &u.device.props_hash, 0, 128},
	    {WRITE_DEVICE, &u.device.props, 0, 2048},
	    {WRITE_DEVICE, &u.device.client_expires_version, 0, 64},
	    {WRITE_DEVICE, &u.device.restrictions, 0, 32768},
	    {WRITE_DEVICE, &u.device.outbox_holds, 0, 40960},
	    {WRITE_COLLECTION_PUT, &u.collection.name, 1, 64},
	    {WRITE_MACS_PUT, &u.macs_put.collection, 1, 64},
	    {WRITE_MACS_DELETE, &u.macs_delete.collection, 1, 64},
	    {WRITE_SENDER_KEY_STATUS, &u.status.group, 1, JID_MAX},
	    {WRITE_SENDER_KEY_STATUS, &mark.device, 1, JID_MAX},
	    {WRITE_SENDER_KEY_DROP, &devices[0], 1, JID_MAX},
	    {WRITE_BASE_KEY_PUT, &key_name.address, 1, 160},
	    {WRITE_BASE_KEY_PUT, &key_name.message_id, 1, ID_MAX},
	    {WRITE_BASE_KEY_DELETE, &key_name.address, 1, 160},
	    {WRITE_BASE_KEY_DELETE, &key_name.message_id, 1, ID_MAX},
	    {WRITE_PENDING_PUT, &message.chat, 1, JID_MAX},
	    {WRITE_PENDING_PUT, &message.sender, 1, JID_MAX},
	    {WRITE_PENDING_PUT, &message.id, 1, ID_MAX},
	    {WRITE_PENDING_DELETE, &message.id, 1, ID_MAX},
	    {WRITE_GROUP_PUT, &u.group.group, 1, JID_MAX},
	};
	char text[41984];
	Stored__Write w;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t lens[4] = {rows[i].min, rows[i].max, rows[i].max + 1, rows[i].min - 1};
		size_t k, n = rows[i].min > 0 ? 4 : 3;

		for (k = 0; k < n; k++) {
			const char *why;

			good(rows[i].kind, &w);
			if (rows[i].kind == WRITE_OUTBOX_PUT)
				u.outbox_put.n_devices = 1;
			if (rows[i].kind == WRITE_OUTBOX_UPDATE)
				u.outbox_update.n_devices = 1;
			memset(text, 'x', lens[k]);
			text[lens[k]] = '\0';
			*rows[i].at = text;
			why = check_one(&w);
			if ((why == NULL) != (k < 2))
				fail_msg("row %zu, %zu bytes: %s", i, lens[k],
				    why != NULL ? why : "let through");
		}
		devices[0] = pb_str("1:1@lid");
	}
}

/* Blobs, by length. */
static void
test_blobs(void **state)
{
	static const struct {
		enum write_kind kind;
		ProtobufCBinaryData *at;
		size_t good, bad;
	} rows[] = {
	    {WRITE_OUTBOX_PUT, &u.outbox_put.params_hash, 32, 31},
	    {WRITE_OUTBOX_PUT, &u.outbox_put.content, 1 << 20, (1 << 20) + 1},
	    {WRITE_COLLECTION_PUT, &u.collection.hash, 128, 127},
	    {WRITE_COLLECTION_PUT, &u.collection.hash, 128, 129},
	    {WRITE_COLLECTION_PUT, &u.collection.hash, 128, 0},
	    {WRITE_MACS_PUT, &mac.index, 32, 31},
	    {WRITE_MACS_PUT, &mac.value, 32, 33},
	    {WRITE_MACS_DELETE, &indexes[0], 32, 33},
	    {WRITE_BASE_KEY_PUT, &u.base_key.key, 33, 32},
	    {WRITE_PENDING_PUT, &u.pending.stanza, 1 << 20, (1 << 20) + 1},
	    {WRITE_PENDING_PUT, &u.pending.stanza, 1, 0},
	    {WRITE_GROUP_PUT, &u.group.metadata, 524288, 524289},
	    {WRITE_GROUP_PUT, &u.group.metadata, 0, 524289},
	};
	Stored__Write w;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		good(rows[i].kind, &w);
		*rows[i].at = pb_bytes(zeros, rows[i].good);
		if (check_one(&w) != NULL)
			fail_msg("row %zu: %s", i, check_one(&w));
		rows[i].at->len = rows[i].bad;
		if (check_one(&w) == NULL)
			fail_msg("row %zu: let through", i);
		rows[i].at->len = 32; /* of those that all writes share */
	}
	good(WRITE_DEVICE, &w);
	u.device.has_nct_salt = u.device.has_routing_info = 1;
	u.device.nct_salt = pb_bytes(zeros, 256);
	u.device.routing_info = pb_bytes(zeros, 4096);
	assert_null(check_one(&w));
	u.device.nct_salt.len++;
	assert_non_null(check_one(&w));
}

/* Lists, by their items; and numbers. */
static void
test_counts(void **state)
{
	static const struct {
		enum write_kind kind;
		size_t *at;
		size_t max;
	} rows[] = {
	    {WRITE_OUTBOX_PUT, &u.outbox_put.n_devices, 4096},
	    {WRITE_OUTBOX_UPDATE, &u.outbox_update.n_devices, 4096},
	    {WRITE_MACS_PUT, &u.macs_put.n_macs, 16384},
	    {WRITE_MACS_DELETE, &u.macs_delete.n_indexes, 16384},
	    {WRITE_SENDER_KEY_STATUS, &u.status.n_devices, 4096},
	    {WRITE_SENDER_KEY_DROP, &names.n_devices, 4096},
	};
	Stored__Write w, *many[4097];
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		good(rows[i].kind, &w);
		*rows[i].at = 0;
		assert_null(check_one(&w));
		*rows[i].at = rows[i].max;
		if (check_one(&w) != NULL)
			fail_msg("row %zu: %s", i, check_one(&w));
		(*rows[i].at)++;
		if (check_one(&w) == NULL)
			fail_msg("row %zu: let through", i);
	}
	good(WRITE_COLLECTION_PUT, &w);
	u.collection.version = INT64_MAX;
	assert_null(check_one(&w));
	u.collection.version++;
	assert_non_null(check_one(&w));
	good(WRITE_MACS_PUT, &w);
	u.macs_put.version = (uint64_t)INT64_MAX + 1;
	assert_non_null(check_one(&w));

	good(WRITE_TOKEN_EXPIRE, &w);
	for (i = 0; i < 4097; i++)
		many[i] = &w;
	m.writes = many;
	m.n_writes = 4096;
	assert_null(check_commit(&m));
	m.n_writes++;
	assert_non_null(check_commit(&m));
}

/* Names that stand alone in a write. */
static void
test_names(void **state)
{
	static Stored__Write w;
	static const struct {
		char **at;
		size_t max;
	} rows[] = {
	    {&w.mark, 512},
	    {&w.collection_delete, 64},
	    {&w.macs_clear, 64},
	    {&w.sender_key_clear, JID_MAX},
	    {&w.token_delete, JID_MAX},
	    {&w.group_delete, JID_MAX},
	    {&w.sent_take, ID_MAX},
	};
	char text[600];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		stored__write__init(&w);
		*rows[i].at = text;
		memset(text, '%', sizeof(text));
		text[rows[i].max] = '\0';
		assert_null(check_one(&w));
		text[rows[i].max] = '%';
		text[rows[i].max + 1] = '\0';
		if (check_one(&w) == NULL)
			fail_msg("row %zu: let through", i);
		text[0] = '\0';
		assert_non_null(check_one(&w));
	}
}

/* Each field of a write is known by its number, and only one may be set. */
static void
test_kinds(void **state)
{
	const ProtobufCMessageDescriptor *d = &stored__write__descriptor;
	unsigned i, k;

	(void)state;
	assert_int_equal(d->n_fields, WRITE_QUARANTINE_PURGE);
	for (i = 0; i <= d->n_fields; i++) {
		for (k = 0; k <= i; k++) {
			Stored__Write w = STORED__WRITE__INIT;
			static const char something[1];
			const void *p = something;
			unsigned f[2] = {i, k}, n;

			for (n = 0; n < 2; n++) { /* the last index: none */
				const ProtobufCFieldDescriptor *fd = &d->fields[f[n]];

				if (f[n] == d->n_fields)
					continue;
				if (fd->type == PROTOBUF_C_TYPE_BOOL)
					*((char *)&w + fd->quantifier_offset) = 1;
				else
					memcpy((char *)&w + fd->offset, &p, sizeof(p));
			}
			if (i == k)
				assert_int_equal(
				    write_kind(&w), i == d->n_fields ? 0 : d->fields[i].id);
			else if (i == d->n_fields)
				assert_int_equal(write_kind(&w), d->fields[k].id);
			else
				assert_int_equal(write_kind(&w), WRITE_NONE);
			if (write_kind(&w) == WRITE_NONE)
				assert_non_null(check_one(&w));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_blobs),
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
