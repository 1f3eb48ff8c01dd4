/* Fuzz: passkey options of the service and assertions of clients; what is taken must be as the
 * protocol says (protocol page 12, 1.3). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/passkey_json.h"
#include "apid/session/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
fuzz_options(const uint8_t *data, size_t size)
{
	int64_t ms = 0;
	json_t *o = passkey_options(data, size, &ms);

	if (o == NULL)
		return;
	must(ms > 0 && ms <= PASSKEY_WAIT_MS && size <= PASSKEY_JSON_MAX);
	must(json_string_length(json_object_get(o, "challenge")) > 0);
	must(json_is_string(json_object_get(o, "userVerification")));
	json_decref(o);
}

/* What is taken can be given again, and is then the same. */
static void
fuzz_assertion(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *again;
	struct passkey_assertion a, b;

	if (passkey_assertion(o, &a) == NULL) {
		must(a.id_len > 0 && a.id_len <= PASSKEY_ID_MAX);
		must(strlen(a.text) <= PASSKEY_JSON_MAX);
		again = json_loads(a.text, JSON_REJECT_DUPLICATES, NULL);
		must(passkey_assertion(again, &b) == NULL && strcmp(a.text, b.text) == 0);
		json_decref(again);
		passkey_assertion_clear(&b);
	}
	passkey_assertion_clear(&a);
	json_decref(o);
}

static void
fuzz_display(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), out[PAYLOAD_DISPLAY_MAX];

	must(text != NULL);
	payload_display(text, out);
	must(strlen(out) >= 7 && out[strlen(out) - 1] == ')');
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		fuzz_options(data + 1, size - 1);
		break;
	case 1:
		fuzz_assertion(data + 1, size - 1);
		break;
	default:
		fuzz_display(data + 1, size - 1);
	}
	return 0;
}
