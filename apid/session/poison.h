/* Poison: a stanza that has ended the service twice is not taken apart any more. It is kept raw,
 * told as server.notice of kind poison, and acknowledged.
 *
 * Nothing of this runs, or is written, as long as no run ends by a fault of one of its processes,
 * which ward keeps for the next run. After such an end an account goes carefully at first: what the
 * service delivers (again) is handled one stanza after the other, and each is noted durably, as raw
 * bytes, before anything looks at it; the note goes when it was dealt with. So a note that is found
 * at the start is of the stanza that was being handled, in apid, keyd or stored, when a process
 * ended. The end before the first note is not counted: nobody knows what was going on then. A
 * process that somebody kills says nothing about stanzas.
 *
 * The same stanza is known by its bytes, but for the few by which the service counts its queue.
 *
 * apid decodes, netd does not: so a stanza that ends the decoder is noted before it is decoded like
 * any other. It is set aside without an ack then, for only the decoder could say how: it comes
 * again with each connection, and goes unread each time.
 *
 * Two things cannot be laid to a stanza, and are bounded by faults.h alone. What a frame does to
 * netd (TLS, WebSocket, Noise framing): there a stanza is under the keys and the counter of its
 * connection, so the next delivery has other bytes and even what follows it is unreadable if it is
 * left out; and once it is opened netd hands it on without a look. And answers that something waits
 * for (iq, ack, success, failure …, poison_gate.c): a note beside that of the stanza that waits for
 * the answer would lay the one's fault to the other, and no account goes on without them.
 */
#ifndef WARD_POISON_H
#define WARD_POISON_H

#include <stddef.h>
#include <stdint.h>

#include "apid/session/account.h"

#define POISON_ENDS    2u   /* noted ends of the service, then it is set aside */
#define POISON_CAREFUL 512u /* stanzas after a fault: as many as may have been in flight */

struct poison *poison_new(struct account *a);
void poison_free(struct poison *p);

/* Before the account connects: are there notes? fn once, from the loop; why: the store failed. */
void poison_begin(struct account *a, void (*fn)(struct account *a, const char *why));
/* A stanza came. 1: it is taken, and handled (or set aside) when its turn comes. */
int poison_take(struct account *a, const uint8_t *bytes, size_t len);
/* So many stanzas are still being dealt with. */
void poison_inbound_ended(struct service *s, size_t inbound);
/* The connection is gone: what waits comes again. */
void poison_disconnected(struct account *a);

/* Is it the same stanza, delivered another time? */
int poison_same(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen);

#endif
