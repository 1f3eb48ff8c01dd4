/* The events of the API: types, durability, bodies. What the protocol engine emits and nothing
 * else. */
#include <string.h>

#include "apid/rpc/api_table.h"

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define STR(n, d)                                                                                  \
	{                                                                                          \
		.name = (n), .type = API_STRING, .doc = (d)                                        \
	}
#define INT(n, d)                                                                                  \
	{                                                                                          \
		.name = (n), .type = API_INT, .max = INT64_C(9007199254740992), .doc = (d)         \
	}
#define FLAG(n, d)                                                                                 \
	{                                                                                          \
		.name = (n), .type = API_BOOL, .doc = (d)                                          \
	}
#define WORD(n, v, d)                                                                              \
	{                                                                                          \
		.name = (n), .type = API_ENUM, .values = (v), .doc = (d)                           \
	}
#define OBJ(n, fs, d)                                                                              \
	{                                                                                          \
		.name = (n), .type = API_OBJECT, .fields = (fs), .doc = (d)                        \
	}

const struct api_field api_event_envelope[] = {STR("id", "unique; absent for transient events"),
    INT("seq", "rises strictly, with gaps; absent for transient events"),
    STR("type", "what happened"), STR("account", "name of the account, or empty for the service"),
    INT("time_ms", "time of the service where it gives one, milliseconds since the epoch"),
    WORD("origin", "live|offline|history|self|recovered", "how it came"),
    FLAG("redelivered", "it may have been given to this consumer before"),
    OBJ("body", NULL, "by type; unknown fields are to be ignored"), END};

static const struct api_field party[] = {STR("id", "stable id, u_…"), STR("pn", "JID by number"),
    STR("lid", "LID"), STR("phone", "+E.164"), STR("name", "name in the address book"),
    STR("push_name", "name that the person chose"), END};
static const struct api_field chat[] = {
    STR("id", "stable id"), STR("jid", "JID"), STR("kind", "direct, group, …"), END};
static const struct api_field media[] = {STR("mime", "media type"), INT("size", "bytes"),
    STR("sha256", "of the file, hex"), STR("file_name", "name of the file"),
    STR("caption", "text with it"), INT("width", "pixels"), INT("height", "pixels"),
    INT("duration_s", "how long it plays"), INT("pages", "of a document"), END};
static const struct api_field content[] = {
    STR("kind",
	"text, link, image, video, gif, video_note, audio, voice, document, sticker, location, "
	"live_location, contact, contacts, poll, group_invite, event, system, …, unknown"),
    STR("text", "for text and link"), STR("url", "for link"), STR("title", "for link"),
    STR("description", "for link and event"), OBJ("media", media, "for what has a file"),
    {.name = "latitude", .type = API_ANY_TYPE, .doc = "for location, degrees"},
    {.name = "longitude", .type = API_ANY_TYPE, .doc = "for location, degrees"},
    STR("name", "for location, contact, contacts, poll, event"), STR("address", "for location"),
    STR("vcard", "for contact"),
    {.name = "contacts", .type = API_ANY_TYPE, .doc = "for contacts: array of {name, vcard}"},
    {.name = "options", .type = API_STRINGS, .doc = "for poll"},
    INT("selectable", "for poll: how many may be chosen; 0: any number"),
    STR("protocol", "for system: its name in the schema"),
    OBJ("content", NULL, "for system: a content inside"), FLAG("pinned", "for pin"),
    FLAG("kept", "for keep"),
    FLAG("encrypted", "for what only the secret of the other message opens"),
    STR("message_id", "for what is about another message"),
    FLAG("truncated", "a string of this object was too long and is cut; raw has it"), END};
static const struct api_field quoted[] = {STR("message_id", "which"),
    OBJ("sender", party, "who wrote it"), OBJ("content", content, "as the reply has it"), END};

