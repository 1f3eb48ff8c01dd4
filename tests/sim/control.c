/* The control interface: requests, arguments, and the commands on accounts, devices and the whole.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/conn.h"
#include "tests/sim/control.h"
#include "tests/sim/expect.h"
#include "tests/sim/loop.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/passkey.h"
#include "tests/sim/phone.h"
#include "tests/sim/route.h"
#include "tests/sim/stanza_log.h"
#include "tests/sim/tokens.h"
#include "tests/sim/waiters.h"

static const char *dir;
static uint64_t seed;
static int port;
static int64_t began_ms;

void
control_init(const char *d, uint64_t s, int p)
{
	dir = d;
	seed = s;
	port = p;
	began_ms = loop_now_ms();
}

void
control_fini(void)
{
	expect_fini();
	waiters_fini();
}

/* --- arguments --- */

json_t *
call_failed(struct call *c, const char *why)
{
	c->error = why;
	return NULL;
}

const char *
call_str(const struct call *c, const char *key)
{
	return json_string_value(json_object_get(c->args, key));
}

int64_t
call_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t fallback)
{
	const json_t *v = json_object_get(c->args, key);

	if (v == NULL || json_is_null(v))
		return fallback;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
		c->error = "a number is out of range or no whole number";
		return min - 1;
	}
	return json_integer_value(v);
}

int
call_bool(const struct call *c, const char *key, int fallback)
{
	const json_t *v = json_object_get(c->args, key);

	return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static struct account *
account_text(const char *text)
{
	struct account *a = account_named(text);
	struct jid j;

	if (a == NULL && jid_parse(text, &j) == 0)
		a = account_of(&j);
	if (a == NULL && jid_make(&j, text, JID_PN, 0) == 0)
		a = account_of(&j);
	return a;
}

struct account *
call_account(struct call *c, const char *key)
{
	const char *name = call_str(c, key);
	struct account *a = name == NULL ? NULL : account_text(name);

	if (a == NULL)
		c->error = name == NULL ? "account is missing" : "there is no such account";
	return a;
}

struct device *
call_device(struct call *c)
{
	struct account *a = call_account(c, "account");
	int64_t id = call_int(c, "device", 0, 65535, 1);
	struct device *d;

	if (a == NULL || id < 0)
		return NULL;
	if ((d = account_device(a, (unsigned)id)) == NULL)
		c->error = "there is no such device";
	return d;
}

int
call_jid(struct call *c, const char *key, struct account *from, struct jid *out)
{
	const char *text = call_str(c, key);
	struct account *a;

	if (text == NULL) {
		c->error = "to is missing";
		return -1;
	}
	if (strchr(text, '@') != NULL && jid_parse(text, out) == 0)
		return 0;
	if ((a = account_text(text)) == NULL) {
		c->error = "to: no such account, and no JID";
		return -1;
	}
	*out = phone_chat(from->phone, a);
	return 0;
}

/* --- accounts --- */

static const char *const phases[] = {"gone", "passive", "backlog", "live"};

static json_t *
device_json(const struct device *d)
{
	struct jid pn = device_jid(d, 0), lid = device_jid(d, 1);
	char a[JID_TEXT_MAX], b[JID_TEXT_MAX];

	const struct device_keys *k = &d->keys;

	return json_pack("{s:i,s:s,s:s,s:s,s:I,s:I,s:i,s:I,s:s,s:I,s:I,s:I,s:b,s:i,s:i,s:i,s:i}",
	    "device", (int)d->id, "jid", jid_format(&pn, a), "lid", jid_format(&lid, b), "phase",
	    d->id == 0 ? "phone" : phases[d->phase], "queued", (json_int_t)d->queued, "prekeys",
	    (json_int_t)(d->keys.count - d->keys.first), "key_index", (int)d->key_index, "conn",
	    (json_int_t)(d->conn == NULL ? 0 : conn_id(d->conn)), "platform", d->platform, "logins",
	    (json_int_t)d->logins, "messages_from", (json_int_t)d->messages_in, "messages_to",
	    (json_int_t)d->messages_out, "available", d->available, "uploads", (int)k->uploads,
	    "rotations", (int)k->rotations, "reused_prekeys", (int)k->reused, "signed_prekey",
	    k->skey_id[0] << 16 | k->skey_id[1] << 8 | k->skey_id[2]);
}

static json_t *
account_json(struct account *a)
{
	json_t *devices = json_array();
	struct device *d;
	struct jid pn = account_jid(a, 0), lid = account_jid(a, 1);
	char t1[JID_TEXT_MAX], t2[JID_TEXT_MAX];

	TAILQ_FOREACH(d, &a->devices, link)
	json_array_append_new(devices, device_json(d));
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:I,s:s,s:I,s:I,s:o}", "account", a->name,
	    "push_name", a->push_name, "jid", jid_format(&pn, t1), "lid", jid_format(&lid, t2),
	    "lid_migrated", a->lid_migrated, "offline_mode", a->pulled ? "pulled" : "eager",
	    "logins_tried", (json_int_t)a->logins_tried, "client_version", a->client_version,
	    "inbox", (json_int_t)phone_inbox_last(a->phone), "receipts",
	    (json_int_t)phone_receipts_last(a->phone), "devices", devices);
}

