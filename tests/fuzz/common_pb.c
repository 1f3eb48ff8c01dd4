/* Fuzz: any bytes as one of our protobuf messages; what was unpacked packs and unpacks again. */
#include <stdint.h>
#include <stdlib.h>

#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/e2e.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/netd.pb-c.h"
#include "ipc/stored.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const descs[] = {
    &e2e__message__descriptor,
    &wa6__handshake_message__descriptor,
    &wa6__client_payload__descriptor,
    &keyd__device_state__descriptor,
    &keyd__encrypt__descriptor,
    &keyd__status_reply__descriptor,
    &stored__stage__descriptor,
    &stored__unit_commit__descriptor,
    &stored__records__descriptor,
};

/* First byte: which message, and in bit 7 whether strictly. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *desc;
	struct pb_arena *a, *b;
	const char *why = NULL;
	ProtobufCMessage *m;
	unsigned flags;
	uint8_t *bytes;
	size_t len;

	if (size == 0)
		return 0;
	desc = descs[(data[0] & 0x7f) % (sizeof(descs) / sizeof(descs[0]))];
	flags = data[0] & 0x80 ? PB_STRICT : 0;
	a = pb_arena_new(1u << 20);
	m = pb_unpack(desc, data + 1, size - 1, a, flags, &why);
	if ((m == NULL) != (why != NULL))
		abort();
	if (m != NULL) {
		bytes = pb_pack(m, &len);
		b = pb_arena_new(16u << 20);
		if (pb_unpack(desc, bytes, len, b, flags, &why) == NULL)
			abort();
		pb_arena_free(b);
		free(bytes);
	}
	pb_arena_free(a);
	return 0;
}
