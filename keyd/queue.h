/* Requests of an account, carried out in the order in which they came. */
#ifndef WARD_QUEUE_H
#define WARD_QUEUE_H

#include <stdint.h>

#include "common/pb.h"
#include "keyd/core.h"
#include "keyd/work.h"

/* What may wait; more is answered "busy". */
#define QUEUE_MAX       1024                /* requests of an account */
#define QUEUE_BYTES_MAX (64u * 1024 * 1024) /* of all accounts, packed; one request always fits */

/* What a verb needs of the account's device record. */
enum verb_device {
	VERB_NO_RECORD, /* does not look at it, and loads nothing */
	VERB_ANY,       /* there may be none */
	VERB_DEVICE,    /* there is one, else "state" */
	VERB_UNLINKED   /* there is one and it is not linked, else "state" */
};

/* What is loaded of each address that the request names. */
#define VERB_SESSION  1u
#define VERB_IDENTITY 2u
#define VERB_PRIMARY  4u /* the identity of its device 0 */

/* Bounds that are not of one field alone (those are in bounds.c): NULL, or what is wrong
 * ("bad_request"). */
typedef const char *verb_check(const void *asked);
/* Say with work_need what other records it reads or writes. Run when the request arrives, and again
 * as records come, until nothing is missing. Changes nothing. */
typedef void verb_load(struct request *r, const void *asked);
/* Do it: all that was loaded is there. Fills the answer in, which is empty and of the verb's type.
 * 0: what it wrote is staged, and the answer goes out. -1: request_fail has answered. */
typedef int verb_run(struct request *r, const void *asked, void *answer);

/* One verb: who may ask, what it needs, what it does. */
struct verb {
	enum verb_peer {
		PEER_NETD,
		PEER_APID
	} who;
	struct channel_row row;
	enum verb_device needs;
	uint32_t answer_type;
	const ProtobufCMessageDescriptor *answer; /* NULL: a notice */
	unsigned addresses;
	verb_check *check; /* or NULL */
	verb_load *load;   /* or NULL */
	verb_run *run;     /* NULL: it is of no account, and row.run does it */
	uint64_t *count;   /* of those that were carried out, or NULL */
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
	struct device *device;  /* for load and run: of the account, or NULL: there is none */
	struct pb_arena *arena; /* of what the answer points to; wiped with the request */
};

/* A request or notice came: check it, queue it, run what can run. */
void queue_add(struct keyd *k, const struct verb *verb, struct message *m);
/* Answer with an error, and count it. */
void queue_refuse(struct message *m, const char *code, const char *text);
/* Records came, a unit ended, the store is unlocked: run what can run. */
void queue_run(struct account *a);
/* Answer everything that waits with an error (code NULL: with nothing) and forget it. */
void queue_drop(struct account *a, const char *code, const char *text);

/* For run. Answer with an error: -1. */
int request_fail(struct request *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Zeroed room for a field of the answer, and room with these bytes in it. */
ProtobufCBinaryData request_room(struct request *r, size_t len);
ProtobufCBinaryData request_bytes(struct request *r, const void *data, size_t len);
/* The same of a buffer, which is wiped, as a string. */
char *request_text(struct request *r, struct buf *text);
/* An empty message for a field of the answer, and n of them for a repeated one. */
void *request_message(struct request *r, const ProtobufCMessageDescriptor *d);
void *request_list(struct request *r, const ProtobufCMessageDescriptor *d, size_t n);

#endif
