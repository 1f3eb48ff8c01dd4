/* Where a stanza of a device goes: one table, one rule a kind. */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "tests/sim/account.h"
#include "tests/sim/conn.h"

/* Who sent a stanza, and how he is answered. */
struct origin {
	struct device *dev;  /* NULL: not paired */
	struct conn *conn;   /* NULL: the phone */
	struct node *answer; /* the phone's answer is left here */
};

/* A stanza of a client's connection. */
void route_conn(struct conn *c, const struct node *n);
/* A stanza of a phone (taken). Returns the answer to it (an iq result or error, an ack) or NULL. */
struct node *route_phone(struct device *phone, struct node *n);

/* Answers the origin. Takes n. */
void route_reply(struct origin *o, struct node *n);
void route_result(struct origin *o, const struct node *iq); /* the empty result */
void route_error(struct origin *o, const struct node *iq, int code);

/* A stanza id that no other stanza of the service has. out: 32 bytes. */
const char *route_id(char out[32]);
/* Begins a notification from the service: id, t, type. */
struct node *route_notification(const char *type);

struct route_stats {
	uint64_t stanzas_in, messages, deliveries, receipts, iqs, unknown;
};
extern struct route_stats route_stats;

#endif
