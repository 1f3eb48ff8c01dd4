/* What the phone has for a new companion: app-state key, push name, an initial history (page 11,
 * 4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <zlib.h>

#include "common/log.h"
#include "tests/sim/appstate.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/pbw.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/rng.h"

#define TYPE_HISTORY   5
#define TYPE_KEY_SHARE 6
#define COLLECTION     "critical_block"

/* Message{protocolMessage{type, field: body}} */
static void
protocol_message(int type, unsigned field, struct buf *body, struct buf *out)
{
	struct buf pm = BUF_INIT;

	pbw_varint(&pm, 2, (uint64_t)type);
	pbw_msg(&pm, field, body);
	pbw_msg(out, 12, &pm);
}

void
phone_share_keys(struct phone *p, struct device *d)
{
	struct buf id = BUF_INIT, print = BUF_INIT, data = BUF_INIT, key = BUF_INIT,
		   share = BUF_INIT, m = BUF_INIT, indexes = BUF_INIT;
	struct device *x;

	pbw_bytes(&id, 1, p->sync_key_id, sizeof(p->sync_key_id));
	TAILQ_FOREACH(x, &p->account->devices, link)
	pbw_raw(&indexes, x->key_index);
	pbw_varint(&print, 1, p->account->raw_id);
	pbw_varint(&print, 2, p->account->next_key_index - 1);
	pbw_msg(&print, 3, &indexes);
	pbw_bytes(&data, 1, p->sync_key, sizeof(p->sync_key));
	pbw_msg(&data, 2, &print);
	pbw_varint(&data, 3, (uint64_t)loop_now_ms());
	pbw_msg(&key, 1, &id);
	pbw_msg(&key, 2, &data);
	pbw_msg(&share, 1, &key);
	protocol_message(TYPE_KEY_SHARE, 7, &share, &m);
	phone_send_peer(p, d, &m);
	buf_clear(&m);
}

/* HistorySync INITIAL_BOOTSTRAP: no chats, but who has which LID. */
static void
send_history(struct phone *p, struct device *d)
{
	struct buf h = BUF_INIT, pair = BUF_INIT, note = BUF_INIT, m = BUF_INIT;
	char text[JID_TEXT_MAX];
	struct account *a;
	struct jid pn, lid;
	uLongf zlen;
	uint8_t *z;

	pbw_varint(&h, 1, 0);
	pbw_varint(&h, 5, 1);
	pbw_varint(&h, 6, 100);
	TAILQ_FOREACH(a, &accounts, link)
	{
		if (a->lid_hidden)
			continue;
		pn = account_jid(a, 0);
		lid = account_jid(a, 1);
		pbw_str(&pair, 1, jid_format(&pn, text));
		pbw_str(&pair, 2, jid_format(&lid, text));
		pbw_msg(&h, 15, &pair);
	}
	if (p->account->tells_salt)
		pbw_bytes(&h, 19, p->account->nct_salt, sizeof(p->account->nct_salt));
	zlen = compressBound(h.len);
	if ((z = malloc(zlen)) == NULL || compress(z, &zlen, h.data, h.len) != Z_OK)
		fatalx("zlib");
	pbw_varint(&note, 6, 0); /* syncType INITIAL_BOOTSTRAP */
	pbw_varint(&note, 7, 1);
	pbw_varint(&note, 9, 100);
	pbw_bytes(&note, 11, z, zlen);
	protocol_message(TYPE_HISTORY, 6, &note, &m);
	phone_send_peer(p, d, &m);
	free(z);
	buf_clear(&h);
	buf_clear(&m);
}

/* --- the one mutation that a companion must find: its push name (protocol page 07, 4 to 6) --- */

static void
hmac_sha512(const uint8_t key[32], const struct buf *data, uint8_t out[64])
{
	unsigned n = 64;

	if (HMAC(EVP_sha512(), key, 32, data->data, data->len, out, &n) == NULL)
		fatalx("HMAC failed");
}

/* SyncActionData{index, value{timestamp, pushNameSetting{name}}, padding, version} */
static void
push_name_action(const struct phone *p, const char *index, struct buf *out)
{
	struct buf name = BUF_INIT, value = BUF_INIT;

	pbw_str(&name, 1, p->account->push_name);
	pbw_varint(&value, 1, (uint64_t)loop_now_ms());
	pbw_msg(&value, 7, &name);
	pbw_str(out, 1, index);
	pbw_msg(out, 2, &value);
	pbw_bytes(out, 3, NULL, 0);
	pbw_varint(out, 4, 1);
}

