/* Messages that could not be read and have waited long enough: told as given up, and let go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/give_up.h"
#include "apid/session/engine.h"
#include "common/log.h"

#define SWEEP_S   3600
#define SCAN_ROWS 64u

struct unread_expiry {
	struct account *a;
	struct event *timer;
	struct ask *scan;
	struct give_up *giving;
	char *after; /* where the walk goes on; NULL: from the beginning */
	int more;    /* it is not at its end */
};

static void sweep(struct unread_expiry *x);

static void
sweep_due(evutil_socket_t fd, short what, void *arg)
{
	sweep(arg);
}

struct unread_expiry *
unread_expiry_new(struct account *a)
{
	struct unread_expiry *x = calloc(1, sizeof(*x));

	if (x == NULL)
		fatal("unread_expiry_new");
	x->a = a;
	if ((x->timer = evtimer_new(a->svc->base, sweep_due, x)) == NULL)
		fatalx("unread_expiry_new: no event");
	return x;
}

void
unread_expiry_free(struct unread_expiry *x)
{
	if (x == NULL)
		return;
	ask_cancel(x->scan);
	give_up_cancel(x->giving);
	event_free(x->timer);
	free(x->after);
	free(x);
}

/* All was looked at, or it went wrong: again in an hour. */
static void
sweep_done(struct unread_expiry *x)
{
	struct timeval tv = {SWEEP_S, 0};

	free(x->after);
	x->after = NULL;
	evtimer_add(x->timer, &tv);
}

static void
given_up(const char *why, void *arg)
{
	struct unread_expiry *x = arg;

	x->giving = NULL;
	if (why != NULL || !x->more)
		sweep_done(x);
	else
		sweep(x);
}

/* Rows of messages from before their day was kept go by stored's own rule. */
static int
is_due(const struct account *a, const Stored__Pending *row)
{
	uint32_t day = row->attempts >> UNREAD_DAY_SHIFT;

	return unread_is_message(row->name) && day != 0 &&
	       account_server_time(a) / 86400 > (int64_t)day + UNREAD_DAYS;
}

static void
scanned(const struct reply *rp, void *arg)
{
	struct unread_expiry *x = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;
	struct give_up_row rows[GIVE_UP_MAX];
	size_t n = 0, i;

	x->scan = NULL;
	if (!rp->ok) {
		sweep_done(x);
		return;
	}
	for (i = 0; i < m->n_pendings && n < GIVE_UP_MAX; i++) {
		const Stored__Pending *row = m->pendings[i];

		if (!is_due(x->a, row))
			continue;
		memset(&rows[n], 0, sizeof(rows[n]));
		(void)snprintf(rows[n].name.chat, sizeof(rows[n].name.chat), "%s", row->name->chat);
		(void)snprintf(
		    rows[n].name.sender, sizeof(rows[n].name.sender), "%s", row->name->sender);
		(void)snprintf(rows[n].name.id, sizeof(rows[n].name.id), "%s", row->name->id);
		rows[n].attempts = row->attempts;
		rows[n].stanza = node_decode(row->stanza.data, row->stanza.len, NULL);
		if (rows[n].stanza == NULL)
			rows[n].stanza = node_new("message"); /* it goes, with nothing to tell */
		n++;
	}
	x->more = i < m->n_pendings || m->next != NULL;
	if (i ==
	    m->n_pendings) { /* else once more from here: those that were found are gone then */
		free(x->after);
		x->after = m->next != NULL ? strdup(m->next) : NULL;
	}
	if (n > 0)
		x->giving = give_up_start(x->a, rows, n, "expired", 1, given_up, x);
	else
		given_up(NULL, x);
}

static void
sweep(struct unread_expiry *x)
{
	Stored__Scan m = STORED__SCAN__INIT;

	if (x->scan != NULL || x->giving != NULL)
		return;
	if (x->a->state != ACCOUNT_ONLINE) { /* the service's clock is known then */
		free(x->after);
		x->after = NULL;
		return;
	}
	m.account = x->a->name;
	m.table = STORED__TABLE__PENDINGS;
	m.after = x->after;
	m.limit = SCAN_ROWS;
	x->scan = ask_stored(x->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, UNREAD_REPLY_MAX, ASK_DEADLINE_MS, scanned, x);
}

void
unread_expiry_online(struct account *a)
{
	sweep(a->unread_expiry);
}
