/* Fuzz: any bytes as a packet between the parent and a child; the first says which may come now. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a child takes as BOOT packs to the same bytes. */
static void
boot(const struct control_msg *m)
{
	struct control_boot b;
	const char *why = NULL;
	uint8_t *again;
	size_t len;

	if (control_boot_unpack(m, &b, &why) == -1) {
		if (why == NULL)
			abort();
		return;
	}
	if ((b.flags & ~CONTROL_BOOT_FLAGS) != 0 || b.config_len > CONTROL_TEXT_MAX ||
	    ((b.flags & CONTROL_AS_ROOT) != 0 && (b.uid == 0 || b.gid == 0)))
		abort();
	again = control_boot_pack(&b, &len);
	if (again == NULL || len != m->len || memcmp(again, m->payload, len) != 0)
		abort();
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_msg m;
	const char *why = "";
	uint8_t *packet;

	if (size == 0)
		return 0;
	packet = malloc(size > 1 ? size - 1 : 1); /* reading one byte too far is seen */
	if (packet == NULL)
		return 0;
	memcpy(packet, data + 1, size - 1);
	if (control_decode(packet, size - 1, data[0], &m, &why) == -1) {
		if (why == NULL)
			abort();
	} else {
		if ((data[0] & CONTROL_MAY(m.type)) == 0 || m.payload != packet + CONTROL_HEADER ||
		    m.len != size - 1 - CONTROL_HEADER)
			abort();
		if (m.type == CONTROL_BOOT)
			boot(&m);
	}
	free(packet);
	return 0;
}
