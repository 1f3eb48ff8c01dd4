/* Rotation of the signed prekey (protocol page 04, 1.1). */
#ifndef WARD_ROTATE_H
#define WARD_ROTATE_H

#include "apid/session/account.h"
#include "apid/session/call.h"

struct rotate *rotate_new(struct account *a);
void rotate_free(struct rotate *r);

/* A client wants it: with the next keys_next, and the call hears how it ended. */
void rotate_ask(struct account *a, struct call *c);
int rotate_wanted(const struct account *a);
/* It was not tried in vain a moment ago. */
int rotate_may(const struct account *a);
void rotate_start(struct account *a); /* ends with keys_next */
int rotate_running(const struct account *a);
void rotate_disconnected(struct account *a);

#endif
