/* Which function serves which method of the table. */
#include <string.h>

#include "apid/rpc/methods.h"

const struct method_binding method_bindings[] = {
    {"server.hello", method_server_hello},
    {"server.schema", method_server_schema},
    {"server.version", method_server_version},
    {"server.health", method_server_health},
    {"server.metrics", method_server_metrics},
    {"server.sandbox", method_server_sandbox},
    {"server.flows", method_server_flows},
    {"request.cancel", method_request_cancel},
    {"account.list", method_account_list},
    {"account.get", method_account_get},
    {"account.state", method_account_state},
    {"account.restrictions", method_account_restrictions},
    {"account.quota", method_account_quota},
    {"account.link", method_account_link},
    {"account.link_answer", method_account_link_answer},
    {"account.link_cancel", method_account_link_cancel},
    {"account.unlink", method_account_unlink},
    {"account.quarantine", method_account_quarantine},
    {"account.quarantine_purge", method_account_quarantine_purge},
    {"account.pause", method_account_pause},
    {"account.resume", method_account_resume},
    {"account.reconnect", method_account_reconnect},
    {"session.list", method_session_list},
    {"session.check", method_session_check},
    {"session.repair", method_session_repair},
    {"keys.status", method_keys_status},
    {"keys.upload", method_keys_upload},
    {"keys.rotate_signed", method_keys_rotate_signed},
    {"message.send", method_message_send},
    {"message.edit", method_message_edit},
    {"message.delete", method_message_delete},
    {"message.react", method_message_react},
    {"message.state", method_message_state},
    {"message.receipts", method_message_receipts},
    {"message.cancel", method_message_cancel},
    {"outbox.list", method_outbox_list},
    {"outbox.hold", method_outbox_hold},
    {"outbox.release", method_outbox_release},
    {"chat.mark_read", method_chat_mark_read},
    {"privacy.tokens_issue", method_privacy_tokens_issue},
    {"privacy.tokens_list", method_privacy_tokens_list},
    {"privacy.tokens_prune", method_privacy_tokens_prune},
    {"chat.mark_played", method_chat_mark_played},
    {"chat.typing", method_chat_typing},
    {"presence.set", method_presence_set},
    {"presence.subscribe", method_presence_subscribe},
    {"presence.unsubscribe", method_presence_unsubscribe},
    {"call.reject", method_call_reject},
    {"identity.list", method_identity_list},
    {"identity.safety_number", method_identity_safety_number},
    {"identity.verify", method_identity_verify},
    {"identity.decide", method_identity_decide},
    {"events.subscribe", method_events_subscribe},
    {"events.unsubscribe", method_events_unsubscribe},
    {"events.fetch", method_events_fetch},
    {"events.ack", method_events_ack},
    {"events.consumers", method_events_consumers},
    {"events.consumer_delete", method_events_consumer_delete},
    {"store.stats", method_store_stats},
    {"store.backup", method_store_backup},
    {"store.check", method_store_check},
    {"store.snapshot", method_store_snapshot},
    {"store.rekey", method_store_rekey},
};
const size_t method_nbindings = sizeof(method_bindings) / sizeof(method_bindings[0]);

method_fn *
method_handler(size_t index)
{
	if (index >= api_nmethods)
		return NULL;
	for (size_t i = 0; i < method_nbindings; i++)
		if (strcmp(method_bindings[i].name, api_methods[index].name) == 0)
			return method_bindings[i].run;
	return NULL;
}
