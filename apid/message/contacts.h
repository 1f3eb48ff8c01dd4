/* People: stable ids, the pairs of number and LID, and a bounded cache in front of stored
 * (protocol page 04, section 3). */
#ifndef WARD_CONTACTS_H
#define WARD_CONTACTS_H

#include "apid/message/ids.h"
#include "apid/session/account.h"
#include "apid/session/unit.h"

#define CONTACTS_CACHE_MAX 4096u
#define CONTACTS_ASK_MAX   8u /* people of one request */
/* So many times that, if most are new and none was written. */
#define CONTACTS_DIRTY_FACTOR 2u
size_t contacts_count(const struct account *a);

/* What is known of a person; a copy. */
struct person {
	char id[STABLE_ID_LEN + 1];
	char pn[JID_USER_MAX + 1], lid[JID_USER_MAX + 1]; /* "" = not known */
	char push_name[128];
	int64_t first_out_ms; /* when this account first wrote to a new person, 0 = never */
	int64_t met_ms;       /* when a message first passed between them, 0 = never */
};

struct contacts *contacts_new(struct account *a);
void contacts_free(struct contacts *c);
/* Another device, another account perhaps: forget all. */
void contacts_reset(struct contacts *c);

/* Ask for some people by bare JID (PN, LID, hosted …) or by id "u_…". fn is called once, from the
 * loop: people in the order asked; a JID never seen gets a new id. An unknown u_… has id "".
 * lists: device lists as stored has them, by_pn and by_lid, valid in the callback only and only if
 * want_lists was set (the cache is then passed by). If it is CONTACTS_TOKENS they come with the
 * tokens of the first, if he is in the cache (tctoken_of_lookup). why != NULL: it failed. */
#define CONTACTS_TOKENS 2
struct contacts_request;
typedef void contacts_fn(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg);
struct contacts_request *contacts_ask(struct account *a, const char *const *names, size_t n,
    int want_lists, contacts_fn *fn, void *arg);
/* The same, but only the first `make` of them get an id if they are not known; the others have id
 * "". */
struct contacts_request *contacts_ask_some(struct account *a, const char *const *names, size_t n,
    size_t make, int want_lists, contacts_fn *fn, void *arg);
void contacts_cancel(struct contacts_request *r); /* NULL is fine */

/* From the cache alone: 0, or -1. */
int contacts_cached(struct account *a, const struct jid *j, struct person *out);
/* A pair was learned; `source` as in protocol page 04, 3.4. Both are user parts. Goes to stored
 * with the next contacts_write of that person. */
void contacts_learn_pair(struct account *a, const char *pn, const char *lid, const char *source);
/* His device list as it is stored from now on (NULL: dropped); user: a bare JID, or his id. */
void contacts_list_is(struct account *a, const char *user, const Stored__DeviceList *l);
/* 0, once: his list is known, and that device is not in it. */
int contacts_device_known(struct account *a, const struct person *p, uint16_t device);
/* His list had another raw id before: the account was registered anew. */
int contacts_raw_id_changed(struct account *a, const char *user, uint32_t raw_id);
/* 1: nothing of Signal's is left under his number, as far as this run knows (lid_move.h). */
int contacts_moved(struct account *a, const struct person *p);
void contacts_set_moved(struct account *a, const struct person *p);
void contacts_learn_name(struct account *a, const struct jid *j, const char *push_name);
/* Add what stored does not know of this person to a unit: 1 if there was something, then say how
 * the unit ended with contacts_written. */
int contacts_write(struct account *a, const struct jid *j, struct unit *u);
void contacts_written(struct account *a, const struct jid *j, int ok);
/* 1: stored does not know all of this person, and no unit is on its way that tells it. */
int contacts_unwritten(struct account *a, const struct jid *j);

/* A message has passed between them, acked by the service or received. */
void contacts_met(struct account *a, const struct jid *j, int64_t time_ms);
/* This account turns to him for the first time. */
void contacts_first_out(struct account *a, const struct jid *j, int64_t time_ms);
/* Nobody has written to the other yet (an own number is never new). */
int contacts_is_new(const struct account *a, const struct person *p);

/* His sessions are stale (he was registered anew): the next send builds new ones. 1 once if so. */
void contacts_forget_session(struct account *a, const struct jid *j);
int contacts_take_stale(struct account *a, const struct jid *j);

/* The address under which keyd keeps sessions with a device: the LID's when known (page 04, 3.2).
 * name: 81 bytes. */
void contacts_address(const struct person *p, const struct jid *device, char name[81]);
/* The other address, by number, if the first one is by LID. 0, or -1 if there is none. */
int contacts_address_pn(const struct person *p, const struct jid *device, char name[81]);

/* {id, pn, lid, phone, push_name} */
json_t *contacts_party(const struct person *p);
/* Stable id of a chat; out: STABLE_ID_LEN + 1 bytes. person: of a direct chat, else NULL. */
void contacts_chat_id(const struct jid *chat, const struct person *p, char out[STABLE_ID_LEN + 1]);
/* {id, jid, kind} */
json_t *contacts_chat(const struct jid *chat, const struct person *p);

#endif
