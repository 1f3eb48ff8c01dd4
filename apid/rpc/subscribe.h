/* Subscriptions: events to a connection as they are committed. */
#ifndef WARD_SUBSCRIBE_H
#define WARD_SUBSCRIBE_H

#include "apid/rpc/consumer.h"

/* What a client wants of the log. */
struct event_filter {
	unsigned roles; /* of the client: what it may see */
	char **types;   /* a trailing * stands for any rest; none = all */
	size_t ntypes;
	char **accounts; /* none = all */
	size_t naccounts;
};
/* From the parameter "filter" (may be NULL). 0, or -1 when memory is out. */
int event_filter_init(struct event_filter *f, unsigned roles, const json_t *filter);
void event_filter_clear(struct event_filter *f);
int event_filter_match(const struct event_filter *f, const char *type, const char *account);

/* "cursor":"…","event":{…} of an event from the log */
void event_out(struct buf *b, const char *log_id, const Stored__Event *e, int redelivered);
/* the same for a loss: everything from..to is gone */
void event_out_gap(struct buf *b, const char *log_id, uint64_t from, uint64_t to);
/* "event":{…} of one that is in no log; body is ready JSON */
void event_out_transient(struct buf *b, const char *account, const char *type, const char *body);

/* Ask stored for events after seq. The answer is a stored.Events. */
struct store_ask *events_read(struct rpc *r, const struct event_filter *f, uint64_t after,
    unsigned limit, unsigned max_bytes, channel_reply_fn *fn, void *arg);
#define EVENTS_REPLY_MAX                                                                           \
	(2u * 1024 * 1024) /* 1 MiB asked at most, or one event, and its fields                    \
			    */

/* End it: reason (NULL = its client did it or is gone) is told with events.closed. */
void subscription_close(struct subscription *sub, const char *reason);
void subscription_close_client(struct client *c);
/* The consumer's owner acknowledged up to seq. */
void subscription_acked(struct subscription *sub, uint64_t seq);
/* There may be something to deliver again: new events, or the client has read. */
void subscription_pump(struct subscription *sub);
void subscription_pump_client(struct client *c);
void subscription_pump_all(struct rpc *r);
void subscription_transient(
    struct rpc *r, const char *account, const char *type, const json_t *body);

/* End a fetch under way as if its time were up (its client left, a steal, a stop). */
void fetch_give_up(struct fetch *f);
/* New events were committed. */
void fetch_wake(struct rpc *r);
/* Refuse or steal a consumer that is in use. 0 = it is free now. */
int consumer_claim(struct consumer *co, int steal);

#endif
