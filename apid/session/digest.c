/* The digest check: what the service says of our keys is compared with the keys themselves.
 *
 *	digest_start -> answered -> ask_public -> public_came (again for each thousand ids) ->
 *	digest_end
 *
 * keyd gives the public halves; the hash is made here. A key may be used up between the answer and
 * the comparison, so a difference counts when it is found twice in a row. */
#include "apid/session/digest.h"

#include <stdlib.h>
#include <string.h>

#include <nettle/sha1.h>
#include <nettle/version.h>

#include "apid/session/ask.h"
#include "apid/session/iq.h"
#include "apid/session/keys.h"
#include "apid/session/prekeys.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define PART      1000u /* ids of one question, of the contract */
#define REPLY_MAX (256u * 1024)

struct digest {
	struct account *a;
	int running, again; /* again: it differed once */
	uint64_t iq;
	struct ask *ask;
	struct unit *unit;
	struct digest_answer x;
	size_t at; /* ids that were compared */
	struct sha1_ctx sha1;
	const char *state;
	int64_t when_ms;
};

struct digest *
digest_new(struct account *a)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (d == NULL)
		fatal("digest_new");
	d->a = a;
	d->state = "unknown";
	return d;
}

static void
drop(struct digest *d)
{
	iq_cancel(d->a, d->iq);
	ask_cancel(d->ask);
	unit_detach(d->unit);
	digest_answer_clear(&d->x);
	d->iq = 0;
	d->ask = NULL;
	d->unit = NULL;
	d->running = 0;
}

void
digest_free(struct digest *d)
{
	if (d == NULL)
		return;
	drop(d);
	free(d);
}

int
digest_running(const struct account *a)
{
	return a->digest->running;
}

void
digest_disconnected(struct account *a)
{
	drop(a->digest);
}

const char *
digest_state(const struct account *a, int64_t *when_ms)
{
	*when_ms = a->digest->when_ms;
	return a->digest->state;
}

/* ------------------------------------------------------------------ the answer */

static int
fixed(const struct node *parent, const char *tag, size_t want, uint8_t *out)
{
	const uint8_t *bytes;
	size_t len;

	if (node_child_bytes(parent, tag, &bytes, &len) == -1 || len != want)
		return -1;
	memcpy(out, bytes, len);
	return 0;
}

static uint32_t
number(const uint8_t *b, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n << 8 | b[i];
	return n;
}

void
digest_answer_clear(struct digest_answer *x)
{
	free(x->ids);
	x->ids = NULL;
	x->n = 0;
}

static int
parse_ids(const struct node *list, struct digest_answer *out)
{
	if (list == NULL || list->nchildren > DIGEST_KEYS_MAX ||
	    (out->ids = calloc(list->nchildren + 1, sizeof(*out->ids))) == NULL)
		return -1;
	for (size_t i = 0; i < list->nchildren; i++) {
		const struct node *c = list->children[i];

		if (!node_is(c, "id") || !c->has_bytes || c->nbytes != 3)
			return -1;
		out->ids[out->n] = number(c->bytes, 3);
		if (out->ids[out->n] < 1 || out->ids[out->n] > 0xfffffe)
			return -1; /* no id of ours */
		out->n++;
	}
	return 0;
}

int
digest_parse(const struct node *iq, struct digest_answer *out)
{
	const struct node *d = node_child(iq, "digest");
	const struct node *skey = d == NULL ? NULL : node_child(d, "skey");
	uint8_t reg[4], id[3];

	memset(out, 0, sizeof(*out));
	if (skey == NULL || fixed(d, "registration", 4, reg) == -1 ||
	    fixed(d, "identity", 32, out->identity) == -1 ||
	    fixed(d, "hash", SHA1_DIGEST_SIZE, out->hash) == -1 || fixed(skey, "id", 3, id) == -1 ||
	    fixed(skey, "value", 32, out->skey_pub) == -1 ||
	    fixed(skey, "signature", 64, out->skey_sig) == -1)
		return -1;
	out->registration_id = number(reg, 4);
	out->skey_id = number(id, 3);
	if (parse_ids(node_child(d, "list"), out) == 0)
		return 0;
	digest_answer_clear(out);
	return -1;
}

/* ------------------------------------------------------------------ how it ends */

static void
written(const struct unit_result *r, void *arg)
{
	struct digest *d = arg;
	int upload = strcmp(d->state, "missing") == 0;

	d->unit = NULL;
	d->running = 0;
	if (upload)
		prekeys_low(d->a);
	keys_next(d->a);
}

/* Something to tell: durable, and once for each time that it begins. */
static void
tell(struct digest *d, const char *kind, int64_t count)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	if ((d->unit = unit_open(d->a)) == NULL) {
		d->running = 0;
		return;
	}
	if (strcmp(d->state, "missing") == 0) {
		rec.has_server_has_prekeys = 1;
		unit_device(d->unit, &rec);
	}
	keys_event(d->a, d->unit, kind, count);
	unit_commit(d->unit, written, d);
}

