/* Device lists that are asked for again in the background.
 *
 *	refresh_next -> people_known -> lists_came -> refresh_next …
 *	device_refresh_hash -> scanned -> scanned … (the contacts, a thousand at a time)
 */
#include "apid/session/device_refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/base64.h>
#include <nettle/md5.h>
#include <nettle/version.h>

#include "apid/session/ask.h"
#include "apid/session/devices.h"
#include "apid/session/login.h"
#include "common/log.h"

#define WANTED_MAX 512u
#define COLLECT_MS 300 /* so that several are asked for at once */
#define AGAIN_S    60  /* after a failure */
#define HASHES_MAX 64u
#define SCAN_STEP  1000u
#define SCAN_REPLY (2u * 1024 * 1024)

struct device_refresh {
	struct account *a;
	char wanted[WANTED_MAX][JID_TEXT_MAX]; /* bare, each once */
	size_t n, asked;                       /* asked: the first ones are under way */
	struct contacts_request *lookup;
	struct devices_request *fetch;
	struct event *timer;
	char hashes[HASHES_MAX][5];
	size_t nhashes;
	struct ask *scan;
	char after[64]; /* where the scan goes on */
};

static void scan(struct device_refresh *d);

/* ------------------------------------------------------------------ the queue */

static int
may(const struct account *a)
{
	return a->conn != 0 && a->logged_in && !login_in_backlog(a) && !a->svc->stopping;
}

static void
arm(struct device_refresh *d, int ms)
{
	struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	if (d->n > 0 && d->asked == 0 && may(d->a))
		evtimer_add(d->timer, &tv);
}

static void
refresh_done(struct device_refresh *d, const char *why)
{
	size_t n = d->asked;

	d->asked = 0;
	if (why != NULL) {
		log_info("account %s: device lists: %s; asked for again", d->a->name, why);
		arm(d, AGAIN_S * 1000);
		return;
	}
	d->n -= n;
	memmove(d->wanted, d->wanted + n, d->n * sizeof(d->wanted[0]));
	d->a->n.device_refreshes += n;
	arm(d, 1);
}

static void
lists_came(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct device_refresh *d = arg;

	d->fetch = NULL; /* devices.c has written them, and the pairs */
	refresh_done(d, why != NULL && strcmp(why, "error") == 0 ? NULL : why);
}

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct device_refresh *d = arg;
	const char *names[DEVICES_USERS_MAX];

	d->lookup = NULL;
	if (why != NULL || !may(d->a)) {
		refresh_done(d, why != NULL ? why : "disconnected");
		return;
	}
	for (size_t i = 0; i < d->asked; i++)
		names[i] = d->wanted[i];
	d->fetch = devices_fetch(d->a, names, d->asked, lists_came, d);
}

static void
refresh_next(evutil_socket_t fd, short what, void *arg)
{
	struct device_refresh *d = arg;
	const char *names[DEVICES_USERS_MAX];

	if (d->n == 0 || d->asked > 0 || !may(d->a))
		return;
	d->asked = d->n < DEVICES_USERS_MAX ? d->n : DEVICES_USERS_MAX;
	for (size_t i = 0; i < d->asked; i++)
		names[i] = d->wanted[i];
	d->lookup = contacts_ask_some(d->a, names, d->asked, 0, 0, people_known, d);
}

struct device_refresh *
device_refresh_new(struct account *a)
{
	struct device_refresh *d = calloc(1, sizeof(*d));

	if (d == NULL)
		fatal("device_refresh_new");
	d->a = a;
	if ((d->timer = evtimer_new(a->svc->base, refresh_next, d)) == NULL)
		fatalx("device_refresh_new: no event");
	return d;
}

void
device_refresh_disconnected(struct account *a)
{
	struct device_refresh *d = a->device_refresh;

	contacts_cancel(d->lookup);
	devices_cancel(d->fetch);
	d->lookup = NULL;
	d->fetch = NULL;
	d->asked = 0;
	evtimer_del(d->timer);
}

void
device_refresh_free(struct device_refresh *d)
{
	if (d == NULL)
		return;
	device_refresh_disconnected(d->a);
	ask_cancel(d->scan);
	event_free(d->timer);
	free(d);
}

