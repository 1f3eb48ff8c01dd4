/* Secrets of messages on their way to keyd, and what was encrypted under one. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/props.h"

#include "apid/message/addon.h"
#include "apid/message/secrets.h"
#include "common/pb.h"

#define ID     "3EB0C767D82B0A7D7B5F12"
#define TARGET "3EB0AAAAAAAAAAAAAAAAAA"
#define T      INT64_C(1700000000) /* of rig_message */
#define DAY    INT64_C(86400)
#define LID    "100000000000002@lid"
#define PN     "15550002222@s.whatsapp.net"
#define ME     "100000000000009@lid"
#define ME_PN  "15551234567@s.whatsapp.net"

#define TEXT(s) ((char *)(uintptr_t)(s))

static uint8_t secret[32] = {1, 2, 3}, iv[12], payload[40];

static ProtobufCBinaryData
bytes(uint8_t *p, size_t n)
{
	return (ProtobufCBinaryData){n, p};
}

/* The message as it comes from bob's fifth device, or from our own phone to bob. */
static struct node *
message(const E2e__Message *m, const char *id, int from_me)
{
	struct node *n = rig_message(id, "x"), *enc = node_child(n, "enc");
	size_t len, padded_len;
	uint8_t *packed = pb_pack(&m->base, &len);
	uint8_t *padded = content_pad_with(packed, len, 5, &padded_len);
	struct jid j;

	node_set_bytes(enc, padded, padded_len);
	free(packed);
	free(padded);
	if (from_me) {
		assert_int_equal(jid_parse(ME, &j), 0);
		node_set_jid(n, "from", &j);
		node_set(n, "sender_pn", NULL);
		assert_int_equal(jid_parse(LID, &j), 0);
		node_set_jid(n, "recipient", &j);
	}
	return n;
}

static void
bring(const E2e__Message *m, const char *id, int from_me)
{
	size_t was = rig.nevents, receipts = rig_sent("receipt", id, NULL);

	rig_in(message(m, id, from_me));
	rig_until(rig_sent("receipt", id, NULL) == receipts + 1);
	assert_true(rig.nevents > was);
}

/* ------------------------------------------------------------------ keeping */

struct parts {
	E2e__Message m;
	E2e__MessageContextInfo info;
	E2e__ExtendedTextMessage text;
	E2e__ContextInfo context;
	E2e__PollCreationMessage poll;
	E2e__EventMessage event;
};

static void
parts(struct parts *p, size_t secret_len)
{
	e2e__message__init(&p->m);
	e2e__message_context_info__init(&p->info);
	e2e__extended_text_message__init(&p->text);
	e2e__context_info__init(&p->context);
	e2e__poll_creation_message__init(&p->poll);
	e2e__event_message__init(&p->event);
	p->info.has_message_secret = secret_len > 0;
	p->info.message_secret = bytes(secret, secret_len);
	p->m.message_context_info = &p->info;
}

static void
received(void **state)
{
	struct parts p;

	rig_online();
	parts(&p, 32);
	p.m.conversation = TEXT("hello");
	rig.hold_commits = 1;
	rig_in(message(&p.m, ID, 0));
	rig_until(rig.nheld == 1);
	assert_int_equal(rig.nsecrets, 1); /* before the commit */
	rig_settle();
	assert_int_equal(rig_sent("receipt", ID, NULL), 0);
	rig_release();
	rig_until(rig_sent("receipt", ID, NULL) == 1);
	assert_string_equal(rig.secrets[0].name, LID " them " ID);
	assert_memory_equal(rig.secrets[0].secret, secret, 32);
	assert_int_equal(rig.secrets[0].message_s, T);
	assert_int_equal(rig.secrets[0].expires_s, T + 30 * DAY);
	assert_int_equal(rig_events("message.received"), 1);
}

