/* One-time prekeys: making and offering them, the note that the service has them, their public
 * halves (protocol page 04, 2), and ids after a restore. */
#include <string.h>

#include <signal/session_pre_key.h>

#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/verbs.h"

#define COUNT_MAX    1000
#define UPLOADED_MAX 1024
#define FAR          100000u /* more than are offered between two backups */

static uint32_t
after(uint32_t id)
{
	return id >= PREKEY_ID_MAX ? 1 : id + 1;
}

/* The watermark: the id that is made next; those before it were offered. Record
 * "generation/prekeys": u8 1 | u32 id. 0 = the record cannot be read. */
static uint32_t
mark_get(struct work *w)
{
	struct buf b = BUF_INIT;
	int there = work_get(w, STORED__DOMAIN__KEYSTATE, work_name(w, "prekeys"), &b);
	uint32_t id = there == 0 ? 1 : 0;

	if (there == 1 && b.len == 5 && b.data[0] == 1)
		id = buf_be32(b.data + 1);
	buf_clear(&b);
	return id <= PREKEY_ID_MAX ? id : 0;
}

static void
mark_put(struct work *w, uint32_t id)
{
	const uint8_t record[5] = {
	    1, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	work_put(w, STORED__DOMAIN__KEYSTATE, work_name(w, "prekeys"), record, sizeof(record));
}

/* ---------------------------------------------------------------- PREKEYS_MAKE */

static const char *
check_make(const ProtobufCMessage *pb)
{
	const Keyd__PrekeysMake *q = (const Keyd__PrekeysMake *)pb;

	if (q->count < 1 || q->count > COUNT_MAX)
		return "count is not 1 to 1000";
	if (q->has_retry && q->retry && q->count != 1)
		return "a retry receipt takes one key";
	return NULL;
}

static void
load_make(struct request *r)
{
	const Keyd__PrekeysMake *q = (const Keyd__PrekeysMake *)r->pb;
	uint32_t i, id;

	if (!work_need(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "prekeys")) ||
	    (id = mark_get(&r->work)) == 0)
		return;
	/* after 2^24 ids one of them may still be there */
	for (i = 0; i < q->count; i++, id = after(id))
		(void)work_need(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", id));
}

static void
public_half(const ec_key_pair *pair, uint8_t pub[32])
{
	signal_buffer *typed = NULL;

	if (ec_public_key_serialize(&typed, ec_key_pair_get_public(pair)) != 0)
		fatalx("libsignal writes no key down");
	memcpy(pub, signal_buffer_data(typed) + 1, 32); /* without the type byte */
	signal_buffer_free(typed);
}

static void
make_key(struct work *w, uint32_t id, int uploaded, uint8_t pub[32])
{
	ec_key_pair *pair = NULL;
	session_pre_key *k = NULL;
	signal_buffer *record = NULL;

	if (curve_generate_key_pair(provider_context, &pair) != 0 ||
	    session_pre_key_create(&k, id, pair) != 0 || session_pre_key_serialize(&record, k) != 0)
		fatalx("libsignal makes no prekey");
	public_half(pair, pub);
	work_put_prekey(w, id, signal_buffer_data(record), signal_buffer_len(record), uploaded);
	signal_buffer_bzero_free(record);
	SIGNAL_UNREF(k);
	SIGNAL_UNREF(pair);
	counters[COUNT_PREKEYS_MADE]++;
}

static void
describe_device(Keyd__PrekeysReply *a, Keyd__SignedPrekey *skey, struct device *d)
{
	a->registration_id = d->registration_id;
	a->identity_pub = pb_bytes(d->identity_pub, 32);
	identity_signed_prekey(skey, d);
	a->signed_prekey = skey;
}

static void
run_make(struct request *r)
{
	const Keyd__PrekeysMake *q = (const Keyd__PrekeysMake *)r->pb;
	Keyd__PrekeysReply a = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey skey;
	Keyd__Prekey keys[COUNT_MAX], *list[COUNT_MAX];
	uint8_t pubs[COUNT_MAX][32];
	int retry = q->has_retry && q->retry;
	uint32_t i, id = mark_get(&r->work);

	if (id == 0) {
		request_error(r, "store", "the key state record could not be read");
		return;
	}
	for (i = 0; i < q->count; i++, id = after(id)) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = id;
		keys[i].pub = pb_bytes(pubs[i], 32);
		list[i] = &keys[i];
		make_key(&r->work, id, retry, pubs[i]);
	}
	mark_put(&r->work, id);
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	describe_device(&a, &skey, r->device);
	a.keys = list;
	a.n_keys = q->count;
	request_reply(r, KEYD__TYPE__PREKEYS_REPLY, &a.base);
}

const struct verb verb_prekeys_make = {
    KEYD__TYPE__PREKEYS_MAKE, VERB_DEVICE, check_make, load_make, run_make};

