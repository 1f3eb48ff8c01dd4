/* keyd's half of the channel to stored: unlocking, asking for records, staging writes. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "ipc/frame.h"
#include "ipc/stored.pb-c.h"
#include "keyd/counter.h"
#include "keyd/queue.h"
#include "keyd/store.h"
#include "sandbox/child.h"

#define DEADLINE_MS 30000
#define UNLOCK_MS   120000 /* stored may recover a database first */
#define FETCH_MAX   1024   /* records a request, of the contract */
/* … of a domain whose records may have 1 MiB: the answer must fit a frame, and 16 MiB in stored */
#define FETCH_BIG_MAX 15
#define STAGE_MAX     1024 /* records a frame, of the contract */
#define STAGE_BYTES   (1536u * 1024)

/* ---------------------------------------------------------------- unlocking */

static void
on_unlocked(const struct reply *r, void *arg)
{
	struct keyd *k = arg;
	const Stored__UnlockReply *u;
	size_t i;

	if (!r->ok) {
		log_errx("stored does not take the database keys: %s (%s)", r->code, r->text);
		core_lock(k, "store");
		return;
	}
	u = (const Stored__UnlockReply *)r->pb;
	for (i = 0; i < u->n_accounts; i++)
		if (!u->accounts[i]->ok)
			log_warnx("stored could not open the database of account %s: %s",
			    u->accounts[i]->account,
			    u->accounts[i]->reason != NULL ? u->accounts[i]->reason
							   : "no reason given");
	k->state = KEYD_UNLOCKED;
	for (i = 0; i < k->naccounts; i++)
		queue_run(&k->accounts[i]);
}

