/* Durable consumers as this run knows them: who is live, what was delivered, acknowledgements. */
#ifndef WARD_CONSUMER_H
#define WARD_CONSUMER_H

#include "apid/rpc/client.h"
#include "apid/rpc/store_ask.h"

#define CONSUMER_NAME_MAX 64

struct ack_waiter;
STAILQ_HEAD(ack_list, ack_waiter);

struct consumer {
	TAILQ_ENTRY(consumer) link;
	struct rpc *rpc;
	uint32_t uid; /* owner */
	char name[CONSUMER_NAME_MAX + 1];
	uint64_t delivered;                /* newest seq that may have been given to it before */
	struct subscription *subscription; /* the live one, or */
	struct fetch *fetch;               /* a fetch that is under way */
	/* one acknowledgement is at stored at a time; those that come meanwhile share the next */
	int acking;
	struct store_ask *ack_asked;
	uint64_t ack_wanted, acked;
	struct ack_list ack_now, ack_next;
};

/* What a request asks for: the name of its consumer, and the place in the log that the parameter
 * gives. NULL or -1: it was answered, since it makes no sense or there is no store. */
const char *consumer_asked(struct request *rq);
int consumer_asked_cursor(struct request *rq, const char *param, uint64_t *seq);

/* Find, or remember; NULL when memory is out. Older ones that nobody uses may be forgotten by it.
 */
struct consumer *consumer_get(struct rpc *r, uint32_t uid, const char *name);
struct consumer *consumer_find(struct rpc *r, uint32_t uid, const char *name);
int consumer_live(const struct consumer *co);
/* Somebody stopped using it: it becomes the last to be forgotten. */
void consumer_idle(struct consumer *co);
void consumer_free_all(struct rpc *r);

/* Make everything up to seq acknowledged, durably. rq (may be NULL) is answered then. */
void consumer_ack(struct consumer *co, uint64_t seq, struct request *rq);
/* The same, telling a function instead: reason is NULL on success. Returns a handle for
 * consumer_ack_forget, NULL when memory is out (fn is not called then). */
typedef void consumer_acked_fn(void *arg, const char *reason);
struct ack_waiter *consumer_ack_fn(
    struct consumer *co, uint64_t seq, consumer_acked_fn *fn, void *arg);
void consumer_ack_forget(struct ack_waiter *w);

/* Open it at stored (from: STORED__CONSUMER_OPEN__FROM__…), made if there is none. The answer is a
 * stored.Consumer. */
struct store_ask *consumer_open(
    struct consumer *co, int from, uint64_t seq, channel_reply_fn *fn, void *arg);

#endif
