/* What keyd counts, by name, for STATUS. */
#include "keyd/counter.h"

static uint64_t values[COUNTERS];

static const char *const names[COUNTERS] = {
    [COUNT_NOISE_HELLO] = "noise_hello",
    [COUNT_NOISE_FINISH] = "noise_finish",
    [COUNT_NOISE_REFUSED] = "noise_refused",
    [COUNT_DEVICE_CREATE] = "device_create",
    [COUNT_PAIR_QR] = "pair_qr",
    [COUNT_PAIR_REFRESH] = "pair_refresh",
    [COUNT_PAIR_CODE] = "pair_code",
    [COUNT_PAIR_CODE_FINISH] = "pair_code_finish",
    [COUNT_PAIR_LINKED] = "pair_linked",
    [COUNT_PAIR_REFUSED] = "pair_refused",
    [COUNT_PREKEYS_MADE] = "prekeys_made",
    [COUNT_PREKEYS_USED] = "prekeys_used",
    [COUNT_SESSIONS_BUILT] = "sessions_built",
    [COUNT_ENCRYPTED] = "encrypted",
    [COUNT_ENCRYPT_FAILED] = "encrypt_failed",
    [COUNT_DECRYPTED] = "decrypted",
    [COUNT_DECRYPT_DUPLICATE] = "decrypt_duplicate",
    [COUNT_DECRYPT_FAILED] = "decrypt_failed",
    [COUNT_IDENTITY_CHANGED] = "identity_changed",
    [COUNT_ADV_UNCHECKED] = "adv_unchecked",
    [COUNT_ADV_REFUSED] = "adv_refused",
    [COUNT_SESSION_TRIMMED] = "session_trimmed",
    [COUNT_RECORDS_ASKED] = "records_asked",
    [COUNT_RECORDS_DAMAGED] = "records_damaged",
    [COUNT_RECORDS_ROLLED_BACK] = "records_rolled_back",
    [COUNT_RECORDS_SEALED] = "records_sealed",
    [COUNT_UNITS_COMMITTED] = "units_committed",
    [COUNT_UNITS_FAILED] = "units_failed",
    [COUNT_BAD_REQUEST] = "bad_request",
    [COUNT_REFUSED] = "refused",
};

void
counter_add(enum counter c, uint64_t n)
{
	values[c] += n;
}

uint64_t
counter_get(enum counter c)
{
	return values[c];
}

const char *
counter_name(enum counter c)
{
	return names[c];
}