/* Which are kept, and for how long. */
static void
kinds(void **state)
{
	static const struct {
		int what; /* 0 text, 1 poll, 2 event, 3 forwarded, 4 edit */
		size_t len;
		int64_t days; /* 0 = not kept */
	} rows[] = {{0, 32, 30}, {1, 32, 90}, {2, 32, 90}, {3, 32, 0}, {0, 31, 0}, {0, 0, 0}};
	char id[8];

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t was = rig.nsecrets;
		struct parts p;

		parts(&p, rows[i].len);
		p.text.text = TEXT("x");
		p.context.has_is_forwarded = p.context.is_forwarded = 1;
		p.text.context_info = &p.context;
		if (rows[i].what == 0)
			p.m.conversation = TEXT("x");
		else if (rows[i].what == 1)
			p.m.poll_creation_message_v3 = &p.poll;
		else if (rows[i].what == 2)
			p.m.event_message = &p.event;
		else
			p.m.extended_text_message = &p.text;
		snprintf(id, sizeof(id), "M%zu", i);
		bring(&p.m, id, 0);
		assert_int_equal(rig.nsecrets - was, rows[i].days > 0);
		if (rows[i].days > 0)
			assert_int_equal(rig.secrets[was].expires_s, T + rows[i].days * DAY);
	}
}

/* Our own, from this device with ENCRYPT, and from another one; there the secret may stand beside
 * the copy. */
