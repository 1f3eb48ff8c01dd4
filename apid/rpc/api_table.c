/* The methods of the API: names, roles, parameters, results. Handlers are bound in methods.c. */
#include <string.h>

#include "apid/rpc/api_table.h"

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define STR(n, f, lo, hi, d)                                                                       \
	{                                                                                          \
		.name = (n), .type = API_STRING, .flags = (f), .min = (lo), .max = (hi),           \
		.doc = (d)                                                                         \
	}
#define INT(n, f, lo, hi, d)                                                                       \
	{                                                                                          \
		.name = (n), .type = API_INT, .flags = (f), .min = (lo), .max = (hi), .doc = (d)   \
	}
#define FLAG(n, d)                                                                                 \
	{                                                                                          \
		.name = (n), .type = API_BOOL, .doc = (d)                                          \
	}
#define WORD(n, f, v, d)                                                                           \
	{                                                                                          \
		.name = (n), .type = API_ENUM, .flags = (f), .values = (v), .doc = (d)             \
	}
#define STRS(n, f, lo, hi, d)                                                                      \
	{                                                                                          \
		.name = (n), .type = API_STRINGS, .flags = (f), .min = (lo), .max = (hi),          \
		.doc = (d)                                                                         \
	}
#define OBJ(n, fs, d)                                                                              \
	{                                                                                          \
		.name = (n), .type = API_OBJECT, .fields = (fs), .doc = (d)                        \
	}
#define LIST(n, fs, d)                                                                             \
	{                                                                                          \
		.name = (n), .type = API_LIST, .fields = (fs), .doc = (d)                          \
	}
#define ACCOUNT                                                                                    \
	{                                                                                          \
		.name = "account", .type = API_STRING, .flags = API_ACCOUNT, .min = 1, .max = 32,  \
		.doc = "which account; may be left out where there is only one"                    \
	}
#define PROGRESS                                                                                   \
	{                                                                                          \
		.name = "progress_token", .type = API_ID,                                          \
		.doc = "any string or number; with it, progress notifications come"                \
	}
#define BIG INT64_C(9007199254740992) /* 2^53 */

const char *const api_role_names[API_NROLES] = {
    "observe", "read", "send", "manage", "link", "identity", "admin"};

static const struct api_field account_only[] = {ACCOUNT, END};

static const struct api_field result_ok[] = {FLAG("ok", "true"), END};

#define ACCOUNT_STATES                                                                             \
	"unlinked|linking|passkey_required|passkey_confirm|connecting|syncing|online|backoff|"     \
	"replaced|logged_out|restricted|banned|outdated|stopped"
#define USER_ACTIONS "none|relink|open_phone|wait|upgrade|operator"

#define STATE_FIELDS                                                                               \
	STR("account", 0, 0, 0, "name of the account"),                                            \
	    WORD("state", 0, ACCOUNT_STATES, "where it stands"),                                   \
	    STR("reason", 0, 0, 0, "why, a stable word"),                                          \
	    INT("code", 0, 0, BIG, "code of the service, if it said one"),                         \
	    INT("subcode", 0, 0, BIG, "why a ban: 101 to 106"),                                    \
	    INT("since_ms", 0, 0, BIG, "since when, milliseconds since the epoch"),                \
	    INT("next_attempt_ms", 0, 0, BIG, "when the next attempt to connect is due"),          \
	    INT("until_ms", 0, 0, BIG, "when a restriction ends"),                                 \
	    WORD("user_action", 0, USER_ACTIONS, "what a person has to do")
#define STATE_TEXT STR("text", 0, 0, 0, "for people, where the reason does not say enough")

static const struct api_field result_state[] = {STATE_FIELDS, STATE_TEXT, END};
static const struct api_field result_account[] = {STATE_FIELDS,
    STR("jid", 0, 0, 0, "own JID by number, null before linking"),
    STR("lid", 0, 0, 0, "own LID, null before linking"),
    STR("phone", 0, 0, 0, "own number as +E.164"),
    STR("push_name", 0, 0, 0, "own name that others see"),
    STR("platform", 0, 0, 0, "what the primary device is"),
    INT("device_id", 0, 0, BIG, "number of this device"), STATE_TEXT, END};
static const struct api_field result_accounts[] = {
    LIST("accounts", result_account, "all accounts, in the order of the config"), END};

static const struct api_field hello_params[] = {
    {.name = "protocol",
	.type = API_ANY_TYPE,
	.doc = "array of the protocol numbers that the client speaks; default [1]"},
    STR("client", 0, 1, 128, "name and version of the client, for the log"),
    STRS("features", 0, 0, 32,
	"features that the client asks for; \"fd\": descriptors "
	"may come with requests"),
    END};
static const struct api_field limits_fields[] = {
    INT("line_bytes", 0, 0, BIG, "longest line, with its LF"),
    INT("in_flight", 0, 0, BIG, "requests at a time on a connection"),
    INT("subscriptions", 0, 0, BIG, "subscriptions at a time on a connection"),
    INT("connections", 0, 0, BIG, "connections in all"),
    INT("connections_per_uid", 0, 0, BIG, "connections of one user"),
    INT("line_timeout_ms", 0, 0, BIG, "from the first byte of a line to its LF"),
    INT("unread_bytes", 0, 0, BIG, "unread replies, beyond which nothing more is read"),
    INT("stall_timeout_ms", 0, 0, BIG, "how long a client may then leave them unread"),
    INT("depth", 0, 0, BIG, "nesting of JSON"), END};
