/* With which devices there is a session, as far as that is remembered. */
#include "apid/message/session_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"

#define SLOTS 1024u

/* Hashes of addresses, each in the one place where it belongs: a newer one takes it over. */
struct session_cache {
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t slots[SLOTS]; /* 0 = empty */
};

struct session_cache *
session_cache_new(void)
{
	struct session_cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("session_cache_new");
	crypto_shorthash_keygen(c->key);
	return c;
}

void
session_cache_free(struct session_cache *c)
{
	free(c);
}

static uint64_t
hash_of(const struct session_cache *c, const char *name, uint32_t device)
{
	uint8_t hash[crypto_shorthash_BYTES];
	char text[128];
	uint64_t h;
	int n = snprintf(text, sizeof(text), "%s:%u", name, device);

	if (n < 0 || (size_t)n >= sizeof(text))
		return 0;
	crypto_shorthash(hash, (const uint8_t *)text, (unsigned long long)n, c->key);
	memcpy(&h, hash, sizeof(h));
	return h;
}

int
session_cache_has(const struct session_cache *c, const char *name, uint32_t device)
{
	uint64_t h = hash_of(c, name, device);

	return h != 0 && c->slots[h % SLOTS] == h;
}

void
session_cache_add(struct session_cache *c, const char *name, uint32_t device)
{
	uint64_t h = hash_of(c, name, device);

	c->slots[h % SLOTS] = h;
}

void
session_cache_drop(struct session_cache *c, const char *name, uint32_t device)
{
	if (session_cache_has(c, name, device))
		c->slots[hash_of(c, name, device) % SLOTS] = 0;
}

void
session_cache_clear(struct session_cache *c)
{
	memset(c->slots, 0, sizeof(c->slots));
}
