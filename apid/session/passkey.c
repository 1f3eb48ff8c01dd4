/* Linking with a passkey, from the request of the service to the encrypted pairing request.
 *
 *	passkey_begin -> (options_came) -> required -> passkey_answer -> ref_came -> prologue_made
 *	-> prologue_answered and passkey_continuation -> nonce_made -> nonce_answered -> confirm
 *	-> (passkey_answer) -> request_made -> request_stored -> request_answered -> (pair-success)
 */
#include "apid/session/passkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/session/ask.h"
#include "apid/session/iq.h"
#include "apid/session/pair_impl.h"
#include "apid/session/passkey_json.h"
#include "apid/session/payload.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"

#define PROGRESS_MS         300000 /* from the prologue on: ephemeral values exist */
#define PROOF_MS            300000 /* so long after the QR code was shown its secret proves something */
#define CONTINUATION_BUDGET 4096u

enum at {
	AT_OPTIONS,  /* the options are asked for */
	AT_REQUIRED, /* the owner is asked for the assertion */
	AT_REF,
	AT_PROLOGUE, /* made, or on its way; the continuation is awaited */
	AT_NONCE,
	AT_CONFIRM, /* the owner is asked for the code */
	AT_REQUEST,
	AT_SUCCESS
};

struct passkey {
	struct flow f;
	struct pair *p;
	struct account *a;
	enum at at;
	struct event *timer;
	struct ask *ask;
	uint64_t iq;
	struct unit *unit;
	int open;
	struct passkey_assertion assertion;
	int proof;                          /* it went out */
	int answered, has_primary;          /* the prologue; the continuation */
	uint8_t primary_pub[32], nonce[32]; /* of the phone */
	char code[10];
	uint8_t payload[256], iv[12]; /* of the pairing request */
	size_t payload_len;
};

