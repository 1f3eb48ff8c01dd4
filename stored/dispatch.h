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

/* The account of a request, open; NULL: it was answered, with *ret. */
struct store_account *dispatch_account(
    struct store *s, const char *name, struct message *m, int *ret);
/* Send what was read, or say why it could not be; frees the region. a NULL: the service's. */
int dispatch_answer(struct store *s, struct store_account *a, struct message *m,
    enum store_status st, uint32_t type, const ProtobufCMessage *out, struct region *r);
int dispatch_refuse(struct message *m, const char *text); /* "bad_request" */

/* dispatch_keyd.c: RECORDS_LIST, which apid may ask for names and numbers. */
int dispatch_records_list(struct message *m, void *owner);

/* dispatch_lookup.c */
int dispatch_lookup(struct message *m, void *owner);
int dispatch_scan(struct message *m, void *owner);

#endif
