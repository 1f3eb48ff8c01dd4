/* Within the table of the API: how fields are written, and those that the methods refer to. Each
 * array ends with a NULL name. */
#ifndef WARD_API_TABLE_FIELDS_H
#define WARD_API_TABLE_FIELDS_H

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

#define USER_ACTIONS "none|relink|open_phone|wait|upgrade|operator"

/* api_table_server.c */
extern const struct api_field api_hello_params[], api_result_hello[], api_schema_params[],
    api_result_schema[], api_result_health[], api_result_version[], api_result_metrics[],
    api_result_sandbox[], api_result_flows[], api_cancel_params[], api_result_cancel[],
    api_backup_params[], api_result_backup[], api_check_params[], api_result_check[],
    api_snapshot_params[], api_result_snapshot[], api_stats_params[], api_rekey_params[],
    api_result_rekey[], api_result_stats[];
/* api_table_account.c */
extern const struct api_field api_account_only[], api_result_ok[], api_result_state[],
    api_result_account[], api_result_accounts[], api_link_params[], api_link_answer_params[],
    api_result_link[], api_session_params[], api_result_session_list[], api_result_session_check[],
    api_result_session_repair[], api_result_keys_status[], api_result_keys_upload[],
    api_result_keys_rotate[], api_result_quarantine[], api_result_purge[], api_restrict_params[],
    api_result_quota[], api_result_restrictions[];
/* api_table_message.c */
extern const struct api_field api_send_params[], api_edit_params[], api_message_delete_params[],
    api_react_params[], api_result_send[], api_msg_state_params[], api_result_msg_state[],
    api_msg_cancel_params[], api_mark_params[], api_typing_params[], api_presence_params[],
    api_result_presence[], api_watch_params[], api_result_watch[], api_reject_params[],
    api_receipts_params[], api_result_receipts[], api_outbox_list_params[], api_result_outbox[],
    api_hold_params[];
/* api_table_identity.c */
extern const struct api_field api_party[], api_tokens_issue_params[], api_result_tokens_issue[],
    api_tokens_list_params[], api_result_tokens_list[], api_result_tokens_prune[],
    api_identity_list_params[], api_result_identities[], api_party_only[], api_result_safety[],
    api_verify_params[], api_result_verify[], api_decide_params[], api_result_decide[];
/* api_table_subscribe.c */
extern const struct api_field api_subscribe_params[], api_result_subscribe[],
    api_unsubscribe_params[], api_fetch_params[], api_result_fetch[], api_ack_params[],
    api_result_ack[], api_result_consumers[], api_delete_params[];

#endif