static void
our_own(void **state)
{
	E2e__Message outer = E2E__MESSAGE__INIT;
	E2e__DeviceSentMessage d = E2E__DEVICE_SENT_MESSAGE__INIT;
	struct parts p;
	char name[200];

	rig_online();
	rig_send(RIG_BOB_PN, "k1", "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	assert_int_equal(rig.nsecrets, 1);
	snprintf(name, sizeof(name), LID " me %s", node_get(rig_last("message"), "id"));
	assert_string_equal(rig.secrets[0].name, name);
	assert_non_null(node_child(rig_last("message"), "reporting"));
	parts(&p, 32);
	p.m.conversation = TEXT("hello");
	p.m.message_context_info = NULL;
	d.destination_jid = TEXT(LID);
	d.message = &p.m;
	outer.device_sent_message = &d;
	outer.message_context_info = &p.info;
	bring(&outer, ID, 1);
	assert_int_equal(rig.nsecrets, 2);
	assert_string_equal(rig.secrets[1].name, LID " me " ID);
}

/* ------------------------------------------------------------------ opening */

struct added {
	E2e__Message m;
	Wacommon__MessageKey key;
	E2e__EncReactionMessage reaction;
	E2e__SecretEncryptedMessage edit;
	E2e__PollUpdateMessage update;
	E2e__PollEncValue vote;
};

static void
added(struct added *a, int from_me)
{
	memset(a, 0, sizeof(*a));
	e2e__message__init(&a->m);
	wacommon__message_key__init(&a->key);
	e2e__enc_reaction_message__init(&a->reaction);
	e2e__secret_encrypted_message__init(&a->edit);
	e2e__poll_update_message__init(&a->update);
	e2e__poll_enc_value__init(&a->vote);
	a->key.id = TEXT(TARGET);
	a->key.has_from_me = 1;
	a->key.from_me = from_me;
	a->reaction.target_message_key = a->edit.target_message_key =
	    a->update.poll_creation_message_key = &a->key;
	a->reaction.has_enc_iv = a->edit.has_enc_iv = a->vote.has_enc_iv = 1;
	a->reaction.has_enc_payload = a->edit.has_enc_payload = a->vote.has_enc_payload = 1;
	a->reaction.enc_iv = a->edit.enc_iv = a->vote.enc_iv = bytes(iv, sizeof(iv));
	a->reaction.enc_payload = a->edit.enc_payload = a->vote.enc_payload =
	    bytes(payload, sizeof(payload));
	a->update.vote = &a->vote;
	a->edit.has_secret_enc_type = 1;
	a->edit.secret_enc_type = E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__MESSAGE_EDIT;
}

static void
answer(const ProtobufCMessage *plain, int64_t message_s)
{
	size_t len;
	uint8_t *packed = pb_pack(plain, &len);

	assert_true(len <= sizeof(rig.addon.plain));
	memcpy(rig.addon.plain, packed, len);
	rig.addon.plain_len = len;
	rig.addon.outcome = KEYD__ADDON_OPENED__OUTCOME__DONE;
	rig.addon.message_s = message_s;
	free(packed);
}

/* 17.2, of all four: who wrote, who adds. The first that is tried is what the key and the stanza
 * say.
 */
static void
who(void **state)
{
	static const struct {
		int from_me, key_from_me;
		const char *remote, *names, *authors, *senders;
	} rows[] = {
	    {0, 0, ME_PN, "|" LID " me " TARGET "|" PN " me " TARGET, "|" ME_PN "|" ME,
		"|" LID "|" PN},
	    {0, 1, ME, "|" LID " them " TARGET "|" PN " them " TARGET, "|" LID "|" PN,
		"|" LID "|" PN},
	    {1, 0, PN, "|" LID " them " TARGET "|" PN " them " TARGET, "|" PN "|" LID,
		"|" ME "|" ME_PN},
	    {1, 1, LID, "|" LID " me " TARGET "|" PN " me " TARGET, "|" ME "|" ME_PN,
		"|" ME "|" ME_PN},
	};
	E2e__ReactionMessage r = E2E__REACTION_MESSAGE__INIT;
	E2e__DeviceSentMessage d = E2E__DEVICE_SENT_MESSAGE__INIT;
	char id[8];

	rig_online();
	r.text = TEXT("y");
	answer(&r.base, T);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		E2e__Message outer = E2E__MESSAGE__INIT;
		const struct rig_event *e;
		struct added a;

		added(&a, rows[i].key_from_me);
		a.key.remote_jid = TEXT(rows[i].remote);
		a.m.enc_reaction_message = &a.reaction;
		d.message = &a.m;
		d.destination_jid = TEXT(LID);
		outer.device_sent_message = &d;
		snprintf(id, sizeof(id), "M%zu", i);
		bring(rows[i].from_me ? &outer : &a.m, id, rows[i].from_me);
		assert_int_equal(rig.addon.asked, i + 1);
		assert_int_equal(rig.addon.use, KEYD__ADDON_OPEN__USE__REACTION);
		assert_string_equal(rig.addon.id, TARGET);
		assert_string_equal(rig.addon.names, rows[i].names);
		assert_string_equal(rig.addon.authors, rows[i].authors);
		assert_string_equal(rig.addon.senders, rows[i].senders);
		e = rig_event("message.reaction");
		assert_string_equal(
		    json_string_value(json_object_get(e->body, "message_id")), TARGET);
		assert_true(json_is_true(json_object_get(e->body, "encrypted")));
	}
	assert_int_equal(rig_events("message.reaction"), 4);
}