/* What an event has about the very message that brought it. */
#define CARRIED                                                                                    \
	STR("notify", "name that came with the message"),                                          \
	    OBJ("object", NULL,                                                                    \
		"the complete message by its schema: enums by name, bytes as base64 under a name " \
		"that "                                                                            \
		"ends in _b64, integers beyond 2^53 as strings, what the schema does not have "    \
		"under "                                                                           \
		"_unknown"),                                                                       \
	    {.name = "object_left_out",                                                            \
		.type = API_STRINGS,                                                               \
		.doc =                                                                             \
		    "paths of what was too much for object; * stands for more; raw_b64 has it"},   \
	    STR("raw_b64", "the message as it was decrypted, or its first part"),                  \
	    INT("raw_parts", "parts in all; the others follow as server.notice"),                  \
	    INT("raw_bytes", "how many there were, if that is not all")
/* What stands beside a content. */
#define CONTEXT                                                                                    \
	OBJ("quoted", quoted, "the message that this one answers"),                                \
	    {.name = "mentions", .type = API_ANY_TYPE, .doc = "array of those who are mentioned"}, \
	    INT("forwarded_score", "how often it was forwarded"),                                  \
	    INT("expires_in_s", "timer of the message"), FLAG("view_once", "may be seen once")

static const struct api_field message[] = {STR("message_id", "id at the service"),
    OBJ("chat", chat, "where it belongs"), OBJ("sender", party, "who wrote it"),
    FLAG("from_me", "written by this account"), INT("time_ms", "time of the service"),
    OBJ("content", content, "by kind"), CONTEXT, CARRIED, END};

/* What a message does to an earlier one. */
#define ABOUT                                                                                      \
	STR("message_id", "the earlier message"), STR("chat", "stable id of the chat"),            \
	    STR("by_message_id", "id of the message that says so"),                                \
	    FLAG("from_me", "done by this account"), INT("time_ms", "time of the service"),        \
	    STR("client_key", "idempotency key, if this service sent it"),                         \
	    STR("recovers", "id of the placeholder that it stands for, with origin recovered")
static const struct api_field message_edited[] = {ABOUT, OBJ("editor", party, "who changed it"),
    OBJ("content", content, "what it says now"),
    FLAG("encrypted", "it came under the secret of the earlier message"), CONTEXT, CARRIED, END};
static const struct api_field message_poll_vote[] = {ABOUT, OBJ("voter", party, "who votes"),
    {.name = "options_sha256",
	.type = API_STRINGS,
	.doc = "hashes of the names of the options that he chose; none: the vote is taken back"},
    INT("voted_ms", "the time by which the newest vote of a voter counts"), CARRIED, END};
static const struct api_field message_event_response[] = {ABOUT, OBJ("party", party, "who answers"),
    WORD("response", "going|not_going|maybe|unknown", "what he says"),
    INT("guests", "whom he brings"), CARRIED, END};
static const struct api_field message_deleted[] = {ABOUT, OBJ("by", party, "who took it back"),
    FLAG("by_admin", "an administrator, not its author"), CARRIED, END};
static const struct api_field message_reaction[] = {ABOUT, OBJ("party", party, "who reacts"),
    STR("text", "the emoji; empty: it is taken back"),
    FLAG("encrypted", "it came under the secret of the earlier message"),
    FLAG("target_from_me", "the earlier message is of this account"), CARRIED, END};

static const struct api_field account_state[] = {STR("state", "as in account.state, the method"),
    STR("reason", "why, a stable word"), INT("code", "code of the service"),
    INT("subcode", "why a ban: 101 to 106"), INT("since_ms", "since when"),
    INT("next_attempt_ms", "when the next attempt is due"),
    INT("until_ms", "when a restriction ends"), STR("user_action", "what a person has to do"),
    STR("text", "for people, where the reason does not say enough"), END};
static const struct api_field account_link[] = {
    WORD("step", "qr|code|passkey|confirm|expired|error|not_multidevice", "what to do now"),
    STR("link_id", "the attempt"),
    STR("text", "what the QR code holds; the pair code; for confirm the code to compare"),
    OBJ("options", NULL, "for passkey: PublicKeyCredentialRequestOptions in its JSON form"),
    FLAG("handoff_proved",
	"for confirm: the phone got a proof that this is the device it scanned; nobody need "
	"answer"),
    INT("expires_ms", "when it stops being good"), STR("error", "what went wrong"),
    FLAG("goes_on", "for error: the attempt is not over, something new to show follows"), END};
