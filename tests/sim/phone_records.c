/* Bounded lists of what a phone got: rings that grow up to their bound. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/phone_records.h"

void
records_init(struct records *r, size_t max)
{
	memset(r, 0, sizeof(*r));
	r->max = max;
}

void
records_clear(struct records *r)
{
	for (size_t i = 0; i < r->cap; i++) {
		free(r->all[i].text);
		json_decref(r->all[i].more);
	}
	free(r->all);
	memset(r, 0, sizeof(*r));
}

/* While the ring grows its first record is number 1 at place 0; later place = (number - 1) mod cap.
 */
struct record *
records_add(struct records *r)
{
	struct record *rec;

	if (r->count == r->cap && r->cap < r->max) {
		size_t cap = r->cap == 0 ? 256 : r->cap * 2 > r->max ? r->max : r->cap * 2;

		if ((r->all = realloc(r->all, cap * sizeof(*r->all))) == NULL)
			fatal("records");
		memset(r->all + r->cap, 0, (cap - r->cap) * sizeof(*r->all));
		r->cap = cap;
	}
	rec = &r->all[r->last % r->cap];
	free(rec->text);
	json_decref(rec->more);
	memset(rec, 0, sizeof(*rec));
	rec->seq = ++r->last;
	if (r->count < r->cap)
		r->count++;
	return rec;
}

struct record *
records_get(const struct records *r, uint64_t seq)
{
	if (seq == 0 || seq > r->last || r->last - seq >= r->count)
		return NULL;
	return &r->all[(seq - 1) % r->cap];
}

struct record *
records_find(const struct records *r, const char *id)
{
	struct record *rec;

	for (uint64_t s = r->last; (rec = records_get(r, s)) != NULL; s--)
		if (strcmp(rec->id, id) == 0)
			return rec;
	return NULL;
}

json_t *
records_json(const struct records *r, uint64_t after, size_t limit)
{
	json_t *list = json_array();
	uint64_t first = r->last - r->count + 1;
	struct record *rec;

	if (after + 1 > first)
		first = after + 1;
	for (uint64_t s = first; limit > 0 && (rec = records_get(r, s)) != NULL; s++, limit--) {
		json_t *o = json_pack("{s:I,s:s,s:s,s:s,s:s,s:I,s:I,s:b}", "seq",
		    (json_int_t)rec->seq, "id", rec->id, "from", rec->from, "chat", rec->chat,
		    "kind", rec->kind, "t", (json_int_t)rec->t, "at_ms", (json_int_t)rec->at_ms,
		    "device_sent", rec->own);

		json_object_set_new(o, "type", json_string(rec->type));
		if (rec->text != NULL)
			json_object_set_new(o, "text", json_string(rec->text));
		if (rec->more != NULL)
			json_object_update_missing(o, rec->more);
		json_array_append_new(list, o);
	}
	return list;
}
