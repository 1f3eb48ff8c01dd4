/* The clients' side of apid: JSON-RPC 2.0 over the API socket. */
#ifndef WARD_RPC_H
#define WARD_RPC_H

#include <stddef.h>

#include "apid/service.h"

struct rpc; /* the listener, its connections, subscriptions and consumers */

/* Serve clients on listen_fd (listening, non-blocking is set here if it is not; owned from now on).
 * Sets s->rpc and s->hooks. rpc_access_init must have been called (apid/rpc/access.h). Call it
 * once, after engine_start has what account_find needs. Does not fail: what cannot be had is fatal.
 */
void rpc_start(struct service *s, int listen_fd);

/* Tell subscribers "stopping", flush what the sockets take at once, close all. Clears s->rpc. */
void rpc_stop(struct service *s);

/* For health, metrics and tests. */
size_t rpc_connections(const struct rpc *r);

#endif