static const struct api_field account_linked[] = {STR("jid", "own JID"), STR("lid", "own LID"),
    STR("business_name", "verified name"), STR("platform", "of the phone"),
    FLAG("first_time", "this account was never linked before"),
    FLAG("other_account", "another account than before; what was kept of that one is put aside"),
    STR("link_id", "the attempt"), END};
static const struct api_field account_link_failed[] = {STR("link_id", "the attempt"),
    STR("jid", "who scanned"), STR("reason", "why, a stable word"), END};
static const struct api_field account_unlinked[] = {STR("reason", "why, a stable word"),
    FLAG("on_connect", "found out when connecting"), WORD("by", "self|phone|service", "by whom"),
    END};
static const struct api_field contact_merged[] = {OBJ("party", party, "who it is"),
    STR("pn", "by number"), STR("lid", "by LID"), STR("source", "where the pair was learned"),
    STR("former_id", "another id that he had; it still finds him"), END};
static const struct api_field account_keys[] = {
    WORD("kind", "low|uploaded|rotated|rotation_refused|digest_missing|digest_mismatch", "what"),
    INT("count", "how many keys, where it says so"), END};
static const struct api_field message_event[] = {OBJ("message", message, "the message"),
    STR("client_key", "idempotency key, if this service sent it"),
    STR("recovers", "id of the placeholder that it stands for, with origin recovered"), END};
static const struct api_field message_status[] = {STR("message_id", "which message"),
    STR("chat", "where"), OBJ("party", party, "whose device, if one is meant"),
    WORD("status", MESSAGE_STATUSES, "how far it is"), STR("reason", "if it failed"),
    INT("code", "code of the service"),
    INT("until_ms", "until when the refusal holds, where it is known"), INT("time_ms", "when"),
    END};
static const struct api_field account_restricted[] = {
    WORD("kind", "temp_ban|locked|banned|reachout_timelock", "what"),
    FLAG("active", "it begins; false: it ends"), INT("code", "code of the service"),
    STR("enforcement", "as the service names it"), INT("until_ms", "when it ends"), END};
static const struct api_field account_quota[] = {INT("total", "new chats of a cycle"),
    INT("used", "how many are begun"), INT("cycle_start_ms", "when the cycle began"),
    INT("cycle_end_ms", "when it ends"),
    STR("capping", "NONE, FIRST_WARNING, SECOND_WARNING, CAPPED"),
    STR("ote", "as the service says it"), STR("mv", "as the service says it"), END};
static const struct api_field outbox_paused[] = {
    WORD("scope", "account|chat|new_chats", "what stands still"), STR("chat", "which, for chat"),
    WORD("reason",
	"held|rate|rate_limited|first_contacts|reachout_timelock|new_chats_capped|restriction_"
	"unknown",
	"why"),
    INT("until_ms", "when it goes on, about"), INT("depth", "messages that wait for it"), END};
static const struct api_field outbox_resumed[] = {
    WORD("scope", "account|chat|new_chats", "what goes on"), STR("chat", "which, for chat"),
    INT("depth", "messages that still wait for it"), END};
static const struct api_field server_mex[] = {STR("op_name", "name of the operation"),
    STR("from", "from whom"), OBJ("payload", NULL, "what came, if it is JSON and not large"),
    STR("raw_b64", "what came, as bytes"), INT("raw_bytes", "how many there were, if not all"),
    END};
static const struct api_field message_read[] = {
    {.name = "message_ids", .type = API_STRINGS, .doc = "which messages"}, STR("chat", "where"),
    STR("kind", "read or played"), END};
static const struct api_field message_undecryptable[] = {STR("message_id", "which message"),
    STR("chat", "where"), OBJ("sender", party, "from whom"), STR("reason", "why, a stable word"),
    STR("unavailable",
	"if the service kept it from this device: view_once, hosted, bot, which nobody gives; "
	"other: the phone is asked"),
    FLAG("hidden", "not for eyes"), INT("attempt", "retries so far"),
    STR("error", "of a malformed stanza: what is wrong with it"),
    STR("raw_b64", "of a malformed stanza: its bytes as they came, at most 160 KiB"),
    INT("raw_bytes", "how many there were, if that is not all"),
    FLAG("from_me", "written by this account"), END};