/* 0, or -1: a word is wrong. */
static int
set_tokens(struct call *c, struct account *a)
{
	const char *takes = call_str(c, "takes");

	a->restricted = call_bool(c, "restricted", a->restricted);
	a->tells_salt = call_bool(c, "tells_salt", a->tells_salt);
	if (takes == NULL)
		return 0;
	if (strcmp(takes, "both") != 0 && strcmp(takes, "tctoken") != 0 &&
	    strcmp(takes, "cstoken") != 0) {
		(void)call_failed(c, "takes: both, tctoken or cstoken");
		return -1;
	}
	a->takes_tc = strcmp(takes, "cstoken") != 0;
	a->takes_cs = strcmp(takes, "tctoken") != 0;
	return 0;
}

static json_t *
cmd_account_create(struct call *c)
{
	const char *mode = call_str(c, "offline_mode"), *why;
	struct account_options o = {.name = call_str(c, "account"),
	    .push_name = call_str(c, "push_name"),
	    .pn = call_str(c, "pn"),
	    .lid = call_str(c, "lid"),
	    .lid_migrated = call_bool(c, "lid_migrated", 1),
	    .lid_hidden = call_bool(c, "lid_hidden", 0),
	    .strict = call_bool(c, "strict", 0),
	    .pulled = account_default_pulled};
	struct account *a;

	if (mode != NULL && strcmp(mode, "eager") != 0 && strcmp(mode, "pulled") != 0)
		return call_failed(c, "offline_mode: eager or pulled");
	if (mode != NULL)
		o.pulled = strcmp(mode, "pulled") == 0;
	if (o.push_name == NULL)
		o.push_name = o.name;
	if ((a = account_new(&o, &why)) == NULL)
		return call_failed(c, why);
	return set_tokens(c, a) != 0 ? NULL : account_json(a);
}

static json_t *
cmd_account_set(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *mode = call_str(c, "offline_mode"), *name = call_str(c, "push_name");

	if (a == NULL)
		return NULL;
	if (mode != NULL)
		a->pulled = strcmp(mode, "pulled") == 0;
	if (name != NULL)
		snprintf(a->push_name, sizeof(a->push_name), "%s", name);
	a->lid_migrated = call_bool(c, "lid_migrated", a->lid_migrated);
	a->lid_told = (int)call_int(c, "lid_told", 0, 2, a->lid_told);
	a->lid_hidden = call_bool(c, "lid_hidden", a->lid_hidden);
	a->strict = call_bool(c, "strict", a->strict);
	passkey_gate(a, call_bool(c, "passkey", a->passkey));
	a->device_limit = (unsigned)call_int(c, "device_limit", 0, 1000, a->device_limit);
	if (set_tokens(c, a) != 0)
		return NULL;
	return c->error != NULL ? NULL : account_json(a);
}

/* Tokens that it gave to others, newest last; not what they are. */
static json_t *
cmd_account_tokens(struct call *c)
{
	struct account *a = call_account(c, "account");

	return a == NULL ? NULL : json_pack("{s:o}", "given", tokens_json(a));
}

static json_t *
cmd_account_list(struct call *c)
{
	json_t *list = json_array();
	struct account *a;

	(void)c;
	TAILQ_FOREACH(a, &accounts, link)
	json_array_append_new(list, account_json(a));
	return json_pack("{s:o}", "accounts", list);
}

static json_t *
cmd_device_list(struct call *c)
{
	json_t *list = json_array();
	struct account *a, *only = NULL;
	struct device *d;

	if (call_str(c, "account") != NULL && (only = call_account(c, "account")) == NULL) {
		json_decref(list);
		return NULL;
	}
	TAILQ_FOREACH(a, &accounts, link)
	if (only == NULL || a == only)
		TAILQ_FOREACH(d, &a->devices, link)
		{
			json_t *o = device_json(d);

			json_object_set_new(o, "account", json_string(a->name));
			json_array_append_new(list, o);
		}
	return json_pack("{s:o}", "devices", list);
}

