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

void
noise_load_chain(struct request *r, const void *asked)
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

int
noise_keep(struct request *r, const void *asked, void *answer)
{
	const Keyd__NoiseKeep *q = asked;
	struct account *a = r->account;
	struct buf had = BUF_INIT, record = BUF_INIT;
	const char *name = work_name(&r->work, "noise");

	if (a->chain.to == 0 || a->chain_conn != q->conn || !r->device->linked)
		return 0;
	noise_chain_encode(&a->chain, &record);
	if (work_get(&r->work, STORED__DOMAIN__KEYSTATE, name, &had) != 1 ||
	    had.len != record.len || memcmp(had.data, record.data, had.len) != 0)
		work_put_buf(&r->work, STORED__DOMAIN__KEYSTATE, name, &record);
	buf_clear(&record);
	buf_clear(&had);
	a->chain.to = 0;
	a->ik_off = 0;
	return 0;
}

/* ---------------------------------------------------------------- the handshake */

int
noise_hello(struct request *r, const void *asked, void *answer)
{
	const Keyd__NoiseHello *q = asked;
	Keyd__NoiseHelloReply *a = answer;
	struct buf hello = BUF_INIT;
	struct noise_slot *s;
	struct noise_chain chain;
	struct noise_ik ik;
	int resume = may_resume(r, &chain, &ik);

	if (find_slot(r->keyd, r->account->number, q->conn) != NULL)
		return request_fail(r, "state", "this connection has begun a handshake already");
	s = free_slot(r->keyd);
	if (noise_begin(&s->hello, NULL, resume ? &ik : NULL, &hello) == -1)
		fatalx("out of memory");
	s->used = 1;
	s->account = r->account->number;
	s->conn = q->conn;
	s->order = ++r->keyd->secrets->noise_order;
	counters[COUNT_NOISE_IK] += (uint64_t)resume;
	a->client_hello = request_bytes(r, hello.data, hello.len);
	buf_clear(&hello);
	return 0;
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

int
noise_finish_verb(struct request *r, const void *asked, void *answer)
{
	const Keyd__NoiseFinish *q = asked;
	Keyd__NoiseFinishReply *a = answer;
	struct noise_slot *s = find_slot(r->keyd, r->account->number, q->conn);
	struct noise_finish_in in = {.s_priv = r->device->noise_priv,
	    .s_pub = r->device->noise_pub,
	    .root = r->keyd->noise_root,
	    .now = clock_wall_ms() / 1000,
	    .server_hello = q->server_hello.data,
	    .server_hello_len = q->server_hello.len,
	    .payload = q->payload.data,
	    .payload_len = q->payload.len};
	struct buf finish = BUF_INIT;
	struct noise_chain chain;
	const char *code;
	int ik;

	if (s == NULL)
		return request_fail(r, "state", "this connection has begun no handshake");
	a->tx_key = request_room(r, 32);
	a->rx_key = request_room(r, 32);
	ik = s->hello.ik;
	code = noise_finish(&s->hello, &in, &finish, a->tx_key.data, a->rx_key.data, &chain);
	note_outcome(r, &chain, ik, s->hello.ik, code == NULL);
	sodium_memzero(s, sizeof(*s)); /* one try, whatever came of it */
	a->client_finish = request_bytes(r, finish.data, finish.len);
	buf_clear(&finish);
	if (code == NULL)
		return 0;
	counters[COUNT_NOISE_REFUSED]++;
	return request_fail(r, code, "%s", error_text(code));
}

int
noise_drop(struct request *r, const void *asked, void *answer)
{
	const Keyd__NoiseDrop *q = asked;
	struct noise_slot *s = find_slot(r->keyd, r->account->number, q->conn);

	if (s == NULL)
		return 0;
	if (s->hello.ik) /* a server that dislikes it says nothing (page 01, 4.2) */
		ik_failed(r->account);
	sodium_memzero(s, sizeof(*s));
	return 0;
}
