/* Device lists of people: from the cache in stored, or by usync; and what changes them
 * (protocol page 04, section 8 and 13.3). */
#ifndef WARD_DEVICES_H
#define WARD_DEVICES_H

#include "apid/session/account.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

#define DEVICES_MAX       256u
#define DEVICES_USERS_MAX 8u

struct device_list {
	char user[JID_TEXT_MAX];    /* bare JID as asked */
	char lid[JID_USER_MAX + 1]; /* learned with it, "" = none */
	uint16_t ids[DEVICES_MAX];
	uint32_t key_index[DEVICES_MAX];
	uint8_t hosted[DEVICES_MAX];
	size_t n;
	uint32_t raw_id;
	int has_raw_id;
	int known; /* the service knows the user */
};

/* Parse one <user> of a usync answer, filtered by its key index list (8.2). -1: no usable list. */
int devices_from_user(const struct node *user, struct device_list *out);
/* The usync query for these bare JIDs. */
struct node *devices_query_node(const char *const *jids, size_t n, const char *sid);

/* Ask for the lists of up to 8 users; fn once: lists in the order asked (borrowed), or why not.
 * What is learned is written to stored. Returns a handle for devices_cancel. */
struct devices_request;
typedef void devices_fn(
    const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg);
struct devices_request *devices_fetch(
    struct account *a, const char *const *jids, size_t n, devices_fn *fn, void *arg);
void devices_cancel(struct devices_request *r); /* NULL is fine */

/* The same for the own list. */
struct devices_request *devices_fetch_own(struct account *a, devices_fn *fn, void *arg);
/* After a login: ask for our own list again, in the background. */
void devices_refresh_own(struct account *a);
/* The list as stored has it; -1 if it has none that can be trusted (an empty one). */
int devices_from_store(const Stored__DeviceList *l, struct device_list *out);
/* "2:…" over device JIDs (protocol page 05, section 5); out: 12 bytes. */
void devices_phash(const struct jid *devices, size_t n, char out[12]);

/* Forget the list of a user, by number and by LID. */
void devices_drop(struct account *a, const struct jid *j, struct unit *u);

/* <notification type=devices> and account_sync/devices: what must change is added to the unit. */
void devices_notification(struct account *a, const struct node *n, struct unit *u);

#endif
