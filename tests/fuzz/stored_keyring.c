/* Fuzz: any bytes as the two files of the keyring header, with the checksum as it came or made
 * right; a new header is taken and read back whatever was there. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include <sodium.h>

#include "common/log.h"
#include "stored/keyring.h"

#define SUM 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int outside = -1; /* the folder of the run, which the fuzzer's own paths begin from */
static char folder[] = "/dev/shm/ward-fuzz-keyring-XXXXXX"; /* no disk to wait for */

static void
clean(void)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)unlinkat(fd, "keyring.0", 0);
	(void)unlinkat(fd, "keyring.1", 0);
	close(fd);
	(void)rmdir(folder);
}

static void
begin(void)
{
	if ((outside = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1 ||
	    mkdtemp(folder) == NULL || atexit(clean) != 0)
		abort();
}

static void
put(const char *name, const uint8_t *data, size_t size, int right)
{
	uint8_t sum[SUM];
	FILE *f = fopen(name, "we");

	if (f == NULL)
		abort();
	(void)fwrite(data, 1, size, f);
	if (right) {
		crypto_generichash(sum, SUM, data, size, NULL, 0);
		(void)fwrite(sum, 1, SUM, f);
	}
	if (fclose(f) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t fresh[] = "a new header";
	uint8_t out[KEYRING_MAX];
	size_t len = 0, cut;

	if (size < 2)
		return 0;
	if (outside == -1)
		begin();
	/* the first byte says what is right and what is there, the second where the files part */
	cut = 2 + (size - 2) * data[1] / 255;
	if (chdir(folder) == -1)
		abort();
	(void)unlink("keyring.0");
	(void)unlink("keyring.1");
	if (data[0] & 4)
		put("keyring.0", data + 2, cut - 2, data[0] & 1);
	if (data[0] & 8)
		put("keyring.1", data + cut, size - cut, data[0] & 2);
	if (keyring_read(out, &len) == KEYRING_OK && len > KEYRING_MAX)
		abort();
	if (keyring_write(fresh, sizeof(fresh)) == KEYRING_OK &&
	    (keyring_read(out, &len) != KEYRING_OK || len != sizeof(fresh) ||
		memcmp(out, fresh, len) != 0))
		abort();
	if (fchdir(outside) == -1)
		abort();
	return 0;
}
