/* Fuzz: any bytes as a GraphQL answer or push of the service. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/mex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const roots[] = {"xwa2_fetch_account_reachout_timelock",
	    "xwa2_message_capping_info", "xwa2_notify_account_reachout_timelock"};
	static const char *const keys[] = {
	    "time_enforcement_ends", "total_quota", "enforcement_type", "capping_status"};
	json_t *o = mex_parse(data, size);
	struct mex_answer a;
	char word[16];

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) && o != NULL; i++) {
		mex_read(o, roots[i], &a);
		if ((a.root == NULL) == (a.why == NULL) || a.code < 0)
			abort();
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			if (mex_int(a.root, keys[k]) < -1)
				abort();
			mex_word(a.root, keys[k], word, sizeof(word));
			if (strlen(word) >= sizeof(word))
				abort();
		}
	}
	json_decref(o);
	return 0;
}
