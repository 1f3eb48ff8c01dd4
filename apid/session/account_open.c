/* Opening an account: the device of keyd, what stored has of it, and where it goes from there. */
#include <stdio.h>
#include <string.h>

#include "apid/message/held.h"
#include "apid/message/outbox.h"
#include "apid/session/account.h"
#include "apid/session/ask.h"
#include "apid/session/client.h"
#include "apid/session/connect.h"
#include "apid/session/engine.h"
#include "apid/session/faults.h"
#include "apid/session/poison.h"
#include "apid/session/restored.h"
#include "apid/session/restrict.h"
#include "apid/session/state.h"
#include "common/clock.h"
#include "common/log.h"

#define OPEN_RETRY_MS 2000

static void
open_again(struct account *a)
{
	a->opening = 0;
	account_open(a);
}

static void
open_later(evutil_socket_t fd, short what, void *arg)
{
	open_again(arg);
}

static void
open_failed(struct account *a, const char *what, const char *code)
{
	struct timeval tv = {OPEN_RETRY_MS / 1000, 0};

	log_warnx("account %s: %s: %s; trying again", a->name, what, code);
	(void)snprintf(a->reason, sizeof(a->reason), "%s", code);
	if (event_base_once(a->svc->base, -1, EV_TIMEOUT, open_later, a, &tv) == -1)
		fatalx("account: no event");
}

/* Both records are here: go where the account stands. */
static void
opened(struct account *a, const Stored__DeviceRecord *r)
{
	int saved = r->state != NULL && r->state[0] != '\0' ? state_parse(r->state) : -1;
	const char *reason = r->state_reason != NULL ? r->state_reason : "";
	int64_t since = r->has_state_since_ms ? r->state_since_ms : clock_wall_ms();
	int64_t until = r->has_state_until_ms ? r->state_until_ms : 0;
	char version[CLIENT_VERSION_MAX];

	a->opened = 1;
	a->opening = 0;
	restrict_load(a, r->restrictions);
	outbox_stops_load(a, r->outbox_holds);
	outbox_restriction_known(a);
	outbox_opened(a);
	if (!a->dev.linked) {
		if (saved == ACCOUNT_LOGGED_OUT || saved == ACCOUNT_BANNED)
			state_restore(a, (enum account_state)saved, reason, since, 0);
		else
			state_restore(a, ACCOUNT_UNLINKED, "not_linked", since, 0);
		a->code = a->state == ACCOUNT_UNLINKED ? 0 : r->state_code;
	} else if (a->rec.paused) {
		state_restore(a, ACCOUNT_STOPPED,
		    strcmp(reason, RESTORED_REASON) == 0 ? RESTORED_REASON : "paused", since, 0);
	} else if (saved == ACCOUNT_RESTRICTED && until > 0 && until <= clock_wall_ms()) {
		faults_connect(a, "restriction_over");
	} else if (saved == ACCOUNT_OUTDATED &&
		   strcmp(a->rec.app_version, client_version(a->svc, version)) != 0) {
		faults_connect(a, "new_version");
	} else if (saved >= 0 && saved != ACCOUNT_UNLINKED &&
		   state_is_sticky((enum account_state)saved) && strcmp(reason, "starting") != 0 &&
		   strcmp(reason, "paused") != 0 && strcmp(reason, RESTORED_REASON) != 0) {
		state_restore(a, (enum account_state)saved, reason, since, until);
		a->code = r->state_code;
		a->subcode = r->state_subcode;
		log_warnx("account %s: %s (%s) since the last run; it waits for an operator",
		    a->name, state_name(a->state), a->reason);
	} else {
		faults_connect(a, "starting");
	}
	state_flush(a);
	engine_account_opened(a->svc);
}

static void
restored_ended(struct account *a, const char *why)
{
	if (why != NULL)
		open_failed(a, "after a restore", why);
	else
		open_again(a);
}

static void
open_record(const struct reply *rp, void *arg)
{
	struct account *a = arg;
	const Stored__DeviceRecord *r = (const Stored__DeviceRecord *)rp->pb;

	if (!rp->ok) {
		open_failed(a, "device record of stored", rp->code);
		return;
	}
	account_take_record(a, r);
	if (a->restored)
		restored_begin(a, restored_ended);
	else
		opened(a, r);
}

static void
open_device_record(struct account *a, const char *why)
{
	Stored__DeviceLoad m = STORED__DEVICE_LOAD__INIT;

	if (why != NULL) {
		open_failed(a, "messages that are held", why);
		return;
	}
	m.account = a->name;
	(void)channel_request(a->svc->stored, STORED__TYPE__DEVICE_LOAD, &m.base,
	    STORED__TYPE__DEVICE_RECORD, &stored__device_record__descriptor, 128 * 1024,
	    ASK_DEADLINE_MS, open_record, a);
}

/* What waits for a decision must be known before the first message comes. Without a device nobody
 * can decide any more. */
static void
open_held(struct account *a, const char *why)
{
	if (why == NULL && !a->dev.linked)
		held_end_all(a, "device_gone", open_device_record);
	else
		open_device_record(a, why);
}

/* What ended the service before is known. */
static void
poison_known(struct account *a, const char *why)
{
	if (why != NULL)
		open_failed(a, "stanzas that ended the service", why);
	else
		held_load(a, open_held);
}

static void
open_device(const struct reply *rp, void *arg)
{
	struct account *a = arg;

	if (!rp->ok) {
		open_failed(a, "device of keyd", rp->code);
		return;
	}
	account_take_device(a, (const Keyd__DeviceState *)rp->pb);
	poison_begin(a, poison_known);
}

void
account_open(struct account *a)
{
	Keyd__AccountOpen m = KEYD__ACCOUNT_OPEN__INIT;

	if (a->opened || a->opening || a->disabled || !a->store_ok || a->svc->stopping)
		return;
	a->opening = 1;
	m.account = a->name;
	(void)channel_request(a->svc->keyd, KEYD__TYPE__ACCOUNT_OPEN, &m.base,
	    KEYD__TYPE__DEVICE_STATE, &keyd__device_state__descriptor, 64 * 1024, ASK_DEADLINE_MS,
	    open_device, a);
}
