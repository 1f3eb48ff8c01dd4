/* libsignal's stores, filled from what a request has loaded: its callbacks never wait. */
#ifndef WARD_SIGNAL_STORE_H
#define WARD_SIGNAL_STORE_H

#include <signal/signal_protocol.h>

#include "keyd/work.h"

/* Once, after provider_warm_up. */
void signal_store_warm_up(void);

/* The store context. Bound to one request's work and device from signal_store_begin to _end. */
signal_protocol_store_context *signal_store(void);
void signal_store_begin(struct work *w, const struct device *d);
void signal_store_end(void);

/* Before each item: forget what the last one did. After it: */
void signal_store_item(void);
int signal_store_broken(void);           /* a record could not be read: the request must fail */
int signal_store_identity_changed(void); /* another identity was stored for the address */

#endif
