/* Fuzz: any bytes as ward.conf, and as the file of client data; what is accepted reads back the
 * same in every child's form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_back(const struct config *c, unsigned who)
{
	char err[256];
	size_t len, len2;
	char *text = config_text_for(c, who, &len), *again;
	struct config *back = config_parse("again", text, len, err, sizeof(err));

	if (back == NULL || config_account_count(back) != config_account_count(c))
		abort();
	again = config_text_for(back, who, &len2);
	if (len2 != len || memcmp(again, text, len) != 0)
		abort();
	free(text);
	free(again);
	config_free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned children[] = {
	    CONFIG_FOR_KEYD, CONFIG_FOR_NETD, CONFIG_FOR_STORED, CONFIG_FOR_APID};
	char err[64];
	struct config *c = config_parse("f", (const char *)data, size, err, sizeof(err));
	size_t i;

	if ((c == NULL) != (err[0] != '\0') || strlen(err) >= sizeof(err))
		abort();
	for (i = 0; c != NULL && i < 4; i++)
		read_back(c, children[i]);
	config_free(c);
	/* the same bytes as the file of client data */
	if ((c = config_parse("w", "[account a]\n", 12, err, sizeof(err))) == NULL)
		abort();
	if (config_add_client(c, "f", (const char *)data, size, err, sizeof(err)) == 0)
		read_back(c, CONFIG_FOR_APID);
	else if (err[0] == '\0')
		abort();
	config_free(c);
	return 0;
}
