/* call.reject: a call that rings is refused, on all devices of the account. */
#include <stdlib.h>
#include <string.h>

#include "apid/message/calls_impl.h"
#include "apid/message/peer.h"
#include "apid/session/call.h"
#include "apid/session/iq.h"
#include "common/log.h"

struct rejecting {
	TAILQ_ENTRY(rejecting) link;
	struct account *a;
	struct call *call;
	char id[CALL_ID_MAX + 1];
	uint64_t ack;
};

static void
rejecting_drop(struct rejecting *r)
{
	TAILQ_REMOVE(&r->a->calls->rejecting, r, link);
	iq_cancel(r->a, r->ack);
	free(r);
}

void
calls_rejecting_clear(struct calls *c)
{
	while (!TAILQ_EMPTY(&c->rejecting))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		rejecting_drop(TAILQ_FIRST(&c->rejecting));
}

static void
acked(const struct iq_answer *an, void *arg)
{
	struct rejecting *r = arg;

	r->ack = 0;
	if (!an->ok || an->node == NULL || node_get(an->node, "error") != NULL) {
		struct known_call *k = calls_find(r->a->calls, r->id);

		if (k != NULL) /* it may be tried again */
			k->taken = 0;
	}
	if (!an->ok)
		call_failf(r->call, -11, "outcome_unknown", 1,
		    "the service did not say that it has the refusal");
	else if (an->node != NULL && node_get(an->node, "error") != NULL)
		call_failf(r->call, -1, "refused", 0, "the service did not take the refusal");
	else
		call_ok(r->call, json_pack("{s:b}", "ok", 1));
	rejecting_drop(r);
}

/* Is that the one who calls? */
static int
is_from(const struct known_call *k, const char *from)
{
	char text[JID_TEXT_MAX];
	const char *name = peer_name(from, text);
	struct jid j;

	if (name == NULL)
		return 0;
	if (stable_id_is(name, 'u'))
		return strcmp(name, k->person.id) == 0;
	if (jid_parse(name, &j) == -1)
		return 0;
	return jid_same_user(&j, &k->from) ||
	       strcmp(j.user, jid_is_lid(&j) ? k->person.lid : k->person.pn) == 0;
}

void
call_reject(struct account *a, const void *client, const char *call_id, const char *from,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct known_call *k = calls_find(a->calls, call_id);
	struct rejecting *r;
	struct node *n, *x;
	struct jid to;

	if (k == NULL || k->taken || (from != NULL && !is_from(k, from))) {
		call_failf(c, -1, "not_found", 0, "no such call rings");
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("call_reject");
	r->a = a;
	r->call = c;
	TAILQ_INSERT_TAIL(&a->calls->rejecting, r, link);
	n = node_new("call");
	to = jid_bare(&k->from);
	node_set_jid(n, "to", &to);
	x = node_child_new(n, "reject");
	node_set(x, "call-id", k->id);
	node_set_jid(x, "call-creator", &k->creator);
	node_set(x, "count", "0");
	memcpy(r->id, k->id, sizeof(r->id));
	k->taken = 1; /* it is not missed, whatever the caller says at its end */
	r->ack = iq_request(a, n, CALL_ACK_MS, acked, r);
}
