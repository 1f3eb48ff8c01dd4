/* The engine of the service: starts the accounts when the store and keyd are ready, and routes what
 * the channels bring to them. */
#ifndef WARD_ENGINE_H
#define WARD_ENGINE_H

#include "apid/session/account.h"
#include "ipc/netd.pb-c.h"

/* Before the channels: make the accounts of the config. */
void engine_init(struct service *s);

/* After engine_stop and the loop: whatever waits hears that it ends; closes the channels, frees
 * all. */
void engine_free(struct service *s);

/* After engine_start: fn is called once, when keyd and the store are ready, when it is clear that
 * they will not be, or after 15 s. Clients that come before would only hear "locked". */
void engine_when_settled(struct service *s, void (*fn)(struct service *));

/* The records of an account are read. */
void engine_account_opened(struct service *s);

/* What the channels bring (apid/channels.c). */
void engine_store_state(struct service *s, const Stored__StoreState *st);
void engine_link_state(struct service *s, const Netd__LinkState *st);
void engine_stanza(struct service *s, const Netd__Stanza *st);
void engine_netd_drained(struct service *s);

/* Bound of incoming stanzas whose effects are not durable yet: beyond it netd is not read.
 * bytes: size of the stanza. */
#define ENGINE_INBOUND_MAX       256u
#define ENGINE_INBOUND_BYTES_MAX (8u * 1024 * 1024)
void engine_inbound_begin(struct service *s, size_t bytes);
void engine_inbound_end(struct service *s, size_t bytes);
size_t engine_inbound(const struct service *s); /* stanzas */

/* The unit ids of the service: rising, never repeated in a run. */
uint64_t engine_next_unit(struct service *s);

#endif
