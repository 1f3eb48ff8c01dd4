/* What incoming messages become: texts with what stands beside them, edits, deletions, reactions,
 * everything else; and always the complete message. */
#include "tests/unit/apid_engine_rig.h"

#include <sodium.h>

#include "apid/message/pbjson.h"
#include "apid/rpc/api_table.h"

#define ID  "3EB0C767D82B0A7D7B5F12"
#define ID2 "3EB0C767D82B0A7D7B5F13"
#define BOB "100000000000002@lid"

static json_t *
parse(const char *text)
{
	json_error_t e;
	json_t *o = json_loads(text, 0, &e);

	if (o == NULL)
		fail_msg("%s at %d", e.text, e.position);
	return o;
}

/* A message of Bob with this content. */
static void
bob_says(const char *id, const json_t *message)
{
	struct node *n = rig_message(id, "x"), *enc = n->children[0];
	struct pbjson_error err;
	struct buf b = BUF_INIT;

	if (pbjson_in(&e2e__message__descriptor, message, &b, &err) == -1)
		fail_msg("%s: %s", err.path, err.message);
	assert_int_equal(buf_put(&b, "\1", 1), 0);
	node_set_bytes(enc, b.data, b.len);
	buf_clear(&b);
	rig_in(n);
	rig_until(rig_sent("receipt", id, NULL) == 1);
}

static void
bob_says_text(const char *id, const char *json)
{
	json_t *o = parse(json);

	bob_says(id, o);
	json_decref(o);
}

/* part has nothing that whole has not. */
static void
holds(const json_t *whole, const char *part_text)
{
	json_t *part = parse(part_text), *v, *w;
	const char *key;

	json_object_foreach(part, key, v)
	{
		w = json_object_get(whole, key);
		if (w == NULL || !json_equal(w, v))
			fail_msg(
			    "%s is %s", key, w == NULL ? "absent" : json_dumps(w, JSON_ENCODE_ANY));
	}
	json_decref(part);
}

/* All that the event has is in the table of the API. */
static void
is_documented(const struct api_field *f, const json_t *body)
{
	json_t *o = (json_t *)(uintptr_t)body, *v;
	const char *key;

	json_object_foreach(o, key, v)
	{
		const struct api_field *k = f;

		while (k->name != NULL && strcmp(k->name, key) != 0)
			k++;
		if (k->name == NULL)
			fail_msg("%s is not in the table", key);
		if (k->type == API_OBJECT && k->fields != NULL)
			is_documented(k->fields, v);
	}
}

static const json_t *
body_of(const char *type)
{
	const struct rig_event *e = rig_event(type);

	assert_non_null(e);
	is_documented(api_event_find(type)->body, e->body);
	return e->body;
}

static const char *
str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* The object is the message, whole: it gives the same bytes. */
static void
is_complete(const json_t *carrier, const json_t *message)
{
	if (!json_equal(json_object_get(carrier, "object"), message))
		fail_msg("%s", json_dumps(json_object_get(carrier, "object"), 0));
	assert_null(json_object_get(carrier, "object_left_out"));
	assert_true(str(carrier, "raw_b64")[0] != '\0');
}

static void
reply(void **state)
{
	json_t *m = parse(
	    "{\"extended_text_message\":{\"text\":\"yes @15550003333\",\"context_info\":{"
	    "\"stanza_id\":\"3EB0AA\",\"participant\":\"" BOB "\",\"quoted_message\":{"
	    "\"conversation\":\"really?\"},\"mentioned_jid\":[\"15550003333@s.whatsapp.net\","
	    "\"status@broadcast\"],\"forwarding_score\":3,\"is_forwarded\":true,"
	    "\"expiration\":86400}},\"message_context_info\":{\"message_secret_b64\":\"AAECAw==\"},"
	    "\"_unknown\":{\"5000\":\"wLgCBQ==\"}}");
	const json_t *msg, *q;

	rig_online();
	bob_says(ID, m);
	assert_int_equal(rig_events("message.received"), 1);
	msg = json_object_get(body_of("message.received"), "message");
	holds(msg, "{\"content\":{\"kind\":\"text\",\"text\":\"yes @15550003333\"},"
		   "\"forwarded_score\":3,\"expires_in_s\":86400}");
	q = json_object_get(msg, "quoted");
	holds(
	    q, "{\"message_id\":\"3EB0AA\",\"content\":{\"kind\":\"text\",\"text\":\"really?\"}}");
	assert_string_equal(str(json_object_get(q, "sender"), "lid"), BOB);
	assert_string_equal(
	    str(json_object_get(q, "sender"), "id"), str(json_object_get(msg, "sender"), "id"));
	assert_int_equal(json_array_size(json_object_get(msg, "mentions")), 1);
	assert_string_equal(
	    str(json_array_get(json_object_get(msg, "mentions"), 0), "phone"), "+15550003333");
	is_complete(msg, m);
	json_decref(m);
}

