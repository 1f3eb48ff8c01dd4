/* Stanzas in and out: dispatch by tag, acks and nacks, and what is kept of the unknown. */
#include "apid/session/stanza.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/calls.h"
#include "apid/message/content.h"
#include "apid/message/mark.h"
#include "apid/message/outbox.h"
#include "apid/message/receipts_in.h"
#include "apid/message/recv.h"
#include "apid/message/typing.h"
#include "apid/session/connect.h"
#include "apid/session/engine.h"
#include "apid/session/iq.h"
#include "apid/session/login.h"
#include "apid/session/notification.h"
#include "apid/session/pair.h"
#include "apid/session/poison.h"
#include "apid/session/presence.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define NACK_PARSING 487
#define UNSENT_MAX   (16u * 1024 * 1024) /* beyond netd's high mark */

static struct log_limit unknown_limit = LOG_LIMIT_INIT;

/* ------------------------------------------------------------------ out */

int
stanza_send_bytes(struct account *a, const uint8_t *bytes, size_t len)
{
	Netd__Stanza m = NETD__STANZA__INIT;

	if (a->conn == 0)
		return -1;
	if (!channel_full(a->svc->netd)) {
		a->unsent_over = 0;
	} else if ((a->unsent_over += len) > UNSENT_MAX) {
		log_warnx(
		    "account %s: the network takes nothing any more; connecting anew", a->name);
		connect_restart(a, 1000);
		return -1;
	}
	m.account = a->name;
	m.conn = a->conn;
	m.node = pb_bytes(bytes, len);
	a->n.stanzas_out++;
	return channel_notify(a->svc->netd, NETD__TYPE__STANZA_OUT, &m.base);
}

int
stanza_send(struct account *a, struct node *n)
{
	struct buf b = BUF_INIT;
	int r = -1;

	if (n != NULL && a->conn != 0) {
		if (node_encode(n, &b) == -1)
			log_warnx("account %s: <%s> cannot be encoded", a->name, n->tag);
		else
			r = stanza_send_bytes(a, b.data, b.len);
	}
	buf_clear(&b);
	node_free(n);
	return r;
}

static void
copy_attr(struct node *to, const char *as, const struct node *from, const char *key)
{
	for (size_t i = 0; i < from->nattrs; i++)
		if (strcmp(from->attrs[i].key, key) == 0) {
			if (from->attrs[i].is_jid)
				node_set_jid(to, as, &from->attrs[i].jid);
			else
				node_set(to, as, from->attrs[i].text);
			return;
		}
}

static int
is_identity(const struct node *n)
{
	const char *type = node_get(n, "type");

	return node_is(n, "notification") && type != NULL && strcmp(type, "encrypt") == 0 &&
	       node_child(n, "identity") != NULL;
}

struct node *
stanza_ack_new(const struct account *a, const struct node *n, unsigned error)
{
	struct node *k;

	if (node_get(n, "id") == NULL || node_get(n, "from") == NULL)
		return NULL;
	k = node_new("ack");
	node_set(k, "class", n->tag);
	node_set(k, "id", node_get(n, "id"));
	copy_attr(k, "to", n, "from");
	copy_attr(k, "participant", n, "participant");
	copy_attr(k, "recipient", n, "recipient");
	if (!node_is(n, "message") && !is_identity(n))
		node_set(k, "type", node_get(n, "type"));
	if (node_is(n, "message") && a->dev.has_jid)
		node_set_jid(k, "from", &a->dev.jid);
	if (error != 0)
		node_setf(k, "error", "%u", error);
	return k;
}

void
stanza_ack(struct account *a, const struct node *n, unsigned error)
{
	struct node *k = stanza_ack_new(a, n, error);

	if (k != NULL)
		(void)stanza_send(a, k); /* lost with its connection, then the stanza comes again */
}

/* ------------------------------------------------------------------ durable, then acked */

struct acking {
	struct account *a;
	uint64_t conn;
	struct node *ack;
	size_t cost;
};

static void
ack_durable(const struct unit_result *r, void *arg)
{
	struct acking *k = arg;
	struct account *a = k->a;

	if (!r->ok && k->conn == a->conn)
		account_store_failed(a, r->reason);
	if (r->ok && k->conn == a->conn && k->ack != NULL) {
		(void)stanza_send(a, k->ack);
		k->ack = NULL;
	}
	engine_inbound_end(a->svc, k->cost);
	node_free(k->ack);
	free(k);
}

