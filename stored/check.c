/* Shapes: are the fields of a message within their bounds? */
#include <stdint.h>
#include <string.h>

#include "common/jid.h"
#include "stored/check.h"

#define KIB 1024u

#define RECORD_NAME_MAX 160
#define SEALED_MAX      (1024 * KIB)
#define STAGE_ITEMS_MAX 1024
#define STAGE_BYTES_MAX (2048 * KIB)
#define WRITES_MAX      4096
#define BODY_MAX        (256 * KIB)
#define CONTENT_MAX     (1024 * KIB)
#define STANZA_MAX      (4096 * KIB)
#define DEVICES_MAX     256

/* A text of min..max bytes. */
static int
text(const char *s, size_t min, size_t max)
{
	size_t n = strnlen(s, max + 1);

	return n >= min && n <= max;
}

static int
optional_text(const char *s, size_t max)
{
	return s == NULL || text(s, 0, max);
}

static int
of_chars(const char *s, const char *extra)
{
	for (; *s != '\0'; s++) {
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			(*s >= '0' && *s <= '9') || strchr(extra, *s) != NULL))
			return 0;
	}
	return 1;
}

static int
one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(s, *words) == 0)
			return 1;
	}
	return 0;
}

/* ---------------------------------------------------------------- keyd's */

const char *
check_record_name(const Stored__RecordName *n)
{
	if (n->domain < STORED__DOMAIN__DEVICE || n->domain > STORED__DOMAIN__KEYSTATE)
		return "record: unknown domain";
	if (!text(n->name, 1, RECORD_NAME_MAX))
		return "record: name is empty or too long";
	return NULL;
}

static const char *
check_version(uint64_t v)
{
	return v == 0 || v > INT64_MAX ? "record: version is out of range" : NULL;
}

const char *
check_stage(const Stored__Stage *m)
{
	const char *why;
	size_t i, bytes = 0;

	if (m->n_puts > STAGE_ITEMS_MAX || m->n_deletes > STAGE_ITEMS_MAX)
		return "stage: too many records";
	for (i = 0; i < m->n_puts; i++) {
		const Stored__RecordPut *p = m->puts[i];

		if ((why = check_record_name(p->name)) != NULL ||
		    (why = check_version(p->version)) != NULL)
			return why;
		if (p->sealed.len == 0 || p->sealed.len > SEALED_MAX)
			return "stage: a sealed record is empty or too big";
		if (p->has_uploaded && p->name->domain != STORED__DOMAIN__PREKEY)
			return "stage: uploaded is for prekeys only";
		bytes += p->sealed.len;
	}
	if (bytes > STAGE_BYTES_MAX)
		return "stage: too many bytes";
	for (i = 0; i < m->n_deletes; i++) {
		if ((why = check_record_name(m->deletes[i]->name)) != NULL ||
		    (why = check_version(m->deletes[i]->version)) != NULL)
			return why;
	}
	return NULL;
}

/* ---------------------------------------------------------------- apid's writes */

