/* Requests of an account, carried out in the order in which they came. */
#ifndef WARD_QUEUE_H
#define WARD_QUEUE_H

#include <stdint.h>

#include "keyd/core.h"
#include "keyd/work.h"

/* What may wait; more is answered "busy". */
#define QUEUE_MAX       1024                /* requests of an account */
#define QUEUE_BYTES_MAX (64u * 1024 * 1024) /* of all accounts, packed; one request always fits */

/* What a verb needs of the account's device record. */
enum verb_device {
	VERB_NO_RECORD, /* does not look at it; has no load function */
	VERB_ANY,       /* there may be none */
	VERB_DEVICE,    /* there is one, else "state" */
	VERB_UNLINKED   /* there is one and it is not linked, else "state" */
};

/* One verb: what it checks, what it needs, what it does. */
struct verb {
	uint32_t type;
	enum verb_device needs;
	/* Bounds of the fields, from the message alone: NULL, or what is wrong ("bad_request").
	 * NULL = no field has a bound of its own. */
	const char *(*check)(const ProtobufCMessage *pb);
	/* Say with work_need what other records it reads or writes. Run when the request arrives,
	 * and again as records come, until nothing is missing. Changes nothing. NULL = no others.
	 */
	void (*load)(struct request *r);
	/* Do it and answer. Everything that load asked for is there. */
	void (*run)(struct request *r);
};

struct request {
	STAILQ_ENTRY(request) link;
	struct account *account;
	struct keyd *keyd;
	struct message *message; /* held */
	const ProtobufCMessage *pb;
	size_t bytes; /* packed size of pb */
	const struct verb *verb;
	struct work work;
	struct device *device; /* for load and run: of the account, or NULL: there is none */
	int answered;
};

/* A request or notice came: check it, queue it, run what can run. */
void queue_add(struct keyd *k, const struct verb *verb, struct message *m);
/* Records came, a unit ended, the store is unlocked: run what can run. */
void queue_run(struct account *a);
/* Answer everything that waits with an error (code NULL: with nothing) and forget it. */
void queue_drop(struct account *a, const char *code, const char *text);

/* Answers: each request gets exactly one. */
void request_reply(struct request *r, uint32_t type, const ProtobufCMessage *m);
void request_error(struct request *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Stage all writes into a unit, before the reply. 0, or -1: answered with "store". */
int request_stage(struct request *r, uint64_t unit, uint32_t *stages);

#endif