static void
digest_end(struct digest *d, const char *state, const char *what)
{
	int news = strcmp(d->state, state) != 0;
	int64_t n = (int64_t)d->x.n;

	drop(d);
	d->again = 0;
	d->state = state;
	d->when_ms = clock_wall_ms();
	if (what != NULL)
		log_warnx("account %s: digest of the keys at the service: %s", d->a->name, what);
	if (strcmp(state, "mismatch") == 0) /* only told: the pool empties and is filled anew */
		d->a->n.digest_mismatches++;
	if (strcmp(state, "missing") == 0 || (strcmp(state, "mismatch") == 0 && news)) {
		d->running = 1;
		tell(d, strcmp(state, "missing") == 0 ? "digest_missing" : "digest_mismatch",
		    strcmp(state, "missing") == 0 ? -1 : n);
	} else {
		keys_next(d->a);
	}
}

static void
differs(struct digest *d, const char *what)
{
	if (d->again) {
		digest_end(d, "mismatch", what);
		return;
	}
	drop(d);
	d->again = 1;
	digest_start(d->a);
}

/* ------------------------------------------------------------------ comparing */

static void ask_public(struct digest *d);

static int
same_skey(const struct digest_answer *x, const Keyd__SignedPrekey *k)
{
	return k != NULL && k->id == x->skey_id && memcmp(k->pub.data, x->skey_pub, 32) == 0 &&
	       memcmp(k->signature.data, x->skey_sig, 64) == 0;
}

static int
well_formed(const Keyd__PrekeysReply *m)
{
	const Keyd__SignedPrekey *const k[2] = {m->signed_prekey, m->next};

	for (int i = 0; i < 2; i++)
		if (k[i] != NULL && (k[i]->pub.len != 32 || k[i]->signature.len != 64))
			return 0;
	return m->identity_pub.len == 32;
}

/* What is ours beside the one-time keys. Of a rotation that has not ended the service has either.
 */
static const char *
compare_device(const struct digest_answer *x, const Keyd__PrekeysReply *m)
{
	if (x->registration_id != m->registration_id)
		return "another registration id";
	if (memcmp(x->identity, m->identity_pub.data, 32) != 0)
		return "another identity";
	if (!same_skey(x, m->signed_prekey) && !same_skey(x, m->next))
		return "another signed prekey";
	return NULL;
}

static void
compare_hash(struct digest *d)
{
	uint8_t hash[SHA1_DIGEST_SIZE];

#if NETTLE_VERSION_MAJOR >= 4
	sha1_digest(&d->sha1, hash);
#else
	sha1_digest(&d->sha1, sizeof(hash), hash);
#endif
	if (memcmp(hash, d->x.hash, sizeof(hash)) != 0)
		differs(d, "another hash");
	else
		digest_end(d, "ok", NULL);
}

static void
public_came(const struct reply *rp, void *arg)
{
	struct digest *d = arg;
	const Keyd__PrekeysReply *m = (const Keyd__PrekeysReply *)rp->pb;
	size_t part = d->x.n - d->at > PART ? PART : d->x.n - d->at;
	const char *what;

	d->ask = NULL;
	if (!rp->ok || !well_formed(m)) {
		digest_end(d, "failed", rp->ok ? "keyd's answer is malformed" : rp->code);
		return;
	}
	if (d->at == 0) {
		if ((what = compare_device(&d->x, m)) != NULL) {
			differs(d, what);
			return;
		}
		sha1_update(&d->sha1, 32, m->identity_pub.data);
		sha1_update(&d->sha1, 32, d->x.skey_pub);
		sha1_update(&d->sha1, 64, d->x.skey_sig);
	}
	if (m->n_keys != part) {
		differs(d, "prekeys that are not here");
		return;
	}
	for (size_t i = 0; i < m->n_keys; i++)
		sha1_update(&d->sha1, m->keys[i]->pub.len, m->keys[i]->pub.data);
	d->at += part;
	if (d->at < d->x.n)
		ask_public(d);
	else
		compare_hash(d);
}

static void
ask_public(struct digest *d)
{
	Keyd__PrekeysPublic m = KEYD__PREKEYS_PUBLIC__INIT;

	m.account = d->a->name;
	m.ids = d->x.ids + d->at;
	m.n_ids = d->x.n - d->at > PART ? PART : d->x.n - d->at;
	d->ask = ask_keyd(d->a, KEYD__TYPE__PREKEYS_PUBLIC, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, public_came, d);
}

static void
answered(const struct iq_answer *r, void *arg)
{
	struct digest *d = arg;

	d->iq = 0;
	if (!r->ok && r->code == 404) {
		digest_end(d, "missing", "it has none of them: all are uploaded again");
	} else if (!r->ok) {
		digest_end(d, "failed", r->why);
	} else if (digest_parse(r->node, &d->x) == -1) {
		digest_end(d, "failed", "the answer is malformed");
	} else {
		prekeys_counted(d->a, (int64_t)d->x.n);
		d->at = 0;
		sha1_init(&d->sha1);
		ask_public(d);
	}
}

void
digest_start(struct account *a)
{
	struct digest *d = a->digest;
	struct node *n = iq_new("get", "encrypt");

	d->running = 1;
	a->n.digest_checks++;
	node_add(n, node_new("digest"));
	d->iq = iq_request(a, n, IQ_TIMEOUT_MS, answered, d);
}