static const struct api_field result_hello[] = {
    INT("protocol", 0, 0, BIG, "the protocol number that both speak"),
    STR("api", 0, 0, 0, "version of the API; within a protocol number there are only additions"),
    STR("server", 0, 0, 0, "ward/ and its version"),
    STR("boot_id", 0, 0, 0, "new at each start of the service"),
    STR("log_id", 0, 0, 0, "names the event log; another after a restore; null while it is closed"),
    STRS("features", 0, 0, 32, "those that were asked for and exist"),
    STRS("methods", 0, 0, 256, "what this client may call"),
    STRS("role", 0, 0, API_NROLES, "the roles of this client"),
    STRS("accounts", 0, 0, 64, "names of the accounts"),
    OBJ("limits", limits_fields, "the limits in force"),
    STRS("deprecated", 0, 0, 256, "methods and fields that will go"), END};

static const struct api_field schema_params[] = {
    STR("type", API_ARG, 1, 64, "one method or event; default all"), END};
static const struct api_field result_schema[] = {STR("$schema", 0, 0, 0, "dialect"),
    OBJ("methods", NULL, "by name: params and result"),
    OBJ("events", NULL, "by type: the whole event"), END};

static const struct api_field health_check[] = {STR("name", 0, 0, 0, "what was looked at"),
    WORD("status", 0, "ok|degraded|failing", "how it is"),
    STR("reason", 0, 0, 0, "why, a stable word"), INT("since_ms", 0, 0, BIG, "since when"),
    WORD("user_action", 0, USER_ACTIONS, "what a person has to do"), END};
static const struct api_field result_health[] = {
    WORD("status", 0, "ok|degraded|failing", "the worst of the checks"),
    STRS("warnings", 0, 0, 16,
	"how it is set up for tests, and unsafe: unconfined, test_noise_root_key"),
    LIST("checks", health_check, "each check"), END};

static const struct api_field result_version[] = {STR("server", 0, 0, 0, "ward/ and its version"),
    STR("api", 0, 0, 0, "version of the API"), INT("protocol", 0, 0, BIG, "protocol number"),
    STR("boot_id", 0, 0, 0, "of this run"), STR("log_id", 0, 0, 0, "of the event log"),
    STR("web_client_version", 0, 0, 0, "that the service is told"),
    INT("age_s", 0, 0, BIG, "since that version was the newest, by the client data"),
    STR("client_date", 0, 0, 0, "that day"), END};
static const struct api_field result_metrics[] = {
    STR("text", 0, 0, 0, "OpenMetrics 1.0, ends with # EOF"),
    OBJ("counters", NULL, "the same values by name"), END};
static const struct api_field result_sandbox[] = {
    OBJ("processes", NULL, "by process: what is in force, as it was found after confinement"), END};
static const struct api_field flow_fields[] = {INT("id", 0, 0, BIG, "number of the flow"),
    STR("kind", 0, 0, 0, "what it does"), STR("step", 0, 0, 0, "what it waits for"),
    STR("account", 0, 0, 0, "for which account"), INT("age_ms", 0, 0, BIG, "since it began"), END};
static const struct api_field result_flows[] = {
    LIST("flows", flow_fields, "flows in flight, oldest first"), END};

static const struct api_field cancel_params[] = {
    {.name = "id",
	.type = API_ID,
	.flags = API_REQUIRED | API_ARG,
	.doc = "id of a request of this connection that is in flight"},
    END};
static const struct api_field result_cancel[] = {
    FLAG("ok", "true if it was in flight; its answer is then an error with reason cancelled"), END};

static const struct api_field link_params[] = {ACCOUNT,
    WORD("method", 0, "qr|code", "by QR code or by a code typed on the phone; default qr"),
    STR("phone", 0, 5, 24, "number of the phone as +E.164, for method code"),
    STR("code", API_SECRET, 8, 9, "own pair code of 8 letters and digits, for method code"),
    FLAG("other_account",
	"the phone may be of another account than the one that was linked before; what is kept of "
	"that one is put aside"),
    END};
static const struct api_field link_answer_params[] = {ACCOUNT,
    STR("link_id", 0, 1, 64, "as account.link named the attempt; default the one under way"),
    OBJ("passkey_response", NULL,
	"to step passkey: what navigator.credentials.get() gave for the options, as toJSON() "
	"writes it"),
    FLAG("confirm", "to step confirm: whether the phone shows the same code"), END};
static const struct api_field result_link[] = {
    STR("link_id", 0, 0, 0, "names this attempt; its steps are account.link events"), END};

