/* One content, encrypted for one device. */
#include "apid/message/encrypt_one.h"

#include <stdlib.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "common/pb.h"
#include "ipc/frame.h"

#define KEYD_DEADLINE 30000u

struct ask *
encrypt_one(struct account *a, struct unit *u, const char *address, uint32_t device,
    const struct bundle *bundle, const uint8_t *content, size_t len, channel_reply_fn *fn,
    void *arg)
{
	Keyd__Encrypt m = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	Keyd__Address addr = KEYD__ADDRESS__INIT;
	ProtobufCBinaryData plain = {0};
	struct bundle_pb pb;
	struct ask *ask;

	if ((plain.data = content_pad(content, len, &plain.len)) == NULL)
		return NULL;
	addr.name = pb_str(address);
	addr.device = device;
	item.address = &addr;
	if (bundle->ok) {
		bundle_fill(bundle, &pb);
		item.bundle = &pb.bundle;
	}
	m.account = a->name;
	m.unit = unit_id(u);
	m.n_plaintexts = 1;
	m.plaintexts = &plain;
	m.n_items = 1;
	m.items = items;
	ask = ask_keyd(a, KEYD__TYPE__ENCRYPT, &m.base, KEYD__TYPE__ENCRYPT_REPLY,
	    &keyd__encrypt_reply__descriptor, FRAME_PAYLOAD_MAX, KEYD_DEADLINE, fn, arg);
	sodium_memzero(plain.data, plain.len);
	free(plain.data);
	return ask;
}