/* Told as it came when it cannot be opened, does not parse, or does not count. */
static void
not_opened(void **state)
{
	static const struct {
		int outcome;
		const char *error;
		int edit, from_me; /* edit: of a message of that age */
		int64_t age;
		int opened;
	} rows[] = {
	    {KEYD__ADDON_OPENED__OUTCOME__NO_SECRET, NULL, 0, 1, 0, 0},
	    {KEYD__ADDON_OPENED__OUTCOME__BAD_TAG, NULL, 0, 1, 0, 0}, {0, "store", 0, 1, 0, 0},
	    {KEYD__ADDON_OPENED__OUTCOME__DONE, NULL, 1, 1, 1200 - 1, 1},
	    {KEYD__ADDON_OPENED__OUTCOME__DONE, NULL, 1, 1, 1200, 0},
	    {KEYD__ADDON_OPENED__OUTCOME__DONE, NULL, 1, 0, 0, 0}, /* of another's message */
	};
	E2e__Message text = E2E__MESSAGE__INIT;
	char id[8];
	struct added a;

	rig_online();
	text.conversation = TEXT("new");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t edits = rig_events("message.edited");
		size_t messages = rig_events("message.received");

		answer(&text.base, T - rows[i].age);
		rig.addon.outcome = rows[i].outcome;
		rig.addon.error = rows[i].error;
		added(&a, rows[i].from_me);
		if (rows[i].edit)
			a.m.secret_encrypted_message = &a.edit;
		else
			a.m.enc_reaction_message = &a.reaction;
		snprintf(id, sizeof(id), "M%zu", i);
		bring(&a.m, id, 0);
		assert_int_equal(rig_events("message.edited") - edits, rows[i].opened);
		assert_int_equal(rig_events("message.received") - messages, !rows[i].opened);
	}
	/* the service sets another window */
	props_restore(rig.a, "1 2983=60", "h");
	rig.addon.error = NULL;
	rig.addon.outcome = KEYD__ADDON_OPENED__OUTCOME__DONE;
	for (int late = 0; late < 2; late++) {
		size_t edits = rig_events("message.edited");

		answer(&text.base, T - 59 - late);
		added(&a, 1);
		a.m.secret_encrypted_message = &a.edit;
		bring(&a.m, late ? "N1" : "N0", 0);
		assert_int_equal(rig_events("message.edited") - edits, !late);
	}
	/* the new text may also stand alone, without the edit around it */
	assert_string_equal(
	    json_string_value(json_object_get(
		json_object_get(rig_event("message.edited")->body, "content"), "text")),
	    "new");
	/* garbage under a right tag */
	rig.addon.error = NULL;
	rig.addon.outcome = KEYD__ADDON_OPENED__OUTCOME__DONE;
	memset(rig.addon.plain, 0xff, 9);
	rig.addon.plain_len = 9;
	added(&a, 1);
	a.m.poll_update_message = &a.update;
	bring(&a.m, "M9", 0);
	assert_int_equal(rig_events("message.poll_vote"), 0);
	assert_int_equal(rig_events("message.received"), 7);
}

/* What is malformed is not asked about; of two in one stanza one is opened, both are told. */
static void
odd(void **state)
{
	E2e__PollVoteMessage v = E2E__POLL_VOTE_MESSAGE__INIT;
	struct added a;
	struct node *n;

	rig_online();
	answer(&v.base, T);
	added(&a, 1);
	a.m.poll_update_message = &a.update;
	a.vote.enc_iv.len = 11;
	bring(&a.m, "M1", 0);
	a.vote.enc_iv.len = 12;
	a.vote.enc_payload.len = 15;
	bring(&a.m, "M2", 0);
	a.vote.enc_payload.len = 16;
	a.key.id = TEXT("");
	bring(&a.m, "M3", 0);
	a.key.id = TEXT(TARGET);
	a.update.vote = NULL; /* only its metadata */
	bring(&a.m, "M4", 0);
	assert_int_equal(rig.addon.asked, 0);
	assert_int_equal(rig_events("message.received"), 4);
	a.update.vote = &a.vote;
	n = message(&a.m, "M5", 0);
	node_add(n, node_set_bytes(node_set(node_set(node_new("enc"), "v", "2"), "type", "msg"),
			node_child(n, "enc")->bytes, node_child(n, "enc")->nbytes));
	rig_in(n);
	rig_until(rig_sent("receipt", "M5", NULL) == 1);
	assert_int_equal(rig.addon.asked, 1);
	assert_int_equal(rig_events("message.poll_vote") + rig_events("message.received"), 4 + 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    TEST(received),
	    TEST(kinds),
	    TEST(our_own),
	    TEST(who),
	    TEST(not_opened),
	    TEST(odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
