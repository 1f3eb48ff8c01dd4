/* Requests of an account, carried out in the order in which they came. */
#ifndef WARD_QUEUE_H
#define WARD_QUEUE_H

#include <stdint.h>

#include "keyd/core.h"
#include "keyd/work.h"

/* What may wait; more is answered "busy". */
#define QUEUE_MAX       1024                /* requests of an account */
#define QUEUE_BYTES_MAX (64u * 1024 * 1024) /* of all accounts, packed; one request always fits */

/* One verb: what it checks, what it needs, what it does. */
struct verb {
	uint32_t type;
	const char *name;
	/* Bounds of the fields, from the message alone: NULL, or what is wrong ("bad_request"). */
	const char *(*check)(const ProtobufCMessage *pb);
	/* Say with work_need what records it reads or writes. Run when the request arrives, and
	 * again as records come, until nothing is missing. Changes nothing. NULL = needs none. */
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
	struct device *device; /* of the account, or NULL: there is none */
	int answered;
};

/* A request or notice came: check it, queue it, run what can run. */
void queue_add(struct keyd *k, const struct verb *verb, struct message *m);
/* Records came, a unit ended, the store is unlocked: run what can run. */
void queue_run(struct account *a);
/* Answer everything that waits with an error (code NULL: with nothing) and forget it. */
void queue_drop(struct account *a, const char *code, const char *text);

/* For verbs: no field has a bound of its own; the device record is needed, and nothing else. */
const char *request_check_none(const ProtobufCMessage *pb);
void request_load_device(struct request *r);
/* The account's device, for load functions: 1 there, else 0 (not yet, or there is none). */
int request_need_device(struct request *r, struct device **d);
/* For run functions: 1 if there is a device; else answers "state". */
int request_has_device(struct request *r);

/* Answers: each request gets exactly one. */
void request_reply(struct request *r, uint32_t type, const ProtobufCMessage *m);
void request_error(struct request *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Stage all writes into a unit, before the reply. 0, or -1: answered with "store". */
int request_stage(struct request *r, uint64_t unit, uint32_t *stages);

#endif