static void
edited(void **state)
{
	json_t *m = parse("{\"protocol_message\":{\"key\":{\"from_me\":true,\"id\":\"3EB0AA\"},"
			  "\"type\":\"MESSAGE_EDIT\",\"edited_message\":{\"conversation\":\"new\"},"
			  "\"timestamp_ms\":1700000000500}}");

	rig_online();
	bob_says(ID, m);
	holds(body_of("message.edited"),
	    "{\"message_id\":\"3EB0AA\",\"by_message_id\":\"" ID "\",\"from_me\":false,"
	    "\"time_ms\":1700000000000,\"content\":{\"kind\":\"text\",\"text\":\"new\"}}");
	assert_string_equal(
	    str(json_object_get(body_of("message.edited"), "editor"), "phone"), "+15550002222");
	is_complete(body_of("message.edited"), m);
	/* the other form: in a wrapper of its own */
	m = json_pack("{s:{s:o}}", "edited_message", "message", m);
	bob_says(ID2, m);
	assert_int_equal(rig_events("message.edited"), 2);
	is_complete(body_of("message.edited"), m);
	assert_int_equal(rig_events("message.received"), 0);
	json_decref(m);
}

static void
deleted(void **state)
{
	rig_online();
	bob_says_text(ID, "{\"protocol_message\":{\"key\":{\"from_me\":true,\"id\":\"3EB0AA\"},"
			  "\"type\":\"REVOKE\"}}");
	holds(body_of("message.deleted"), "{\"message_id\":\"3EB0AA\",\"by_admin\":false,"
					  "\"object\":{\"protocol_message\":{\"key\":{\"from_me\":"
					  "true,\"id\":\"3EB0AA\"},\"type\":\"REVOKE\"}}}");
	assert_int_equal(rig_events("message.received"), 0);
}

/* Nobody changes or takes back what the other wrote: it is told, and does nothing. */
static void
not_the_author(void **state)
{
	rig_online();
	bob_says_text(ID, "{\"protocol_message\":{\"key\":{\"from_me\":false,\"id\":\"3EB0AA\"},"
			  "\"type\":\"REVOKE\"}}");
	bob_says_text(ID2, "{\"protocol_message\":{\"key\":{\"id\":\"3EB0AA\"},\"type\":"
			   "\"MESSAGE_EDIT\",\"edited_message\":{\"conversation\":\"forged\"}}}");
	assert_int_equal(rig_events("message.deleted"), 0);
	assert_int_equal(rig_events("message.edited"), 0);
	assert_int_equal(rig_events("message.received"), 2);
	assert_string_equal(
	    str(json_object_get(json_object_get(body_of("message.received"), "message"), "content"),
		"protocol"),
	    "MESSAGE_EDIT");
}

static void
reaction(void **state)
{
	rig_online();
	bob_says_text(ID, "{\"reaction_message\":{\"key\":{\"from_me\":false,\"id\":\"3EB0AA\"},"
			  "\"text\":\"\xf0\x9f\x91\x8d\",\"sender_timestamp_ms\":5}}");
	holds(body_of("message.reaction"),
	    "{\"message_id\":\"3EB0AA\",\"text\":\"\xf0\x9f\x91\x8d\",\"encrypted\":false,"
	    "\"target_from_me\":true}");
	bob_says_text(ID2, "{\"reaction_message\":{\"key\":{\"from_me\":true,\"id\":\"3EB0AB\"},"
			   "\"text\":\"\"}}");
	holds(body_of("message.reaction"), "{\"text\":\"\",\"target_from_me\":false}");
	assert_int_equal(rig_events("message.received"), 0);
}

/* The stanza comes twice: one event. */
static void
told_once(void **state)
{
	json_t *m = parse("{\"reaction_message\":{\"key\":{\"id\":\"3EB0AA\"},\"text\":\"x\"}}");

	rig_online();
	bob_says(ID, m);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	rig_in(rig_message(ID, "x"));
	rig_until(rig_sent("receipt", ID, NULL) == 2);
	assert_int_equal(rig_events("message.reaction"), 1);
	assert_int_equal(rig_events("message.undecryptable"), 0);
	json_decref(m);
}