/* One SET record: index MAC, encrypted value with its MAC. */
static void
make_record(const struct phone *p, const uint8_t keys[160], const char *index, struct buf *record,
    uint8_t value_mac[32])
{
	static const uint8_t adlen[8] = {0, 0, 0, 0, 0, 0, 0, 7};
	struct buf plain = BUF_INIT, ct = BUF_INIT, msg = BUF_INIT, blob = BUF_INIT, id = BUF_INIT;
	uint8_t index_mac[32], mac[64], *out;
	size_t n;

	crypt_hmac(keys, 32, index, strlen(index), index_mac);
	push_name_action(p, index, &plain);
	out = buf_reserve(&ct, 16 + plain.len + 16);
	if (out == NULL)
		fatal("app state");
	rng_bytes(out, 16);
	n = crypt_cbc(keys + 32, out, plain.data, plain.len, out + 16);
	ct.len = 16 + n;
	buf_put_u8(&msg, 1);
	buf_put(&msg, p->sync_key_id, sizeof(p->sync_key_id));
	buf_put(&msg, ct.data, ct.len);
	buf_put(&msg, adlen, sizeof(adlen));
	hmac_sha512(keys + 64, &msg, mac);
	memcpy(value_mac, mac, 32);
	buf_put(&ct, value_mac, 32);
	pbw_bytes(&blob, 1, index_mac, 32);
	pbw_msg(record, 1, &blob);
	pbw_bytes(&blob, 1, ct.data, ct.len);
	pbw_msg(record, 2, &blob);
	pbw_bytes(&id, 1, p->sync_key_id, sizeof(p->sync_key_id));
	pbw_msg(record, 3, &id);
	buf_clear(&plain);
	buf_clear(&ct);
	buf_clear(&msg);
}

static void
be64(uint64_t v, uint8_t out[8])
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * (7 - i)));
}

/* The LT-hash of a set of one: its expansion. */
static void
snapshot_mac(const uint8_t keys[160], const uint8_t value_mac[32], uint8_t out[32])
{
	static const char info[] = "WhatsApp Patch Integrity";
	struct buf msg = BUF_INIT;
	uint8_t hash[128], v[8];

	crypt_hkdf(NULL, 0, value_mac, 32, info, strlen(info), hash, sizeof(hash));
	be64(1, v);
	buf_put(&msg, hash, sizeof(hash));
	buf_put(&msg, v, sizeof(v));
	buf_put_str(&msg, COLLECTION);
	crypt_hmac(keys + 96, 32, msg.data, msg.len, out);
	buf_clear(&msg);
}

/* The SyncdPatch that makes version 1 of critical_block. */
static void
make_patch(const struct phone *p, struct buf *patch)
{
	static const char info[] = "WhatsApp Mutation Keys", index[] = "[\"setting_pushName\"]";
	struct buf record = BUF_INIT, mutation = BUF_INIT, msg = BUF_INIT, id = BUF_INIT;
	uint8_t keys[160], value_mac[32], snap[32], mac[32], v[8];

	crypt_hkdf(NULL, 0, p->sync_key, 32, info, strlen(info), keys, sizeof(keys));
	make_record(p, keys, index, &record, value_mac);
	snapshot_mac(keys, value_mac, snap);
	be64(1, v);
	buf_put(&msg, snap, 32);
	buf_put(&msg, value_mac, 32);
	buf_put(&msg, v, sizeof(v));
	buf_put_str(&msg, COLLECTION);
	crypt_hmac(keys + 128, 32, msg.data, msg.len, mac);
	pbw_varint(&mutation, 1, 0); /* SET */
	pbw_msg(&mutation, 2, &record);
	pbw_msg(patch, 2, &mutation);
	pbw_bytes(patch, 4, snap, 32);
	pbw_bytes(patch, 5, mac, 32);
	pbw_bytes(&id, 1, p->sync_key_id, sizeof(p->sync_key_id));
	pbw_msg(patch, 6, &id);
	buf_clear(&msg);
}

static void
upload_push_name(struct phone *p)
{
	struct node *iq, *c;
	struct buf patch = BUF_INIT;

	if (p->account->push_name[0] == '\0' || appstate_version(p->account, COLLECTION) != 0)
		return;
	make_patch(p, &patch);
	iq = phone_iq(p, "set", "w:sync:app:state");
	c = node_child_new(node_child_new(iq, "sync"), "collection");
	node_set(c, "name", COLLECTION);
	node_set(c, "version", "0");
	node_set(c, "return_snapshot", "false");
	node_add_bytes(c, "patch", patch.data, patch.len);
	buf_clear(&patch);
	phone_send_node(p, iq);
}

void
phone_provision(struct phone *p, struct device *d)
{
	upload_push_name(p);
	phone_share_keys(p, d);
	send_history(p, d);
}

/* Every account's number with its LID, as the phone tells them when it has migrated its chats. */
void
phone_tell_lids(struct phone *p, struct device *d, uint64_t other_lid)
{
	struct buf pair = BUF_INIT, payload = BUF_INIT, body = BUF_INIT, m = BUF_INIT;
	struct account *a;

	TAILQ_FOREACH(a, &accounts, link)
	{
		if (a->lid_hidden || a == p->account)
			continue;
		pbw_varint(&pair, 1, strtoull(a->pn, NULL, 10));
		pbw_varint(&pair, 2, other_lid != 0 ? other_lid : strtoull(a->lid, NULL, 10));
		if (other_lid != 0)
			pbw_varint(&pair, 3, strtoull(a->lid, NULL, 10));
		pbw_msg(&payload, 1, &pair);
	}
	pbw_msg(&body, 1, &payload);
	protocol_message(22, 23, &body, &m);
	phone_send_peer(p, d, &m);
	buf_clear(&m);
}
