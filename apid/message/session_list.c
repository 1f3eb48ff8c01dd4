/* The sessions with a person's devices: telling, checking and dropping them.
 *
 *	session_begin -> known -> listed (by number) -> listed (by LID) -> tell (session.list)
 *	                                                 |-> check -> checked (session.check)
 *	                                                 '-> clear -> staged -> cleared
 *	                                          (session.repair, and a person registered anew)
 */
#include "apid/message/session_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts.h"
#include "apid/message/intent.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/devices.h"
#include "common/log.h"

#define LIST_MAX    512u
#define LIST_REPLY  (64u * 1024)
#define REPEATS_MAX 3u

enum purpose {
	SESSION_LIST,
	SESSION_CHECK,
	SESSION_REPAIR,
	SESSION_CLEAR /* nobody has asked */
};

struct sessions {
	struct account *a;
	enum purpose purpose;
	struct call *call; /* NULL for SESSION_CLEAR */
	struct person p;
	struct device_list devices; /* for SESSION_CHECK, as far as they are known */
	uint16_t only;              /* 0: all companions are cleared */
	int by_lid;                 /* the second list */
	size_t n, dropped, damaged;
	struct {
		char name[81];
		uint32_t device;
	} at[LIST_MAX];
	struct unit *unit;
	unsigned repeats;
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

static int
by_device(const void *x, const void *y)
{
	return (int)*(const uint16_t *)x - (int)*(const uint16_t *)y;
}

/* Sound is a session that keyd could read and that is with somebody. */
static int
sound(const struct sessions *s, const Keyd__SessionsReply *m, uint16_t device)
{
	for (size_t i = 0; i < s->n && i < m->n_facts; i++)
		if (s->at[i].device == device && m->facts[i]->base_key.len > 0)
			return 1;
	return 0;
}

static void
checked(const struct reply *rp, void *arg)
{
	struct sessions *s = arg;
	const Keyd__SessionsReply *m = (const Keyd__SessionsReply *)rp->pb;
	uint16_t ids[LIST_MAX + DEVICES_MAX];
	json_t *all;
	size_t n = 0;
	int valid = 1;

	if (!rp->ok) {
		sessions_end(s, rp->code);
		return;
	}
	for (size_t i = 0; i < s->devices.n; i++)
		if (!s->devices.hosted[i]) /* nothing is sent to those (8.2) */
			ids[n++] = s->devices.ids[i];
	for (size_t i = 0; i < s->n; i++)
		ids[n++] = (uint16_t)s->at[i].device;
	qsort(ids, n, sizeof(ids[0]), by_device);
	all = json_array();
	for (size_t i = 0; i < n; i++) {
		int has = sound(s, m, ids[i]);

		if (i > 0 && ids[i] == ids[i - 1])
			continue;
		json_array_append_new(
		    all, json_pack("{s:i, s:b}", "device", (int)ids[i], "has_session", has));
		valid &= has;
	}
	call_ok(s->call, json_pack("{s:o, s:o, s:b}", "party", contacts_party(&s->p), "devices",
			     all, "valid", valid && n > 0));
	sessions_end(s, NULL);
}

/* Those of `at` that are meant, for keyd; list: of LIST_MAX, as `to` is. */
static size_t
addresses(struct sessions *s, Keyd__Address *to, Keyd__Address **list)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		/* a clearing leaves device 0: what it was registered as is told by itself (13.2) */
		if (s->purpose == SESSION_CLEAR &&
		    (s->at[i].device == 0 || (s->only != 0 && s->at[i].device != s->only)))
			continue;
		keyd__address__init(&to[n]);
		to[n].name = s->at[i].name;
		to[n].device = s->at[i].device;
		list[n] = &to[n];
		n++;
	}
	return n;
}

static void
check(struct sessions *s)
{
	Keyd__Sessions m = KEYD__SESSIONS__INIT;
	Keyd__Address to[LIST_MAX], *list[LIST_MAX];

	m.account = s->a->name;
	m.n_addresses = addresses(s, to, list);
	m.addresses = list;
	m.has_facts = m.facts = 1;
	(void)ask_keyd(s->a, KEYD__TYPE__SESSIONS, &m.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor, LIST_REPLY, ASK_DEADLINE_MS, checked, s);
}

static void clear(struct sessions *s);

