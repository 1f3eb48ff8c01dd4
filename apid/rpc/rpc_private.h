/* What the files of rpc/ share: the listener's state and its limits. */
#ifndef WARD_RPC_PRIVATE_H
#define WARD_RPC_PRIVATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "apid/rpc/access.h"
#include "apid/rpc/api_table.h"
#include "apid/rpc/rpc.h"

#define RPC_DEPTH_MAX   48 /* nesting of a request: a message may quote one that quotes … */
#define RPC_EVENT_HIGH  (256u * 1024) /* unread event bytes, above which the log is not read on */
#define RPC_OUT_SLACK   (16u * 1024 * 1024) /* answers to what was in flight when reading stopped */
#define RPC_STORE_MS    30000               /* deadline of a request to stored */
#define RPC_METHODS_MAX 128
#define RPC_CODES_MAX   32

struct client;
struct consumer;
struct subscription;
struct fetch;
struct store_task;

struct rpc_limits {
	size_t line_bytes;
	unsigned in_flight;
	unsigned subscriptions;
	unsigned connections;
	unsigned per_uid;
	unsigned root_reserve; /* of the connections: only for root */
	size_t unread_bytes;
	unsigned line_timeout_ms;
	unsigned stall_timeout_ms;
	unsigned keep_consumers; /* remembered without being live */
};

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(consumer_list, consumer);
TAILQ_HEAD(subscription_list, subscription);
TAILQ_HEAD(fetch_list, fetch);
TAILQ_HEAD(store_task_list, store_task);

struct rpc {
	struct service *service;
	struct rpc_limits limits;
	int listen_fd;
	struct event *ev_accept;
	struct event *ev_accept_again; /* after a failure for want of descriptors */
	struct client_list clients;
	unsigned nclients;
	struct consumer_list consumers;
	unsigned nconsumers;
	struct subscription_list subscriptions; /* of all clients */
	struct fetch_list fetches;
	struct store_task_list tasks;
	uint64_t last_seq; /* newest seq that was seen */
	uint64_t
	    boot_seq; /* newest seq when the store opened: older ones may have been delivered */
	int boot_known;
	uint64_t next_token; /* names a request towards the engine, never used twice */
	int stopping;
	/* counters */
	uint64_t calls[RPC_METHODS_MAX][RPC_CODES_MAX]; /* code 0 = ok, else 1 + class */
	uint64_t accepted, refused, closed_stalled, closed_lines, bad_lines, denied;
	uint64_t events_sent, transients_sent, transients_dropped;
};

struct rpc_limits rpc_limits_load(const struct config *c);
uint64_t rpc_last_seq(struct rpc *r);
/* Why the store cannot be asked, or NULL if it can. */
const struct api_error *rpc_store_error(const struct rpc *r);

#endif
