/* Commands that break things: faults, forged handshakes, refused logins, raw bytes; and watches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/ack.h"
#include "tests/sim/conn.h"
#include "tests/sim/control.h"
#include "tests/sim/crypt.h"
#include "tests/sim/expect.h"
#include "tests/sim/faults.h"
#include "tests/sim/login.h"
#include "tests/sim/mex.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/prekeys.h"
#include "tests/sim/route.h"
#include "tests/sim/services.h"

static json_t *
cmd_fault_arm(struct call *c)
{
	int id = faults_arm(c->args, &c->error);

	if (id < 0)
		return NULL;
	c->error = NULL;
	return json_pack("{s:i}", "fault", id);
}

static json_t *
cmd_fault_list(struct call *c)
{
	(void)c;
	return json_pack("{s:o}", "faults", faults_list());
}

static json_t *
cmd_fault_clear(struct call *c)
{
	int64_t id = call_int(c, "fault", 0, INT32_MAX, 0);

	return c->error != NULL ? NULL : json_pack("{s:i}", "cleared", faults_clear((int)id));
}

static json_t *
cmd_watch(struct call *c)
{
	struct match m;

	if (match_parse(json_object_get(c->args, "match"), &m, &c->error) != 0)
		return NULL;
	c->error = NULL;
	return json_pack("{s:i}", "watch", expect_watch(&m));
}

static json_t *
cmd_expect(struct call *c)
{
	int64_t watch = call_int(c, "watch", 0, INT32_MAX, 0),
		count = call_int(c, "count", 1, 1000000000, 1);
	int64_t deadline = call_int(c, "deadline_ms", 0, 3600000, 10000);
	struct match m;
	int once = 0;

	if (c->error != NULL)
		return NULL;
	if (watch == 0) {
		if (match_parse(json_object_get(c->args, "match"), &m, &c->error) != 0)
			return NULL;
		c->error = NULL;
		watch = expect_watch(&m);
		once = 1;
	}
	if (expect_wait((int)watch, (unsigned)count, (unsigned)deadline, once, c->req) != 0)
		return call_failed(c, "no such watch, or somebody waits on it already");
	c->later = 1;
	return NULL;
}

static json_t *
cmd_unwatch(struct call *c)
{
	int64_t watch = call_int(c, "watch", 0, INT32_MAX, 0);

	return c->error != NULL ? NULL : json_pack("{s:i}", "cleared", expect_unwatch((int)watch));
}

static json_t *
cmd_login_refuse(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *location = call_str(c, "location");
	struct login_refusal r = {0};

	r.reason = (int)call_int(c, "reason", 0, 9999, 0);
	r.code = (int)call_int(c, "code", 0, 99999, 0);
	r.expire = (int)call_int(c, "expire", 0, INT32_MAX, 0);
	r.count = (int)call_int(c, "count", 0, INT32_MAX, 0);
	r.stream = call_bool(c, "stream", 0);
	r.after = call_bool(c, "after_success", 0);
	r.stay = !call_bool(c, "close", 1);
	if (a == NULL || c->error != NULL)
		return NULL;
	if (r.stream)
		r.reason = 1;
	if (call_str(c, "conflict") != NULL)
		snprintf(r.conflict, sizeof(r.conflict), "%s", call_str(c, "conflict"));
	if (call_str(c, "child") != NULL)
		snprintf(r.child, sizeof(r.child), "%s", call_str(c, "child"));
	if (location != NULL)
		snprintf(r.location, sizeof(r.location), "%s", location);
	login_refuse(a, &r);
	return json_object();
}

static json_t *
cmd_noise_forge(struct call *c)
{
	const char *what = call_str(c, "what");
	int64_t count = call_int(c, "count", 0, 1000000, 0);
	int f = what == NULL ? -1 : noise_forgery_parse(what);

	if (c->error != NULL)
		return NULL;
	if (f < 0)
		return call_failed(c,
		    "what: none, random_signatures, short_signatures, leaf_key, "
		    "intermediate_issuer, leaf_issuer, expired, not_yet, wrong_root, no_static, "
		    "no_payload, no_ephemeral, bad_tag, ik_refused, ik_garbled, silent or close");
	conn_forge(f, (unsigned)count);
	return json_object();
}

static json_t *
cmd_noise_rotate(struct call *c)
{
	(void)c;
	conn_rotate();
	return json_object();
}

static json_t *
cmd_pair_forge(struct call *c)
{
	const char *what = call_str(c, "what");

	if (what == NULL || pairing_forge(what) != 0)
		return call_failed(c, "what: none, hmac, garbage, no_lid or twice");
	return json_object();
}

static json_t *
cmd_net_refuse(struct call *c)
{
	const char *what = call_str(c, "what");
	int64_t status = call_int(c, "status", 100, 999, 503),
		count = call_int(c, "count", 0, 1000000, 0);

	if (c->error != NULL)
		return NULL;
	if (what == NULL || http_refuse(what, (int)status, (unsigned)count) != 0)
		return call_failed(c, "what: none, tcp, tls or upgrade");
	return json_object();
}

/* The connection that a command means: conn, or account and device. */
static struct conn *
call_conn(struct call *c)
{
	int64_t id = call_int(c, "conn", 0, INT64_MAX, 0);
	struct device *d;
	struct conn *k;

	if (c->error != NULL)
		return NULL;
	if (id != 0) {
		if ((k = conn_by_id((uint64_t)id)) == NULL)
			c->error = "there is no such connection";
		return k;
	}
	if ((d = call_device(c)) == NULL)
		return NULL;
	if (d->conn == NULL)
		c->error = "the device is not connected";
	return d->conn;
}

