/* The middle of a send: which devices it goes to, and sessions with all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/send_impl.h"
#include "common/log.h"

/* ------------------------------------------------------------------ device lists */

static void
take_lists(struct send *s)
{
	if (!s->have_own_list && s->own_list.known)
		s->have_own_list = 1;
	if (!s->have_peer_list && s->peer_list.known)
		s->have_peer_list = 1;
}

/* The pair may have been learned meanwhile: `to` is the LID when the account is migrated and the
 * LID is known, else the number (page 04, 9.2). */
static int
choose_namespace(struct send *s)
{
	struct account *a = s->a;
	int lid;

	(void)contacts_cached(a, &s->chat, &s->peer);
	lid = s->peer.lid[0] != '\0' && (a->rec.lid_migrated || s->peer.pn[0] == '\0') &&
	      (a->dev.has_lid || s->peer.pn[0] == '\0');
	return jid_make(&s->chat, lid ? s->peer.lid : s->peer.pn, lid ? JID_LID : JID_PN, 0);
}

static void
lists_came(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct send *s = arg;
	struct api_error e;
	size_t i = 0;

	s->devices = NULL;
	if (why != NULL && strcmp(why, "error") != 0) {
		send_later(s, why);
		return;
	}
	if (why != NULL) {
		e = api_error_make(code == 429 ? -5 : -3,
		    code == 429 ? "rate_limited" : "server_error", 1,
		    "the service did not tell the devices of the recipient");
		send_fail(s, &e, NULL);
		return;
	}
	if (!s->have_peer_list && i < n)
		s->peer_list = lists[i++];
	if (!s->have_own_list && i < n)
		s->own_list = lists[i++];
	take_lists(s);
	send_devices(s);
}

static void
ask_lists(struct send *s)
{
	const char *jids[2];
	char chat[JID_TEXT_MAX], own[JID_TEXT_MAX];
	struct jid j = jid_bare(&s->a->dev.jid);
	size_t n = 0;

	s->asked_devices = 1;
	if (!s->have_peer_list)
		jids[n++] = jid_format(&s->chat, chat);
	if (!s->have_own_list)
		jids[n++] = jid_format(&j, own);
	flow_step(&s->f, "send_devices");
	s->devices = devices_fetch(s->a, jids, n, lists_came, s);
}

static void
add_device(struct send *s, const struct device_list *l, size_t i, const struct jid *user, int own,
    const struct person *p)
{
	struct send_device *d = &s->dev[s->ndev];
	struct jid j = jid_device(user, l->ids[i]);

	if (l->hosted[i] || account_is_this_device(s->a, &j) || s->ndev == s->dev_max)
		return; /* hosted devices are left out (8.2) */
	memset(d, 0, sizeof(*d));
	d->jid = j;
	d->own = own;
	contacts_address(p, &j, d->address);
	s->ndev++;
}

static void send_move(struct send *s);

static int
make_devices(struct send *s)
{
	struct account *a = s->a;
	struct jid own =
	    jid_bare(jid_is_lid(&s->chat) && a->dev.has_lid ? &a->dev.lid : &a->dev.jid);
	int to_self = account_is_own(a, &s->chat);

	send_clear_devices(s);
	s->dev_max = s->peer_list.n + s->own_list.n;
	if (s->dev_max > SEND_DEVICES_MAX)
		s->dev_max = SEND_DEVICES_MAX;
	if ((s->dev = calloc(s->dev_max + 1, sizeof(*s->dev))) == NULL)
		return -1;
	for (size_t i = 0; i < s->peer_list.n && !to_self; i++)
		add_device(s, &s->peer_list, i, &s->chat, 0, &s->peer);
	for (size_t i = 0; i < s->own_list.n; i++)
		add_device(s, &s->own_list, i, &own, 1, &s->own);
	return 0;
}

void
send_clear_devices(struct send *s)
{
	for (size_t i = 0; i < s->ndev; i++)
		bundle_clear(&s->dev[i].bundle);
	free(s->dev);
	s->dev = NULL;
	s->ndev = 0;
}

static void
moved(const char *why, void *arg)
{
	struct send *s = arg;

	s->move = NULL;
	if (why != NULL)
		send_later(s, why);
	else
		send_move(s);
}

/* Sessions from before a LID was known are found under it from here on. */
static void
send_move(struct send *s)
{
	const struct person *people[2] = {&s->peer, &s->own};

	for (int i = 0; i < 2; i++)
		if (lid_move_due(s->a, people[i])) {
			flow_step(&s->f, "send_move");
			s->move = lid_move_start(s->a, people[i], moved, s);
			return;
		}
	send_sessions(s);
}

void
send_devices(struct send *s)
{
	struct api_error e;

	take_lists(s);
	if (account_is_own(s->a, &s->chat))
		s->have_peer_list = 1; /* a note to self goes to our own devices */
	if (!s->have_peer_list || !s->have_own_list) {
		if (!s->asked_devices) {
			ask_lists(s);
			return;
		}
		e = s->have_peer_list
			? api_error_make(
			      -3, "server_error", 1, "the service does not list this account")
			: api_error_make(-1, "not_on_whatsapp", 0, "the recipient is not known");
		send_fail(s, &e, s->have_peer_list ? NULL : "not_on_whatsapp");
		return;
	}
	if (choose_namespace(s) == -1 || make_devices(s) == -1) {
		e = api_error_make(-2, "internal", 1, "the devices cannot be named");
		send_fail(s, &e, NULL);
		return;
	}
	send_move(s);
}

