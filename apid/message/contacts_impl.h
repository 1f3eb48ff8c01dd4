/* Within contacts: one of them, and the cache that they are in. */
#ifndef WARD_CONTACTS_IMPL_H
#define WARD_CONTACTS_IMPL_H

#include <sys/queue.h>

#include "apid/message/contacts.h"

#define CONTACTS_BUCKETS 1024u

struct contact {
	TAILQ_ENTRY(contact) lru; /* newest first */
	LIST_ENTRY(contact) by_pn, by_lid, by_id;
	struct person p;
	char source[32];    /* where the pair was learned */
	int dirty, writing; /* stored does not know all of it; units under way */
	int in_pn, in_lid;
	int stale; /* sessions are to be built anew */
	int fresh; /* made here, and in no unit yet: nobody knows its id */
	int moved; /* nothing of Signal's is left under the number */
	/* the pair of a known person was found, and is to be told; former: an id that he had as
	 * well */
	int merged;
	char former[STABLE_ID_LEN + 1];
	/* his device list, as stored has it */
	int has_list, has_raw_id;
	uint32_t raw_id;
	uint8_t devices[32]; /* a bit each, below 256 */
};
LIST_HEAD(bucket, contact);

struct contacts {
	struct account *a;
	TAILQ_HEAD(contact_lru, contact) lru;
	size_t n;
	struct bucket pn[CONTACTS_BUCKETS], lid[CONTACTS_BUCKETS], id[CONTACTS_BUCKETS];
};

/* contacts_cache.c: NULL if he is not in the cache. */
struct contact *contact_find_pn(struct contacts *c, const char *pn);
struct contact *contact_find_lid(struct contacts *c, const char *lid);
struct contact *contact_find_id(struct contacts *c, const char *id);
struct contact *contact_find(struct contacts *c, const struct jid *j);
struct contact *contact_find_name(struct contacts *c, const char *name); /* a bare JID, or an id */
/* He was asked for: the last to be thrown out. */
void contact_touch(struct contacts *c, struct contact *k);
/* Somebody never seen: a new id, to be written with the next unit that names him. */
struct contact *contact_make(struct contacts *c, const struct jid *j);
/* As stored has him, unless the cache has him already; NULL if that is no contact. */
struct contact *contact_from_store(struct contacts *c, const Stored__Contact *s);
void contact_drop(struct contacts *c, struct contact *k);
/* Around a change of his number or LID. */
void contact_unlink_keys(struct contact *k);
void contact_link_keys(struct contacts *c, struct contact *k);

#endif
