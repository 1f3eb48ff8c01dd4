/* Device lists of people: from the cache in stored, or by usync; and what changes them. */
#include "apid/session/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/contacts.h"
#include "apid/message/session_list.h"
#include "apid/session/device_refresh.h"
#include "apid/session/iq.h"
#include "apid/session/stanza.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/proto/adv.pb-c.h"

#define KEY_INDEX_BUDGET (64u * 1024)
#define HOSTED_DEVICE    99

struct devices_request {
	struct account *a;
	uint64_t iq;
	char users[DEVICES_USERS_MAX][JID_TEXT_MAX];
	size_t n;
	devices_fn *fn;
	void *arg;
};

/* ------------------------------------------------------------------ reading an answer */

/* Which companions the primary vouches for (8.2): the signed list came over the authenticated
 * connection; a device counts if its index is valid or newer than the list. */
struct index_list {
	const Adv__ADVKeyIndexList *l; /* NULL: there is none */
};

static struct index_list
index_list_of(const struct node *devices, struct pb_arena *arena)
{
	struct index_list none = {NULL}, r;
	const Adv__ADVSignedKeyIndexList *s;
	const uint8_t *data;
	size_t len;

	if (node_child_bytes(devices, "key-index-list", &data, &len) == -1)
		return none;
	s = pb_unpack(&adv__advsigned_key_index_list__descriptor, data, len, arena, 0, NULL);
	if (s == NULL || !s->has_details)
		return none;
	r.l = pb_unpack(
	    &adv__advkey_index_list__descriptor, s->details.data, s->details.len, arena, 0, NULL);
	return r;
}

static int
vouched(const Adv__ADVKeyIndexList *l, int64_t index)
{
	if (l == NULL || index < 0)
		return 0;
	if (index > l->current_index)
		return 1;
	for (size_t i = 0; i < l->n_valid_indexes; i++)
		if (l->valid_indexes[i] == index)
			return 1;
	return 0;
}

static void
list_add(struct device_list *out, uint16_t id, int64_t index, int hosted)
{
	if (out->n == DEVICES_MAX)
		return;
	for (size_t i = 0; i < out->n; i++)
		if (out->ids[i] == id)
			return;
	out->ids[out->n] = id;
	out->key_index[out->n] = index > 0 ? (uint32_t)index : 0;
	out->hosted[out->n++] = hosted != 0;
}

static void
read_devices(const struct node *list, const Adv__ADVKeyIndexList *index, struct device_list *out)
{
	for (size_t i = 0; i < list->nchildren; i++) {
		const struct node *d = list->children[i];
		int64_t id = node_get_int(d, "id", UINT16_MAX);
		int64_t k = node_get_int(d, "key-index", UINT32_MAX);
		const char *hosted = node_get(d, "is_hosted");

		if (!node_is(d, "device") || id < 0 || (id != 0 && !vouched(index, k)))
			continue;
		list_add(out, (uint16_t)id, k,
		    id == HOSTED_DEVICE || (hosted != NULL && strcmp(hosted, "true") == 0));
	}
}

int
devices_from_user(const struct node *user, struct device_list *out)
{
	const struct node *devices = node_child(user, "devices"), *list, *lid;
	struct pb_arena *arena;
	struct index_list index;
	struct jid j;

	memset(out, 0, sizeof(*out));
	if (node_get_jid(user, "jid", &j) == -1)
		return -1;
	j = jid_bare(&j);
	(void)jid_format(&j, out->user);
	if ((lid = node_child(user, "lid")) != NULL && node_get_jid(lid, "val", &j) == 0 &&
	    jid_is_lid(&j))
		(void)snprintf(out->lid, sizeof(out->lid), "%s", j.user);
	if (devices == NULL || (list = node_child(devices, "device-list")) == NULL)
		return -1;
	if ((arena = pb_arena_new(KEY_INDEX_BUDGET)) == NULL)
		return -1;
	index = index_list_of(devices, arena);
	if (index.l != NULL && index.l->has_raw_id) {
		out->has_raw_id = 1;
		out->raw_id = index.l->raw_id;
	}
	read_devices(list, index.l, out);
	pb_arena_free(arena);
	out->known = list->nchildren > 0;
	if (out->known)
		list_add(out, 0, 0, 0); /* the phone is always there */
	return 0;
}

