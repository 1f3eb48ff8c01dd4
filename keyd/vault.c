/* Sealed records: sealing, opening, and the cache that knows what is committed and what is not yet.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "ipc/stored.pb-c.h"
#include "keyd/counter.h"
#include "keyd/vault.h"

#define FORMAT  1
#define NONCE   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define BUCKETS 16384
#define VERSION_MAX                                                                                \
	INT64_MAX             /* stored's word for a version is not sealed until the record opens  \
			       */
#define FLOOR_GONE UINT64_MAX /* deleted in this run: stored must not have it any more */

TAILQ_HEAD(entries, entry);

/* One write of a unit. */
struct write {
	STAILQ_ENTRY(write) link;
	struct entry *entry;
	uint64_t version; /* or FLOOR_GONE */
	uint64_t order;   /* of all writes */
};

struct unit {
	TAILQ_ENTRY(unit) link;
	STAILQ_HEAD(writes, write) writes;
	uint64_t id;
	int doomed;
};

struct vault {
	struct entry *buckets[BUCKETS];
	struct entries cached; /* may be evicted; newest first */
	struct entries ghosts; /* evicted, only the floor is kept; newest first */
	size_t nghosts, bytes, max;
	uint64_t order; /* of the last write */
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct {
		const char *name;
		const uint8_t *key, *old_key;
		TAILQ_HEAD(units, unit) units;
		unsigned nunits;
	} accounts[ACCOUNTS_MAX];
};

static void *
alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		fatalx("vault: out of memory");
	return p;
}

/* ---------------------------------------------------------------- seals */

/* u32 domain | u64 version | u8 length, account | name: no two records give the same bytes. */
static int
associated(const struct vault_id *id, struct buf *out)
{
	buf_put_be32(out, (uint32_t)id->domain);
	buf_put_be64(out, id->version);
	buf_put_u8(out, (uint8_t)strlen(id->account));
	buf_put_str(out, id->account);
	return buf_put_str(out, id->name);
}

int
vault_seal(const uint8_t key[32], const struct vault_id *id, const void *plain, size_t len,
    struct buf *out)
{
	struct buf aad = BUF_INIT;
	uint8_t *room;
	int ok = -1;

	if (len <= VAULT_PLAIN_MAX && associated(id, &aad) == 0 &&
	    (room = buf_reserve(out, len + VAULT_OVERHEAD)) != NULL) {
		room[0] = FORMAT;
		randombytes_buf(room + 1, NONCE); /* 24 random bytes never meet twice */
		ok = crypto_aead_xchacha20poly1305_ietf_encrypt(
		    room + 1 + NONCE, NULL, plain, len, aad.data, aad.len, NULL, room + 1, key);
	}
	buf_clear(&aad);
	return ok;
}

int
vault_unseal(const uint8_t key[32], const struct vault_id *id, const void *sealed, size_t len,
    struct buf *out)
{
	const uint8_t *s = sealed;
	struct buf aad = BUF_INIT;
	uint8_t *room;
	int ok = -1;

	if (len < VAULT_OVERHEAD || len > VAULT_SEALED_MAX || s[0] != FORMAT)
		return -1;
	if (associated(id, &aad) == 0 && (room = buf_reserve(out, len - VAULT_OVERHEAD)) != NULL) {
		ok = crypto_aead_xchacha20poly1305_ietf_decrypt(room, NULL, NULL, s + 1 + NONCE,
		    len - 1 - NONCE, aad.data, aad.len, s + 1, key);
		if (ok == -1)
			out->len -= len - VAULT_OVERHEAD;
	}
	buf_clear(&aad);
	return ok;
}

/* ---------------------------------------------------------------- entries */

struct vault *
vault_new(size_t cache_bytes)
{
	struct vault *v = alloc(sizeof(*v));
	unsigned i;

	v->max = cache_bytes;
	TAILQ_INIT(&v->cached);
	TAILQ_INIT(&v->ghosts);
	for (i = 0; i < ACCOUNTS_MAX; i++)
		TAILQ_INIT(&v->accounts[i].units);
	crypto_shorthash_keygen(v->hash_key);
	return v;
}

