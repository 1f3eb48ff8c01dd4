/* The bounds of the fields of every request, in one table. */
#ifndef WARD_BOUNDS_H
#define WARD_BOUNDS_H

#include "ipc/keyd.pb-c.h"

/* Has a message of this type, not one in it, such fields? */
int bounds_of(const ProtobufCMessageDescriptor *d);
/* NULL, or what is out of its bounds: valid until the next call. */
const char *bounds_check(const ProtobufCMessage *m);
/* fn for a message and each one in it, until one gives more than NULL: that, or NULL. */
typedef const char *bounds_visit(const ProtobufCMessage *m, void *arg);
const char *bounds_walk(const ProtobufCMessage *m, bounds_visit *fn, void *arg);

#endif
