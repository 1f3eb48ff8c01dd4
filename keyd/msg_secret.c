/* Secrets of messages: kept sealed, and what others encrypted under one is opened (protocol page
 * 04, 17). */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "keyd/crypto.h"
#include "keyd/verbs.h"

#define SECRETS_MAX 16
#define NAMES_MAX   8
#define JIDS_MAX    4
#define NAME_BYTES  512
#define ID_BYTES    128
#define JID_BYTES   112
#define OPEN_MAX    (256u * 1024)
#define SECRET_LEN  32
#define RECORD_LEN  (SECRET_LEN + 8) /* and the time of its message, big-endian */

static int
text_ok(const char *s, size_t max)
{
	size_t n = strlen(s);

	return n >= 1 && n <= max;
}

/* stored need not know who wrote to whom. */
static const char *
record_name(struct work *w, const char *name)
{
	uint8_t hash[20];
	char hex[41];

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)name, strlen(name), NULL, 0);
	return work_name(w, "%s", sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash)));
}

/* ---------------------------------------------------------------- SECRETS_KEEP */

const char *
msg_secret_check(Keyd__Secret *const *list, size_t n)
{
	size_t i;

	if (n > SECRETS_MAX)
		return "more than 16 secrets";
	for (i = 0; i < n; i++)
		if (!text_ok(list[i]->name, NAME_BYTES) || list[i]->secret.len != SECRET_LEN ||
		    list[i]->expires_s < 0 || list[i]->message_s < 0)
			return "a secret is malformed";
	return NULL;
}

void
msg_secret_load(struct request *r, Keyd__Secret *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__MSG_SECRET, record_name(&r->work, list[i]->name));
}

void
msg_secret_put(struct request *r, Keyd__Secret *const *list, size_t n)
{
	uint8_t record[RECORD_LEN];
	size_t i, k;

	for (i = 0; i < n; i++) {
		memcpy(record, list[i]->secret.data, SECRET_LEN);
		for (k = 0; k < 8; k++)
			record[SECRET_LEN + k] =
			    (uint8_t)((uint64_t)list[i]->message_s >> (8 * (7 - k)));
		work_put_secret(&r->work, record_name(&r->work, list[i]->name), record,
		    sizeof(record), list[i]->expires_s);
	}
	sodium_memzero(record, sizeof(record));
}

static const char *
check_keep(const ProtobufCMessage *pb)
{
	const Keyd__SecretsKeep *q = (const Keyd__SecretsKeep *)pb;

	return q->n_secrets == 0 ? "no secret" : msg_secret_check(q->secrets, q->n_secrets);
}

static void
load_keep(struct request *r)
{
	const Keyd__SecretsKeep *q = (const Keyd__SecretsKeep *)r->pb;

	msg_secret_load(r, q->secrets, q->n_secrets);
}

