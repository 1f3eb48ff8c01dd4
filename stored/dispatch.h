/* What keyd and apid may ask: one table a peer. */
#ifndef WARD_STORED_DISPATCH_H
#define WARD_STORED_DISPATCH_H

#include "stored/store.h"

/* The channel takes the socket and is the store's. 0, or -1. */
int dispatch_keyd_attach(struct store *s, int fd);
int dispatch_apid_attach(struct store *s, int fd);

/* For the two: the channel of a peer with its table; and after an answer: if the peer does not take
 * them, it is not read until it does. */
struct channel *dispatch_channel(
    struct store *s, int fd, const char *name, const struct channel_row *rows, size_t nrows);
void dispatch_answered(struct store *s, struct channel *ch);

#endif
