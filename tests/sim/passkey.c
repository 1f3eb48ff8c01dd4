/* The service asks for a passkey before it links a device: options, the assertion, and the exchange
 * between companion and phone that it passes on. */
#include "tests/sim/passkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/nodes.h"
#include "tests/sim/pairing.h"
#include "tests/sim/phone_passkey.h"
#include "tests/sim/rng.h"
#include "tests/sim/stanza_log.h"

#define ORIGIN "https://web.whatsapp.com"

static char forge[16] = "none";

int
passkey_forge(const char *what)
{
	static const char *const known[] = {"none", "no_options", "bad_options", "refuse", "silent",
	    "early", "short_key", "zero_key", "stranger", "nonce", "proof", "twice", "again",
	    "lose_request"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(what, known[i]) == 0) {
			snprintf(forge, sizeof(forge), "%s", what);
			return 0;
		}
	return -1;
}

/* Whether that is to go wrong now; it does so once. */
static int
forged(const char *what)
{
	if (strcmp(forge, what) != 0)
		return 0;
	snprintf(forge, sizeof(forge), "none");
	return 1;
}

/* ------------------------------------------------------------------ base64url */

static char *
b64url(const void *data, size_t len)
{
	size_t size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char *text = malloc(size);

	if (text == NULL)
		fatal("passkey");
	(void)sodium_bin2base64(text, size, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return text;
}

static json_t *
json_b64url(const void *data, size_t len)
{
	char *text = b64url(data, len);
	json_t *v = json_string(text);

	free(text);
	return v;
}

static size_t
unb64url(const json_t *v, uint8_t *out, size_t max)
{
	size_t n = 0;

	if (!json_is_string(v) ||
	    sodium_base642bin(out, max, json_string_value(v), json_string_length(v), NULL, &n, NULL,
		sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return 0;
	return n;
}

/* ------------------------------------------------------------------ the authenticator */

void
passkey_gate(struct account *a, int on)
{
	static const uint8_t none[sizeof(a->passkey_id)];

	a->passkey = on;
	if (!on || memcmp(a->passkey_id, none, sizeof(none)) != 0)
		return;
	crypt_keypair(a->passkey_priv, a->passkey_pub);
	rng_bytes(a->passkey_id, sizeof(a->passkey_id));
}

/* Signs as its device would, but for the curve: authenticatorData and the hash of the client data.
 */
json_t *
passkey_assert(struct account *a, const json_t *options, const char *wrong)
{
	const char *challenge = json_string_value(json_object_get(options, "challenge"));
	static const uint8_t flags[5] = {5, 0, 0, 0, 1}; /* user present, verified; a counter */
	uint8_t signed_bytes[37 + 32], sig[64];
	char *client;
	json_t *o;

	if (challenge == NULL ||
	    asprintf(&client,
		"{\"type\":\"webauthn.get\",\"challenge\":\"%s\",\"origin\":"
		"\"" ORIGIN "\",\"crossOrigin\":false}",
		wrong != NULL && strcmp(wrong, "challenge") == 0 ? "AAAA" : challenge) < 0)
		return NULL;
	crypt_sha256("whatsapp.com", 12, signed_bytes);
	memcpy(signed_bytes + 32, flags, sizeof(flags));
	crypt_sha256(client, strlen(client), signed_bytes + 37);
	crypt_sign(a->passkey_priv, signed_bytes, sizeof(signed_bytes), sig);
	if (wrong != NULL && strcmp(wrong, "signature") == 0)
		sig[5] ^= 1;
	o = json_pack("{s:o, s:o, s:s, s:s, s:{}, s:{s:o, s:o, s:o, s:n}}", "id",
	    json_b64url(a->passkey_id, sizeof(a->passkey_id)), "rawId",
	    json_b64url(a->passkey_id, sizeof(a->passkey_id)), "type", "public-key",
	    "authenticatorAttachment", "platform", "clientExtensionResults", "response",
	    "clientDataJSON", json_b64url(client, strlen(client)), "authenticatorData",
	    json_b64url(signed_bytes, 37), "signature", json_b64url(sig, 64), "userHandle");
	free(client);
	return o;
}

/* The service's check of it. */
static int
assertion_good(const struct account *a, const struct passkey_gate *g, const uint8_t *text,
    size_t len, const uint8_t *id, size_t id_len)
{
	json_t *o = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL), *client;
	const json_t *r = json_object_get(o, "response");
	uint8_t data[1024], bytes[37 + 32], sig[64], raw[64];
	size_t n = unb64url(json_object_get(r, "clientDataJSON"), data, sizeof(data));
	const char *challenge, *origin;
	int good;

	client = n > 0 ? json_loadb((const char *)data, n, 0, NULL) : NULL;
	challenge = json_string_value(json_object_get(client, "challenge"));
	origin = json_string_value(json_object_get(client, "origin"));
	crypt_sha256(data, n, bytes + 37);
	good = json_object_size(o) == 4 && id_len == sizeof(a->passkey_id) &&
	       memcmp(id, a->passkey_id, id_len) == 0 &&
	       unb64url(json_object_get(o, "rawId"), raw, sizeof(raw)) == id_len &&
	       memcmp(raw, id, id_len) == 0 && challenge != NULL &&
	       strcmp(challenge, g->challenge) == 0 && origin != NULL &&
	       strcmp(origin, ORIGIN) == 0 &&
	       unb64url(json_object_get(r, "authenticatorData"), bytes, 37) == 37 &&
	       unb64url(json_object_get(r, "signature"), sig, 64) == 64 &&
	       crypt_verify(a->passkey_pub, bytes, sizeof(bytes), sig) == 0;
	json_decref(client);
	json_decref(o);
	return good;
}

/* ------------------------------------------------------------------ asking */

static void
put_options(struct node *parent, const struct passkey_gate *g)
{
	char *text;

	if (asprintf(&text,
		"{\"challenge\":\"%s\",\"timeout\":600000,\"rpId\":\"whatsapp.com\","
		"\"allowCredentials\":[],\"userVerification\":\"required\",\"extensions\":{\"uvm\":"
		"true}}",
		g->challenge) < 0)
		fatal("passkey");
	node_add_bytes(parent, "passkey_request_options", text, strlen(text));
	free(text);
}

static void
send_request(struct conn *c, struct passkey_gate *g)
{
	struct node *n = route_notification("passkey_prologue_request");
	uint8_t raw[32];
	char *text;

	rng_bytes(raw, sizeof(raw));
	text = b64url(raw, sizeof(raw));
	snprintf(g->challenge, sizeof(g->challenge), "%s", text);
	free(text);
	g->step = 1;
	if (forged("bad_options"))
		node_add_bytes(n, "passkey_request_options", "{\"challenge\":\"=\"}", 17);
	else if (!forged("no_options"))
		put_options(n, g);
	conn_send(c, n);
	node_free(n);
}

void
passkey_ask(struct conn *c, struct account *a)
{
	struct passkey_gate *g = pairing_gate(c);

	g->account = a;
	send_request(c, g);
	if (forged("early"))
		passkey_continue(c, a->phone, 32);
	if (forged("again"))
		send_request(c, g); /* a second takes the place of the first */
}

/* ------------------------------------------------------------------ the exchange */

/* The phone's half for the companion. */
void
passkey_continue(struct conn *c, struct phone *p, size_t key_len)
{
	Companion__PrimaryEphemeralIdentity id = COMPANION__PRIMARY_EPHEMERAL_IDENTITY__INIT;
	struct node *n = route_notification("crsc_continuation");
	uint8_t pub[32] = {0}, nonce[32], priv[32], *bytes;
	size_t len;

	phone_passkey_public(p, pub, nonce);
	if (forged("stranger"))
		crypt_keypair(priv, pub);
	if (forged("zero_key"))
		memset(pub, 0, sizeof(pub));
	if (forged("short_key"))
		key_len = 31;
	id.has_public_key = id.has_nonce = 1;
	id.public_key = pb_bytes(pub, key_len);
	id.nonce = pb_bytes(nonce, 32);
	if ((bytes = pb_pack(&id.base, &len)) == NULL)
		fatal("passkey");
	node_add_bytes(n, "primary_ephemeral_identity", bytes, len);
	free(bytes);
	conn_send(c, n);
	if (forged("twice"))
		conn_send(c, n);
	node_free(n);
}

static void
prologue(struct origin *o, struct passkey_gate *g, const struct node *iq, const struct node *p)
{
	const uint8_t *id, *text, *payload, *proof = NULL;
	size_t id_len, text_len, len, proof_len = 0;
	uint8_t changed[32];

	if (g->step != 1 || node_child_bytes(p, "credential_id", &id, &id_len) != 0 ||
	    node_child_bytes(p, "webauthn_assertion", &text, &text_len) != 0 ||
	    node_child_bytes(p, "prologue_payload", &payload, &len) != 0 || forged("refuse") ||
	    !assertion_good(g->account, g, text, text_len, id, id_len)) {
		route_error(o, iq, 403);
		return;
	}
	(void)node_child_bytes(p, "pairing_handoff_proof", &proof, &proof_len);
	if (proof_len == 32 && forged("proof")) {
		memcpy(changed, proof, 32);
		changed[0] ^= 1;
		proof = changed;
	}
	if (phone_passkey_prologue(g->account->phone, payload, len, proof, proof_len) != 0) {
		route_error(o, iq, 400);
		return;
	}
	g->step = 2;
	route_result(o, iq);
	if (!forged("silent"))
		passkey_continue(o->conn, g->account->phone, 32);
}

static void
nonce(struct origin *o, struct passkey_gate *g, const struct node *iq)
{
	uint8_t n[32];

	if (g->step != 2 || nodes_fixed(iq, "companion_nonce", n, 32) != 0) {
		route_error(o, iq, 400);
		return;
	}
	if (forged("nonce"))
		n[0] ^= 1;
	g->step = 3;
	phone_passkey_nonce(g->account->phone, n);
	route_result(o, iq);
}

static void
request(struct origin *o, struct passkey_gate *g, const struct node *iq)
{
	const uint8_t *data;
	size_t len;

	if (g->step != 3 || node_child_bytes(iq, "encrypted_pairing_request", &data, &len) != 0) {
		route_error(o, iq, 400);
		return;
	}
	if (forged("lose_request")) {
		conn_end(o->conn, "the pairing request is lost");
		return;
	}
	g->step = 0;
	if (phone_passkey_request(g->account->phone, data, len) != 0) {
		route_error(o, iq, 406); /* the phone does not open it, or its owner refused */
		return;
	}
	route_result(o, iq);
	phone_passkey_link(g->account->phone);
}

int
passkey_stanza(struct origin *o, const struct node *iq)
{
	struct passkey_gate *g = pairing_gate(o->conn);
	const struct node *c;
	struct node *answer;

	if (g == NULL || g->account == NULL)
		return 0;
	if (node_child(iq, "passkey_request_options") != NULL) {
		answer = nodes_result(iq);
		put_options(answer, g);
		route_reply(o, answer);
	} else if (node_child(iq, "ref") != NULL) {
		const char *ref = pairing_own_ref(o->conn);

		answer = nodes_result(iq);
		node_add_bytes(answer, "ref", ref, strlen(ref));
		route_reply(o, answer);
	} else if ((c = node_child(iq, "passkey_prologue")) != NULL) {
		prologue(o, g, iq, c);
	} else if (node_child(iq, "companion_nonce") != NULL) {
		nonce(o, g, iq);
	} else if (node_child(iq, "encrypted_pairing_request") != NULL) {
		request(o, g, iq);
	} else {
		return 0;
	}
	return 1;
}
