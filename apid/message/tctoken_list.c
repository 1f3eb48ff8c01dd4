/* Trusted-contact tokens: what clients may see of them, and throwing them away by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"

#define REPLY_MAX (4u * 1024 * 1024)
#define LIST_MAX  64u /* people of one answer: what one LOOKUP takes */

struct listing {
	struct account *a;
	struct call *call;
	json_t *rows; /* with the names in stored as "party", until these are known */
	json_t *next;
};

/* ------------------------------------------------------------------ list */

static void
listing_end(struct listing *l)
{
	json_decref(l->rows);
	json_decref(l->next);
	free(l);
}

static void
listing_failed(struct listing *l, const char *code)
{
	struct api_error e = api_error_store(code);

	call_fail(l->call, &e);
	listing_end(l);
}

static const char *
text_of(const char *text)
{
	return text != NULL ? text : "";
}

/* The person behind a name of stored. */
static json_t *
party_of(struct account *a, const char *user, const Stored__Contact *c)
{
	struct person p = {0};
	struct jid j;

	if (jid_parse(user, &j) == -1 || contacts_cached(a, &j, &p) == 0)
		return contacts_party(&p);
	if (c != NULL) {
		(void)snprintf(p.id, sizeof(p.id), "%s", c->id);
		(void)snprintf(p.pn, sizeof(p.pn), "%s", text_of(c->pn));
		(void)snprintf(p.lid, sizeof(p.lid), "%s", text_of(c->lid));
		(void)snprintf(p.push_name, sizeof(p.push_name), "%s", text_of(c->push_name));
	} else {
		(void)snprintf(jid_is_lid(&j) ? p.lid : p.pn, sizeof(p.pn), "%s", j.user);
	}
	return contacts_party(&p);
}

static void
named(const struct reply *rp, void *arg)
{
	struct listing *l = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	if (!rp->ok || m->n_peers != json_array_size(l->rows)) {
		listing_failed(l, rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < m->n_peers; i++) {
		json_t *o = json_array_get(l->rows, i);
		json_t *party = party_of(
		    l->a, json_string_value(json_object_get(o, "party")), m->peers[i]->contact);

		json_object_set_new(o, "party", party);
	}
	call_ok(l->call, json_pack("{s:O, s:O*}", "parties", l->rows, "next", l->next));
	listing_end(l);
}

/* Never the token itself: it is what the service takes us in by. */
static json_t *
row(struct account *a, const Stored__Token *t)
{
	json_t *o = json_pack("{s:s, s:b}", "party", t->user, "has_token", t->token.len > 0);

	if (t->token.len > 0) {
		json_object_set_new(o, "token_ms", json_integer(t->token_s * 1000));
		json_object_set_new(
		    o, "expired", json_boolean(t->token_s < tctoken_cutoff_s(a, TCTOKEN_THEIRS)));
	}
	if (t->has_sender_s)
		json_object_set_new(o, "issued_ms", json_integer(t->sender_s * 1000));
	return o;
}

static void
scanned(const struct reply *rp, void *arg)
{
	struct listing *l = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;
	Stored__Lookup q = STORED__LOOKUP__INIT;
	char *users[LIST_MAX];

	if (!rp->ok || m->n_tokens > LIST_MAX) {
		listing_failed(l, rp->ok ? "internal" : rp->code);
		return;
	}
	l->rows = json_array();
	l->next = m->next != NULL ? json_string(m->next) : NULL;
	for (size_t i = 0; i < m->n_tokens; i++) {
		json_array_append_new(l->rows, row(l->a, m->tokens[i]));
		users[i] = m->tokens[i]->user;
	}
	q.account = l->a->name;
	q.n_jids = m->n_tokens;
	q.jids = users;
	(void)ask_stored(l->a, STORED__TYPE__LOOKUP, &q.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, named, l);
}

/* NULL: refused, the client was told. */
static struct listing *
listing_new(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct listing *l = a->opened ? calloc(1, sizeof(*l)) : NULL;
	struct api_error e;

	if (l == NULL) {
		e = a->opened ? api_error_make(-2, "internal", 1, "out of memory")
			      : api_error_closed(a);
		call_fail(c, &e);
		return NULL;
	}
	l->a = a;
	l->call = c;
	return l;
}

void
privacy_tokens_list(struct account *a, const void *client, const char *after, unsigned limit,
    engine_done_fn *fn, void *arg)
{
	struct listing *l = listing_new(a, client, fn, arg);
	Stored__Scan m = STORED__SCAN__INIT;

	if (l == NULL)
		return;
	m.account = a->name;
	m.table = STORED__TABLE__TOKENS;
	m.after = (char *)(uintptr_t)after;
	m.limit = limit;
	(void)ask_stored(a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, scanned, l);
}

static void
pruned_for(const struct unit_result *r, void *arg)
{
	struct listing *l = arg;
	struct api_error e;

	if (r->ok) {
		call_ok(l->call, json_pack("{s:I}", "count", (json_int_t)r->expired));
	} else {
		e = api_error_store(r->reason);
		call_fail(l->call, &e);
	}
	listing_end(l);
}

void
privacy_tokens_prune(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct listing *l = listing_new(a, client, fn, arg);
	struct unit *u = l == NULL ? NULL : unit_open(a);
	struct api_error e = api_error_make(-2, "internal", 1, "out of memory");

	if (l == NULL)
		return;
	if (u == NULL) {
		call_fail(l->call, &e);
		listing_end(l);
		return;
	}
	unit_token_expire(
	    u, tctoken_cutoff_s(a, TCTOKEN_THEIRS), tctoken_cutoff_s(a, TCTOKEN_OURS));
	unit_commit(u, pruned_for, l);
}
