/* Shapes: are the fields of a message within their bounds? Each gives NULL, or what is wrong. */
#ifndef WARD_STORED_CHECK_H
#define WARD_STORED_CHECK_H

#include "ipc/stored.pb-c.h"

const char *check_record_name(const Stored__RecordName *n);
const char *check_stage(const Stored__Stage *m);
const char *check_commit(const Stored__UnitCommit *m);
const char *check_consumer_name(const char *name);

#endif
