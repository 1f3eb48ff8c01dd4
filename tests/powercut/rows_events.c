/* The event log. */
#include <string.h>

#include "tests/powercut/rows.h"

static const struct store_backend *const b = &store_sqlcipher;

static enum store_status
event_put(struct store_db *db, unsigned u)
{
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	static char type[] = "message.received", origin[] = "live";
	char *unless[1];
	enum store_status st;
	int kept = 0;

	e.type = type;
	e.origin = origin;
	e.time_ms = writes_time(u);
	e.body = rows_bytes(u, 100, rows_len(u, 500));
	e.dedup = rows_name("message of a chat, from a sender, ", u);
	unless[0] = rows_name("marked ", u);
	e.unless = unless;
	e.n_unless = 1;
	if ((st = b->event_append(db, u, writes_time(u), &e, &kept)) != STORE_OK)
		return st;
	if (!kept)
		return STORE_BAD;
	/* a second one with the same key is dropped */
	st = b->event_append(db, u + 1, writes_time(u), &e, &kept);
	return st == STORE_OK && kept ? STORE_BAD : st;
}

static enum presence
event_have(struct store_db *db, struct region *r, unsigned u)
{
	const struct store_event *e;
	ProtobufCBinaryData body;
	enum presence p = ABSENT;

	(void)r;
	if (b->events_walk(db, u - 1) != STORE_OK || b->events_step(db, &e) != STORE_OK)
		return WRONG;
	if (e != NULL && e->seq == u) {
		body.len = e->body_len;
		body.data = (uint8_t *)(uintptr_t)e->body;
		p = rows_same(&body, u, 100, rows_len(u, 500));
	}
	b->events_stop(db);
	return p;
}

static enum store_status
mark_put(struct store_db *db, unsigned u)
{
	return b->event_mark(db, rows_name("marked ", u), writes_time(u));
}

const struct row rows_events[] = {
    {"event", 1, 1, 0, EVENT, 0, 0, event_put, NULL, event_have},
    {"mark", 10, 5, 0, OWN, 0, 0, mark_put, NULL, NULL},
    {0},
};
