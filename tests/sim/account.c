/* The model: accounts and their devices. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "tests/sim/account.h"
#include "tests/sim/appstate.h"
#include "tests/sim/crypt.h"
#include "tests/sim/map.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/rng.h"
#include "tests/sim/tokens.h"

struct accounts accounts = TAILQ_HEAD_INITIALIZER(accounts);
int account_default_pulled;

struct account *
account_named(const char *name)
{
	struct account *a;

	TAILQ_FOREACH(a, &accounts, link)
	if (strcmp(a->name, name) == 0)
		return a;
	return NULL;
}

void
account_asked(struct account *a, struct account *who)
{
	struct account **more;

	for (size_t i = 0; i < a->naskers; i++)
		if (a->askers[i] == who)
			return;
	if ((more = realloc(a->askers, (a->naskers + 1) * sizeof(struct account *))) ==
	    NULL) /* NOLINT(bugprone-sizeof-expression) */
		fatal("askers");
	a->askers = more;
	a->askers[a->naskers++] = who;
}

int
account_is_lid(const struct jid *j)
{
	return strcmp(j->server, JID_LID) == 0 || strcmp(j->server, JID_HOSTED_LID) == 0;
}

struct account *
account_of(const struct jid *j)
{
	int lid = account_is_lid(j);
	struct account *a;

	if (!lid && strcmp(j->server, JID_PN) != 0 && strcmp(j->server, JID_HOSTED) != 0)
		return NULL;
	TAILQ_FOREACH(a, &accounts, link)
	if (strcmp(lid ? a->lid : a->pn, j->user) == 0)
		return lid && a->lid_hidden ? NULL : a;
	return NULL;
}

struct device *
account_device(struct account *a, unsigned id)
{
	struct device *d;

	TAILQ_FOREACH(d, &a->devices, link)
	if (d->id == id)
		return d;
	return NULL;
}

struct device *
account_phone(struct account *a)
{
	return TAILQ_FIRST(&a->devices);
}

struct device *
account_device_of(const struct jid *j)
{
	struct account *a = account_of(j);

	return a == NULL ? NULL : account_device(a, j->device);
}

struct device *
account_device_add(struct account *a, unsigned id)
{
	struct device *d = calloc(1, sizeof(*d));

	if (d == NULL)
		fatal("device");
	d->account = a;
	d->id = id;
	TAILQ_INIT(&d->queue);
	TAILQ_INSERT_TAIL(&a->devices, d, link);
	a->ndevices++;
	return d;
}

void
account_device_remove(struct device *d)
{
	offline_clear(d);
	TAILQ_REMOVE(&d->account->devices, d, link);
	d->account->ndevices--;
	free(d->keys.pool);
	map_free(d->keys.offered);
	free(d->signed_identity);
	free(d->recent);
	free(d);
}

static int
digits(const char *s, size_t min, size_t max)
{
	size_t n = strlen(s);

	if (n < min || n > max)
		return 0;
	for (; *s != '\0'; s++)
		if (!isdigit((unsigned char)*s))
			return 0;
	return 1;
}

/* A user name of n digits that no account has yet. */
static void
fresh_user(char *out, const char *prefix, size_t n, int lid)
{
	struct jid j = {0};

	do {
		size_t len = strlen(prefix);

		memcpy(out, prefix, len);
		for (; len < n; len++)
			out[len] = (char)('0' + rng_below(10));
		out[len] = '\0';
		jid_make(&j, out, lid ? JID_LID : JID_PN, 0);
	} while (account_of(&j) != NULL);
}

static int
check_options(const struct account_options *o, const char **why)
{
	struct jid j;

	if (o->name == NULL || o->name[0] == '\0' ||
	    strlen(o->name) >= sizeof(((struct account *)0)->name))
		*why = "an account needs a name of 1 to 63 bytes";
	else if (account_named(o->name) != NULL)
		*why = "there is an account of that name";
	else if (o->pn != NULL && (!digits(o->pn, 7, 15) || o->pn[0] == '0'))
		*why = "pn: 7 to 15 digits";
	else if (o->lid != NULL && !digits(o->lid, 10, 20))
		*why = "lid: 10 to 20 digits";
	else if (o->pn != NULL && jid_make(&j, o->pn, JID_PN, 0) == 0 && account_of(&j) != NULL)
		*why = "that number is taken";
	else if (o->lid != NULL && jid_make(&j, o->lid, JID_LID, 0) == 0 && account_of(&j) != NULL)
		*why = "that LID is taken";
	else if (o->push_name != NULL &&
		 strlen(o->push_name) >= sizeof(((struct account *)0)->push_name))
		*why = "push_name is too long";
	else
		return 0;
	return -1;
}

