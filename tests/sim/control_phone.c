/* Commands on phones: what its user would do with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/offline.h"
#include "tests/sim/control.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/pairing.h"
#include "tests/sim/passkey.h"
#include "tests/sim/devices.h"
#include "tests/sim/phone.h"
#include "tests/sim/services.h"
#include "tests/sim/reregister.h"
#include "tests/sim/phone_passkey.h"
#include "tests/sim/route.h"

#define MAX_BURST 1000000
#define PER_TURN  32 /* messages of a burst before the network is served again */

static json_t *
cmd_scan(struct call *c)
{
	const char *qr = call_str(c, "qr"), *why = "";
	struct account *a = NULL;
	int device;

	if (call_str(c, "account") != NULL && (a = call_account(c, "account")) == NULL)
		return NULL;
	if (qr == NULL)
		return call_failed(c, "qr is missing");
	if ((device = control_scan(qr, &a, &why)) < 0)
		return call_failed(c, why);
	return json_pack("{s:s,s:i}", "account", a->name, "device", device);
}

static json_t *
cmd_enter_code(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *code = call_str(c, "code"), *why = "";

	if (a == NULL)
		return NULL;
	if (code == NULL || phone_enter_code(a->phone, code, &why) != 0)
		return call_failed(c, code == NULL ? "code is missing" : why);
	return json_object();
}

/* --- sending --- */

struct burst {
	struct phone *phone;
	struct jid to;
	char *text;
	int numbered;
	unsigned n, done, gap_ms;
	char (*ids)[32];
};

static void
burst_free(void *arg)
{
	struct burst *b = arg;

	free(b->text);
	free(b->ids);
	free(b);
}

static void
burst_turn(void *arg)
{
	struct burst *b = arg;
	unsigned turn = b->gap_ms > 0 ? 1 : PER_TURN;
	char *text;

	for (; turn > 0 && b->done < b->n; turn--, b->done++) {
		if (!b->numbered) {
			phone_send_text_id(b->phone, &b->to, b->text, b->ids[b->done]);
			continue;
		}
		if (asprintf(&text, "%s%u", b->text, b->done + 1) < 0)
			fatal("text");
		phone_send_text_id(b->phone, &b->to, text, b->ids[b->done]);
		free(text);
	}
	if (b->done == b->n)
		burst_free(b);
	else if (b->gap_ms > 0)
		loop_after(b->gap_ms, burst_turn, b, burst_free);
	else
		loop_after(0, burst_turn, b, burst_free);
}

static json_t *
send_burst(struct account *a, const struct jid *to, const char *text, int numbered, unsigned n,
    unsigned gap)
{
	struct burst *b = calloc(1, sizeof(*b));
	json_t *ids = json_array();

	if (b == NULL || (b->ids = calloc(n, sizeof(*b->ids))) == NULL ||
	    (b->text = strdup(text)) == NULL)
		fatal("burst");
	b->phone = a->phone;
	b->to = *to;
	b->numbered = numbered;
	b->n = n;
	b->gap_ms = gap;
	for (unsigned i = 0; i < n; i++) {
		phone_new_id(a->phone, b->ids[i]);
		json_array_append_new(ids, json_string(b->ids[i]));
	}
	burst_turn(b);
	return json_pack("{s:o}", "ids", ids);
}

static int
phone_says_no_text(const struct phone_said *s)
{
	return s->poll != NULL || s->vote != NULL || s->event != NULL || s->respond != NULL;
}

static json_t *
cmd_send(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *text = call_str(c, "text"), *prefix = call_str(c, "prefix");
	int64_t count = call_int(c, "count", 1, MAX_BURST, 1),
		gap = call_int(c, "gap_ms", 0, 3600000, 0);
	struct phone_said said = {.text = text != NULL ? text : "",
	    .reply_to = call_str(c, "reply_to"),
	    .reply_text = call_str(c, "reply_text"),
	    .mention = call_str(c, "mention"),
	    .edit = call_str(c, "edit"),
	    .revoke = call_str(c, "revoke"),
	    .react = call_str(c, "react"),
	    .from_me = call_bool(c, "from_me", 0),
	    .encrypted = call_bool(c, "encrypted", 0),
	    .poll = call_str(c, "poll"),
	    .vote = call_str(c, "vote"),
	    .event = call_str(c, "event"),
	    .respond = call_str(c, "respond"),
	    .response = call_str(c, "response"),
	    .options = json_object_get(c->args, "options"),
	    .jids = call_str(c, "jids")};
	struct jid to;
	char id[32];

	if (a == NULL || c->error != NULL || call_jid(c, "to", a, &to) != 0)
		return NULL;
	if (text == NULL && (said.revoke != NULL || phone_says_no_text(&said)))
		text = "";
	if (text == NULL && prefix == NULL)
		return call_failed(c, "text or prefix is missing");
	if (count > 1 || prefix != NULL)
		return send_burst(a, &to, prefix != NULL ? prefix : text, prefix != NULL,
		    (unsigned)count, (unsigned)gap);
	phone_new_id(a->phone, id);
	if (phone_say(a->phone, &to, &said, id) != 0)
		return call_failed(
		    c, "nobody could be written to, or the secret of that message is not known");
	return json_pack("{s:[s]}", "ids", id);
}

