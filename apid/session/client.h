/* What this client tells of itself, as data that can be renewed without a new ward ([client] and
 * [queries] of the file of client data), and until when the service takes it. */
#ifndef WARD_CLIENT_H
#define WARD_CLIENT_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define CLIENT_VERSION_MAX 24

/* "2.3000.1045649367", in out. */
const char *client_version(const struct service *s, char out[CLIENT_VERSION_MAX]);
/* The id of a query of GraphQL by its name: that of [queries], else the fallback. */
const char *client_query_id(const struct service *s, const char *name, const char *fallback);

/* <client_expiration [t]> in an <ib>: from t on this version is refused; without t that is
 * withdrawn (protocol page 12, 3). Kept with the account, told as server.notice by the caller. */
void client_expiration(struct account *a, const struct node *n);
/* When this version is refused for this account; 0 = not known. */
int64_t client_expires_ms(const struct account *a);

void client_health(const struct service *s, json_t *checks);

#endif
