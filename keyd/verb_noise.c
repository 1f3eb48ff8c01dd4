/* The Noise verbs: a handshake, of which netd gets the messages and, at its end, the traffic keys;
 * and what apid has kept of it. */
#include <string.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/counter.h"
#include "keyd/verbs.h"

static struct noise_slot *
find_slot(struct keyd *k, unsigned account, uint64_t conn)
{
	struct noise_slot *s = k->secrets->noise;
	size_t i;

	for (i = 0; i < NOISE_SLOTS; i++)
		if (s[i].used && s[i].account == account && s[i].conn == conn)
			return &s[i];
	return NULL;
}

static struct noise_slot *
free_slot(struct keyd *k)
{
	struct noise_slot *s = k->secrets->noise, *oldest = s;
	size_t i;

	for (i = 0; i < NOISE_SLOTS; i++) {
		if (!s[i].used)
			return &s[i];
		if (s[i].order < oldest->order)
			oldest = &s[i];
	}
	return oldest;
}

/* ---------------------------------------------------------------- the kept chain */

#define IK_FAILURES_MAX 3 /* "few" (page 12, 3) */

/* Record "generation/noise", of a linked device. 0, or -1: there is none that can be read. */
static int
chain_get(struct work *w, struct noise_chain *c)
{
	struct buf b = BUF_INIT;
	int ok = work_get(w, STORED__DOMAIN__KEYSTATE, work_name(w, "noise"), &b) == 1
		     ? noise_chain_decode(c, b.data, b.len)
		     : -1;

	buf_clear(&b);
	return ok;
}

static void
load_chain(struct request *r)
{
	if (r->device != NULL && r->device->linked)
		(void)work_need(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "noise"));
}

/* May this handshake be IK? Then ik says with what. */
static int
may_resume(struct request *r, struct noise_chain *c, struct noise_ik *ik)
{
	const Keyd__NoiseHello *q = (const Keyd__NoiseHello *)r->pb;
	const struct account *a = r->account;
	int64_t now = clock_wall_ms() / 1000;

	if (!q->has_payload || r->device == NULL || !r->device->linked || a->ik_off ||
	    a->ik_failures >= IK_FAILURES_MAX || chain_get(&r->work, c) == -1)
		return 0;
	if (memcmp(c->root, r->keyd->noise_root, 32) != 0 || now < c->from || now > c->to)
		return 0;
	*ik = (struct noise_ik){.s_priv = r->device->noise_priv,
	    .s_pub = r->device->noise_pub,
	    .rs = c->rs,
	    .payload = q->payload.data,
	    .payload_len = q->payload.len};
	return 1;
}

static void
ik_failed(struct account *a)
{
	counters[COUNT_NOISE_IK_FAILED]++;
	a->ik_failures++;
	a->ik_off = 1;
}

static void
run_keep(struct request *r)
{
	const Keyd__NoiseKeep *q = (const Keyd__NoiseKeep *)r->pb;
	struct account *a = r->account;
	Keyd__Staged reply = KEYD__STAGED__INIT;
	uint8_t record[NOISE_CHAIN_LEN], had[NOISE_CHAIN_LEN];
	struct noise_chain old;

	if (a->chain.to != 0 && a->chain_conn == q->conn && r->device->linked) {
		noise_chain_encode(&a->chain, record);
		if (chain_get(&r->work, &old) == 0)
			noise_chain_encode(&old, had);
		else
			had[0] = 0;
		if (memcmp(record, had, sizeof(record)) != 0)
			work_put(&r->work, STORED__DOMAIN__KEYSTATE, work_name(&r->work, "noise"),
			    record, sizeof(record));
		a->chain.to = 0;
		a->ik_off = 0;
	}
	if (request_stage(r, q->unit, &reply.stages) == 0)
		request_reply(r, KEYD__TYPE__STAGED, &reply.base);
}

const struct verb verb_noise_keep = {
    KEYD__TYPE__NOISE_KEEP, VERB_DEVICE, NULL, load_chain, run_keep};

/* ---------------------------------------------------------------- the handshake */

static const char *
check_hello(const ProtobufCMessage *pb)
{
	const Keyd__NoiseHello *q = (const Keyd__NoiseHello *)pb;

	if (q->has_payload && (q->payload.len == 0 || q->payload.len > NOISE_PAYLOAD_MAX))
		return "payload has not 1 to 16 KiB";
	return NULL;
}

static void
run_hello(struct request *r)
{
	const Keyd__NoiseHello *q = (const Keyd__NoiseHello *)r->pb;
	Keyd__NoiseHelloReply a = KEYD__NOISE_HELLO_REPLY__INIT;
	struct buf hello = BUF_INIT;
	struct noise_slot *s;
	struct noise_chain chain;
	struct noise_ik ik;
	int resume = may_resume(r, &chain, &ik);

	if (find_slot(r->keyd, r->account->number, q->conn) != NULL) {
		request_error(r, "state", "this connection has begun a handshake already");
		return;
	}
	s = free_slot(r->keyd);
	if (noise_begin(&s->hello, NULL, resume ? &ik : NULL, &hello) == -1)
		fatalx("out of memory");
	s->used = 1;
	s->account = r->account->number;
	s->conn = q->conn;
	s->order = ++r->keyd->secrets->noise_order;
	counters[COUNT_NOISE_HELLO]++;
	counters[COUNT_NOISE_IK] += (uint64_t)resume;
	a.client_hello = pb_bytes(hello.data, hello.len);
	request_reply(r, KEYD__TYPE__NOISE_HELLO_REPLY, &a.base);
	buf_clear(&hello);
}

