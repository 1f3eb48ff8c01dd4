/* The digest check: does the service have the keys that we have? (protocol page 04, 2.6) */
#ifndef WARD_DIGEST_H
#define WARD_DIGEST_H

#include "apid/session/account.h"
#include "common/wire/node.h"
#include "ipc/keyd.pb-c.h"

struct digest *digest_new(struct account *a);
void digest_free(struct digest *d);

void digest_start(struct account *a); /* ends with keys_next */
int digest_running(const struct account *a);
void digest_disconnected(struct account *a);
/* "unknown", "ok", "missing", "mismatch" or "failed", and when that was found (0 = never). */
const char *digest_state(const struct account *a, int64_t *when_ms);

/* What an answer says, checked for its shape. 0, or -1: it is none. */
#define DIGEST_KEYS_MAX 65536u
struct digest_answer {
	uint8_t identity[32], skey_pub[32], skey_sig[64], hash[20];
	uint32_t registration_id, skey_id;
	uint32_t *ids; /* malloc'd, in the order of the service */
	size_t n;
};
int digest_parse(const struct node *iq, struct digest_answer *out);
void digest_answer_clear(struct digest_answer *x);

#endif
