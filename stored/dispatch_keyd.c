/* What keyd may ask of stored. */
#include <string.h>

#include "common/log.h"
#include "stored/check.h"
#include "stored/dispatch.h"
#include "stored/keyring.h"
#include "stored/region.h"
#include "stored/rekey.h"
#include "stored/unit.h"

#define RECORDS_MAX   1024
#define RECORDS_BYTES ((size_t)16 * 1024 * 1024) /* of one answer */
#define LIST_BYTES    ((size_t)4 * 1024 * 1024)  /* the same, of names and 2 MiB of records */

static int
keyring_get(struct message *m, void *owner)
{
	Stored__Keyring out = STORED__KEYRING__INIT;
	uint8_t header[KEYRING_MAX];
	enum keyring_status st;
	size_t len;

	(void)owner;
	if ((st = keyring_read(header, &len)) != KEYRING_OK) {
		log_errx(
		    "keyring: %s: restore keyring.0 and keyring.1 from a backup", keyring_word(st));
		return channel_reply_error(
		    m->channel, m->id, keyring_word(st), "the keyring cannot be read");
	}
	out.header.data = header;
	out.header.len = len;
	return channel_reply(m->channel, m->id, STORED__TYPE__KEYRING, &out.base);
}

static int
keyring_put(struct message *m, void *owner)
{
	const Stored__Keyring *rq = (const Stored__Keyring *)m->pb;
	Stored__Done out = STORED__DONE__INIT;
	enum keyring_status st;

	(void)owner;
	if (rq->header.len == 0 || rq->header.len > KEYRING_MAX)
		return channel_reply_error(
		    m->channel, m->id, "bad_request", "a keyring has 1 to %d bytes", KEYRING_MAX);
	if ((st = keyring_write(rq->header.data, rq->header.len)) != KEYRING_OK) {
		log_errx("keyring: cannot be written: %s", keyring_word(st));
		return channel_reply_error(
		    m->channel, m->id, keyring_word(st), "the keyring cannot be written");
	}
	return channel_reply(m->channel, m->id, STORED__TYPE__DONE, &out.base);
}

/* The keys have their length, and no account is named twice. */
static int
keys_ok(const Stored__Unlock *rq)
{
	size_t i, k;

	if (rq->service_key.len != STORE_KEY_LEN || rq->n_accounts > ACCOUNTS_MAX ||
	    (rq->has_service_next_key && rq->service_next_key.len != STORE_KEY_LEN))
		return 0;
	for (i = 0; i < rq->n_accounts; i++) {
		const Stored__AccountKey *a = rq->accounts[i];

		if (a->key.len != STORE_KEY_LEN || a->has_next_key != rq->has_service_next_key ||
		    (a->has_next_key && a->next_key.len != STORE_KEY_LEN))
			return 0;
		for (k = 0; k < i; k++) {
			if (strcmp(rq->accounts[i]->account, rq->accounts[k]->account) == 0)
				return 0;
		}
	}
	return 1;
}

