/* Dirty bits: what changed at the service while the account was away.
 *
 *	dirty_in -> dirty_online -> dirty_privacy -> dirty_devices -> dirty_written -> dirty_clean
 *
 * Only account_sync has anything here: privacy settings and the own device list. Each step that
 *fails leaves the bit as it is, and the service says it again at the next login.
 */
#include "apid/session/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "apid/session/devices.h"
#include "apid/session/iq.h"
#include "apid/session/login.h"
#include "apid/session/privacy.h"
#include "apid/session/unit.h"
#include "common/log.h"

#define TIME_MAX INT64_C(99999999999)

struct dirty {
	struct account *a;
	int64_t t;     /* of the bit, 0 = clean */
	int64_t doing; /* the one that is being dealt with */
	uint64_t iq;
	struct devices_request *devices;
	struct unit *unit; /* being committed */
};

struct dirty *
dirty_new(struct account *a)
{
	struct dirty *d = calloc(1, sizeof(*d));

	if (d == NULL)
		fatal("dirty_new");
	d->a = a;
	return d;
}

static void
drop(struct dirty *d)
{
	iq_cancel(d->a, d->iq);
	devices_cancel(d->devices);
	unit_detach(d->unit);
	d->iq = 0;
	d->devices = NULL;
	d->unit = NULL;
	d->doing = 0;
}

void
dirty_free(struct dirty *d)
{
	if (d == NULL)
		return;
	drop(d);
	free(d);
}

static void
failed(struct dirty *d, const char *what, const char *why)
{
	log_info("account %s: account_sync stays dirty: %s: %s", d->a->name, what, why);
	drop(d);
}

static void
dirty_clean(const struct iq_answer *r, void *arg)
{
	struct dirty *d = arg;

	d->iq = 0;
	if (!r->ok) {
		failed(d, "clean", r->why);
		return;
	}
	if (d->t == d->doing)
		d->t = 0;
	d->doing = 0;
	if (d->t != 0) /* said again meanwhile */
		dirty_online(d->a);
}

static void
dirty_written(const struct unit_result *r, void *arg)
{
	struct dirty *d = arg;
	struct node *n, *c;

	d->unit = NULL;
	if (!r->ok) {
		failed(d, "store", r->reason);
		return;
	}
	n = iq_new("set", "urn:xmpp:whatsapp:dirty");
	c = node_child_new(n, "clean");
	node_set(c, "type", "account_sync");
	node_setf(c, "timestamp", "%lld", (long long)d->doing);
	d->iq = iq_request(d->a, n, IQ_TIMEOUT_MS, dirty_clean, d);
}

/* The own list is in a unit that was opened before ours: it is written no later. */
static void
dirty_devices(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct dirty *d = arg;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	d->devices = NULL;
	if (why != NULL) {
		failed(d, "own device list", why);
		return;
	}
	if ((d->unit = unit_open(d->a)) == NULL) {
		failed(d, "store", "memory");
		return;
	}
	rec.has_read_receipts_disabled = 1;
	rec.read_receipts_disabled = d->a->rec.read_receipts_disabled;
	unit_device(d->unit, &rec);
	unit_commit(d->unit, dirty_written, d);
}

static void
dirty_privacy(const struct iq_answer *r, void *arg)
{
	struct dirty *d = arg;
	struct account *a = d->a;
	const struct node *p = r->ok ? node_child(r->node, "privacy") : NULL;
	int given = p != NULL ? privacy_read_receipts(p) : -1;

	d->iq = 0;
	if (p == NULL) {
		failed(d, "privacy", r->ok ? "none came" : r->why);
		return;
	}
	if (given != -1) {
		a->rec.privacy_known = 1;
		a->rec.read_receipts_disabled = !given;
	}
	d->devices = devices_fetch_own(a, dirty_devices, d);
}

void
dirty_online(struct account *a)
{
	struct dirty *d = a->dirty;
	struct node *n;

	if (d->t == 0 || d->doing != 0 || a->conn == 0 || login_in_backlog(a))
		return;
	d->doing = d->t;
	n = iq_new("get", "privacy");
	node_child_new(n, "privacy");
	d->iq = iq_request(a, n, IQ_TIMEOUT_MS, dirty_privacy, d);
}

int
dirty_in(struct account *a, const struct node *n)
{
	const char *type = node_get(n, "type");
	int64_t t = node_get_int(n, "timestamp", TIME_MAX);

	if (type == NULL || strcmp(type, "account_sync") != 0 || t <= 0)
		return 0;
	a->dirty->t = t;
	dirty_online(a);
	return 1;
}

void
dirty_disconnected(struct account *a)
{
	drop(a->dirty);
	a->dirty->t = 0; /* the service says it again */
}
