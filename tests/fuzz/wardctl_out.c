/* Fuzz: any text and any JSON on the terminal of a person: nothing that a terminal obeys comes out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/wardctl/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Only LF stands for itself; C1 controls are two bytes of UTF-8. */
static void
harmless(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;

	for (size_t i = 0; i < len; i++)
		if ((p[i] < 0x20 && p[i] != '\n') || p[i] == 0x7f ||
		    (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
			abort();
}

static void
json(struct ctl *c, const char *text, size_t size)
{
	json_t *v = json_loadb(text, size, JSON_DECODE_ANY, NULL);

	if (v == NULL)
		return;
	ctl_put_json(c, v);
	if (json_is_object(v)) {
		ctl_put_event(c, v);
		for (size_t i = 0; i < api_nmethods; i++)
			ctl_put_result(c, api_methods[i].result, v);
		(void)ctl_error(c, v);
	}
	json_decref(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *out = NULL;
	struct ctl c = {.fd = -1, .format = CTL_TABLE, .out_tty = 1};
	size_t len = 0;

	if (text == NULL || (c.out = c.err = open_memstream(&out, &len)) == NULL)
		abort();
	ctl_put_text(c.out, text);
	ctl_say(&c, "%s", text);
	json(&c, text, strlen(text));
	fclose(c.out);
	harmless(out, len);
	free(out);
	free(text);
	return 0;
}
