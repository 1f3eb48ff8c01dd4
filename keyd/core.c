/* The state of keyd: its accounts, its secrets in locked memory, its three channels. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/core.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "keyd/provider.h"
#include "keyd/queue.h"
#include "keyd/signal_store.h"

int
core_warm_up(void)
{
	if (sodium_init() == -1)
		fatalx("libsodium does not start");
	/* libsignal carries an old protobuf-c: it must not be the one that runs */
	if (protobuf_c_version_number() < 1004000)
		fatalx("linked in the wrong order: protobuf-c %s runs", protobuf_c_version());
	crypto_warm_up();
	provider_warm_up();
	signal_store_warm_up();
	return curve_self_test();
}

struct keyd *
core_new(struct event_base *base, size_t cache_bytes)
{
	struct keyd *k = calloc(1, sizeof(*k));

	if (k == NULL)
		fatalx("out of memory");
	k->base = base;
	k->vault = vault_new(cache_bytes);
	/* sodium_malloc goes on without a lock when it gets none: lock again and look */
	if ((k->secrets = sodium_malloc(sizeof(*k->secrets))) == NULL ||
	    sodium_mlock(k->secrets, sizeof(*k->secrets)) == -1)
		fatal("cannot lock %zu bytes for the secrets in memory (see RLIMIT_MEMLOCK)",
		    sizeof(*k->secrets));
	sodium_memzero(k->secrets, sizeof(*k->secrets));
	memcpy(k->noise_root, noise_root_key, sizeof(k->noise_root));
	k->key_source = "file";
	return k;
}

void
core_add_account(struct keyd *k, const char *name)
{
	struct account *a;

	if (k->naccounts == ACCOUNTS_MAX || strlen(name) > ACCOUNT_NAME_MAX)
		fatalx("account %s does not fit", name);
	a = &k->accounts[k->naccounts];
	a->keyd = k;
	a->number = k->naccounts++;
	memcpy(a->name, name, strlen(name) + 1);
	STAILQ_INIT(&a->queue);
	vault_account(k->vault, a->number, a->name, k->secrets->vault_key[a->number]);
}

struct account *
core_account(struct keyd *k, const char *name)
{
	unsigned i;

	for (i = 0; i < k->naccounts; i++)
		if (strcmp(k->accounts[i].name, name) == 0)
			return &k->accounts[i];
	return NULL;
}

void
core_unlock(struct keyd *k)
{
	unsigned i;

	for (i = 0; i < k->naccounts; i++)
		keyring_derive(
		    k->secrets->master, "vault", k->accounts[i].name, k->secrets->vault_key[i]);
}

void
core_next_keys(struct keyd *k)
{
	struct secrets *s = k->secrets;
	unsigned i;

	memcpy(s->old_key, s->vault_key, sizeof(s->old_key));
	for (i = 0; i < k->naccounts; i++) {
		keyring_derive(s->next_master, "vault", k->accounts[i].name, s->vault_key[i]);
		vault_old_key(k->vault, i, s->old_key[i]);
	}
}

void
core_forget_old_keys(struct keyd *k)
{
	unsigned i;

	for (i = 0; i < k->naccounts; i++)
		vault_old_key(k->vault, i, NULL);
	sodium_memzero(k->secrets->old_key, sizeof(k->secrets->old_key));
	sodium_memzero(k->secrets->master, sizeof(k->secrets->master));
	sodium_memzero(k->secrets->next_master, sizeof(k->secrets->next_master));
}

void
core_lock(struct keyd *k, const char *reason)
{
	unsigned i;

	k->state = KEYD_LOCKED;
	k->locked_reason = reason;
	sodium_memzero(k->secrets, sizeof(*k->secrets));
	for (i = 0; i < k->naccounts; i++)
		queue_drop(&k->accounts[i], "locked", reason);
}

void
core_free(struct keyd *k)
{
	unsigned i;

	if (k == NULL)
		return;
	for (i = 0; i < k->naccounts; i++) {
		queue_drop(&k->accounts[i], NULL, NULL);
		if (k->accounts[i].passkey_end != NULL)
			event_free(k->accounts[i].passkey_end);
	}
	vault_free(k->vault);
	sodium_free(k->secrets); /* wipes, unlocks */
	free(k);
}
