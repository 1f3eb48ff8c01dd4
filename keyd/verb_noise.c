/* netd's verbs: a Noise handshake, of which netd gets the messages and, at its end, the traffic
 * keys. */
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

static void
run_hello(struct request *r)
{
	const Keyd__NoiseHello *q = (const Keyd__NoiseHello *)r->pb;
	Keyd__NoiseHelloReply a = KEYD__NOISE_HELLO_REPLY__INIT;
	struct buf hello = BUF_INIT;
	struct noise_slot *s;

	if (find_slot(r->keyd, r->account->number, q->conn) != NULL) {
		request_error(r, "state", "this connection has begun a handshake already");
		return;
	}
	s = free_slot(r->keyd);
	if (noise_begin(&s->hello, NULL, &hello) == -1)
		fatalx("out of memory");
	s->used = 1;
	s->account = r->account->number;
	s->conn = q->conn;
	s->order = ++r->keyd->secrets->noise_order;
	counters[COUNT_NOISE_HELLO]++;
	a.client_hello = pb_bytes(hello.data, hello.len);
	request_reply(r, KEYD__TYPE__NOISE_HELLO_REPLY, &a.base);
	buf_clear(&hello);
}

const struct verb verb_noise_hello = {
    KEYD__TYPE__NOISE_HELLO, VERB_NO_RECORD, NULL, NULL, run_hello};

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
	uint8_t tx[32], rx[32];
	const char *code;

	if (s == NULL) {
		request_error(r, "state", "this connection has begun no handshake");
		return;
	}
	in.s_priv = r->device->noise_priv;
	in.s_pub = r->device->noise_pub;
	code = noise_finish(&s->hello, &in, &finish, tx, rx);
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

	if (s != NULL)
		sodium_memzero(s, sizeof(*s));
}

const struct verb verb_noise_drop = {KEYD__TYPE__NOISE_DROP, VERB_NO_RECORD, NULL, NULL, run_drop};
