/* The phone's trusted-contact tokens: those that it was given, and giving its own. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/tokens.h"

#define BUCKET_S 604800

static struct phone_token *
token_of(struct phone *p, struct account *of)
{
	struct phone_token *more;

	for (size_t i = 0; i < p->ntokens; i++)
		if (p->tokens[i].of == of)
			return &p->tokens[i];
	if ((more = realloc(p->tokens, (p->ntokens + 1) * sizeof(*more))) == NULL)
		fatal("token");
	p->tokens = more;
	more = &p->tokens[p->ntokens++];
	memset(more, 0, sizeof(*more));
	more->of = of;
	more->given = -1;
	return more;
}

void
phone_token_in(struct phone *p, const struct node *n)
{
	const struct node *c, *list = node_child(n, "tokens");
	struct account *of;
	struct phone_token *t;
	struct jid from;

	if (list == NULL || (c = node_child(list, "token")) == NULL || !c->has_bytes ||
	    c->nbytes > sizeof(t->bytes) || node_get_jid(n, "from", &from) != 0 ||
	    (of = account_of(&from)) == NULL)
		return;
	t = token_of(p, of);
	memcpy(t->bytes, c->bytes, c->nbytes);
	t->len = c->nbytes;
	t->t = node_get_int(c, "t", INT64_MAX);
}

void
phone_token_add(struct phone *p, struct account *to, struct node *n)
{
	struct phone_token *t;
	uint8_t cs[32];

	if (!p->set.tokens)
		return;
	t = token_of(p, to);
	if (t->len > 0 && t->t >= (loop_now() / BUCKET_S - 3) * BUCKET_S) {
		node_add_bytes(n, "tctoken", t->bytes, t->len);
		return;
	}
	tokens_cstoken(p->account, to, cs);
	node_add_bytes(n, "cstoken", cs, sizeof(cs));
}

void
phone_token_give(struct phone *p, struct account *to)
{
	struct phone_token *t;
	struct node *iq, *c;
	struct jid j = account_jid(to, 1);

	if (!p->set.tokens)
		return;
	t = token_of(p, to);
	if (t->given >= 0 && loop_now() / BUCKET_S <= t->given / BUCKET_S)
		return;
	t->given = loop_now();
	iq = phone_iq(p, "set", "privacy");
	c = node_child_new(node_child_new(iq, "tokens"), "token");
	node_set_jid(c, "jid", &j);
	node_setf(c, "t", "%lld", (long long)t->given);
	node_set(c, "type", "trusted_contact");
	phone_send_node(p, iq);
}
