/* What the rooms of apid share: the service, its channels, its accounts; and the seam between rpc/
 * (clients) and session/ + message/ (the protocol engine). rpc/ calls the engine by these functions
 * only; the engine tells rpc/ by service_hooks only. */
#ifndef WARD_SERVICE_H
#define WARD_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/config.h"
#include "common/flow.h"
#include "ipc/channel.h"

struct account; /* apid/session/account.h */
struct rpc;     /* apid/rpc/rpc.h */
struct engine;  /* apid/session/engine.c */

/* Engine -> clients. */
struct service_hooks {
	/* A commit added durable events; the newest seq. Subscriptions read them from stored. */
	void (*events_committed)(void *arg, uint64_t last_seq);
	/* A transient event (account.link, presence …): to those who listen now. body is borrowed.
	 */
	void (*event_transient)(
	    void *arg, const char *account, const char *type, const json_t *body);
	/* stored tells how far a long task is (Stored__TaskState). */
	void (*task_state)(void *arg, const ProtobufCMessage *state);
};

struct service {
	struct event_base *base;
	const struct config *config;
	struct channel *keyd, *netd, *stored;
	struct flow_set *flows;
	struct account **accounts; /* in config order */
	size_t naccounts;
	struct rpc *rpc;
	struct engine *engine; /* what the engine keeps for all accounts */
	struct service_hooks hooks;
	void *hooks_arg;
	char boot_id[33];        /* hex, new at each start */
	unsigned last_end_fault; /* so many runs in a row were ended by a fault of a process */
	char *sandbox_report;    /* what the parent said with GO: "role.key=value" lines */
	/* store state, as stored said last */
	int store_ready;
	char log_id[33];
	uint64_t last_seq;
	int disk_low;
	int keyd_ready;
	char keyd_reason[64]; /* "wrong_master_key" … when not ready */
	int stopping;
};

/* ------------------------------------------------------------------ the engine, for rpc/ */

/* Start the engine: open accounts, connect those that are linked. Called once, after GO. */
void engine_start(struct service *s);
void engine_stop(struct service *s);

struct account *account_find(struct service *s, const char *name); /* NULL if unknown */
const char *account_name(const struct account *a);
/* {account, state, reason, since_ms, next_attempt_ms?, until_ms?, user_action, jid, lid, phone,
 * push_name, platform, device_id}; a new reference. */
json_t *account_describe(const struct account *a);

/* How every engine call ends: exactly once, from the loop. On success err is NULL and result is
 * borrowed. On failure err says what (api-conventions, section 9). */
struct api_error {
	int code;            /* -1 … -14, -32602 … */
	const char *reason;  /* stable word */
	const char *message; /* English, no phone number */
	int retryable;
	int64_t retry_after_ms; /* -1 = not given */
	int64_t until_ms;       /* -1 = not given */
	const char *path;       /* parameter at fault, or NULL */
	unsigned service_code;  /* number that the service gave, 0 = none */
};
typedef void engine_done_fn(void *arg, const json_t *result, const struct api_error *err);

/* client: who asked; all its engine calls in flight are cancelled with engine_cancel_client. The
 * callbacks of a cancelled call do not come any more. A send that is already in the outbox goes on.
 */
struct link_request {
	const char *method; /* qr | code */
	const char *phone;  /* for code */
	const char *code;   /* own code or NULL */
	int other_account;  /* it may be another account than the one that was linked before */
};
/* result: {link_id}; steps follow as account.link events */
void account_link(struct account *a, const void *client, const struct link_request *rq,
    engine_done_fn *fn, void *arg);
/* What a person says to a step of linking: an assertion, or (NULL) whether the codes are the same.
 * link_id NULL = whichever is under way. */
void account_link_answer(struct account *a, const void *client, const char *link_id,
    const json_t *passkey_response, int confirm, engine_done_fn *fn, void *arg);
void account_link_cancel(struct account *a, const void *client, engine_done_fn *fn, void *arg);
void account_unlink(struct account *a, const void *client, engine_done_fn *fn, void *arg);
/* What is kept of former devices and accounts: {generation, records, contacts}; the end of it:
 * {purged}. */