static int
unlock(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__Unlock *rq = (const Stored__Unlock *)m->pb;
	Stored__UnlockReply out = STORED__UNLOCK_REPLY__INIT;
	Stored__AccountOpened service, accounts[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
	size_t i;

	if (!keys_ok(rq)) {
		log_errx("unlock: a key of a wrong length, or an account twice");
		return -1;
	}
	store_unlock(s, rq);
	for (i = 0; i < s->naccounts; i++) {
		store_opened_pb(&accounts[i], s->accounts[i].name, &s->accounts[i].opened);
		list[i] = &accounts[i];
	}
	store_opened_pb(&service, "", &s->service_opened);
	out.n_accounts = s->naccounts;
	out.accounts = list;
	out.service = &service;
	return channel_reply(m->channel, m->id, STORED__TYPE__UNLOCK_REPLY, &out.base);
}

static enum store_status
read_records(struct store *s, struct store_account *a, const Stored__RecordsGet *rq,
    struct region *r, Stored__Records *out)
{
	enum store_status st = STORE_OK;
	Stored__Record *rec;
	size_t i;

	out->records = region_alloc(r, (rq->n_names + 1) * sizeof(Stored__Record *));
	for (i = 0; out->records != NULL && st == STORE_OK && i < rq->n_names; i++) {
		if ((rec = region_alloc(r, sizeof(*rec))) == NULL)
			break;
		stored__record__init(rec);
		out->records[out->n_records++] = rec;
		st = s->backend->record_get(a->db, rq->names[i], r, rec);
	}
	return region_failed(r) ? STORE_NO_MEMORY : st;
}

static int
answer_records(struct store *s, struct store_account *a, struct message *m)
{
	const Stored__RecordsGet *rq = (const Stored__RecordsGet *)m->pb;
	struct region *r = region_new(RECORDS_BYTES);
	Stored__Records out = STORED__RECORDS__INIT;
	enum store_status st = STORE_NO_MEMORY;
	int ret;

	if (r != NULL)
		st = read_records(s, a, rq, r, &out);
	if (st == STORE_OK)
		ret = channel_reply(m->channel, m->id, STORED__TYPE__RECORDS, &out.base);
	else if (st == STORE_NO_MEMORY)
		ret = channel_reply_error(m->channel, m->id, "bad_request",
		    "more than %zu MiB of records: ask for fewer", RECORDS_BYTES >> 20);
	else
		ret = channel_reply_error(
		    m->channel, m->id, store_status_word(st), "a record could not be read");
	region_free(r);
	if (st != STORE_OK)
		store_trouble(s, a, st);
	return ret;
}

static int
records_get(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__RecordsGet *rq = (const Stored__RecordsGet *)m->pb;
	struct store_account *a;
	const char *why = rq->n_names > RECORDS_MAX ? "too many names" : NULL;
	size_t i;
	int ret;

	for (i = 0; why == NULL && i < rq->n_names; i++)
		why = check_record_name(rq->names[i]);
	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if (why != NULL)
		return dispatch_refuse(m, why);
	ret = answer_records(s, a, m);
	dispatch_answered(s, s->keyd);
	return ret;
}

int
dispatch_records_list(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__RecordsList *rq = (const Stored__RecordsList *)m->pb;
	Stored__RecordNames out = STORED__RECORD_NAMES__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	const char *why;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if ((why = check_records_list(rq)) != NULL)
		return dispatch_refuse(m, why);
	if ((r = region_new(LIST_BYTES)) != NULL)
		st = s->backend->record_list(a->db, rq, r, &out);
	return dispatch_answer(s, a, m, st, STORED__TYPE__RECORD_NAMES, &out.base, r);
}

static int
rekey(struct message *m, void *owner)
{
	return rekey_request(owner, m);
}

static int
stage(struct message *m, void *owner)
{
	return unit_stage(owner, m);
}

#define KIB 1024u
static const struct channel_row rows[] = {
    {STORED__TYPE__KEYRING_GET, "KEYRING_GET", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__keyring_get__descriptor, keyring_get},
    {STORED__TYPE__KEYRING_PUT, "KEYRING_PUT", 3, KEYRING_MAX + 3, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__keyring__descriptor, keyring_put},
    {STORED__TYPE__UNLOCK, "UNLOCK", 34, 8 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST | ROW_ONCE,
	&stored__unlock__descriptor, unlock},
    {STORED__TYPE__RECORDS_GET, "RECORDS_GET", 3, 256 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__records_get__descriptor, records_get},
    {STORED__TYPE__RECORDS_LIST, "RECORDS_LIST", 3, KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__records_list__descriptor, dispatch_records_list},
    {STORED__TYPE__REKEY, "REKEY", 34, 8 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__rekey__descriptor, rekey},
    {STORED__TYPE__STAGE, "STAGE", 5, 3072 * KIB, CHANNEL_ALL_STATES, 0, &stored__stage__descriptor,
	stage},
};

int
dispatch_keyd_attach(struct store *s, int fd)
{
	s->keyd = dispatch_channel(s, fd, "stored: keyd", rows, sizeof(rows) / sizeof(rows[0]));
	return s->keyd == NULL ? -1 : 0;
}