void
device_refresh_online(struct account *a)
{
	arm(a->device_refresh, COLLECT_MS);
	scan(a->device_refresh);
}

void
device_refresh_want(struct account *a, const struct jid *j)
{
	struct device_refresh *d = a->device_refresh;
	struct jid bare = jid_bare(j);
	char text[JID_TEXT_MAX];

	if (bare.user[0] == '\0' || (!jid_is_pn(&bare) && !jid_is_lid(&bare)) || d->n == WANTED_MAX)
		return;
	(void)jid_format(&bare, text);
	for (size_t i = d->asked; i < d->n; i++)
		if (strcmp(d->wanted[i], text) == 0)
			return;
	memcpy(d->wanted[d->n++], text, sizeof(text));
	arm(d, COLLECT_MS);
}

void
device_refresh_lid(struct account *a, const char *pn)
{
	struct jid j;

	if (jid_make(&j, pn, JID_PN, 0) == 0)
		device_refresh_want(a, &j);
}

void
device_refresh_seen(struct account *a, const struct jid *device, const struct person *p)
{
	if (device->device != 0 && p->id[0] != '\0' && !account_is_this_device(a, device) &&
	    !contacts_device_known(a, p, device->device))
		device_refresh_want(a, device);
}

/* ------------------------------------------------------------------ <update hash> */

void
device_refresh_hash_of(const char *user, char out[5])
{
	static const char salt[] = "WA_ADD_NOTIF";
	uint8_t md5[MD5_DIGEST_SIZE];
	struct md5_ctx ctx;

	md5_init(&ctx);
	md5_update(&ctx, strlen(user), (const uint8_t *)user);
	md5_update(&ctx, sizeof(salt) - 1, (const uint8_t *)salt);
#if NETTLE_VERSION_MAJOR >= 4
	md5_digest(&ctx, md5);
#else
	md5_digest(&ctx, sizeof(md5), md5);
#endif
	base64_encode_raw(out, 3, md5); /* 4 characters */
	out[4] = '\0';
}

static int
hash_wanted(const struct device_refresh *d, const char *user)
{
	char hash[5];

	if (user == NULL)
		return 0;
	device_refresh_hash_of(user, hash);
	for (size_t i = 0; i < d->nhashes; i++)
		if (strcmp(d->hashes[i], hash) == 0)
			return 1;
	return 0;
}

static void
scanned(const struct reply *rp, void *arg)
{
	struct device_refresh *d = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;
	struct jid j;

	d->scan = NULL;
	if (!rp->ok)
		return; /* the next send finds it */
	for (size_t i = 0; i < m->n_contacts; i++) {
		const Stored__Contact *c = m->contacts[i];

		if (!hash_wanted(d, c->pn) && !hash_wanted(d, c->lid))
			continue;
		if (c->lid != NULL && jid_make(&j, c->lid, JID_LID, 0) == 0)
			device_refresh_want(d->a, &j);
		if (c->pn != NULL && jid_make(&j, c->pn, JID_PN, 0) == 0)
			device_refresh_want(d->a, &j);
	}
	if (m->next == NULL || strlen(m->next) >= sizeof(d->after)) {
		d->nhashes = 0;
		d->after[0] = '\0';
		return;
	}
	(void)snprintf(d->after, sizeof(d->after), "%s", m->next);
	scan(d);
}

/* All that were named meanwhile are looked for in one walk; after the backlog. */
static void
scan(struct device_refresh *d)
{
	Stored__Scan m = STORED__SCAN__INIT;

	if (d->nhashes == 0 || d->scan != NULL || !may(d->a))
		return;
	m.account = d->a->name;
	m.table = STORED__TABLE__CONTACTS;
	m.after = d->after[0] != '\0' ? d->after : NULL;
	m.limit = SCAN_STEP;
	d->scan = ask_stored(d->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, SCAN_REPLY, ASK_DEADLINE_MS, scanned, d);
}

void
device_refresh_hash(struct account *a, const char *hash)
{
	struct device_refresh *d = a->device_refresh;

	if (strlen(hash) != 4 || d->nhashes == HASHES_MAX)
		return;
	memcpy(d->hashes[d->nhashes++], hash, 5);
	if (d->scan != NULL)
		d->after[0] = '\0'; /* from the beginning, for this one */
	scan(d);
}
