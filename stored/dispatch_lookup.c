/* What apid asks about at the beginning of a step, many things at once; and walks through tables.
 */
#include "stored/check.h"
#include "stored/dispatch.h"
#include "stored/region.h"

#define MIB ((size_t)1024 * 1024)

#define LOOKUP_BYTES  (16 * MIB) /* of one answer, as it lies in memory: it fits a frame then */
#define PENDING_BYTES (4 * MIB)  /* of the stanzas in it */
#define SCAN_BYTES    MIB        /* of the rows of one answer, about */
#define SCAN_MEMORY   (8 * MIB)

/* ---------------------------------------------------------------- lookup */

struct lookup {
	const struct store_backend *b;
	struct store_db *db;
	const Stored__Lookup *rq;
	struct region *r;
	Stored__LookupReply *out;
};

/* Room for n pointers to messages of protobuf-c; NULL: memory is out. */
#define LIST(l, n, type) ((type **)region_alloc((l)->r, ((n) + 1) * sizeof(type *)))
#define ITEM(l, type)    ((type *)region_alloc((l)->r, sizeof(type)))

static enum store_status
look_peers(struct lookup *l)
{
	enum store_status st = STORE_OK;
	Stored__Peer *p;
	size_t i;

	if ((l->out->peers = LIST(l, l->rq->n_jids, Stored__Peer)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_jids; i++) {
		if ((p = ITEM(l, Stored__Peer)) == NULL)
			return STORE_NO_MEMORY;
		stored__peer__init(p);
		l->out->peers[l->out->n_peers++] = p;
		st = l->b->peer_lookup(l->db, l->rq->jids[i], l->r, p);
	}
	return st;
}

static enum store_status
look_groups(struct lookup *l)
{
	enum store_status st = STORE_OK;
	Stored__Group *g;
	size_t i;

	if ((l->out->groups = LIST(l, l->rq->n_groups, Stored__Group)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_groups; i++) {
		if ((g = ITEM(l, Stored__Group)) == NULL)
			return STORE_NO_MEMORY;
		stored__group__init(g);
		st = l->b->group_get(l->db, l->rq->groups[i], l->r, g);
		l->out->groups[l->out->n_groups++] = g;
	}
	return st;
}

static enum store_status
look_collections(struct lookup *l)
{
	enum store_status st = STORE_OK;
	Stored__Collection *c;
	size_t i;

	if ((l->out->collections = LIST(l, l->rq->n_collections, Stored__Collection)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_collections; i++) {
		if ((c = ITEM(l, Stored__Collection)) == NULL)
			return STORE_NO_MEMORY;
		stored__collection__init(c);
		st = l->b->collection_get(l->db, l->rq->collections[i], l->r, c);
		l->out->collections[l->out->n_collections++] = c;
	}
	return st;
}

static enum store_status
look_macs(struct lookup *l)
{
	enum store_status st = STORE_OK;
	Stored__Macs *m;
	size_t i, k;

	if ((l->out->macs = LIST(l, l->rq->n_macs, Stored__Macs)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; i < l->rq->n_macs; i++) {
		const Stored__MacsOf *of = l->rq->macs[i];

		if ((m = ITEM(l, Stored__Macs)) == NULL)
			return STORE_NO_MEMORY;
		stored__macs__init(m);
		l->out->macs[l->out->n_macs++] = m;
		m->values = region_alloc(l->r, (of->n_indexes + 1) * sizeof(*m->values));
		if (m->values == NULL)
			return STORE_NO_MEMORY;
		for (k = 0; st == STORE_OK && k < of->n_indexes; k++)
			st = l->b->mac_get(l->db, of->collection, &of->indexes[k], l->r,
			    &m->values[m->n_values++]);
	}
	return st;
}

static enum store_status
look_base_keys(struct lookup *l)
{
	enum store_status st = STORE_OK;
	size_t i;
	int same;

	l->out->same_base_key =
	    region_alloc(l->r, (l->rq->n_base_keys + 1) * sizeof(*l->out->same_base_key));
	if (l->out->same_base_key == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_base_keys; i++) {
		st = l->b->base_key_same(l->db, l->rq->base_keys[i], &same);
		l->out->same_base_key[l->out->n_same_base_key++] = same;
	}
	return st;
}

static enum store_status
look_tokens(struct lookup *l)
{
	enum store_status st = STORE_OK;
	Stored__Token *t;
	size_t i;

	if ((l->out->tokens = LIST(l, l->rq->n_tokens, Stored__Token)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_tokens; i++) {
		if ((t = ITEM(l, Stored__Token)) == NULL)
			return STORE_NO_MEMORY;
		stored__token__init(t);
		st = l->b->token_get(l->db, l->rq->tokens[i], l->r, t);
		l->out->tokens[l->out->n_tokens++] = t;
	}
	return st;
}

static enum store_status
look_pending(struct lookup *l)
{
	enum store_status st = STORE_OK;
	size_t i, bytes = 0;
	Stored__Pending *p;

	if ((l->out->pending = LIST(l, l->rq->n_pending, Stored__Pending)) == NULL)
		return STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < l->rq->n_pending; i++) {
		if ((p = ITEM(l, Stored__Pending)) == NULL)
			return STORE_NO_MEMORY;
		stored__pending__init(p);
		st = l->b->pending_get(l->db, l->rq->pending[i], l->r, p);
		l->out->pending[l->out->n_pending++] = p;
		bytes += st == STORE_OK ? p->stanza.len : 0;
		if (bytes > PENDING_BYTES)
			return STORE_NO_MEMORY;
	}
	return st;
}

static enum store_status
look(struct lookup *l)
{
	enum store_status st = look_peers(l);

	if (st == STORE_OK)
		st = look_groups(l);
	if (st == STORE_OK)
		st = look_collections(l);
	if (st == STORE_OK)
		st = look_macs(l);
	if (st == STORE_OK)
		st = look_base_keys(l);
	if (st == STORE_OK)
		st = look_tokens(l);
	if (st == STORE_OK)
		st = look_pending(l);
	return st == STORE_OK && region_failed(l->r) ? STORE_NO_MEMORY : st;
}

int
dispatch_lookup(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__Lookup *rq = (const Stored__Lookup *)m->pb;
	Stored__LookupReply out = STORED__LOOKUP_REPLY__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	const char *why;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if ((why = check_lookup(rq)) != NULL)
		return dispatch_refuse(m, why);
	if ((r = region_new(LOOKUP_BYTES)) != NULL) {
		struct lookup l = {s->backend, a->db, rq, r, &out};

		st = look(&l);
	}
	if (st == STORE_NO_MEMORY) { /* more than an answer may hold, or than there is */
		region_free(r);
		return dispatch_refuse(m, "the answer is too big: ask for less at once");
	}
	return dispatch_answer(s, a, m, st, STORED__TYPE__LOOKUP_REPLY, &out.base, r);
}

/* ---------------------------------------------------------------- scan */

int
dispatch_scan(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__Scan *rq = (const Stored__Scan *)m->pb;
	Stored__ScanReply out = STORED__SCAN_REPLY__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	const char *why;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if ((why = check_scan(rq)) != NULL)
		return dispatch_refuse(m, why);
	if ((r = region_new(SCAN_MEMORY)) != NULL)
		st = s->backend->scan(a->db, rq, SCAN_BYTES, r, &out);
	if (st == STORE_BAD) {
		region_free(r);
		return dispatch_refuse(m, "scan: after is no answer's next");
	}
	return dispatch_answer(s, a, m, st, STORED__TYPE__SCAN_REPLY, &out.base, r);
}
