/* keyd's half of the channel to stored: unlocking, asking for records, staging writes. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"
#include "ipc/stored.pb-c.h"
#include "keyd/counter.h"
#include "keyd/queue.h"
#include "keyd/rekey.h"
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

/* stored gave no answer that helps: nothing can be opened. */
static int
refused(struct keyd *k, const struct reply *r, const char *what)
{
	if (r->ok)
		return 0;
	log_errx("stored does not %s: %s (%s)", what, r->code, r->text);
	core_lock(k, "store");
	return 1;
}

static void
on_unlocked(const struct reply *r, void *arg)
{
	struct keyd *k = arg;
	const Stored__UnlockReply *u = (const Stored__UnlockReply *)r->pb;
	size_t i;

	if (refused(k, r, "take the database keys"))
		return;
	if (u->service->rekeyed)
		rekey_database(k, "");
	for (i = 0; i < u->n_accounts; i++)
		if (u->accounts[i]->rekeyed)
			rekey_database(k, u->accounts[i]->account);
		else if (!u->accounts[i]->ok)
			log_warnx("stored could not open the database of account %s: %s",
			    u->accounts[i]->account,
			    u->accounts[i]->reason != NULL ? u->accounts[i]->reason
							   : "no reason given");
	k->state = KEYD_UNLOCKED;
	for (i = 0; i < k->naccounts; i++)
		queue_run(&k->accounts[i]);
}

void
store_keys(struct keyd *k, int next, struct store_keys *out)
{
	const struct secrets *s = k->secrets;
	unsigned i;

	keyring_derive(s->master, "database", "", out->service[0]);
	keyring_derive(s->next_master, "database", "", out->service[1]);
	for (i = 0; i < k->naccounts; i++) {
		Stored__AccountKey *a = &out->accounts[i];

		keyring_derive(s->master, "database", k->accounts[i].name, out->key[i][0]);
		keyring_derive(s->next_master, "database", k->accounts[i].name, out->key[i][1]);
		stored__account_key__init(a);
		a->account = k->accounts[i].name;
		a->key = pb_bytes(out->key[i][0], 32);
		a->has_next_key = next;
		a->next_key = pb_bytes(out->key[i][1], 32);
		out->list[i] = a;
	}
}

/* The master key is right. */
static void
send_keys(struct keyd *k)
{
	Stored__Unlock u = STORED__UNLOCK__INIT;
	struct store_keys keys;

	store_keys(k, k->rekey == REKEY_RUNNING, &keys);
	u.service_key = pb_bytes(keys.service[0], 32);
	u.has_service_next_key = k->rekey == REKEY_RUNNING;
	u.service_next_key = pb_bytes(keys.service[1], 32);
	u.accounts = keys.list;
	u.n_accounts = k->naccounts;
	core_unlock(k);
	channel_request(k->stored, STORED__TYPE__UNLOCK, &u.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, 256 * 1024, UNLOCK_MS, on_unlocked, k);
	sodium_memzero(&keys, sizeof(keys));
	rekey_unlocked(k);
}

static void
on_keyring_kept(const struct reply *r, void *arg)
{
	struct keyd *k = arg;

	if (!refused(k, r, "keep the keyring header"))
		send_keys(k);
}

/* The first start: a header for this key. Durable before anything is sealed under it. */
static void
make_keyring(struct keyd *k)
{
	struct buf header = BUF_INIT;

	if (keyring_new(&k->secrets->source, k->secrets->master, &header) == -1 ||
	    rekey_prepare(k) == -1) {
		log_errx("no memory to derive the master key from the passphrase");
		core_lock(k, "memory");
	} else {
		log_notice("made a new keyring header");
		memcpy(k->headers, header.data, KEYRING_HEADER_LEN);
		rekey_keep(k, on_keyring_kept);
	}
	buf_clear(&header);
}

static void
on_keyring(const struct reply *r, void *arg)
{
	struct keyd *k = arg;
	const Stored__Keyring *kr = (const Stored__Keyring *)r->pb;
	const char *why;

	if (refused(k, r, "give the keyring header"))
		return; /* all secrets are wiped */
	if (kr->header.len == 0)
		make_keyring(k);
	else if ((why = rekey_open(k, kr->header.data, kr->header.len)) != NULL) {
		log_errx("the master key from the %s does not open this data folder: %s",
		    k->key_source, why);
		core_lock(k, why);
	} else if (k->rekey == REKEY_RUNNING || k->rekey == REKEY_DONE)
		rekey_keep(k, on_keyring_kept);
	else
		send_keys(k);
	sodium_memzero(&k->secrets->source, sizeof(k->secrets->source));
	sodium_memzero(&k->secrets->next_source, sizeof(k->secrets->next_source));
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
	size_t n, big;
	struct entry *entries[FETCH_MAX];
};

static void
on_records(const struct reply *r, void *arg)
{
	struct fetch *f = arg;
	struct vault *v = f->account->keyd->vault;
	const Stored__Records *got = (const Stored__Records *)r->pb;
	int ok = r->ok && got->n_records == f->n;
	size_t i;

	if (!ok)
		log_errx("account %s: stored cannot read records: %s (%s)", f->account->name,
		    r->ok ? "bad answer" : r->code,
		    r->ok ? "not as many as were asked for" : r->text);
	for (i = 0; i < f->n; i++) {
		if (ok)
			vault_fill(v, f->entries[i], got->records[i]->version,
			    got->records[i]->sealed.data, got->records[i]->sealed.len);
		else
			vault_fail(f->entries[i]);
		vault_unpin(v, f->entries[i]);
	}
	queue_run(f->account);
	free(f);
}

