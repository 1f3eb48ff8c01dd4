/* Linking, while its connection lasts: refs and QR codes, the secret in them, and what the service
 * tells meanwhile.
 *
 *	pair_device -> qr_show -> qr_made … -> pair_success (session/pair_success.c)
 */
#include <string.h>

#include "apid/session/ask.h"
#include "apid/session/connect.h"
#include "apid/session/pair_code.h"
#include "apid/session/pair_impl.h"
#include "apid/session/passkey.h"
#include "apid/session/payload.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define QR_FIRST_MS 60000
#define QR_NEXT_MS  20000

static void qr_show(struct pair *p);

void
pair_qr_over(evutil_socket_t fd, short what, void *arg)
{
	struct pair *p = arg;

	if (!p->running || p->nrefs == 0 || p->passkey != NULL)
		return;
	if (p->code != NULL && pair_code_finishing(p->code))
		return; /* pair-success is awaited: the code ends it */
	if (++p->at >= p->nrefs) {
		pair_failed(p->a, "qr_expired");
		return;
	}
	qr_show(p);
}

/* ------------------------------------------------------------------ pair-device, QR */

static void
qr_made(const struct reply *rp, void *arg)
{
	struct pair *p = arg;

	p->ask = NULL;
	if (!rp->ok) {
		pair_failed(p->a, "internal");
		return;
	}
	p->shown_ms = clock_mono_ms();
	pair_tell(p, "qr", ((const Keyd__PairQrReply *)rp->pb)->text, p->expires_ms, NULL);
}

/* Draw the current ref (again). */
static void
qr_draw(struct pair *p)
{
	Keyd__PairQr m = KEYD__PAIR_QR__INIT;
	struct payload_client c;
	char type[2] = {0};

	payload_client_from_config(p->a->svc->config, &c);
	type[0] = payload_client_type(c.platform);
	m.account = p->a->name;
	m.ref.data = p->refs[p->at];
	m.ref.len = p->ref_len[p->at];
	m.client_type = type;
	ask_cancel(p->ask);
	p->ask = ask_keyd(p->a, KEYD__TYPE__PAIR_QR, &m.base, KEYD__TYPE__PAIR_QR_REPLY,
	    &keyd__pair_qr_reply__descriptor, 4096, ASK_DEADLINE_MS, qr_made, p);
}

static void
qr_show(struct pair *p)
{
	int ms = p->at == 0 ? QR_FIRST_MS : QR_NEXT_MS;
	struct timeval tv = {ms / 1000, 0};

	p->expires_ms = clock_wall_ms() + ms;
	evtimer_add(p->timer, &tv);
	if (p->unit == NULL)
		qr_draw(p);
}

int64_t
pair_secret_shown_ms(const struct pair *p)
{
	return p->code != NULL ? pair_code_agreed_ms(p->code) : p->shown_ms;
}

static void
code_step(struct account *a, const char *step, const char *text, int64_t ms, void *arg)
{
	struct pair *p = arg;

	if (strcmp(step, "code") == 0) {
		pair_tell(p, "code", text, ms, NULL);
		return;
	}
	if (p->passkey != NULL && strcmp(text, "code_expired") == 0)
		return; /* the phone went on to the passkey: that has its own time */
	p->code_after_ms = ms;
	pair_failed_until(a, text, ms);
}

static int
ref_ok(const struct node *c)
{
	if (!node_is(c, "ref") || !c->has_bytes || c->nbytes == 0 || c->nbytes > REF_MAX)
		return 0;
	for (size_t i = 0; i < c->nbytes; i++)
		if (c->bytes[i] < 0x20 || c->bytes[i] == 0x7f || c->bytes[i] == ',')
			return 0;
	return 1;
}

static void
answer_iq(struct account *a, const struct node *n)
{
	struct node *r = node_new("iq");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "result");
	node_set(r, "id", node_get(n, "id"));
	(void)stanza_send(a, r);
}

static void
pair_device(struct account *a, const struct node *n, const struct node *dev)
{
	struct pair *p = a->pair;

	answer_iq(a, n);
	if (!p->running)
		return;
	pair_drop_refs(p); /* a second one replaces the refs */
	for (size_t i = 0; i < dev->nchildren && p->nrefs < REFS_MAX; i++) {
		const struct node *c = dev->children[i];

		if (!ref_ok(c))
			continue;
		memcpy(p->refs[p->nrefs], c->bytes, c->nbytes);
		p->ref_len[p->nrefs++] = c->nbytes;
	}
	if (p->nrefs == 0) {
		pair_failed(a, "no_refs");
		return;
	}
	if (p->by_code)
		p->code = pair_code_begin(
		    a, p->phone, p->own_code[0] != '\0' ? p->own_code : NULL, code_step, p);
	else
		qr_show(p);
}

/* ------------------------------------------------------------------ a new secret */

/* What was shown cannot be used again: the next ref, another code; or new refs. */
static void
show_next(struct pair *p)
{
	p->next = 0;
	if (p->by_code) {
		pair_code_free(p->code);
		p->code = pair_code_begin(p->a, p->phone, NULL, code_step, p);
	} else if (++p->at < p->nrefs) {
		qr_show(p);
	} else {
		connect_restart(p->a, 0);
	}
}

