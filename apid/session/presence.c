/* Own presence, and whose presence is watched. */
#include "apid/session/presence.h"

#include <stdlib.h>
#include <string.h>

#include "apid/session/call.h"
#include "apid/session/login.h"
#include "apid/session/presence_impl.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

static void
expired(evutil_socket_t fd, short what, void *arg)
{
	struct presence *p = arg;

	log_debug("account %s: available no longer, the time is over", p->a->name);
	presence_withdraw(p);
}

struct presence *
presence_new(struct account *a)
{
	struct presence *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("presence_new");
	p->a = a;
	TAILQ_INIT(&p->watches);
	TAILQ_INIT(&p->watchings);
	TAILQ_INIT(&p->lookups);
	p->expiry = evtimer_new(a->svc->base, expired, p);
	p->sweep = evtimer_new(a->svc->base, presence_sweep, p);
	if (p->expiry == NULL || p->sweep == NULL)
		fatalx("presence_new: no event");
	return p;
}

void
presence_free(struct presence *p)
{
	if (p == NULL)
		return;
	presence_watchings_clear(p);
	presence_watch_clear(p);
	presence_lookups_clear(p);
	event_free(p->expiry);
	event_free(p->sweep);
	free(p);
}

int
presence_is_available(const struct account *a)
{
	return a->presence->told;
}

/* The name goes with it wherever it is known: others see it (5.1). */
static int
say(struct presence *p, const char *type)
{
	struct node *n = node_new("presence");
	char name[sizeof(p->a->rec.push_name)];
	size_t len = 0;

	node_set(n, "type", type);
	for (const char *c = p->a->rec.push_name; *c != '\0'; c++)
		if (*c != '@')
			name[len++] = *c;
	name[len] = '\0';
	node_set(n, "name", name);
	return stanza_send(p->a, n);
}

/* The service is told, if there is a connection that is past its backlog. */
static void
announce(struct presence *p)
{
	int available = p->until_ms != 0;

	if (p->a->conn == 0 || login_in_backlog(p->a))
		return;
	if (available)
		login_session_mark(p->a);
	if (say(p, available ? "available" : "unavailable") == 0)
		p->told = available;
	if (p->told) /* updates begin only now */
		presence_watch_all(p);
}

void
presence_withdraw(struct presence *p)
{
	int was = p->until_ms != 0;

	p->until_ms = 0;
	evtimer_del(p->expiry);
	if (was)
		announce(p);
}

void
presence_online(struct account *a)
{
	struct presence *p = a->presence;

	if (a->rec.push_name[0] == '\0')
		p->until_ms = 0;
	announce(p);
	if (!p->told)
		presence_watch_all(p);
}

void
presence_disconnected(struct account *a)
{
	a->presence->told = 0;
}

void
presence_reset(struct account *a)
{
	presence_watch_clear(a->presence);
	a->presence->until_ms = 0;
	evtimer_del(a->presence->expiry);
}

/* ------------------------------------------------------------------ the own name */

static void
name_written(const struct unit_result *r, void *arg)
{
	/* not written: the next message of another own device brings it again */
}

void
presence_learn_name(struct account *a, const char *name)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct unit *u;
	json_t *valid;

	if (name[0] == '\0' || strcmp(name, "-") == 0 || strlen(name) >= sizeof(a->rec.push_name) ||
	    strcmp(name, a->rec.push_name) == 0)
		return;
	if ((valid = json_string(name)) == NULL)
		return; /* no UTF-8 */
	json_decref(valid);
	memcpy(a->rec.push_name, name, strlen(name) + 1);
	if ((u = unit_open(a)) != NULL) {
		rec.push_name = a->rec.push_name;
		unit_device(u, &rec);
		unit_commit(u, name_written, NULL);
	}
	if (a->presence->told)
		(void)say(a->presence, "available");
}

/* ------------------------------------------------------------------ presence.set */

void
presence_set(struct account *a, const void *client, int available, unsigned ttl_ms,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct presence *p = a->presence;
	struct timeval tv = {ttl_ms / 1000, (suseconds_t)(ttl_ms % 1000) * 1000};
	int was = p->told;

	if (!available) {
		presence_withdraw(p);
		call_ok(c, json_pack("{s:s}", "state", "unavailable"));
		return;
	}
	if (a->conn == 0 || login_in_backlog(a)) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if (a->rec.push_name[0] == '\0') {
		call_failf(c, -1, "not_allowed", 0,
		    "the own name is not known yet, and the service wants it with this; it comes "
		    "with the first message of the phone");
		return;
	}
	p->until_ms = clock_wall_ms() + ttl_ms;
	evtimer_add(p->expiry, &tv);
	if (!was)
		announce(p);
	if (!p->told) {
		p->until_ms = 0;
		evtimer_del(p->expiry);
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	call_ok(
	    c, json_pack("{s:s, s:I}", "state", "available", "until_ms", (json_int_t)p->until_ms));
}
