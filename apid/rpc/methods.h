/* The handlers of the API's methods, bound to the table by name. */
#ifndef WARD_METHODS_H
#define WARD_METHODS_H

#include "apid/rpc/client.h"

/* Takes over the request: answers it now or later, once. */
typedef void method_fn(struct request *rq);

struct method_binding {
	const char *name;
	method_fn *run;
};
extern const struct method_binding method_bindings[];
extern const size_t method_nbindings;
/* The handler of the i-th method of the table; NULL is a defect that rpc_start dies of. */
method_fn *method_handler(size_t index);

/* by noun */
method_fn method_server_hello, method_server_schema, method_server_version, method_server_health,
    method_server_metrics, method_server_sandbox, method_server_flows, method_request_cancel;
method_fn method_account_list, method_account_get, method_account_state, method_account_link,
    method_account_quarantine, method_account_quarantine_purge, method_account_link_answer,
    method_account_link_cancel, method_account_unlink, method_account_pause, method_account_resume,
    method_account_reconnect;
method_fn method_session_list;
method_fn method_session_check;
method_fn method_session_repair;
method_fn method_keys_status, method_keys_upload, method_keys_rotate_signed;
method_fn method_account_restrictions, method_account_quota, method_message_cancel,
    method_outbox_list, method_outbox_hold, method_outbox_release;
method_fn method_message_send, method_message_edit, method_message_delete, method_message_react,
    method_message_state, method_message_receipts;
method_fn method_chat_mark_read, method_chat_mark_played, method_chat_typing;
method_fn method_presence_set, method_presence_subscribe, method_presence_unsubscribe,
    method_call_reject;
method_fn method_privacy_tokens_issue, method_privacy_tokens_list, method_privacy_tokens_prune;
method_fn method_identity_list, method_identity_safety_number, method_identity_verify,
    method_identity_decide;
method_fn method_events_subscribe, method_events_unsubscribe, method_events_fetch,
    method_events_ack, method_events_consumers, method_events_consumer_delete;
method_fn method_store_stats, method_store_backup, method_store_check, method_store_snapshot,
    method_store_rekey;

/* What the same parameters always give: BLAKE2b-256 over the canonical JSON of a message.send,
 * edit, delete or react without wait and timeout_ms and with the account named. 0, or -1 when
 * memory is out. */
int method_send_hash(const json_t *params, const char *account, enum send_act act, uint8_t out[32]);

#endif