static void
renew_stored(const struct unit_result *r, void *arg)
{
	struct pair *p = arg;

	p->unit = NULL;
	if (!r->ok) {
		pair_failed(p->a, "store");
		return;
	}
	if (p->pending != NULL && p->conn == p->a->conn)
		stanza_ack(p->a, p->pending, 0);
	node_free(p->pending);
	p->pending = NULL;
	if (p->again)
		pair_renew(p);
	else if (p->nrefs == 0)
		return; /* the next connection brings some */
	else if (p->next)
		show_next(p);
	else if (!p->by_code)
		qr_draw(p); /* the same ref with its timer, under the new secret */
}

static void
renewed(const struct reply *rp, void *arg)
{
	struct pair *p = arg;

	p->ask = NULL;
	if (!rp->ok) {
		pair_failed(p->a, "internal");
		return;
	}
	unit_staged(p->unit, ((const Keyd__Staged *)rp->pb)->stages);
	p->open = 0;
	unit_commit(p->unit, renew_stored, p);
}

void
pair_renew(struct pair *p)
{
	Keyd__PairRefresh m = KEYD__PAIR_REFRESH__INIT;

	p->again = p->unit != NULL; /* behind the one that is under way */
	if (p->again)
		return;
	ask_cancel(p->ask); /* a QR under the old secret is of no use */
	p->ask = NULL;
	if ((p->unit = unit_open(p->a)) == NULL) {
		pair_failed(p->a, "internal");
		return;
	}
	p->open = 1;
	m.account = p->a->name;
	m.unit = unit_id(p->unit);
	p->ask = ask_keyd(p->a, KEYD__TYPE__PAIR_REFRESH, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, renewed, p);
}

/* ------------------------------------------------------------------ passkey */

void
pair_passkey_ended(struct pair *p, const char *reason)
{
	log_notice(
	    "account %s: linking with a passkey failed (%s); it begins anew", p->a->name, reason);
	passkey_free(p->passkey);
	p->passkey = NULL;
	pair_say(p, "error", json_pack("{s:s, s:b}", "error", reason, "goes_on", 1));
	pair_state(p);
	p->next = 1;
	pair_renew(p);
}

static void
passkey_notification(struct account *a, const struct node *n, const char *type)
{
	struct pair *p = a->pair;
	const char *from = node_get(n, "from");

	stanza_ack(a, n, 0);
	if (!p->running || p->nrefs == 0 || from == NULL || strcmp(from, JID_PN) != 0)
		return;
	if (strcmp(type, "crsc_continuation") == 0) {
		if (p->passkey != NULL)
			passkey_continuation(p->passkey, n);
		return;
	}
	evtimer_del(p->timer); /* the QR code was scanned, or a code typed */
	passkey_free(p->passkey);
	p->passkey = passkey_begin(p, n);
}

/* ------------------------------------------------------------------ notifications */

/* What an ack needs of a stanza, kept until then. */
struct node *
pair_keep_head(const struct node *n)
{
	struct node *k = node_new(n->tag);

	node_set(k, "id", node_get(n, "id"));
	node_set(k, "from", node_get(n, "from"));
	node_set(k, "type", node_get(n, "type"));
	return k;
}

static void
refresh(struct account *a, const struct node *n)
{
	struct pair *p = a->pair;
	int due = node_child(n, "companion_reg_refresh") != NULL ||
		  node_child(n, "pair-device-rotate-qr") != NULL;

	/* while the phone uses the secret, or what was made of it, it stays */
	if (!due || !p->running || p->passkey != NULL ||
	    (p->code != NULL && pair_code_finishing(p->code))) {
		stanza_ack(a, n, 0);
		return;
	}
	if (p->unit == NULL) {
		node_free(p->pending);
		p->pending = pair_keep_head(n);
		p->conn = a->conn;
	} else {
		stanza_ack(a, n, 0); /* every start makes a new one: it cannot be forgotten */
	}
	pair_renew(p);
}

void
pair_notification(struct account *a, const struct node *n, const char *type)
{
	struct pair *p = a->pair;

	if (strcmp(type, "companion_reg_refresh") == 0) {
		refresh(a, n);
	} else if (strcmp(type, "link_code_companion_reg") == 0) {
		stanza_ack(a, n, 0);
		if (p->code != NULL)
			pair_code_notification(p->code, n);
	} else if (strcmp(type, "passkey_prologue_request") == 0 ||
		   strcmp(type, "crsc_continuation") == 0) {
		passkey_notification(a, n, type);
	} else {
		stanza_notice(a, n, type[0] != '\0' ? type : "notification", 1);
	}
}

int
pair_iq(struct account *a, const struct node *n)
{
	const struct node *c;

	if ((c = node_child(n, "pair-device")) != NULL)
		pair_device(a, n, c);
	else if ((c = node_child(n, "pair-success")) != NULL)
		pair_success(a, n, c);
	else
		return 0;
	return 1;
}