void
vault_account(struct vault *v, unsigned account, const char *name, const uint8_t *key)
{
	v->accounts[account].name = name;
	v->accounts[account].key = key;
}

void
vault_old_key(struct vault *v, unsigned account, const uint8_t *key)
{
	v->accounts[account].old_key = key;
}

static struct entry **
bucket(struct vault *v, unsigned account, int domain, const char *name)
{
	uint8_t in[8 + VAULT_NAME_MAX], hash[crypto_shorthash_BYTES];
	size_t len = strnlen(name, VAULT_NAME_MAX);
	uint32_t n;

	memcpy(in, &account, 4);
	memcpy(in + 4, &domain, 4);
	memcpy(in + 8, name, len);
	crypto_shorthash(hash, in, 8 + len, v->hash_key);
	memcpy(&n, hash, sizeof(n));
	return &v->buckets[n % BUCKETS];
}

static size_t
weight(const struct entry *e)
{
	return sizeof(*e) + strlen(e->name) + e->len;
}

static void
set_content(struct vault *v, struct entry *e, enum vault_state state, uint64_t version,
    const void *sealed, size_t len)
{
	v->bytes -= e->len;
	free(e->sealed);
	e->sealed = NULL;
	e->len = 0;
	e->state = state;
	e->version = version;
	if (state == VAULT_HERE) {
		e->sealed = alloc(len);
		memcpy(e->sealed, sealed, len);
		e->len = len;
		v->bytes += len;
	}
}

static void
unlist(struct vault *v, struct entry *e)
{
	if (e->list == CACHED)
		TAILQ_REMOVE(&v->cached, e, lru);
	if (e->list == GHOST) {
		TAILQ_REMOVE(&v->ghosts, e, lru);
		v->nghosts--;
		v->bytes += weight(e);
	}
	e->list = UNLISTED;
}

static void
forget(struct vault *v, struct entry *e)
{
	struct entry **p = bucket(v, e->account, e->domain, e->name);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	unlist(v, e);
	v->bytes -= weight(e);
	free(e->sealed);
	free(e);
}

/* Content goes; what remains is that its newest version is never accepted to be older. */
static void
make_ghost(struct vault *v, struct entry *e)
{
	unlist(v, e);
	set_content(v, e, VAULT_UNKNOWN, 0, NULL, 0);
	if (e->floor == 0) {
		forget(v, e);
		return;
	}
	TAILQ_INSERT_HEAD(&v->ghosts, e, lru);
	e->list = GHOST;
	v->bytes -= weight(e); /* bounded by number instead */
	if (++v->nghosts > VAULT_GHOSTS)
		forget(v, TAILQ_LAST(&v->ghosts, entries));
}

/* Nobody uses it any more: list it where it may be evicted, and evict. */
static void
settle(struct vault *v, struct entry *e)
{
	if (e->pins > 0 || e->pending > 0)
		return;
	if (e->state != VAULT_HERE && e->state != VAULT_ABSENT) {
		make_ghost(v, e);
		return;
	}
	unlist(v, e);
	TAILQ_INSERT_HEAD(&v->cached, e, lru);
	e->list = CACHED;
	while (v->bytes > v->max && !TAILQ_EMPTY(&v->cached))
		make_ghost(v, TAILQ_LAST(&v->cached, entries));
}

struct entry *
vault_pin(struct vault *v, unsigned account, int domain, const char *name)
{
	struct entry **b = bucket(v, account, domain, name), *e;
	size_t len;

	for (e = *b; e != NULL; e = e->next)
		if (e->account == account && e->domain == domain && strcmp(e->name, name) == 0)
			break;
	if (e == NULL) {
		len = strlen(name);
		e = alloc(sizeof(*e) + len + 1);
		memcpy(e->name, name, len);
		e->account = account;
		e->domain = domain;
		e->next = *b;
		*b = e;
		v->bytes += weight(e);
	}
	unlist(v, e);
	e->pins++;
	return e;
}

void
vault_unpin(struct vault *v, struct entry *e)
{
	e->pins--;
	settle(v, e);
}

void
vault_asked(struct entry *e)
{
	if (e->state == VAULT_UNKNOWN)
		e->state = VAULT_ASKED;
}

