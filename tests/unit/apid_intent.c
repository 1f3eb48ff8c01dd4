/* What clients want to say as messages, what is refused, and what the stanza says of each message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/content.h"
#include "apid/message/intent.h"
#include "apid/message/pbjson.h"
#include "apid/message/stanza_kind.h"

#define BOB "100000000000002@lid"
#define ME  "100000000000001@lid"
#define SECRET                                                                                     \
	"\"message_context_info\":{\"message_secret_b64\":"                                        \
	"\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\",\"reporting_token_version\":2}"

static json_t *
parse(const char *text)
{
	json_error_t e;
	json_t *o = json_loads(text, 0, &e);

	if (o == NULL)
		fail_msg("%s in %s", e.text, text);
	return o;
}

struct row {
	enum send_act act;
	const char *text, *target;
	int from_me;
	const char *options;
	const char *want; /* the message; or the path of what is wrong */
};

static struct intent *
make(const struct row *r, struct api_error *e)
{
	json_t *options = r->options == NULL ? NULL : parse(r->options);
	struct send_request rq = {.act = r->act,
	    .text = r->text,
	    .target = r->target,
	    .target_from_me = r->from_me,
	    .options = options};
	struct intent *in = intent_new(&rq, e);

	json_decref(options);
	return in;
}

/* To bob, by LID; the person who is mentioned has a number and a LID. */
static json_t *
encoded(const struct intent *in)
{
	struct person eve = {.id = "u_x", .pn = "15550003333", .lid = "100000000000003"};
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	struct intent_where w = {.mentioned = &eve};
	const char *names[SEND_MENTIONS_MAX];
	uint8_t secret[32], *bytes;
	const E2e__Message *m;
	struct jid chat, own;
	json_t *o, *left;
	size_t len;

	memset(secret, 7, sizeof(secret));
	assert_int_equal(jid_parse(BOB, &chat), 0);
	assert_int_equal(jid_parse(ME, &own), 0);
	w.chat = &chat;
	w.own = &own;
	w.nmentioned = intent_mentions(in, names);
	assert_true(w.nmentioned <= 1);
	assert_non_null(bytes = intent_encode(in, &w, secret, 1700000000123, &len));
	assert_non_null(m = content_parse(bytes, len, arena, NULL));
	assert_non_null(o = pbjson_out(&m->base, 1u << 20, &left));
	free(bytes);
	pb_arena_free(arena);
	return o;
}

#define KEY(me) "\"key\":{\"remote_jid\":\"" BOB "\",\"from_me\":" me ",\"id\":\"3EB0AA\"}"
static void
messages(void **state)
{
	static const struct row rows[] = {
	    {SEND_ACT_NEW, "hi", NULL, 0, NULL, "{\"conversation\":\"hi\"," SECRET "}"},
	    {SEND_ACT_NEW, "hi", NULL, 0, "{\"wait\":\"queued\"}",
		"{\"conversation\":\"hi\"," SECRET "}"},
	    {SEND_ACT_NEW, "hi", NULL, 0, "{\"reply_to\":\"3EB0AA\"}",
		"{\"extended_text_message\":{\"text\":\"hi\",\"context_info\":{\"stanza_id\":"
		"\"3EB0AA\",\"participant\":\"" BOB
		"\",\"quoted_message\":{\"conversation\":\"\"}}}," SECRET "}"},
	    {SEND_ACT_NEW, "hi", NULL, 0,
		"{\"reply_to\":\"3EB0AA\",\"reply_from_me\":true,\"reply_text\":\"ho\"}",
		"{\"extended_text_message\":{\"text\":\"hi\",\"context_info\":{\"stanza_id\":"
		"\"3EB0AA\",\"participant\":\"" ME
		"\",\"quoted_message\":{\"conversation\":\"ho\"}}}," SECRET "}"},
	    {SEND_ACT_NEW, "hi @x", NULL, 0,
		"{\"mentions\":[\"+15550003333\"],\"expires_in_s\":60}",
		"{\"extended_text_message\":{\"text\":\"hi @x\",\"context_info\":{"
		"\"mentioned_jid\":[\"100000000000003@lid\"],\"expiration\":60}}," SECRET "}"},
	    {SEND_ACT_NEW, "hi", NULL, 0, "{\"forwarded_score\":4}",
		"{\"extended_text_message\":{\"text\":\"hi\",\"context_info\":{"
		"\"forwarding_score\":4,\"is_forwarded\":true}}," SECRET "}"},
	    {SEND_ACT_NEW, "see x.org", NULL, 0,
		"{\"preview\":{\"url\":\"x.org\",\"title\":\"X\",\"thumbnail_b64\":\"/9j/\"}}",
		"{\"extended_text_message\":{\"text\":\"see x.org\",\"matched_text\":\"x.org\","
		"\"title\":\"X\",\"preview_type\":\"NONE\",\"jpeg_thumbnail_b64\":\"/9j/\"}," SECRET
		"}"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"contact_message\":{\"vcard\":\"B\"}}}"
		"}",
		"{\"contact_message\":{\"vcard\":\"B\"}," SECRET "}"},
	    /* a secret that it has stays; what is about another message has none */
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"conversation\":\"x\","
		"\"message_context_info\":{\"message_secret_b64\":\"AAAA\"}}}}",
		"{\"conversation\":\"x\",\"message_context_info\":{\"message_secret_b64\":\"AAAA\","
		"\"reporting_token_version\":2}}"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"pin_in_chat_message\":{\"type\":"
		"\"PIN_FOR_ALL\"}}}}",
		"{\"pin_in_chat_message\":{\"type\":\"PIN_FOR_ALL\"}}"},
	    {SEND_ACT_EDIT, "new", "3EB0AA", 0, "{}",
		"{\"protocol_message\":{" KEY(
		    "true") ",\"type\":\"MESSAGE_EDIT\",\"edited_message\":{"
			    "\"conversation\":\"new\"},\"timestamp_ms\":1700000000123}}"},
	    {SEND_ACT_DELETE, NULL, "3EB0AA", 0, NULL,
		"{\"protocol_message\":{" KEY("true") ",\"type\":\"REVOKE\"}}"},
	    {SEND_ACT_REACT, "x", "3EB0AA", 0, NULL,
		"{\"reaction_message\":{" KEY("false") ",\"text\":\"x\",\"sender_timestamp_ms\":"
						       "1700000000123}}"},
	    {SEND_ACT_REACT, "", "3EB0AA", 1, NULL,
		"{\"reaction_message\":{" KEY("true") ",\"text\":\"\",\"sender_timestamp_ms\":"
						      "1700000000123}}"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct api_error e;
		struct intent *in = make(&rows[i], &e);
		json_t *want = parse(rows[i].want), *got;

		if (in == NULL)
			fail_msg("row %zu: %s", i, e.message);
		got = encoded(in);
		if (!json_equal(got, want))
			fail_msg("row %zu: %s", i, json_dumps(got, 0));
		json_decref(got);
		json_decref(want);
		intent_free(in);
	}
}