static void
kinds(void **state)
{
	static const struct {
		const char *message, *content;
	} rows[] = {
	    {"{\"image_message\":{\"mimetype\":\"image/"
	     "jpeg\",\"caption\":\"see\",\"file_sha256_b64\":"
	     "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\",\"file_length\":1234,\"height\":3,"
	     "\"width\":4}}",
		"{\"kind\":\"image\",\"media\":{\"sha256\":"
		"\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\",\"mime\":"
		"\"image/jpeg\",\"size\":1234,\"caption\":\"see\",\"width\":4,\"height\":3}}"},
	    {"{\"audio_message\":{\"seconds\":7,\"ptt\":true}}",
		"{\"kind\":\"voice\",\"media\":{\"duration_s\":7}}"},
	    {"{\"video_message\":{\"gif_playback\":true}}", "{\"kind\":\"gif\",\"media\":{}}"},
	    {"{\"document_with_caption_message\":{\"message\":{\"document_message\":{\"file_name\":"
	     "\"a.pdf\",\"page_count\":2}}}}",
		"{\"kind\":\"document\",\"media\":{\"file_name\":\"a.pdf\",\"pages\":2}}"},
	    {"{\"location_message\":{\"degrees_latitude\":1.5,\"degrees_longitude\":-2.25,\"name\":"
	     "\"here\"}}",
		"{\"kind\":\"location\",\"latitude\":1.5,\"longitude\":-2.25,\"name\":\"here\"}"},
	    {"{\"contact_message\":{\"display_name\":\"Eve\",\"vcard\":\"BEGIN\"}}",
		"{\"kind\":\"contact\",\"name\":\"Eve\",\"vcard\":\"BEGIN\"}"},
	    {"{\"contacts_array_message\":{\"contacts\":[{\"display_name\":\"E\",\"vcard\":\"B\"}]}"
	     "}",
		"{\"kind\":\"contacts\",\"contacts\":[{\"name\":\"E\",\"vcard\":\"B\"}]}"},
	    {"{\"poll_creation_message_v3\":{\"name\":\"q\",\"options\":[{\"option_name\":\"a\"},{}"
	     "],"
	     "\"selectable_options_count\":1}}",
		"{\"kind\":\"poll\",\"name\":\"q\",\"selectable\":1,\"options\":[\"a\",\"\"]}"},
	    {"{\"pin_in_chat_message\":{\"key\":{\"id\":\"3EB0AA\"},\"type\":\"PIN_FOR_ALL\"}}",
		"{\"kind\":\"pin\",\"message_id\":\"3EB0AA\",\"pinned\":true}"},
	    {"{\"call\":{}}", "{\"kind\":\"unknown\"}"},
	};
	char id[32];

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *m = parse(rows[i].message), *want = parse(rows[i].content);
		const json_t *msg;

		snprintf(id, sizeof(id), "3EB0BB%zu", i);
		bob_says(id, m);
		msg = json_object_get(body_of("message.received"), "message");
		if (!json_equal(json_object_get(msg, "content"), want))
			fail_msg("%s", json_dumps(json_object_get(msg, "content"), 0));
		is_complete(msg, m);
		json_decref(want);
		json_decref(m);
	}
}

/* Too much for one event: what is missing is named, and the bytes are all there. */
static void
too_much(void **state)
{
	size_t len = 90000;
	char *b64 = malloc(len * 4 / 3 + 8);
	uint8_t *thumb = calloc(1, len);
	json_t *m;
	const json_t *msg, *left;

	sodium_bin2base64(b64, len * 4 / 3 + 8, thumb, len, sodium_base64_VARIANT_ORIGINAL);
	m = json_pack(
	    "{s:{s:s, s:s}}", "image_message", "caption", "big", "jpeg_thumbnail_b64", b64);
	rig_online();
	bob_says(ID, m);
	msg = json_object_get(body_of("message.received"), "message");
	holds(msg,
	    "{\"object\":{\"image_message\":{\"caption\":\"big\"}},\"object_left_out\":["
	    "\"image_message.jpeg_thumbnail_b64\"],\"content\":{\"kind\":\"image\",\"media\":"
	    "{\"caption\":\"big\"}}}");
	assert_true(strlen(str(msg, "raw_b64")) > len);
	json_decref(m);
	/* so big that no room is left at all */
	memset(b64, 'a', len);
	b64[len] = '\0';
	m = json_pack("{s:{s:s, s:s}}", "extended_text_message", "text", b64, "title", b64);
	bob_says(ID2, m);
	msg = json_object_get(body_of("message.received"), "message");
	left = json_object_get(msg, "object_left_out");
	assert_true(json_array_size(left) > 0);
	json_decref(m);
	free(thumb);
	free(b64);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(reply),
	    T(edited),
	    T(deleted),
	    T(not_the_author),
	    T(reaction),
	    T(told_once),
	    T(kinds),
	    T(too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
