/* Shapes: are the fields of a message within their bounds? Each gives NULL, or what is wrong. */
#ifndef WARD_STORED_CHECK_H
#define WARD_STORED_CHECK_H

#include "ipc/stored.pb-c.h"

/* keyd's */
const char *check_record_name(const Stored__RecordName *n);
const char *check_stage(const Stored__Stage *m);
const char *check_records_list(const Stored__RecordsList *q);

/* apid's writes */
const char *check_commit(const Stored__UnitCommit *m);
/* For writes and reads alike. */
const char *check_collection_name(const char *name);
const char *check_base_key(const Stored__BaseKey *k);
const char *check_message_name(const Stored__MessageName *n);

/* apid's reads */
const char *check_lookup(const Stored__Lookup *m);
const char *check_scan(const Stored__Scan *m);
const char *check_consumer_name(const char *name);

#endif