static void
refused(void **state)
{
	static const struct row rows[] = {
	    {SEND_ACT_NEW, NULL, NULL, 0, "{}", "text"},
	    {SEND_ACT_NEW, "", NULL, 0, NULL, "text"},
	    {SEND_ACT_EDIT, "", "3EB0AA", 0, NULL, "text"},
	    {SEND_ACT_EDIT, "x", "", 0, NULL, "message_id"},
	    {SEND_ACT_DELETE, NULL, NULL, 0, NULL, "message_id"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"reply_text\":\"y\"}", "reply_to"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"mentions\":[\"nobody\"]}", "mentions"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"mentions\":[\"1-2@g.us\"]}", "mentions"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"preview\":{\"url\":\"y\"}}", "preview.url"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"preview\":{\"url\":\"x\",\"thumbnail_b64\":\"?\"}}",
		"preview.thumbnail_b64"},
	    {SEND_ACT_NEW, "x", NULL, 0, "{\"content\":{\"kind\":\"raw\",\"object\":{}}}",
		"content"},
	    {SEND_ACT_NEW, NULL, NULL, 0, "{\"content\":{\"kind\":\"raw\"}}", "content.object"},
	    {SEND_ACT_NEW, NULL, NULL, 0, "{\"content\":{\"kind\":\"raw\",\"object\":{}}}",
		"content.object"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"reply_to\":\"x\",\"content\":{\"kind\":\"raw\",\"object\":{\"call\":{}}}}",
		"content"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"album_message\":{\"x\":1}}}}",
		"content.object.album_message.x"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"sender_key_distribution_message\":{}}"
		"}}",
		"content.object"},
	    {SEND_ACT_NEW, NULL, NULL, 0,
		"{\"content\":{\"kind\":\"raw\",\"object\":{\"protocol_message\":{\"type\":"
		"\"LID_MIGRATION_MAPPING_SYNC\"}}}}",
		"content.object"},
	};
	struct row big = {SEND_ACT_NEW, NULL, NULL, 0, NULL, "text"};
	char *text = calloc(1, CONTENT_TEXT_MAX + 2);
	struct api_error e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (make(&rows[i], &e) != NULL)
			fail_msg("row %zu is taken", i);
		assert_string_equal(e.path, rows[i].want);
		assert_true(e.message[0] != '\0');
	}
	memset(text, 'a', CONTENT_TEXT_MAX + 1);
	big.text = text;
	assert_null(make(&big, &e));
	assert_string_equal(e.reason, "too_large");
	free(text);
}

/* A person who is mentioned is not known: nothing goes out without him. */
static void
mention_unknown(void **state)
{
	static const struct row r = {
	    SEND_ACT_NEW, "x", NULL, 0, "{\"mentions\":[\"+15550003333\"]}", NULL};
	struct person nobody = {0};
	struct intent_where w = {.mentioned = &nobody, .nmentioned = 1};
	struct api_error e;
	struct intent *in = make(&r, &e);
	uint8_t secret[32] = {0};
	struct jid chat;
	size_t len;

	assert_non_null(in);
	assert_int_equal(jid_parse(BOB, &chat), 0);
	w.chat = w.own = &chat;
	assert_null(intent_encode(in, &w, secret, 1, &len));
	intent_free(in);
}

