/* What the files of calls share; nobody else includes it. */
#ifndef WARD_CALLS_IMPL_H
#define WARD_CALLS_IMPL_H

#include <sys/queue.h>

#include "apid/message/call_parse.h"
#include "apid/message/calls.h"
#include "apid/message/contacts.h"
#include "apid/session/unit.h"
#include "common/flow.h"

/* A call that rings here, or did. */
struct known_call {
	TAILQ_ENTRY(known_call) link;
	char id[CALL_ID_MAX + 1];
	struct jid from, creator;
	struct person person;
	int taken; /* accepted or refused, here or elsewhere: it is not missed */
	int64_t since_ms;
};

struct incoming;
struct rejecting;

struct calls {
	struct account *a;
	TAILQ_HEAD(known_calls, known_call) known; /* oldest first */
	size_t nknown;
	TAILQ_HEAD(incoming_list, incoming) in;
	TAILQ_HEAD(rejecting_list, rejecting) rejecting;
};

/* calls.c */
struct known_call *calls_find(struct calls *c, const char *id);
void calls_forget(struct calls *c, struct known_call *k);
/* call_event.c: what it becomes; taken: somebody took or refused it before. */
void call_event(struct unit *u, const struct account *a, const struct call_facts *f,
    const struct node *n, const struct person *from, int taken);
/* call_reject.c */
void calls_rejecting_clear(struct calls *c);

#endif