void
vault_fail(struct entry *e)
{
	if (e->state == VAULT_ASKED)
		e->state = VAULT_FAILED;
}

void
vault_retry(struct entry *e)
{
	if (e->state == VAULT_FAILED)
		e->state = VAULT_UNKNOWN;
}

void
vault_assume_absent(struct entry *e)
{
	if (e->state == VAULT_UNKNOWN && e->floor == 0)
		e->state = VAULT_ABSENT;
}

void
vault_fill(struct vault *v, struct entry *e, uint64_t version, const void *sealed, size_t len)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (e->state != VAULT_ASKED)
		return; /* a request wrote it meanwhile: what stored said is older */
	if (e->domain == STORED__DOMAIN__MSG_SECRET && version == 0) {
		set_content(v, e, VAULT_ABSENT, 0, NULL, 0); /* it expires in stored */
	} else if (e->floor == FLOOR_GONE ? version != 0 : version < e->floor) {
		counters[COUNT_RECORDS_ROLLED_BACK]++;
		if (log_allowed(&limit))
			log_errx("account %s: stored gave an older version of a record of domain "
				 "%d than was "
				 "seen: the database was rolled back",
			    v->accounts[e->account].name, e->domain);
		e->state = VAULT_FAILED;
	} else if (version == 0)
		set_content(v, e, VAULT_ABSENT, 0, NULL, 0);
	else if (len == 0 || len > VAULT_SEALED_MAX || v->bytes + len > VAULT_HARD_MAX ||
		 version > VERSION_MAX)
		e->state = VAULT_FAILED;
	else
		set_content(v, e, VAULT_HERE, version, sealed, len);
}

static int
unseal(const struct vault *v, const struct entry *e, const uint8_t *key, struct buf *out)
{
	const struct vault_id id = {v->accounts[e->account].name, e->domain, e->name, e->version};

	return key == NULL ? -1 : vault_unseal(key, &id, e->sealed, e->len, out);
}

int
vault_is_old(const struct vault *v, const struct entry *e)
{
	struct buf plain = BUF_INIT;
	int old = e->state == VAULT_HERE &&
		  unseal(v, e, v->accounts[e->account].key, &plain) == -1 &&
		  unseal(v, e, v->accounts[e->account].old_key, &plain) == 0;

	buf_clear(&plain);
	return old;
}

int
vault_open(struct vault *v, struct entry *e, struct buf *out)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (e->state == VAULT_ABSENT)
		return 0;
	if (e->state != VAULT_HERE)
		return -1;
	if (unseal(v, e, v->accounts[e->account].key, out) == -1 &&
	    unseal(v, e, v->accounts[e->account].old_key, out) == -1) {
		counters[COUNT_RECORDS_DAMAGED]++;
		if (log_allowed(&limit))
			log_errx("account %s: a record of domain %d does not open: damaged, or not "
				 "what it is "
				 "said to be",
			    v->accounts[e->account].name, e->domain);
		return -1;
	}
	if (e->pending == 0 && e->floor != FLOOR_GONE && e->version > e->floor)
		e->floor = e->version;
	return 1;
}

/* ---------------------------------------------------------------- units */

static struct unit *
find_unit(const struct vault *v, unsigned account, uint64_t id)
{
	struct unit *u;

	TAILQ_FOREACH(u, &v->accounts[account].units, link)
	if (u->id == id)
		return u;
	return NULL;
}

static int
join(struct vault *v, struct entry *e, uint64_t id, uint64_t version)
{
	struct unit *u = find_unit(v, e->account, id);
	struct write *w;

	if (u == NULL) {
		if (v->accounts[e->account].nunits >= VAULT_UNITS_MAX)
			return -1;
		u = alloc(sizeof(*u));
		u->id = id;
		STAILQ_INIT(&u->writes);
		TAILQ_INSERT_TAIL(&v->accounts[e->account].units, u, link);
		v->accounts[e->account].nunits++;
	}
	w = alloc(sizeof(*w));
	w->entry = e;
	w->version = version;
	w->order = ++v->order;
	STAILQ_INSERT_TAIL(&u->writes, w, link);
	unlist(v, e);
	e->pending++;
	return 0;
}