static json_t *
cmd_raw_send(struct call *c)
{
	struct conn *k = call_conn(c);
	const char *hex = call_str(c, "hex");
	int64_t fill = call_int(c, "fill", 0, 16 * 1024 * 1024, 0);
	uint8_t *bytes;
	size_t len;

	if (k == NULL || c->error != NULL)
		return NULL;
	if (hex == NULL || (len = strlen(hex) / 2) > 16 * 1024 * 1024)
		return call_failed(c, "hex: the frame's payload, flags byte first");
	if (len + (size_t)fill > 0xffffff - 16)
		return call_failed(c, "hex, fill: a frame has no room for so much");
	if ((bytes = malloc(len + (size_t)fill + 1)) == NULL)
		fatal("raw frame");
	if (crypt_unhex(hex, bytes, len) != 0) {
		free(bytes);
		return call_failed(c, "hex: an even number of hex digits");
	}
	memset(bytes + len, 'x', (size_t)fill);
	conn_send_raw(k, bytes, len + (size_t)fill, FRAME_FINE);
	free(bytes);
	return json_object();
}

static json_t *
cmd_stanza_send(struct call *c)
{
	struct conn *k = call_conn(c);
	struct node *n;

	if (k == NULL)
		return NULL;
	if ((n = control_node(json_object_get(c->args, "node"))) == NULL)
		return call_failed(c, "node: {tag, attrs, content}");
	conn_send(k, n);
	node_free(n);
	return json_object();
}

static json_t *
cmd_freeze(struct call *c)
{
	struct conn *k = call_conn(c);
	int64_t ms = call_int(c, "ms", 0, 86400000, 0);

	if (k == NULL || c->error != NULL)
		return NULL;
	conn_freeze(k, (unsigned)ms);
	return json_object();
}

static json_t *
cmd_stream_error(struct call *c)
{
	struct conn *k = call_conn(c);
	int64_t code = call_int(c, "code", 0, 9999, 0);

	if (k == NULL || c->error != NULL)
		return NULL;
	login_stream_error(k, (int)code, call_str(c, "conflict"));
	if (call_bool(c, "close", 1))
		conn_end(k, "stream error");
	return json_object();
}