void account_quarantine(struct account *a, const void *client, engine_done_fn *fn, void *arg);
void account_quarantine_purge(struct account *a, const void *client, engine_done_fn *fn, void *arg);
void account_pause(struct account *a, const void *client, engine_done_fn *fn, void *arg);
void account_resume(struct account *a, const void *client, engine_done_fn *fn, void *arg);
void account_reconnect(struct account *a, const void *client, engine_done_fn *fn, void *arg);

/* result: {account, signed_prekey_id, rotation_pending, rotation_due_ms, uploaded, stored,
 * at_service, digest, digest_ms, upload_due} */
void keys_status(struct account *a, const void *client, engine_done_fn *fn, void *arg);
/* Diagnostics. party: stable id, JID or +E.164. result: {party, sessions: [{address, device,
 * hosted}]} */
void session_list(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg);
/* The same for each device that is known: {party, devices: [{device, has_session}], valid}. */
void session_check(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg);
/* All of them are dropped, identities stay; the next send makes new ones: {ok, dropped}. */
void session_repair(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg);
void keys_upload(
    struct account *a, const void *client, engine_done_fn *fn, void *arg); /* {count} */
void keys_rotate_signed(struct account *a, const void *client, engine_done_fn *fn,
    void *arg); /* {count, signed_prekey_id} */

enum send_wait {
	SEND_WAIT_QUEUED,
	SEND_WAIT_SERVER,
	SEND_WAIT_DELIVERED
};
enum send_act {
	SEND_ACT_NEW,
	SEND_ACT_EDIT,   /* of an own message: text takes its place */
	SEND_ACT_DELETE, /* of an own message, for everybody */
	SEND_ACT_REACT   /* text is the emoji; empty takes it back */
};
#define SEND_MENTIONS_MAX 6
struct send_request {
	const char *to; /* stable id, JID or +E.164 */
	const char *idempotency_key;
	const char *text; /* NULL if options have content */
	enum send_act act;
	const char *target;    /* id of the message that it is about; NULL for a new one */
	int target_from_me;    /* for a reaction: that is an own message */
	const json_t *options; /* object with reply_to, mentions, preview, … as message.send has
				* them, checked by the table; or NULL. A reference is taken. */
	uint32_t uid;          /* of the client */
	enum send_wait wait;
	unsigned timeout_ms;
	int64_t not_after_ms; /* 0 = none: a queued message older than this is failed, not sent */
	uint8_t params_hash[32]; /* over the canonical parameters without wait and timeout */
};
/* Strings are copied. result: {message_id, status, time_ms, to, duplicate}. */
void message_send(struct account *a, const void *client, const struct send_request *rq,
    engine_done_fn *fn, void *arg);
/* By idempotency key of that uid, or (key NULL) by message id. result as message_send, and reason,
 * code, until_ms and error {code, reason, …} if it failed; position, waits_for and retry_after_ms
 * while it waits. */
void message_state(struct account *a, const void *client, uint32_t uid, const char *key,
    const char *message_id, engine_done_fn *fn, void *arg);
/* It is not sent, if nothing of it is encrypted yet. result: {message_id, cancelled, …}. */
void message_cancel(struct account *a, const void *client, uint32_t uid, const char *key,
    engine_done_fn *fn, void *arg);
enum mark_status {
	MARK_READ,
	MARK_PLAYED
};
enum mark_receipts {
	MARK_AS_PRIVACY, /* as the account's setting is */
	MARK_ALWAYS,     /* the other side is told */
	MARK_NEVER       /* only the own devices are told */
};
struct mark_request {
	const char *chat; /* stable id, JID or +E.164 of a direct chat */
	const char *const *message_ids;
	size_t n; /* 1 to 256 */
	enum mark_status status;
	enum mark_receipts receipts;
};
/* Strings are copied. result: {marked}, when the service has it. */
void chat_mark(struct account *a, const void *client, const struct mark_request *rq,
    engine_done_fn *fn, void *arg);
/* state: composing, recording or paused; it ends by itself after ttl_ms. result: {ok} */
void chat_typing(struct account *a, const void *client, const char *chat, const char *state,
    unsigned ttl_ms, engine_done_fn *fn, void *arg);