/* ------------------------------------------------------------------ sessions */

static void
sessions_known(const struct reply *rp, void *arg)
{
	struct send *s = arg;
	const Keyd__SessionsReply *m = (const Keyd__SessionsReply *)rp->pb;
	size_t missing = 0;

	s->ask = NULL;
	if (!rp->ok) {
		send_later(s, rp->code);
		return;
	}
	for (size_t i = 0; i < s->ndev; i++) {
		struct send_device *d = &s->dev[i];

		d->has_session = i < m->n_has && m->has[i] && !(s->rebuild && !d->own);
		missing += !d->has_session && !d->skip;
	}
	s->rebuild = 0;
	if (missing > 0)
		send_prekeys(s);
	else
		send_encrypt(s);
}

/* Nobody has to be asked. */
static int
all_known(struct send *s)
{
	if (s->rebuild)
		return 0;
	for (size_t i = 0; i < s->ndev; i++)
		if (!session_cache_has(
			s->a->sender->sessions, s->dev[i].address, s->dev[i].jid.device))
			return 0;
	for (size_t i = 0; i < s->ndev; i++)
		s->dev[i].has_session = 1;
	return 1;
}

static void
ask_sessions(struct send *s)
{
	Keyd__Sessions m = KEYD__SESSIONS__INIT;
	Keyd__Address *addr = calloc(s->ndev + 1, sizeof(*addr));
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	Keyd__Address **ptr = calloc(s->ndev + 1, sizeof(*ptr));

	if (addr == NULL || ptr == NULL)
		fatal("send_sessions");
	for (size_t i = 0; i < s->ndev; i++) {
		keyd__address__init(&addr[i]);
		addr[i].name = s->dev[i].address;
		addr[i].device = s->dev[i].jid.device;
		ptr[i] = &addr[i];
	}
	m.account = s->a->name;
	m.n_addresses = s->ndev;
	m.addresses = ptr;
	s->ask = ask_keyd(s->a, KEYD__TYPE__SESSIONS, &m.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor, 16384, ASK_DEADLINE_MS, sessions_known, s);
	free(addr);
	free(ptr);
}

void
send_sessions(struct send *s)
{
	flow_step(&s->f, "send_sessions");
	send_find_token(s);
	if (all_known(s))
		send_encrypt(s);
	else
		ask_sessions(s);
}

/* ------------------------------------------------------------------ prekeys */

static void
list_dropped(const struct unit_result *r, void *arg)
{
	/* a cache: at worst the next send finds the same stale device */
}

static void
drop_stale(struct send *s, int theirs, int ours)
{
	char text[JID_TEXT_MAX];
	struct unit *u = unit_open(s->a);
	struct jid own = jid_bare(&s->a->dev.jid);

	if (u == NULL)
		return;
	if (theirs)
		unit_device_list_drop(u, jid_format(&s->chat, text));
	if (ours)
		unit_device_list_drop(u, jid_format(&own, text));
	unit_commit(u, list_dropped, NULL);
}

static void
bundles_came(struct bundle *b, size_t n, const char *why, unsigned code, void *arg)
{
	struct send *s = arg;
	struct api_error e;
	size_t k = 0;
	int stale[2] = {0, 0}; /* of the recipient, of ourselves */

	s->bundles = NULL;
	if (why != NULL && strcmp(why, "error") != 0) {
		send_build_done(s);
		send_later(s, why);
		return;
	}
	if (why != NULL && code != 406) {
		send_build_done(s);
		e = api_error_make(code == 429 ? -5 : -3,
		    code == 429 ? "rate_limited" : "server_error", 1,
		    "the service gave no keys of the recipient");
		send_fail(s, &e, NULL);
		return;
	}
	for (size_t i = 0; i < s->ndev; i++) {
		struct send_device *d = &s->dev[i];

		if (d->has_session || d->skip)
			continue;
		if (why == NULL && k < n && b[k].ok) {
			d->bundle = b[k];
			d->has_bundle = 1;
			b[k].device_identity = NULL; /* taken */
		} else {
			d->skip = 1;
			stale[d->own] |= why != NULL || (k < n && b[k].stale);
		}
		k++;
	}
	if (stale[0] || stale[1])
		drop_stale(s, stale[0], stale[1]);
	send_encrypt(s);
}

/* One send of an account builds sessions at a time: the others then find them made, and no prekey
 * is spent twice. */
void
send_prekeys(struct send *s)
{
	struct jid *missing;
	struct send *o;
	size_t n = 0;

	flow_step(&s->f, "send_prekeys");
	if (!s->building) {
		TAILQ_FOREACH(o, &s->a->sender->list, link)
		if (o->building) {
			s->wants_build = 1;
			return;
		}
		s->building = 1;
	}
	if ((missing = calloc(s->ndev, sizeof(*missing))) == NULL)
		fatal("send_prekeys");
	for (size_t i = 0; i < s->ndev; i++)
		if (!s->dev[i].has_session && !s->dev[i].skip)
			missing[n++] = s->dev[i].jid;
	s->bundles = bundle_fetch(s->a, missing, n, bundles_came, s);
	free(missing);
}
