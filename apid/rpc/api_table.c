/* The methods of the API: names and roles; api_table_fields.h has what they take and give. Handlers
 * are bound in methods.c. */
#include <string.h>

#include "apid/rpc/api_table_fields.h"

const char *const api_role_names[API_NROLES] = {
    "observe", "read", "send", "manage", "link", "identity", "admin"};

#define M(n, r, p, res, f, d)                                                                      \
	{                                                                                          \
		.name = (n), .role = (r), .params = (p), .result = (res), .flags = (f), .doc = (d) \
	}
const struct api_method api_methods[] = {
    M("server.hello", API_ANY, api_hello_params, api_result_hello, 0,
	"Say who is there and learn what this client may do and the limits in force."),
    M("server.schema", API_ANY, api_schema_params, api_result_schema, 0,
	"JSON Schema of the methods and events that this client may use."),
    M("server.version", API_ANY, NULL, api_result_version, 0, "Versions and the ids of this run."),
    M("server.health", API_OBSERVE, NULL, api_result_health, 0,
	"Checks of the service and of each account."),
    M("server.metrics", API_OBSERVE, NULL, api_result_metrics, 0, "Counters as OpenMetrics text."),
    M("server.sandbox", API_OBSERVE, NULL, api_result_sandbox, 0,
	"What confinement is in force for each process."),
    M("server.flows", API_OBSERVE, NULL, api_result_flows, 0,
	"Long operations in flight and the step that each waits for."),
    M("request.cancel", API_ANY, api_cancel_params, api_result_cancel, 0,
	"Cancel an own request; a message that is in the outbox is sent all the same."),
    M("account.list", API_OBSERVE, NULL, api_result_accounts, 0, "All accounts."),
    M("account.get", API_OBSERVE, api_account_only, api_result_account, 0, "One account."),
    M("account.state", API_OBSERVE, api_account_only, api_result_state, 0,
	"State of one account with its reason and times."),
    M("account.restrictions", API_OBSERVE, api_restrict_params, api_result_restrictions, 0,
	"What the service does not let the account do now, and until when."),
    M("account.quota", API_OBSERVE, api_restrict_params, api_result_quota, 0,
	"How many new chats the service lets the account begin."),
    M("account.link", API_LINK, api_link_params, api_result_link, API_ACTS,
	"Begin to link the account to a phone; account.link events say what to show."),
    M("account.link_answer", API_LINK, api_link_answer_params, api_result_ok, API_ACTS,
	"Give linking what it waits for: the passkey of the owner, or that the codes are the "
	"same."),
    M("account.link_cancel", API_LINK, api_account_only, api_result_ok, API_ACTS,
	"Stop linking the account."),
    M("account.unlink", API_LINK, api_account_only, api_result_ok, API_ACTS,
	"Log this device out at the service; its keys are never used again, and what is stored "
	"stays."),
    M("account.quarantine", API_ADMIN, api_account_only, api_result_quarantine, 0,
	"What is kept of former devices and former accounts, and never used again."),
    M("account.quarantine_purge", API_ADMIN, api_account_only, api_result_purge, API_ACTS,
	"Delete that for good; the present device, its contacts, events and outbox stay."),
    M("account.pause", API_LINK, api_account_only, api_result_state, API_ACTS,
	"Disconnect the account and keep it so, also across restarts."),
    M("account.resume", API_LINK, api_account_only, api_result_state, API_ACTS,
	"Connect a paused account again."),
    M("account.reconnect", API_LINK, api_account_only, api_result_state, API_ACTS,
	"Drop the connection of the account and connect at once."),
    M("session.list", API_ADMIN, api_session_params, api_result_session_list, 0,
	"With which devices of a person there is a Signal session, and under which address."),
    M("session.check", API_ADMIN, api_session_params, api_result_session_check, 0,
	"Whether there is a readable Signal session with each device of a person."),
    M("session.repair", API_ADMIN, api_session_params, api_result_session_repair, API_ACTS,
	"Drop the Signal sessions with all devices of a person; the next message to him makes new "
	"ones."),
    M("keys.status", API_OBSERVE, api_account_only, api_result_keys_status, 0,
	"Prekeys here and at the service, age of the signed prekey, and whether the service has "
	"ours."),
    M("keys.upload", API_ADMIN, api_account_only, api_result_keys_upload, API_ACTS,
	"Give the service new one-time prekeys now; answered when it has them."),
    M("keys.rotate_signed", API_ADMIN, api_account_only, api_result_keys_rotate, API_ACTS,
	"Take a new signed prekey into use now; answered when the service has it."),
    M("message.send", API_SEND, api_send_params, api_result_send, API_ACTS,
	"Send a text, or any message; the answer comes after it is durable in the outbox."),
    M("message.edit", API_SEND, api_edit_params, api_result_send, API_ACTS,
	"Change the text of an own message; goes the way of message.send."),
    M("message.delete", API_SEND, api_message_delete_params, api_result_send, API_ACTS,
	"Take an own message back for everybody; goes the way of message.send."),
    M("message.react", API_SEND, api_react_params, api_result_send, API_ACTS,
	"React to a message, or take the reaction back; goes the way of message.send."),
    M("message.state", API_SEND, api_msg_state_params, api_result_msg_state, 0,
	"How far an own message is, by its idempotency key or its id."),
    M("message.cancel", API_SEND, api_msg_cancel_params, api_result_msg_state, API_ACTS,
	"Take an own message out of the outbox, if nothing of it is encrypted yet."),
    M("outbox.list", API_OBSERVE, api_outbox_list_params, api_result_outbox, 0,
	"What waits to be sent, or for its ack, and for what."),
    M("outbox.hold", API_MANAGE, api_hold_params, api_result_ok, API_ACTS,
	"Send nothing more, to one chat or at all, until it is released; also over restarts. "
	"Messages "
	"are still accepted, and wait; answers to a retry still go."),
    M("outbox.release", API_MANAGE, api_hold_params, api_result_ok, API_ACTS,
	"Go on with what was held, in its order."),
    M("privacy.tokens_issue", API_MANAGE, api_tokens_issue_params, api_result_tokens_issue,
	API_ACTS,
	"Give people this account's trusted-contact token, so that they may write to it."),
    M("privacy.tokens_list", API_ADMIN, api_tokens_list_params, api_result_tokens_list, 0,
	"Who gave this account a trusted-contact token, and who was given one."),
    M("privacy.tokens_prune", API_ADMIN, api_account_only, api_result_tokens_prune, API_ACTS,
	"Throw away expired trusted-contact tokens; done daily anyway."),
    M("message.receipts", API_READ, api_receipts_params, api_result_receipts, 0,
	"Who has, read or played a message."),
    M("chat.mark_read", API_SEND, api_mark_params, api_result_ok, API_ACTS,
	"Tell the sender that messages were read; answered when the service has it."),
    M("chat.mark_played", API_SEND, api_mark_params, api_result_ok, API_ACTS,
	"Tell the sender that voice or video messages were played."),
    M("chat.typing", API_SEND, api_typing_params, api_result_ok, API_ACTS,
	"Show in a chat that somebody is typing or recording; ends by itself."),
    M("presence.set", API_MANAGE, api_presence_params, api_result_presence, API_ACTS,
	"Appear as available for a while, which keeps the phone silent; the default is "
	"unavailable."),
    M("presence.subscribe", API_READ, api_watch_params, api_result_watch, API_ACTS,
	"Have presence events of somebody for an hour. Belongs to the account: it outlasts the "
	"connection of the client, and is made again when the account has reconnected."),
    M("presence.unsubscribe", API_READ, api_watch_params, api_result_ok, API_ACTS,
	"Have them no longer; also what another client subscribed to."),
    M("call.reject", API_SEND, api_reject_params, api_result_ok, API_ACTS,
	"Refuse a call that rings, on all devices of the account."),
    M("identity.list", API_IDENTITY, api_identity_list_params, api_result_identities, 0,
	"Identity keys of contacts, and whether they are trusted."),
    M("identity.safety_number", API_IDENTITY, api_party_only, api_result_safety, 0,
	"The number and the QR code that the other side must show as well."),
    M("identity.verify", API_IDENTITY, api_verify_params, api_result_verify, API_ACTS,
	"Compare with what the other side shows; if it matches, he is verified."),
    M("identity.decide", API_IDENTITY, api_decide_params, api_result_decide, API_ACTS,
	"Trust a contact's new identity, or hold him."),
    M("events.subscribe", API_READ | API_LINK, api_subscribe_params, api_result_subscribe, 0,
	"Have events delivered on this connection as they are committed."),
    M("events.unsubscribe", API_READ | API_LINK, api_unsubscribe_params, api_result_ok, 0,
	"End a subscription; a durable consumer stays."),
    M("events.fetch", API_READ, api_fetch_params, api_result_fetch, 0,
	"Pull the events after the last one that the consumer acknowledged."),
    M("events.ack", API_READ | API_LINK, api_ack_params, api_result_ack, API_NOTIFY,
	"Acknowledge events; durable when answered."),
    M("events.consumers", API_READ, NULL, api_result_consumers, 0, "Durable consumers."),
    M("events.consumer_delete", API_READ | API_ADMIN, api_delete_params, api_result_ok, API_ACTS,
	"Forget a durable consumer."),
    M("store.stats", API_ADMIN, api_stats_params, api_result_stats, 0,
	"What the store holds and has done."),
    M("store.backup", API_ADMIN, api_backup_params, api_result_backup, API_ACTS,
	"Write a backup of everything, encrypted as it is, to a descriptor; answered when it is "
	"whole."),
    M("store.check", API_ADMIN, api_check_params, api_result_check, 0,
	"Read all that is stored and find what is damaged, while the service runs."),
    M("store.snapshot", API_ADMIN, api_snapshot_params, api_result_snapshot, API_ACTS,
	"Copy the databases beside themselves, under the same keys, for debugging."),
    M("store.rekey", API_ADMIN, api_rekey_params, api_result_rekey, API_ACTS,
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
