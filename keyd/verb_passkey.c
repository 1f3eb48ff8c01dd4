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

int
passkey_begin(struct request *r, const void *asked, void *answer)
{
	const Keyd__PasskeyBegin *q = asked;
	Keyd__PasskeyBeginReply *a = answer;
	struct passkey *p = exchange_of(r->account);
	struct buf prologue = BUF_INIT;
	uint8_t e_pub[32];

	passkey_forget(r->account);
	curve_pair(p->e_priv, e_pub);
	randombytes_buf(p->nonce, sizeof(p->nonce));
	passkey_salt(q->device_type, q->ref, p->salt);
	if (passkey_prologue(e_pub, p->nonce, q->device_type, q->ref, &prologue) == -1)
		fatalx("out of memory");
	p->step = PASSKEY_BEGUN;
	go_on(r->account);
	a->prologue = request_bytes(r, prologue.data, prologue.len);
	buf_clear(&prologue);
	if (q->proof) {
		a->has_proof = 1;
		a->proof = request_room(r, 32);
		passkey_proof(
		    r->device->adv_secret, a->prologue.data, a->prologue.len, a->proof.data);
	}
	return 0;
}

/* The exchange, if that step is next; else answers. */
static struct passkey *
under_way(struct request *r, int step)
{
	struct passkey *p = exchange_of(r->account);

	if ((int)p->step != step) {
		(void)request_fail(r, "state", "no passkey exchange waits for this step");
	} else if (clock_mono_ms() - p->since_ms > PASSKEY_MS) {
		passkey_forget(r->account);
		(void)request_fail(r, "expired", "the last step is more than 300 seconds ago");
	} else {
		return p;
	}
	return NULL;
}

int
passkey_continue(struct request *r, const void *asked, void *answer)
{
	const Keyd__PasskeyContinue *q = asked;
	Keyd__PasskeyContinueReply *a = answer;
	struct passkey *p;

	if ((p = under_way(r, PASSKEY_BEGUN)) == NULL)
		return -1;
	if (passkey_key(p->e_priv, q->primary_pub.data, p->salt, p->key) == -1) {
		passkey_forget(r->account);
		return request_fail(r, "bad_key", "the shared secret is zero");
	}
	sodium_memzero(p->e_priv, sizeof(p->e_priv));
	a->code = (char *)request_room(r, PAIRCODE_LEN + 1).data;
	passkey_code(p->nonce, q->primary_pub.data, q->primary_nonce.data, a->code);
	a->nonce = pb_bytes(p->nonce, sizeof(p->nonce));
	p->step = PASSKEY_CONTINUED;
	go_on(r->account);
	return 0;
}

int
passkey_seal(struct request *r, const void *asked, void *answer)
{
	Keyd__PasskeySealReply *a = answer;
	struct device *d = r->device;
	struct passkey *p;

	if ((p = under_way(r, PASSKEY_CONTINUED)) == NULL)
		return -1;
	randombytes_buf(d->adv_pending, sizeof(d->adv_pending));
	d->has_pending = 1;
	a->iv = request_room(r, 12);
	a->payload = request_room(r, PASSKEY_PAYLOAD);
	randombytes_buf(a->iv.data, a->iv.len);
	passkey_payload(
	    p->key, a->iv.data, d->noise_pub, d->identity_pub, d->adv_pending, a->payload.data);
	passkey_forget(r->account);
	identity_put(r, d);
	return 0;
}
