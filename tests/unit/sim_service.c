/* The simulated service without a network: phones of several accounts write to each other through
 * the routing, with faults; queues; retries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/account.h"
#include "tests/sim/crypt.h"
#include "tests/sim/faults.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"

static struct account *
make(const char *name, int migrated)
{
	struct account_options o = {.name = name, .push_name = name, .lid_migrated = migrated};
	const char *why = NULL;
	struct account *a = account_new(&o, &why);

	assert_non_null(a);
	return a;
}

/* Until nothing is left to be done. */
static void
settle(void)
{
	for (int i = 0; i < 200; i++)
		event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

static const char *
text_at(const struct account *a, uint64_t seq, const char *field)
{
	static char out[256];
	json_t *list = phone_inbox(a->phone, seq - 1, 1);
	const char *s = json_string_value(json_object_get(json_array_get(list, 0), field));

	snprintf(out, sizeof(out), "%s", s == NULL ? "" : s);
	json_decref(list);
	return out;
}

static void
write_to(struct account *from, struct account *to, const char *text)
{
	struct jid chat = phone_chat(from->phone, to);
	char id[32];

	assert_int_equal(phone_send_text(from->phone, &chat, text, id), 0);
	settle();
}

static void
arm(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	const char *why = NULL;

	assert_non_null(o);
	assert_true(faults_arm(o, &why) > 0);
	json_decref(o);
}

static void
test_texts(void **state)
{
	struct account *a = make("alice", 1), *b = make("bob", 0);

	(void)state;
	write_to(a, b, "one");
	write_to(b, a, "two");
	write_to(a, b, "three");
	assert_int_equal(phone_inbox_last(b->phone), 2);
	assert_int_equal(phone_inbox_last(a->phone), 1);
	assert_string_equal(text_at(b, 1, "text"), "one");
	assert_string_equal(text_at(b, 1, "type"), "pkmsg");
	assert_string_equal(text_at(b, 2, "text"), "three");
	assert_string_equal(text_at(b, 2, "type"), "msg");
	assert_string_equal(text_at(a, 1, "text"), "two");
	/* each was confirmed, and nothing is left in a queue */
	assert_int_equal(phone_receipts_last(a->phone), 2);
	assert_int_equal(account_phone(a)->queued, 0);
	assert_int_equal(account_phone(b)->queued, 0);
	assert_int_equal(strcmp(strchr(text_at(b, 1, "from"), '@'), "@lid"), 0);
	assert_int_equal(strcmp(strchr(text_at(a, 1, "from"), '@'), "@s.whatsapp.net"), 0);
}

/* A phone that is off gets everything when it is on again, in order. */
static void
test_off(void **state)
{
	struct account *a = make("alice", 1), *b = make("bob", 1);
	char text[16];

	(void)state;
	phone_settings(b->phone)->on = 0;
	for (int i = 1; i <= 300; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		write_to(a, b, text);
	}
	assert_int_equal(phone_inbox_last(b->phone), 0);
	assert_int_equal(account_phone(b)->queued, 300 + 1); /* and the token of a */
	phone_settings(b->phone)->on = 1;
	phone_settings_changed(b->phone);
	settle();
	assert_int_equal(phone_inbox_last(b->phone), 300);
	assert_int_equal(account_phone(b)->queued, 0);
	for (int i = 1; i <= 300; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		assert_string_equal(text_at(b, (uint64_t)i, "text"), text);
	}
}

/* A corrupted message is asked for again and arrives once; so does one that comes twice. */
static void
test_faults(void **state)
{
	struct account *a = make("alice", 1), *b = make("bob", 1);

	(void)state;
	write_to(a, b, "first");
	write_to(b, a, "answer");
	arm("{\"match\":{\"account\":\"bob\",\"direction\":\"out\",\"tag\":\"message\"},\"action\":"
	    "\"corrupt\"}");
	write_to(a, b, "broken");
	assert_int_equal(phone_inbox_last(b->phone), 2);
	assert_string_equal(text_at(b, 2, "text"), "broken");
	arm("{\"match\":{\"account\":\"bob\",\"direction\":\"out\",\"tag\":\"message\"},\"action\":"
	    "\"duplicate\"}");
	write_to(a, b, "twice");
	assert_int_equal(phone_inbox_last(b->phone), 3);
	arm("{\"match\":{\"account\":\"alice\",\"direction\":\"in\",\"tag\":\"message\"},"
	    "\"action\":\"drop\"}");
	write_to(a, b, "lost");
	assert_int_equal(phone_inbox_last(b->phone), 3);
	/* the fault acted once only */
	write_to(a, b, "found");
	assert_string_equal(text_at(b, 4, "text"), "found");
	faults_clear(0);
}

static void
test_fault_words(void **state)
{
	static const char *const bad[] = {"{}", "{\"action\":\"drop\"}",
	    "{\"action\":\"no\",\"match\":{}}",
	    "{\"action\":\"drop\",\"match\":{\"colour\":\"red\"}}",
	    "{\"action\":\"drop\",\"match\":{\"direction\":\"up\"}}",
	    "{\"action\":\"drop\",\"match\":{},\"count\":-1}",
	    "{\"action\":\"drop\",\"match\":{},\"ms\":\"1\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *o = json_loads(bad[i], 0, NULL);
		const char *why = NULL;

		assert_int_equal(faults_arm(o, &why), -1);
		assert_non_null(why);
		json_decref(o);
	}
}

/* Every stanza that a device may send is survived, with parts missing or absurd. */
static void
test_odd_stanzas(void **state)
{
	static const char *const tags[] = {"iq", "message", "receipt", "ack", "presence",
	    "chatstate", "ib", "notification", "call", "nonsense"};
	static const char *const xmlns[] = {"encrypt", "passive", "usync", "md", "abt", "privacy",
	    "blocklist", "w:sync:app:state", "w:p", "w:g2", "urn:xmpp:ping", "w:m", ""};
	static const char *const children[] = {"count", "key", "digest", "rotate", "registration",
	    "active", "usync", "sync", "pair-device", "key-index-list", "link_code_companion_reg",
	    "remove-companion-device", "participants", "enc", "list", "offline_batch", "item",
	    "tokens", "privacy"};
	static const char *const tos[] = {
	    "s.whatsapp.net", "15550000000@s.whatsapp.net", "x@g.us", "1@lid", NULL};
	struct account *a = make("alice", 1);

	(void)state;
	for (int round = 0; round < 20000; round++) {
		const char *to = tos[rng_below(5)];
		struct node *n = node_new(tags[rng_below(10)]);
		struct jid j = account_jid(a, (int)rng_below(2));

		if (to == NULL)
			node_set_jid(n, "to", &j);
		else if (jid_parse(to, &j) == 0)
			node_set_jid(n, "to", &j);
		if (rng_below(8) != 0)
			node_set(n, "id", "x");
		node_set(n, "type", rng_below(2) ? "set" : "get");
		node_set(n, "xmlns", xmlns[rng_below(13)]);
		for (uint32_t c = rng_below(4); c > 0; c--) {
			struct node *child = node_child_new(n, children[rng_below(19)]);

			node_set(child, "count", rng_below(2) ? "-3" : "99999999999999");
			node_set_jid(child, "jid", &j);
			if (rng_below(2))
				node_set_bytes(child, "\1\2\3\4", rng_below(5));
			else
				node_set_jid(
				    node_child_new(child, children[rng_below(19)]), "jid", &j);
		}
		node_free(route_phone(account_phone(a), n));
		if (round % 100 == 0)
			settle();
	}
	settle();
	assert_non_null(account_phone(a));
}

static int
setup(void **state)
{
	(void)state;
	rng_seed(3);
	crypt_init();
	return loop_init();
}

static int
fresh(void **state)
{
	(void)state;
	settle();
	account_free_all();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	account_free_all();
	loop_fini();
	crypt_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_texts, fresh),
	    cmocka_unit_test_setup(test_off, fresh),
	    cmocka_unit_test_setup(test_faults, fresh),
	    cmocka_unit_test(test_fault_words),
	    cmocka_unit_test_setup(test_odd_stanzas, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
