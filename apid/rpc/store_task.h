/* A long task of stored that a client waits for: a backup, a check, a snapshot. */
#ifndef WARD_STORE_TASK_H
#define WARD_STORE_TASK_H

#include "apid/rpc/client.h"
#include "ipc/stored.pb-c.h"

struct store_task_kind {
	uint32_t type;      /* of the request to stored */
	const char *amount; /* the name of its result's number, and the unit of its progress */
};

/* Have stored begin it and answer the request when it has ended; progress goes to the client if the
 * request has a progress_token. fd (or -1) goes to stored. When the request is cancelled or its
 * client leaves, the task is. */
void store_task_run(
    struct request *rq, const struct store_task_kind *k, const ProtobufCMessage *m, int fd);
/* stored tells how far a task is. */
void store_task_state(struct rpc *r, const Stored__TaskState *st);
/* At the end: nobody is told. */
void store_task_free_all(struct rpc *r);

#endif