int
devices_from_store(const Stored__DeviceList *l, struct device_list *out)
{
	memset(out, 0, sizeof(*out));
	if (l == NULL || l->n_devices == 0)
		return -1;
	(void)snprintf(out->user, sizeof(out->user), "%s", l->user);
	for (size_t i = 0; i < l->n_devices; i++)
		if (l->devices[i]->id <= UINT16_MAX)
			list_add(out, (uint16_t)l->devices[i]->id, l->devices[i]->key_index,
			    l->devices[i]->hosted);
	list_add(out, 0, 0, 0);
	out->known = 1;
	return 0;
}

/* ------------------------------------------------------------------ asking */

struct node *
devices_query_node(const char *const *jids, size_t n, const char *sid)
{
	struct node *iq = iq_new("get", "usync"), *u = node_new("usync"), *q = node_new("query");
	struct node *d = node_new("devices"), *list = node_new("list");

	node_set(u, "sid", sid);
	node_set(u, "mode", "query");
	node_set(u, "last", "true");
	node_set(u, "index", "0");
	node_set(u, "context", "message");
	node_set(d, "version", "2");
	node_add(q, d);
	node_add(q, node_new("lid"));
	for (size_t i = 0; i < n; i++) {
		struct node *user = node_new("user");
		struct jid j;

		if (jid_parse(jids[i], &j) == 0)
			node_set_jid(user, "jid", &j);
		node_add(list, user);
	}
	node_add(u, q);
	node_add(u, list);
	return node_add(iq, u);
}

static void
list_written(const struct unit_result *r, void *arg)
{
	/* a cache: what could not be written is asked for again */
}

static void
write_list(struct account *a, struct unit *u, const struct device_list *l)
{
	Stored__DeviceList m = STORED__DEVICE_LIST__INIT;
	Stored__Device dev[DEVICES_MAX], *ptr[DEVICES_MAX];

	for (size_t i = 0; i < l->n; i++) {
		stored__device__init(&dev[i]);
		dev[i].id = l->ids[i];
		dev[i].has_key_index = dev[i].id != 0;
		dev[i].key_index = l->key_index[i];
		dev[i].has_hosted = dev[i].hosted = l->hosted[i];
		ptr[i] = &dev[i];
	}
	m.user = pb_str(l->user);
	m.n_devices = l->n;
	m.devices = ptr;
	m.has_raw_id = l->has_raw_id;
	m.raw_id = l->raw_id;
	unit_device_list(u, &m);
	if (l->has_raw_id && contacts_raw_id_changed(a, l->user, l->raw_id))
		session_clear(a, l->user, 0); /* another device under the same number, 13.3 */
	contacts_list_is(a, l->user, &m);
}

static void
learn(struct account *a, const struct node *user, const struct device_list *l)
{
	struct jid j, pn;

	if (jid_parse(l->user, &j) == -1)
		return;
	if (l->lid[0] != '\0' && jid_is_pn(&j))
		contacts_learn_pair(a, j.user, l->lid, "usync");
	else if (jid_is_lid(&j) && node_get_jid(user, "pn_jid", &pn) == 0 && jid_is_pn(&pn) &&
		 pn.user[0] != '\0')
		contacts_learn_pair(a, pn.user, j.user, "usync");
}

/* Best effort: if it is lost, the pair is learned again. */
static void
write_pair(struct account *a, struct unit *u, const struct device_list *l)
{
	struct jid j;

	if (jid_parse(l->user, &j) == 0 && contacts_unwritten(a, &j) && contacts_write(a, &j, u))
		contacts_written(a, &j, 1);
}

