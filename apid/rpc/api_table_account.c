/* What the methods account.*, session.* and keys.* take and give. */
#include "apid/rpc/api_table_fields.h"

const struct api_field api_account_only[] = {ACCOUNT, END};
const struct api_field api_result_ok[] = {FLAG("ok", "true"), END};

#define ACCOUNT_STATES                                                                             \
	"unlinked|linking|passkey_required|passkey_confirm|connecting|syncing|online|backoff|"     \
	"replaced|logged_out|restricted|banned|outdated|stopped"
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
const struct api_field api_result_state[] = {STATE_FIELDS, STATE_TEXT, END};

const struct api_field api_result_account[] = {STATE_FIELDS,
    STR("jid", 0, 0, 0, "own JID by number, null before linking"),
    STR("lid", 0, 0, 0, "own LID, null before linking"),
    STR("phone", 0, 0, 0, "own number as +E.164"),
    STR("push_name", 0, 0, 0, "own name that others see"),
    STR("platform", 0, 0, 0, "what the primary device is"),
    INT("device_id", 0, 0, BIG, "number of this device"), STATE_TEXT, END};

const struct api_field api_result_accounts[] = {
    LIST("accounts", api_result_account, "all accounts, in the order of the config"), END};

const struct api_field api_link_params[] = {ACCOUNT,
    WORD("method", 0, "qr|code", "by QR code or by a code typed on the phone; default qr"),
    STR("phone", 0, 5, 24, "number of the phone as +E.164, for method code"),
    STR("code", API_SECRET, 8, 9, "own pair code of 8 letters and digits, for method code"),
    FLAG("other_account",
	"the phone may be of another account than the one that was linked before; what is kept of "
	"that one is put aside"),
    END};
const struct api_field api_link_answer_params[] = {ACCOUNT,
    STR("link_id", 0, 1, 64, "as account.link named the attempt; default the one under way"),
    OBJ("passkey_response", NULL,
	"to step passkey: what navigator.credentials.get() gave for the options, as toJSON() "
	"writes it"),
    FLAG("confirm", "to step confirm: whether the phone shows the same code"), END};
const struct api_field api_result_link[] = {
    STR("link_id", 0, 0, 0, "names this attempt; its steps are account.link events"), END};

const struct api_field api_session_params[] = {
    ACCOUNT, STR("party", API_REQUIRED | API_ARG, 1, 128, "stable id, JID or +E.164"), END};
static const struct api_field session_fields[] = {
    WORD("address", 0, "lid|pn", "under what it stands; lid once both are known"),
    INT("device", 0, 0, BIG, "number of the device, 0 is the phone"),
    FLAG("hosted", "of a business service"), END};
const struct api_field api_result_session_list[] = {
    OBJ("party", NULL, "who it is"), LIST("sessions", session_fields, "one for each device"), END};

static const struct api_field session_check_fields[] = {
    INT("device", 0, 0, BIG, "number of the device, 0 is the phone"),
    FLAG("has_session", "there is one, and it can be read"), END};
const struct api_field api_result_session_check[] = {OBJ("party", NULL, "who it is"),
    LIST("devices", session_check_fields, "those that are known of him"),
    FLAG("valid", "there are some, and each has a session"), END};

const struct api_field api_result_session_repair[] = {FLAG("ok", "true"),
    INT("dropped", 0, 0, BIG, "sessions that there were"),
    INT("damaged_identities", 0, 0, BIG,
	"records of identities that cannot be read: identity.decide with trust lets go of them"),
    END};

const struct api_field api_result_keys_status[] = {STR("account", 0, 0, 0, "name of the account"),
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

const struct api_field api_result_keys_upload[] = {
    INT("count", 0, 0, BIG, "prekeys that the service took"), END};

const struct api_field api_result_keys_rotate[] = {INT("count", 0, 0, BIG, "1"),
    INT("signed_prekey_id", 0, 0, BIG, "number of the one that is now in use"), END};

const struct api_field api_result_quarantine[] = {
    INT("generation", 0, 0, BIG, "number of the present device; each new one has the next"),
    INT("records", 0, 0, BIG, "sealed keys and sessions of former devices"),
    INT("contacts", 0, 0, BIG, "people of former accounts, put aside"), END};

const struct api_field api_result_purge[] = {
    INT("purged", 0, 0, BIG, "records and contacts that are gone"), END};

const struct api_field api_restrict_params[] = {
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
const struct api_field api_result_quota[] = {QUOTA, END};

const struct api_field api_result_restrictions[] = {
    OBJ("temp_ban", lock_fields, "the account may not connect"),
    OBJ("reachout_timelock", lock_fields, "nobody new may be written to"),
    OBJ("quota", api_result_quota, "of new chats; empty: the service has not told"), END};
