/* The part of a configuration that one child needs, as text that config_parse reads back. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config_private.h"

/* The keys of one section that are for `who`; values are either the plain ones or an account's. */
static void
put_keys(struct buf *b, const char *section, const struct config_value *values, unsigned who)
{
	size_t i;

	for (i = 0; i < config_nkeys; i++) {
		const struct config_key *k = &config_keys[i];

		if (strcmp(k->section, section) == 0 && (k->who & who) != 0)
			buf_printf(b, "%s = %s\n", k->key,
			    values[i].text != NULL ? values[i].text : k->fallback);
	}
}

static int
section_wanted(const char *section, unsigned who)
{
	size_t i;

	for (i = 0; i < config_nkeys; i++)
		if (strcmp(config_keys[i].section, section) == 0 && (config_keys[i].who & who) != 0)
			return 1;
	return 0;
}

static void
put_plain(struct buf *b, const struct config *c, unsigned who)
{
	const char *section = "";
	size_t i;

	for (i = 0; i < config_nkeys; i++) {
		if (strcmp(config_keys[i].section, section) == 0)
			continue;
		section = config_keys[i].section;
		if (strcmp(section, "account") == 0 || !section_wanted(section, who))
			continue;
		buf_printf(b, "[%s]\n", section);
		put_keys(b, section, c->values, who);
	}
}

char *
config_text_for(const struct config *c, unsigned who, size_t *len)
{
	struct buf b = BUF_INIT;
	const char *text;
	char *out = NULL;
	size_t i;

	put_plain(&b, c, who);
	for (i = 0; i < c->naccounts; i++) {
		buf_printf(&b, "[account %s]\n", c->accounts[i].name);
		put_keys(&b, "account", c->accounts[i].values, who);
	}
	if ((who & CONFIG_FOR_APID) != 0 && c->nroles > 0) {
		buf_put_str(&b, "[roles]\n");
		for (i = 0; i < c->nroles; i++)
			buf_printf(&b, "%s = %s\n", c->roles[i].key, c->roles[i].value);
	}
	if ((who & CONFIG_FOR_APID) != 0 && c->nqueries > 0) {
		buf_put_str(&b, "[queries]\n");
		for (i = 0; i < c->nqueries; i++)
			buf_printf(&b, "%s = %s\n", c->queries[i].key, c->queries[i].value);
	}
	if ((text = buf_cstr(&b)) != NULL && (out = strdup(text)) != NULL)
		*len = b.len;
	buf_clear(&b);
	return out;
}
