/* Changing keys: from the master key to the next one, which keyd was given at its start as well.
 *
 * 1. Both headers are durable, in both files of stored's, before anything is sealed with a key of
 *    the next one. From then on a start needs both secrets.
 * 2. Everything is sealed with the new keys and opened with new or old. stored gives every database
 *    its next key. apid has the records resealed, some at a time, in units like any other.
 * 3. When each record of each account was seen committed under the new key, and every database has
 *    its own, the next header alone is made durable, and the old keys are wiped. */
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "keyd/dispatch.h"
#include "keyd/rekey.h"
#include "keyd/store.h"
#include "keyd/verbs.h"
#include "sandbox/child.h"

#define DEADLINE_MS 30000
#define BYTES_MAX   (4u * 1024 * 1024) /* of records that one RESEAL takes over, about */

static const char *const words[] = {"none", "ready", "running", "running", "running", "done"};

/* ---------------------------------------------------------------- at the start */

int
rekey_prepare(struct keyd *k)
{
	struct secrets *s = k->secrets;
	struct buf header = BUF_INIT;
	int ret = 0;

	if (s->next_source.len == 0)
		return 0;
	if (s->next_source.kind == s->source.kind && s->next_source.len == s->source.len &&
	    sodium_memcmp(s->next_source.secret, s->source.secret, s->source.len) == 0) {
		log_warnx("next_master_key is the same as master_key: remove it");
		return 0;
	}
	if ((ret = keyring_new(&s->next_source, s->next_master, &header)) == 0) {
		memcpy(k->headers + KEYRING_HEADER_LEN, header.data, KEYRING_HEADER_LEN);
		k->rekey = REKEY_READY;
	}
	buf_clear(&header);
	return ret;
}

/* Two headers: both secrets must fit. */
static const char *
open_pair(struct keyd *k, const uint8_t *headers)
{
	const uint8_t *next = headers + KEYRING_HEADER_LEN;
	struct secrets *s = k->secrets;
	const char *why = keyring_open(&s->source, headers, KEYRING_HEADER_LEN, s->master);

	if (why != NULL && keyring_open(&s->source, next, KEYRING_HEADER_LEN, s->master) == NULL)
		return "rekey_unfinished";
	if (why != NULL)
		return why;
	if (s->next_source.len == 0)
		return "next_master_key_missing";
	why = keyring_open(&s->next_source, next, KEYRING_HEADER_LEN, s->next_master);
	if (why != NULL)
		return strcmp(why, "wrong_master_key") == 0 ? "wrong_next_master_key" : why;
	k->rekey = REKEY_RUNNING;
	return NULL;
}

const char *
rekey_open(struct keyd *k, const uint8_t *headers, size_t len)
{
	struct secrets *s = k->secrets;
	const char *why;

	if (len != KEYRING_HEADER_LEN && len != sizeof(k->headers))
		return "keyring";
	memcpy(k->headers, headers, len);
	if (len == sizeof(k->headers))
		return open_pair(k, headers);
	if ((why = keyring_open(&s->source, headers, len, s->master)) == NULL)
		return rekey_prepare(k) == -1 ? "memory" : NULL;
	if (s->next_source.len == 0 ||
	    keyring_open(&s->next_source, headers, len, s->master) != NULL)
		return why;
	k->rekey = REKEY_DONE;
	return NULL;
}

void
rekey_unlocked(struct keyd *k)
{
	if (k->rekey == REKEY_RUNNING) {
		core_next_keys(k);
		log_notice("keys are being changed: going on");
	} else if (k->rekey != REKEY_READY) {
		core_forget_old_keys(k);
	}
	if (k->rekey == REKEY_DONE)
		log_warnx("the keys were changed: put what next_master_key says in the place of "
			  "master_key, remove next_master_key, and keep the old key no longer than "
			  "backups from before");
}

/* ---------------------------------------------------------------- the keyring */

/* Into both of stored's files: neither may be the only one that has what is needed. */
struct keep {
	int left;
	size_t at, len; /* of k->headers */
	channel_reply_fn *then;
};
static struct keep keep;