/* A node from {"tag":…,"attrs":{…},"content":[…] or "text"}. NULL: malformed. */
static struct node *
node_from_json(const json_t *o, int depth)
{
	const char *tag = json_string_value(json_object_get(o, "tag")), *key;
	const json_t *content = json_object_get(o, "content");
	struct node *n;
	json_t *v;
	size_t i;

	if (tag == NULL || tag[0] == '\0' || depth > 16)
		return NULL;
	n = node_new(tag);
	json_object_foreach(json_object_get(o, "attrs"), key, v)
	{
		struct jid j;
		const char *s = json_string_value(v);

		if (s != NULL && (strchr(s, '@') != NULL || strcmp(s, JID_PN) == 0) &&
		    jid_parse(s, &j) == 0)
			node_set_jid(n, key, &j);
		else
			node_set(n, key, s);
	}
	if (json_is_string(content))
		node_set_bytes(n, json_string_value(content), json_string_length(content));
	json_array_foreach(content, i, v)
	{
		struct node *child = node_from_json(v, depth + 1);

		if (child == NULL) {
			node_free(n);
			return NULL;
		}
		nodes_add_copy(n, child);
		node_free(child);
	}
	return n;
}

struct node *
control_node(const json_t *o)
{
	return node_from_json(o, 0);
}

static json_t *
cmd_send_raw(struct call *c)
{
	struct account *a = call_account(c, "account");
	struct node *n, *answer;
	struct buf text = BUF_INIT;
	struct jid to;
	json_t *o;

	if (a == NULL)
		return NULL;
	if ((n = node_from_json(json_object_get(c->args, "node"), 0)) == NULL)
		return call_failed(c, "node: {\"tag\":…,\"attrs\":{…},\"content\":…}");
	if (call_str(c, "to") != NULL) {
		if (call_jid(c, "to", a, &to) != 0) {
			node_free(n);
			return NULL;
		}
		node_set_jid(n, "to", &to);
	}
	answer = route_phone(account_phone(a), n);
	if (answer == NULL)
		return json_object();
	node_dump(answer, &text);
	o = json_pack("{s:s}", "answer", buf_cstr(&text));
	buf_clear(&text);
	node_free(answer);
	return o;
}

/* --- reading --- */

static json_t *
listing(struct call *c, json_t *(*list)(const struct phone *, uint64_t, size_t), const char *name)
{
	struct account *a = call_account(c, "account");
	int64_t after = call_int(c, "after", 0, INT64_MAX - 1, 0),
		limit = call_int(c, "limit", 1, 1000000, 10000);

	if (a == NULL || c->error != NULL)
		return NULL;
	return json_pack("{s:o}", name, list(a->phone, (uint64_t)after, (size_t)limit));
}

static json_t *
cmd_inbox(struct call *c)
{
	return listing(c, phone_inbox, "messages");
}

static json_t *
cmd_receipts(struct call *c)
{
	return listing(c, phone_receipts, "receipts");
}

static json_t *
cmd_read(struct call *c)
{
	struct account *a = call_account(c, "account");
	const json_t *ids = json_object_get(c->args, "ids");
	json_int_t done = 0;
	json_t *v;
	size_t i;

	if (a == NULL)
		return NULL;
	json_array_foreach(ids, i, v)
	{
		const char *id = json_string_value(v);

		if (id != NULL)
			done += (json_int_t)phone_read(a->phone, &id, 1);
	}
	return json_pack("{s:I}", "read", done);
}

static json_t *
cmd_forget(struct call *c)
{
	struct account *a = call_account(c, "account"), *of = call_account(c, "of");

	if (a == NULL || of == NULL)
		return NULL;
	phone_forget(a->phone, of);
	return json_object();
}

/* --- switches --- */

static json_t *
cmd_set(struct call *c)
{
	struct account *a = call_account(c, "account");
	struct phone_settings *s;
	int was;

	if (a == NULL)
		return NULL;
	s = phone_settings(a->phone);
	was = s->on;
	s->on = call_bool(c, "on", s->on);
	s->receipts = call_bool(c, "receipts", s->receipts);
	s->provision = call_bool(c, "provision", s->provision);
	s->gives = call_bool(c, "gives", s->gives);
	s->tokens = call_bool(c, "tokens", s->tokens);
	if (s->on && !was)
		offline_phone_on(account_phone(a));
	phone_settings_changed(a->phone);
	return json_pack("{s:b,s:b,s:b,s:b,s:b}", "on", s->on, "receipts", s->receipts, "provision",
	    s->provision, "tokens", s->tokens, "gives", s->gives);
}

static json_t *
cmd_echo(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *prefix = call_str(c, "prefix");
	struct phone_settings *s;

	if (a == NULL)
		return NULL;
	s = phone_settings(a->phone);
	s->echo = call_bool(c, "on", 1);
	s->echo_ms = (unsigned)call_int(c, "ms", 0, 3600000, 0);
	snprintf(s->echo_prefix, sizeof(s->echo_prefix), "%s", prefix != NULL ? prefix : "echo: ");
	return c->error != NULL ? NULL : json_object();
}