/* The master key is right. */
static void
send_keys(struct keyd *k)
{
	Stored__Unlock u = STORED__UNLOCK__INIT;
	Stored__AccountKey keys[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
	uint8_t service[32], key[ACCOUNTS_MAX][32];
	unsigned i;

	keyring_derive(k->secrets->master, "database", "", service);
	u.service_key.data = service;
	u.service_key.len = 32;
	for (i = 0; i < k->naccounts; i++) {
		keyring_derive(k->secrets->master, "database", k->accounts[i].name, key[i]);
		stored__account_key__init(&keys[i]);
		keys[i].account = k->accounts[i].name;
		keys[i].key.data = key[i];
		keys[i].key.len = 32;
		list[i] = &keys[i];
	}
	u.accounts = list;
	u.n_accounts = k->naccounts;
	core_unlock(k);
	channel_request(k->stored, STORED__TYPE__UNLOCK, &u.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, 256 * 1024, UNLOCK_MS, on_unlocked, k);
	sodium_memzero(service, sizeof(service));
	sodium_memzero(key, sizeof(key));
	sodium_memzero(k->secrets->master, sizeof(k->secrets->master));
}

static void
on_keyring_kept(const struct reply *r, void *arg)
{
	struct keyd *k = arg;

	if (r->ok) {
		send_keys(k);
		return;
	}
	log_errx("stored cannot keep the keyring header: %s (%s)", r->code, r->text);
	core_lock(k, "store");
}

/* The first start: a header for this key. Durable before anything is sealed under it. */
static void
make_keyring(struct keyd *k)
{
	Stored__Keyring put = STORED__KEYRING__INIT;
	struct buf header = BUF_INIT;

	if (keyring_new(&k->secrets->source, k->secrets->master, &header) == -1) {
		log_errx("no memory to derive the master key from the passphrase");
		core_lock(k, "memory");
	} else {
		log_notice("made a new keyring header");
		put.header.data = header.data;
		put.header.len = header.len;
		channel_request(k->stored, STORED__TYPE__KEYRING_PUT, &put.base, STORED__TYPE__DONE,
		    &stored__done__descriptor, 16, DEADLINE_MS, on_keyring_kept, k);
	}
	buf_clear(&header);
}

static void
on_keyring(const struct reply *r, void *arg)
{
	struct keyd *k = arg;
	const Stored__Keyring *kr = (const Stored__Keyring *)r->pb;
	const char *why;

	if (!r->ok) {
		log_errx("stored does not give the keyring header: %s (%s)", r->code, r->text);
		core_lock(k, "store");
	} else if (kr->header.len == 0)
		make_keyring(k);
	else if ((why = keyring_open(&k->secrets->source, kr->header.data, kr->header.len,
		      k->secrets->master)) != NULL) {
		log_errx("the master key from the %s does not open this data folder: %s",
		    k->key_source, why);
		core_lock(k, why);
	} else
		send_keys(k);
	sodium_memzero(&k->secrets->source, sizeof(k->secrets->source));
}

void
store_unlock(struct keyd *k)
{
	Stored__KeyringGet get = STORED__KEYRING_GET__INIT;

	channel_request(k->stored, STORED__TYPE__KEYRING_GET, &get.base, STORED__TYPE__KEYRING,
	    &stored__keyring__descriptor, 1024 + 16, DEADLINE_MS, on_keyring, k);
}

/* ---------------------------------------------------------------- records */

struct fetch {
	struct account *account;
	size_t n;
	struct entry *entries[];
};

static void
on_records(const struct reply *r, void *arg)
{
	struct fetch *f = arg;
	struct vault *v = f->account->keyd->vault;
	const Stored__Records *got = (const Stored__Records *)r->pb;
	size_t i;

	if (r->ok && got->n_records != f->n) {
		log_errx("stored gave %zu records instead of %zu", got->n_records, f->n);
		got = NULL;
	}
	if (!r->ok)
		log_errx("account %s: stored cannot read records: %s (%s)", f->account->name,
		    r->code, r->text);
	for (i = 0; i < f->n; i++) {
		if (!r->ok || got == NULL)
			vault_fail(f->entries[i]);
		else
			vault_fill(v, f->entries[i], got->records[i]->version,
			    got->records[i]->sealed.data, got->records[i]->sealed.len);
		vault_unpin(v, f->entries[i]);
	}
	queue_run(f->account);
	free(f);
}

static void
fetch_batch(struct account *a, struct entry **entries, size_t n)
{
	Stored__RecordsGet get = STORED__RECORDS_GET__INIT;
	Stored__RecordName names[FETCH_MAX], *list[FETCH_MAX];
	struct fetch *f;
	size_t i;

	if ((f = malloc(sizeof(*f) + n * sizeof(struct entry *))) == NULL)
		fatalx("out of memory");
	f->account = a;
	f->n = n;
	for (i = 0; i < n; i++) {
		f->entries[i] = vault_pin(a->keyd->vault, vault_entry_account(entries[i]),
		    vault_entry_domain(entries[i]), vault_entry_name(entries[i]));
		stored__record_name__init(&names[i]);
		names[i].domain = (Stored__Domain)vault_entry_domain(entries[i]);
		names[i].name = (char *)(uintptr_t)vault_entry_name(entries[i]);
		list[i] = &names[i];
	}
	get.account = a->name;
	get.names = list;
	get.n_names = n;
	counter_add(COUNT_RECORDS_ASKED, n);
	channel_request(a->keyd->stored, STORED__TYPE__RECORDS_GET, &get.base,
	    STORED__TYPE__RECORDS, &stored__records__descriptor, FRAME_PAYLOAD_MAX, DEADLINE_MS,
	    on_records, f);
}

void
store_fetch(struct account *a, struct entry **entries, size_t n)
{
	size_t i, from, big;

	/* cut where the number of records that may be big would overflow the answer */
	for (i = from = big = 0; i < n; i++) {
		int d = vault_entry_domain(entries[i]);

		big += d == STORED__DOMAIN__SESSION || d == STORED__DOMAIN__SENDER_KEY;
		if (i - from == FETCH_MAX || big > FETCH_BIG_MAX) {
			fetch_batch(a, entries + from, i - from);
			from = i;
			big = d == STORED__DOMAIN__SESSION || d == STORED__DOMAIN__SENDER_KEY;
		}
	}
	if (n > from)
		fetch_batch(a, entries + from, n - from);
}

/* ---------------------------------------------------------------- staging */

static struct {
	struct account *account;
	Stored__Stage stage;
	Stored__RecordPut puts[STAGE_MAX], *put_list[STAGE_MAX];
	Stored__RecordDelete deletes[STAGE_MAX], *delete_list[STAGE_MAX];
	Stored__RecordName put_names[STAGE_MAX], delete_names[STAGE_MAX];
	size_t bytes;
	uint32_t sent;
} writes;

void
store_writes_begin(struct account *a, uint64_t unit)
{
	writes.account = a;
	stored__stage__init(&writes.stage);
	writes.stage.account = a->name;
	writes.stage.unit = unit;
	writes.stage.puts = writes.put_list;
	writes.stage.deletes = writes.delete_list;
	writes.bytes = 0;
	writes.sent = 0;
}

static void
flush(void)
{
	if (writes.stage.n_puts + writes.stage.n_deletes == 0)
		return;
	(void)channel_notify(writes.account->keyd->stored, STORED__TYPE__STAGE, &writes.stage.base);
	writes.stage.n_puts = writes.stage.n_deletes = 0;
	writes.bytes = 0;
	writes.sent++;
}

static void
make_room(size_t len)
{
	if (writes.stage.n_puts + writes.stage.n_deletes == STAGE_MAX ||
	    (writes.bytes > 0 && writes.bytes + len > STAGE_BYTES))
		flush();
	writes.bytes += len + VAULT_NAME_MAX + 32;
}

static void
set_name(Stored__RecordName *n, const struct entry *e)
{
	stored__record_name__init(n);
	n->domain = (Stored__Domain)vault_entry_domain(e);
	n->name = (char *)(uintptr_t)vault_entry_name(e);
}

void
store_writes_put(const struct entry *e, int uploaded)
{
	Stored__RecordPut *p;
	size_t len, i;
	const uint8_t *sealed = vault_entry_sealed(e, &len);

	make_room(len);
	i = writes.stage.n_puts++;
	p = writes.put_list[i] = &writes.puts[i];
	stored__record_put__init(p);
	set_name(&writes.put_names[i], e);
	p->name = &writes.put_names[i];
	p->version = vault_entry_version(e);
	p->sealed.data = (uint8_t *)(uintptr_t)sealed; /* the entry keeps it */
	p->sealed.len = len;
	p->has_uploaded = vault_entry_domain(e) == STORED__DOMAIN__PREKEY;
	p->uploaded = uploaded;
}

void
store_writes_delete(const struct entry *e, uint64_t version)
{
	Stored__RecordDelete *d;
	size_t i;

	make_room(0);
	i = writes.stage.n_deletes++;
	d = writes.delete_list[i] = &writes.deletes[i];
	stored__record_delete__init(d);
	set_name(&writes.delete_names[i], e);
	d->name = &writes.delete_names[i];
	d->version = version;
}

uint32_t
store_writes_send(void)
{
	flush();
	return writes.sent;
}

/* ---------------------------------------------------------------- what stored says unasked */

static int
on_unit_done(struct message *m, void *owner)
{
	struct keyd *k = ((struct child *)owner)->owner;
	const Stored__UnitDone *d = (const Stored__UnitDone *)m->pb;
	struct account *a = core_account(k, d->account);
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (a == NULL || vault_unit_done(k->vault, a->number, d->unit, d->committed) == -1) {
		if (log_allowed(&limit))
			log_warnx("stored ended a unit that keyd has not joined");
		return 0;
	}
	queue_run(a); /* what was blocked may be asked for again */
	return 0;
}

const struct channel_row store_rows[] = {
    /* account, unit and outcome: 3 + 2 + 2 bytes at least, 34 + 11 + 2 at most */
    {STORED__TYPE__UNIT_DONE, "UNIT_DONE", 7, 47, CHANNEL_ALL_STATES, 0,
	&stored__unit_done__descriptor, on_unit_done},
};
const size_t store_nrows = sizeof(store_rows) / sizeof(store_rows[0]);