void
stanza_answer_after(struct account *a, struct unit *u, const struct node *n, size_t cost, int error)
{
	struct acking *k = calloc(1, sizeof(*k));

	if (k == NULL || u == NULL) {
		free(k);
		unit_abort(u);
		account_store_failed(a, "memory");
		return;
	}
	k->a = a;
	k->conn = a->conn;
	k->ack = error >= 0 ? stanza_ack_new(a, n, (unsigned)error) : NULL;
	k->cost = cost;
	engine_inbound_begin(a->svc, cost);
	unit_commit(u, ack_durable, k);
}

void
stanza_ack_after(struct account *a, struct unit *u, const struct node *n, size_t cost)
{
	stanza_answer_after(a, u, n, cost, 0);
}

char *
stanza_base64(const void *data, size_t len)
{
	size_t need = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	char *s = malloc(need);

	if (s != NULL)
		sodium_bin2base64(s, need, data, len, sodium_base64_VARIANT_ORIGINAL);
	return s;
}

const char *
stanza_origin(const struct node *n)
{
	return node_get(n, "offline") != NULL ? "offline" : "live";
}

int64_t
stanza_time_ms(const struct account *a, const struct node *n)
{
	int64_t t = node_get_int(n, "t", INT64_C(99999999999));

	return t > 0 ? t * 1000 : clock_wall_ms() + a->skew_ms;
}

void
stanza_keep(struct unit *u, const struct node *n, const char *kind)
{
	struct buf b = BUF_INIT;
	json_t *body = json_object(), *part;
	const char *from = node_get(n, "from");
	int64_t now = clock_wall_ms();
	size_t parts = 0;

	json_object_set_new(body, "kind", json_string(kind));
	if (from != NULL)
		json_object_set_new(body, "from", json_string(from));
	json_object_set_new(body, "tag", json_string(n->tag));
	if (node_encode(n, &b) == 0)
		parts = content_set_raw(body, b.data, b.len);
	unit_event(u, "server.notice", stanza_origin(n), now, body, NULL);
	for (size_t i = 1; i <= parts; i++) {
		part = content_raw_part(b.data, b.len, i);
		json_object_set_new(part, "kind", json_string(kind));
		unit_event(u, "server.notice", stanza_origin(n), now, part, NULL);
	}
	buf_clear(&b);
}

void
stanza_notice(struct account *a, const struct node *n, const char *kind, int ack)
{
	struct unit *u = a->opened ? unit_open(a) : NULL;
	struct buf b = BUF_INIT;

	a->n.unknown++;
	if (log_allowed(&unknown_limit)) {
		node_describe(n, &b);
		log_notice("account %s: kept as server.notice (%s): %s", a->name, kind,
		    b.len > 0 ? buf_cstr(&b) : "");
		buf_clear(&b);
	}
	if (u != NULL)
		stanza_keep(u, n, kind);
	stanza_answer_after(a, u, n, 0, ack ? 0 : -1);
}

/* ------------------------------------------------------------------ in */

static int
must_ack(const char *tag)
{
	static const char *const tags[] = {
	    "message", "receipt", "notification", "call", "status", "appdata"};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (strcmp(tag, tags[i]) == 0)
			return 1;
	return 0;
}

/* What does not decode can never succeed: a nack takes it off the queue of the service. The bytes
 * go into the log of events first. */
static void
undecodable(struct account *a, const uint8_t *bytes, size_t len, const struct node_fault *f)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct node *n;
	struct unit *u;
	json_t *body;

	a->n.undecodable++;
	if (log_allowed(&limit))
		log_warnx("account %s: a stanza <%s> of %zu bytes does not decode: %s at %zu",
		    a->name, f->tag, len, node_error_text(f->error), f->offset);
	if (!a->opened)
		return;
	n = node_new(f->tag[0] != '\0' ? f->tag : "unknown");
	node_set(n, "id", f->id);
	node_set(n, "from", f->from);
	node_set(n, "participant", f->participant);
	if (a->logged_in && n != NULL && node_is(n, "message") && f->id[0] != '\0') {
		login_stanza_seen(a, n);
		if (recv_undecodable(a, n, node_error_text(f->error), bytes, len) == 0)
			return;
	}
	if ((u = unit_open(a)) == NULL) {
		node_free(n);
		return;
	}
	body = json_pack("{s:s, s:s}", "kind", "undecodable", "error", node_error_text(f->error));
	if (f->from[0] != '\0')
		json_object_set_new(body, "from", json_string(f->from));
	(void)content_set_raw(body, bytes, len < CONTENT_RAW_PART ? len : CONTENT_RAW_PART);
	unit_event(u, "server.notice", "live", clock_wall_ms(), body, NULL);
	stanza_answer_after(a, u, n, 0,
	    n != NULL && must_ack(n->tag) && f->id[0] != '\0' && f->from[0] != '\0' ? NACK_PARSING
										    : -1);
	node_free(n);
}

