/* Changing keys: keyd is asked to take the records of every account over to the next master key,
 * some at a time, in units of work like any other. */
#ifndef WARD_REKEY_H
#define WARD_REKEY_H

#include "apid/service.h"
#include "ipc/keyd.pb-c.h"

struct rekey;

/* Dies if memory is out. */
struct rekey *rekey_new(struct service *s);
void rekey_free(struct rekey *k); /* after the channels are closed */
/* keyd told how far it is: if keys are being changed, the flow begins or goes on. */
void rekey_told(struct rekey *k, const Keyd__RekeyState *st);
/* The service stops: no more. */
void rekey_stop(struct rekey *k);
/* The check "keys", if there is anything to say. */
void rekey_health(const struct rekey *k, json_t *checks);

/* For engine_rekey. */
void rekey_ask(struct rekey *k, const void *client, int look, engine_done_fn *fn, void *arg);

#endif