int
vault_put(struct vault *v, struct entry *e, uint64_t unit, const void *plain, size_t len)
{
	const struct vault_id id = {
	    v->accounts[e->account].name, e->domain, e->name, e->version + 1};
	struct buf sealed = BUF_INIT;

	if ((e->state != VAULT_HERE && e->state != VAULT_ABSENT) ||
	    join(v, e, unit, id.version) == -1)
		return -1;
	if (vault_seal(v->accounts[e->account].key, &id, plain, len, &sealed) == -1)
		fatalx(
		    "vault: a record of domain %d and %zu bytes cannot be sealed", e->domain, len);
	set_content(v, e, VAULT_HERE, id.version, sealed.data, sealed.len);
	counters[COUNT_RECORDS_SEALED]++;
	buf_clear(&sealed);
	return 0;
}

int
vault_delete(struct vault *v, struct entry *e, uint64_t unit)
{
	if (e->state != VAULT_HERE || join(v, e, unit, FLOOR_GONE) == -1)
		return -1;
	set_content(v, e, VAULT_ABSENT, 0, NULL, 0);
	return 0;
}

/* The unit that made this entry's content failed: nobody may build on it, nor on a version that
 * stored gives, while later units that did build on it can still be applied over that. */
static void
poison(struct vault *v, struct entry *e)
{
	struct unit *u;
	struct write *w;

	set_content(v, e, e->pending > 0 ? VAULT_BLOCKED : VAULT_UNKNOWN, 0, NULL, 0);
	if (e->pending == 0)
		return;
	TAILQ_FOREACH(u, &v->accounts[e->account].units, link)
	STAILQ_FOREACH(w, &u->writes, link)
	if (w->entry == e)
		u->doomed = 1;
}

static void
finish(struct vault *v, unsigned account, struct unit *u, int committed)
{
	struct write *w;
	struct entry *e;

	TAILQ_REMOVE(&v->accounts[account].units, u, link);
	v->accounts[account].nunits--;
	while ((w = STAILQ_FIRST(&u->writes)) != NULL) {
		STAILQ_REMOVE_HEAD(&u->writes, link);
		e = w->entry;
		e->pending--;
		if (!committed)
			poison(v, e);
		else if (w->order > e->settled) { /* whatever order stored claims: never back */
			e->floor = w->version;
			e->settled = w->order;
		}
		if (e->state == VAULT_BLOCKED && e->pending == 0)
			e->state = VAULT_UNKNOWN;
		settle(v, e);
		free(w);
	}
	free(u);
}

int
vault_unit_done(struct vault *v, unsigned account, uint64_t id, int committed)
{
	struct unit *u = find_unit(v, account, id);

	if (u == NULL)
		return -1;
	counters[committed ? COUNT_UNITS_COMMITTED : COUNT_UNITS_FAILED]++;
	finish(v, account, u, committed);
	return 0;
}

uint64_t
vault_order(const struct vault *v)
{
	return v->order;
}

int
vault_unfinished(const struct vault *v, unsigned account, uint64_t order)
{
	const struct unit *u;

	TAILQ_FOREACH(u, &v->accounts[account].units, link)
	if (STAILQ_FIRST(&u->writes)->order <= order)
		return 1;
	return 0;
}

int
vault_unit_doomed(const struct vault *v, unsigned account, uint64_t id)
{
	const struct unit *u = find_unit(v, account, id);

	return u != NULL && u->doomed;
}

size_t
vault_bytes(const struct vault *v)
{
	return v->bytes;
}

void
vault_free(struct vault *v)
{
	struct unit *u, *next;
	unsigned i;
	size_t b;

	if (v == NULL)
		return;
	for (i = 0; i < ACCOUNTS_MAX; i++) {
		for (u = TAILQ_FIRST(&v->accounts[i].units); u != NULL; u = next) {
			next = TAILQ_NEXT(u, link);
			finish(v, i, u, 0);
		}
	}
	for (b = 0; b < BUCKETS; b++)
		while (v->buckets[b] != NULL)
			forget(v, v->buckets[b]);
	free(v);
}
