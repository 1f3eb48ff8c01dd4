/* Trusted-contact tokens: what clients may see of them, and throwing them away by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"

#define SCAN_REPLY_MAX (2u * 1024 * 1024)

struct listing {
	struct account *a;
	struct call *call;
};

static json_t *
party_of(struct account *a, const char *user)
{
	struct person p = {0};
	struct jid j;

	if (jid_parse(user, &j) == 0 && contacts_cached(a, &j, &p) == -1)
		(void)snprintf(jid_is_lid(&j) ? p.lid : p.pn, sizeof(p.pn), "%s", j.user);
	return contacts_party(&p);
}

/* Never the token itself: it is what the service takes us in by. */
static json_t *
row(struct account *a, const Stored__Token *t)
{
	json_t *o =
	    json_pack("{s:o, s:b}", "party", party_of(a, t->user), "has_token", t->token.len > 0);

	if (t->token.len > 0) {
		json_object_set_new(o, "token_ms", json_integer(t->token_s * 1000));
		json_object_set_new(o, "expired",
		    json_boolean(t->token_s < tctoken_cutoff_s(account_server_time(a))));
	}
	if (t->has_sender_s)
		json_object_set_new(o, "issued_ms", json_integer(t->sender_s * 1000));
	return o;
}

static void
listed(const struct reply *rp, void *arg)
{
	struct listing *l = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;
	struct api_error e;
	json_t *list, *o;

	if (!rp->ok) {
		e = api_error_store(rp->code);
		call_fail(l->call, &e);
	} else {
		list = json_array();
		for (size_t i = 0; i < m->n_tokens; i++)
			json_array_append_new(list, row(l->a, m->tokens[i]));
		o = json_pack("{s:o}", "parties", list);
		if (m->next != NULL)
			json_object_set_new(o, "next", json_string(m->next));
		call_ok(l->call, o);
	}
	free(l);
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
	    &stored__scan_reply__descriptor, SCAN_REPLY_MAX, ASK_DEADLINE_MS, listed, l);
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
	free(l);
}

void
privacy_tokens_prune(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct listing *l = listing_new(a, client, fn, arg);
	int64_t cutoff = tctoken_cutoff_s(account_server_time(a));
	struct unit *u = l == NULL ? NULL : unit_open(a);
	struct api_error e = api_error_make(-2, "internal", 1, "out of memory");

	if (l == NULL)
		return;
	if (u == NULL) {
		call_fail(l->call, &e);
		free(l);
		return;
	}
	unit_token_expire(u, cutoff, cutoff);
	unit_commit(u, pruned_for, l);
}
