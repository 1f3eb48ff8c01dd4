/* Linking by phone number and code.
 *
 *	pair_code_begin -> code_made -> hello_answered -> (primary_hello) -> finish_made ->
 *finish_stored
 *	-> finish_answered -> (pair-success)
 */
#include "apid/session/pair_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/ask.h"
#include "apid/session/iq.h"
#include "apid/session/payload.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define CODE_MS     180000
#define FINISH_MS   60000
#define IQ_CODE_MS  30000u
#define WRAPPED_LEN 80u
#define BUNDLE_LEN  156u

struct pair_code {
	struct account *a;
	char phone[32], own[9], code[9];
	uint8_t ref[REF_MAX];
	size_t ref_len;
	int finishing;
	int64_t until_ms;  /* the code is good until then: counted from before the first iq */
	int64_t agreed_ms; /* monotonic: the secret of both sides was made; 0 = not yet */
	struct ask *ask;
	struct unit *unit;
	int open;
	uint64_t iq;
	struct event *timer;
	uint8_t bundle[BUNDLE_LEN], identity[32];
	pair_code_fn *fn;
	void *arg;
};

int
pair_code_phone(const char *text, char buf[32])
{
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p >= '0' && *p <= '9') {
			if (n == 20)
				return -1;
			buf[n++] = *p;
		} else if (strchr("+ -()./", *p) == NULL) {
			return -1;
		}
	}
	buf[n] = '\0';
	return n < 7 || buf[0] == '0' ? -1 : 0;
}

static void
drop_work(struct pair_code *p)
{
	ask_cancel(p->ask);
	iq_cancel(p->a, p->iq);
	if (p->open)
		unit_abort(p->unit);
	else
		unit_detach(p->unit);
	p->ask = NULL;
	p->unit = NULL;
	p->iq = 0;
	p->open = 0;
}

void
pair_code_free(struct pair_code *p)
{
	if (p == NULL)
		return;
	drop_work(p);
	event_free(p->timer);
	free(p);
}

int
pair_code_finishing(const struct pair_code *p)
{
	return p->finishing;
}

int64_t
pair_code_agreed_ms(const struct pair_code *p)
{
	return p->agreed_ms;
}

/* The last thing that is done: the attempt frees this. */
static void
failed(struct pair_code *p, const char *reason)
{
	p->fn(p->a, "error", reason, 0, p->arg);
}

static void
expired(evutil_socket_t fd, short what, void *arg)
{
	failed(arg, "code_expired");
}

static void
arm(struct pair_code *p, int ms)
{
	struct timeval tv = {ms / 1000, 0};

	evtimer_add(p->timer, &tv);
}

/* ------------------------------------------------------------------ companion_hello */

/* What the service says to a hello that it does not take (page 12, 2.2). */
static void
hello_refused(struct pair_code *p, const struct iq_answer *r)
{
	static const struct {
		unsigned code;
		const char *reason;
	} words[] = {{403, "code_forbidden"}, {429, "rate_limited"}, {452, "code_unavailable"},
	    {500, "server_error"}};
	const char *reason = r->code == 0 ? r->why : "code_refused";
	int64_t s = r->backoff_s;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].code == r->code)
			reason = words[i].reason;
	p->fn(p->a, "error", reason, s > 0 ? clock_wall_ms() + s * 1000 : 0, p->arg);
}

static void
hello_answered(const struct iq_answer *r, void *arg)
{
	struct pair_code *p = arg;
	const struct node *reg;
	const uint8_t *ref;
	size_t len;
	char shown[10];

	p->iq = 0;
	if (!r->ok) {
		hello_refused(p, r);
		return;
	}
	reg = node_child(r->node, "link_code_companion_reg");
	if (reg == NULL || node_child_bytes(reg, "link_code_pairing_ref", &ref, &len) == -1 ||
	    len == 0 || len > REF_MAX) {
		failed(p, "bad_answer");
		return;
	}
	memcpy(p->ref, ref, len);
	p->ref_len = len;
	(void)snprintf(shown, sizeof(shown), "%.4s-%.4s", p->code, p->code + 4);
	p->fn(p->a, "code", shown, p->until_ms, p->arg);
}