static void
run_keep(struct request *r)
{
	const Keyd__SecretsKeep *q = (const Keyd__SecretsKeep *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;

	msg_secret_put(r, q->secrets, q->n_secrets);
	if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_secrets_keep = {
    KEYD__TYPE__SECRETS_KEEP, VERB_DEVICE, check_keep, load_keep, run_keep};

/* ---------------------------------------------------------------- ADDON_OPEN */

/* 17.1: the word in the key, and whether id and sender are authenticated with the text. */
static const struct {
	const char *word;
	int aad;
} uses[] = {
    [KEYD__ADDON_OPEN__USE__POLL_VOTE] = {"Poll Vote", 1},
    [KEYD__ADDON_OPEN__USE__EVENT_RESPONSE] = {"Event Response", 1},
    [KEYD__ADDON_OPEN__USE__REACTION] = {"Enc Reaction", 0},
    [KEYD__ADDON_OPEN__USE__EVENT_EDIT] = {"Event Edit", 0},
    [KEYD__ADDON_OPEN__USE__MESSAGE_EDIT] = {"Message Edit", 0},
    [KEYD__ADDON_OPEN__USE__POLL_EDIT] = {"Poll Edit", 0},
    [KEYD__ADDON_OPEN__USE__POLL_ADD_OPTION] = {"Poll Add Option", 0},
};

static int
jids_ok(char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!text_ok(list[i], JID_BYTES))
			return 0;
	return n >= 1 && n <= JIDS_MAX;
}

static const char *
check_open(const ProtobufCMessage *pb)
{
	const Keyd__AddonOpen *q = (const Keyd__AddonOpen *)pb;
	size_t i;

	if ((size_t)q->use >= sizeof(uses) / sizeof(uses[0]) || uses[q->use].word == NULL)
		return "an unknown use";
	if (q->n_names < 1 || q->n_names > NAMES_MAX || !text_ok(q->id, ID_BYTES) ||
	    !jids_ok(q->authors, q->n_authors) || !jids_ok(q->senders, q->n_senders))
		return "a name is malformed, or there are none or too many";
	for (i = 0; i < q->n_names; i++)
		if (!text_ok(q->names[i], NAME_BYTES))
			return "a name is malformed";
	if (q->iv.len != 12 || q->payload.len < CRYPTO_TAG || q->payload.len > OPEN_MAX)
		return "iv or payload has a wrong length";
	return NULL;
}

static void
load_open(struct request *r)
{
	const Keyd__AddonOpen *q = (const Keyd__AddonOpen *)r->pb;
	size_t i;

	for (i = 0; i < q->n_names; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__MSG_SECRET, record_name(&r->work, q->names[i]));
}

/* With one author and one sender. 0, or -1: another key. */
static int
open_as(const Keyd__AddonOpen *q, const uint8_t *secret, const char *author, const char *sender,
    uint8_t *out)
{
	char info[ID_BYTES + 2 * JID_BYTES + 32], aad[ID_BYTES + JID_BYTES + 2];
	uint8_t key[32];
	int len = 0, ok;

	(void)snprintf(info, sizeof(info), "%s%s%s%s", q->id, author, sender, uses[q->use].word);
	if (uses[q->use].aad)
		len = snprintf(aad, sizeof(aad), "%s%c%s", q->id, 0, sender);
	crypto_hkdf(NULL, 0, secret, SECRET_LEN, info, key, sizeof(key));
	ok = crypto_gcm_open(
	    key, q->iv.data, aad, (size_t)len, q->payload.data, q->payload.len, out);
	sodium_memzero(key, sizeof(key));
	return ok;
}

static int
open_with(const Keyd__AddonOpen *q, const uint8_t *secret, uint8_t *out)
{
	size_t i, k;

	for (i = 0; i < q->n_authors; i++)
		for (k = 0; k < q->n_senders; k++)
			if (open_as(q, secret, q->authors[i], q->senders[k], out) == 0)
				return 0;
	return -1;
}

static void
run_open(struct request *r)
{
	const Keyd__AddonOpen *q = (const Keyd__AddonOpen *)r->pb;
	Keyd__AddonOpened a = KEYD__ADDON_OPENED__INIT;
	struct buf record = BUF_INIT, plain = BUF_INIT;
	uint8_t *out = buf_reserve(&plain, q->payload.len);
	size_t i, k;

	if (out == NULL)
		fatalx("out of memory");
	a.outcome = KEYD__ADDON_OPENED__OUTCOME__NO_SECRET;
	for (i = 0; i < q->n_names && a.outcome != KEYD__ADDON_OPENED__OUTCOME__DONE; i++) {
		buf_reset(&record);
		if (work_get(&r->work, STORED__DOMAIN__MSG_SECRET,
			record_name(&r->work, q->names[i]), &record) != 1 ||
		    record.len != RECORD_LEN)
			continue; /* absent, or damaged: that was counted */
		a.outcome = open_with(q, record.data, out) == 0
				? KEYD__ADDON_OPENED__OUTCOME__DONE
				: KEYD__ADDON_OPENED__OUTCOME__BAD_TAG;
		for (a.message_s = 0, k = SECRET_LEN; k < RECORD_LEN; k++)
			a.message_s = (int64_t)((uint64_t)a.message_s << 8 | record.data[k]);
	}
	a.has_plaintext = a.has_message_s = a.outcome == KEYD__ADDON_OPENED__OUTCOME__DONE;
	a.plaintext = pb_bytes(out, q->payload.len - CRYPTO_TAG);
	request_reply(r, KEYD__TYPE__ADDON_OPENED, &a.base);
	buf_clear(&record);
	buf_clear(&plain);
}

const struct verb verb_addon_open = {
    KEYD__TYPE__ADDON_OPEN, VERB_DEVICE, check_open, load_open, run_open};