static void
on_kept(const struct reply *r, void *arg)
{
	struct keyd *k = arg;
	Stored__Keyring put = STORED__KEYRING__INIT;

	if ((r != NULL && !r->ok) || keep.left-- == 0) {
		keep.then(r, k);
		return;
	}
	put.header = pb_bytes(k->headers + keep.at, keep.len);
	channel_request(k->stored, STORED__TYPE__KEYRING_PUT, &put.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, 16, DEADLINE_MS, on_kept, k);
}

static void
keep_headers(struct keyd *k, size_t at, size_t len, channel_reply_fn *then)
{
	keep = (struct keep){2, at, len, then};
	on_kept(NULL, k);
}

void
rekey_keep(struct keyd *k, channel_reply_fn *then)
{
	keep_headers(
	    k, 0, k->rekey == REKEY_RUNNING ? sizeof(k->headers) : KEYRING_HEADER_LEN, then);
}

/* ---------------------------------------------------------------- how far it is */

static struct message *begun_by; /* the REKEY_BEGIN that is being carried out */

void
rekey_state(struct keyd *k, struct rekey_reply *out)
{
	unsigned i;

	keyd__rekey_state__init(&out->state);
	out->state.state = pb_str(words[k->rekey]);
	out->state.accounts = out->list;
	if (strcmp(words[k->rekey], "running") != 0)
		return;
	out->state.has_service_rekeyed = 1;
	out->state.service_rekeyed = k->service_rekeyed;
	for (i = 0; i < k->naccounts; i++) {
		keyd__rekey_account__init(&out->accounts[i]);
		out->accounts[i].account = k->accounts[i].name;
		out->accounts[i].resealed = k->accounts[i].reseal.resealed;
		out->accounts[i].sealed = k->accounts[i].reseal.sealed;
		out->accounts[i].rekeyed = k->accounts[i].reseal.rekeyed;
		out->list[out->state.n_accounts++] = &out->accounts[i];
	}
}

static void
reply_state(struct keyd *k, struct message *m)
{
	struct rekey_reply r;

	rekey_state(k, &r);
	(void)channel_reply(m->channel, m->id, KEYD__TYPE__REKEY_STATE, &r.state.base);
}

static void
answer(struct keyd *k, const struct reply *r)
{
	struct message *m = begun_by;

	begun_by = NULL;
	if (r->ok)
		reply_state(k, m);
	else
		(void)channel_reply_error(m->channel, m->id, "store", "%s: %s", r->code, r->text);
	message_release(m);
}

/* ---------------------------------------------------------------- the end */

static void
on_ended(const struct reply *r, void *arg)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct keyd *k = arg;

	if (r->ok) {
		k->rekey = REKEY_DONE;
		core_forget_old_keys(k);
		log_notice("the keys are changed: put what next_master_key says in the place of "
			   "master_key and remove next_master_key");
	} else { /* at the next RESEAL or REKEY_BEGIN again */
		k->rekey = REKEY_RUNNING;
		if (log_allowed(&limit))
			log_errx(
			    "the new keyring header cannot be kept: %s (%s)", r->code, r->text);
	}
	if (begun_by != NULL)
		answer(k, r);
}

static void
end_if_all_done(struct keyd *k)
{
	unsigned i;

	if (k->rekey != REKEY_RUNNING || k->state != KEYD_UNLOCKED || !k->service_rekeyed ||
	    begun_by != NULL)
		return;
	for (i = 0; i < k->naccounts; i++)
		if (!k->accounts[i].reseal.sealed || !k->accounts[i].reseal.rekeyed)
			return;
	k->rekey = REKEY_ENDING;
	keep_headers(k, KEYRING_HEADER_LEN, KEYRING_HEADER_LEN, on_ended);
}

void
rekey_database(struct keyd *k, const char *account)
{
	struct account *a = core_account(k, account);

	if (account[0] == '\0')
		k->service_rekeyed = 1;
	else if (a != NULL)
		a->reseal.rekeyed = 1;
	end_if_all_done(k);
}

