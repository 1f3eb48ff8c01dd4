/* What keyd counts, by name, for STATUS. */
#ifndef WARD_COUNTER_H
#define WARD_COUNTER_H

#include <stdint.h>

/* clang-format off */
#define COUNTER_LIST(X) \
	X(NOISE_HELLO, "noise_hello") \
	X(NOISE_FINISH, "noise_finish") \
	X(NOISE_REFUSED, "noise_refused") /* bad server hello or certificate */ \
	X(NOISE_IK, "noise_ik") /* begun with a kept chain … */ \
	X(NOISE_IK_TAKEN, "noise_ik_taken") \
	X(NOISE_IK_FALLBACK, "noise_ik_fallback") /* … the server went over to XX */ \
	X(NOISE_IK_FAILED, "noise_ik_failed") /* … no answer, or one that does not authenticate */ \
	X(DEVICE_CREATE, "device_create") \
	X(PAIR_QR, "pair_qr") \
	X(PAIR_REFRESH, "pair_refresh") \
	X(PAIR_CODE, "pair_code") \
	X(PAIR_CODE_FINISH, "pair_code_finish") \
	X(PASSKEY_BEGUN, "passkey_begun") \
	X(PASSKEY_SEALED, "passkey_sealed") \
	X(PAIR_LINKED, "pair_linked") \
	X(PAIR_REFUSED, "pair_refused") \
	X(PREKEYS_MADE, "prekeys_made") \
	X(PREKEYS_USED, "prekeys_used") \
	X(SKEY_ROTATED, "skey_rotated") \
	X(SESSIONS_BUILT, "sessions_built") \
	X(SESSIONS_MOVED, "sessions_moved") /* to the address by LID */ \
	X(ENCRYPTED, "encrypted") \
	X(ENCRYPT_FAILED, "encrypt_failed") \
	X(DECRYPTED, "decrypted") \
	X(DECRYPT_DUPLICATE, "decrypt_duplicate") \
	X(DECRYPT_FAILED, "decrypt_failed") \
	X(IDENTITY_CHANGED, "identity_changed") \
	X(IDENTITY_HELD, "identity_held") /* refused: the identity is held, or not verified */ \
	X(IDENTITY_DECIDED, "identity_decided") \
	X(ADV_UNCHECKED, "adv_unchecked") /* a device identity without a key to check it by */ \
	X(ADV_REFUSED, "adv_refused") \
	X(SESSION_TRIMMED, "session_trimmed") /* archived states and chains dropped: over the limit */ \
	X(RECORDS_ASKED, "records_asked") \
	X(RECORDS_DAMAGED, "records_damaged") /* did not open under its name and version */ \
	X(RECORDS_ROLLED_BACK, "records_rolled_back") \
	X(RECORDS_SEALED, "records_sealed") \
	X(UNITS_COMMITTED, "units_committed") \
	X(UNITS_FAILED, "units_failed") \
	X(BAD_REQUEST, "bad_request") \
	X(REFUSED, "refused") /* unknown account, locked, busy, state, store */
/* clang-format on */

#define COUNTER_ENUM(id, name) COUNT_##id,
enum counter {
	COUNTER_LIST(COUNTER_ENUM) COUNTERS
};

extern uint64_t counters[COUNTERS];
extern const char *const counter_names[COUNTERS];

#endif
