/* Shapes: apid's writes. */
#include <stdint.h>

#include "stored/backend.h"
#include "stored/check.h"
#include "stored/shape.h"
#include "stored/write.h"

#define PURGE_MAX        10000 /* rows of one purge */
#define WRITES_MAX       4096
#define BODY_MAX         (256 * KIB)
#define CONTENT_MAX      (1024 * KIB)
#define STANZA_MAX       (4096 * KIB)
#define PENDING_MAX      (1024 * KIB)
#define METADATA_MAX     (512 * KIB)
#define DEVICES_MAX      4096
#define LIST_DEVICES_MAX 256
#define MACS_MAX         16384
#define MAC_LEN          32
#define HASH_LEN         128
#define BASE_KEY_LEN     33
#define ADDRESS_MAX      160
#define TOKEN_MAX        256

/* ---------------------------------------------------------------- events, outbox, people */

static const char *
check_event(const Stored__EventAppend *e)
{
	static const char *const origins[] = {
	    "live", "offline", "history", "self", "recovered", NULL};
	size_t i;

	if (!shape_text(e->type, 1, 64) || !shape_chars(e->type, "._"))
		return "event: type";
	if (!shape_word(e->origin, origins))
		return "event: origin";
	if (e->body.len < 2 || e->body.len > BODY_MAX || e->body.data[0] != '{')
		return "event: body is no JSON object or too big";
	if (e->dedup != NULL && !shape_text(e->dedup, 1, 512))
		return "event: dedup key";
	if (e->n_unless > 4)
		return "event: too many keys";
	for (i = 0; i < e->n_unless; i++) {
		if (!shape_text(e->unless[i], 1, 512))
			return "event: key";
	}
	return NULL;
}

/* Devices of a send or of a group, by their JIDs. */
static const char *
check_devices(char *const *devices, size_t n)
{
	size_t i;

	if (n > DEVICES_MAX)
		return "devices: too many";
	for (i = 0; i < n; i++) {
		if (!shape_jid(devices[i]))
			return "devices: a JID is empty or too long";
	}
	return NULL;
}

static const char *
check_state(int state)
{
	return state < STORED__OUTBOX_STATE__QUEUED || state > STORED__OUTBOX_STATE__FAILED
		   ? "outbox: unknown state"
		   : NULL;
}

static const char *
check_outbox_put(const Stored__OutboxPut *p)
{
	const char *why;

	if (!shape_message_id(p->message_id))
		return "outbox: message id";
	if (!shape_jid(p->chat))
		return "outbox: chat";
	if (!shape_text(p->idempotency_key, 1, 64) || !shape_chars(p->idempotency_key, "._:-"))
		return "outbox: idempotency key";
	if (p->params_hash.len != 32)
		return "outbox: params hash";
	if (p->content.len > CONTENT_MAX)
		return "outbox: content is too big";
	if (p->has_stanza && p->stanza.len > STANZA_MAX)
		return "outbox: stanza is too big";
	if ((why = check_devices(p->devices, p->n_devices)) != NULL)
		return why;
	return check_state((int)p->state);
}

static const char *
check_outbox_update(const Stored__OutboxUpdate *u)
{
	const char *why;

	if (!shape_message_id(u->message_id))
		return "outbox: message id";
	if (u->has_stanza && u->stanza.len > STANZA_MAX)
		return "outbox: stanza is too big";
	if (!shape_optional(u->reason, 256))
		return "outbox: reason";
	if ((why = check_devices(u->devices, u->n_devices)) != NULL)
		return why;
	return u->has_state ? check_state((int)u->state) : NULL;
}

static const char *
check_device(const Stored__DeviceRecord *d)
{
	if (!shape_optional(d->jid, JID_TEXT_MAX) || !shape_optional(d->lid, JID_TEXT_MAX))
		return "device: JID";
	if (!shape_optional(d->push_name, 1024) || !shape_optional(d->business_name, 1024) ||
	    !shape_optional(d->platform, 128))
		return "device: a name is too long";
	if (!shape_optional(d->state, 64) || !shape_optional(d->state_reason, 512))
		return "device: state";
	if (!shape_optional(d->app_version, 64) || !shape_optional(d->client_expires_version, 64))
		return "device: a version is too long";
	if (!shape_optional(d->props_hash, 128) || !shape_optional(d->props, 2 * KIB) ||
	    (d->has_nct_salt && d->nct_salt.len > 256))
		return "device: props, their hash, or salt";
	if (!shape_optional(d->restrictions, 32 * KIB))
		return "device: restrictions";
	if (!shape_optional(d->outbox_holds, 40 * KIB))
		return "device: outbox holds";
	return d->has_routing_info && d->routing_info.len > 4 * KIB ? "device: routing info" : NULL;
}

