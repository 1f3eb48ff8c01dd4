/* A phone that is registered anew, and device identities that are wrong on purpose (protocol page
 * 04, 13). */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/devices.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/reregister.h"
#include "tests/sim/rng.h"

/* <notification type=encrypt><identity/>, to all who may hold something of his. */
static void
tell(struct account *a)
{
	struct jid pn = account_jid(a, 0), lid = account_jid(a, 1);
	struct node *n = route_notification("encrypt");
	struct device *to;

	node_set_jid(n, "from", &pn);
	node_set_jid(n, "lid", &lid);
	node_child_new(n, "identity");
	for (size_t i = 0; i < a->naskers; i++) {
		if (a->askers[i] == a)
			continue;
		TAILQ_FOREACH(to, &a->askers[i]->devices, link)
		if (to->id != 0)
			offline_deliver(to, nodes_copy(n));
	}
	node_free(n);
}

void
reregister(struct account *a, int quiet)
{
	devices_remove_all(a);
	a->raw_id = 1 + rng_below(1u << 30);
	phone_begin_anew(a->phone);
	phone_sign_list(a->phone);
	if (!quiet)
		tell(a);
}

/* ------------------------------------------------------------------ device identities */

static const char *const parts[] = {
    "none", "details", "account_key", "account_signature", "device_signature", "absent"};

int
adv_forge(struct device *d, const char *what)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(parts[i], what) == 0) {
			d->adv_forged = (int)i;
			return 0;
		}
	return -1;
}

/* Of ADVSignedDeviceIdentity {details 1, key 2, account signature 3, device signature 4}: the bytes
 * of that field, which is not nested. NULL: it has none. */
static uint8_t *
field(uint8_t *p, size_t len, unsigned number)
{
	for (size_t i = 0; i + 2 <= len; i += 2 + (size_t)p[i + 1]) {
		if (p[i + 1] >= 0x80 || p[i + 1] > len - i - 2)
			return NULL; /* longer than any of them */
		if (p[i] == (number << 3 | 2) && p[i + 1] > 0)
			return p + i + 2;
	}
	return NULL;
}

void
adv_put(struct node *parent, const struct device *d, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1), *at;

	if (copy == NULL)
		fatal("device identity");
	memcpy(copy, bytes, len);
	at = d->adv_forged == 0 ? NULL : field(copy, len, (unsigned)d->adv_forged);
	if (at != NULL)
		at[1] ^= 0x10;
	if (strcmp(parts[d->adv_forged], "absent") != 0)
		node_add_bytes(parent, "device-identity", copy, len);
	free(copy);
}
