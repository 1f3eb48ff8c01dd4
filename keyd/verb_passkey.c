/* Linking with a passkey: the three steps that need a secret (protocol page 12, 1.2). */
#include <string.h>

#include <event2/event.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/counter.h"
#include "keyd/curve.h"
#include "keyd/verbs.h"

static struct passkey *
exchange_of(struct account *a)
{
	return &a->keyd->secrets->passkey[a->number];
}

void
passkey_forget(struct account *a)
{
	sodium_memzero(exchange_of(a), sizeof(struct passkey));
	if (a->passkey_end != NULL)
		evtimer_del(a->passkey_end);
}

static void
too_old(evutil_socket_t fd, short what, void *arg)
{
	passkey_forget(arg);
}

/* The step was made: 300 s for the next one. */
static void
go_on(struct account *a)
{
	const struct timeval tv = {PASSKEY_MS / 1000, 0};

	exchange_of(a)->since_ms = clock_mono_ms();
	if (a->passkey_end == NULL &&
	    (a->passkey_end = evtimer_new(a->keyd->base, too_old, a)) == NULL)
		fatalx("out of memory");
	evtimer_add(a->passkey_end, &tv);
}

/* ---------------------------------------------------------------- prologue */

static const char *
check_begin(const ProtobufCMessage *pb)
{
	const Keyd__PasskeyBegin *q = (const Keyd__PasskeyBegin *)pb;
	size_t i, len = strlen(q->ref);

	if (len == 0 || len > PASSKEY_REF_MAX)
		return "ref has not 1 to 512 bytes";
	for (i = 0; i < len; i++)
		if (q->ref[i] <= ' ' || q->ref[i] >= 0x7f)
			return "ref holds a byte that is not printable";
	if (q->device_type == 0 || q->device_type > 255)
		return "device_type is not 1 to 255";
	return NULL;
}

static void
run_begin(struct request *r)
{
	const Keyd__PasskeyBegin *q = (const Keyd__PasskeyBegin *)r->pb;
	struct passkey *p = exchange_of(r->account);
	Keyd__PasskeyBeginReply a = KEYD__PASSKEY_BEGIN_REPLY__INIT;
	struct buf prologue = BUF_INIT;
	uint8_t e_pub[32], proof[32];

	passkey_forget(r->account);
	curve_pair(p->e_priv, e_pub);
	randombytes_buf(p->nonce, sizeof(p->nonce));
	passkey_salt(q->device_type, q->ref, p->salt);
	if (passkey_prologue(e_pub, p->nonce, q->device_type, q->ref, &prologue) == -1)
		fatalx("out of memory");
	p->step = PASSKEY_BEGUN;
	go_on(r->account);
	a.prologue = pb_bytes(prologue.data, prologue.len);
	if (q->proof) {
		passkey_proof(r->device->adv_secret, prologue.data, prologue.len, proof);
		a.has_proof = 1;
		a.proof = pb_bytes(proof, sizeof(proof));
	}
	counters[COUNT_PASSKEY_BEGUN]++;
	request_reply(r, KEYD__TYPE__PASSKEY_BEGIN_REPLY, &a.base);
	buf_clear(&prologue);
}

const struct verb verb_passkey_begin = {
    KEYD__TYPE__PASSKEY_BEGIN, VERB_UNLINKED, check_begin, NULL, run_begin};

/* The exchange, if that step is next; else answers. */
static struct passkey *
under_way(struct request *r, int step)
{
	struct passkey *p = exchange_of(r->account);

	if ((int)p->step != step) {
		request_error(r, "state", "no passkey exchange waits for this step");
	} else if (clock_mono_ms() - p->since_ms > PASSKEY_MS) {
		passkey_forget(r->account);
		request_error(r, "expired", "the last step is more than 300 seconds ago");
	} else {
		return p;
	}
	return NULL;
}

/* ---------------------------------------------------------------- continuation */

static const char *
check_continue(const ProtobufCMessage *pb)
{
	const Keyd__PasskeyContinue *q = (const Keyd__PasskeyContinue *)pb;

	if (q->primary_pub.len != 32 || q->primary_nonce.len != 32)
		return "primary_pub or primary_nonce has not 32 bytes";
	return NULL;
}

static void
run_continue(struct request *r)
{
	const Keyd__PasskeyContinue *q = (const Keyd__PasskeyContinue *)r->pb;
	Keyd__PasskeyContinueReply a = KEYD__PASSKEY_CONTINUE_REPLY__INIT;
	char code[PAIRCODE_LEN + 1];
	struct passkey *p;

	if ((p = under_way(r, PASSKEY_BEGUN)) == NULL)
		return;
	if (passkey_key(p->e_priv, q->primary_pub.data, p->salt, p->key) == -1) {
		passkey_forget(r->account);
		request_error(r, "bad_key", "the shared secret is zero");
		return;
	}
	sodium_memzero(p->e_priv, sizeof(p->e_priv));
	passkey_code(p->nonce, q->primary_pub.data, q->primary_nonce.data, code);
	p->step = PASSKEY_CONTINUED;
	go_on(r->account);
	a.nonce = pb_bytes(p->nonce, sizeof(p->nonce));
	a.code = code;
	request_reply(r, KEYD__TYPE__PASSKEY_CONTINUE_REPLY, &a.base);
}

const struct verb verb_passkey_continue = {
    KEYD__TYPE__PASSKEY_CONTINUE, VERB_UNLINKED, check_continue, NULL, run_continue};

/* ---------------------------------------------------------------- pairing request */

static void
run_seal(struct request *r)
{
	const Keyd__PasskeySeal *q = (const Keyd__PasskeySeal *)r->pb;
	Keyd__PasskeySealReply a = KEYD__PASSKEY_SEAL_REPLY__INIT;
	struct device *d = r->device;
	uint8_t iv[12], payload[PASSKEY_PAYLOAD];
	struct passkey *p;

	if ((p = under_way(r, PASSKEY_CONTINUED)) == NULL)
		return;
	randombytes_buf(d->adv_pending, sizeof(d->adv_pending));
	d->has_pending = 1;
	randombytes_buf(iv, sizeof(iv));
	passkey_payload(p->key, iv, d->noise_pub, d->identity_pub, d->adv_pending, payload);
	passkey_forget(r->account);
	identity_put(r, d);
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	a.payload = pb_bytes(payload, sizeof(payload));
	a.iv = pb_bytes(iv, sizeof(iv));
	counters[COUNT_PASSKEY_SEALED]++;
	request_reply(r, KEYD__TYPE__PASSKEY_SEAL_REPLY, &a.base);
}

const struct verb verb_passkey_seal = {
    KEYD__TYPE__PASSKEY_SEAL, VERB_UNLINKED, NULL, NULL, run_seal};