/* Protocol page 04, 6.1 to 6.4, 9.5. */
static void
stanzas(void **state)
{
	static const struct {
		const char *message, *type, *mediatype, *edit;
		int hide;
		const char *meta;
	} rows[] = {
	    {"{\"conversation\":\"x\"}", "text", NULL, NULL, 0, NULL},
	    {"{\"extended_text_message\":{\"text\":\"x\"}}", "text", NULL, NULL, 0, NULL},
	    {"{\"extended_text_message\":{\"matched_text\":\" \"}}", "text", NULL, NULL, 0, NULL},
	    {"{\"extended_text_message\":{\"matched_text\":\"x\"}}", "media", "url", NULL, 0, NULL},
	    {"{\"ephemeral_message\":{\"message\":{\"image_message\":{}}}}", "media", "image", NULL,
		0, NULL},
	    {"{\"video_message\":{\"gif_playback\":true}}", "media", "gif", NULL, 0, NULL},
	    {"{\"audio_message\":{\"ptt\":true}}", "media", "ptt", NULL, 0, NULL},
	    {"{\"location_message\":{\"is_live\":true}}", "media", "livelocation", NULL, 0, NULL},
	    {"{\"contacts_array_message\":{}}", "media", "contact_array", NULL, 0, NULL},
	    {"{\"protocol_message\":{\"key\":{\"from_me\":true},\"type\":\"REVOKE\"}}", "text",
		NULL, "7", 0, NULL},
	    {"{\"protocol_message\":{\"key\":{},\"type\":\"REVOKE\"}}", "text", NULL, "8", 0, NULL},
	    {"{\"protocol_message\":{\"type\":\"MESSAGE_EDIT\",\"edited_message\":{}}}", "text",
		NULL, "1", 1, NULL},
	    {"{\"edited_message\":{\"message\":{}}}", "text", NULL, "1", 1, NULL},
	    {"{\"protocol_message\":{\"type\":\"EPHEMERAL_SETTING\"}}", "text", NULL, NULL, 0,
		NULL},
	    {"{\"reaction_message\":{\"text\":\"x\"}}", "reaction", NULL, NULL, 1, NULL},
	    {"{\"reaction_message\":{\"text\":\"\"}}", "reaction", NULL, "7", 1, NULL},
	    {"{\"pin_in_chat_message\":{}}", "text", NULL, "2", 1, NULL},
	    {"{\"keep_in_chat_message\":{\"key\":{\"from_me\":true},\"keep_type\":"
	     "\"UNDO_KEEP_FOR_ALL\"}}",
		"text", NULL, "7", 1, NULL},
	    {"{\"poll_creation_message_v3\":{}}", "poll", NULL, NULL, 0, "polltype=creation"},
	    {"{\"poll_update_message\":{\"vote\":{}}}", "poll", NULL, NULL, 1, "polltype=vote"},
	    {"{\"secret_encrypted_message\":{\"secret_enc_type\":\"POLL_EDIT\"}}", "poll", NULL,
		NULL, 1, "polltype=edit"},
	    {"{\"secret_encrypted_message\":{\"secret_enc_type\":\"MESSAGE_EDIT\"}}", "text", NULL,
		"1", 1, NULL},
	    {"{\"event_message\":{}}", "event", NULL, NULL, 0, "event_type=creation"},
	    {"{\"enc_event_response_message\":{}}", "event", NULL, NULL, 1, "event_type=response"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = parse(rows[i].message);
		struct pbjson_error err;
		struct stanza_kind k;
		struct buf b = BUF_INIT;
		char meta[64] = "";

		assert_int_equal(pbjson_in(&e2e__message__descriptor, o, &b, &err), 0);
		stanza_kind_of(b.data, b.len, &k);
		if (k.meta != NULL)
			snprintf(meta, sizeof(meta), "%s=%s", k.meta, k.meta_value);
		if (strcmp(k.type, rows[i].type) != 0 ||
		    strcmp(k.mediatype != NULL ? k.mediatype : "",
			rows[i].mediatype != NULL ? rows[i].mediatype : "") != 0 ||
		    strcmp(k.edit != NULL ? k.edit : "",
			rows[i].edit != NULL ? rows[i].edit : "") != 0 ||
		    k.hide != rows[i].hide ||
		    strcmp(meta, rows[i].meta != NULL ? rows[i].meta : "") != 0)
			fail_msg("%s: %s %s %s %d %s", rows[i].message, k.type,
			    k.mediatype != NULL ? k.mediatype : "-", k.edit != NULL ? k.edit : "-",
			    k.hide, meta);
		buf_clear(&b);
		json_decref(o);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(messages),
	    cmocka_unit_test(refused), cmocka_unit_test(mention_unknown),
	    cmocka_unit_test(stanzas)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
