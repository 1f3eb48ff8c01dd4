/* What a device is sent: its queue, the backlog after login, live delivery (page 11, 3.3 and 5). */
#ifndef SIM_OFFLINE_H
#define SIM_OFFLINE_H

#include <jansson.h>

#include "tests/sim/account.h"

/* Gives a device a stanza that must be answered: message, receipt, notification, call. Takes n. */
void offline_deliver(struct device *d, struct node *n);
/* Gives it one that is lost if the device is not there: presence, chatstate, ib. Takes n. */
void offline_transient(struct device *d, struct node *n);

void offline_login(struct device *d);  /* connected: nothing goes out yet */
void offline_active(struct device *d); /* ready: preview, backlog, end, live */
void offline_passive(struct device *d);
void offline_batch(struct device *d, unsigned count); /* it asked for more */
void offline_pump(struct device *d);                  /* send what may go */
void offline_gone(struct device *d);                  /* the connection is over */
/* The phone is on again: what it did not answer comes once more. */
void offline_phone_on(struct device *d);

/* The device answered that stanza: it leaves the queue. participant may be NULL. 1 if it was there.
 */
int offline_answered(
    struct device *d, const char *tag, const char *id, const char *from, const char *participant);
void offline_clear(struct device *d);
json_t *offline_list(const struct device *d); /* for device.queue */

/* More than so many bytes in one queue: senders are refused. */
#define OFFLINE_MAX_BYTES (512u * 1024 * 1024)

#endif