static const char *
check_contact(const Stored__Contact *c)
{
	if (!shape_text(c->id, 28, 28) || strncmp(c->id, "u_", 2) != 0 || !shape_chars(c->id, "_"))
		return "contact: id";
	if (c->pn != NULL && !shape_text(c->pn, 1, JID_USER_MAX))
		return "contact: PN";
	if (c->lid != NULL && !shape_text(c->lid, 1, JID_USER_MAX))
		return "contact: LID";
	if (!shape_optional(c->push_name, 1024) || !shape_optional(c->lid_source, 64))
		return "contact: a text is too long";
	return NULL;
}

static const char *
check_device_list(const Stored__DeviceList *l)
{
	if (!shape_jid(l->user))
		return "device list: user";
	if (l->n_devices > LIST_DEVICES_MAX)
		return "device list: too many devices";
	return shape_optional(l->phash, 128) ? NULL : "device list: phash";
}

static const char *
check_receipt(const Stored__ReceiptMark *m)
{
	static const char *const words[] = {"delivered", "read", "played", NULL};

	if (!shape_message_id(m->message_id))
		return "receipt: message id";
	if (!shape_jid(m->party))
		return "receipt: party";
	if (m->n_chats > STORE_RECEIPT_CHATS)
		return "receipt: too many chats";
	for (size_t i = 0; i < m->n_chats; i++)
		if (!shape_jid(m->chats[i]))
			return "receipt: chat";
	return shape_word(m->status, words) ? NULL : "receipt: status";
}

/* ---------------------------------------------------------------- app state */

const char *
check_collection_name(const char *name)
{
	return shape_text(name, 1, 64) ? NULL : "collection: name";
}

static const char *
check_collection(const Stored__CollectionPut *c)
{
	if (c->version > INT64_MAX)
		return "collection: version";
	if (c->hash.len != HASH_LEN)
		return "collection: hash";
	return check_collection_name(c->name);
}

static const char *
check_macs_put(const Stored__MacsPut *p)
{
	size_t i;

	if (p->n_macs > MACS_MAX || p->version > INT64_MAX)
		return "MACs: too many, or version";
	for (i = 0; i < p->n_macs; i++) {
		if (p->macs[i]->index.len != MAC_LEN || p->macs[i]->value.len != MAC_LEN)
			return "MACs: one has another length";
	}
	return check_collection_name(p->collection);
}

static const char *
check_macs_delete(const Stored__MacsDelete *d)
{
	size_t i;

	if (d->n_indexes > MACS_MAX)
		return "MACs: too many";
	for (i = 0; i < d->n_indexes; i++) {
		if (d->indexes[i].len != MAC_LEN)
			return "MACs: one has another length";
	}
	return check_collection_name(d->collection);
}

/* ---------------------------------------------------------------- groups */

static const char *
check_sender_keys(const Stored__SenderKeyStatus *m)
{
	size_t i;

	if (m->n_devices > DEVICES_MAX)
		return "sender keys: too many devices";
	for (i = 0; i < m->n_devices; i++) {
		if (!shape_jid(m->devices[i]->device))
			return "sender keys: a JID is empty or too long";
	}
	return shape_jid(m->group) ? NULL : "sender keys: group";
}

static const char *
check_group(const Stored__GroupPut *g)
{
	if (g->metadata.len > METADATA_MAX)
		return "group: metadata is too big";
	return shape_jid(g->group) ? NULL : "group: JID";
}

/* ---------------------------------------------------------------- base keys, tokens, pending */

static const char *
check_base_key_name(const Stored__BaseKeyName *n)
{
	return shape_text(n->address, 1, ADDRESS_MAX) && shape_message_id(n->message_id)
		   ? NULL
		   : "base key: name";
}

const char *
check_base_key(const Stored__BaseKey *k)
{
	return k->key.len == BASE_KEY_LEN ? check_base_key_name(k->name) : "base key: length";
}

static const char *
check_token(const Stored__Token *t)
{
	if (t->token.len > TOKEN_MAX)
		return "token: too long";
	if (t->token_s < 0 || t->sender_s < 0)
		return "token: a time is negative";
	return shape_jid(t->user) ? NULL : "token: user";
}

static const char *
check_token_received(const Stored__TokenReceived *t)
{
	if (t->token.len == 0 || t->token.len > TOKEN_MAX)
		return "token: empty or too long";
	if (t->token_s < 0)
		return "token: a time is negative";
	return shape_jid(t->user) ? NULL : "token: user";
}