static const struct api_field session_params[] = {
    ACCOUNT, STR("party", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164"), END};
static const struct api_field session_fields[] = {
    WORD("address", 0, "lid|pn", "under what it stands; lid once both are known"),
    INT("device", 0, 0, BIG, "number of the device, 0 is the phone"),
    FLAG("hosted", "of a business service"), END};
static const struct api_field result_session_list[] = {
    OBJ("party", NULL, "who it is"), LIST("sessions", session_fields, "one for each device"), END};
static const struct api_field session_check_fields[] = {
    INT("device", 0, 0, BIG, "number of the device, 0 is the phone"),
    FLAG("has_session", "there is one, and it can be read"), END};
static const struct api_field result_session_check[] = {OBJ("party", NULL, "who it is"),
    LIST("devices", session_check_fields, "those that are known of him"),
    FLAG("valid", "there are some, and each has a session"), END};
static const struct api_field result_session_repair[] = {FLAG("ok", "true"),
    INT("dropped", 0, 0, BIG, "sessions that there were"),
    INT("damaged_identities", 0, 0, BIG,
	"records of identities that cannot be read: identity.decide with trust lets go of them"),
    END};
static const struct api_field result_keys_status[] = {
    STR("account", 0, 0, 0, "name of the account"),
    INT("signed_prekey_id", 0, 0, BIG, "number of the signed prekey in use"),
    FLAG("rotation_pending", "a new one was offered and the service has not answered"),
    INT("rotation_due_ms", 0, 0, BIG, "when the next one is due"),
    INT("uploaded", 0, 0, BIG, "one-time prekeys here that the service was given and nobody used"),
    INT("stored", 0, 0, BIG, "all that are here; of some the service never said that it has them"),
    INT("at_service", 0, 0, BIG, "those that the service has left, as it said last"),
    WORD("digest", 0, "unknown|ok|missing|mismatch|failed",
	"what the last comparison of the service's keys with ours found"),
    INT("digest_ms", 0, 0, BIG, "when that was"),
    FLAG("upload_due", "an upload has still to be done"), END};
static const struct api_field result_keys_upload[] = {
    INT("count", 0, 0, BIG, "prekeys that the service took"), END};
static const struct api_field result_keys_rotate[] = {INT("count", 0, 0, BIG, "1"),
    INT("signed_prekey_id", 0, 0, BIG, "number of the one that is now in use"), END};

static const struct api_field result_quarantine[] = {
    INT("generation", 0, 0, BIG, "number of the present device; each new one has the next"),
    INT("records", 0, 0, BIG, "sealed keys and sessions of former devices"),
    INT("contacts", 0, 0, BIG, "people of former accounts, put aside"), END};
static const struct api_field result_purge[] = {
    INT("purged", 0, 0, BIG, "records and contacts that are gone"), END};

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
static const struct api_field send_params[] = {ACCOUNT,
    STR("to", API_REQUIRED | API_ARG, 1, 128, "stable id (u_…, g_…), JID or +E.164"), KEY(KEY_DOC),
    STR("text", API_TEXT | API_SECRET, 1, 65536, "the text, as it is sent"),
    STR("reply_to", 0, 1, 64, "id of the message that it answers"),
    FLAG("reply_from_me", "that is an own message; default: it is the other side's"),
    STR("reply_text", API_SECRET, 1, 65536, "what that message says, to be shown above the answer"),
    MENTIONS, OBJ("preview", preview_fields, "what is shown of a link in the text"),
    INT("expires_in_s", 0, 1, 31536000, "timer of the message, seconds"),
    INT("forwarded_score", 0, 1, 1000, "how often it was forwarded, with this time"),
    OBJ("content", raw_content_fields, "anything else, instead of text"), SEND_WAIT, END};
static const struct api_field edit_params[] = {ACCOUNT, ABOUT, KEY(KEY_DOC),
    STR("text", API_REQUIRED | API_TEXT | API_SECRET, 1, 65536, "the new text"), MENTIONS,
    SEND_WAIT, END};
static const struct api_field message_delete_params[] = {
    ACCOUNT, ABOUT, KEY(KEY_DOC), SEND_WAIT, END};
static const struct api_field react_params[] = {ACCOUNT, ABOUT, KEY(KEY_DOC),
    STR("text", API_REQUIRED | API_TEXT | API_SECRET, 0, 64,
	"the emoji; empty takes the reaction back"),
    FLAG("from_me", "the message is an own one; default: it is the other side's"), SEND_WAIT, END};
/* How a message that waits stands. */
#define PLACE                                                                                      \
	INT("position", 0, 1, BIG, "while it waits: its place in the outbox, 1 is the next"),      \
	    WORD("waits_for", 0, "connection|turn|account_rate|chat_rate|new_chats|ack",           \
		"while it waits: for what"),                                                       \
	    INT("retry_after_ms", 0, 0, BIG, "if pacing holds it: when it goes, about")
static const struct api_field result_send[] = {STR("message_id", 0, 0, 0, "id at the service"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    INT("time_ms", 0, 0, BIG, "time of the service, or of queueing"),
    STR("to", 0, 0, 0, "the JID that was addressed"),
    FLAG("duplicate", "an earlier request with this key made it"), PLACE, END};
static const struct api_field msg_state_params[] = {ACCOUNT,
    STR("idempotency_key", API_ARG, 1, 64, "key of an own message.send, edit, delete or react"),
    STR("message_id", 0, 1, 128, "or the id of the message"), END};
static const struct api_field failure_fields[] = {INT("code", 0, -32768, 0, "class of the error"),
    STR("reason", 0, 0, 0, "stable word"), STR("message", 0, 0, 0, "for people"),
    FLAG("retryable", "the same key may send it again"), INT("retry_after_ms", 0, 0, BIG, "when"),
    INT("until_ms", 0, 0, BIG, "until when it holds"), END};
static const struct api_field result_msg_state[] = {STR("message_id", 0, 0, 0, "id at the service"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    INT("time_ms", 0, 0, BIG, "time of the service, or of queueing"),
    STR("to", 0, 0, 0, "the JID that was addressed"), FLAG("duplicate", "false"),
    STR("reason", 0, 0, 0, "why it failed, as message.status said"),
    INT("code", 0, 0, BIG, "code of the service"),
    INT("until_ms", 0, 0, BIG, "until when the refusal holds"),
    OBJ("error", failure_fields, "what message.send with the same key is told"), PLACE,
    FLAG("cancelled", "of message.cancel"), END};
static const struct api_field msg_cancel_params[] = {ACCOUNT,
    STR("idempotency_key", API_REQUIRED | API_ARG, 1, 64,
	"key of an own message.send, edit, delete or react"),
    END};
static const struct api_field mark_params[] = {ACCOUNT,
    STR("chat", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164 of a direct chat"),
    STRS("message_ids", API_REQUIRED | API_TEXT, 1, 256, "the messages to mark"),
    WORD("receipts", 0, "privacy|always|never",
	"whether the sender is told: as the account's privacy setting says (default), or in any "
	"case, or not; the own devices always are"),
    END};
static const struct api_field typing_params[] = {ACCOUNT,
    STR("chat", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164 of a direct chat"),
    WORD("state", API_REQUIRED, "composing|recording|paused", "what to show over there"),
    INT("ttl_ms", 0, 1000, 300000,
	"how long, unless a message is sent before; default 15000. Until then it is said again "
	"now and then, and at the end it is paused"),
    END};
static const struct api_field presence_params[] = {ACCOUNT,
    WORD("state", API_REQUIRED, "available|unavailable", "how the account is to appear"),
    INT("ttl_ms", 0, 1000, 300000,
	"for available: how long, default 60000; then it is unavailable by itself"),
    END};
static const struct api_field result_presence[] = {
    WORD("state", 0, "available|unavailable", "how the account appears now"),
    INT("until_ms", 0, 0, BIG, "for available: until when"), END};
static const struct api_field watch_params[] = {ACCOUNT,
    STR("party", API_REQUIRED | API_ARG, 1, 128,
	"stable id, JID or +E.164 of a person, or the JID of a group"),
    END};
static const struct api_field result_watch[] = {FLAG("ok", "true"),
    INT("ends_ms", 0, 0, BIG, "when it ends, unless it is asked for again before"),
    FLAG("available", "the account is available now; the service tells of others only while it is"),
    END};
static const struct api_field reject_params[] = {ACCOUNT,
    STR("call_id", API_REQUIRED | API_ARG, 1, 64, "the call, as call.offer names it"),
    STR("from", 0, 1, 128, "who calls; with it, no call of anybody else is refused"), END};
static const struct api_field receipts_params[] = {ACCOUNT,
    STR("message_id", API_REQUIRED | API_ARG, 1, 128, "a message that this service sent"), END};
static const struct api_field receipt_party[] = {STR("id", 0, 0, 0, "stable id, u_…"),
    STR("pn", 0, 0, 0, "JID by number"), STR("lid", 0, 0, 0, "LID"),
    STR("phone", 0, 0, 0, "+E.164"), STR("push_name", 0, 0, 0, "name that the person chose"), END};
static const struct api_field receipt_fields[] = {OBJ("party", receipt_party, "who"),
    WORD("status", 0, "delivered|read|played", "the most that was told"),
    INT("time_ms", 0, 0, BIG, "when that was"), END};
static const struct api_field result_receipts[] = {STR("message_id", 0, 0, 0, "the message"),
    WORD("status", 0, MESSAGE_STATUSES, "how far it is"),
    LIST("receipts", receipt_fields, "what each party told, the latest first; at most 1024"), END};
static const struct api_field outbox_list_params[] = {ACCOUNT,
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
static const struct api_field result_outbox[] = {
    LIST("rows", outbox_row_fields, "oldest first; fewer than asked for does not mean the end"),
    INT("depth", 0, 0, BIG, "how many wait in all"),
    INT("oldest_ms", 0, 0, BIG, "how old the oldest is, about"),
    STR("next", 0, 0, 0, "give it as after for more; absent: that was all"), END};
static const struct api_field restrict_params[] = {
    ACCOUNT, FLAG("refresh", "ask the service first"), END};
static const struct api_field lock_fields[] = {FLAG("active", "it holds"),
    STR("reason", 0, 0, 0, "why, a stable word"), INT("until_ms", 0, 0, BIG, "when it ends"),
    STR("enforcement", 0, 0, 0, "as the service names it: DEFAULT, WEB_COMPANION_ONLY, ..."),
    INT("checked_ms", 0, 0, BIG, "when the service said so"), END};
#define QUOTA                                                                                      \
	INT("total", 0, 0, BIG, "new chats of a cycle"),                                           \
	    INT("used", 0, 0, BIG, "how many are begun"),                                          \
	    INT("cycle_start_ms", 0, 0, BIG, "when the cycle began"),                              \
	    INT("cycle_end_ms", 0, 0, BIG, "when it ends"),                                        \
	    STR("capping", 0, 0, 0, "NONE, FIRST_WARNING, SECOND_WARNING, CAPPED"),                \
	    STR("ote", 0, 0, 0, "as the service says it"),                                         \
	    STR("mv", 0, 0, 0, "as the service says it"),                                          \
	    INT("checked_ms", 0, 0, BIG, "when the service said so")
static const struct api_field result_quota[] = {QUOTA, END};
static const struct api_field result_restrictions[] = {
    OBJ("temp_ban", lock_fields, "the account may not connect"),
    OBJ("reachout_timelock", lock_fields, "nobody new may be written to"),
    OBJ("quota", result_quota, "of new chats; empty: the service has not told"), END};

static const struct api_field tokens_issue_params[] = {ACCOUNT,
    STRS("parties", API_REQUIRED | API_TEXT, 1, API_PARTIES_MAX,
	"to whom: stable ids, JIDs or +E.164"),
    END};
static const struct api_field token_party[] = {STR("id", 0, 0, 0, "stable id"),
    STR("pn", 0, 0, 0, "JID by number"), STR("lid", 0, 0, 0, "JID by LID"),
    STR("phone", 0, 0, 0, "number as +E.164"), STR("push_name", 0, 0, 0, "name that he chose"),
    END};
static const struct api_field issued_fields[] = {OBJ("party", token_party, "who got it"),
    INT("time_ms", 0, 0, BIG, "the time that it bears"), END};
static const struct api_field result_tokens_issue[] = {
    LIST("tokens", issued_fields, "those that the service took"), END};
static const struct api_field tokens_list_params[] = {ACCOUNT,
    STR("after", 0, 1, 256, "what next of the last answer was"),
    INT("limit", 0, 1, 64, "at most so many; default 64"), END};
static const struct api_field token_fields[] = {OBJ("party", token_party, "who"),
    FLAG("has_token", "he gave this account his"), INT("token_ms", 0, 0, BIG, "the time of his"),
    FLAG("expired", "his is no good any more"),
    INT("issued_ms", 0, 0, BIG, "when he was given this account's last"), END};
static const struct api_field result_tokens_list[] = {
    LIST("parties", token_fields, "people with a token on either side"),
    STR("next", 0, 0, 0, "there is more: go on after it"), END};
static const struct api_field result_tokens_prune[] = {
    INT("count", 0, 0, BIG, "how many expired ones went"), END};

#define PARTY(f) STR("party", f, 1, 128, "stable id (u_…), JID or +E.164 of the contact")
#define RELEASED INT("released", 0, 0, BIG, "messages that were held and come now, as their events")
static const struct api_field party_fields[] = {STR("id", 0, 0, 0, "stable id, u_…"),
    STR("pn", 0, 0, 0, "JID by number"), STR("lid", 0, 0, 0, "LID"),
    STR("phone", 0, 0, 0, "+E.164"), STR("push_name", 0, 0, 0, "name that the person chose"), END};
static const struct api_field identity_list_params[] = {ACCOUNT,
    STR("party", API_ARG, 1, 128,
	"one contact, with all his devices; default the phones of all, in pages"),
    STR("after", 0, 1, 1024, "next of the page before"),
    INT("limit", 0, 1, 256, "contacts of a page; default 100"), END};
static const struct api_field identity_fields[] = {OBJ("party", party_fields, "whose"),
    INT("device", 0, 0, BIG, "which of his devices; 0 is the phone"),
    STR("fingerprint", 0, 0, 0, "the public identity key, 64 hex digits; none if damaged"),
    INT("first_seen_ms", 0, 0, BIG, "since when it is known; null: not known"),
    WORD("state", 0, "trusted|verified|held|damaged",
	"held: nothing is sent, and nothing is read; damaged: nor is it, until somebody decides"),
    INT("held_messages", 0, 0, BIG, "messages of this contact that wait for a decision"), END};
static const struct api_field result_identities[] = {
    LIST("identities", identity_fields, "those that are known"),
    STR("next", 0, 0, 0, "there may be more: ask again with this as after; null: that was all"),
    END};
static const struct api_field party_only[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG), END};
static const struct api_field result_safety[] = {
    STR("digits", 0, 0, 0, "60 digits, the same for both sides"),
    STR("qr_b64", 0, 0, 0, "what this side's QR code holds"),
    INT("devices", 0, 0, BIG, "devices of the contact whose identity is in it"),
    INT("own_devices", 0, 0, BIG, "own devices whose identity is in it"), END};
static const struct api_field verify_params[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG),
    STR("digits", API_ARG, 60, 128, "what the other side shows: 60 digits, blanks do not count"),
    STR("qr_b64", 0, 4, 65536, "or what his QR code holds, base64"), END};
static const struct api_field result_verify[] = {
    FLAG("match", "they are the same, and the contact counts as verified"), RELEASED, END};
static const struct api_field decide_params[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG),
    WORD("decision", API_REQUIRED | API_ARG, "trust|hold",
	"trust what is held; or hold what is known until it is trusted or verified"),
    END};
static const struct api_field result_decide[] = {
    WORD("decision", 0, "trusted|held", "what was decided"), RELEASED, END};

static const struct api_field filter_fields[] = {
    STRS("types", 0, 1, 64, "event types; a trailing * stands for any rest"),
    STRS("accounts", 0, 1, 64, "names of accounts"), END};
#define CONSUMER(f, d) STR("consumer", f, 1, 64, d)
static const struct api_field subscribe_params[] = {
    CONSUMER(API_ARG, "name of a durable consumer, of letters, digits and ._- ; without it the "
		      "subscription is ephemeral: at most once, nothing to acknowledge"),
    STR("from", 0, 1, 80,
	"resume, latest, earliest or a cursor; default resume for a consumer, "
	"latest without one"),
    OBJ("filter", filter_fields, "what to deliver; default all that the role may see"),
    INT("window", 0, 1, 4096, "events that may be delivered and not acknowledged; default 256"),
    FLAG("steal", "take the consumer from the subscription that has it"), END};
static const struct api_field result_subscribe[] = {
    STR("subscription", 0, 0, 0, "names the subscription on this connection"),
    STR("cursor", 0, 0, 0, "where it begins"), INT("lag", 0, 0, BIG, "events behind, about"),
    FLAG("created", "the consumer is new"), END};
static const struct api_field unsubscribe_params[] = {
    STR("subscription", API_REQUIRED | API_ARG, 1, 16, "as events.subscribe named it"), END};
static const struct api_field fetch_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer; made if there is none"),
    INT("limit", 0, 1, 1000, "events at most; default 100"),
    INT("wait_ms", 0, 0, 60000, "how long to wait for a first event; default 0"),
    STR("ack", 0, 1, 80, "first acknowledge up to this cursor"),
    OBJ("filter", filter_fields, "what to deliver; default all that the role may see"),
    FLAG("steal", "take the consumer from the subscription that has it"), END};
static const struct api_field fetched_fields[] = {
    STR("cursor", 0, 0, 0, "acknowledges this event and all before"),
    OBJ("event", api_event_envelope, "the event"), END};
static const struct api_field result_fetch[] = {
    LIST("events", fetched_fields, "oldest first; they come again until they are acknowledged"),
    STR("cursor", 0, 0, 0, "acknowledges all of them"), END};
static const struct api_field ack_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer"),
    STR("cursor", API_REQUIRED, 1, 80, "of the last event that was handled; all before are too"),
    END};
static const struct api_field result_ack[] = {FLAG("ok", "true: it is on disk"),
    STR("cursor", 0, 0, 0, "acknowledged so far"), INT("lag", 0, 0, BIG, "events behind, about"),
    END};
static const struct api_field consumer_fields[] = {STR("consumer", 0, 0, 0, "its name"),
    INT("uid", 0, 0, BIG, "its owner"), STR("cursor", 0, 0, 0, "acknowledged so far"),
    INT("lag", 0, 0, BIG, "events behind, about"),
    INT("last_ms", 0, 0, BIG, "when it last asked or acknowledged"),
    FLAG("live", "somebody is subscribed or waits"), END};
static const struct api_field result_consumers[] = {
    LIST("consumers", consumer_fields, "own consumers; all of them for admin"), END};
static const struct api_field backup_params[] = {
    {.name = "fd",
	.type = API_FD,
	.max = API_FDS_MAX - 1,
	.flags = API_REQUIRED,
	.doc = "where to write: number of a descriptor that comes with the request, from 0; a file "
	       "or a pipe"},
    PROGRESS, END};
static const struct api_field result_backup[] = {INT("bytes", 0, 0, BIG, "how many were written"),
    STR("text", 0, 0, 0, "what was left out, for people"), END};
static const struct api_field check_params[] = {PROGRESS, END};
static const struct api_field result_check[] = {INT("rows", 0, 0, BIG, "how many were read"),
    STR("text", 0, 0, 0, "what was looked at, for people"), END};
static const struct api_field snapshot_params[] = {
    STR("name", API_REQUIRED | API_ARG, 1, 64,
	"becomes a part of the file names; letters, digits, and _.- but not two dots in a row"),
    PROGRESS, END};
static const struct api_field result_snapshot[] = {INT("bytes", 0, 0, BIG, "how many were copied"),
    STR("text", 0, 0, 0, "what was made, for people"), END};
static const struct api_field stats_params[] = {
    FLAG("tables", "with the rows of each table, which takes longer"), END};
static const struct api_field table_fields[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    STR("table", 0, 0, 0, "its name"), INT("rows", 0, 0, BIG, "how many it has"), END};
static const struct api_field rekey_fields[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    INT("done", 0, 0, BIG, "bytes, of total"), INT("total", 0, 0, BIG, "bytes"),
    STR("trouble", 0, 0, 0, "why it does not go on, a stable word"), END};
static const struct api_field rekey_params[] = {
    FLAG("look", "only say how far it is; nothing is begun"), END};
static const struct api_field rekey_parts[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    FLAG("records_done", "keyd's records are all under the next key"),
    INT("records", 0, 0, BIG, "how many were taken over since the start"),
    FLAG("database_done", "the database has its next key"),
    INT("done", 0, 0, BIG, "bytes of the database that are copied, of total"),
    INT("total", 0, 0, BIG, "bytes"),
    STR("trouble", 0, 0, 0, "why it does not go on, a stable word; it is tried again"), END};
static const struct api_field result_rekey[] = {
    WORD("state", 0, "none|ready|running|done",
	"none: no next_master_key is given; done: it is the one in use, and ward.conf is to "
	"follow"),
    STR("trouble", 0, 0, 0, "why all of it does not go on"),
    STR("text", 0, 0, 0, "what comes next, for people"),
    LIST("parts", rekey_parts, "while it runs"), END};
static const struct api_field result_stats[] = {
    STR("backend", 0, 0, 0, "what keeps the data: sqlcipher, …"),
    INT("units", 0, 0, BIG, "units of work committed since the start"),
    INT("units_failed", 0, 0, BIG, "units that were refused or failed"),
    INT("transactions", 0, 0, BIG, "group commits; each holds one unit or more"),
    INT("fsyncs", 0, 0, BIG, "times that the disk was waited for"),
    INT("events", 0, 0, BIG, "events appended since the start"),
    INT("database_bytes", 0, 0, BIG, "size of all databases"),
    INT("log_bytes", 0, 0, BIG, "size of their write-ahead logs"),
    INT("free_bytes", 0, 0, BIG, "room on the disk"),
    FLAG("disk_low", "less is left than service.min_free"),
    LIST("tables", table_fields, "if they were asked for"),
    LIST("rekey", rekey_fields, "databases whose key is being changed"), END};
static const struct api_field delete_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer"),
    INT("uid", 0, 0, INT64_C(4294967294), "owner, if it is another's (admin); default own uid"),
    END};

#define M(n, r, p, res, f, d)                                                                      \
	{                                                                                          \
		.name = (n), .role = (r), .params = (p), .result = (res), .flags = (f), .doc = (d) \
	}
const struct api_method api_methods[] = {
    M("server.hello", API_ANY, hello_params, result_hello, 0,
	"Say who is there and learn what this client may do and the limits in force."),
    M("server.schema", API_ANY, schema_params, result_schema, 0,
	"JSON Schema of the methods and events that this client may use."),
    M("server.version", API_ANY, NULL, result_version, 0, "Versions and the ids of this run."),
    M("server.health", API_OBSERVE, NULL, result_health, 0,
	"Checks of the service and of each account."),
    M("server.metrics", API_OBSERVE, NULL, result_metrics, 0, "Counters as OpenMetrics text."),
    M("server.sandbox", API_OBSERVE, NULL, result_sandbox, 0,
	"What confinement is in force for each process."),
    M("server.flows", API_OBSERVE, NULL, result_flows, 0,
	"Long operations in flight and the step that each waits for."),
    M("request.cancel", API_ANY, cancel_params, result_cancel, 0,
	"Cancel an own request; a message that is in the outbox is sent all the same."),
    M("account.list", API_OBSERVE, NULL, result_accounts, 0, "All accounts."),
    M("account.get", API_OBSERVE, account_only, result_account, 0, "One account."),
    M("account.state", API_OBSERVE, account_only, result_state, 0,
	"State of one account with its reason and times."),
    M("account.restrictions", API_OBSERVE, restrict_params, result_restrictions, 0,
	"What the service does not let the account do now, and until when."),
    M("account.quota", API_OBSERVE, restrict_params, result_quota, 0,
	"How many new chats the service lets the account begin."),
    M("account.link", API_LINK, link_params, result_link, API_ACTS,
	"Begin to link the account to a phone; account.link events say what to show."),
    M("account.link_answer", API_LINK, link_answer_params, result_ok, API_ACTS,
	"Give linking what it waits for: the passkey of the owner, or that the codes are the "
	"same."),
    M("account.link_cancel", API_LINK, account_only, result_ok, API_ACTS,
	"Stop linking the account."),
    M("account.unlink", API_LINK, account_only, result_ok, API_ACTS,
	"Log this device out at the service; its keys are never used again, and what is stored "
	"stays."),
    M("account.quarantine", API_ADMIN, account_only, result_quarantine, 0,
	"What is kept of former devices and former accounts, and never used again."),
    M("account.quarantine_purge", API_ADMIN, account_only, result_purge, API_ACTS,
	"Delete that for good; the present device, its contacts, events and outbox stay."),
    M("account.pause", API_LINK, account_only, result_state, API_ACTS,
	"Disconnect the account and keep it so, also across restarts."),
    M("account.resume", API_LINK, account_only, result_state, API_ACTS,
	"Connect a paused account again."),
    M("account.reconnect", API_LINK, account_only, result_state, API_ACTS,
	"Drop the connection of the account and connect at once."),
    M("session.list", API_ADMIN, session_params, result_session_list, 0,
	"With which devices of a person there is a Signal session, and under which address."),
    M("session.check", API_ADMIN, session_params, result_session_check, 0,
	"Whether there is a readable Signal session with each device of a person."),
    M("session.repair", API_ADMIN, session_params, result_session_repair, API_ACTS,
	"Drop the Signal sessions with all devices of a person; the next message to him makes new "
	"ones."),
    M("keys.status", API_OBSERVE, account_only, result_keys_status, 0,
	"Prekeys here and at the service, age of the signed prekey, and whether the service has "
	"ours."),
    M("keys.upload", API_ADMIN, account_only, result_keys_upload, API_ACTS,
	"Give the service new one-time prekeys now; answered when it has them."),
    M("keys.rotate_signed", API_ADMIN, account_only, result_keys_rotate, API_ACTS,
	"Take a new signed prekey into use now; answered when the service has it."),
    M("message.send", API_SEND, send_params, result_send, API_ACTS,
	"Send a text, or any message; the answer comes after it is durable in the outbox."),
    M("message.edit", API_SEND, edit_params, result_send, API_ACTS,
	"Change the text of an own message; goes the way of message.send."),
    M("message.delete", API_SEND, message_delete_params, result_send, API_ACTS,
	"Take an own message back for everybody; goes the way of message.send."),
    M("message.react", API_SEND, react_params, result_send, API_ACTS,
	"React to a message, or take the reaction back; goes the way of message.send."),
    M("message.state", API_SEND, msg_state_params, result_msg_state, 0,
	"How far an own message is, by its idempotency key or its id."),
    M("message.cancel", API_SEND, msg_cancel_params, result_msg_state, API_ACTS,
	"Take an own message out of the outbox, if nothing of it is encrypted yet."),
    M("outbox.list", API_OBSERVE, outbox_list_params, result_outbox, 0,
	"What waits to be sent, or for its ack, and for what."),
    M("privacy.tokens_issue", API_MANAGE, tokens_issue_params, result_tokens_issue, API_ACTS,
	"Give people this account's trusted-contact token, so that they may write to it."),
    M("privacy.tokens_list", API_ADMIN, tokens_list_params, result_tokens_list, 0,
	"Who gave this account a trusted-contact token, and who was given one."),
    M("privacy.tokens_prune", API_ADMIN, account_only, result_tokens_prune, API_ACTS,
	"Throw away expired trusted-contact tokens; done daily anyway."),
    M("message.receipts", API_READ, receipts_params, result_receipts, 0,
	"Who has, read or played a message."),
    M("chat.mark_read", API_SEND, mark_params, result_ok, API_ACTS,
	"Tell the sender that messages were read; answered when the service has it."),
    M("chat.mark_played", API_SEND, mark_params, result_ok, API_ACTS,
	"Tell the sender that voice or video messages were played."),
    M("chat.typing", API_SEND, typing_params, result_ok, API_ACTS,
	"Show in a chat that somebody is typing or recording; ends by itself."),
    M("presence.set", API_MANAGE, presence_params, result_presence, API_ACTS,
	"Appear as available for a while, which keeps the phone silent; the default is "
	"unavailable."),
    M("presence.subscribe", API_READ, watch_params, result_watch, API_ACTS,
	"Have presence events of somebody for an hour. Belongs to the account: it outlasts the "
	"connection of the client, and is made again when the account has reconnected."),
    M("presence.unsubscribe", API_READ, watch_params, result_ok, API_ACTS,
	"Have them no longer; also what another client subscribed to."),
    M("call.reject", API_SEND, reject_params, result_ok, API_ACTS,
	"Refuse a call that rings, on all devices of the account."),
    M("identity.list", API_IDENTITY, identity_list_params, result_identities, 0,
	"Identity keys of contacts, and whether they are trusted."),
    M("identity.safety_number", API_IDENTITY, party_only, result_safety, 0,
	"The number and the QR code that the other side must show as well."),
    M("identity.verify", API_IDENTITY, verify_params, result_verify, API_ACTS,
	"Compare with what the other side shows; if it matches, he is verified."),
    M("identity.decide", API_IDENTITY, decide_params, result_decide, API_ACTS,
	"Trust a contact's new identity, or hold him."),
    M("events.subscribe", API_READ | API_LINK, subscribe_params, result_subscribe, 0,
	"Have events delivered on this connection as they are committed."),
    M("events.unsubscribe", API_READ | API_LINK, unsubscribe_params, result_ok, 0,
	"End a subscription; a durable consumer stays."),
    M("events.fetch", API_READ, fetch_params, result_fetch, 0,
	"Pull the events after the last one that the consumer acknowledged."),
    M("events.ack", API_READ | API_LINK, ack_params, result_ack, API_NOTIFY,
	"Acknowledge events; durable when answered."),
    M("events.consumers", API_READ, NULL, result_consumers, 0, "Durable consumers."),
    M("events.consumer_delete", API_READ | API_ADMIN, delete_params, result_ok, API_ACTS,
	"Forget a durable consumer."),
    M("store.stats", API_ADMIN, stats_params, result_stats, 0,
	"What the store holds and has done."),
    M("store.backup", API_ADMIN, backup_params, result_backup, API_ACTS,
	"Write a backup of everything, encrypted as it is, to a descriptor; answered when it is "
	"whole."),
    M("store.check", API_ADMIN, check_params, result_check, 0,
	"Read all that is stored and find what is damaged, while the service runs."),
    M("store.snapshot", API_ADMIN, snapshot_params, result_snapshot, API_ACTS,
	"Copy the databases beside themselves, under the same keys, for debugging."),
    M("store.rekey", API_ADMIN, rekey_params, result_rekey, API_ACTS,
	"Change all keys: go over to service.next_master_key while the service runs; answered at "
	"once, and asked again it says how far it is."),
};
const size_t api_nmethods = sizeof(api_methods) / sizeof(api_methods[0]);

const struct api_error_class api_error_classes[] = {
    {-32700, "parse", "parse", "no"},
    {-32600, "request", "request|cancelled", "no"},
    {-32601, "method", "method", "no"},
    {-32602, "params", "params", "no"},
    {-32603, "internal", "internal", "no"},
    {-1, "request",
	"not_found|not_on_whatsapp|too_large|unsupported|bad_cursor|window_closed|not_allowed|"
	"refused|full",
	"no"},
    {-2, "internal", "internal|store_corrupt", "no"},
    {-3, "upstream, network", "offline|server_error", "yes"},
    {-4, "identity", "identity_changed|identity_unverified|identity_damaged|adv_invalid",
	"after a decision"},
    {-5, "rate", "paced|rate_limited|overloaded", "after retry_after_ms"},
    {-6, "human step", "qr_expired|code_expired|code_rejected|passkey_required|passkey_confirm",
	"after the step"},
    {-7, "account state", "unlinked|logged_out|replaced|primary_gone|account_mismatch", "no"},
    {-8, "permission", "role_denied|account_denied", "no"},
    {-9, "conflict", "key_reused|consumer_busy|exists|conflict", "no"},
    {-10, "partial", "some_failed", "per item"},
    {-11, "unknown", "outcome_unknown", "with the same key"},
    {-12, "restricted", "reachout_timelock|new_chats_capped|temp_banned|locked|banned",
	"after until_ms"},
    {-13, "outdated", "client_outdated", "after an update"},
    {-14, "local resource", "disk_low|keys_locked|store_locked", "after the operator"},
};
const size_t api_nerror_classes = sizeof(api_error_classes) / sizeof(api_error_classes[0]);

const struct api_method *
api_method_find(const char *name)
{
	for (size_t i = 0; i < api_nmethods; i++)
		if (strcmp(api_methods[i].name, name) == 0)
			return &api_methods[i];
	return NULL;
}

unsigned
api_role_parse(const char *word, size_t len)
{
	if (len == 3 && memcmp(word, "all", 3) == 0)
		return API_ANY;
	for (unsigned i = 0; i < API_NROLES; i++)
		if (strlen(api_role_names[i]) == len && memcmp(api_role_names[i], word, len) == 0)
			return 1u << i;
	return 0;
}

int
api_in_values(const char *values, const char *word)
{
	size_t len = strchr(word, '|') == NULL ? strlen(word) : 0;

	for (const char *p = values; len > 0 && p != NULL; p = strchr(p, '|')) {
		if (*p == '|')
			p++;
		if (strncmp(p, word, len) == 0 && (p[len] == '|' || p[len] == '\0'))
			return 1;
	}
	return 0;
}
