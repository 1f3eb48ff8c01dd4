/* Fuzz target: a JID that parses must print, and parse again to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), printed[JID_TEXT_MAX];
	struct jid a, b;

	if (text == NULL)
		return 0;
	if (len != 0)
		memcpy(text, data, len);
	text[len] = '\0';
	if (jid_parse(text, &a) == 0 && (jid_parse(jid_format(&a, printed), &b) == -1 ||
					    !jid_eq(&a, &b) || a.integrator != b.integrator))
		abort();
	free(text);
	return 0;
}