static const char *
check_token_touch(const Stored__TokenTouch *t)
{
	if (t->sender_s < 0)
		return "token: a time is negative";
	return shape_jid(t->user) ? NULL : "token: user";
}

const char *
check_message_name(const Stored__MessageName *n)
{
	return shape_jid(n->chat) && shape_jid(n->sender) && shape_message_id(n->id)
		   ? NULL
		   : "pending: name";
}

static const char *
check_pending(const Stored__Pending *p)
{
	if (p->stanza.len == 0 || p->stanza.len > PENDING_MAX)
		return "pending: stanza is empty or too big";
	return check_message_name(p->name);
}

/* ---------------------------------------------------------------- a write */

static const char *
check_jid(const char *jid, const char *what)
{
	return shape_jid(jid) ? NULL : what;
}

/* App state and what else hangs on the device. */
static const char *
check_domain_write(enum write_kind kind, const Stored__Write *w)
{
	switch (kind) {
	case WRITE_COLLECTION_PUT:
		return check_collection(w->collection_put);
	case WRITE_COLLECTION_DELETE:
		return check_collection_name(w->collection_delete);
	case WRITE_MACS_PUT:
		return check_macs_put(w->macs_put);
	case WRITE_MACS_DELETE:
		return check_macs_delete(w->macs_delete);
	case WRITE_MACS_CLEAR:
		return check_collection_name(w->macs_clear);
	case WRITE_SENDER_KEY_STATUS:
		return check_sender_keys(w->sender_key_status);
	case WRITE_SENDER_KEY_CLEAR:
		return check_jid(w->sender_key_clear, "sender keys: group");
	case WRITE_SENDER_KEY_DROP:
		return check_devices(w->sender_key_drop->devices, w->sender_key_drop->n_devices);
	case WRITE_SENDER_KEY_CLEAR_ALL:
		return w->sender_key_clear_all ? NULL : "sender keys: clear_all is not true";
	case WRITE_BASE_KEY_PUT:
		return check_base_key(w->base_key_put);
	case WRITE_BASE_KEY_DELETE:
		return check_base_key_name(w->base_key_delete);
	case WRITE_TOKEN_PUT:
		return check_token(w->token_put);
	case WRITE_TOKEN_DELETE:
		return check_jid(w->token_delete, "token: user");
	case WRITE_TOKEN_RECEIVED:
		return check_token_received(w->token_received);
	case WRITE_TOKEN_TOUCH:
		return check_token_touch(w->token_touch);
	case WRITE_TOKEN_EXPIRE:
		return NULL; /* any cutoff is one */
	case WRITE_PENDING_PUT:
		return check_pending(w->pending_put);
	case WRITE_PENDING_DELETE:
		return check_message_name(w->pending_delete);
	case WRITE_GROUP_PUT:
		return check_group(w->group_put);
	case WRITE_GROUP_DELETE:
		return check_jid(w->group_delete, "group: JID");
	default:
		return "write: exactly one known field must be set";
	}
}

static const char *
check_write(const Stored__Write *w)
{
	enum write_kind kind = write_kind(w);

	switch (kind) {
	case WRITE_EVENT:
		return check_event(w->event);
	case WRITE_OUTBOX_PUT:
		return check_outbox_put(w->outbox_put);
	case WRITE_OUTBOX_UPDATE:
		return check_outbox_update(w->outbox_update);
	case WRITE_DEVICE:
		return check_device(w->device);
	case WRITE_DEVICE_RESET:
		return NULL;
	case WRITE_CONTACT:
		return check_contact(w->contact);
	case WRITE_DEVICE_LIST:
		return check_device_list(w->device_list);
	case WRITE_DEVICE_LIST_DROP:
		return check_jid(w->device_list_drop->user, "device list: user");
	case WRITE_RECEIPT:
		return check_receipt(w->receipt);
	case WRITE_MARK:
		return shape_text(w->mark, 1, 512) ? NULL : "mark: key";
	case WRITE_SENT_TAKE:
		return shape_message_id(w->sent_take) ? NULL : "outbox: message id";
	case WRITE_RESTORED_DONE:
		return w->restored_done ? NULL : "restored_done is not true";
	case WRITE_QUARANTINE_PURGE:
		return w->quarantine_purge->max >= 1 && w->quarantine_purge->max <= PURGE_MAX
			   ? NULL
			   : "purge: max";
	default:
		return check_domain_write(kind, w);
	}
}

const char *
check_commit(const Stored__UnitCommit *m)
{
	const char *why;
	size_t i;

	if (m->n_writes > WRITES_MAX)
		return "commit: too many writes";
	for (i = 0; i < m->n_writes; i++) {
		if ((why = check_write(m->writes[i])) != NULL)
			return why;
	}
	return NULL;
}
