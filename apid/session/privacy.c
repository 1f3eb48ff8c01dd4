/* The account's privacy settings, as far as ward acts by them. */
#include "apid/session/privacy.h"

#include <string.h>

#include "apid/session/iq.h"
#include "common/log.h"

int
privacy_read_receipts(const struct node *privacy)
{
	for (size_t i = 0; i < privacy->nchildren; i++) {
		const struct node *c = privacy->children[i];
		const char *name = node_get(c, "name"), *value = node_get(c, "value");

		if (node_is(c, "category") && name != NULL && value != NULL &&
		    strcmp(name, "readreceipts") == 0)
			return strcmp(value, "none") != 0;
	}
	return -1;
}

int
privacy_take(struct account *a, const struct node *privacy, struct unit *u)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	int given = privacy_read_receipts(privacy);

	if (given == -1)
		return 0;
	if (!a->rec.privacy_known || a->rec.read_receipts_disabled != !given) {
		rec.has_read_receipts_disabled = 1;
		rec.read_receipts_disabled = !given;
		unit_device(u, &rec);
	}
	/* acted by at once: should the unit fail, it is asked for again at the next login */
	a->rec.privacy_known = 1;
	a->rec.read_receipts_disabled = !given;
	return 1;
}

static void
written(const struct unit_result *r, void *arg)
{
	/* not written: the next login asks again */
}

static void
answered(const struct iq_answer *r, void *arg)
{
	struct account *a = arg;
	const struct node *p = r->ok ? node_child(r->node, "privacy") : NULL;
	struct unit *u;

	a->privacy_iq = 0;
	if (p == NULL) {
		if (r->ok || strcmp(r->why, "disconnected") != 0)
			log_warnx("account %s: the privacy settings could not be read: %s", a->name,
			    r->ok ? "none came" : r->why);
		return;
	}
	if ((u = unit_open(a)) == NULL)
		return;
	if (privacy_take(a, p, u) && unit_writes(u) > 0)
		unit_commit(u, written, a);
	else
		unit_abort(u);
}

void
privacy_read(struct account *a)
{
	struct node *n;

	if (a->privacy_iq != 0 || a->conn == 0 || !a->opened)
		return;
	n = iq_new("get", "privacy");
	node_child_new(n, "privacy");
	a->privacy_iq = iq_request(a, n, IQ_TIMEOUT_MS, answered, a);
}

void
privacy_disconnected(struct account *a)
{
	iq_cancel(a, a->privacy_iq);
	a->privacy_iq = 0;
}