static void
read_answer(struct devices_request *r, const struct node *iq, struct device_list *lists)
{
	const struct node *u = node_child(iq, "usync");
	const struct node *list = u == NULL ? NULL : node_child(u, "list");
	struct device_list one;
	struct unit *unit;

	for (size_t i = 0; i < r->n; i++) {
		memset(&lists[i], 0, sizeof(lists[i]));
		(void)snprintf(lists[i].user, sizeof(lists[i].user), "%s", r->users[i]);
	}
	if (list == NULL || (unit = unit_open(r->a)) == NULL)
		return;
	for (size_t k = 0; k < list->nchildren; k++) {
		if (devices_from_user(list->children[k], &one) == -1)
			continue;
		learn(r->a, list->children[k], &one);
		for (size_t i = 0; i < r->n; i++)
			if (strcmp(one.user, r->users[i]) == 0)
				lists[i] = one;
		if (one.known)
			write_list(r->a, unit, &one);
		write_pair(r->a, unit, &one);
	}
	if (unit_writes(unit) > 0)
		unit_commit(unit, list_written, NULL);
	else
		unit_abort(unit);
}

static void
answered(const struct iq_answer *ans, void *arg)
{
	struct devices_request *r = arg;
	devices_fn *fn = r->fn;
	void *to = r->arg;
	size_t n = r->n;

	/* an answer without a list says nothing of anybody */
	if (!ans->ok || node_child(node_child(ans->node, "usync"), "list") == NULL) {
		unsigned code = ans->code;
		const char *why = ans->ok ? "error" : ans->why;

		free(r);
		fn(NULL, 0, why, code, to);
		return;
	}
	struct device_list *lists = calloc(n, sizeof(*lists));

	if (lists == NULL)
		fatal("devices");
	read_answer(r, ans->node, lists);
	free(r);
	fn(lists, n, NULL, 0, to);
	free(lists);
}

struct devices_request *
devices_fetch(struct account *a, const char *const *jids, size_t n, devices_fn *fn, void *arg)
{
	struct devices_request *r = calloc(1, sizeof(*r));
	char sid[32];

	if (r == NULL || n > DEVICES_USERS_MAX)
		fatalx("devices_fetch");
	r->a = a;
	r->n = n;
	r->fn = fn;
	r->arg = arg;
	for (size_t i = 0; i < n; i++)
		(void)snprintf(r->users[i], sizeof(r->users[i]), "%s", jids[i]);
	(void)snprintf(sid, sizeof(sid), "%u.%u-%u", a->iq_r[0], a->iq_r[1],
	    1 + randombytes_uniform(1u << 30));
	r->iq = iq_request(a, devices_query_node(jids, n, sid), IQ_TIMEOUT_MS, answered, r);
	return r;
}

void
devices_cancel(struct devices_request *r)
{
	if (r == NULL)
		return;
	iq_cancel(r->a, r->iq);
	free(r);
}

static void
own_done(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct account *a = arg;

	if (why != NULL)
		log_info(
		    "account %s: own device list: %s; the one that is kept stays", a->name, why);
}

struct devices_request *
devices_fetch_own(struct account *a, devices_fn *fn, void *arg)
{
	char pn[JID_TEXT_MAX], lid[JID_TEXT_MAX];
	const char *jids[2];
	struct jid j = jid_bare(&a->dev.jid);
	size_t n = 0;

	jids[n++] = jid_format(&j, pn);
	if (a->dev.has_lid) {
		j = jid_bare(&a->dev.lid);
		jids[n++] = jid_format(&j, lid);
	}
	return devices_fetch(a, jids, n, fn, arg);
}

void
devices_refresh_own(struct account *a)
{
	(void)devices_fetch_own(a, own_done, a);
}

/* ------------------------------------------------------------------ phash */