static json_t *
cmd_unlink(struct call *c)
{
	struct account *a = call_account(c, "account");
	int64_t id = call_int(c, "device", 1, 65535, 1);

	if (a == NULL || c->error != NULL)
		return NULL;
	if (phone_unlink(a->phone, (unsigned)id) != 0)
		return call_failed(c, "there is no such device");
	return json_object();
}

static json_t *
cmd_reregister(struct call *c)
{
	struct account *a = call_account(c, "account");

	if (a == NULL)
		return NULL;
	reregister(a, call_bool(c, "quiet", 0));
	return c->error != NULL ? NULL : json_object();
}

/* The identity key of a device, as bundles have it. */
static json_t *
cmd_identity(struct call *c)
{
	struct device *d = call_device(c);
	char hex[65];

	if (d == NULL)
		return NULL;
	crypt_hex(d->keys.identity, 32, hex);
	return json_pack("{s:s}", "identity", hex);
}

static json_t *
cmd_adv_forge(struct call *c)
{
	struct device *d = call_device(c);
	const char *what = call_str(c, "what");

	if (d == NULL)
		return NULL;
	if (what == NULL || adv_forge(d, what) != 0)
		return call_failed(c, "what: none, details, account_key, account_signature, "
				      "device_signature or absent");
	return json_object();
}

static json_t *
cmd_pairing_forge(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *what = call_str(c, "what");

	if (a == NULL)
		return NULL;
	if (what == NULL || phone_forge(a->phone, what) != 0)
		return call_failed(c, "what: none, signature, hmac or key_index");
	return json_object();
}

static json_t *
cmd_passkey(struct call *c)
{
	struct account *a = call_account(c, "account");

	if (a == NULL)
		return NULL;
	if (call_bool(c, "reject", 0))
		phone_passkey_reject(a->phone);
	return phone_passkey_json(a->phone);
}

static json_t *
cmd_passkey_assert(struct call *c)
{
	struct account *a = call_account(c, "account");
	json_t *o;

	if (a == NULL)
		return NULL;
	o = passkey_assert(a, json_object_get(c->args, "options"), call_str(c, "wrong"));
	return o == NULL ? call_failed(c, "options: no challenge")
			 : json_pack("{s:o}", "assertion", o);
}

static json_t *
cmd_passkey_forge(struct call *c)
{
	const char *what = call_str(c, "what");

	if (what == NULL || passkey_forge(what) != 0)
		return call_failed(c, "what: see README.md");
	return json_object();
}

static json_t *
cmd_provision(struct call *c)
{
	struct device *d = call_device(c);

	if (d == NULL)
		return NULL;
	phone_provision(d->account->phone, d);
	return json_object();
}

static json_t *
cmd_tell_lids(struct call *c)
{
	struct device *d = call_device(c);
	int64_t old = call_int(c, "assigned", 0, INT64_MAX, 0);

	if (d == NULL || c->error != NULL)
		return NULL;
	phone_tell_lids(d->account->phone, d, (uint64_t)old);
	return json_object();
}

static json_t *
cmd_update_hash(struct call *c)
{
	struct device *d = call_device(c);
	struct account *of = call_account(c, "of");

	if (d == NULL || of == NULL)
		return NULL;
	devices_tell_hash(d, of);
	return json_object();
}

static json_t *
cmd_prop_set(struct call *c)
{
	const char *code = call_str(c, "code"), *value = call_str(c, "value");

	if (code == NULL || value == NULL || services_set_prop(code, value) != 0)
		return call_failed(c, "code, value: short texts, 32 switches at most");
	return json_object();
}

static json_t *
cmd_qr_refresh(struct call *c)
{
	return json_pack("{s:i}", "clients", (int)pairing_refresh(call_bool(c, "rotate", 0)));
}

const struct command control_phone_commands[] = {
    {"phone.scan", cmd_scan},
    {"phone.enter_code", cmd_enter_code},
    {"phone.send", cmd_send},
    {"phone.send_raw", cmd_send_raw},
    {"phone.call", control_call},
    {"device.deliver", control_deliver},
    {"phone.inbox", cmd_inbox},
    {"phone.receipts", cmd_receipts},
    {"phone.read", cmd_read},
    {"phone.set", cmd_set},
    {"phone.echo", cmd_echo},
    {"phone.unlink", cmd_unlink},
    {"phone.forge", cmd_pairing_forge},
    {"phone.forget", cmd_forget},
    {"phone.provision", cmd_provision},
    {"phone.tell_lids", cmd_tell_lids},
    {"prop.set", cmd_prop_set},
    {"devices.update_hash", cmd_update_hash},
    {"phone.reregister", cmd_reregister},
    {"device.identity", cmd_identity},
    {"device.forge", cmd_adv_forge},
    {"phone.passkey", cmd_passkey},
    {"passkey.assert", cmd_passkey_assert},
    {"passkey.forge", cmd_passkey_forge},
    {"qr.refresh", cmd_qr_refresh},
    {NULL, NULL},
};