static const char *
check_event(const Stored__EventAppend *e)
{
	static const char *const origins[] = {
	    "live", "offline", "history", "self", "recovered", NULL};
	size_t i;

	if (!text(e->type, 1, 64) || !of_chars(e->type, "._"))
		return "event: type";
	if (!one_of(e->origin, origins))
		return "event: origin";
	if (e->body.len < 2 || e->body.len > BODY_MAX || e->body.data[0] != '{')
		return "event: body is no JSON object or too big";
	if (e->dedup != NULL && !text(e->dedup, 1, 512))
		return "event: dedup key";
	if (e->n_unless > 4)
		return "event: too many keys";
	for (i = 0; i < e->n_unless; i++) {
		if (!text(e->unless[i], 1, 512))
			return "event: key";
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
	if (!text(p->message_id, 1, 128))
		return "outbox: message id";
	if (!text(p->chat, 1, JID_TEXT_MAX))
		return "outbox: chat";
	if (!text(p->idempotency_key, 1, 64) || !of_chars(p->idempotency_key, "._:-"))
		return "outbox: idempotency key";
	if (p->params_hash.len != 32)
		return "outbox: params hash";
	if (p->content.len > CONTENT_MAX)
		return "outbox: content is too big";
	if (p->has_stanza && p->stanza.len > STANZA_MAX)
		return "outbox: stanza is too big";
	return check_state((int)p->state);
}

static const char *
check_outbox_update(const Stored__OutboxUpdate *u)
{
	if (!text(u->message_id, 1, 128))
		return "outbox: message id";
	if (u->has_stanza && u->stanza.len > STANZA_MAX)
		return "outbox: stanza is too big";
	if (!optional_text(u->reason, 256))
		return "outbox: reason";
	return u->has_state ? check_state((int)u->state) : NULL;
}

static const char *
check_device(const Stored__DeviceRecord *d)
{
	if (!optional_text(d->jid, JID_TEXT_MAX) || !optional_text(d->lid, JID_TEXT_MAX))
		return "device: JID";
	if (!optional_text(d->push_name, 1024) || !optional_text(d->business_name, 1024) ||
	    !optional_text(d->platform, 128))
		return "device: a name is too long";
	if (!optional_text(d->state, 64) || !optional_text(d->state_reason, 512))
		return "device: state";
	return d->has_routing_info && d->routing_info.len > 4 * KIB ? "device: routing info" : NULL;
}

static const char *
check_contact(const Stored__Contact *c)
{
	if (!text(c->id, 28, 28) || strncmp(c->id, "u_", 2) != 0 || !of_chars(c->id, "_"))
		return "contact: id";
	if (c->pn != NULL && !text(c->pn, 1, JID_USER_MAX))
		return "contact: PN";
	if (c->lid != NULL && !text(c->lid, 1, JID_USER_MAX))
		return "contact: LID";
	if (!optional_text(c->push_name, 1024) || !optional_text(c->lid_source, 64))
		return "contact: a text is too long";
	return NULL;
}

static const char *
check_device_list(const Stored__DeviceList *l)
{
	if (!text(l->user, 1, JID_TEXT_MAX))
		return "device list: user";
	if (l->n_devices > DEVICES_MAX)
		return "device list: too many devices";
	return optional_text(l->phash, 128) ? NULL : "device list: phash";
}

static const char *
check_receipt(const Stored__ReceiptMark *m)
{
	static const char *const words[] = {"delivered", "read", "played", NULL};

	if (!text(m->message_id, 1, 128))
		return "receipt: message id";
	if (!text(m->party, 1, JID_TEXT_MAX))
		return "receipt: party";
	return one_of(m->status, words) ? NULL : "receipt: status";
}

static const char *
check_write(const Stored__Write *w)
{
	int n = (w->event != NULL) + (w->outbox_put != NULL) + (w->outbox_update != NULL) +
		(w->device != NULL) + (w->device_reset != NULL) + (w->contact != NULL) +
		(w->device_list != NULL) + (w->device_list_drop != NULL) + (w->receipt != NULL) +
		(w->mark != NULL);

	if (n != 1)
		return "write: exactly one field must be set";
	if (w->event != NULL)
		return check_event(w->event);
	if (w->outbox_put != NULL)
		return check_outbox_put(w->outbox_put);
	if (w->outbox_update != NULL)
		return check_outbox_update(w->outbox_update);
	if (w->device != NULL)
		return check_device(w->device);
	if (w->contact != NULL)
		return check_contact(w->contact);
	if (w->device_list != NULL)
		return check_device_list(w->device_list);
	if (w->device_list_drop != NULL)
		return text(w->device_list_drop->user, 1, JID_TEXT_MAX) ? NULL
									: "device list: user";
	if (w->mark != NULL)
		return text(w->mark, 1, 512) ? NULL : "mark: key";
	return w->receipt != NULL ? check_receipt(w->receipt) : NULL;
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

const char *
check_consumer_name(const char *name)
{
	return text(name, 1, 64) && of_chars(name, "._-") ? NULL : "consumer: name";
}
