/* Fuzz: what keyd reads of its own back from stored: the device record, and the keyring header; and
 * the bytes of a key source. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyd/device.h"
#include "keyd/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct device device;

/* What decodes encodes to the same bytes. */
static void
fuzz_device(const uint8_t *data, size_t size)
{
	struct buf b = BUF_INIT;

	if (device_decode(&device, data, size) == -1)
		return;
	if (device_encode(&device, &b) == -1 || b.len != size || memcmp(b.data, data, size) != 0)
		abort();
	buf_clear(&b);
}

/* A header that somebody wrote opens with no key that is not its own. The source is a key, never a
 * passphrase: then nothing is stretched, which would take all the time of a run. */
static void
fuzz_header(const uint8_t *data, size_t size)
{
	struct keyring_source s = {.kind = KEYRING_RAW, .len = 32};
	uint8_t master[32];

	memset(s.secret, 7, 32);
	if (keyring_open(&s, data, size, master) == NULL)
		abort();
}

static void
fuzz_source(enum keyring_kind kind, const uint8_t *data, size_t size)
{
	struct keyring_source s;
	const char *why = keyring_parse(&s, kind, data, size);

	if (why == NULL && (kind == KEYRING_RAW ? s.len != 32 : s.len < 8 || s.len > size))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size == 0 || (copy = malloc(size > 1 ? size - 1 : 1)) == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		fuzz_device(copy, size - 1);
		break;
	case 1:
		fuzz_header(copy, size - 1);
		break;
	case 2:
		fuzz_source(KEYRING_RAW, copy, size - 1);
		break;
	default:
		fuzz_source(KEYRING_PASSPHRASE, copy, size - 1);
	}
	free(copy);
	return 0;
}