static json_t *
cmd_device_queue(struct call *c)
{
	struct device *d = call_device(c);

	return d == NULL ? NULL
			 : json_pack("{s:I,s:o}", "queued", (json_int_t)d->queued, "queue",
			       offline_list(d));
}

static json_t *
cmd_device_drop(struct call *c)
{
	const char *name = call_str(c, "account"), *how = call_str(c, "how");
	int64_t id = call_int(c, "device", 0, 65535, -1);
	struct account *only = NULL;
	struct conn *k, *next;
	int n = 0;

	if (c->error != NULL || (name != NULL && (only = call_account(c, "account")) == NULL))
		return NULL;
	for (k = conn_next(NULL); k != NULL; k = next) {
		struct device *d = conn_device(k);

		next = conn_next(k);
		if ((only != NULL && (d == NULL || d->account != only)) ||
		    (id >= 0 && (d == NULL || d->id != (unsigned)id)))
			continue;
		if (how != NULL && strcmp(how, "reset") == 0)
			conn_reset(k, "control");
		else
			conn_end(k, "control");
		n++;
	}
	return json_pack("{s:i}", "dropped", n);
}

/* --- the whole --- */

static json_t *
cmd_stats(struct call *c)
{
	const struct conn_stats *k = &conn_stats;
	const struct route_stats *r = &route_stats;
	const struct phone_stats *p = &phone_stats;

	(void)c;
	return json_pack("{s:I,s:I,s:{s:I,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I,"
			 "s:I,s:I,s:I,s:I},"
			 "s:{s:I,s:I,s:I},s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}}",
	    "seed", (json_int_t)seed, "uptime_ms", (json_int_t)(loop_now_ms() - began_ms),
	    "connections", "accepted", (json_int_t)k->accepted, "open", (int)k->open, "handshakes",
	    (json_int_t)k->handshakes, "ik", (json_int_t)k->ik, "ik_fallback",
	    (json_int_t)k->ik_fallback, "handshake_failures", (json_int_t)k->handshake_failures,
	    "bad_frames", (json_int_t)k->bad_frames, "bad_nodes", (json_int_t)k->bad_nodes,
	    "frames_in", (json_int_t)k->frames_in, "frames_out", (json_int_t)k->frames_out,
	    "bytes_in", (json_int_t)k->bytes_in, "bytes_out", (json_int_t)k->bytes_out, "stanzas",
	    "in", (json_int_t)r->stanzas_in, "messages", (json_int_t)r->messages, "deliveries",
	    (json_int_t)r->deliveries, "receipts", (json_int_t)r->receipts, "iqs",
	    (json_int_t)r->iqs, "unknown", (json_int_t)r->unknown, "pairing", "registrations",
	    (json_int_t)pairing_stats.registrations, "paired", (json_int_t)pairing_stats.paired,
	    "refused", (json_int_t)pairing_stats.refused, "phones", "read", (json_int_t)p->read,
	    "duplicates", (json_int_t)p->duplicates, "decrypt_failures",
	    (json_int_t)p->decrypt_failures, "retries_asked", (json_int_t)p->retries_asked,
	    "given_up", (json_int_t)p->given_up, "resent", (json_int_t)p->resent, "asked_for",
	    (json_int_t)p->asked_for, "given", (json_int_t)p->given);
}

static json_t *
cmd_state_dump(struct call *c)
{
	json_t *o = cmd_account_list(c), *stats = cmd_stats(c), *connections = json_array();
	char path[4096];
	struct conn *k;

	for (k = conn_next(NULL); k != NULL; k = conn_next(k)) {
		struct party p = conn_party(k);

		json_array_append_new(
		    connections, json_pack("{s:I,s:s?,s:i,s:b}", "conn", (json_int_t)conn_id(k),
				     "account", p.account == NULL ? NULL : p.account->name,
				     "device", p.device, "pairing", conn_registration(k) != NULL));
	}
	json_object_set_new(o, "connections", connections);
	json_object_set_new(o, "stats", stats);
	stanza_log_flush();
	if (snprintf(path, sizeof(path), "%s/state.json", dir) >= (int)sizeof(path) ||
	    json_dump_file(o, path, JSON_INDENT(2)) != 0) {
		json_decref(o);
		return call_failed(c, "state.json cannot be written");
	}
	return o;
}

static json_t *
cmd_hello(struct call *c)
{
	(void)c;
	return json_pack(
	    "{s:s,s:I,s:i,s:s}", "name", "sim", "seed", (json_int_t)seed, "port", port, "dir", dir);
}

static json_t *
cmd_log_flush(struct call *c)
{
	(void)c;
	stanza_log_flush();
	return json_object();
}