/* ---------------------------------------------------------------- REKEY_BEGIN */

static void
on_stored_begun(const struct reply *r, void *arg)
{
	answer(arg, r);
	end_if_all_done(arg);
}

static void on_checked(const struct reply *r, void *arg);

/* check: stored only says whether it could. */
static void
ask_stored(struct keyd *k, int check)
{
	Stored__Rekey rk = STORED__REKEY__INIT;
	struct store_keys keys;

	store_keys(k, 1, &keys);
	rk.service_next_key = pb_bytes(keys.service[1], 32);
	rk.accounts = keys.list;
	rk.n_accounts = k->naccounts;
	rk.has_check = rk.check = check;
	channel_request(k->stored, STORED__TYPE__REKEY, &rk.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, 16, DEADLINE_MS, check ? on_checked : on_stored_begun, k);
	sodium_memzero(&keys, sizeof(keys));
}

static void
on_begun(const struct reply *r, void *arg)
{
	struct keyd *k = arg;

	if (!r->ok) {
		/* it may be there all the same: the next start takes it as it finds it */
		k->rekey = REKEY_READY;
		answer(k, r);
		return;
	}
	k->rekey = REKEY_RUNNING;
	k->rekey_order = vault_order(k->vault);
	core_next_keys(k);
	log_notice("keys are being changed");
	ask_stored(k, 0);
}

static void
on_checked(const struct reply *r, void *arg)
{
	struct keyd *k = arg;

	if (r->ok) {
		keep_headers(k, 0, sizeof(k->headers), on_begun);
	} else {
		k->rekey = REKEY_READY;
		answer(k, r);
	}
}

int
rekey_begin(struct message *m, void *owner)
{
	struct keyd *k = ((struct child *)owner)->owner;

	if (k->state != KEYD_UNLOCKED) {
		queue_refuse(m, "locked", k->state == KEYD_LOCKED ? k->locked_reason : "starting");
	} else if (k->rekey == REKEY_NONE) {
		queue_refuse(m, "state", "service.next_master_key names no other key");
	} else if (begun_by != NULL || (k->rekey != REKEY_READY && k->rekey != REKEY_RUNNING)) {
		reply_state(k, m);
	} else {
		end_if_all_done(k);
		begun_by = message_hold(m);
		if (k->rekey == REKEY_READY) {
			k->rekey = REKEY_WRITING;
			ask_stored(k, 1);
		} else if (k->rekey == REKEY_RUNNING) {
			ask_stored(k, 0); /* it may have failed, or not have come to stored */
		}                         /* else the end answers it */
	}
	return 0;
}

/* ---------------------------------------------------------------- RESEAL */

static int
domain_of(const struct reseal *b)
{
	return (int)stored__domain__descriptor.values[b->domain].value;
}

void
rekey_load_reseal(struct request *r, const void *asked)
{
	const struct reseal *b = &r->account->reseal;
	size_t i;

	for (i = 0; i < b->n; i++)
		(void)work_need(&r->work, domain_of(b), b->names[i]);
}

/* One record of the batch. 1: it is committed under the new key, or gone, or no key opens it. */
static int
reseal(struct request *r, const char *name, Keyd__ResealReply *a, size_t *bytes)
{
	const int domain = domain_of(&r->account->reseal);
	struct vault *v = r->keyd->vault;
	struct entry *e = vault_pin(v, r->account->number, domain, name);
	int old = vault_is_old(v, e), settled = !old && e->pending == 0;
	struct buf plain = BUF_INIT;

	if (old && *bytes < BYTES_MAX && vault_open(v, e, &plain) == 1) {
		work_put_again(&r->work, domain, name, plain.data, plain.len);
		*bytes += plain.len;
		a->resealed++;
	}
	buf_clear(&plain);
	vault_unpin(v, e);
	return settled;
}

int
rekey_run_reseal(struct request *r, const void *asked, void *answer)
{
	struct reseal *b = &r->account->reseal;
	Keyd__ResealReply *a = answer;
	size_t i, left = 0, bytes = 0;

	for (i = 0; i < b->n; i++)
		if (!reseal(r, b->names[i], a, &bytes))
			memmove(b->names[left++], b->names[i], sizeof(b->names[i]));
	b->n = left;
	b->resealed += a->resealed;
	a->waits = left > 0 && a->resealed == 0;
	return 0;
}

