/* Events as JSON text, straight from what stored gave; and which of them a client wants. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apid/rpc/cursor.h"
#include "apid/rpc/json_out.h"
#include "apid/rpc/subscribe.h"
#include "common/clock.h"

/* ------------------------------------------------------------------ filter */

static int
copy_strings(const json_t *list, char ***out, size_t *n)
{
	size_t count = json_array_size(list);

	*out = NULL;
	*n = 0;
	if (count == 0)
		return 0;
	if ((*out = calloc(count, sizeof(char *))) == NULL)
		return -1;
	for (; *n < count; (*n)++)
		if (((*out)[*n] = strdup(json_string_value(json_array_get(list, *n)))) == NULL)
			return -1;
	return 0;
}

int
event_filter_init(struct event_filter *f, unsigned roles, const json_t *filter)
{
	memset(f, 0, sizeof(*f));
	f->roles = roles;
	if (copy_strings(json_object_get(filter, "types"), &f->types, &f->ntypes) == -1 ||
	    copy_strings(json_object_get(filter, "accounts"), &f->accounts, &f->naccounts) == -1) {
		event_filter_clear(f);
		return -1;
	}
	return 0;
}

void
event_filter_clear(struct event_filter *f)
{
	for (size_t i = 0; i < f->ntypes; i++)
		free(f->types[i]);
	for (size_t i = 0; i < f->naccounts; i++)
		free(f->accounts[i]);
	free(f->types);
	free(f->accounts);
	memset(f, 0, sizeof(*f));
}

static int
type_matches(const char *pattern, const char *type)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, type, n - 1) == 0;
	return strcmp(pattern, type) == 0;
}

int
event_filter_match(const struct event_filter *f, const char *type, const char *account)
{
	const struct api_event *known = api_event_find(type);
	size_t i;

	/* a type that the table does not know is content, at worst */
	if (!(f->roles & (known != NULL ? known->role : API_READ)))
		return 0;
	for (i = 0; i < f->ntypes; i++)
		if (type_matches(f->types[i], type))
			break;
	if (f->ntypes > 0 && i == f->ntypes)
		return 0;
	for (i = 0; i < f->naccounts; i++)
		if (strcmp(f->accounts[i], account) == 0)
			break;
	return f->naccounts == 0 || i < f->naccounts;
}

/* ------------------------------------------------------------------ writing */

static void
out_head(struct buf *b, const char *log_id, uint64_t seq)
{
	char cursor[CURSOR_TEXT_MAX];

	buf_printf(b, "\"cursor\":\"%s\",\"event\":{\"id\":\"%.8s.%" PRIu64 "\",\"seq\":%" PRIu64,
	    cursor_format(log_id, seq, cursor), log_id, seq, seq);
}

void
event_out(struct buf *b, const char *log_id, const Stored__Event *e, int redelivered)
{
	out_head(b, log_id, e->seq);
	buf_put_str(b, ",\"type\":");
	json_out_str(b, e->type);
	buf_put_str(b, ",\"account\":");
	json_out_str(b, e->account);
	buf_printf(b, ",\"time_ms\":%" PRId64 ",\"origin\":", e->time_ms);
	json_out_str(b, e->origin);
	buf_printf(b, ",\"redelivered\":%s,\"body\":", redelivered ? "true" : "false");
	if (e->body.len > 0)
		json_out_raw(b, e->body.data, e->body.len);
	else
		buf_put_str(b, "{}");
	buf_put_u8(b, '}');
}

void
event_out_gap(struct buf *b, const char *log_id, uint64_t from, uint64_t to)
{
	out_head(b, log_id, to);
	buf_printf(b,
	    ",\"type\":\"events.gap\",\"account\":\"\",\"time_ms\":%" PRId64
	    ",\"origin\":\"live\",\"redelivered\":false,\"body\":{\"from\":%" PRIu64
	    ",\"to\":%" PRIu64 ",\"count\":%" PRIu64 ",\"reason\":\"retention\"}}",
	    clock_wall_ms(), from, to, to - from + 1);
}

void
event_out_transient(struct buf *b, const char *account, const char *type, const char *body)
{
	buf_put_str(b, "\"event\":{\"type\":");
	json_out_str(b, type);
	buf_put_str(b, ",\"account\":");
	json_out_str(b, account != NULL ? account : "");
	buf_printf(b,
	    ",\"time_ms\":%" PRId64 ",\"origin\":\"live\",\"redelivered\":false,\"body\":",
	    clock_wall_ms());
	json_out_raw(b, body, strlen(body));
	buf_put_u8(b, '}');
}

struct store_ask *
events_read(struct rpc *r, const struct event_filter *f, uint64_t after, unsigned limit,
    unsigned max_bytes, channel_reply_fn *fn, void *arg)
{
	Stored__EventsRead m = STORED__EVENTS_READ__INIT;

	m.after_seq = after;
	m.limit = limit;
	m.max_bytes = max_bytes;
	m.accounts = f->accounts;
	m.n_accounts = f->naccounts;
	return store_ask(r, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
	    &stored__events__descriptor, EVENTS_REPLY_MAX, fn, arg);
}
