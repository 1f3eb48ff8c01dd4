/* What a device is sent: its queue, the backlog after login, live delivery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/conn.h"
#include "tests/sim/expect.h"
#include "tests/sim/faults.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/presence.h"
#include "tests/sim/stanza_log.h"

#define PRIMER 5 /* stanzas that go out unasked in pulled mode */

/* A queue may be long: a stanza waits as the bytes that it will be, behind what it is found by. */
struct entry {
	TAILQ_ENTRY(entry) link;
	size_t bytes; /* of all */
	size_t len;   /* of the stanza */
	int64_t since_ms;
	char tag[16], type[16];
	int busy, answered;                  /* the phone is at it; it answered meanwhile */
	const char *id, *from, *participant; /* in text; participant may be NULL */
	const uint8_t *stanza;
	char text[];
};

static const char *
put_text(char **at, const char *from)
{
	char *here = *at;
	size_t len = strlen(from) + 1;

	memcpy(here, from, len);
	*at += len;
	return here;
}

static struct entry *
entry_new(const struct node *n)
{
	const char *participant = node_get(n, "participant");
	struct buf b = BUF_INIT;
	struct entry *e;
	size_t size;
	char *at;

	if (node_encode(n, &b) != 0)
		fatalx("a stanza cannot be encoded");
	size = sizeof(*e) + strlen(nodes_attr(n, "id")) + strlen(nodes_attr(n, "from")) +
	       (participant == NULL ? 0 : strlen(participant)) + 3 + b.len;
	if ((e = calloc(1, size)) == NULL)
		fatal("queue");
	at = e->text;
	e->bytes = size;
	e->len = b.len;
	snprintf(e->tag, sizeof(e->tag), "%s", n->tag);
	snprintf(e->type, sizeof(e->type), "%s", nodes_attr(n, "type"));
	e->id = put_text(&at, nodes_attr(n, "id"));
	e->from = put_text(&at, nodes_attr(n, "from"));
	e->participant = participant == NULL ? NULL : put_text(&at, participant);
	memcpy(at, b.data, b.len);
	e->stanza = (const uint8_t *)at;
	buf_clear(&b);
	return e;
}

static struct node *
entry_node(const struct entry *e)
{
	struct node *n = node_decode(e->stanza, e->len, NULL);

	if (n == NULL)
		fatalx("a queued stanza does not decode");
	return n;
}

static void
drop(struct device *d, struct entry *e)
{
	if (e->busy) {
		e->answered = 1;
		return;
	}
	if (d->unsent == e)
		d->unsent = TAILQ_NEXT(e, link);
	TAILQ_REMOVE(&d->queue, e, link);
	d->queued--;
	d->queued_bytes -= e->bytes;
	free(e);
}

void
offline_clear(struct device *d)
{
	while (!TAILQ_EMPTY(&d->queue))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		drop(d, TAILQ_FIRST(&d->queue));
}

void
offline_deliver(struct device *d, struct node *n)
{
	struct entry *e;

	if (n == NULL)
		return;
	e = entry_new(n);
	e->since_ms = loop_now_ms();
	TAILQ_INSERT_TAIL(&d->queue, e, link);
	d->queued++;
	d->queued_bytes += e->bytes;
	if (strcmp(n->tag, "message") == 0)
		d->messages_out++;
	node_free(n);
	if (d->unsent == NULL)
		d->unsent = e;
	offline_pump(d);
}

void
offline_transient(struct device *d, struct node *n)
{
	if (d->id == 0)
		phone_stanza(d->account->phone, n);
	else if (d->conn != NULL && d->phase == DEVICE_LIVE)
		conn_send(d->conn, n);
	node_free(n);
}

static void
send_preview(struct device *d)
{
	static const char *const kinds[] = {"message", "notification", "receipt", "call"};
	unsigned count[4] = {0}, total = 0;
	struct node *ib, *p;
	struct entry *e;

	for (e = d->unsent; e != NULL; e = TAILQ_NEXT(e, link), total++)
		for (int i = 0; i < 4; i++)
			if (strcmp(e->tag, kinds[i]) == 0)
				count[i]++;
	if (total == 0)
		return;
	ib = node_new("ib");
	node_set_server(ib, "from", JID_PN);
	p = node_child_new(ib, "offline_preview");
	node_setf(p, "count", "%u", total);
	for (int i = 0; i < 4; i++)
		node_setf(p, kinds[i], "%u", count[i]);
	node_set(p, "appdata", "0");
	conn_send(d->conn, ib);
	node_free(ib);
}

