/* iq requests of an account: ids, answers, deadlines; and the requests of the service
 * (protocol page 01, sections 7.2 and 10.1). */
#ifndef WARD_IQ_H
#define WARD_IQ_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define IQ_TIMEOUT_MS  60000u
#define IQ_PENDING_MAX 256u

struct iq_answer {
	int ok;
	const struct node
	    *node;       /* the answer, also an error; NULL for "timeout", "disconnected", "busy" */
	const char *why; /* if not ok: "error", "timeout", "disconnected", "busy" */
	unsigned code;   /* of <error>, 0 if none */
	const char *text;
	int64_t backoff_s; /* -1 = none */
};
typedef void iq_fn(const struct iq_answer *r, void *arg);

struct iq_table *iq_table_new(struct account *a);
void iq_table_free(struct iq_table *t);

/* Send `node` (an iq without id; taken) and wait. fn is called exactly once, from the loop, unless
 * the request is cancelled. Returns a handle, never 0. */
uint64_t iq_request(
    struct account *a, struct node *node, unsigned timeout_ms, iq_fn *fn, void *arg);
void iq_cancel(struct account *a, uint64_t handle); /* 0 is fine */
/* A new <iq to=s.whatsapp.net type xmlns>. */
struct node *iq_new(const char *type, const char *xmlns);
/* An iq or ack with a known id: 1 if it was ours. */
int iq_answered(struct account *a, const struct node *n);
/* The connection is gone: all pending requests fail with "disconnected". */
void iq_disconnected(struct account *a);
/* At the end: also those whose failure waits for the loop. */
void iq_fail_all(struct account *a);

#endif
