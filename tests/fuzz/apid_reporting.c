/* Fuzz: any bytes as a message whose reporting token is made, and as what was opened under a
 * secret.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/addon.h"
#include "apid/message/reporting.h"
#include "apid/message/secrets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is covered is covered again whole. */
static void
covered(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;

	if (reporting_content(data, size, &once) == 0 &&
	    (once.len > size * 2 || reporting_content(once.data, once.len, &twice) != 0 ||
		twice.len != once.len ||
		(once.len > 0 && memcmp(once.data, twice.data, once.len) != 0)))
		abort();
	buf_clear(&once);
	buf_clear(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	ProtobufCBinaryData bytes = {size, (uint8_t *)(uintptr_t)data};
	const E2e__Message *m;
	struct addon_plain plain;
	struct addon ad;

	covered(data, size);
	if ((m = content_parse(data, size, arena, NULL)) != NULL) {
		(void)addon_find(m, &ad);
		(void)secrets_wanted(m);
		if (secrets_expire_s(m, 5) <= 5)
			abort();
	}
	for (int use = KEYD__ADDON_OPEN__USE__POLL_VOTE;
	     use <= KEYD__ADDON_OPEN__USE__POLL_ADD_OPTION; use++)
		(void)addon_read((Keyd__AddonOpen__Use)use, &bytes, arena, &plain);
	pb_arena_free(arena);
	return 0;
}
