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

#define FAR 100000u /* more than are offered between two backups */

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
	struct buf b = BUF_INIT;

	buf_put_u8(&b, 1);
	buf_put_be32(&b, id);
	work_put_buf(w, STORED__DOMAIN__KEYSTATE, work_name(w, "prekeys"), &b);
}

static int
mark_broken(struct request *r)
{
	return request_fail(r, "store", "the key state record could not be read");
}

static int
need_mark(struct request *r)
{
	return work_need(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "prekeys"));
}

/* ---------------------------------------------------------------- PREKEYS_MAKE */

const char *
prekeys_check_make(const void *asked)
{
	const Keyd__PrekeysMake *q = asked;

	return q->retry && q->count != 1 ? "a retry receipt takes one key" : NULL;
}

void
prekeys_load_make(struct request *r, const void *asked)
{
	const Keyd__PrekeysMake *q = asked;
	uint32_t id;

	if (!need_mark(r) || (id = mark_get(&r->work)) == 0)
		return;
	/* after 2^24 ids one of them may still be there */
	for (uint32_t i = 0; i < q->count; i++, id = after(id))
		(void)work_need(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", id));
}

static void
tell_key(struct request *r, Keyd__Prekey *k, uint32_t id, const ec_key_pair *pair)
{
	k->id = id;
	k->pub = request_room(r, 32);
	if (provider_raw_key(ec_key_pair_get_public(pair), k->pub.data) == -1)
		fatalx("libsignal writes no key down");
}

static void
make_key(struct request *r, uint32_t id, int uploaded, Keyd__Prekey *out)
{
	ec_key_pair *pair = NULL;
	session_pre_key *k = NULL;
	signal_buffer *record = NULL;

	if (curve_generate_key_pair(provider_context, &pair) != 0 ||
	    session_pre_key_create(&k, id, pair) != 0 || session_pre_key_serialize(&record, k) != 0)
		fatalx("libsignal makes no prekey");
	tell_key(r, out, id, pair);
	work_put_prekey(
	    &r->work, id, signal_buffer_data(record), signal_buffer_len(record), uploaded);
	signal_buffer_bzero_free(record);
	SIGNAL_UNREF(k);
	SIGNAL_UNREF(pair);
	counters[COUNT_PREKEYS_MADE]++;
}

/* Room for so many keys, and what is told beside them. */
static void
begin_answer(struct request *r, Keyd__PrekeysReply *a, size_t n)
{
	struct device *d = r->device;

	a->registration_id = d->registration_id;
	a->identity_pub = pb_bytes(d->identity_pub, 32);
	a->signed_prekey = identity_signed_prekey(r, d->skey_id, d->skey_pub, d->skey_sig);
	a->keys = request_list(r, &keyd__prekey__descriptor, n);
}

int
prekeys_make(struct request *r, const void *asked, void *answer)
{
	const Keyd__PrekeysMake *q = asked;
	Keyd__PrekeysReply *a = answer;
	uint32_t id = mark_get(&r->work);

	if (id == 0)
		return mark_broken(r);
	begin_answer(r, a, q->count);
	for (; a->n_keys < q->count; id = after(id))
		make_key(r, id, q->retry, a->keys[a->n_keys++]);
	mark_put(&r->work, id);
	return 0;
}

/* ---------------------------------------------------------------- by their ids */

static void
need_ids(struct request *r, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", ids[i]));
}

void
prekeys_load_uploaded(struct request *r, const void *asked)
{
	const Keyd__PrekeysUploaded *q = asked;

	need_ids(r, q->ids, q->n_ids);
}

int
prekeys_uploaded(struct request *r, const void *asked, void *answer)
{
	const Keyd__PrekeysUploaded *q = asked;
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < q->n_ids; i++) {
		/* one that was used meanwhile must not come back */
		if (work_get(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", q->ids[i]),
			&b) == 1)
			work_put_prekey(&r->work, q->ids[i], b.data, b.len, 1);
		buf_reset(&b);
	}
	buf_clear(&b);
	return 0;
}

void
prekeys_load_public(struct request *r, const void *asked)
{
	const Keyd__PrekeysPublic *q = asked;

	(void)skey_need_next(&r->work, r->device);
	need_ids(r, q->ids, q->n_ids);
}

int
prekeys_public(struct request *r, const void *asked, void *answer)
{
	const Keyd__PrekeysPublic *q = asked;
	Keyd__PrekeysReply *a = answer;
	uint8_t pub[32], sig[64];
	struct buf b = BUF_INIT;

	begin_answer(r, a, q->n_ids);
	for (size_t i = 0; i < q->n_ids; i++) {
		session_pre_key *k = NULL;

		if (work_get(&r->work, STORED__DOMAIN__PREKEY, work_name(&r->work, "%u", q->ids[i]),
			&b) == 1 &&
		    session_pre_key_deserialize(&k, b.data, b.len, provider_context) == 0)
			tell_key(
			    r, a->keys[a->n_keys++], q->ids[i], session_pre_key_get_key_pair(k));
		SIGNAL_UNREF(k);
		buf_reset(&b);
	}
	buf_clear(&b);
	if (skey_next(&r->work, r->device, pub, sig) == 1)
		a->next = identity_signed_prekey(r, skey_next_id(r->device), pub, sig);
	return 0;
}

/* ---------------------------------------------------------------- RESTORED */

void
prekeys_load_restored(struct request *r, const void *asked)
{
	(void)need_mark(r);
}

int
prekeys_restored(struct request *r, const void *asked, void *answer)
{
	uint32_t id = mark_get(&r->work);

	if (id == 0)
		return mark_broken(r);
	mark_put(&r->work, (id - 1 + FAR) % PREKEY_ID_MAX + 1);
	return 0;
}