struct account *
account_new(const struct account_options *o, const char **why)
{
	struct account *a;

	if (check_options(o, why) != 0)
		return NULL;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		fatal("account");
	TAILQ_INIT(&a->devices);
	snprintf(a->name, sizeof(a->name), "%s", o->name);
	if (o->push_name != NULL)
		snprintf(a->push_name, sizeof(a->push_name), "%s", o->push_name);
	if (o->pn != NULL)
		snprintf(a->pn, sizeof(a->pn), "%s", o->pn);
	else
		fresh_user(a->pn, "1555", 11, 0);
	if (o->lid != NULL)
		snprintf(a->lid, sizeof(a->lid), "%s", o->lid);
	else
		fresh_user(a->lid, "1", 15, 1);
	a->lid_migrated = o->lid_migrated;
	a->lid_hidden = o->lid_hidden;
	a->pulled = o->pulled;
	a->strict = o->strict;
	a->read_receipts = 1;
	a->takes_tc = a->takes_cs = a->tells_salt = 1;
	rng_bytes(a->nct_salt, sizeof(a->nct_salt));
	a->device_limit = 4;
	a->next_device = 1;
	a->raw_id = 1 + rng_below(0x7ffffffe);
	a->next_key_index = 1;
	TAILQ_INSERT_TAIL(&accounts, a, link);
	a->phone = phone_new(account_device_add(a, 0));
	return a;
}

void
account_free_all(void)
{
	struct account *a;
	struct device *d;

	while ((a = TAILQ_FIRST(&accounts)) != NULL) {
		phone_free(a->phone);
		while ((d = TAILQ_FIRST(&a->devices)) != NULL)
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): off the list */
			account_device_remove(d);
		for (size_t i = 0; i < a->nblocklist; i++)
			free(a->blocklist[i]);
		for (size_t i = 0; i < a->nprivacy; i++)
			node_free(a->privacy[i]);
		appstate_free(a->collections);
		tokens_free(a);
		free(a->key_index_list);
		free(a->askers);
		TAILQ_REMOVE(&accounts, a, link);
		free(a);
	}
}

struct jid
account_lid(const struct account *a)
{
	struct jid j;

	jid_make(&j, a->lid, JID_LID, 0);
	return j;
}

struct jid
account_jid(const struct account *a, int lid)
{
	struct jid j;

	if (lid && !a->lid_hidden)
		return account_lid(a);
	jid_make(&j, a->pn, JID_PN, 0);
	return j;
}

struct jid
device_jid(const struct device *d, int lid)
{
	struct jid j = account_jid(d->account, lid);

	j.device = (uint16_t)d->id;
	return j;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
account_phash_jids(const struct jid *set, size_t n, char out[16])
{
	char **texts = calloc(n + 1, sizeof(*texts)), b64[16];
	crypto_hash_sha256_state st;
	uint8_t md[32];

	if (texts == NULL)
		fatal("phash");
	for (size_t i = 0; i < n; i++)
		if (asprintf(&texts[i], "%s.0:%u@%s", set[i].user, set[i].device, set[i].server) <
		    0)
			fatal("phash");
	qsort(texts, n, sizeof(*texts), by_text);
	crypto_hash_sha256_init(&st);
	for (size_t i = 0; i < n; i++) {
		crypto_hash_sha256_update(&st, (const uint8_t *)texts[i], strlen(texts[i]));
		free(texts[i]);
	}
	crypto_hash_sha256_final(&st, md);
	free(texts);
	sodium_bin2base64(b64, sizeof(b64), md, 6, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	snprintf(out, 16, "2:%.12s", b64);
}

void
account_phash(struct account *const *set, size_t n, int lid, char out[16])
{
	struct jid *jids;
	struct device *d;
	size_t total = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		total += set[i]->ndevices;
	if ((jids = calloc(total + 1, sizeof(*jids))) == NULL)
		fatal("phash");
	for (size_t i = 0; i < n; i++)
		TAILQ_FOREACH(d, &set[i]->devices, link)
	jids[k++] = device_jid(d, lid);
	account_phash_jids(jids, k, out);
	free(jids);
}
