/* What keyd counts, by name, for STATUS. */
#ifndef WARD_COUNTER_H
#define WARD_COUNTER_H

#include <stdint.h>

enum counter {
	COUNT_NOISE_HELLO,
	COUNT_NOISE_FINISH,
	COUNT_NOISE_REFUSED, /* bad server hello or certificate */
	COUNT_DEVICE_CREATE,
	COUNT_PAIR_QR,
	COUNT_PAIR_REFRESH,
	COUNT_PAIR_CODE,
	COUNT_PAIR_CODE_FINISH,
	COUNT_PAIR_LINKED,
	COUNT_PAIR_REFUSED,
	COUNT_PREKEYS_MADE,
	COUNT_PREKEYS_USED,
	COUNT_SESSIONS_BUILT,
	COUNT_ENCRYPTED,
	COUNT_ENCRYPT_FAILED,
	COUNT_DECRYPTED,
	COUNT_DECRYPT_DUPLICATE,
	COUNT_DECRYPT_FAILED,
	COUNT_IDENTITY_CHANGED,
	COUNT_ADV_UNCHECKED, /* a device identity without a key to check it by */
	COUNT_ADV_REFUSED,
	COUNT_SESSION_TRIMMED, /* archived states dropped, the record was over its limit */
	COUNT_RECORDS_ASKED,
	COUNT_RECORDS_DAMAGED, /* did not open under its name and version */
	COUNT_RECORDS_ROLLED_BACK,
	COUNT_RECORDS_SEALED,
	COUNT_UNITS_COMMITTED,
	COUNT_UNITS_FAILED,
	COUNT_BAD_REQUEST,
	COUNT_REFUSED, /* unknown account, locked, busy, state, store */
	COUNTERS
};

void counter_add(enum counter c, uint64_t n);
uint64_t counter_get(enum counter c);
const char *counter_name(enum counter c);

#endif
