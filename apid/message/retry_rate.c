/* How often a person is answered who asks for messages again, how often he gets keys, and when
 * sessions were made anew. */
#include "apid/message/retry_rate.h"

#include <string.h>

#include <sodium.h>

#define KEPT 512u

struct slot { /* of all accounts; the one that was not used for longest gives way */
	uint8_t key[16];
	int used;
	int64_t at_ms;   /* of the last use */
	int64_t next_ms; /* when the bucket is full again; of a session: when it was made */
};
static struct slot people[KEPT], keys[KEPT], sessions[KEPT];

static void
make_key(const struct account *a, const char *what, unsigned number, uint8_t key[16])
{
	crypto_generichash_state st;
	uint8_t n[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
	    (uint8_t)number};

	crypto_generichash_init(&st, NULL, 0, 16);
	crypto_generichash_update(&st, (const uint8_t *)a->name, strlen(a->name) + 1);
	crypto_generichash_update(&st, (const uint8_t *)what, strlen(what) + 1);
	crypto_generichash_update(&st, n, sizeof(n));
	crypto_generichash_final(&st, key, 16);
}

/* make: one that is not there is made, in the place of the oldest. */
static struct slot *
find(struct slot *table, const uint8_t key[16], int make, int64_t now_ms)
{
	struct slot *oldest = &table[0];

	for (size_t i = 0; i < KEPT; i++) {
		if (table[i].used && memcmp(table[i].key, key, 16) == 0)
			return &table[i];
		if (!table[i].used || (oldest->used && table[i].at_ms < oldest->at_ms))
			oldest = &table[i];
	}
	if (!make)
		return NULL;
	memcpy(oldest->key, key, 16);
	oldest->used = 1;
	oldest->at_ms = oldest->next_ms = now_ms;
	return oldest;
}

/* A bucket of `burst`, one more every `each_ms`: when the next may be had, in ms from now, and it
 * is taken then; -1 if that is later than `most_ms`. */
static int64_t
take(struct slot *table, const struct account *a, const char *who, int burst, int64_t each_ms,
    int64_t most_ms, int64_t now_ms)
{
	uint8_t key[16];
	struct slot *s;
	int64_t wait;

	make_key(a, who, 0, key);
	s = find(table, key, 1, now_ms);
	if (s->next_ms < now_ms)
		s->next_ms = now_ms;
	/* next_ms is now + what was taken: a full burst of it may be used at once */
	wait = s->next_ms + each_ms - burst * each_ms - now_ms;
	s->at_ms =
	    now_ms; /* one who goes on asking does not lose his place, and with it his debt */
	if (wait > most_ms)
		return -1;
	s->next_ms += each_ms;
	return wait > 0 ? wait : 0;
}

int64_t
retry_rate_take(const struct account *a, const char *person_id, int64_t now_ms)
{
	return take(people, a, person_id, RETRY_RATE_BURST, RETRY_RATE_MS,
	    (int64_t)RETRY_RATE_WAITING * RETRY_RATE_MS, now_ms);
}

int
retry_keys_take(const struct account *a, const char *who, int64_t now_ms)
{
	return take(keys, a, who, RETRY_KEYS_BURST, RETRY_KEYS_MS, 0, now_ms) == 0;
}

void
retry_recreated(const struct account *a, const char *address, unsigned device, int64_t now_ms)
{
	uint8_t key[16];
	struct slot *s;

	make_key(a, address, device, key);
	s = find(sessions, key, 1, now_ms);
	s->at_ms = s->next_ms = now_ms;
}

int
retry_recreated_lately(
    const struct account *a, const char *address, unsigned device, int64_t now_ms)
{
	uint8_t key[16];
	const struct slot *s;

	make_key(a, address, device, key);
	s = find(sessions, key, 0, now_ms);
	return s != NULL && now_ms - s->next_ms < RETRY_RECREATE_MS;
}
