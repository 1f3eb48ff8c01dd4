/* The sessions with a person's devices: session.list, and forgetting those of one who was
 *registered anew.
 *
 *	session_begin -> known -> listed (by number) -> listed (by LID) -> told, or cleared
 */
#include "apid/message/session_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts.h"
#include "apid/message/intent.h"
#include "apid/message/send.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "common/log.h"

#define LIST_MAX   512u
#define LIST_REPLY (64u * 1024)
#define WAIT_MS    100
#define WAITS_MAX  100u

struct sessions {
	struct account *a;
	struct call *call; /* session.list; NULL: they are cleared */
	struct person p;
	uint16_t only; /* 0: all companions are cleared */
	int by_lid;    /* the second list */
	size_t n;
	struct {
		char name[81];
		uint32_t device;
	} at[LIST_MAX];
	struct unit *unit;
	unsigned waited;
};

static void
sessions_end(struct sessions *s, const char *why)
{
	struct api_error e;

	if (why != NULL && s->call != NULL) {
		e = api_error_store(why);
		call_fail(s->call, &e);
	} else if (why != NULL) {
		log_warnx("account %s: sessions of a person who was registered anew: %s",
		    s->a->name, why);
	}
	if (s->unit != NULL)
		unit_abort(s->unit);
	free(s);
}

/* ------------------------------------------------------------------ what is done with them */

static void
tell(struct sessions *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const char *end = strrchr(s->at[i].name, '_');
		int lid = end != NULL && (strcmp(end, "_1") == 0 || strcmp(end, "_129") == 0);
		int hosted = end != NULL && strlen(end) == 4;

		json_array_append_new(
		    all, json_pack("{s:s, s:i, s:b}", "address", lid ? "lid" : "pn", "device",
			     (int)s->at[i].device, "hosted", hosted));
	}
	call_ok(s->call, json_pack("{s:o, s:o}", "party", contacts_party(&s->p), "sessions", all));
	sessions_end(s, NULL);
}

static void
cleared(const struct unit_result *u, void *arg)
{
	struct sessions *s = arg;

	s->unit = NULL;
	sessions_end(s, u->ok ? NULL : u->reason);
}

static void
staged(const struct reply *rp, void *arg)
{
	struct sessions *s = arg;

	if (!rp->ok) {
		sessions_end(s, rp->code);
		return;
	}
	unit_staged(s->unit, ((const Keyd__IdentityForgetReply *)rp->pb)->stages);
	unit_commit(s->unit, cleared, s);
}

static void clear(struct sessions *s);

static void
clear_again(evutil_socket_t fd, short what, void *arg)
{
	clear(arg);
}

/* A send that has seen a session and then finds it gone would have to begin anew. 1: clear is
 * called again. */
static int
wait_for_sends(struct sessions *s)
{
	struct timeval tv = {0, WAIT_MS * 1000};

	if (s->a->svc->stopping || send_in_flight(s->a) == 0 || s->waited++ >= WAITS_MAX)
		return 0;
	if (event_base_once(s->a->svc->base, -1, EV_TIMEOUT, clear_again, s, &tv) == -1)
		fatalx("session_clear: no event");
	return 1;
}

/* Device 0 stays: what it was registered as is told by itself (13.2). */
static void
clear(struct sessions *s)
{
	Keyd__IdentityForget m = KEYD__IDENTITY_FORGET__INIT;
	Keyd__Address at[LIST_MAX], *list[LIST_MAX];

	if (wait_for_sends(s))
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].device == 0 || (s->only != 0 && s->at[i].device != s->only))
			continue;
		keyd__address__init(&at[m.n_addresses]);
		at[m.n_addresses].name = s->at[i].name;
		at[m.n_addresses].device = s->at[i].device;
		list[m.n_addresses] = &at[m.n_addresses];
		m.n_addresses++;
	}
	if (m.n_addresses == 0 || (s->unit = unit_open(s->a)) == NULL) {
		sessions_end(s, m.n_addresses == 0 ? NULL : "memory");
		return;
	}
	m.account = s->a->name;
	m.unit = unit_id(s->unit);
	m.addresses = list;
	(void)ask_keyd(s->a, KEYD__TYPE__IDENTITY_FORGET, &m.base,
	    KEYD__TYPE__IDENTITY_FORGET_REPLY, &keyd__identity_forget_reply__descriptor, 256 * 1024,
	    ASK_DEADLINE_MS, staged, s);
}

