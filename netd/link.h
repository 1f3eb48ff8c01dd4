/* Links: one an account, wanted or not, with a connection or waiting for the next one. */
#ifndef WARD_LINK_H
#define WARD_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/netd.pb-c.h"
#include "netd/netd.h"

/* The verbs of netd.proto; fields are checked. -1: apid broke the contract (logged). */
int link_up(struct netd *nd, const Netd__LinkUp *m);
int link_down(struct netd *nd, const Netd__LinkDown *m);
int link_good(struct netd *nd, const Netd__LinkGood *m);
int link_stanza(struct netd *nd, const Netd__Stanza *m);

/* apid's channel is full / has room again. */
void links_hold(struct netd *nd);
void links_go_on(struct netd *nd);

/* Answer to StatusGet. 0 or -1. */
int links_status(struct netd *nd, uint32_t request);
/* The process ends: all connections are closed in order, and none is made; nd->stopped is called
 * when the last one is gone, at once if there is none. */
void links_stop(struct netd *nd);
/* Everything down at once, freed. */
void links_free(struct netd *nd);

#endif
