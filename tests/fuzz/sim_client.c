/* Fuzz: what a hostile client can send to the simulator: WebSocket frames, Noise hellos and
 * finishes, QR texts, codes, and stanzas of a paired device. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "tests/sim/account.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/noise_server.h"
#include "tests/sim/pair_code.h"
#include "tests/sim/phone.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"
#include "tests/sim/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct noise_identity identity;

static void
fuzz_ws(const uint8_t *data, size_t size)
{
	struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
	struct ws w = {0};
	int fin;

	evbuffer_add(in, data, size);
	while (ws_read(&w, in, out, &fin) >= 0)
		continue;
	if (evbuffer_get_length(out) > size)
		abort();
	evbuffer_free(in);
	evbuffer_free(out);
}

static void
fuzz_noise(const uint8_t *data, size_t size)
{
	struct buf hello = BUF_INIT, payload = BUF_INIT;
	uint8_t priv[32], pub[32];
	struct noise s;

	crypt_keypair(priv, pub);
	if (noise_hello(
		&s, &identity, priv, data, size, NOISE_HONEST, 1800000000, &hello, &payload) == 0)
		noise_finish(&s, data, size, &payload);
	buf_clear(&hello);
	buf_clear(&payload);
}

static void
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), ref[128], code[9];

	if (text == NULL)
		abort();
	if (phone_qr_ref(text, ref, sizeof(ref)) == 0 && ref[0] == '\0')
		abort();
	if (pair_code_normal(text, code) == 0 && strlen(code) != 8)
		abort();
	free(text);
}

/* A stanza of a device, through the routing and all that comes of it. */
static void
fuzz_stanza(const uint8_t *data, size_t size)
{
	struct account_options a = {.name = "alice", .pn = "15550001111", .lid = "100000000000001"},
			       b = {.name = "bob", .pn = "15550002222", .lid = "100000000000002"};
	struct node *n = node_decode(data, size, NULL);
	const char *why;
	struct account *from;

	if (n == NULL)
		return;
	from = account_new(&a, &why);
	account_new(&b, &why);
	if (from == NULL)
		abort();
	node_free(route_phone(account_phone(from), n));
	for (int i = 0; i < 20; i++)
		event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	account_free_all();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int ready;

	if (!ready) {
		rng_seed(1);
		crypt_init();
		noise_identity_new(&identity);
		if (loop_init() != 0)
			abort();
		ready = 1;
	}
	if (size == 0)
		return 0;
	switch (data[0] & 3) {
	case 0:
		fuzz_ws(data + 1, size - 1);
		break;
	case 1:
		fuzz_noise(data + 1, size - 1);
		break;
	case 2:
		fuzz_text(data + 1, size - 1);
		break;
	default:
		fuzz_stanza(data + 1, size - 1);
		break;
	}
	return 0;
}