static void
answer_ping(struct account *a, const struct node *n)
{
	struct node *r = node_new("iq");

	node_set(r, "id", node_get(n, "id"));
	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "result");
	(void)stanza_send(a, r);
}

static void
iq_in(struct account *a, const struct node *n)
{
	const char *type = node_get(n, "type"), *xmlns = node_get(n, "xmlns");

	if (type != NULL && (strcmp(type, "result") == 0 || strcmp(type, "error") == 0)) {
		if (!iq_answered(a, n))
			a->n.late_iqs++; /* given up already, or an answer to netd's keepalive */
		return;
	}
	if (xmlns != NULL && strcmp(xmlns, "urn:xmpp:ping") == 0)
		answer_ping(a, n);
	else if (xmlns == NULL || strcmp(xmlns, "md") != 0 || !pair_iq(a, n))
		stanza_notice(a, n, "iq", 0); /* silence, as other clients (page 01, 10.1) */
}

static int
allowed_before_login(const struct node *n)
{
	static const char *const tags[] = {"success", "failure", "stream:error", "xmlstreamend",
	    "iq", "ib", "notification", "error"};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (node_is(n, tags[i]))
			return 1;
	return 0;
}

/* Returns the node if nobody has taken it. */
static struct node *
dispatch(struct account *a, struct node *n, size_t len)
{
	if (node_is(n, "message")) {
		login_stanza_seen(a, n);
		recv_message(a, n, len);
		return NULL;
	}
	if (node_is(n, "receipt")) {
		login_stanza_seen(a, n);
		receipts_in(a, n, len);
		return NULL;
	}
	if (node_is(n, "call")) {
		login_stanza_seen(a, n);
		calls_in(a, n, len);
		return NULL;
	}
	if (node_is(n, "ack")) {
		if (!outbox_ack(a, n) && !marks_ack(a, n))
			(void)iq_answered(a, n);
	} else if (node_is(n, "iq")) {
		iq_in(a, n);
	} else if (node_is(n, "notification")) {
		login_stanza_seen(a, n);
		notification_in(a, n);
	} else if (node_is(n, "success")) {
		login_success(a, n);
	} else if (node_is(n, "ib")) {
		login_ib(a, n);
	} else if (node_is(n, "failure") || node_is(n, "stream:error") ||
		   node_is(n, "xmlstreamend") || node_is(n, "error")) {
		connect_verdict_node(a, n);
	} else if (node_is(n, "presence")) {
		presence_in(a, n);
	} else if (node_is(n, "chatstate")) {
		typing_in(a, n);
	} else {
		login_stanza_seen(a, n);
		stanza_notice(a, n, "unknown", 1);
	}
	return n;
}

void
stanza_in(struct account *a, const uint8_t *bytes, size_t len)
{
	if (!poison_take(a, bytes, len))
		stanza_handle(a, bytes, len);
}

void
stanza_handle(struct account *a, const uint8_t *bytes, size_t len)
{
	struct node_fault fault;
	struct node *n = node_decode(bytes, len, &fault);

	a->n.stanzas_in++;
	if (n == NULL) {
		if (fault.error == NODE_NO_MEMORY)
			account_store_failed(a, "memory"); /* not the fault of the stanza */
		else
			undecodable(a, bytes, len, &fault);
		return;
	}
	if (!a->logged_in && !allowed_before_login(n)) {
		a->n.unknown++;
		if (log_allowed(&unknown_limit))
			log_warnx("account %s: a stanza before the login; not answered", a->name);
	} else {
		n = dispatch(a, n, len);
	}
	node_free(n);
}
