/* The keyring header: a small file of keyd's, replaced as a whole or not at all. */
#ifndef WARD_STORED_KEYRING_H
#define WARD_STORED_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#define KEYRING_MAX      1024
#define KEYRING_FILE_MAX (KEYRING_MAX + 64)

enum keyring_status {
	KEYRING_OK,
	KEYRING_CORRUPT, /* files are there, but none is whole */
	KEYRING_READ_ONLY,
	KEYRING_FULL,
	KEYRING_IO
};
const char *keyring_word(enum keyring_status st); /* the contract's: "corrupt", "read_only", … */

/* None yet: *len 0. Files lie in the working folder. */
enum keyring_status keyring_read(uint8_t out[KEYRING_MAX], size_t *len);
/* The same as the bytes of a file, which may be put as "keyring.0" into another folder. */
enum keyring_status keyring_copy(uint8_t out[KEYRING_FILE_MAX], size_t *len);
/* Durable when it returns KEYRING_OK; the old one stands otherwise. */
enum keyring_status keyring_write(const uint8_t *data, size_t len);

#endif
