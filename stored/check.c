/* Shapes: what keyd sends and asks for. */
#include "stored/check.h"

#include <stdint.h>

#include "stored/shape.h"

#define RECORD_NAME_MAX 160
#define SEALED_MAX      (1024 * KIB)
#define STAGE_ITEMS_MAX 1024
#define STAGE_BYTES_MAX (2048 * KIB)
#define LIST_MAX        1024

static const char *
check_domain(Stored__Domain d)
{
	return d < STORED__DOMAIN__DEVICE || d > STORED__DOMAIN__MSG_SECRET
		   ? "record: unknown domain"
		   : NULL;
}

const char *
check_record_name(const Stored__RecordName *n)
{
	if (!shape_text(n->name, 1, RECORD_NAME_MAX))
		return "record: name is empty or too long";
	return check_domain(n->domain);
}

static const char *
check_version(uint64_t v)
{
	return v == 0 || v > INT64_MAX ? "record: version is out of range" : NULL;
}

static const char *
check_put(const Stored__RecordPut *p)
{
	const char *why;

	if ((why = check_record_name(p->name)) != NULL || (why = check_version(p->version)) != NULL)
		return why;
	if (p->sealed.len == 0 || p->sealed.len > SEALED_MAX)
		return "stage: a sealed record is empty or too big";
	if (p->has_uploaded && p->name->domain != STORED__DOMAIN__PREKEY)
		return "stage: uploaded is for prekeys only";
	if ((p->has_expires_s || p->has_message_s) && p->name->domain != STORED__DOMAIN__MSG_SECRET)
		return "stage: times are for message secrets only";
	if (p->expires_s < 0 || p->message_s < 0)
		return "stage: a time is negative";
	return NULL;
}

const char *
check_stage(const Stored__Stage *m)
{
	const char *why;
	size_t i, bytes = 0;

	if (m->n_puts > STAGE_ITEMS_MAX || m->n_deletes > STAGE_ITEMS_MAX ||
	    m->n_uploaded > STAGE_ITEMS_MAX)
		return "stage: too many records";
	for (i = 0; i < m->n_puts; i++) {
		if ((why = check_put(m->puts[i])) != NULL)
			return why;
		bytes += m->puts[i]->sealed.len;
	}
	if (bytes > STAGE_BYTES_MAX)
		return "stage: too many bytes";
	for (i = 0; i < m->n_deletes; i++) {
		if ((why = check_record_name(m->deletes[i]->name)) != NULL ||
		    (why = check_version(m->deletes[i]->version)) != NULL)
			return why;
	}
	for (i = 0; i < m->n_uploaded; i++) {
		if ((why = check_record_name(m->uploaded[i])) != NULL)
			return why;
		if (m->uploaded[i]->domain != STORED__DOMAIN__PREKEY)
			return "stage: uploaded is for prekeys only";
	}
	return NULL;
}

const char *
check_records_list(const Stored__RecordsList *q)
{
	if (!shape_optional(q->from, RECORD_NAME_MAX) || !shape_optional(q->below, RECORD_NAME_MAX))
		return "records: the range's names are too long";
	if (q->has_uploaded && q->domain != STORED__DOMAIN__PREKEY)
		return "records: uploaded is for prekeys only";
	if (q->limit > LIST_MAX)
		return "records: limit is out of range";
	return check_domain(q->domain);
}
