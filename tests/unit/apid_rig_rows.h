/* The rows of a played stored that are about repairs: stanzas that are kept, and base keys. */
#ifndef WARD_TEST_RIG_ROWS_H
#define WARD_TEST_RIG_ROWS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "ipc/stored.pb-c.h"

#define RIG_ROWS_MAX 256

struct rig_rows { /* packed */
	struct rig_packed {
		uint8_t *data;
		size_t len;
	} pending[RIG_ROWS_MAX], base_keys[RIG_ROWS_MAX];
	Stored__Pending *given[RIG_ROWS_MAX]; /* of the last answer */
	size_t ngiven;
};

static int
rig_same_name(const Stored__MessageName *a, const Stored__MessageName *b)
{
	return strcmp(a->chat, b->chat) == 0 && strcmp(a->sender, b->sender) == 0 &&
	       strcmp(a->id, b->id) == 0;
}

static int
rig_same_base_name(const Stored__BaseKeyName *a, const Stored__BaseKeyName *b)
{
	return strcmp(a->address, b->address) == 0 && strcmp(a->message_id, b->message_id) == 0;
}

/* The slot of a row, or a free one if make. */
static struct rig_packed *
rig_pending(struct rig_rows *r, const Stored__MessageName *name, int make)
{
	for (size_t i = 0; i < RIG_ROWS_MAX; i++) {
		Stored__Pending *p;
		int same;

		if (r->pending[i].data == NULL)
			continue;
		p = stored__pending__unpack(NULL, r->pending[i].len, r->pending[i].data);
		same = rig_same_name(p->name, name);
		stored__pending__free_unpacked(p, NULL);
		if (same)
			return &r->pending[i];
	}
	for (size_t i = 0; make && i < RIG_ROWS_MAX; i++)
		if (r->pending[i].data == NULL)
			return &r->pending[i];
	return NULL;
}

static size_t __attribute__((unused)) rig_rows_pending(const struct rig_rows *r)
{
	size_t n = 0;

	for (size_t i = 0; i < RIG_ROWS_MAX; i++)
		n += r->pending[i].data != NULL;
	return n;
}

static struct rig_packed *
rig_base_key(struct rig_rows *r, const Stored__BaseKeyName *name, int make)
{
	for (size_t i = 0; i < RIG_ROWS_MAX; i++) {
		Stored__BaseKey *k;
		int same;

		if (r->base_keys[i].data == NULL)
			continue;
		k = stored__base_key__unpack(NULL, r->base_keys[i].len, r->base_keys[i].data);
		same = rig_same_base_name(k->name, name);
		stored__base_key__free_unpacked(k, NULL);
		if (same)
			return &r->base_keys[i];
	}
	for (size_t i = 0; make && i < RIG_ROWS_MAX; i++)
		if (r->base_keys[i].data == NULL)
			return &r->base_keys[i];
	return NULL;
}

static void
rig_row_set(struct rig_packed *row, const ProtobufCMessage *m)
{
	if (row == NULL)
		return;
	free(row->data);
	memset(row, 0, sizeof(*row));
	if (m == NULL)
		return;
	row->len = protobuf_c_message_get_packed_size(m);
	row->data = malloc(row->len + 1);
	protobuf_c_message_pack(m, row->data);
}

static void
rig_rows_apply(struct rig_rows *r, const Stored__Write *w)
{
	if (w->pending_put != NULL) /* stored takes no longer one */
		assert_in_range(w->pending_put->stanza.len, 1, 1024 * 1024);
	if (w->pending_put != NULL)
		rig_row_set(rig_pending(r, w->pending_put->name, 1), &w->pending_put->base);
	if (w->pending_delete != NULL)
		rig_row_set(rig_pending(r, w->pending_delete, 0), NULL);
	if (w->base_key_put != NULL)
		rig_row_set(rig_base_key(r, w->base_key_put->name, 1), &w->base_key_put->base);
	if (w->base_key_delete != NULL)
		rig_row_set(rig_base_key(r, w->base_key_delete, 0), NULL);
}

static void
rig_rows_forget_given(struct rig_rows *r)
{
	for (size_t i = 0; i < r->ngiven; i++)
		stored__pending__free_unpacked(r->given[i], NULL);
	r->ngiven = 0;
}

static void
rig_rows_lookup(struct rig_rows *r, const Stored__Lookup *q, Stored__LookupReply *out)
{
	static protobuf_c_boolean same[RIG_ROWS_MAX];

	rig_rows_forget_given(r);
	for (size_t i = 0; i < q->n_pending; i++) {
		const struct rig_packed *row = rig_pending(r, q->pending[i], 0);

		if (row == NULL) { /* absent: an empty stanza */
			Stored__Pending p = STORED__PENDING__INIT;
			struct rig_packed none = {0};

			p.name = q->pending[i];
			rig_row_set(&none, &p.base);
			r->given[i] = stored__pending__unpack(NULL, none.len, none.data);
			free(none.data);
		} else {
			r->given[i] = stored__pending__unpack(NULL, row->len, row->data);
		}
		r->ngiven++;
	}
	out->n_pending = r->ngiven;
	out->pending = r->given;
	for (size_t i = 0; i < q->n_base_keys; i++) {
		const struct rig_packed *row = rig_base_key(r, q->base_keys[i]->name, 0);
		Stored__BaseKey *k =
		    row == NULL ? NULL : stored__base_key__unpack(NULL, row->len, row->data);

		same[i] = k != NULL && k->key.len == q->base_keys[i]->key.len &&
			  memcmp(k->key.data, q->base_keys[i]->key.data, k->key.len) == 0;
		if (k != NULL)
			stored__base_key__free_unpacked(k, NULL);
	}
	out->n_same_base_key = q->n_base_keys;
	out->same_base_key = same;
}

static void
rig_rows_scan(struct rig_rows *r, Stored__ScanReply *out)
{
	rig_rows_forget_given(r);
	for (size_t i = 0; i < RIG_ROWS_MAX; i++)
		if (r->pending[i].data != NULL)
			r->given[r->ngiven++] =
			    stored__pending__unpack(NULL, r->pending[i].len, r->pending[i].data);
	out->n_pendings = r->ngiven;
	out->pendings = r->given;
}

static void
rig_rows_free(struct rig_rows *r)
{
	rig_rows_forget_given(r);
	for (size_t i = 0; i < RIG_ROWS_MAX; i++) {
		free(r->pending[i].data);
		free(r->base_keys[i].data);
	}
	memset(r, 0, sizeof(*r));
}

#endif