const struct verb verb_noise_hello = {
    KEYD__TYPE__NOISE_HELLO, VERB_ANY, check_hello, load_chain, run_hello};

static const char *
check_finish(const ProtobufCMessage *pb)
{
	const Keyd__NoiseFinish *q = (const Keyd__NoiseFinish *)pb;

	if (q->server_hello.len > NOISE_HELLO_MAX)
		return "server_hello is longer than 64 KiB";
	if (q->payload.len == 0 || q->payload.len > NOISE_PAYLOAD_MAX)
		return "payload has not 1 to 16 KiB";
	return NULL;
}

static const char *
error_text(const char *code)
{
	if (strcmp(code, "cert_not_yet_valid") == 0 || strcmp(code, "cert_expired") == 0)
		return "the server's certificate is outside of its dates: check the clock";
	if (strncmp(code, "cert", 4) == 0)
		return "the server's certificate chain is not the service's";
	return "the server's handshake message is wrong";
}

/* What it says of IK, and of the chain. began: with IK; stayed: so to its end. */
static void
note_outcome(struct request *r, const struct noise_chain *chain, int began, int stayed, int good)
{
	const Keyd__NoiseFinish *q = (const Keyd__NoiseFinish *)r->pb;
	struct account *a = r->account;

	if (stayed && !good)
		ik_failed(a);
	if (began && good)
		a->ik_failures = 0;
	counters[COUNT_NOISE_IK_TAKEN] += (uint64_t)(stayed && good);
	counters[COUNT_NOISE_IK_FALLBACK] += (uint64_t)(began && !stayed);
	a->chain.to = 0;
	if (good && chain->to != 0 && r->device->linked) { /* nothing is known of a server before */
		a->chain = *chain;
		a->chain_conn = q->conn;
	}
}

static void
run_finish(struct request *r)
{
	const Keyd__NoiseFinish *q = (const Keyd__NoiseFinish *)r->pb;
	struct noise_slot *s = find_slot(r->keyd, r->account->number, q->conn);
	Keyd__NoiseFinishReply a = KEYD__NOISE_FINISH_REPLY__INIT;
	struct noise_finish_in in = {.root = r->keyd->noise_root,
	    .now = clock_wall_ms() / 1000,
	    .server_hello = q->server_hello.data,
	    .server_hello_len = q->server_hello.len,
	    .payload = q->payload.data,
	    .payload_len = q->payload.len};
	struct buf finish = BUF_INIT;
	struct noise_chain chain;
	uint8_t tx[32], rx[32];
	const char *code;
	int ik;

	if (s == NULL) {
		request_error(r, "state", "this connection has begun no handshake");
		return;
	}
	in.s_priv = r->device->noise_priv;
	in.s_pub = r->device->noise_pub;
	ik = s->hello.ik;
	code = noise_finish(&s->hello, &in, &finish, tx, rx, &chain);
	note_outcome(r, &chain, ik, s->hello.ik, code == NULL);
	sodium_memzero(s, sizeof(*s)); /* one try, whatever came of it */
	if (code != NULL) {
		counters[COUNT_NOISE_REFUSED]++;
		request_error(r, code, "%s", error_text(code));
	} else {
		counters[COUNT_NOISE_FINISH]++;
		a.client_finish = pb_bytes(finish.data, finish.len);
		a.tx_key.data = tx;
		a.rx_key.data = rx;
		a.tx_key.len = a.rx_key.len = 32;
		request_reply(r, KEYD__TYPE__NOISE_FINISH_REPLY, &a.base);
	}
	sodium_memzero(tx, sizeof(tx));
	sodium_memzero(rx, sizeof(rx));
	buf_clear(&finish);
}

const struct verb verb_noise_finish = {
    KEYD__TYPE__NOISE_FINISH, VERB_DEVICE, check_finish, NULL, run_finish};

static void
run_drop(struct request *r)
{
	const Keyd__NoiseDrop *q = (const Keyd__NoiseDrop *)r->pb;
	struct noise_slot *s = find_slot(r->keyd, r->account->number, q->conn);

	if (s == NULL)
		return;
	if (s->hello.ik) /* a server that dislikes it says nothing (page 01, 4.2) */
		ik_failed(r->account);
	sodium_memzero(s, sizeof(*s));
}

const struct verb verb_noise_drop = {KEYD__TYPE__NOISE_DROP, VERB_NO_RECORD, NULL, NULL, run_drop};