/* ---------------------------------------------------------------- PREKEYS_UPLOADED */

static const char *
check_ids(const uint32_t *ids, size_t n, size_t most)
{
	size_t i;

	if (n > most)
		return "too many ids";
	for (i = 0; i < n; i++)
		if (ids[i] < 1 || ids[i] > PREKEY_ID_MAX)
			return "an id that no prekey has";
	return NULL;
}

static void
need_ids(struct request *r, const uint32_t *ids, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", ids[i]));
}

static const char *
check_uploaded(const ProtobufCMessage *pb)
{
	const Keyd__PrekeysUploaded *q = (const Keyd__PrekeysUploaded *)pb;

	return check_ids(q->ids, q->n_ids, UPLOADED_MAX);
}

static void
load_uploaded(struct request *r)
{
	const Keyd__PrekeysUploaded *q = (const Keyd__PrekeysUploaded *)r->pb;

	need_ids(r, q->ids, q->n_ids);
}

static void
run_uploaded(struct request *r)
{
	const Keyd__PrekeysUploaded *q = (const Keyd__PrekeysUploaded *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < q->n_ids; i++) {
		/* one that was used meanwhile must not come back */
		if (work_get(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", q->ids[i]),
			&b) == 1)
			work_put_prekey(&r->work, q->ids[i], b.data, b.len, 1);
		buf_reset(&b);
	}
	buf_clear(&b);
	if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_prekeys_uploaded = {
    KEYD__TYPE__PREKEYS_UPLOADED, VERB_DEVICE, check_uploaded, load_uploaded, run_uploaded};

/* ---------------------------------------------------------------- PREKEYS_PUBLIC */

static const char *
check_public(const ProtobufCMessage *pb)
{
	const Keyd__PrekeysPublic *q = (const Keyd__PrekeysPublic *)pb;

	return check_ids(q->ids, q->n_ids, COUNT_MAX);
}

static void
load_public(struct request *r)
{
	const Keyd__PrekeysPublic *q = (const Keyd__PrekeysPublic *)r->pb;

	(void)skey_need_next(&r->work, r->device);
	need_ids(r, q->ids, q->n_ids);
}

/* 1 if it is there and can be read. */
static int
public_of(struct work *w, uint32_t id, uint8_t pub[32])
{
	session_pre_key *k = NULL;
	struct buf b = BUF_INIT;
	int there = work_get(w, STORED__DOMAIN__PREKEY, work_name(w, "%u", id), &b) == 1 &&
		    session_pre_key_deserialize(&k, b.data, b.len, provider_context) == 0;

	if (there)
		public_half(session_pre_key_get_key_pair(k), pub);
	SIGNAL_UNREF(k);
	buf_clear(&b);
	return there;
}

static void
run_public(struct request *r)
{
	const Keyd__PrekeysPublic *q = (const Keyd__PrekeysPublic *)r->pb;
	Keyd__PrekeysReply a = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey skey, next = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey keys[COUNT_MAX], *list[COUNT_MAX];
	uint8_t pubs[COUNT_MAX][32], next_pub[32], next_sig[64];
	size_t i;

	for (i = 0; i < q->n_ids; i++) {
		if (!public_of(&r->work, q->ids[i], pubs[a.n_keys]))
			continue;
		keyd__prekey__init(&keys[a.n_keys]);
		keys[a.n_keys].id = q->ids[i];
		keys[a.n_keys].pub = pb_bytes(pubs[a.n_keys], 32);
		list[a.n_keys] = &keys[a.n_keys];
		a.n_keys++;
	}
	a.keys = list;
	describe_device(&a, &skey, r->device);
	if (skey_next(&r->work, r->device, next_pub, next_sig) == 1) {
		next.id = r->device->skey_id % PREKEY_ID_MAX + 1;
		next.pub = pb_bytes(next_pub, 32);
		next.signature = pb_bytes(next_sig, 64);
		a.next = &next;
	}
	request_reply(r, KEYD__TYPE__PREKEYS_REPLY, &a.base);
}

const struct verb verb_prekeys_public = {
    KEYD__TYPE__PREKEYS_PUBLIC, VERB_DEVICE, check_public, load_public, run_public};

/* ---------------------------------------------------------------- RESTORED */

static void
load_restored(struct request *r)
{
	(void)work_need(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "prekeys"));
}

static void
run_restored(struct request *r)
{
	const Keyd__Restored *q = (const Keyd__Restored *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;
	uint32_t id = mark_get(&r->work);

	if (id == 0) {
		request_error(r, "store", "the key state record could not be read");
		return;
	}
	mark_put(&r->work, (id - 1 + FAR) % PREKEY_ID_MAX + 1);
	if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_restored = {
    KEYD__TYPE__RESTORED, VERB_DEVICE, NULL, load_restored, run_restored};