void
devices_phash(const struct jid *devices, size_t n, char out[12])
{
	char(*forms)[JID_TEXT_MAX + 8] = calloc(n, sizeof(*forms));
	char form[JID_TEXT_MAX + 8];
	crypto_hash_sha256_state st;
	uint8_t hash[crypto_hash_sha256_BYTES];
	size_t at;

	out[0] = '\0';
	if (forms == NULL)
		return;
	for (size_t i = 0; i < n; i++) { /* few; and qsort would ask the kernel for its memory */
		(void)snprintf(form, sizeof(form), "%s.0:%u@%s", devices[i].user, devices[i].device,
		    devices[i].server);
		for (at = i; at > 0 && strcmp(forms[at - 1], form) > 0; at--)
			memcpy(forms[at], forms[at - 1], sizeof(form));
		memcpy(forms[at], form, sizeof(form));
	}
	crypto_hash_sha256_init(&st);
	for (size_t i = 0; i < n; i++)
		crypto_hash_sha256_update(&st, (const uint8_t *)forms[i], strlen(forms[i]));
	crypto_hash_sha256_final(&st, hash);
	memcpy(out, "2:", 2);
	(void)sodium_bin2base64(out + 2, 10, hash, 6, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	free(forms);
}

/* ------------------------------------------------------------------ notifications */

void
devices_drop(struct account *a, const struct jid *j, struct unit *u)
{
	char text[JID_TEXT_MAX];
	struct person p;
	struct jid bare = jid_bare(j), other;

	unit_device_list_drop(u, jid_format(&bare, text));
	contacts_list_is(a, text, NULL);
	if (contacts_cached(a, &bare, &p) == -1)
		return;
	if (jid_is_pn(&bare) && p.lid[0] != '\0' && jid_make(&other, p.lid, JID_LID, 0) == 0)
		unit_device_list_drop(u, jid_format(&other, text));
	else if (jid_is_lid(&bare) && p.pn[0] != '\0' && jid_make(&other, p.pn, JID_PN, 0) == 0)
		unit_device_list_drop(u, jid_format(&other, text));
}

/* <update hash>: it comes from our own account, and means a contact (13.3). */
static int
update_by_hash(struct account *a, const struct node *n)
{
	const struct node *up = node_child(n, "update");
	const char *hash = up == NULL ? NULL : node_get(up, "hash");

	if (hash == NULL || node_child(up, "device") != NULL)
		return 0;
	device_refresh_hash(a, hash);
	return 1;
}

/* What the notification says of the devices themselves: sessions with those that are gone go too.
 */
static void
registered_anew(struct account *a, const struct node *n)
{
	static const char *const ops[] = {"remove", "add", "update"};
	struct pb_arena *arena = pb_arena_new(KEY_INDEX_BUDGET);
	const struct node *op = NULL, *d;
	struct index_list index;
	char text[JID_TEXT_MAX];
	struct jid from, j;

	for (size_t i = 0; op == NULL && i < sizeof(ops) / sizeof(ops[0]); i++)
		op = node_child(n, ops[i]);
	if (op == NULL || arena == NULL || node_get_jid(n, "from", &from) == -1 ||
	    from.user[0] == '\0') {
		pb_arena_free(arena);
		return;
	}
	from = jid_bare(&from);
	(void)jid_format(&from, text);
	index = index_list_of(op, arena);
	if (index.l != NULL && index.l->has_raw_id &&
	    contacts_raw_id_changed(a, text, index.l->raw_id))
		session_clear(a, text, 0);
	else if (node_is(op, "remove") && (d = node_child(op, "device")) != NULL &&
		 node_get_jid(d, "jid", &j) == 0 && j.device != 0 && !account_is_this_device(a, &j))
		session_clear(a, text, j.device);
	pb_arena_free(arena);
}

void
devices_notification(struct account *a, const struct node *n, struct unit *u)
{
	static const char *const keys[] = {"from", "lid"};
	struct jid j, own;

	if (update_by_hash(a, n))
		return;
	registered_anew(a, n);
	/* the next send asks for the list again: whatever changed is then seen whole */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (node_get_jid(n, keys[i], &j) == -1 || j.user[0] == '\0')
			continue;
		devices_drop(a, &j, u);
		if (account_is_own(a, &j)) {
			own = jid_bare(&a->dev.jid);
			devices_drop(a, &own, u);
			if (a->dev.has_lid) {
				own = jid_bare(&a->dev.lid);
				devices_drop(a, &own, u);
			}
		}
	}
}