static json_t *
cmd_stream_end(struct call *c)
{
	struct conn *k = call_conn(c);
	struct node *n;

	if (k == NULL)
		return NULL;
	n = node_new("xmlstreamend");
	conn_send(k, n);
	node_free(n);
	conn_end(k, "stream end");
	return json_object();
}

static json_t *
cmd_ping(struct call *c)
{
	struct device *d = call_device(c);

	if (d == NULL)
		return NULL;
	services_server_ping(d);
	return json_object();
}

static json_t *
cmd_prekeys_drain(struct call *c)
{
	struct device *d = call_device(c);
	int64_t keep = call_int(c, "keep", 0, 65535, 0);

	if (d == NULL || c->error != NULL)
		return NULL;
	prekeys_drain(d, (size_t)keep, call_bool(c, "quiet", 0));
	return json_object();
}

static json_t *
cmd_prekeys_digest(struct call *c)
{
	struct device *d = call_device(c);

	if (d == NULL)
		return NULL;
	prekeys_want_digest(d);
	return json_object();
}

static json_t *
cmd_prekeys_forge(struct call *c)
{
	struct device *d = call_device(c);
	const char *what = call_str(c, "what");
	int64_t times = call_int(c, "count", 0, 1000000, 1),
		value = call_int(c, "value", 0, 1 << 24, 0);

	if (d == NULL || c->error != NULL)
		return NULL;
	if (what == NULL || prekeys_forge(d, what, (unsigned)times, (int)value) != 0)
		return call_failed(c,
		    "what: digest_hash, digest_id, digest_none, count, signature, "
		    "no_key, upload or rotate");
	return json_object();
}

static json_t *
cmd_prekeys_missing(struct call *c)
{
	int64_t code = call_int(c, "code", 0, 999, 406);

	if (c->error != NULL)
		return NULL;
	prekeys_missing_code = (int)code;
	return json_object();
}

static json_t *
cmd_ack_forge(struct call *c)
{
	struct account *a = call_account(c, "account");

	if (a == NULL || ack_forge(a, c->args, &c->error) != 0)
		return NULL;
	c->error = NULL;
	return json_object();
}

static json_t *
cmd_restrict(struct call *c)
{
	struct account *a = call_account(c, "account");

	if (a == NULL || mex_set(a, c->args, &c->error) != 0)
		return NULL;
	c->error = NULL;
	return json_object();
}

static json_t *
cmd_mex_push(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *op = call_str(c, "op_name"), *payload = call_str(c, "payload");

	if (a == NULL)
		return NULL;
	if (op == NULL || payload == NULL)
		return call_failed(c, "op_name and payload");
	mex_push(a, op, payload);
	return json_object();
}

const struct command control_fault_commands[] = {
    {"ack.forge", cmd_ack_forge},
    {"account.restrict", cmd_restrict},
    {"mex.push", cmd_mex_push},
    {"fault.arm", cmd_fault_arm},
    {"fault.list", cmd_fault_list},
    {"fault.clear", cmd_fault_clear},
    {"watch", cmd_watch},
    {"expect", cmd_expect},
    {"unwatch", cmd_unwatch},
    {"login.refuse", cmd_login_refuse},
    {"noise.forge", cmd_noise_forge},
    {"noise.rotate", cmd_noise_rotate},
    {"pairing.forge", cmd_pair_forge},
    {"net.refuse", cmd_net_refuse},
    {"raw.send", cmd_raw_send},
    {"stanza.send", cmd_stanza_send},
    {"conn.freeze", cmd_freeze},
    {"stream.error", cmd_stream_error},
    {"stream.end", cmd_stream_end},
    {"server.ping", cmd_ping},
    {"prekeys.drain", cmd_prekeys_drain},
    {"prekeys.digest", cmd_prekeys_digest},
    {"prekeys.forge", cmd_prekeys_forge},
    {"prekeys.missing", cmd_prekeys_missing},
    {NULL, NULL},
};
