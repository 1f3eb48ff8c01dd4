/* Notifications: what they change is durable before their ack; the unknown ones are kept raw. */
#ifndef WARD_NOTIFICATION_H
#define WARD_NOTIFICATION_H

#include "apid/session/account.h"
#include "common/wire/node.h"

void notification_in(struct account *a, const struct node *n);

#endif
