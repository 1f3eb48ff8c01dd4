/* Device domain: what apid remembers of its own device, one packed record an account. */
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "stored/sqlcipher/db.h"

/* Deep copy of one field that is set, into memory of the region. All fields of the record are
 * optional scalars, strings or bytes, so the descriptor tells all. */
static int
copy_field(const ProtobufCFieldDescriptor *f, const void *from, void *to, struct region *r)
{
	const char *src = (const char *)from + f->offset;
	char *dst = (char *)to + f->offset;
	const ProtobufCBinaryData *data;
	ProtobufCBinaryData copy;
	const char *text;

	if (f->type == PROTOBUF_C_TYPE_STRING) {
		memcpy(&text, src, sizeof(text));
		if (text == NULL)
			return 0;
		text = region_text(r, text);
		memcpy(dst, &text, sizeof(text));
		return text == NULL ? -1 : 0;
	}
	if (!*(const protobuf_c_boolean *)((const char *)from + f->quantifier_offset))
		return 0;
	*(protobuf_c_boolean *)((char *)to + f->quantifier_offset) = 1;
	switch (f->type) {
	case PROTOBUF_C_TYPE_BYTES:
		data = (const ProtobufCBinaryData *)(const void *)src;
		copy.len = data->len;
		copy.data = region_copy(r, data->data, data->len);
		memcpy(dst, &copy, sizeof(copy));
		return copy.data == NULL ? -1 : 0;
	case PROTOBUF_C_TYPE_BOOL:
		memcpy(dst, src, sizeof(protobuf_c_boolean));
		return 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		memcpy(dst, src, sizeof(uint64_t));
		return 0;
	default: /* INT32, UINT32 */
		memcpy(dst, src, sizeof(uint32_t));
		return 0;
	}
}

static int
copy_set(const Stored__DeviceRecord *from, Stored__DeviceRecord *to, struct region *r)
{
	const ProtobufCMessageDescriptor *d = &stored__device_record__descriptor;
	unsigned i;

	for (i = 0; i < d->n_fields; i++)
		if (copy_field(&d->fields[i], from, to, r) == -1)
			return -1;
	return 0;
}

enum store_status
device_load(struct store_db *db, struct region *r, Stored__DeviceRecord **out)
{
	static struct sql q = SQL("SELECT record FROM device WHERE one = 1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	Stored__DeviceRecord *rec = region_alloc(r, sizeof(*rec)), *packed;
	struct pb_arena *arena;
	int row = 0;

	*out = NULL;
	if (s == NULL || rec == NULL)
		return s == NULL ? st : STORE_NO_MEMORY;
	stored__device_record__init(rec);
	*out = rec;
	st = db_step(db, s, &row);
	if (st != STORE_OK || !row) {
		db_done(s);
		return st;
	}
	arena = pb_arena_new((size_t)64 * 1024);
	packed = arena == NULL
		     ? NULL
		     : pb_unpack(&stored__device_record__descriptor, sqlite3_column_blob(s, 0),
			   (size_t)sqlite3_column_bytes(s, 0), arena, 0, NULL);
	if (packed == NULL)
		st = arena == NULL ? STORE_NO_MEMORY : STORE_CORRUPT;
	else if (copy_set(packed, rec, r) == -1)
		st = STORE_NO_MEMORY;
	pb_arena_free(arena);
	db_done(s);
	return st;
}

static enum store_status
save(struct store_db *db, const Stored__DeviceRecord *rec)
{
	static struct sql q = SQL("INSERT INTO device(one, record) VALUES(1, ?1)"
				  " ON CONFLICT(one) DO UPDATE SET record = excluded.record");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	return db_run_packed(db, s, 1, &rec->base);
}

enum store_status
device_merge(struct store_db *db, const Stored__DeviceRecord *set)
{
	struct region *r = region_new((size_t)256 * 1024);
	Stored__DeviceRecord *rec = NULL;
	enum store_status st;

	if (r == NULL)
		return STORE_NO_MEMORY;
	st = device_load(db, r, &rec);
	if (st == STORE_OK && rec == NULL)
		st = STORE_NO_MEMORY;
	if (st == STORE_OK && copy_set(set, rec, r) == -1)
		st = STORE_NO_MEMORY;
	if (st == STORE_OK) {
		if (rec->has_routing_info && rec->routing_info.len == 0)
			rec->has_routing_info = 0; /* empty = forget */
		if (rec->has_nct_salt && rec->nct_salt.len == 0)
			rec->has_nct_salt = 0;
		st = save(db, rec);
	}
	region_free(r);
	return st;
}

enum store_status
device_reset(struct store_db *db)
{
	/* Too rare for statements that are kept. */
	int rc = sqlite3_exec(db->sql,
	    "DELETE FROM device; DELETE FROM device_list; DELETE FROM sender_key_device;"
	    "DELETE FROM base_key; DELETE FROM token; DELETE FROM pending; DELETE FROM group_info;"
	    "DELETE FROM collection; DELETE FROM mac",
	    NULL, NULL, NULL);

	return rc == SQLITE_OK ? STORE_OK : db_failed(db, rc, "device reset");
}
