/* Trusted-contact tokens that people gave us: the notification, written down before it is acked.
 *
 *	tctoken_notification -> got_known -> (acked)
 */
#include <stdlib.h>
#include <string.h>

#include "apid/message/tctoken.h"
#include "apid/session/engine.h"
#include "apid/session/presence.h"
#include "apid/session/stanza.h"
#include "common/log.h"

#define GOT_MAX 8u /* tokens of one notification */
#define T_MAX   INT64_C(99999999999)

static void got_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind got_kind = {"tctoken_notification", got_end};

struct got {
	struct flow f; /* first */
	struct account *a;
	uint64_t conn;
	struct contacts_request *lookup;
	struct node *n; /* what its ack needs, and the tokens */
};

static void
got_end(struct flow *f, const char *outcome, const char *text)
{
	struct got *g = (struct got *)f;

	engine_inbound_end(g->a->svc, 0);
	contacts_cancel(g->lookup);
	node_free(g->n);
	free(g);
}

/* Those of a <tokens>, for who gave them. How many there were. */
static size_t
take_tokens(struct account *a, const struct node *n, const char *user, struct unit *u)
{
	const struct node *list = node_child(n, "tokens");
	size_t k = 0;

	for (size_t i = 0; list != NULL && i < list->nchildren && k < GOT_MAX; i++) {
		const struct node *c = list->children[i];
		const char *type = node_get(c, "type");
		int64_t t = node_get_int(c, "t", T_MAX);

		if (!node_is(c, "token") || type == NULL || strcmp(type, "trusted_contact") != 0 ||
		    !c->has_bytes || c->nbytes == 0 || c->nbytes > TCTOKEN_MAX || t < 0)
			continue;
		if (u != NULL)
			unit_token_received(u, user, c->bytes, c->nbytes, tctoken_time(a, t));
		k++;
	}
	return k;
}

static void
keep(struct account *a, const struct node *n, const struct person *p)
{
	struct unit *u = unit_open(a);
	char user[JID_TEXT_MAX];

	if (u != NULL && tctoken_user(p, user) == 0)
		(void)take_tokens(a, n, user, u);
	stanza_ack_after(a, u, n, 0);
	presence_token_came(a, p);
}

static void
got_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct got *g = arg;

	g->lookup = NULL;
	if (g->conn == g->a->conn) { /* else it comes again on the next one */
		if (why != NULL)
			account_store_failed(g->a, why);
		else
			keep(g->a, g->n, &people[0]);
	}
	flow_end(&g->f, NULL, NULL);
}

/* Its LID is not told and not at hand. */
static void
ask_who(struct account *a, const struct node *n, const struct jid *from)
{
	struct got *g = calloc(1, sizeof(*g));
	struct buf b = BUF_INIT;
	char text[JID_TEXT_MAX];
	const char *names[1] = {jid_format(from, text)};

	/* the stanza is its dispatcher's: a copy, as it would stand on the wire */
	if (g == NULL || node_encode(n, &b) == -1 ||
	    (g->n = node_decode(b.data, b.len, NULL)) == NULL) {
		buf_clear(&b);
		free(g);
		account_store_failed(a, "memory");
		return;
	}
	buf_clear(&b);
	g->a = a;
	g->conn = a->conn;
	flow_init(&g->f, a->svc->flows, &got_kind, a->name, a->tokens, 0);
	flow_step(&g->f, "got_known");
	engine_inbound_begin(a->svc, 0);
	g->lookup = contacts_ask(a, names, 1, 0, got_known, g);
}

void
tctoken_notification(struct account *a, const struct node *n)
{
	struct person p = {0};
	struct jid from, lid;

	if (node_get_jid(n, "from", &from) == -1 || (!jid_is_pn(&from) && !jid_is_lid(&from)) ||
	    take_tokens(a, n, NULL, NULL) == 0) {
		stanza_notice(a, n, "privacy_token", 1); /* of a kind that is not known here */
		return;
	}
	from = jid_bare(&from);
	if (node_get_jid(n, "sender_lid", &lid) == 0 && jid_is_lid(&lid)) {
		if (jid_is_pn(&from))
			memcpy(p.pn, from.user, sizeof(p.pn));
		from = jid_bare(&lid);
	}
	if (jid_is_lid(&from)) {
		memcpy(p.lid, from.user, sizeof(p.lid));
		keep(a, n, &p);
	} else if (contacts_cached(a, &from, &p) == 0) {
		keep(a, n, &p);
	} else {
		ask_who(a, n, &from);
	}
}