static void
reply_reseal(struct message *m, int done, int waits)
{
	Keyd__ResealReply a = KEYD__RESEAL_REPLY__INIT;

	a.done = done;
	a.waits = waits;
	(void)channel_reply(m->channel, m->id, KEYD__TYPE__RESEAL_REPLY, &a.base);
}

static void list(struct account *a, struct message *m);

/* A RESEAL that waits for names, of each account. */
static struct message *waiting[ACCOUNTS_MAX];

static void
take_names(struct reseal *b, const Stored__RecordNames *names)
{
	const char *name;
	size_t i;

	b->n = 0;
	for (i = 0; i < names->n_records && b->n < RESEAL_MAX; i++) {
		name = names->records[i]->name;
		if (strcmp(name, b->cursor) != 0 && strlen(name) <= VAULT_NAME_MAX)
			memcpy(b->names[b->n++], name, strlen(name) + 1);
	}
	if (b->n > 0) {
		memcpy(b->cursor, b->names[b->n - 1], sizeof(b->cursor));
	} else {
		b->cursor[0] = '\0';
		b->domain++;
	}
}

static void
on_names(const struct reply *r, void *arg)
{
	struct account *a = arg;
	struct message *m = waiting[a->number];
	struct reseal *b = &a->reseal;

	waiting[a->number] = NULL;
	if (!r->ok)
		(void)channel_reply_error(
		    m->channel, m->id, "store", "records cannot be listed: %s", r->code);
	else
		take_names(b, (const Stored__RecordNames *)r->pb);
	if (r->ok && b->n > 0)
		dispatch_add(a->keyd, m);
	else if (r->ok)
		list(a, m);
	message_release(m);
}

/* Names of the next records, or the end of the last domain. */
static void
list(struct account *a, struct message *m)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	struct reseal *b = &a->reseal;

	if (b->domain == stored__domain__descriptor.n_values) {
		b->sealed = 1;
		log_notice("account %s: all records are under the new key", a->name);
		reply_reseal(m, 1, 0);
		end_if_all_done(a->keyd);
		return;
	}
	waiting[a->number] = message_hold(m);
	q.account = a->name;
	q.domain = (Stored__Domain)domain_of(b);
	q.from = b->cursor[0] != '\0' ? b->cursor : NULL;
	q.limit = RESEAL_MAX + 1; /* the first may be the last of before */
	channel_request(a->keyd->stored, STORED__TYPE__RECORDS_LIST, &q.base,
	    STORED__TYPE__RECORD_NAMES, &stored__record_names__descriptor, 64 * 1024, DEADLINE_MS,
	    on_names, a);
}

int
rekey_reseal(struct message *m, void *owner)
{
	struct keyd *k = ((struct child *)owner)->owner;
	struct account *a = core_account(k, ((const Keyd__Reseal *)m->pb)->account);
	const char *code = NULL;

	if (a != NULL && k->state == KEYD_UNLOCKED)
		code = k->rekey != REKEY_RUNNING && k->rekey != REKEY_ENDING ? "state"
		       : waiting[a->number] != NULL                          ? "busy"
									     : NULL;
	if (code != NULL) {
		queue_refuse(
		    m, code, code[0] == 's' ? "keys are not being changed" : "it is at it already");
	} else if (a == NULL || k->state != KEYD_UNLOCKED) {
		dispatch_add(k, m); /* which refuses it, or has it wait */
	} else if (a->reseal.sealed) {
		reply_reseal(m, 1, 0);
		end_if_all_done(k);
	} else if (vault_unfinished(k->vault, a->number, k->rekey_order)) {
		reply_reseal(m, 0, 1); /* what they sealed with the old key may still come */
	} else if (a->reseal.n > 0) {
		dispatch_add(k, m);
	} else {
		list(a, m);
	}
	return 0;
}
