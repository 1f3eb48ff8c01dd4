/* Byte strings under text keys: a chained hash table that grows. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/map.h"

struct item {
	struct item *next;
	uint64_t hash;
	char *key;
	uint8_t *value;
	size_t len, cap;
};

struct map {
	struct item **slots;
	size_t nslots, count;
};

static uint64_t
hash_of(const char *key)
{
	uint64_t h = 1469598103934665603u;

	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * 1099511628211u;
	return h;
}

struct map *
map_new(void)
{
	struct map *m = calloc(1, sizeof(*m));

	if (m == NULL || (m->slots = calloc(64, sizeof(struct item *))) ==
			     NULL) /* NOLINT(bugprone-sizeof-expression) */
		fatal("map");
	m->nslots = 64;
	return m;
}

static void
item_free(struct item *it)
{
	free(it->key);
	free(it->value);
	free(it);
}

void
map_free(struct map *m)
{
	struct item *it, *next;

	if (m == NULL)
		return;
	for (size_t i = 0; i < m->nslots; i++)
		for (it = m->slots[i]; it != NULL; it = next) {
			next = it->next;
			item_free(it);
		}
	free(m->slots);
	free(m);
}

static void
grow(struct map *m)
{
	size_t n = m->nslots * 4;
	struct item **slots = calloc(n, sizeof(struct item *)), *it,
		    *next; /* NOLINT(bugprone-sizeof-expression) */

	if (slots == NULL)
		fatal("map");
	for (size_t i = 0; i < m->nslots; i++)
		for (it = m->slots[i]; it != NULL; it = next) {
			next = it->next;
			it->next = slots[it->hash & (n - 1)];
			slots[it->hash & (n - 1)] = it;
		}
	free(m->slots);
	m->slots = slots;
	m->nslots = n;
}

static struct item **
find(const struct map *m, const char *key, uint64_t h)
{
	struct item **p = &m->slots[h & (m->nslots - 1)];

	while (*p != NULL && ((*p)->hash != h || strcmp((*p)->key, key) != 0))
		p = &(*p)->next;
	return p;
}

void
map_put(struct map *m, const char *key, const void *value, size_t len)
{
	uint64_t h = hash_of(key);
	struct item **p = find(m, key, h), *it = *p;

	if (it == NULL) {
		if ((it = calloc(1, sizeof(*it))) == NULL || (it->key = strdup(key)) == NULL)
			fatal("map");
		it->hash = h;
		*p = it;
		m->count++;
	}
	if (it->value == NULL || it->cap < len + 1) {
		if ((it->value = realloc(it->value, len + 1)) == NULL)
			fatal("map");
		it->cap = len + 1;
	}
	if (len > 0)
		memcpy(it->value, value, len);
	it->len = len;
	if (m->count > m->nslots)
		grow(m);
}

const uint8_t *
map_get(const struct map *m, const char *key, size_t *len)
{
	struct item *it = *find(m, key, hash_of(key));

	if (it == NULL)
		return NULL;
	if (len != NULL)
		*len = it->len;
	return it->value;
}

int
map_del(struct map *m, const char *key)
{
	struct item **p = find(m, key, hash_of(key)), *it = *p;

	if (it == NULL)
		return 0;
	*p = it->next;
	item_free(it);
	m->count--;
	return 1;
}

size_t
map_del_prefix(struct map *m, const char *prefix)
{
	size_t n = 0, len = strlen(prefix);

	for (size_t i = 0; i < m->nslots; i++) {
		struct item **p = &m->slots[i], *it;

		while ((it = *p) != NULL) {
			if (strncmp(it->key, prefix, len) != 0) {
				p = &it->next;
				continue;
			}
			*p = it->next;
			item_free(it);
			m->count--;
			n++;
		}
	}
	return n;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}
