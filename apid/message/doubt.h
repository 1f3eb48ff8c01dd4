/* Messages in doubt: the service has left them without an ack, connection after connection. The
 * counts are of this run: after a restart such a message costs DOUBT_TRIES connections once more,
 * which is less than a write for each connection that is lost. If sending it ends the service,
 * faults.h holds the runs apart. */
#ifndef WARD_DOUBT_H
#define WARD_DOUBT_H

#include <stdint.h>

struct doubts;

/* Never NULL: memory that is out ends the process, as everywhere at the start. */
struct doubts *doubts_new(void);
void doubts_free(struct doubts *d);

/* A connection ended, or was given up, while the message waited for its ack. */
void doubt_note(struct doubts *d, const char *message_id);
/* It got one. */
void doubt_clear(struct doubts *d, const char *message_id);
/* How long it has to wait before it is sent again, in ms; 0 = not at all. It is at once for the
 * first DOUBT_TRIES connections, then after 10 s, 20, 40, up to an hour: a message that the
 * service cannot take must not cost the account every connection. */
#define DOUBT_TRIES 3u
int64_t doubt_wait_ms(const struct doubts *d, const char *message_id);

#endif