/* ------------------------------------------------------------------ finding them */

static void list(struct sessions *s);

static void
listed(const struct reply *rp, void *arg)
{
	struct sessions *s = arg;
	const Stored__RecordNames *m = (const Stored__RecordNames *)rp->pb;

	if (!rp->ok) {
		sessions_end(s, rp->code);
		return;
	}
	for (size_t i = 0; i < m->n_records && s->n < LIST_MAX; i++) {
		const char *name = strchr(m->records[i]->name, '/'), *colon;

		if (name == NULL || (colon = strrchr(++name, ':')) == NULL ||
		    colon - name >= (ptrdiff_t)sizeof(s->at[0].name))
			continue;
		(void)snprintf(
		    s->at[s->n].name, sizeof(s->at[0].name), "%.*s", (int)(colon - name), name);
		s->at[s->n++].device = (uint32_t)strtoul(colon + 1, NULL, 10);
	}
	if (!s->by_lid) {
		s->by_lid = 1;
		list(s);
	} else if (s->call != NULL) {
		tell(s);
	} else {
		clear(s);
	}
}

/* "number:" and "number_128:", then "lid_1:" and "lid_129:". */
static void
list(struct sessions *s)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	char from[128], below[128];
	unsigned g = s->a->dev.generation;

	if (!s->by_lid && s->p.pn[0] == '\0')
		s->by_lid = 1;
	if (s->by_lid && s->p.lid[0] == '\0') {
		if (s->call != NULL)
			tell(s);
		else
			clear(s);
		return;
	}
	(void)snprintf(from, sizeof(from), s->by_lid ? "%u/%s_1" : "%u/%s:", g,
	    s->by_lid ? s->p.lid : s->p.pn);
	(void)snprintf(below, sizeof(below), s->by_lid ? "%u/%s_1;" : "%u/%s_129", g,
	    s->by_lid ? s->p.lid : s->p.pn);
	q.account = s->a->name;
	q.domain = STORED__DOMAIN__SESSION;
	q.from = from;
	q.below = below;
	q.limit = LIST_MAX / 2;
	(void)ask_stored(s->a, STORED__TYPE__RECORDS_LIST, &q.base, STORED__TYPE__RECORD_NAMES,
	    &stored__record_names__descriptor, LIST_REPLY, ASK_DEADLINE_MS, listed, s);
}

static void
known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct sessions *s = arg;

	if (why != NULL) {
		sessions_end(s, why);
		return;
	}
	s->p = people[0];
	if (s->p.id[0] == '\0' && s->call != NULL) {
		call_failf(s->call, -1, "not_found", 0, "no such person");
		sessions_end(s, NULL);
		return;
	}
	list(s);
}

static void
session_begin(struct account *a, const char *who, uint16_t only, struct call *c)
{
	struct sessions *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("session_begin");
	s->a = a;
	s->only = only;
	s->call = c;
	(void)contacts_ask_some(a, &who, 1, 0, 0, known, s);
}

void
session_clear(struct account *a, const char *user, uint16_t device)
{
	session_begin(a, user, device, NULL);
}

void
session_list(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char who[JID_TEXT_MAX];
	struct api_error e;

	if (!a->opened || !a->dev.linked) {
		e = api_error_closed(a);
		if (a->opened)
			e = api_error_make(-7, "unlinked", 0, "the account is not linked");
		call_fail(c, &e);
	} else if (intent_person(party, who, &e) == -1) {
		call_fail(c, &e);
	} else {
		session_begin(a, who, 0, c);
	}
}
