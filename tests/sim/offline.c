/* What a device is sent: its queue, the backlog after login, live delivery. */
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

struct entry {
	TAILQ_ENTRY(entry) link;
	struct node *n;
	size_t bytes;
	int64_t since_ms;
	int busy, answered; /* the phone is at it; it answered meanwhile */
};

static size_t
weight(const struct node *n)
{
	size_t w = sizeof(*n) + n->nbytes + n->nattrs * sizeof(struct node_attr);

	for (size_t i = 0; i < n->nchildren; i++)
		w += weight(n->children[i]);
	return w;
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
	node_free(e->n);
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
	if ((e = calloc(1, sizeof(*e))) == NULL)
		fatal("queue");
	e->n = n;
	e->bytes = weight(n);
	e->since_ms = loop_now_ms();
	TAILQ_INSERT_TAIL(&d->queue, e, link);
	d->queued++;
	d->queued_bytes += e->bytes;
	if (strcmp(n->tag, "message") == 0)
		d->messages_out++;
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
			if (strcmp(e->n->tag, kinds[i]) == 0)
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
	if (v.corrupt)
		faults_corrupt(copy);
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

	phone_pumped(p);
	while ((e = d->unsent) != NULL && phone_is_on(p)) {
		d->unsent = TAILQ_NEXT(e, link);
		e->busy = 1;
		give_phone(p, e->n);
		e->busy = 0;
		if (e->answered)
			drop(d, e);
	}
}

void
offline_pump(struct device *d)
{
	struct entry *e;

	if (d->id == 0) {
		if (phone_is_on(d->account->phone) && phone_pump_due(d->account->phone))
			loop_defer(run_phone, d->account->phone, NULL);
		return;
	}
	while ((e = d->unsent) != NULL && d->phase >= DEVICE_BACKLOG && conn_has_room(d->conn)) {
		if (d->phase == DEVICE_BACKLOG) {
			if (d->account->pulled && d->credit == 0)
				return;
			d->credit -= d->account->pulled ? 1 : 0;
			node_setf(e->n, "offline", "%u", d->backlog++);
		}
		d->unsent = TAILQ_NEXT(e, link);
		conn_send(d->conn, e->n);
	}
	if (d->phase == DEVICE_BACKLOG && d->unsent == NULL)
		send_end(d);
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
		const struct node *n = e->n;

		if (strcmp(nodes_attr(n, "id"), id) != 0 || strcmp(n->tag, tag) != 0 ||
		    strcmp(nodes_attr(n, "from"), from) != 0)
			continue;
		if (participant != NULL && node_get(n, "participant") != NULL &&
		    strcmp(nodes_attr(n, "participant"), participant) != 0)
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
		    list, json_pack("{s:s,s:s,s:s,s:s,s:b,s:I}", "class", e->n->tag, "id",
			      nodes_attr(e->n, "id"), "from", nodes_attr(e->n, "from"), "type",
			      nodes_attr(e->n, "type"), "sent", sent, "age_ms",
			      (json_int_t)(loop_now_ms() - e->since_ms)));
	}
	return list;
}
