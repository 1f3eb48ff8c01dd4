/* The event log of the daemon: one order of seqs over the databases of all accounts. */
#ifndef WARD_STORED_EVENTLOG_H
#define WARD_STORED_EVENTLOG_H

#include "stored/region.h"
#include "stored/store.h"

/* After the databases are open: where does the log stand? */
void eventlog_start(struct store *s);
/* Make sure that n more seqs may be given: none above the durable mark ever is. */
enum store_status eventlog_reserve(struct store *s, size_t n);
/* At a clean stop: the mark is the last seq, so that no gap is left. */
void eventlog_stop(struct store *s);
/* Oldest seq from which on the log is complete. */
uint64_t eventlog_first(const struct store *s);

/* The committed events of some accounts, merged by seq. On failure *st and the account at fault. */
enum store_status eventlog_read(struct store *s, struct store_account **accounts, size_t n,
    const Stored__EventsRead *rq, struct region *r, Stored__Events *out,
    struct store_account **failed);

#endif
