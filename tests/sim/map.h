/* Byte strings under text keys: the phone's stores. */
#ifndef SIM_MAP_H
#define SIM_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map;

struct map *map_new(void);
void map_free(struct map *m);
/* Copies the value. */
void map_put(struct map *m, const char *key, const void *value, size_t len);
/* The value (valid until it is changed) or NULL. */
const uint8_t *map_get(const struct map *m, const char *key, size_t *len);
int map_del(struct map *m, const char *key); /* 1 if it was there */
/* Deletes all keys that begin with prefix; returns how many. */
size_t map_del_prefix(struct map *m, const char *prefix);
size_t map_count(const struct map *m);

#endif
