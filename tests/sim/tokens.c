/* Trusted-contact tokens, and accounts that strangers cannot write to. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/rng.h"
#include "tests/sim/tokens.h"

#define BUCKET_S 604800
#define BUCKETS  4

struct given {
	const struct account *to;
	uint8_t token[32];
	int64_t t;
};

/* Of one account: what it gave to whom, and who is no stranger to it. */
struct token_rights {
	struct given *given;
	size_t ngiven;
	const struct account **known;
	size_t nknown;
};

static struct token_rights *
rights(struct account *a)
{
	if (a->rights == NULL && (a->rights = calloc(1, sizeof(*a->rights))) == NULL)
		fatal("tokens");
	return a->rights;
}

void
tokens_free(struct account *a)
{
	if (a->rights == NULL)
		return;
	free(a->rights->given);
	free(a->rights->known);
	free(a->rights);
	a->rights = NULL;
}

static void
give(struct account *from, struct account *to, int64_t t)
{
	struct token_rights *r = rights(from);
	struct given *more = realloc(r->given, (r->ngiven + 1) * sizeof(*more)), *g;
	struct jid pn = account_jid(from, 0), lid = account_jid(from, 1);
	struct device *d;

	if (more == NULL)
		fatal("tokens");
	r->given = more;
	g = &r->given[r->ngiven++];
	g->to = to;
	g->t = t;
	rng_bytes(g->token, sizeof(g->token));
	TAILQ_FOREACH(d, &to->devices, link)
	{
		struct node *n = route_notification("privacy_token"), *c;

		node_set_jid(n, "from", &pn);
		node_set_jid(n, "sender_lid", &lid);
		c = node_child_new(node_child_new(n, "tokens"), "token");
		node_set_jid(c, "jid", &pn);
		node_setf(c, "t", "%lld", (long long)t);
		node_set(c, "type", "trusted_contact");
		node_set_bytes(c, g->token, sizeof(g->token));
		offline_deliver(d, n);
	}
}

void
tokens_in(struct origin *o, const struct node *iq)
{
	const struct node *list = node_child(iq, "tokens");
	struct account *a;
	struct jid j;

	route_result(o, iq);
	for (size_t i = 0; i < list->nchildren; i++) {
		int64_t t = node_get_int(list->children[i], "t", INT64_MAX);

		if (node_get_jid(list->children[i], "jid", &j) == 0 &&
		    (a = account_of(&j)) != NULL && a != o->dev->account)
			give(o->dev->account, a, t > 0 ? t : loop_now());
	}
}

void
tokens_cstoken(const struct account *from, const struct account *to, uint8_t out[32])
{
	struct jid lid = account_jid(to, 1);
	char text[JID_TEXT_MAX];

	(void)jid_format(&lid, text);
	crypt_hmac(from->nct_salt, sizeof(from->nct_salt), text, strlen(text), out);
}

/* Does the stanza of `from` hold a token that `to` takes? */
static int
good(const struct account *from, const struct account *to, const struct node *n, int also_cs)
{
	const struct token_rights *r = to->rights;
	int64_t cutoff = (loop_now() / BUCKET_S - (BUCKETS - 1)) * BUCKET_S;
	uint8_t token[32], right[32];

	if (to->takes_tc && r != NULL && nodes_fixed(n, "tctoken", token, sizeof(token)) == 0)
		for (size_t i = 0; i < r->ngiven; i++)
			if (r->given[i].to == from && r->given[i].t >= cutoff &&
			    memcmp(r->given[i].token, token, sizeof(token)) == 0)
				return 1;
	if (!also_cs || !to->takes_cs || nodes_fixed(n, "cstoken", token, sizeof(token)) != 0)
		return 0;
	tokens_cstoken(from, to, right);
	return memcmp(token, right, sizeof(right)) == 0;
}

int
tokens_refuse(const struct account *from, struct account *to, const struct node *n)
{
	struct token_rights *r = rights(to);
	const struct account **more;

	if (!to->restricted || from == to)
		return 0;
	for (size_t i = 0; i < r->nknown; i++)
		if (r->known[i] == from)
			return 0;
	if (!good(from, to, n, 1))
		return 463;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	if ((more = realloc(r->known, (r->nknown + 1) * sizeof(*more))) == NULL)
		fatal("tokens");
	r->known = more;
	r->known[r->nknown++] = from;
	return 0;
}

int
tokens_shows(const struct account *who, const struct account *whom, const struct node *n)
{
	return whom == NULL || whom == who || !whom->restricted || good(who, whom, n, 0);
}

json_t *
tokens_json(const struct account *a)
{
	json_t *list = json_array();

	for (size_t i = 0; a->rights != NULL && i < a->rights->ngiven; i++)
		json_array_append_new(
		    list, json_pack("{s:s,s:I}", "to", a->rights->given[i].to->name, "t",
			      (json_int_t)a->rights->given[i].t));
	return list;
}
