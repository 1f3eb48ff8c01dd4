/* Secrets of messages: kept sealed, and what others encrypted under one is opened (protocol page
 * 04, 17). */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "keyd/crypto.h"
#include "keyd/verbs.h"

#define SECRET_LEN 32
#define RECORD_LEN (SECRET_LEN + 8) /* and the time of its message, big-endian */

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

void
msg_secret_need(struct request *r, const Keyd__Secret *s)
{
	work_need_or_new(
	    &r->work, STORED__DOMAIN__MSG_SECRET, record_name(&r->work, s->name), s->fresh);
}

void
msg_secret_put(struct request *r, Keyd__Secret *const *list, size_t n)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		buf_reset(&b);
		buf_put(&b, list[i]->secret.data, SECRET_LEN);
		buf_put_be64(&b, (uint64_t)list[i]->message_s);
		work_put_secret(&r->work, record_name(&r->work, list[i]->name), b.data, b.len,
		    list[i]->expires_s);
	}
	buf_clear(&b);
}

int
msg_secret_keep(struct request *r, const void *asked, void *answer)
{
	const Keyd__SecretsKeep *q = asked;

	msg_secret_put(r, q->secrets, q->n_secrets);
	return 0;
}

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

void
msg_secret_load_open(struct request *r, const void *asked)
{
	const Keyd__AddonOpen *q = asked;

	for (size_t i = 0; i < q->n_names; i++)
		(void)work_need(
		    &r->work, STORED__DOMAIN__MSG_SECRET, record_name(&r->work, q->names[i]));
}

/* With one author and one sender. 0, or -1: another key. */
static int
open_as(const Keyd__AddonOpen *q, const uint8_t *secret, const char *author, const char *sender,
    uint8_t *out)
{
	char info[MSG_SECRET_ID_MAX + 2 * MSG_SECRET_JID_MAX + 32];
	char aad[MSG_SECRET_ID_MAX + MSG_SECRET_JID_MAX + 2];
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

int
msg_secret_open(struct request *r, const void *asked, void *answer)
{
	const Keyd__AddonOpen *q = asked;
	Keyd__AddonOpened *a = answer;
	struct buf record = BUF_INIT;

	a->outcome = KEYD__ADDON_OPENED__OUTCOME__NO_SECRET;
	a->plaintext = request_room(r, q->payload.len);
	for (size_t i = 0; i < q->n_names && !a->has_plaintext; i++) {
		buf_reset(&record);
		if (work_get(&r->work, STORED__DOMAIN__MSG_SECRET,
			record_name(&r->work, q->names[i]), &record) != 1 ||
		    record.len != RECORD_LEN)
			continue; /* absent, or damaged: that was counted */
		a->has_plaintext = open_with(q, record.data, a->plaintext.data) == 0;
		a->outcome = a->has_plaintext ? KEYD__ADDON_OPENED__OUTCOME__DONE
					      : KEYD__ADDON_OPENED__OUTCOME__BAD_TAG;
		a->message_s = (int64_t)buf_be64(record.data + SECRET_LEN);
	}
	a->has_message_s = a->has_plaintext;
	a->plaintext.len -= CRYPTO_TAG;
	buf_clear(&record);
	return 0;
}