/* Available until ttl_ms have passed, or unavailable. result: {state, until_ms?} */
void presence_set(struct account *a, const void *client, int available, unsigned ttl_ms,
    engine_done_fn *fn, void *arg);
/* party: stable id, JID or +E.164 of a person, or the JID of a group. Belongs to the account, not
 * to the client; asked again it lasts longer. result: {ok, ends_ms, available} and {ok} */
void presence_subscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg);
void presence_unsubscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg);

/* from may be NULL: whoever calls. result: {ok}, when the service has it. */
void call_reject(struct account *a, const void *client, const char *call_id, const char *from,
    engine_done_fn *fn, void *arg);
/* Who has, read or played a message of this account. result: {message_id, status, receipts} */
void message_receipts(
    struct account *a, const void *client, const char *message_id, engine_done_fn *fn, void *arg);
/* Nothing is sent to that chat (NULL: to anybody) until it is released; on = 0 releases. Durable
 * when answered. */
void outbox_hold(struct account *a, const void *client, uint32_t uid, const char *chat, int on,
    engine_done_fn *fn, void *arg);
/* What waits in the outbox, oldest first; after (NULL: the beginning) as next of the last answer.
 * chat (NULL: all) as the rows name it. result: {rows, depth, oldest_ms, next?}. */
void outbox_list(struct account *a, const void *client, const char *chat, const char *after,
    unsigned limit, engine_done_fn *fn, void *arg);
/* What the service does not let the account do now; refresh: it is asked first. */
void account_restrictions(
    struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg);
void account_quota(
    struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg);

/* Give our trusted-contact token to people (at most 8: stable ids, JIDs or +E.164). result:
 * {tokens: [{party, time_ms}]}. What is kept, from after on (NULL: the beginning): {parties:
 * [{party, has_token, token_ms, expired, issued_ms}], next}. What is expired goes: {count}. */
void privacy_tokens_issue(struct account *a, const void *client, const char *const *parties,
    size_t n, engine_done_fn *fn, void *arg);
void privacy_tokens_list(struct account *a, const void *client, const char *after, unsigned limit,
    engine_done_fn *fn, void *arg);
void privacy_tokens_prune(struct account *a, const void *client, engine_done_fn *fn, void *arg);

enum identity_what {
	IDENTITY_LIST,          /* party: his devices; NULL: the phones of all, in pages */
	IDENTITY_SAFETY_NUMBER, /* {digits, qr_b64, devices, own_devices} */
	IDENTITY_VERIFY,        /* digits or qr: {match, released} */
	IDENTITY_TRUST,         /* what is held: {decision, released} */
	IDENTITY_HOLD           /* all that is known */
};
struct identity_request {
	const char *party; /* stable id, JID or +E.164 */
	uint32_t uid;      /* of the client */
	const char *digits;
	const uint8_t *qr;
	size_t qr_len;
	const char *after; /* LIST: `next` of the page before, or NULL */
	unsigned limit;    /* LIST: people of a page */
};
/* Identities of others. Strings and bytes are copied. */
void identity_ask(struct account *a, const void *client, enum identity_what what,
    const struct identity_request *rq, engine_done_fn *fn, void *arg);

/* Go over to the next master key (service.next_master_key), or with look only say how far that is.
 * result: that of store.rekey. */
void engine_rekey(struct service *s, const void *client, int look, engine_done_fn *fn, void *arg);

/* 1: too much is still under way for clients who have gone; nothing is to be asked of an account.
 */
int engine_full(const struct service *s);
void engine_cancel_client(struct service *s, const void *client);

/* Health checks of the engine, appended to an array of {name,status,reason,since_ms,user_action}.
 */
void engine_health(struct service *s, json_t *checks);
/* "2.3000.1045649367", which the service is told; a new reference. And how old that is by the file
 * of client data. */
json_t *engine_client_version(const struct service *s);
int64_t engine_client_age_s(const struct service *s);
/* Counters by name, added to an object (for server.metrics and bench). */
void engine_counters(struct service *s, json_t *counters);

#endif