static void
send_end(struct device *d)
{
	struct node *ib = node_new("ib");

	d->phase = DEVICE_LIVE;
	node_set_server(ib, "from", JID_PN);
	node_setf(node_child_new(ib, "offline"), "count", "%u", d->backlog);
	conn_send(d->conn, ib);
	node_free(ib);
	presence_live(d);
}

/* A stanza reaches the phone, faults permitting. */
static void
give_phone(struct phone *p, const struct node *n)
{
	struct party to = {phone_device(p)->account, 0, 0};
	struct verdict v = {0};
	struct node *copy;

	stanza_log_write(&to, DIR_OUT, n);
	expect_seen(&to, DIR_OUT, n);
	if (!faults_check(&to, DIR_OUT, n, &v)) {
		phone_stanza(p, n);
		return;
	}
	copy = nodes_copy(n);
	faults_change(copy, &v);
	if (!v.drop)
		phone_stanza(p, copy);
	if (v.duplicate)
		phone_stanza(p, copy);
	node_free(copy);
}

/* The phone answers by stanzas of its own, which take the entry off the queue. */
static void
run_phone(void *arg)
{
	struct phone *p = arg;
	struct device *d = phone_device(p);
	struct entry *e;
	struct node *n;

	phone_pumped(p);
	while ((e = d->unsent) != NULL && phone_is_on(p)) {
		d->unsent = TAILQ_NEXT(e, link);
		e->busy = 1;
		n = entry_node(e);
		give_phone(p, n);
		node_free(n);
		e->busy = 0;
		if (e->answered)
			drop(d, e);
	}
}

void
offline_pump(struct device *d)
{
	struct entry *e;
	struct node *n;

	if (d->id == 0) {
		if (phone_is_on(d->account->phone) && phone_pump_due(d->account->phone))
			loop_defer(run_phone, d->account->phone, NULL);
		return;
	}
	while ((e = d->unsent) != NULL && d->phase >= DEVICE_BACKLOG && conn_has_room(d->conn)) {
		if (d->phase == DEVICE_BACKLOG && d->account->pulled && d->credit == 0)
			return;
		n = entry_node(e);
		if (d->phase == DEVICE_BACKLOG) {
			d->credit -= d->account->pulled ? 1 : 0;
			node_setf(n, "offline", "%u", d->backlog++);
		}
		d->unsent = TAILQ_NEXT(e, link);
		conn_send(d->conn, n);
		node_free(n);
	}
	if (d->phase == DEVICE_BACKLOG && d->unsent == NULL)
		send_end(d);
}

void
offline_phone_on(struct device *d)
{
	d->unsent = TAILQ_FIRST(&d->queue);
	offline_pump(d);
}

void
offline_login(struct device *d)
{
	d->phase = DEVICE_PASSIVE;
	d->unsent = TAILQ_FIRST(&d->queue);
	d->backlog = 0;
}

void
offline_active(struct device *d)
{
	if (d->phase != DEVICE_PASSIVE)
		return;
	d->phase = DEVICE_BACKLOG;
	d->credit = PRIMER;
	send_preview(d);
	offline_pump(d);
}

void
offline_passive(struct device *d)
{
	if (d->phase > DEVICE_PASSIVE)
		d->phase = DEVICE_PASSIVE;
}

void
offline_batch(struct device *d, unsigned count)
{
	if (d->phase != DEVICE_BACKLOG)
		return;
	d->credit += count > 10000 ? 10000 : count;
	offline_pump(d);
}

void
offline_gone(struct device *d)
{
	d->conn = NULL;
	d->phase = DEVICE_GONE;
	d->unsent = NULL;
	d->available = 0;
}

int
offline_answered(
    struct device *d, const char *tag, const char *id, const char *from, const char *participant)
{
	struct entry *e;

	TAILQ_FOREACH(e, &d->queue, link)
	{
		if (strcmp(e->id, id) != 0 || strcmp(e->tag, tag) != 0 ||
		    strcmp(e->from, from) != 0)
			continue;
		if (participant != NULL && e->participant != NULL &&
		    strcmp(e->participant, participant) != 0)
			continue;
		drop(d, e);
		return 1;
	}
	return 0;
}

json_t *
offline_list(const struct device *d)
{
	json_t *list = json_array();
	struct entry *e;
	int sent = d->unsent != NULL || d->phase >= DEVICE_PASSIVE;

	TAILQ_FOREACH(e, &d->queue, link)
	{
		if (e == d->unsent)
			sent = 0;
		json_array_append_new(
		    list, json_pack("{s:s,s:s,s:s,s:s,s:b,s:I}", "class", e->tag, "id", e->id,
			      "from", e->from, "type", e->type, "sent", sent, "age_ms",
			      (json_int_t)(loop_now_ms() - e->since_ms)));
	}
	return list;
}