static struct node *
reg_node(const struct pair_code *p, const char *stage)
{
	struct node *reg = node_new("link_code_companion_reg");
	struct jid jid;

	if (jid_make(&jid, p->phone, JID_PN, 0) == 0)
		node_set_jid(reg, "jid", &jid);
	node_set(reg, "stage", stage);
	return reg;
}

static void
code_made(const struct reply *rp, void *arg)
{
	struct pair_code *p = arg;
	const Keyd__PairCodeReply *m = (const Keyd__PairCodeReply *)rp->pb;
	struct node *iq, *reg;
	struct payload_client c;
	char type[2] = {0};
	uint8_t nonce = 0;

	p->ask = NULL;
	if (!rp->ok || strlen(m->code) != 8 || m->wrapped_ephemeral.len != WRAPPED_LEN) {
		failed(p, "internal");
		return;
	}
	memcpy(p->code, m->code, 9);
	payload_client_from_config(p->a->svc->config, &c);
	type[0] = payload_client_type(c.platform);
	iq = iq_new("set", "md");
	reg = reg_node(p, "companion_hello");
	node_set(reg, "should_show_push_notification", "true");
	node_add_bytes(reg, "link_code_pairing_wrapped_companion_ephemeral_pub",
	    m->wrapped_ephemeral.data, m->wrapped_ephemeral.len);
	node_add_bytes(reg, "companion_server_auth_key_pub", p->a->dev.noise_pub, 32);
	node_add_bytes(reg, "companion_platform_id", type, 1);
	node_add_bytes(reg, "companion_platform_display", c.display, strlen(c.display));
	node_add_bytes(reg, "link_code_pairing_nonce", &nonce, 1);
	node_add(iq, reg);
	p->until_ms = clock_wall_ms() + CODE_MS;
	arm(p, CODE_MS);
	p->iq = iq_request(p->a, iq, IQ_CODE_MS, hello_answered, p);
}

static void
begin(struct pair_code *p)
{
	Keyd__PairCode m = KEYD__PAIR_CODE__INIT;

	p->finishing = 0;
	p->agreed_ms = 0;
	p->ref_len = 0;
	m.account = p->a->name;
	m.code = p->own[0] != '\0' ? p->own : NULL;
	p->ask = ask_keyd(p->a, KEYD__TYPE__PAIR_CODE, &m.base, KEYD__TYPE__PAIR_CODE_REPLY,
	    &keyd__pair_code_reply__descriptor, 4096, ASK_DEADLINE_MS, code_made, p);
}

struct pair_code *
pair_code_begin(struct account *a, const char *phone, const char *code, pair_code_fn *fn, void *arg)
{
	struct pair_code *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->timer = evtimer_new(a->svc->base, expired, p)) == NULL)
		fatal("pair_code_begin");
	p->a = a;
	p->fn = fn;
	p->arg = arg;
	(void)snprintf(p->phone, sizeof(p->phone), "%s", phone);
	(void)snprintf(p->own, sizeof(p->own), "%s", code != NULL ? code : "");
	begin(p);
	return p;
}

/* ------------------------------------------------------------------ primary_hello, finish */

static void
finish_answered(const struct iq_answer *r, void *arg)
{
	struct pair_code *p = arg;

	p->iq = 0;
	if (!r->ok && r->code != 0)
		failed(p, "code_rejected"); /* an answer that does not come ends nothing */
}

