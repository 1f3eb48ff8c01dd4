/* The engine of apid between three peers that are played here: keyd, netd and stored, over socket
 * pairs in the same loop. Each does the least that its contract asks for, and what a test wants it
 * to. */
#ifndef WARD_TEST_ENGINE_RIG_H
#define WARD_TEST_ENGINE_RIG_H

#include <sys/socket.h>

#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "tests/unit/apid_rig_keyd.h"
#include "tests/unit/apid_rig_netd.h"
#include "tests/unit/apid_rig_stored.h"

/* ------------------------------------------------------------------ life */

static void
rig_broken(struct channel *ch, void *owner, const char *why)
{
	rig.broken++;
}

static void
rig_closed(struct channel *ch, void *owner)
{
}

static struct channel *
rig_far(int fd, const char *name, const struct channel_row *rows, size_t n)
{
	struct channel_config cfg = {.name = name,
	    .rows = rows,
	    .nrows = n,
	    .owner = &rig,
	    .out_max_bytes = 64u << 20,
	    .on_broken = rig_broken,
	    .on_closed = rig_closed};
	struct channel *ch = channel_new(rig.base, fd, &cfg);

	assert_non_null(ch);
	return ch;
}

#define NROWS(t) (sizeof(t) / sizeof((t)[0]))

static void
rig_begin_service(void)
{
	int k[2], n[2], s[2], type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	rig.base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, type, 0, k), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, n), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, s), 0);
	memset(&rig.svc, 0, sizeof(rig.svc));
	rig.svc.base = rig.base;
	rig.svc.config = rig.config;
	rig.svc.flows = flow_set_new(rig.base);
	rig.child.owner = &rig.svc;
	engine_init(&rig.svc);
	channels_open(&rig.svc, &rig.child, k[0], n[0], s[0], rig_broken, rig_closed);
	rig.keyd = rig_far(k[1], "keyd: apid", rig_keyd_rows, NROWS(rig_keyd_rows));
	rig.netd = rig_far(n[1], "netd: apid", rig_netd_rows, NROWS(rig_netd_rows));
	rig.stored = rig_far(s[1], "stored: apid", rig_stored_rows, NROWS(rig_stored_rows));
	rig.a = rig.svc.accounts[0];
}

static void
rig_end_service(void)
{
	for (size_t i = 0; i < rig.nheld; i++)
		message_release(rig.held[i]);
	rig.nheld = 0;
	if (!rig.abrupt)
		engine_stop(&rig.svc);
	engine_free(&rig.svc);
	channel_free(rig.keyd);
	channel_free(rig.netd);
	channel_free(rig.stored);
	flow_set_free(rig.svc.flows);
	event_base_free(rig.base);
}

static void __attribute__((unused)) rig_out_clear(void)
{
	for (size_t i = 0; i < rig.nout; i++)
		node_free(rig.out[i]);
	rig.nout = 0;
}

static int __attribute__((unused)) rig_setup(void **state)
{
	char text[300], err[200];

	memset(&rig, 0, sizeof(rig));
	/* pacing is off but for what a test asks for */
	snprintf(text, sizeof(text),
	    "[log]\nlevel = err\n[send]\naccount_rate = 0\nchat_rate = 0\nnew_chats = "
	    "0\n%s[account a]\n",
	    "");
	log_set_level(getenv("RIG_DEBUG") ? LOG_LV_DEBUG : LOG_LV_ERR);
	rig.linked = 1;
	rig.generation = 1;
	rig.has_prekeys = 1;
	rig.know_lid = 1;
	rig.linked_ms = 1;
	snprintf(rig.fail_code, sizeof(rig.fail_code), "io");
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	rig.under_number = 0;
	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0");
	rig.config = config_parse("test", text, strlen(text), err, sizeof(err));
	if (rig.config == NULL)
		fail_msg("%s", err);
	rig_begin_service();
	return 0;
}

static int __attribute__((unused)) rig_teardown(void **state)
{
	rig_end_service();
	rig_out_clear();
	for (size_t i = 0; i < rig.nevents; i++)
		json_decref(rig.events[i].body);
	for (size_t i = 0; i < rig.nrows; i++) {
		free(rig.rows[i].content);
		free(rig.rows[i].stanza);
	}
	rig_rows_free(&rig.kept);
	json_decref(rig.result);
	config_free(rig.config);
	return 0;
}

/* ------------------------------------------------------------------ scenes */

static void
rig_store_state(int disk_low)
{
	Stored__StoreState st = STORED__STORE_STATE__INIT;
	Stored__AccountOpened acc = STORED__ACCOUNT_OPENED__INIT, service = acc, *accs[1] = {&acc};
	char a[] = "a", none[] = "", log_id[] = "00112233445566778899aabbccddeeff";

	acc.account = a;
	acc.ok = 1;
	acc.has_restored = acc.restored = rig.from_backup;
	service.account = none;
	service.ok = 1;
	st.log_id = log_id;
	st.n_accounts = 1;
	st.accounts = accs;
	st.service = &service;
	st.disk_low = disk_low;
	channel_notify(rig.stored, STORED__TYPE__STORE_STATE, &st.base);
}

