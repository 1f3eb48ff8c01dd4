/* The salt of cstokens out of a history that the phone sends inside its notification. */
#include "apid/message/history_salt.h"

#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pbwalk.h"
#include "common/wire/inflate.h"

#define NCT_SALT 19 /* of HistorySync */

static void
keep(struct unit *u, struct account *a, const uint8_t *salt, size_t len)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	memcpy(a->rec.nct_salt, salt, len);
	a->rec.nct_salt_len = len;
	rec.has_nct_salt = 1;
	rec.nct_salt.data = a->rec.nct_salt;
	rec.nct_salt.len = len;
	unit_device(u, &rec); /* if it fails, the notification comes again, and only that is new */
}

void
history_salt_take(struct unit *u, struct account *a, const struct envelope *e,
    const E2e__HistorySyncNotification *h)
{
	struct buf b = BUF_INIT;
	struct pbwalk w;

	if (h == NULL || !h->has_initial_hist_bootstrap_inline_payload || e->sender.device != 0 ||
	    a->rec.nct_salt_len > 0)
		return;
	b.max = NODE_MAX_INFLATE + 1;
	if (wire_inflate(h->initial_hist_bootstrap_inline_payload.data,
		h->initial_hist_bootstrap_inline_payload.len, &b) == NODE_OK) {
		pbwalk_begin(&w, b.data, b.len);
		while (pbwalk_next(&w) == 1)
			if (w.field == NCT_SALT && w.wire == 2 && w.len > 0 &&
			    w.len <= ACCOUNT_SALT_MAX)
				keep(u, a, w.data, w.len);
	}
	buf_clear(&b);
}
