/* What the methods identity.* and privacy.* take and give. */
#include "apid/rpc/api_table_fields.h"

const struct api_field api_party[] = {STR("id", 0, 0, 0, "stable id, u_…"),
    STR("pn", 0, 0, 0, "JID by number"), STR("lid", 0, 0, 0, "LID"),
    STR("phone", 0, 0, 0, "+E.164"), STR("push_name", 0, 0, 0, "name that the person chose"), END};
const struct api_field api_tokens_issue_params[] = {ACCOUNT,
    STRS("parties", API_REQUIRED | API_TEXT, 1, API_PARTIES_MAX,
	"to whom: stable ids, JIDs or +E.164"),
    END};
static const struct api_field issued_fields[] = {OBJ("party", api_party, "who got it"),
    INT("time_ms", 0, 0, BIG, "the time that it bears"), END};
const struct api_field api_result_tokens_issue[] = {
    LIST("tokens", issued_fields, "those that the service took"), END};

const struct api_field api_tokens_list_params[] = {ACCOUNT,
    STR("after", 0, 1, 256, "what next of the last answer was"),
    INT("limit", 0, 1, 64, "at most so many; default 64"), END};
static const struct api_field token_fields[] = {OBJ("party", api_party, "who"),
    FLAG("has_token", "he gave this account his"), INT("token_ms", 0, 0, BIG, "the time of his"),
    FLAG("expired", "his is no good any more"),
    INT("issued_ms", 0, 0, BIG, "when he was given this account's last"), END};
const struct api_field api_result_tokens_list[] = {
    LIST("parties", token_fields, "people with a token on either side"),
    STR("next", 0, 0, 0, "there is more: go on after it"), END};

const struct api_field api_result_tokens_prune[] = {
    INT("count", 0, 0, BIG, "how many expired ones went"), END};

#define PARTY(f) STR("party", f, 1, 128, "stable id (u_…), JID or +E.164 of the contact")
#define RELEASED INT("released", 0, 0, BIG, "messages that were held and come now, as their events")
const struct api_field api_identity_list_params[] = {ACCOUNT,
    STR("party", API_ARG, 1, 128,
	"one contact, with all his devices; default the phones of all, in pages"),
    STR("after", 0, 1, 1024, "next of the page before"),
    INT("limit", 0, 1, 256, "contacts of a page; default 100"), END};
static const struct api_field identity_fields[] = {OBJ("party", api_party, "whose"),
    INT("device", 0, 0, BIG, "which of his devices; 0 is the phone"),
    STR("fingerprint", 0, 0, 0, "the public identity key, 64 hex digits; none if damaged"),
    INT("first_seen_ms", 0, 0, BIG, "since when it is known; null: not known"),
    WORD("state", 0, "trusted|verified|held|damaged",
	"held: nothing is sent, and nothing is read; damaged: nor is it, until somebody decides"),
    INT("held_messages", 0, 0, BIG, "messages of this contact that wait for a decision"), END};
const struct api_field api_result_identities[] = {
    LIST("identities", identity_fields, "those that are known"),
    STR("next", 0, 0, 0, "there may be more: ask again with this as after; null: that was all"),
    END};

const struct api_field api_party_only[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG), END};
const struct api_field api_result_safety[] = {
    STR("digits", 0, 0, 0, "60 digits, the same for both sides"),
    STR("qr_b64", 0, 0, 0, "what this side's QR code holds"),
    INT("devices", 0, 0, BIG, "devices of the contact whose identity is in it"),
    INT("own_devices", 0, 0, BIG, "own devices whose identity is in it"), END};

const struct api_field api_verify_params[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG),
    STR("digits", API_ARG, 60, 128, "what the other side shows: 60 digits, blanks do not count"),
    STR("qr_b64", 0, 4, 65536, "or what his QR code holds, base64"), END};
const struct api_field api_result_verify[] = {
    FLAG("match", "they are the same, and the contact counts as verified"), RELEASED, END};

const struct api_field api_decide_params[] = {ACCOUNT, PARTY(API_REQUIRED | API_ARG),
    WORD("decision", API_REQUIRED | API_ARG, "trust|hold",
	"trust what is held; or hold what is known until it is trusted or verified"),
    END};
const struct api_field api_result_decide[] = {
    WORD("decision", 0, "trusted|held", "what was decided"), RELEASED, END};
