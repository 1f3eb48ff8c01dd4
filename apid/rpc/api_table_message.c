/* What the methods message.*, outbox.*, chat.*, presence.* and call.* take and give. */
#include "apid/rpc/api_table_fields.h"

#define KEY(d)  STR("idempotency_key", API_REQUIRED, 1, 64, d)
#define KEY_DOC "letters, digits and ._:- ; the same key never sends twice, kept 7 days"
#define MENTIONS                                                                                   \
	STRS("mentions", 0, 1, API_MENTIONS_MAX,                                                   \
	    "people whom the text mentions as @number: stable ids, JIDs or +E.164")
#define SEND_WAIT                                                                                  \
	WORD("wait", 0, "queued|server|delivered",                                                 \
	    "answer when the message is durable here, acknowledged by the service (default), or "  \
	    "on "                                                                                  \
	    "the recipient's device"),                                                             \
	    INT("timeout_ms", 0, 1, 600000, "how long to wait; default 60000"),                    \
	    INT("not_after_ms", 0, 1, BIG, "if it could not be sent by then, it fails")
#define ABOUT                                                                                      \
	STR("chat", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164 of the chat"),       \
	    STR("message_id", API_REQUIRED, 1, 64, "the message that it is about")
static const struct api_field preview_fields[] = {
    STR("url", API_REQUIRED, 1, 2048, "the link, as it stands in the text"),
    STR("title", 0, 1, 1024, "title of the page"),
    STR("description", 0, 1, 4096, "what it is about"),
    STR("thumbnail_b64", 0, 4, 87384, "a small JPEG, at most 64 KiB"), END};
static const struct api_field raw_content_fields[] = {
    WORD("kind", API_REQUIRED, "raw", "raw: object is the message, as it is sent"),
    OBJ("object", NULL, "a message as events show it in object, by the schema"), END};
const struct api_field api_send_params[] = {ACCOUNT,
    STR("to", API_REQUIRED | API_ARG, 1, 128, "stable id (u_…, g_…), JID or +E.164"), KEY(KEY_DOC),
    STR("text", API_TEXT | API_SECRET, 1, 65536, "the text, as it is sent"),
    STR("reply_to", 0, 1, 64, "id of the message that it answers"),
    FLAG("reply_from_me", "that is an own message; default: it is the other side's"),
    STR("reply_text", API_SECRET, 1, 65536, "what that message says, to be shown above the answer"),
    MENTIONS, OBJ("preview", preview_fields, "what is shown of a link in the text"),
    INT("expires_in_s", 0, 1, 31536000, "timer of the message, seconds"),
    INT("forwarded_score", 0, 1, 1000, "how often it was forwarded, with this time"),
    OBJ("content", raw_content_fields, "anything else, instead of text"), SEND_WAIT, END};
const struct api_field api_edit_params[] = {ACCOUNT, ABOUT, KEY(KEY_DOC),
    STR("text", API_REQUIRED | API_TEXT | API_SECRET, 1, 65536, "the new text"), MENTIONS,
    SEND_WAIT, END};
const struct api_field api_message_delete_params[] = {ACCOUNT, ABOUT, KEY(KEY_DOC), SEND_WAIT, END};
const struct api_field api_react_params[] = {ACCOUNT, ABOUT, KEY(KEY_DOC),
    STR("text", API_REQUIRED | API_TEXT | API_SECRET, 0, 64,
	"the emoji; empty takes the reaction back"),
    FLAG("from_me", "the message is an own one; default: it is the other side's"), SEND_WAIT, END};
/* How a message that waits stands. */
#define PLACE                                                                                      \
	INT("position", 0, 1, BIG, "while it waits: its place in the outbox, 1 is the next"),      \
	    WORD("waits_for", 0, "connection|turn|account_rate|chat_rate|new_chats|release|ack",   \
		"while it waits: for what"),                                                       \
	    INT("retry_after_ms", 0, 0, BIG, "if pacing holds it: when it goes, about")
const struct api_field api_result_send[] = {STR("message_id", 0, 0, 0, "id at the service"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    INT("time_ms", 0, 0, BIG, "time of the service, or of queueing"),
    STR("to", 0, 0, 0, "the JID that was addressed"),
    FLAG("duplicate", "an earlier request with this key made it"), PLACE, END};

const struct api_field api_msg_state_params[] = {ACCOUNT,
    STR("idempotency_key", API_ARG, 1, 64, "key of an own message.send, edit, delete or react"),
    STR("message_id", 0, 1, 128, "or the id of the message"), END};
static const struct api_field failure_fields[] = {INT("code", 0, -32768, 0, "class of the error"),
    STR("reason", 0, 0, 0, "stable word"), STR("message", 0, 0, 0, "for people"),
    FLAG("retryable", "the same key may send it again"), INT("retry_after_ms", 0, 0, BIG, "when"),
    INT("until_ms", 0, 0, BIG, "until when it holds"), END};
const struct api_field api_result_msg_state[] = {STR("message_id", 0, 0, 0, "id at the service"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    INT("time_ms", 0, 0, BIG, "time of the service, or of queueing"),
    STR("to", 0, 0, 0, "the JID that was addressed"), FLAG("duplicate", "false"),
    STR("reason", 0, 0, 0, "why it failed, as message.status said"),
    INT("code", 0, 0, BIG, "code of the service"),
    INT("until_ms", 0, 0, BIG, "until when the refusal holds"),
    OBJ("error", failure_fields, "what message.send with the same key is told"), PLACE,
    FLAG("cancelled", "of message.cancel"), END};

const struct api_field api_msg_cancel_params[] = {ACCOUNT,
    STR("idempotency_key", API_REQUIRED | API_ARG, 1, 64,
	"key of an own message.send, edit, delete or react"),
    END};
const struct api_field api_mark_params[] = {ACCOUNT,
    STR("chat", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164 of a direct chat"),
    STRS("message_ids", API_REQUIRED | API_TEXT, 1, 256, "the messages to mark"),
    WORD("receipts", 0, "privacy|always|never",
	"whether the sender is told: as the account's privacy setting says (default), or in any "
	"case, or not; the own devices always are"),
    END};
const struct api_field api_typing_params[] = {ACCOUNT,
    STR("chat", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164 of a direct chat"),
    WORD("state", API_REQUIRED, "composing|recording|paused", "what to show over there"),
    INT("ttl_ms", 0, 1000, 300000,
	"how long, unless a message is sent before; default 15000. Until then it is said again "
	"now and then, and at the end it is paused"),
    END};
const struct api_field api_presence_params[] = {ACCOUNT,
    WORD("state", API_REQUIRED, "available|unavailable", "how the account is to appear"),
    INT("ttl_ms", 0, 1000, 300000,
	"for available: how long, default 60000; then it is unavailable by itself"),
    END};
const struct api_field api_result_presence[] = {
    WORD("state", 0, "available|unavailable", "how the account appears now"),
    INT("until_ms", 0, 0, BIG, "for available: until when"), END};

const struct api_field api_watch_params[] = {ACCOUNT,
    STR("party", API_REQUIRED | API_ARG, 1, 128,
	"stable id, JID or +E.164 of a person, or the JID of a group"),
    END};
const struct api_field api_result_watch[] = {FLAG("ok", "true"),
    INT("ends_ms", 0, 0, BIG, "when it ends, unless it is asked for again before"),
    FLAG("available", "the account is available now; the service tells of others only while it is"),
    END};

const struct api_field api_reject_params[] = {ACCOUNT,
    STR("call_id", API_REQUIRED | API_ARG, 1, 64, "the call, as call.offer names it"),
    STR("from", 0, 1, 128, "who calls; with it, no call of anybody else is refused"), END};
const struct api_field api_receipts_params[] = {ACCOUNT,
    STR("message_id", API_REQUIRED | API_ARG, 1, 128, "a message that this service sent"), END};
static const struct api_field receipt_fields[] = {OBJ("party", api_party, "who"),
    WORD("status", 0, "delivered|read|played", "the most that was told"),
    INT("time_ms", 0, 0, BIG, "when that was"), END};
const struct api_field api_result_receipts[] = {STR("message_id", 0, 0, 0, "the message"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    LIST("receipts", receipt_fields, "what each party told, the latest first; at most 1024"), END};

const struct api_field api_outbox_list_params[] = {ACCOUNT,
    STR("chat", API_ARG, 1, 128, "only of this chat, as the rows name it"),
    STR("after", 0, 1, 48, "next of the answer before"),
    INT("limit", 0, 1, 1000, "rows to look at; default 100"), END};
static const struct api_field outbox_row_fields[] = {STR("message_id", 0, 0, 0, "which message"),
    STR("chat", 0, 0, 0, "where to"),
    WORD("state", 0, "queued|ready", "ready: it is encrypted, and only its ack is missing"),
    INT("created_ms", 0, 0, BIG, "when it was accepted"),
    INT("not_after_ms", 0, 0, BIG, "if it could not be sent by then, it fails"),
    INT("uid", 0, 0, BIG, "whose it is"), INT("bytes", 0, 0, BIG, "how big its content is"), PLACE,
    END};
const struct api_field api_hold_params[] = {ACCOUNT,
    STR("chat", API_ARG, 1, 128,
	"stable id, JID or +E.164 of a direct chat; default: the whole account"),
    END};
static const struct api_field hold_fields[] = {WORD("scope", 0, "account|chat", "what is stopped"),
    STR("chat", 0, 0, 0, "which, for chat"), INT("since_ms", 0, 0, BIG, "since when"),
    INT("uid", 0, 0, BIG, "who wanted it"), END};
const struct api_field api_result_outbox[] = {
    LIST("rows", outbox_row_fields, "oldest first; fewer than asked for does not mean the end"),
    LIST("holds", hold_fields, "what outbox.hold has stopped"),
    INT("depth", 0, 0, BIG, "how many wait in all"),
    INT("oldest_ms", 0, 0, BIG, "how old the oldest is, about"),
    STR("next", 0, 0, 0, "give it as after for more; absent: that was all"), END};