static void
finish_stored(const struct unit_result *r, void *arg)
{
	struct pair_code *p = arg;
	struct node *iq, *reg;

	p->unit = NULL;
	p->agreed_ms = clock_mono_ms();
	if (!r->ok) {
		failed(p, "store");
		return;
	}
	iq = iq_new("set", "md");
	reg = reg_node(p, "companion_finish");
	node_add_bytes(reg, "link_code_pairing_wrapped_key_bundle", p->bundle, BUNDLE_LEN);
	node_add_bytes(reg, "companion_identity_public", p->identity, 32);
	node_add_bytes(reg, "link_code_pairing_ref", p->ref, p->ref_len);
	node_add(iq, reg);
	p->iq = iq_request(p->a, iq, IQ_CODE_MS, finish_answered, p);
}

static void
finish_made(const struct reply *rp, void *arg)
{
	struct pair_code *p = arg;
	const Keyd__PairCodeFinishReply *m = (const Keyd__PairCodeFinishReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok) {
		if (strcmp(rp->code, "code_expired") == 0 || strcmp(rp->code, "code_tries") == 0)
			failed(p, rp->code);
		else
			failed(p, strcmp(rp->code, "bad_key") == 0 ? "code_rejected" : "internal");
		return;
	}
	if (m->wrapped_bundle.len != BUNDLE_LEN || m->identity_pub.len != 32) {
		failed(p, "internal");
		return;
	}
	memcpy(p->bundle, m->wrapped_bundle.data, BUNDLE_LEN);
	memcpy(p->identity, m->identity_pub.data, 32);
	unit_staged(p->unit, m->stages);
	p->open = 0;
	unit_commit(p->unit, finish_stored, p); /* the new ADV secret before the answer */
}

static void
primary_hello(struct pair_code *p, const struct node *reg)
{
	Keyd__PairCodeFinish m = KEYD__PAIR_CODE_FINISH__INIT;
	const uint8_t *wrapped, *identity;
	size_t wlen, ilen;

	if (node_child_bytes(
		reg, "link_code_pairing_wrapped_primary_ephemeral_pub", &wrapped, &wlen) == -1) {
		log_info("account %s: the phone goes over to a passkey", p->a->name);
		return; /* the code stays until the request for it comes */
	}
	if (wlen != WRAPPED_LEN ||
	    node_child_bytes(reg, "primary_identity_pub", &identity, &ilen) == -1 || ilen != 32) {
		log_notice("account %s: a primary_hello that lacks its keys", p->a->name);
		return;
	}
	drop_work(p);
	if ((p->unit = unit_open(p->a)) == NULL) {
		failed(p, "internal");
		return;
	}
	p->open = 1;
	p->finishing = 1;
	arm(p, FINISH_MS);
	m.account = p->a->name;
	m.unit = unit_id(p->unit);
	m.wrapped_primary = pb_bytes(wrapped, wlen);
	m.primary_identity = pb_bytes(identity, ilen);
	p->ask = ask_keyd(p->a, KEYD__TYPE__PAIR_CODE_FINISH, &m.base,
	    KEYD__TYPE__PAIR_CODE_FINISH_REPLY, &keyd__pair_code_finish_reply__descriptor, 4096,
	    ASK_DEADLINE_MS, finish_made, p);
}

void
pair_code_notification(struct pair_code *p, const struct node *n)
{
	const struct node *reg = node_child(n, "link_code_companion_reg");
	const char *stage = reg == NULL ? NULL : node_get(reg, "stage");
	const uint8_t *ref;
	size_t len;

	if (stage == NULL || p->ref_len == 0 ||
	    node_child_bytes(reg, "link_code_pairing_ref", &ref, &len) == -1 || len != p->ref_len ||
	    memcmp(ref, p->ref, len) != 0)
		return; /* of another attempt */
	if (strcmp(stage, "primary_hello") == 0) {
		primary_hello(p, reg);
	} else if (strcmp(stage, "refresh_code") == 0) {
		const char *manual = node_get(reg, "force_manual_refresh");

		if (manual != NULL && strcmp(manual, "true") == 0) {
			failed(p, "code_expired"); /* a person is to ask for the next one */
			return;
		}
		drop_work(p);
		p->own[0] = '\0'; /* a code is used once */
		begin(p);
	}
}
