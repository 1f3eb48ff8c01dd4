/* Notifications: what they change is durable before their ack; the unknown ones are kept raw. */
#include "apid/session/notification.h"

#include <string.h>

#include "apid/message/identity.h"
#include "apid/message/tctoken.h"
#include "apid/session/devices.h"
#include "apid/session/keys.h"
#include "apid/session/mex.h"
#include "apid/session/pair.h"
#include "apid/session/prekeys.h"
#include "apid/session/privacy.h"
#include "apid/session/props.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"

static void
prekeys_are_low(struct account *a, const struct node *n)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct unit *u = unit_open(a);
	int old = node_get(n, "offline") != NULL && prekeys_fresh(a);

	rec.has_server_has_prekeys = 1;
	rec.server_has_prekeys = 0;
	if (u != NULL) {
		if (!old)
			unit_device(u, &rec);
		keys_event(a, u, "low", node_get_int(node_child(n, "count"), "value", 1 << 24));
	}
	stanza_ack_after(a, u, n, 0); /* a crash in between: the flag makes the next login upload */
	if (!old)                     /* said before the upload of this login */
		prekeys_low(a);
}

static void
encrypt(struct account *a, const struct node *n)
{
	if (node_child(n, "count") != NULL)
		prekeys_are_low(a, n);
	else if (node_child(n, "identity") != NULL)
		identity_in(a, n);
	else if (node_child(n, "digest") != NULL) {
		stanza_ack(a, n, 0); /* a crash in between: the next login checks */
		keys_want_digest(a);
	} else
		stanza_notice(a, n, "encrypt", 1);
}

static void
devices(struct account *a, const struct node *n)
{
	struct unit *u = unit_open(a);

	if (u != NULL)
		devices_notification(a, n, u);
	stanza_ack_after(a, u, n, 0);
}

/* Its settings were changed on the phone; of the others ward knows nothing yet, so it is kept. */
static void
privacy(struct account *a, const struct node *n)
{
	struct unit *u = unit_open(a);

	if (u != NULL) {
		(void)privacy_take(a, node_child(n, "privacy"), u);
		stanza_keep(u, n, "account_sync");
	}
	stanza_ack_after(a, u, n, 0);
}

void
notification_in(struct account *a, const struct node *n)
{
	const char *type = node_get(n, "type");

	if (type == NULL)
		type = "";
	if (!a->dev.linked) { /* a registration: only what belongs to pairing */
		pair_notification(a, n, type);
		return;
	}
	if (strcmp(type, "encrypt") == 0)
		encrypt(a, n);
	else if (strcmp(type, "devices") == 0)
		devices(a, n);
	else if (strcmp(type, "account_sync") == 0 && node_child(n, "devices") != NULL)
		devices(a, n);
	else if (strcmp(type, "server") == 0 && node_child(n, "abprops") != NULL) {
		props_fetch(a);
		stanza_ack(a, n, 0); /* a crash in between: the next login asks */
	} else if (strcmp(type, "mex") == 0)
		mex_notification(a, n);
	else if (strcmp(type, "privacy_token") == 0)
		tctoken_notification(a, n);
	else if (strcmp(type, "account_sync") == 0 && node_child(n, "privacy") != NULL)
		privacy(a, n);
	else
		stanza_notice(a, n, type[0] != '\0' ? type : "notification", 1);
}
