/* The requests of one channel that are not answered yet: found by id, ordered by deadline. */
#ifndef WARD_REQUESTS_H
#define WARD_REQUESTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "ipc/channel.h"

enum request_state {
	REQUEST_FLYING, /* sent, wanted */
	REQUEST_LATE,   /* sent, timed out or cancelled: its answer may still come and is dropped */
	REQUEST_FAILED  /* never sent: the asker is told from the loop */
};

struct request {
	uint32_t id;
	uint32_t reply_type;
	uint32_t reply_max;
	enum request_state state;
	const ProtobufCMessageDescriptor *desc;
	channel_reply_fn *fn;
	void *arg;
	const char *code;     /* FAILED: why */
	int64_t deadline;     /* clock_mono_ms */
	size_t heap;          /* place in the heap */
	struct request *next; /* in the bucket */
	TAILQ_ENTRY(request) link;
};
TAILQ_HEAD(request_list, request);

/* A request of which nobody remembers more than this many later ones gets no answer any more. */
#define REQUESTS_LATE_MAX 65536

struct requests {
	struct request **buckets;
	size_t nbuckets; /* power of two */
	size_t nhashed;
	struct request **heap;
	size_t nheap, heap_cap;
	struct request_list flying, late, failed; /* oldest first */
	size_t nlate;
	uint32_t last_id;
};

int requests_init(struct requests *rs); /* -1: out of memory */
void requests_fini(struct requests *rs);

/* A new flying request with an id of its own; the caller fills in the rest. NULL: out of memory. */
struct request *requests_add(struct requests *rs, int64_t deadline);
/* Flying or late; NULL if there is none of that id. */
struct request *requests_find(const struct requests *rs, uint32_t id);
/* Flying -> late. */
void requests_let_go(struct requests *rs, struct request *r);
/* Flying -> failed: its id is free again. */
void requests_fail(struct requests *rs, struct request *r, const char *code);
/* Unlink and free one in any state. */
void requests_remove(struct requests *rs, struct request *r);
/* The flying one of the earliest deadline, or NULL. */
struct request *requests_earliest(const struct requests *rs);

#endif
