/* libsignal's stores, filled from what a request has loaded: its callbacks never wait. */
#ifndef WARD_SIGNAL_STORE_H
#define WARD_SIGNAL_STORE_H

#include <signal/signal_protocol.h>

#include "keyd/trust.h"

/* Once, after provider_warm_up. */
void signal_store_warm_up(void);

extern signal_protocol_store_context *signal_store;

/* What its callbacks work on, one request at a time. */
extern struct signal_now {
	struct work *work;
	const struct device *device;
	int broken;                 /* a record could not be read: the request must fail */
	struct trust_change change; /* of the identity, by this item */
} signal_now;
void signal_store_begin(struct work *w, const struct device *d);
void signal_store_item(void); /* before each item */

#endif
