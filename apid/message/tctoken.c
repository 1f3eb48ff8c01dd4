/* Trusted-contact tokens: finding a person's, which goes with a stanza, and when it expires. */
#include "apid/message/tctoken.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/session/ask.h"
#include "apid/session/props.h"
#include "common/log.h"

#define AHEAD_MAX_S      86400
#define LONGEST_S        INT64_C(15552000) /* 180 days: nothing is good for longer */
#define LOOKUP_REPLY_MAX (16u * 1024)

struct tctoken_search {
	struct account *a;
	struct ask *ask;
	tctoken_fn *fn;
	void *arg;
};

/* ------------------------------------------------------------------ names */

int
tctoken_user(const struct person *p, char out[JID_TEXT_MAX])
{
	if (p->lid[0] != '\0')
		(void)snprintf(out, JID_TEXT_MAX, "%s@" JID_LID, p->lid);
	else if (p->pn[0] != '\0')
		(void)snprintf(out, JID_TEXT_MAX, "%s@" JID_PN, p->pn);
	else
		return -1;
	return 0;
}

/* Protocol page 02, 8: 1313555dddd, 131655500dd. */
static int
is_bot(const struct jid *j)
{
	size_t n = strlen(j->user);

	return jid_is_pn(j) && j->device == 0 && n == 11 && strspn(j->user, "0123456789") == n &&
	       (strncmp(j->user, "1313555", 7) == 0 || strncmp(j->user, "131655500", 9) == 0);
}

int
tctoken_is_for(const struct account *a, const struct jid *j)
{
	return (jid_is_pn(j) || jid_is_lid(j)) && !account_is_own(a, j) && !is_bot(j) &&
	       strcmp(j->user, "0") != 0;
}

/* ------------------------------------------------------------------ finding */

/* He may be known by number and by LID, from different times. */
static void
merge(struct tctoken *t, const Stored__Token *s)
{
	if (s->token.len > 0 && s->token.len <= TCTOKEN_MAX &&
	    (t->len == 0 || s->token_s > t->token_s)) {
		memcpy(t->bytes, s->token.data, s->token.len);
		t->len = s->token.len;
		t->token_s = s->token_s;
	}
	if (s->has_sender_s && (!t->has_sender || s->sender_s > t->sender_s)) {
		t->has_sender = 1;
		t->sender_s = s->sender_s;
	}
}

static void
found(const struct reply *rp, void *arg)
{
	struct tctoken_search *s = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	struct tctoken t = {0};
	tctoken_fn *fn = s->fn;
	void *fn_arg = s->arg;

	for (size_t i = 0; rp->ok && i < m->n_tokens; i++)
		merge(&t, m->tokens[i]);
	free(s);
	fn(&t, fn_arg);
	sodium_memzero(&t, sizeof(t));
}

void
tctoken_names(const struct person *p, struct tctoken_names *out)
{
	out->n = 0;
	if (p->lid[0] != '\0') {
		(void)snprintf(out->text[out->n], JID_TEXT_MAX, "%s@" JID_LID, p->lid);
		out->list[out->n] = out->text[out->n];
		out->n++;
	}
	if (p->pn[0] != '\0') {
		(void)snprintf(out->text[out->n], JID_TEXT_MAX, "%s@" JID_PN, p->pn);
		out->list[out->n] = out->text[out->n];
		out->n++;
	}
}

int
tctoken_of_lookup(const struct person *p, const Stored__LookupReply *m, struct tctoken *out)
{
	struct tctoken_names names;

	memset(out, 0, sizeof(*out));
	tctoken_names(p, &names);
	for (size_t i = 0; i < names.n; i++) {
		size_t k = 0;

		while (k < m->n_tokens && strcmp(m->tokens[k]->user, names.list[i]) != 0)
			k++;
		if (k == m->n_tokens)
			return 0;
		merge(out, m->tokens[k]);
	}
	return 1;
}

struct tctoken_search *
tctoken_find(struct account *a, const struct person *p, tctoken_fn *fn, void *arg)
{
	struct tctoken_search *s = calloc(1, sizeof(*s));
	Stored__Lookup m = STORED__LOOKUP__INIT;
	struct tctoken_names names;

	if (s == NULL)
		fatal("tctoken_find");
	s->a = a;
	s->fn = fn;
	s->arg = arg;
	tctoken_names(p, &names);
	m.account = a->name;
	m.tokens = names.list;
	m.n_tokens = names.n;
	s->ask = ask_stored(a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, LOOKUP_REPLY_MAX, ASK_DEADLINE_MS, found, s);
	return s;
}

void
tctoken_cancel(struct tctoken_search *s)
{
	if (s == NULL)
		return;
	ask_cancel(s->ask);
	free(s);
}

/* ------------------------------------------------------------------ with a stanza */

static int64_t
clamped(int64_t v, int64_t most)
{
	return v < 1 ? 1 : v > most ? most : v;
}

static int64_t
bucket_s(const struct account *a, enum tctoken_side side)
{
	unsigned code = side == TCTOKEN_OURS ? PROPS_SENDER_BUCKET : PROPS_TOKEN_BUCKET;

	return clamped(props_int(a, code), LONGEST_S);
}

int64_t
tctoken_bucket(const struct account *a, enum tctoken_side side, int64_t s)
{
	return s / bucket_s(a, side);
}

int64_t
tctoken_cutoff_s(const struct account *a, enum tctoken_side side)
{
	unsigned code = side == TCTOKEN_OURS ? PROPS_SENDER_BUCKETS : PROPS_TOKEN_BUCKETS;
	int64_t length = bucket_s(a, side), n = clamped(props_int(a, code), LONGEST_S / length);

	return (account_server_time(a) / length - (n - 1)) * length;
}

int64_t
tctoken_time(const struct account *a, int64_t t)
{
	int64_t now = account_server_time(a);

	return t < now + AHEAD_MAX_S ? t : now;
}

int
tctoken_add(const struct account *a, const struct tctoken *t, struct node *n)
{
	if (t->len == 0 || t->token_s < tctoken_cutoff_s(a, TCTOKEN_THEIRS))
		return 0;
	node_add_bytes(n, "tctoken", t->bytes, t->len);
	return 1;
}

void
tctoken_cstoken(const uint8_t *salt, size_t len, const char *lid_user, uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;
	char text[JID_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s@" JID_LID, lid_user);

	crypto_auth_hmacsha256_init(&st, salt, len);
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)text, (size_t)n);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof(st));
}

void
tctoken_add_to_message(const struct account *a, const struct jid *chat, const struct person *p,
    const struct tctoken *t, struct node *n)
{
	uint8_t cs[32];

	if (!tctoken_is_for(a, chat) || tctoken_add(a, t, n))
		return;
	if (a->rec.nct_salt_len == 0 || p->lid[0] == '\0')
		return;
	tctoken_cstoken(a->rec.nct_salt, a->rec.nct_salt_len, p->lid, cs);
	node_add_bytes(n, "cstoken", cs, sizeof(cs));
}
