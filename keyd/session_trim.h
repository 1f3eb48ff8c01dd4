/* How long a session record may become. */
#ifndef WARD_SESSION_TRIM_H
#define WARD_SESSION_TRIM_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* libsignal reads and writes the whole record at each message: 384 KiB take about 5 ms. There is
 * room for two chains of 2,000 skipped keys of 91 bytes. */
#define SESSION_RECORD_MAX (384u * 1024)

/* A record of libsignal's into `out`, without what makes it longer than `max`: of the current state
 * the oldest chains but never the newest, then those archived states that find no room, newest
 * first. What is encrypted under these is not known any more and asked for again; a chain of which
 * only keys went would pass for read. 0; -1: it is none, or too long still. */
int session_trim(const uint8_t *record, size_t len, size_t max, struct buf *out);

#endif