static json_t *
cmd_clock_advance(struct call *c)
{
	int64_t s = call_int(c, "s", -10000000, 10000000, 0);

	if (c->error != NULL)
		return NULL;
	loop_advance(s);
	return json_pack("{s:I}", "now", (json_int_t)loop_now());
}

static void
stop(void *arg)
{
	(void)arg;
	event_base_loopexit(loop_base(), NULL);
}

static json_t *
cmd_shutdown(struct call *c)
{
	(void)c;
	loop_after(50, stop, NULL, NULL);
	return json_object();
}

static json_t *
cmd_wait(struct call *c)
{
	return waiters_wait(c);
}

static const struct command commands[] = {
    {"hello", cmd_hello},
    {"account.create", cmd_account_create},
    {"account.set", cmd_account_set},
    {"account.list", cmd_account_list},
    {"account.tokens", cmd_account_tokens},
    {"device.list", cmd_device_list},
    {"device.queue", cmd_device_queue},
    {"device.drop", cmd_device_drop},
    {"wait", cmd_wait},
    {"clock.advance", cmd_clock_advance},
    {"log.flush", cmd_log_flush},
    {"stats", cmd_stats},
    {"state.dump", cmd_state_dump},
    {"shutdown", cmd_shutdown},
    {NULL, NULL},
};

/* --- requests --- */

void
control_answer(struct http_request *r, json_t *o)
{
	char *text;

	json_object_set_new(o, "ok", json_boolean(json_object_get(o, "error") == NULL));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		fatal("answer");
	http_answer(r, 200, "application/json", text, strlen(text));
	free(text);
}

static const struct command *
find(const char *name)
{
	const struct command *const tables[] = {
	    commands, control_phone_commands, control_fault_commands};

	for (size_t t = 0; name != NULL && t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct command *k = tables[t]; k->name != NULL; k++)
			if (strcmp(k->name, name) == 0)
				return k;
	return NULL;
}

static void
control(struct http_request *r)
{
	json_error_t err;
	json_t *args = json_loadb((const char *)r->body, r->body_len, JSON_REJECT_DUPLICATES, &err),
	       *o = NULL;
	struct call c = {args, r, NULL, 0};
	const struct command *k = NULL;

	if (args == NULL)
		c.error = "not JSON";
	else if (!json_is_object(args) || (k = find(call_str(&c, "cmd"))) == NULL)
		c.error = "no such cmd";
	else
		o = k->run(&c);
	if (!c.later) {
		if (o == NULL)
			o = json_pack("{s:s}", "error", c.error == NULL ? "failed" : c.error);
		control_answer(r, o);
	}
	json_decref(args);
}

int
control_scan(const char *qr, struct account **a, const char **why)
{
	static unsigned fresh;
	struct account_options o = {.lid_migrated = 1, .pulled = account_default_pulled};
	char ref[128], name[32];
	struct conn *k;

	if (phone_qr_ref(qr, ref, sizeof(ref)) != 0) {
		*why = "not a QR text of a client: ref,noise,identity,secret,type";
		return -1;
	}
	if ((k = pairing_find(ref, strlen(ref))) == NULL) {
		*why = "no client shows that code";
		return -1;
	}
	if (*a == NULL && pairing_push_name(k)[0] != '\0')
		*a = account_named(pairing_push_name(k));
	if (*a == NULL) {
		snprintf(name, sizeof(name), "auto-%u", ++fresh);
		o.name = o.push_name =
		    pairing_push_name(k)[0] != '\0' ? pairing_push_name(k) : name;
		if ((*a = account_new(&o, why)) == NULL)
			return -1;
		/* foreign suites expect that only the client under test confirms */
		phone_settings((*a)->phone)->receipts = 0;
	}
	return phone_scan((*a)->phone, qr, why);
}

static void
scan_qr(struct http_request *r)
{
	struct account *a = NULL;
	const char *why = "";
	char text[128];

	if (control_scan((const char *)r->body, &a, &why) < 0) {
		http_answer(r, 404, "text/plain", why, strlen(why));
		return;
	}
	snprintf(text, sizeof(text), "%s@s.whatsapp.net", a->pn);
	http_answer(r, 200, "text/plain", text, strlen(text));
}

void
control_request(struct http_request *r)
{
	int post = strcmp(r->method, "POST") == 0;

	if (post && strcmp(r->path, "/control") == 0)
		control(r);
	else if (post && strcmp(r->path, "/admin/mock-phone/scan-qr") == 0)
		scan_qr(r);
	else if (strcmp(r->method, "GET") == 0 && strcmp(r->path, "/") == 0)
		http_answer(r, 200, "text/plain", "ward simulator\n", 15);
	else
		http_answer(r, 404, "text/plain", "not found\n", 10);
}