static void
cleared(const struct unit_result *u, void *arg)
{
	struct sessions *s = arg;

	s->unit = NULL;
	if (!u->ok && unit_may_repeat(u->reason) && s->repeats++ < REPEATS_MAX) {
		clear(s);
		return;
	}
	if (u->ok && s->purpose == SESSION_REPAIR) {
		log_info("account %s: %zu sessions of a person were dropped at a client's request",
		    s->a->name, s->dropped);
		call_ok(s->call,
		    json_pack("{s:b, s:I, s:I}", "ok", 1, "dropped", (json_int_t)s->dropped,
			"damaged_identities", (json_int_t)s->damaged));
	}
	sessions_end(s, u->ok ? NULL : u->reason);
}

static void
staged(const struct reply *rp, void *arg)
{
	struct sessions *s = arg;
	const Keyd__IdentityForgetReply *m = (const Keyd__IdentityForgetReply *)rp->pb;

	if (!rp->ok) {
		sessions_end(s, rp->code);
		return;
	}
	unit_staged(s->unit, m->stages);
	s->damaged = 0;
	for (size_t i = 0; i < m->n_identities; i++)
		s->damaged += m->identities[i]->has_damaged && m->identities[i]->damaged;
	unit_commit(s->unit, cleared, s);
}

static void
clear(struct sessions *s)
{
	Keyd__IdentityForget m = KEYD__IDENTITY_FORGET__INIT;
	Keyd__Address to[LIST_MAX], *list[LIST_MAX];

	m.n_addresses = s->dropped = addresses(s, to, list);
	if (m.n_addresses == 0) {
		if (s->purpose == SESSION_REPAIR)
			call_ok(s->call, json_pack("{s:b, s:i, s:i}", "ok", 1, "dropped", 0,
					     "damaged_identities", 0));
		sessions_end(s, NULL);
		return;
	}
	if ((s->unit = unit_open(s->a)) == NULL) {
		sessions_end(s, "busy");
		return;
	}
	m.account = s->a->name;
	m.unit = unit_id(s->unit);
	m.addresses = list;
	m.has_only_sessions = m.only_sessions = s->purpose == SESSION_REPAIR;
	(void)ask_keyd(s->a, KEYD__TYPE__IDENTITY_FORGET, &m.base,
	    KEYD__TYPE__IDENTITY_FORGET_REPLY, &keyd__identity_forget_reply__descriptor, 256 * 1024,
	    ASK_DEADLINE_MS, staged, s);
}

/* ------------------------------------------------------------------ finding them */

static void list(struct sessions *s);

static void
found_all(struct sessions *s)
{
	if (s->purpose == SESSION_LIST)
		tell(s);
	else if (s->purpose == SESSION_CHECK)
		check(s);
	else
		clear(s);
}

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
	} else {
		found_all(s);
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
		found_all(s);
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

/* His devices, except for this one. */
static void
take_devices(struct sessions *s, const Stored__Peer *peer)
{
	struct device_list *d = &s->devices;
	struct jid own = s->a->dev.jid;
	size_t n = 0;

	if (devices_from_store(peer->by_lid, d) == -1 && devices_from_store(peer->by_pn, d) == -1)
		return;
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(s->p.pn, own.user) == 0 && d->ids[i] == own.device)
			continue;
		d->ids[n] = d->ids[i];
		d->hosted[n++] = d->hosted[i];
	}
	d->n = n;
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
	if (s->purpose == SESSION_CHECK && lists != NULL && lists->n_peers == 1)
		take_devices(s, lists->peers[0]);
	list(s);
}

static void
session_begin(
    struct account *a, const char *who, uint16_t only, enum purpose purpose, struct call *c)
{
	struct sessions *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("session_begin");
	s->a = a;
	s->only = only;
	s->purpose = purpose;
	s->call = c;
	(void)contacts_ask_some(a, &who, 1, 0, purpose == SESSION_CHECK, known, s);
}

void
session_clear(struct account *a, const char *user, uint16_t device)
{
	session_begin(a, user, device, SESSION_CLEAR, NULL);
}

/* ------------------------------------------------------------------ for clients */

static void
session_asked(struct account *a, const void *client, const char *party, enum purpose purpose,
    engine_done_fn *fn, void *arg)
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
		session_begin(a, who, 0, purpose, c);
	}
}

void
session_list(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	session_asked(a, client, party, SESSION_LIST, fn, arg);
}

void
session_check(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	session_asked(a, client, party, SESSION_CHECK, fn, arg);
}

void
session_repair(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	session_asked(a, client, party, SESSION_REPAIR, fn, arg);
}