static void
passkey_end(struct flow *f, const char *outcome, const char *text)
{
	struct passkey *k = (struct passkey *)f;

	flow_fini(f);
	ask_cancel(k->ask);
	iq_cancel(k->a, k->iq);
	if (k->open)
		unit_abort(k->unit);
	else
		unit_detach(k->unit);
	event_free(k->timer);
	passkey_assertion_clear(&k->assertion);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

static const struct flow_kind passkey_kind = {"passkey", passkey_end};

void
passkey_free(struct passkey *k)
{
	if (k != NULL)
		flow_end(&k->f, "ended", NULL);
}

/* The last thing that is done: the attempt frees this, and shows a fresh QR code. */
static void
failed(struct passkey *k, const char *reason)
{
	pair_passkey_ended(k->p, reason);
}

static void
go_on(struct passkey *k, enum at at, const char *step, int64_t ms)
{
	struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	k->at = at;
	flow_step(&k->f, step);
	evtimer_add(k->timer, &tv);
}

static void
too_late(evutil_socket_t fd, short what, void *arg)
{
	failed(arg, "passkey_expired");
}

/* An iq was not answered well. A lost connection ends the exchange by itself. */
static void
iq_failed(struct passkey *k, const struct iq_answer *r, const char *step)
{
	if (strcmp(r->why, "disconnected") == 0)
		return;
	log_notice(
	    "account %s: the service refused %s (%s, code %u)", k->a->name, step, r->why, r->code);
	failed(k, r->code != 0 ? "passkey_refused" : r->why);
}

/* ------------------------------------------------------------------ options */

/* The owner has so long. */
static void
required(struct passkey *k, json_t *options, int64_t ms)
{
	int64_t until = clock_wall_ms() + ms;

	go_on(k, AT_REQUIRED, "required", ms);
	state_set(k->a, ACCOUNT_PASSKEY_REQUIRED, "passkey", 0, "operator", 0, until);
	pair_say(k->p, "passkey",
	    json_pack("{s:o, s:I}", "options", options, "expires_ms", (json_int_t)until));
}

static json_t *
read_options(const struct node *n, int64_t *ms)
{
	const uint8_t *data;
	size_t len;

	if (node_child_bytes(n, "passkey_request_options", &data, &len) == -1)
		return NULL;
	return passkey_options(data, len, ms);
}

static void
options_came(const struct iq_answer *r, void *arg)
{
	struct passkey *k = arg;
	json_t *options;
	int64_t ms;

	k->iq = 0;
	if (!r->ok)
		iq_failed(k, r, "the passkey options");
	else if ((options = read_options(r->node, &ms)) == NULL)
		failed(k, "bad_options");
	else
		required(k, options, ms);
}

struct passkey *
passkey_begin(struct pair *p, const struct node *n)
{
	struct passkey *k = calloc(1, sizeof(*k));
	json_t *options;
	struct node *iq;
	int64_t ms;

	if (k == NULL || (k->timer = evtimer_new(p->a->svc->base, too_late, k)) == NULL)
		fatal("passkey_begin");
	k->p = p;
	k->a = p->a;
	flow_init(&k->f, p->a->svc->flows, &passkey_kind, p->a->name, NULL, 0);
	if ((options = read_options(n, &ms)) != NULL) {
		required(k, options, ms);
		return k;
	}
	go_on(k, AT_OPTIONS, "options", PROGRESS_MS);
	iq = iq_new("get", "md");
	(void)node_child_new(iq, "passkey_request_options");
	k->iq = iq_request(k->a, iq, IQ_TIMEOUT_MS, options_came, k);
	return k;
}

/* ------------------------------------------------------------------ prologue */

static void nonce_ask(struct passkey *k);

static void
prologue_answered(const struct iq_answer *r, void *arg)
{
	struct passkey *k = arg;

	k->iq = 0;
	if (!r->ok) {
		iq_failed(k, r, "the passkey");
		return;
	}
	k->answered = 1;
	if (k->has_primary)
		nonce_ask(k);
}

static void
prologue_made(const struct reply *rp, void *arg)
{
	struct passkey *k = arg;
	const Keyd__PasskeyBeginReply *m = (const Keyd__PasskeyBeginReply *)rp->pb;
	struct node *iq, *c;

	k->ask = NULL;
	if (!rp->ok) {
		failed(k, "internal");
		return;
	}
	iq = iq_new("set", "md");
	c = node_child_new(iq, "passkey_prologue");
	node_add_bytes(c, "credential_id", k->assertion.id, k->assertion.id_len);
	node_add_bytes(c, "webauthn_assertion", k->assertion.text, strlen(k->assertion.text));
	node_add_bytes(c, "prologue_payload", m->prologue.data, m->prologue.len);
	if (m->has_proof)
		node_add_bytes(c, "pairing_handoff_proof", m->proof.data, m->proof.len);
	k->proof = m->has_proof;
	passkey_assertion_clear(&k->assertion);
	go_on(k, AT_PROLOGUE, "prologue", PROGRESS_MS);
	k->iq = iq_request(k->a, iq, IQ_TIMEOUT_MS, prologue_answered, k);
}

/* The secret proves something if the phone can have it, and the policy lets it stand for the
 * comparison of the codes. */
static int
may_prove(const struct passkey *k)
{
	int64_t shown = pair_secret_shown_ms(k->p);

	return !config_bool(k->a->svc->config, "passkey", "require_code") && shown != 0 &&
	       clock_mono_ms() - shown < PROOF_MS;
}

static void
ref_came(const struct iq_answer *r, void *arg)
{
	struct passkey *k = arg;
	Keyd__PasskeyBegin m = KEYD__PASSKEY_BEGIN__INIT;
	struct payload_client c;
	char ref[REF_MAX + 1];
	const uint8_t *data;
	size_t len;

	k->iq = 0;
	if (!r->ok) {
		iq_failed(k, r, "the pairing ref");
		return;
	}
	if (node_child_bytes(r->node, "ref", &data, &len) == -1 || len == 0 || len > REF_MAX) {
		failed(k, "bad_answer");
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (data[i] <= ' ' || data[i] >= 0x7f) {
			failed(k, "bad_answer");
			return;
		}
	}
	memcpy(ref, data, len);
	ref[len] = '\0';
	payload_client_from_config(k->a->svc->config, &c);
	m.account = k->a->name;
	m.ref = ref;
	m.device_type = c.platform;
	m.proof = may_prove(k);
	go_on(k, AT_REF, "prologue_make", PROGRESS_MS);
	k->ask = ask_keyd(k->a, KEYD__TYPE__PASSKEY_BEGIN, &m.base, KEYD__TYPE__PASSKEY_BEGIN_REPLY,
	    &keyd__passkey_begin_reply__descriptor, 4096, ASK_DEADLINE_MS, prologue_made, k);
}

/* ------------------------------------------------------------------ continuation, nonce */

static void request_ask(struct passkey *k);

/* The code is shown in any case; with the proof the phone needs nobody to compare it. */
static void
confirm(struct passkey *k)
{
	int64_t until = clock_wall_ms() + PROGRESS_MS;

	go_on(k, AT_CONFIRM, "confirm", PROGRESS_MS);
	state_set(
	    k->a, ACCOUNT_PASSKEY_CONFIRM, "passkey", 0, k->proof ? "none" : "operator", 0, until);
	pair_say(k->p, "confirm",
	    json_pack("{s:s, s:b, s:I}", "text", k->code, "handoff_proved", k->proof, "expires_ms",
		(json_int_t)until));
	if (k->proof)
		request_ask(k);
}

static void
nonce_answered(const struct iq_answer *r, void *arg)
{
	struct passkey *k = arg;

	k->iq = 0;
	if (!r->ok)
		iq_failed(k, r, "the nonce");
	else
		confirm(k);
}

static void
nonce_made(const struct reply *rp, void *arg)
{
	struct passkey *k = arg;
	const Keyd__PasskeyContinueReply *m = (const Keyd__PasskeyContinueReply *)rp->pb;
	struct node *iq;

	k->ask = NULL;
	if (!rp->ok || strlen(m->code) != 8) {
		failed(k,
		    !rp->ok && strcmp(rp->code, "bad_key") == 0 ? "bad_continuation" : "internal");
		return;
	}
	(void)snprintf(k->code, sizeof(k->code), "%.4s-%.4s", m->code, m->code + 4);
	iq = iq_new("set", "md");
	node_add_bytes(iq, "companion_nonce", m->nonce.data, m->nonce.len);
	k->iq = iq_request(k->a, iq, IQ_TIMEOUT_MS, nonce_answered, k);
}

static void
nonce_ask(struct passkey *k)
{
	Keyd__PasskeyContinue m = KEYD__PASSKEY_CONTINUE__INIT;

	m.account = k->a->name;
	m.primary_pub = pb_bytes(k->primary_pub, 32);
	m.primary_nonce = pb_bytes(k->nonce, 32);
	go_on(k, AT_NONCE, "nonce", PROGRESS_MS);
	k->ask = ask_keyd(k->a, KEYD__TYPE__PASSKEY_CONTINUE, &m.base,
	    KEYD__TYPE__PASSKEY_CONTINUE_REPLY, &keyd__passkey_continue_reply__descriptor, 4096,
	    ASK_DEADLINE_MS, nonce_made, k);
}

/* PrimaryEphemeralIdentity: 0, or -1. */
static int
read_primary(struct passkey *k, const struct node *n)
{
	struct pb_arena *arena = pb_arena_new(CONTINUATION_BUDGET);
	const Companion__PrimaryEphemeralIdentity *id = NULL;
	const uint8_t *data;
	size_t len;
	int r = -1;

	if (arena != NULL && node_child_bytes(n, "primary_ephemeral_identity", &data, &len) == 0)
		id = pb_unpack(
		    &companion__primary_ephemeral_identity__descriptor, data, len, arena, 0, NULL);
	if (id != NULL && id->has_public_key && id->public_key.len == 32 && id->has_nonce &&
	    id->nonce.len == 32) {
		memcpy(k->primary_pub, id->public_key.data, 32);
		memcpy(k->nonce, id->nonce.data, 32);
		r = 0;
	}
	pb_arena_free(arena);
	return r;
}

void
passkey_continuation(struct passkey *k, const struct node *n)
{
	if (k->at != AT_PROLOGUE || k->has_primary) {
		log_notice("account %s: a continuation that nobody waits for", k->a->name);
		return;
	}
	if (read_primary(k, n) == -1) {
		failed(k, "bad_continuation");
		return;
	}
	k->has_primary = 1;
	if (k->answered)
		nonce_ask(k);
}

/* ------------------------------------------------------------------ pairing request */

static void
request_answered(const struct iq_answer *r, void *arg)
{
	struct passkey *k = arg;

	k->iq = 0;
	if (!r->ok)
		iq_failed(k, r, "the pairing request");
	else
		go_on(k, AT_SUCCESS, "success", PROGRESS_MS);
}

static void
request_stored(const struct unit_result *r, void *arg)
{
	struct passkey *k = arg;
	Companion__EncryptedPairingRequest m = COMPANION__ENCRYPTED_PAIRING_REQUEST__INIT;
	struct buf packed = BUF_INIT;
	struct node *iq;

	k->unit = NULL;
	m.has_encrypted_payload = m.has_iv = 1;
	m.encrypted_payload = pb_bytes(k->payload, k->payload_len);
	m.iv = pb_bytes(k->iv, sizeof(k->iv));
	if (!r->ok || pb_put(&m.base, &packed) == -1) {
		buf_clear(&packed);
		failed(k, "store");
		return;
	}
	iq = iq_new("set", "md");
	node_add_bytes(iq, "encrypted_pairing_request", packed.data, packed.len);
	buf_clear(&packed);
	k->iq = iq_request(k->a, iq, IQ_TIMEOUT_MS, request_answered, k);
}

static void
request_made(const struct reply *rp, void *arg)
{
	struct passkey *k = arg;
	const Keyd__PasskeySealReply *m = (const Keyd__PasskeySealReply *)rp->pb;

	k->ask = NULL;
	if (!rp->ok || m->payload.len > sizeof(k->payload) || m->iv.len != sizeof(k->iv)) {
		failed(k,
		    !rp->ok && strcmp(rp->code, "expired") == 0 ? "passkey_expired" : "internal");
		return;
	}
	memcpy(k->payload, m->payload.data, m->payload.len);
	k->payload_len = m->payload.len;
	memcpy(k->iv, m->iv.data, sizeof(k->iv));
	unit_staged(k->unit, m->stages);
	k->open = 0;
	unit_commit(k->unit, request_stored, k); /* the pending secret before the phone gets it */
}

static void
request_ask(struct passkey *k)
{
	Keyd__PasskeySeal m = KEYD__PASSKEY_SEAL__INIT;

	if ((k->unit = unit_open(k->a)) == NULL) {
		failed(k, "internal");
		return;
	}
	k->open = 1;
	m.account = k->a->name;
	m.unit = unit_id(k->unit);
	go_on(k, AT_REQUEST, "request", PROGRESS_MS);
	k->ask = ask_keyd(k->a, KEYD__TYPE__PASSKEY_SEAL, &m.base, KEYD__TYPE__PASSKEY_SEAL_REPLY,
	    &keyd__passkey_seal_reply__descriptor, 4096, ASK_DEADLINE_MS, request_made, k);
}

/* ------------------------------------------------------------------ what a person says */

static int
take_assertion(struct passkey *k, const json_t *response, struct api_error *e)
{
	struct node *iq;

	if (k->at != AT_REQUIRED) {
		*e = k->at == AT_CONFIRM
			 ? api_error_make(-6, "passkey_confirm", 0, "the code is to be confirmed")
			 : api_error_make(-9, "conflict", 1, "no passkey is waited for now");
		return -1;
	}
	if ((e->path = passkey_assertion(response, &k->assertion)) != NULL) {
		const char *path = e->path;

		*e = api_error_make(-32602, "params", 0, "not as an authenticator gives it");
		e->path = path;
		return -1;
	}
	iq = iq_new("get", "md");
	(void)node_child_new(iq, "ref");
	go_on(k, AT_REF, "ref", PROGRESS_MS);
	state_set(k->a, ACCOUNT_PASSKEY_REQUIRED, "passkey_given", 0, "open_phone", 0,
	    clock_wall_ms() + PROGRESS_MS);
	k->iq = iq_request(k->a, iq, IQ_TIMEOUT_MS, ref_came, k);
	return 0;
}

static int
take_confirm(struct passkey *k, int yes, struct api_error *e)
{
	if (k->at != AT_CONFIRM || k->proof) {
		*e = k->at == AT_REQUIRED
			 ? api_error_make(-6, "passkey_required", 0, "the passkey comes first")
			 : api_error_make(-9, "conflict", 1, "no code is to be confirmed now");
		return -1;
	}
	if (!yes) {
		failed(k, "code_rejected");
		return 0;
	}
	state_set(k->a, ACCOUNT_PASSKEY_CONFIRM, "passkey_confirmed", 0, "none", 0,
	    clock_wall_ms() + PROGRESS_MS);
	request_ask(k);
	return 0;
}

int
passkey_answer(struct passkey *k, const json_t *response, int yes, struct api_error *e)
{
	return response != NULL ? take_assertion(k, response, e) : take_confirm(k, yes, e);
}
