/* Faults of the store: what an account does then, and what its clients are told. */
#include <string.h>

#include <sodium.h>

#include "apid/session/account.h"
#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/state.h"
#include "common/clock.h"
#include "common/log.h"

#define STORE_DELAY_MS 10000u
#define DISK_DELAY_MS  60000u

void
account_store_failed(struct account *a, const char *reason)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	unsigned delay = strcmp(reason, "disk_full") == 0 ? DISK_DELAY_MS : STORE_DELAY_MS;

	if (a->svc->stopping)
		return; /* the channels are closed: it comes again after the next start */
	a->n.store_failures++;
	if (log_allowed(&limit))
		log_warnx("account %s: an incoming stanza could not be kept (%s): nothing is "
			  "acknowledged, connecting anew in %u s%s",
		    a->name, reason, delay / 1000,
		    strcmp(reason, "disk_full") == 0 ? ", or when there is room" : "");
	if (a->conn == 0 || !a->link_wanted)
		return; /* it is on its way already */
	connect_restart(a, delay);
	a->wants_room = strcmp(reason, "disk_full") == 0;
	if (a->dev.linked)
		state_set(a, ACCOUNT_BACKOFF,
		    strcmp(reason, "disk_full") == 0 ? "disk_full" : "store", 0, "operator",
		    clock_wall_ms() + delay, 0);
}

void
account_disk_again(struct account *a)
{
	if (!a->wants_room)
		return;
	a->wants_room = 0;
	if (a->link_wanted && a->state == ACCOUNT_BACKOFF)
		connect_restart(a, 100 + randombytes_uniform(1000)); /* not all at once */
}

struct api_error
api_error_closed(const struct account *a)
{
	if (!a->svc->keyd_ready)
		return api_error_make(
		    -14, "keys_locked", 1, "the keys are not open; see the log of the service");
	return api_error_make(-14, "store_locked", 1, "the account is not open");
}

struct api_error
api_error_store(const char *reason)
{
	if (strcmp(reason, "disk_full") == 0)
		return api_error_make(-14, "disk_low", 1, "the disk is full");
	if (strcmp(reason, "locked") == 0 || strcmp(reason, "account_failed") == 0 ||
	    strcmp(reason, "closed") == 0)
		return api_error_make(-14, "store_locked", 1, "the store is not ready");
	if (strcmp(reason, "corrupt") == 0)
		return api_error_make(
		    -2, "store_corrupt", 0, "the store of the account is damaged");
	if (strcmp(reason, "busy") == 0)
		return api_error_make(-5, "overloaded", 1, "too much is under way");
	if (strcmp(reason, "timeout") == 0)
		return api_error_make(
		    -11, "outcome_unknown", 1, "the store did not answer in time");
	return api_error_make(-2, "internal", 1, "the store did not take it");
}
