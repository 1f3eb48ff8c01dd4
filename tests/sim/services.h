/* The small queries of a login and after it: passive, ping, props, privacy, blocklist … */
#ifndef SIM_SERVICES_H
#define SIM_SERVICES_H

#include "tests/sim/route.h"

void services_active(struct origin *o, const struct node *iq);
void services_passive(struct origin *o, const struct node *iq);
void services_ping(struct origin *o, const struct node *iq);
void services_props(struct origin *o, const struct node *iq);
void services_privacy_get(struct origin *o, const struct node *iq);
void services_privacy_set(struct origin *o, const struct node *iq);
void services_blocklist_get(struct origin *o, const struct node *iq);
void services_blocklist_set(struct origin *o, const struct node *iq);
void services_participating(struct origin *o, const struct node *iq);
void services_disappearing_mode(struct origin *o, const struct node *iq);
/* Queries whose effect nobody can see: the empty result. */
void services_accept(struct origin *o, const struct node *iq);
void services_ib(struct origin *o, const struct node *n);

/* A switch from now on; -1: too long, or too many. */
int services_set_prop(const char *code, const char *value);

/* The error code for a query that no rule takes. */
int services_missing_code(const struct node *iq);

/* A device may get stanzas now: its backlog, then what its phone has for a new companion. */
void services_became_active(struct device *d);
/* A server ping: <iq type=get xmlns=urn:xmpp:ping>. */
void services_server_ping(struct device *d);

#endif