static const struct api_field message_given_up[] = {STR("message_id", "which message"),
    STR("chat", "where"), OBJ("sender", party, "from whom"),
    STR("reason",
	"why it could not be read; or not_given, unanswered: by the phone, which was asked last; "
	"or expired: it was waited for 14 days; or "
	"device_gone: it waited for a decision when the device was unlinked or logged out"),
    FLAG("from_me", "written by this account"), END};
static const struct api_field offline_done[] = {INT("count", "stanzas that had waited"), END};
static const struct api_field identity_changed[] = {OBJ("party", party, "whose identity key"),
    INT("device", "of which of his devices; 0 is the phone"),
    STR("old_fingerprint", "the key before, 64 hex digits"),
    STR("new_fingerprint", "the key now, if it is known already"),
    FLAG("implicit", "seen by a message or a bundle, not told by the service"),
    FLAG("was_verified", "the key before had been verified"),
    FLAG("held", "nothing is sent to him and nothing read until somebody decides"),
    INT("held_messages", "messages of him that wait"), END};
static const struct api_field identity_decided[] = {OBJ("party", party, "about whom"),
    WORD("decision", "trusted|held|verified", "what was decided"),
    STR("by", "by whom: uid: and the user of the client"),
    INT("released_messages", "messages that were held and come now"), END};
static const struct api_field server_notice[] = {STR("kind", "kind of the stanza"),
    STR("from", "from whom"), STR("tag", "name of the stanza"),
    STR("message_id", "if it is about a message"), STR("error", "why it could not be read"),
    {.name = "key_ids", .type = API_STRINGS, .doc = "names of keys that the phone shared"},
    STR("raw_b64", "the stanza or message as it came, or a part of it"),
    INT("raw_part", "which part, from 1"), INT("raw_parts", "how many there are in all"), END};
static const struct api_field events_gap[] = {INT("from", "first seq that is lost"),
    INT("to", "last seq that is lost"), INT("count", "at most so many"),
    STR("reason", "why, a stable word"), END};
static const struct api_field events_closed[] = {STR("subscription", "which"),
    WORD("reason", "stolen|expired|stopping|deleted|error", "why"), END};

static const struct api_field presence[] = {OBJ("party", party, "of whom"),
    STR("chat", "of which group, instead of a person"), FLAG("available", "online now"),
    INT("last_seen_ms", "when it was seen last, if that is told"),
    FLAG("hidden", "when it was seen last is not for this account"),
    INT("count", "of a group: how many are online"), END};
static const struct api_field chat_typing[] = {STR("chat", "where"), OBJ("party", party, "who"),
    WORD("state", "composing|recording|paused", "what"),
    INT("expires_ms", "when it is paused by itself, if nothing comes"), END};
static const struct api_field call[] = {STR("call_id", "names the call"),
    OBJ("from", party, "who calls"), STR("creator", "JID of the device that began it"),
    STR("chat", "where it belongs"), FLAG("group", "a call in a group"),
    FLAG("video", "with video"), FLAG("offline", "it rang while the account was away"),
    FLAG("joinable", "others may join"), STR("platform", "of the caller"),
    STR("version", "of the caller's client"), STR("country", "code of the caller's country"),
    {.name = "codecs", .type = API_STRINGS, .doc = "audio that is offered: name/rate"}, END};
static const struct api_field call_offer[] = {OBJ("call", call, "the call"),
    FLAG("notice_only", "only told of; it cannot be refused from here"), END};
static const struct api_field call_state[] = {STR("call_id", "which call"),
    OBJ("from", party, "whose device says so"),
    WORD("state", "preaccepted|accepted|rejected|ended|missed", "what became of it"),
    STR("reason", "in the words of the service, if it gives one"),
    INT("duration_s", "how long it lasted"), END};
