/* `wait`: answered when an inbox, a receipt list or a device has got as far as asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/phone.h"
#include "tests/sim/waiters.h"

#define TICK_MS 5

enum what {
	WAIT_INBOX,
	WAIT_RECEIPTS,
	WAIT_DEVICE,
	WAIT_EMPTY
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	enum what what;
	struct account *account;
	unsigned device;
	uint64_t target;
	int phase;
	int64_t deadline_ms;
	struct http_request *req;
};
static TAILQ_HEAD(waiters, waiter) waiters = TAILQ_HEAD_INITIALIZER(waiters);
static int ticking;

static int
reached(const struct waiter *w)
{
	struct device *d = account_device(w->account, w->device);

	switch (w->what) {
	case WAIT_INBOX:
		return phone_inbox_last(w->account->phone) >= w->target;
	case WAIT_RECEIPTS:
		return phone_receipts_last(w->account->phone) >= w->target;
	case WAIT_DEVICE:
		return w->phase < 0 ? d == NULL : d != NULL && (int)d->phase == w->phase;
	default:
		return d == NULL || d->queued == 0;
	}
}

static void
finish(struct waiter *w, int ok)
{
	json_t *o = json_pack("{s:b,s:I,s:I}", "reached", ok, "inbox",
	    (json_int_t)phone_inbox_last(w->account->phone), "receipts",
	    (json_int_t)phone_receipts_last(w->account->phone));
	struct http_request *r = w->req;

	TAILQ_REMOVE(&waiters, w, link);
	free(w);
	control_answer(r, o);
}

static void
tick(void *arg)
{
	struct waiter *w, *next;
	int64_t now = clock_mono_ms();

	(void)arg;
	ticking = 0;
	for (w = TAILQ_FIRST(&waiters); w != NULL; w = next) {
		int ok = reached(w);

		next = TAILQ_NEXT(w, link);
		if (ok || now >= w->deadline_ms)
			finish(w, ok);
	}
	if (!TAILQ_EMPTY(&waiters) && !ticking) {
		ticking = 1;
		loop_after(TICK_MS, tick, NULL, NULL);
	}
}

/* {"what":…} into w. 0, or -1 and c->error. */
static int
parse(struct call *c, struct waiter *w)
{
	static const char *const phases[] = {"gone", "passive", "backlog", "live"};
	const char *what = call_str(c, "what"), *phase = call_str(c, "phase");

	c->error = "what: inbox, receipts, device or queue_empty";
	if (what == NULL)
		return -1;
	if (strcmp(what, "inbox") == 0 || strcmp(what, "receipts") == 0)
		w->what = strcmp(what, "inbox") == 0 ? WAIT_INBOX : WAIT_RECEIPTS;
	else if (strcmp(what, "device") == 0 || strcmp(what, "queue_empty") == 0)
		w->what = strcmp(what, "device") == 0 ? WAIT_DEVICE : WAIT_EMPTY;
	else
		return -1;
	c->error = "phase: gone, passive, backlog, live or unlinked";
	w->phase = phase == NULL || strcmp(phase, "live") == 0 ? (int)DEVICE_LIVE : -2;
	for (int i = 0; phase != NULL && i < 4; i++)
		if (strcmp(phase, phases[i]) == 0)
			w->phase = i;
	if (phase != NULL && strcmp(phase, "unlinked") == 0)
		w->phase = -1;
	if (w->phase == -2)
		return -1;
	c->error = NULL;
	return 0;
}

json_t *
waiters_wait(struct call *c)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("wait");
	if ((w->account = call_account(c, "account")) == NULL || parse(c, w) != 0)
		goto bad;
	w->device = (unsigned)call_int(c, "device", 0, 65535, 1);
	w->target = (uint64_t)call_int(c, "after", 0, INT64_MAX / 2, 0) +
		    (uint64_t)call_int(c, "count", 0, INT64_MAX / 2, 1);
	w->deadline_ms = clock_mono_ms() + call_int(c, "deadline_ms", 0, 3600000, 10000);
	if (c->error != NULL)
		goto bad;
	w->req = c->req;
	c->later = 1;
	TAILQ_INSERT_TAIL(&waiters, w, link);
	if (!ticking) {
		ticking = 1;
		loop_defer(tick, NULL, NULL);
	}
	return NULL;
bad:
	free(w);
	return NULL;
}

void
waiters_fini(void)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&waiters)) != NULL)
		finish(w, 0);
}