static void
rig_store_ready(void)
{
	rig_store_state(0);
}

static void __attribute__((unused)) rig_start(void)
{
	engine_start(&rig.svc);
	rig_store_ready();
	rig_until(rig.a->opened);
}

static void __attribute__((unused)) rig_connect(void)
{
	struct node *n;

	rig.conn++;
	rig_link(NETD__LINK_STATE__STATE__OPEN, NULL);
	n = node_new("success");
	node_set(n, "t", "1700000000");
	node_set(n, "lid", RIG_OWN_LID);
	rig_in(n);
	rig_until(rig.a->state == ACCOUNT_SYNCING);
}

static void __attribute__((unused)) rig_offline_end(void)
{
	struct node *n = node_new("ib");

	node_set_server(n, "from", JID_PN);
	node_set(node_child_new(n, "offline"), "count", "0");
	rig_in(n);
	rig_until(rig.a->state == ACCOUNT_ONLINE);
}

static void __attribute__((unused)) rig_online(void)
{
	rig_start();
	rig_connect();
	rig_offline_end();
	rig_settle();
}

/* The connection is lost. */
static void __attribute__((unused)) rig_lose(void)
{
	rig_link(NETD__LINK_STATE__STATE__CLOSED, "peer_closed");
	rig_until(rig.a->conn == 0);
}

/* The process is killed and started again: what stored has is what remains. */
static void __attribute__((unused)) rig_crash(void)
{
	rig_end_service();
	rig_begin_service();
	rig.conn++;
}

static __attribute__((unused)) struct node *
rig_message(const char *id, const char *text)
{
	struct node *n = node_new("message"), *enc = node_new("enc");
	size_t len, padded_len;
	uint8_t *m = content_text(text, NULL, &len);
	uint8_t *padded = content_pad_with(m, len, 3, &padded_len);
	struct jid from;

	assert_int_equal(jid_parse("100000000000002:5@lid", &from), 0);
	node_set_jid(n, "from", &from);
	node_set(n, "type", "text");
	node_set(n, "id", id);
	node_set(n, "t", "1700000000");
	node_set(n, "notify", "Bob");
	node_set(n, "sender_pn", "15550002222:5@s.whatsapp.net");
	node_set(enc, "v", "2");
	node_set(enc, "type", "msg");
	node_set_bytes(enc, padded, padded_len);
	free(m);
	free(padded);
	return node_add(n, enc);
}

/* How many stanzas with this tag, and (if not NULL) this id and type, went out. */
static size_t __attribute__((unused)) rig_sent(const char *tag, const char *id, const char *type)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nout; i++) {
		const char *t = node_get(rig.out[i], "type"), *d = node_get(rig.out[i], "id");

		n += node_is(rig.out[i], tag) &&
		     (id == NULL || (d != NULL && strcmp(d, id) == 0)) &&
		     (type == NULL || (t != NULL && strcmp(t, type) == 0));
	}
	return n;
}

static __attribute__((unused)) const struct node *
rig_last(const char *tag)
{
	for (size_t i = rig.nout; i > 0; i--)
		if (node_is(rig.out[i - 1], tag))
			return rig.out[i - 1];
	return NULL;
}

static size_t __attribute__((unused)) rig_events(const char *type)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nevents; i++)
		n += strcmp(rig.events[i].type, type) == 0;
	return n;
}

static __attribute__((unused)) const struct rig_event *
rig_event(const char *type)
{
	for (size_t i = rig.nevents; i > 0; i--)
		if (strcmp(rig.events[i - 1].type, type) == 0)
			return &rig.events[i - 1];
	return NULL;
}

static void __attribute__((unused))
rig_done(void *arg, const json_t *result, const struct api_error *err)
{
	rig.answers++;
	json_decref(rig.result);
	rig.result = result != NULL ? json_deep_copy(result) : NULL;
	memset(&rig.err, 0, sizeof(rig.err));
	rig.err_reason[0] = '\0';
	if (err != NULL) {
		rig.err = *err;
		snprintf(rig.err_reason, sizeof(rig.err_reason), "%s", err->reason);
	}
}

static void __attribute__((unused)) rig_send(
    const char *to, const char *key, const char *text, enum send_wait wait, unsigned timeout_ms)
{
	struct send_request rq = {.to = to,
	    .idempotency_key = key,
	    .text = text,
	    .uid = 1000,
	    .wait = wait,
	    .timeout_ms = timeout_ms};

	memset(rq.params_hash, text[0], sizeof(rq.params_hash));
	message_send(rig.a, &rig, &rq, rig_done, NULL);
}

static void __attribute__((unused)) rig_ack(const char *id, const char *error)
{
	struct node *n = node_new("ack");

	node_set(n, "class", "message");
	node_set(n, "id", id);
	node_set(n, "from", RIG_BOB_LID);
	node_set(n, "t", "1700000001");
	node_set(n, "error", error);
	rig_in(n);
}

#endif