static const struct api_field call_signal[] = {STR("call_id", "which call"),
    STR("kind", "transport, relaylatency, mute_v2, …"), INT("latency_ms", "for relaylatency"),
    STR("raw_b64", "the stanza's child as it came; not of what carries keys"), END};

#define D(t, r, b, d)                                                                              \
	{                                                                                          \
		.type = (t), .durable = 1, .role = (r), .body = (b), .doc = (d)                    \
	}
#define T(t, r, b, d)                                                                              \
	{                                                                                          \
		.type = (t), .durable = 0, .role = (r), .body = (b), .doc = (d)                    \
	}
const struct api_event api_events[] = {
    D("account.state", API_READ | API_LINK, account_state, "The state of an account changed."),
    T("account.link", API_LINK, account_link, "A step of linking needs showing."),
    D("account.linked", API_READ | API_LINK, account_linked, "Linking succeeded."),
    D("account.link_failed", API_READ | API_LINK, account_link_failed,
	"Linking failed at the end."),
    D("account.unlinked", API_READ | API_LINK, account_unlinked, "This device was removed."),
    D("account.keys", API_READ | API_LINK, account_keys,
	"The keys at the service: few are left, new ones are there, or they are not ours."),
    D("account.restricted", API_READ | API_LINK, account_restricted,
	"The service restricts the account, or does no longer."),
    D("account.quota", API_READ | API_LINK, account_quota, "The quota of new chats changed."),
    D("contact.merged", API_READ, contact_merged,
	"A number and a LID turned out to be one person."),
    D("message.received", API_READ, message_event, "A message for this account."),
    D("message.sent", API_READ, message_event, "Sent by this or another own device."),
    D("message.edited", API_READ, message_edited, "Its author changed a message."),
    D("message.deleted", API_READ, message_deleted, "A message was taken back for everybody."),
    D("message.reaction", API_READ, message_reaction,
	"A reaction to a message was added, changed or removed."),
    D("message.poll_vote", API_READ, message_poll_vote,
	"A vote in a poll of a direct chat; message_id is the poll's."),
    D("message.poll_edited", API_READ, message_edited,
	"Its author changed a poll, or somebody added to it."),
    D("message.event_response", API_READ, message_event_response,
	"An answer to an event of a direct chat; message_id is the event's."),
    D("message.status", API_READ, message_status, "A sent message moves on."),
    D("message.read", API_READ, message_read, "Read or played on another own device."),
    D("message.undecryptable", API_READ, message_undecryptable,
	"A message could not be read; a retry runs, unless its stanza is malformed. Read later, it "
	"comes as its own event with origin recovered."),
    D("message.given_up", API_READ, message_given_up,
	"All ways to read a message are used up; should it come nevertheless, it is told."),
    T("presence", API_READ, presence, "Somebody who is subscribed to came or went."),
    T("chat.typing", API_READ, chat_typing, "Somebody types or records, or no longer."),
    D("call.offer", API_READ, call_offer, "A call rings, or rang while the account was away."),
    D("call.state", API_READ, call_state, "A call was taken, refused, missed, or is over."),
    T("call.signal", API_READ, call_signal, "Something of the moment about a call."),
    D("identity.changed", API_READ, identity_changed, "Somebody has a new identity key."),
    D("identity.decided", API_READ, identity_decided, "Somebody decided about an identity key."),
    D("offline.done", API_READ, offline_done, "The queue of the service is drained."),
    D("outbox.paused", API_READ, outbox_paused, "Sending stands still, or a part of it."),
    D("outbox.resumed", API_READ, outbox_resumed, "Sending goes on."),
    D("server.mex", API_READ, server_mex, "A push that this version has no event for."),
    D("server.notice", API_READ, server_notice, "Something that this version does not know."),
    D("events.gap", API_ANY, events_gap, "The log had to lose something."),
    T("events.closed", API_ANY, events_closed, "A subscription ended that its client did not end."),
};
const size_t api_nevents = sizeof(api_events) / sizeof(api_events[0]);

const struct api_event *
api_event_find(const char *type)
{
	for (size_t i = 0; i < api_nevents; i++)
		if (strcmp(api_events[i].type, type) == 0)
			return &api_events[i];
	return NULL;
}
