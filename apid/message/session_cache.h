/* With which devices there is a session, as far as that is remembered.
 *
 * keyd alone knows. What is here saves asking it before each message, and a mistake costs no more
 * than that: an encryption says itself that there is no session. */
#ifndef WARD_SESSION_CACHE_H
#define WARD_SESSION_CACHE_H

#include <stdint.h>

struct session_cache; /* of an account; of a fixed size */

struct session_cache *session_cache_new(void);
void session_cache_free(struct session_cache *c); /* NULL is fine */
/* By the address of a session in keyd: the name of Keyd__Address, and its device. */
int session_cache_has(const struct session_cache *c, const char *name, uint32_t device);
void session_cache_add(struct session_cache *c, const char *name, uint32_t device);
void session_cache_drop(struct session_cache *c, const char *name, uint32_t device);
void session_cache_clear(struct session_cache *c);

#endif
