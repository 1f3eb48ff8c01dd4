/* One-time prekeys: making and offering them, and the note that the service has them (protocol page
 * 04, 2). */
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
#define ID_MAX       0xfffffeu /* libsignal never removes 0xffffff after use (page 04, 2.2) */

/* Two numbers of a generation, record "generation/prekeys": u8 1 | u32 next | u32 first.
 * Ids from first up to next - 1 are made and were never offered to anyone; next is made next. */
struct watermarks {
	uint32_t next, first;
};

static uint32_t
after(uint32_t id)
{
	return id >= ID_MAX ? 1 : id + 1;
}

/* 0, or -1: the record cannot be read. */
static int
marks_get(struct work *w, struct watermarks *m)
{
	struct buf b = BUF_INIT;
	int there = work_get(w, STORED__DOMAIN__KEYSTATE, work_name(w, "prekeys"), &b);

	m->next = m->first = 1;
	if (there == 1 && b.len == 9 && b.data[0] == 1) {
		m->next = buf_be32(b.data + 1);
		m->first = buf_be32(b.data + 5);
	} else if (there != 0)
		there = -1;
	if (m->next < 1 || m->next > ID_MAX || m->first < 1 || m->first > ID_MAX)
		there = -1;
	buf_clear(&b);
	return there == -1 ? -1 : 0;
}

static void
marks_put(struct work *w, const struct watermarks *m)
{
	struct buf b = BUF_INIT;

	buf_put_u8(&b, 1);
	buf_put_be32(&b, m->next);
	if (buf_put_be32(&b, m->first) == -1)
		fatalx("out of memory");
	work_put(w, STORED__DOMAIN__KEYSTATE, work_name(w, "prekeys"), b.data, b.len);
	buf_clear(&b);
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
	struct watermarks m;
	uint32_t i, id;

	if (!work_need(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "prekeys")) ||
	    marks_get(&r->work, &m) == -1)
		return;
	/* the new ones too: after 2^24 ids one of them may still be there */
	for (i = 0, id = m.first; i < q->count; i++, id = after(id))
		(void)work_need(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", id));
}

static void
public_half(const session_pre_key *k, uint8_t pub[32])
{
	signal_buffer *b = NULL;

	if (ec_public_key_serialize(&b, ec_key_pair_get_public(session_pre_key_get_key_pair(k))) !=
	    0)
		fatalx("libsignal: out of memory");
	memcpy(pub, signal_buffer_data(b) + 1, 32); /* without the type byte */
	signal_buffer_free(b);
}

static void
make_key(struct work *w, uint32_t id, int uploaded, uint8_t pub[32])
{
	ec_key_pair *pair = NULL;
	session_pre_key *k = NULL;
	signal_buffer *record = NULL;

	if (curve_generate_key_pair(provider_context(), &pair) != 0 ||
	    session_pre_key_create(&k, id, pair) != 0 || session_pre_key_serialize(&record, k) != 0)
		fatalx("libsignal makes no prekey");
	public_half(k, pub);
	work_put_prekey(w, id, signal_buffer_data(record), signal_buffer_len(record), uploaded);
	signal_buffer_bzero_free(record);
	SIGNAL_UNREF(k);
	SIGNAL_UNREF(pair);
	counters[COUNT_PREKEYS_MADE]++;
}

/* One that was made earlier and never offered. 0, or -1: it is not there or not one. */
static int
offer_old(struct work *w, uint32_t id, int uploaded, uint8_t pub[32])
{
	struct buf b = BUF_INIT;
	session_pre_key *k = NULL;
	int ok = -1;

	if (work_get(w, STORED__DOMAIN__PREKEY, work_name(w, "%u", id), &b) == 1 &&
	    session_pre_key_deserialize(&k, b.data, b.len, provider_context()) == 0) {
		public_half(k, pub);
		if (uploaded)
			work_put_prekey(w, id, b.data, b.len, 1);
		ok = 0;
	}
	SIGNAL_UNREF(k);
	buf_clear(&b);
	return ok;
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
	struct device *d = r->device;
	struct watermarks m;
	uint32_t i;

	if (marks_get(&r->work, &m) == -1) {
		request_error(r, "store", "the key state record could not be read");
		return;
	}
	for (i = 0; i < q->count; i++) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = m.first;
		keys[i].pub = pb_bytes(pubs[i], 32);
		list[i] = &keys[i];
		if (m.first == m.next || offer_old(&r->work, m.first, retry, pubs[i]) == -1)
			make_key(&r->work, m.first, retry, pubs[i]);
		if (m.first == m.next)
			m.next = after(m.next);
		m.first = after(m.first);
	}
	marks_put(&r->work, &m);
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	a.registration_id = d->registration_id;
	a.identity_pub = pb_bytes(d->identity_pub, 32);
	identity_signed_prekey(&skey, d);
	a.signed_prekey = &skey;
	a.keys = list;
	a.n_keys = q->count;
	request_reply(r, KEYD__TYPE__PREKEYS_REPLY, &a.base);
}

const struct verb verb_prekeys_make = {
    KEYD__TYPE__PREKEYS_MAKE, VERB_DEVICE, check_make, load_make, run_make};

/* ---------------------------------------------------------------- PREKEYS_UPLOADED */

static const char *
check_uploaded(const ProtobufCMessage *pb)
{
	const Keyd__PrekeysUploaded *q = (const Keyd__PrekeysUploaded *)pb;
	size_t i;

	if (q->n_ids > UPLOADED_MAX)
		return "more than 1024 ids";
	for (i = 0; i < q->n_ids; i++)
		if (q->ids[i] < 1 || q->ids[i] > ID_MAX)
			return "an id that no prekey has";
	return NULL;
}

static void
load_uploaded(struct request *r)
{
	const Keyd__PrekeysUploaded *q = (const Keyd__PrekeysUploaded *)r->pb;
	size_t i;

	for (i = 0; i < q->n_ids; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", q->ids[i]));
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