static void
set_name(Stored__RecordName *n, const struct entry *e)
{
	stored__record_name__init(n);
	n->domain = (Stored__Domain)e->domain;
	n->name = pb_str(e->name);
}

static void
fetch(struct fetch *f)
{
	Stored__RecordsGet get = STORED__RECORDS_GET__INIT;
	Stored__RecordName names[FETCH_MAX], *list[FETCH_MAX];
	size_t i;

	for (i = 0; i < f->n; i++) {
		set_name(&names[i], f->entries[i]);
		list[i] = &names[i];
	}
	get.account = f->account->name;
	get.names = list;
	get.n_names = f->n;
	counters[COUNT_RECORDS_ASKED] += f->n;
	channel_request(f->account->keyd->stored, STORED__TYPE__RECORDS_GET, &get.base,
	    STORED__TYPE__RECORDS, &stored__records__descriptor, FRAME_PAYLOAD_MAX, DEADLINE_MS,
	    on_records, f);
}

void
store_fetch(struct account *a, struct entry **list, size_t n)
{
	struct fetch *f = NULL;
	struct entry *e;
	size_t i, big;

	for (i = 0; i < n; i++) {
		if ((e = list[i])->state != VAULT_UNKNOWN)
			continue;
		big =
		    e->domain == STORED__DOMAIN__SESSION || e->domain == STORED__DOMAIN__SENDER_KEY;
		if (f != NULL && (f->n == FETCH_MAX || f->big + big > FETCH_BIG_MAX)) {
			fetch(f);
			f = NULL;
		}
		if (f == NULL && (f = calloc(1, sizeof(*f))) == NULL)
			fatalx("out of memory");
		f->account = a;
		f->big += big;
		f->entries[f->n++] = vault_pin(a->keyd->vault, a->number, e->domain, e->name);
		vault_asked(e);
	}
	if (f != NULL)
		fetch(f);
}

/* ---------------------------------------------------------------- staging */

static struct {
	struct account *account;
	Stored__Stage stage;
	Stored__RecordName names[STAGE_MAX];
	Stored__RecordPut puts[STAGE_MAX], *put_list[STAGE_MAX];
	Stored__RecordDelete deletes[STAGE_MAX], *delete_list[STAGE_MAX];
	size_t bytes;
	uint32_t sent;
} out;

void
store_stage_begin(struct account *a, uint64_t unit)
{
	out.account = a;
	stored__stage__init(&out.stage);
	out.stage.account = a->name;
	out.stage.unit = unit;
	out.stage.puts = out.put_list;
	out.stage.deletes = out.delete_list;
	out.bytes = 0;
	out.sent = 0;
}

uint32_t
store_stage_end(void)
{
	if (out.stage.n_puts + out.stage.n_deletes > 0) {
		(void)channel_notify(
		    out.account->keyd->stored, STORED__TYPE__STAGE, &out.stage.base);
		out.stage.n_puts = out.stage.n_deletes = 0;
		out.bytes = 0;
		out.sent++;
	}
	return out.sent;
}

void
store_stage(const struct entry *e, uint64_t removed, int uploaded, int64_t expires_s)
{
	Stored__RecordName *name;
	Stored__RecordDelete *d;
	Stored__RecordPut *p;

	if (out.stage.n_puts + out.stage.n_deletes == STAGE_MAX || out.bytes + e->len > STAGE_BYTES)
		(void)store_stage_end();
	out.bytes += e->len + VAULT_NAME_MAX + 32;
	name = &out.names[out.stage.n_puts + out.stage.n_deletes];
	set_name(name, e);
	if (removed > 0) {
		d = out.deletes + out.stage.n_deletes;
		stored__record_delete__init(d);
		d->name = name;
		d->version = removed;
		out.delete_list[out.stage.n_deletes++] = d;
		return;
	}
	p = out.puts + out.stage.n_puts;
	stored__record_put__init(p);
	p->name = name;
	p->version = e->version;
	p->sealed = (ProtobufCBinaryData){e->len, e->sealed};
	p->has_uploaded = e->domain == STORED__DOMAIN__PREKEY && uploaded != -1;
	p->uploaded = uploaded > 0;
	p->has_expires_s = e->domain == STORED__DOMAIN__MSG_SECRET && expires_s != -1;
	p->expires_s = p->has_expires_s ? expires_s : 0;
	out.put_list[out.stage.n_puts++] = p;
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

static int
on_rekeyed(struct message *m, void *owner)
{
	rekey_database(((struct child *)owner)->owner, ((const Stored__Rekeyed *)m->pb)->account);
	return 0;
}

const struct channel_row store_rows[] = {
    /* account, unit and outcome: 3 + 2 + 2 bytes at least, 34 + 11 + 2 at most */
    {STORED__TYPE__UNIT_DONE, "UNIT_DONE", 7, 47, CHANNEL_ALL_STATES, 0,
	&stored__unit_done__descriptor, on_unit_done},
    {STORED__TYPE__REKEYED, "REKEYED", 2, 34, CHANNEL_ALL_STATES, 0, &stored__rekeyed__descriptor,
	on_rekeyed},
};
const size_t store_nrows = sizeof(store_rows) / sizeof(store_rows[0]);
